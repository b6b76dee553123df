//! `burngate audit`: is the record of decisions whole, and what does it say.

mod export;
mod source;
mod verify;

use export::ExportArgs;
use verify::VerifyArgs;

use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `audit`.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Check that nothing of the record was changed, left out, put in, moved or cut off
    Verify(VerifyArgs),
    /// Print the record, as lines of JSON or as OTLP log events
    Export(ExportArgs),
}

/// Does what `args` say.
pub(super) fn audit(args: &AuditArgs) -> ExitCode {
    match &args.command {
        Command::Verify(args) => verify::verify(args),
        Command::Export(args) => export::export(args),
    }
}
