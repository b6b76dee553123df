//! `burngate release`: a flag is the rules' again.
//!
//! It ends a cooldown, a hold, or the wait after a switch without effect. It never switches a flag on: who
//! wants that does it at the flag service.

use super::hand::{HandArgs, run};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// Arguments of `release`.
#[derive(Args, Clone, Debug)]
pub struct ReleaseArgs {
    /// The flag
    #[arg(long, value_name = "FLAG")]
    flag: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The exporter, where there are decisions at several
    #[arg(long, value_name = "NAME")]
    exporter: Option<String>,
    /// The environment, where there are decisions in several
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    hand: HandArgs,
}

/// Ends what holds the flag.
pub(super) fn release(args: &ReleaseArgs) -> ExitCode {
    let body = json!({
        "flag": args.flag,
        "exporter": args.exporter,
        "environment": args.environment,
        "reason": args.reason,
    });
    run(&args.hand, async |gateway| {
        let decision = gateway.post("/api/v1/release", &body).await?;
        let id = decision["id"].as_str().unwrap_or_default();
        Ok(format!("{} is released (decision {id})", args.flag))
    })
}
