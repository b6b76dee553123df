//! `burngate kill`, `approve` and `reject`: a hand on a flag.
//!
//! The command ends when the flag is in its safe state, not when the gateway has heard of it: who runs this
//! does so in an incident, and the exit code must mean something.

use super::EXIT_FAILURE;
use super::hand::{Failure, HandArgs, run};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `kill`.
#[derive(Args, Clone, Debug)]
pub struct KillArgs {
    /// The flag; a policy must have a kill switch for it
    #[arg(long, value_name = "FLAG")]
    flag: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The service whose policy names it, where several do
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The exporter at which it is switched, where several could
    #[arg(long, value_name = "NAME")]
    exporter: Option<String>,
    /// The environment, where there are several
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    hand: HandArgs,
}

/// Arguments of `approve` and `reject`.
#[derive(Args, Clone, Debug)]
pub struct VoteArgs {
    /// The decision, as /api/v1/decisions has it
    #[arg(value_name = "ID")]
    id: String,
    /// Why; `reject` needs it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    hand: HandArgs,
}

/// Brings a flag into its safe state.
pub(super) fn kill(args: &KillArgs) -> ExitCode {
    let body = json!({
        "flag": args.flag,
        "service": args.service,
        "exporter": args.exporter,
        "environment": args.environment,
        "reason": args.reason,
    });
    run(&args.hand, async |gateway| {
        let decision = gateway.post("/api/v1/kill", &body).await?;
        let id = id_of(&decision)?;
        if args.no_wait {
            return Ok(format!("decision {id} is on its way"));
        }
        gateway.follow(&id).await
    })
}

/// Approves a proposal, or declines it.
pub(super) fn vote(args: &VoteArgs, approve: bool) -> ExitCode {
    let word = if approve { "approve" } else { "reject" };
    // Ids are hexadecimal; anything else must not become part of a path.
    if !args.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || args.id.is_empty() {
        super::complain(&format!("burngate: {:?} is no id of a decision", args.id));
        return ExitCode::from(super::EXIT_USAGE);
    }
    let path = format!("/api/v1/decisions/{}/{word}", args.id);
    run(&args.hand, async |gateway| {
        let decision = gateway.post(&path, &json!({ "reason": args.reason })).await?;
        let id = id_of(&decision)?;
        if !approve {
            return Ok(format!("decision {id} is declined"));
        }
        if args.no_wait {
            return Ok(format!("decision {id} is on its way"));
        }
        gateway.follow(&id).await
    })
}

fn id_of(decision: &Value) -> Result<String, Failure> {
    let id = decision["id"].as_str().map(ToOwned::to_owned);
    id.ok_or_else(|| ("the answer names no decision".to_owned(), EXIT_FAILURE))
}
