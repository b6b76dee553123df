//! `burngate print-config`: what all sources come to, secrets redacted.

use super::{ConfigArgs, complain_of_config};
use std::io::Write as _;
use std::process::ExitCode;

/// Prints it on stdout, even where it does not hold: then mistakes are on stderr, and the exit code says so.
pub(super) fn print(args: &ConfigArgs) -> ExitCode {
    match args.request().print() {
        Ok((text, error)) => {
            let _ = write!(std::io::stdout().lock(), "{text}");
            error.map_or(ExitCode::SUCCESS, |error| complain_of_config(&error))
        }
        Err(error) => complain_of_config(&error),
    }
}
