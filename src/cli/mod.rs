//! The command line: one file a subcommand.
//!
//! A bare `burngate` is `burngate run`, so that one command after a clone does the job. Exit codes follow
//! sysexits as far as scripts care: 0 is success, 64 a wrong command line or configuration, 1 anything that
//! failed after that.

mod arguments;
mod audit;
mod components;
pub mod demo;
mod hand;
mod kill;
mod print_config;
mod record;
mod release;
mod replay;
mod run;
mod simulate;
mod validate;

use crate::config::ConfigError;
pub use arguments::ConfigArgs;
pub use audit::AuditArgs;
use clap::{Args, Parser, Subcommand};
pub use kill::{KillArgs, VoteArgs};
pub use record::RecordArgs;
pub use release::ReleaseArgs;
pub use replay::ReplayArgs;
pub use simulate::SimulateArgs;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// A wrong command line or configuration (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// It started, and failed.
pub const EXIT_FAILURE: u8 = 1;

/// Said below `--help`; wrapped by hand, because it holds commands.
const TEACH: &str = "\
First steps:
  burngate demo                     watch a bad flag being found and switched off, in one process
  burngate                          run with every default; no file, no other software needed
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 your-service
                                    send spans: every service gets an availability objective at once
  curl localhost:8055/api/v1/budgets
                                    its budget; `curl localhost:9464/metrics` for Prometheus

Then write down what you promise, in policies/checkout.yaml, and look again:
  burngate validate                 check configuration and policies before anything is bound
  burngate replay spans.jsonl.gz --policy policies/checkout.yaml
                                    what it would have said of recorded telemetry: budgets, alerts, kills

In the place of an OpenTelemetry Collector, with its own configuration file:
  burngate validate --config relay.yaml --unsupported=warn
                                    what would run, and what would be left out
  burngate --config relay.yaml --config local.yaml --set processors.batch.timeout=2s
                                    later files and --set win; mappings merge, lists replace
  burngate components               which components there are; print-config shows what files come to

Ports (all settable):
   4317  OTLP/gRPC in               9464  Prometheus /metrics
   4318  OTLP/HTTP in               8055  API: budgets, cohorts, decisions (HTTP and gRPC, loopback)
                                   13133  health

Exit codes: 0 success, 64 wrong command line or configuration, 1 failed after that.
Every key of the configuration, with its default: config/gateway.yaml";

/// An OpenTelemetry gateway that stops what is burning the error budget.
///
/// Applications send it their OTLP telemetry. It counts good and bad requests per service, deployment and
/// feature flag, publishes error budgets and burn rates, and switches off the flag that is to blame.
#[derive(Debug, Parser)]
#[command(version, after_help = TEACH, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (also without any subcommand)
    Run(RunArgs),
    /// Check a configuration and its policies, and say what they come to
    Validate(ConfigArgs),
    /// List the components that run here, with the names that the Collector has for them
    Components(ComponentsArgs),
    /// Print the configuration as it is after merging and expanding, secrets redacted
    #[command(alias = "print-initial-config")]
    PrintConfig(ConfigArgs),
    /// Show the whole job in one process: a shop, a failing flag, the kill, the recovery
    Demo(DemoArgs),
    /// Play recorded telemetry through policies, and say what would have happened
    Replay(Box<ReplayArgs>),
    /// Play made-up services through the kill rule: how often it is wrong, how quickly it is right
    Simulate(Box<SimulateArgs>),
    /// Verify or print the record of decisions
    Audit(Box<AuditArgs>),
    /// Give a running gateway the counts of a batch job or a script
    Record(Box<RecordArgs>),
    /// Bring a flag that a policy names into its safe state, by hand
    Kill(Box<KillArgs>),
    /// End the cooldown or the hold of a flag; it is not switched on by this
    Release(Box<ReleaseArgs>),
    /// Approve a decision that a rule proposed
    Approve(Box<VoteArgs>),
    /// Decline a decision that a rule proposed
    Reject(Box<VoteArgs>),
}

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Keep the store here, whatever the configuration says; made when missing
    #[arg(long, value_name = "DIR", env = "BURNGATE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

