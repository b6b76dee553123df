//! `burngate replay`: what would have happened.

use super::{ConfigArgs, EXIT_FAILURE, EXIT_USAGE, complain, complain_of_config};
use crate::config::{Config, parse_duration};
use crate::gateway::GatewayError;
use crate::replay::{self, Columns, Intake, Loaded, Outcome, Problem, Progress, ReplayError, Wishes};
use crate::time::UnixNanos;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

/// Problems that are told one by one.
const TOLD_MAX: usize = 20;

/// Arguments of `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Recordings: .pbs (OTLP protobuf, each request behind its length), .jsonl (OTLP/JSON, a request a
    /// line), .csv (counts by the minute); plain, .gz or .zst
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Judge by these policies (files or globs) instead of those that the configuration names
    #[arg(long, short, value_name = "FILE")]
    policy: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write it here instead of on stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Refuse to answer when a record cannot be used; without this it is left out, and told
    #[arg(long)]
    strict: bool,
    /// Time between two lines of the budgets
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    budgets_every: Duration,
    /// Go on for so long after the last record
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    tail: Duration,
    /// Leave out what happened before (RFC 3339 or Unix seconds)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<UnixNanos>,
    /// Leave out what happened after
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<UnixNanos>,
    /// Deployments and flag variants too, not only totals
    #[arg(long)]
    cohorts: bool,
    /// Of .csv: the column with the start of the minute
    #[arg(long, value_name = "NAME", default_value = "timestamp")]
    ts_col: String,
    /// Of .csv: the column with the number of events
    #[arg(long, value_name = "NAME", default_value = "total")]
    total_col: String,
    /// Of .csv: the column with the number of bad events
    #[arg(long, value_name = "NAME", default_value = "errors")]
    errors_col: String,
    /// Of .csv: columns to leave out without a word
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Of .csv: the service of rows that name none
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Of .csv: the SLO of rows that name none
    #[arg(long, value_name = "NAME")]
    slo: Option<String>,
    /// Of .csv: the environment of rows that name none
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is no time; expected something like 90s, 5m or 1h"))
}

fn instant(text: &str) -> Result<UnixNanos, String> {
    let stamp = text
        .parse::<i64>()
        .map_or_else(|_| text.parse(), jiff::Timestamp::from_second);
    let nanos = stamp
        .ok()
        .and_then(|stamp| u64::try_from(stamp.as_nanosecond()).ok());
    let wrong = || format!("{text:?} is no time; expected RFC 3339 or Unix seconds");
    nanos.map(UnixNanos).ok_or_else(wrong)
}

/// Replays, and prints.
pub(super) fn replay(args: &ReplayArgs) -> ExitCode {
    let config = match args.configured() {
        Ok(config) => config,
        Err(code) => return code,
    };
    match args.run(config) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("burngate: {error}"));
            let usage = match &error {
                ReplayError::Format { .. } => true,
                ReplayError::Gateway(error) => GatewayError::is_configuration(error),
                _ => false,
            };
            ExitCode::from(if usage { EXIT_USAGE } else { EXIT_FAILURE })
        }
    }
}

impl ReplayArgs {
    /// The configuration, with the policies of the command line.
    fn configured(&self) -> Result<Config, ExitCode> {
        let mut config = self.config.load().map_err(|error| complain_of_config(&error))?;
        if !self.policy.is_empty() {
            let here = std::env::current_dir().unwrap_or_default();
            let absolute = |path: &PathBuf| here.join(path).display().to_string();
            config.error_budget.policies = self.policy.iter().map(absolute).collect();
        }
        Ok(config)
    }

    fn run(&self, config: Config) -> Result<ExitCode, ReplayError> {
        let bar = Bar::new();
        let loaded = replay::load(&self.intake(), &bar)?;
        let (count, problems) = loaded.problems();
        if self.strict && count > 0 {
            bar.gone();
            return Ok(refused(count, problems));
        }
        tell_unused(&loaded);
        let wishes = Wishes {
            budgets_every: self.budgets_every,
            cohorts: self.cohorts,
            tail: self.tail,
        };
        let problems = problems.to_vec();
        let played = replay::play(config, loaded, wishes, &bar);
        bar.gone();
        let outcome = played.inspect_err(|_| tell(count, &problems))?;
        let input = &outcome.input;
        if self.strict && input.left_out > 0 {
            return Ok(refused(input.left_out, &input.problems));
        }
        tell(input.left_out, &input.problems);
        Ok(self.print(&outcome))
    }

    fn intake(&self) -> Intake {
        Intake {
            files: self.files.clone(),
            from: self.from,
            to: self.to,
            columns: Columns {
                timestamp: self.ts_col.clone(),
                total: self.total_col.clone(),
                errors: self.errors_col.clone(),
                ignore: self.ignore.clone(),
                service: self.service.clone(),
                slo: self.slo.clone(),
                environment: self.environment.clone(),
            },
        }
    }

    fn print(&self, outcome: &Outcome) -> ExitCode {
        let written = match &self.output {
            None => self.write(outcome, &mut BufWriter::new(std::io::stdout().lock())),
            Some(path) => {
                std::fs::File::create(path).and_then(|file| self.write(outcome, &mut BufWriter::new(file)))
            }
        };
        match written {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever reads has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                let to = self
                    .output
                    .as_ref()
                    .map_or("stdout".to_owned(), |path| path.display().to_string());
                complain(&format!("burngate: {to}: {error}"));
                ExitCode::from(EXIT_FAILURE)
            }
        }
    }

    fn write(&self, outcome: &Outcome, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        match self.format {
            Format::Table => replay::table::write(outcome, out)?,
            Format::Json => replay::json::write(outcome, out)?,
            Format::Csv => replay::csv::write(outcome, out)?,
        }
        out.flush()
    }
}

fn tell_unused(loaded: &Loaded) {
    if !loaded.unused_columns.is_empty() {
        let names = loaded.unused_columns.join(", ");
        complain(&format!(
            "burngate: columns that mean nothing here, rows are added up over them: {names}"
        ));
    }
}

fn tell(count: u64, problems: &[Problem]) {
    for problem in problems.iter().take(TOLD_MAX) {
        complain(problem);
    }
    if count > 0 {
        complain(&format!(
            "burngate: {count} records left out; --strict refuses instead"
        ));
    }
}

fn refused(count: u64, problems: &[Problem]) -> ExitCode {
    for problem in problems.iter().take(TOLD_MAX) {
        complain(problem);
    }
    complain(&format!(
        "burngate: {count} records cannot be used, and --strict was asked for"
    ));
    ExitCode::from(EXIT_FAILURE)
}

/// A bar on stderr, if somebody looks at it.
struct Bar {
    bar: ProgressBar,
    from: Mutex<UnixNanos>,
}

impl Bar {
    fn new() -> Self {
        // Draws nothing unless stderr is a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        Self {
            bar,
            from: Mutex::default(),
        }
    }

    fn style(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }

    fn gone(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn reads(&self, bytes: u64) {
        self.style("reading  [{bar:40}] {bytes} of {total_bytes}");
        self.bar.set_length(bytes);
    }

    fn has_read(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn plays(&self, from: UnixNanos, secs: u64) {
        *self
            .from
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = from;
        self.style("replaying [{bar:40}] {percent}% {msg}, {eta} to go");
        self.bar.reset();
        self.bar.set_length(secs.max(1));
    }

    fn has_come_to(&self, now: UnixNanos) {
        let from = *self
            .from
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let secs = now.secs_since(from);
        if secs.is_multiple_of(600) {
            self.bar.set_position(secs);
            self.bar.set_message(now.to_string());
        }
    }
}
