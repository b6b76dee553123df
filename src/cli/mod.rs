//! The command line: one file a subcommand.
//!
//! A bare `burngate` is `burngate run`, so that one command after a clone does the job. Exit codes follow
//! sysexits as far as scripts care: 0 is success, 64 a wrong command line or configuration, 1 anything that
//! failed after that.

pub mod demo;
mod run;
mod validate;

use crate::config::{Config, ConfigError, ConfigSource};
use clap::{Args, Parser, Subcommand};
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
    /// Show the whole job in one process: a shop, a failing flag, the kill, the recovery
    Demo(DemoArgs),
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// Configuration file; without it the built-in config/gateway.yaml, with every default
    #[arg(long, short, value_name = "FILE", env = "BURNGATE_CONFIG")]
    config: Option<PathBuf>,
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

impl ConfigArgs {
    fn source(&self) -> ConfigSource {
        match &self.config {
            Some(path) if !path.as_os_str().is_empty() => ConfigSource::File(path.clone()),
            _ => ConfigSource::Embedded,
        }
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.source())
    }
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
            Some(Command::Demo(args)) => demo::run(args),
        }
    }
}

/// Says what is wrong on stderr, where logs may not be set up yet.
fn complain(error: &dyn Display) {
    let _ = writeln!(std::io::stderr().lock(), "{error}");
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
        assert_eq!(cli.run.config.source(), ConfigSource::File("a.yaml".into()));
        let cli = Cli::try_parse_from(["burngate", "run", "-c", "a.yaml", "--data-dir", "d"]).unwrap();
        let Some(Command::Run(args)) = cli.command else {
            panic!("not run")
        };
        assert_eq!(args.data_dir, Some("d".into()));
    }

    #[test]
    fn the_help_is_no_wider_than_a_terminal() {
        assert!(TEACH.lines().all(|line| line.len() <= 110), "{TEACH}");
    }
}
