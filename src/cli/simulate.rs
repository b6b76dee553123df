//! `burngate simulate`: how often the kill rule is wrong, and how quickly it is right.

use super::{EXIT_FAILURE, EXIT_USAGE, complain};
use crate::budget::{Target, Threshold};
use crate::simulate::{
    Campaign, Cell, DiscountSource, Progress, Proof, Row, Scenario, Settings, acceptance, write_csv,
    write_json, write_plot, write_proofs, write_table,
};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `simulate`.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// What happens to the service; several mean each of them, as for all axes
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = scenario, default_value = "steady")]
    scenario: Vec<Scenario>,
    /// Requests a second
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = rate, default_value = "100")]
    rate: Vec<f64>,
    /// Share of the requests that has the flag
    #[arg(long, value_name = "SHARE", value_delimiter = ',', value_parser = share, default_value = "0.1")]
    share: Vec<f64>,
    /// How many times as often they fail; 1 is an innocent flag
    #[arg(long, value_name = "X", value_delimiter = ',', value_parser = ratio, default_value = "1,25,100")]
    ratio: Vec<f64>,
    /// Share of bad requests without the flag
    #[arg(long, value_name = "SHARE", value_delimiter = ',', value_parser = share, default_value = "0.0002")]
    base_rate: Vec<f64>,
    /// Mean size of clusters of bad requests
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = cluster, default_value = "1")]
    cluster: Vec<f64>,
    /// Whether clusters have been measured for a day, or nothing is known yet; measured where there are any
    #[arg(long, value_name = "WHICH", value_enum)]
    discount: Option<WhichDiscount>,
    /// Runs of each cell; 400, and 4,000 with --acceptance
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    runs: Option<u64>,
    /// Length of a run
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=720))]
    hours: u64,
    /// When the flag begins to fail, after its change
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    onset: u64,
    /// Another seed, other runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Pairs of variants and SLIs that are watched (and the flags of scenario `fleet`)
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = pairs)]
    pairs: usize,
    /// Chance of a false kill in an epoch, over all pairs
    #[arg(long, value_name = "CHANCE", default_value_t = 0.01, value_parser = share)]
    alpha: f64,
    /// The SLO
    #[arg(long, value_name = "PERCENT", default_value = "99.95%")]
    target: Target,
    /// The burn that is harm
    #[arg(long, value_name = "X", default_value = "7")]
    burn_above: Threshold,
    /// Threads
    #[arg(long, short, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// Play what docs/evidence.md claims instead, and fail if a claim does not hold; 4,000 runs unless --runs
    /// says otherwise
    #[arg(long, conflicts_with_all = ["scenario", "rate", "share", "ratio", "base_rate", "cluster", "discount"])]
    acceptance: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Power curves as text, below the table
    #[arg(long)]
    plot: bool,
    /// Write it here instead of on stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhichDiscount {
    Default,
    Measured,
}

fn scenario(text: &str) -> Result<Scenario, String> {
    let found = Scenario::ALL
        .into_iter()
        .find(|scenario| scenario.as_str() == text);
    found.ok_or_else(|| {
        let names = Scenario::ALL.map(Scenario::as_str).join(", ");
        format!("no such scenario; there are {names}")
    })
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let wrong = || format!("{text:?}: expected a number from {least} to {most}");
    let number: f64 = text.parse().map_err(|_| wrong())?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(wrong())
    }
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, 0.001, 1_000_000.0)
}

fn share(text: &str) -> Result<f64, String> {
    number(text, 1e-9, 0.999_999)
}

fn ratio(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1_000_000.0)
}

fn cluster(text: &str) -> Result<f64, String> {
    number(text, 1.0, 1000.0)
}

fn pairs(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|pairs| (1..=100_000).contains(pairs));
    number.ok_or_else(|| format!("{text:?}: expected a number from 1 to 100000"))
}

