//! `burngate run`: configuration, logs, gateway.

use super::{EXIT_FAILURE, EXIT_USAGE, RunArgs, complain, complain_of_config};
use crate::config::{Config, ConfigError, FileStorage};
use crate::gateway::{GatewayError, Reload};
use std::process::ExitCode;

/// A core dump would hold every secret in plain text, on a disk that nobody thinks of.
fn forbid_core_dumps() {
    use nix::sys::resource::{Resource, setrlimit};
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        complain(&format!("burngate: core dumps cannot be forbidden: {error}"));
    }
}

/// Runs until a signal ends it.
pub(super) fn run(args: &RunArgs) -> ExitCode {
    forbid_core_dumps();
    let config = match configured(args) {
        Ok(config) => config,
        Err(error) => return complain_of_config(&error),
    };
    let _telemetry = match crate::telemetry::init(&config.telemetry, config.zpages.is_some()) {
        Ok(guard) => guard,
        Err(error) => {
            complain(&format!("burngate: {error}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if config.storage.is_none() {
        tracing::warn!(
            "no file_storage extension: counts and decisions live in memory only, a restart forgets them"
        );
    }
    let again = args.clone();
    match crate::gateway::run(config, &Reload::new(move || configured(&again))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The configuration, with what the command line says on top.
fn configured(args: &RunArgs) -> Result<Config, ConfigError> {
    let mut config = args.config.load()?;
    if let Some(directory) = args
        .data_dir
        .clone()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        config.storage = Some(FileStorage {
            directory,
            ..FileStorage::default()
        });
    }
    Ok(config)
}

fn failed(error: &GatewayError) -> ExitCode {
    complain(&format!("burngate: {error}"));
    ExitCode::from(if error.is_configuration() {
        EXIT_USAGE
    } else {
        EXIT_FAILURE
    })
}