/// Arguments of `components`.
#[derive(Args, Clone, Debug)]
pub struct ComponentsArgs {
    /// A line a component instead of YAML
    #[arg(long, conflicts_with = "unsupported")]
    plain: bool,
    /// Also what runs in a Collector and not here, and what to do instead
    #[arg(long)]
    unsupported: bool,
}

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Give up after this many seconds
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u64).range(20..=3600))]
    pub seconds: u64,
    /// Plain lines instead of the terminal view (also chosen when the output is not a terminal)
    #[arg(long)]
    pub plain: bool,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.execute(),
        Err(error) => {
            // Help and version arrive here too; only the others are mistakes.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            let _ = error.print();
            ExitCode::from(code)
        }
    }
}

impl Cli {
    fn execute(self) -> ExitCode {
        match self.command {
            None => run::run(&self.run),
            Some(Command::Run(args)) => run::run(&args),
            Some(Command::Validate(args)) => validate::validate(&args),
            Some(Command::Components(args)) => components::list(&args),
            Some(Command::PrintConfig(args)) => print_config::print(&args),
            Some(Command::Demo(args)) => demo::run(args),
            Some(Command::Replay(args)) => replay::replay(&args),
            Some(Command::Simulate(args)) => simulate::simulate(&args),
            Some(Command::Audit(args)) => audit::audit(&args),
            Some(Command::Record(args)) => record::record(&args),
            Some(Command::Kill(args)) => kill::kill(&args),
            Some(Command::Release(args)) => release::release(&args),
            Some(Command::Approve(args)) => kill::vote(&args, true),
            Some(Command::Reject(args)) => kill::vote(&args, false),
        }
    }
}

/// Says what is wrong on stderr, where logs may not be set up yet.
fn complain(error: &dyn Display) {
    let _ = writeln!(std::io::stderr().lock(), "{error}");
}

/// Why a gateway was not reached: the client's error, and what lies beneath it.
fn why_not_sent(error: &reqwest::Error) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        told = format!("{told}: {deeper}");
        source = deeper.source();
    }
    told
}

/// A configuration that does not hold: all of it, and how many mistakes there are.
fn complain_of_config(error: &ConfigError) -> ExitCode {
    complain(error);
    let count = error.problems.len();
    let mistakes = if count == 1 {
        "1 mistake".to_owned()
    } else {
        format!("{count} mistakes")
    };
    complain(&format!(
        "burngate: {mistakes} in the configuration, nothing was started"
    ));
    ExitCode::from(EXIT_USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigSource, Unsupported};
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_bare_command_is_run() {
        let cli = Cli::try_parse_from(["burngate"]).unwrap();
        assert!(cli.command.is_none());
        let cli = Cli::try_parse_from(["burngate", "--config=a.yaml"]).unwrap();
        assert_eq!(
            cli.run.config.request().sources,
            [ConfigSource::File("a.yaml".into())]
        );
        let cli = Cli::try_parse_from(["burngate", "run", "-c", "a.yaml", "--data-dir", "d"]).unwrap();
        let Some(Command::Run(args)) = cli.command else {
            panic!("not run")
        };
        assert_eq!(args.data_dir, Some("d".into()));
    }

    #[test]
    fn flags_are_those_of_the_collector() {
        let cli = Cli::try_parse_from([
            "otelcol",
            "--config=/conf/relay.yaml",
            "--config",
            "env:MORE",
            "--config=yaml:processors::batch::timeout: 2s",
            "--set=a.b=c",
            "--set",
            "a::b=d",
            "--feature-gates=-x,y",
            "--unsupported=warn",
        ])
        .unwrap();
        let request = cli.run.config.request();
        assert_eq!(request.sources.len(), 3);
        assert_eq!(request.sources[1], ConfigSource::Env("MORE".to_owned()));
        assert_eq!(request.set, ["a.b=c", "a::b=d"]);
        assert_eq!(request.unsupported, Unsupported::Warn);
        for refused in [
            "--config=https://example.com/x.yaml",
            "--config=env:",
            "--unsupported=drop",
        ] {
            assert!(Cli::try_parse_from(["otelcol", refused]).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_help_is_no_wider_than_a_terminal() {
        assert!(TEACH.lines().all(|line| line.len() <= 110), "{TEACH}");
    }
}