/// Simulates, and prints.
pub(super) fn simulate(args: &SimulateArgs) -> ExitCode {
    if args.onset >= args.hours * 3600 {
        complain(&format!(
            "burngate: --onset {} is not within --hours {}; nothing would happen",
            args.onset, args.hours
        ));
        return ExitCode::from(EXIT_USAGE);
    }
    let written = if args.acceptance {
        args.prove()
    } else {
        args.explore()
    };
    match written {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAILURE),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let to = name(args.output.as_ref());
            complain(&format!("burngate: {to}: {error}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

fn name(output: Option<&PathBuf>) -> String {
    output.map_or("stdout".to_owned(), |path| path.display().to_string())
}

impl SimulateArgs {
    fn runs(&self) -> u64 {
        self.runs.unwrap_or(if self.acceptance { 4_000 } else { 400 })
    }

    fn campaign(&self) -> Campaign {
        let mut settings = Settings {
            runs: self.runs(),
            hours: self.hours,
            onset_secs: self.onset,
            seed: self.seed,
            pairs: self.pairs,
            alpha: self.alpha,
            ..Settings::of(self.target)
        };
        settings.rule.burn_above = self.burn_above;
        Campaign {
            settings,
            jobs: self.jobs,
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &scenario in &self.scenario {
            for &rate in &self.rate {
                for &share in &self.share {
                    for &base_rate in &self.base_rate {
                        for &ratio in &self.ratio {
                            cells.extend(self.cluster.iter().map(|&cluster| Cell {
                                scenario,
                                rate,
                                share,
                                ratio,
                                base_rate,
                                cluster,
                                discount: self.discount(scenario, cluster),
                            }));
                        }
                    }
                }
            }
        }
        cells
    }

    fn discount(&self, scenario: Scenario, cluster: f64) -> DiscountSource {
        match self.discount {
            _ if scenario.is_rollout() => DiscountSource::Default,
            Some(WhichDiscount::Measured) => DiscountSource::Measured,
            None if cluster > 1.0 => DiscountSource::Measured,
            Some(WhichDiscount::Default) | None => DiscountSource::Default,
        }
    }

    fn explore(&self) -> io::Result<bool> {
        let (campaign, cells) = (self.campaign(), self.cells());
        let bar = Bar::new(cells.len() as u64 * self.runs());
        let rows: Vec<Row> = cells
            .iter()
            .map(|cell| bar.at(cell, || campaign.row(cell, &bar)))
            .collect();
        bar.0.finish_and_clear();
        self.write(|out| {
            match self.format {
                Format::Table => write_table(&rows, out)?,
                Format::Json => write_json(&campaign.settings, &rows, out)?,
                Format::Csv => write_csv(&rows, out)?,
            }
            if self.plot {
                write_plot(&rows, out)?;
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn prove(&self) -> io::Result<bool> {
        let (campaign, claims) = (self.campaign(), acceptance());
        let bar = Bar::new(claims.iter().map(|(_, cell)| campaign.runs_of_proof(cell)).sum());
        let proofs: Vec<Proof> = claims
            .iter()
            .map(|(claim, cell)| bar.at(cell, || campaign.prove(*claim, cell, &bar)))
            .collect();
        bar.0.finish_and_clear();
        let rows: Vec<Row> = proofs.iter().map(|proof| proof.row.clone()).collect();
        self.write(|out| {
            match self.format {
                Format::Table => write_proofs(&proofs, out)?,
                Format::Json => write_json(&campaign.settings, &proofs, out)?,
                Format::Csv => write_csv(&rows, out)?,
            }
            if self.plot {
                write_plot(&rows, out)?;
            }
            Ok(())
        })?;
        Ok(proofs.iter().all(|proof| proof.holds))
    }

    fn write(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out: BufWriter<Box<dyn Write>> = BufWriter::new(match &self.output {
            None => Box::new(io::stdout().lock()),
            Some(path) => Box::new(std::fs::File::create(path)?),
        });
        content(&mut out)?;
        out.flush()
    }
}

/// A bar on stderr, if somebody looks at it.
struct Bar(ProgressBar);

impl Bar {
    fn new(runs: u64) -> Self {
        // Draws nothing unless stderr is a terminal.
        let bar = ProgressBar::with_draw_target(Some(runs), ProgressDrawTarget::stderr_with_hz(8));
        if let Ok(style) = ProgressStyle::with_template("simulating [{bar:40}] {percent}% {msg}, {eta} to go")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    fn at<T>(&self, cell: &Cell, play: impl FnOnce() -> T) -> T {
        self.0.set_message(cell.scenario.as_str());
        play()
    }
}

impl Progress for Bar {
    fn run_done(&self) {
        self.0.inc(1);
    }
}
