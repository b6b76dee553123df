//! One decision about one flag or one deployment: what it says and where it stands.

use super::action::{Action, Actor, Deployment};
use super::life::Life;
use super::proof::Proof;
use crate::ledger::{Counts, TopSignatures};
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};

/// What made a kill rule speak: enough to recompute the verdict from the telemetry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are the policy's own words")]
pub struct Evidence {
    pub service: String,
    pub slo: String,
    pub environment: Option<String>,
    pub sha: Option<String>,
    pub flag: String,
    pub variant: String,
    /// Window of the rule, in seconds, and the interval that was summed.
    pub window_secs: u64,
    pub from: UnixNanos,
    pub to: UnixNanos,
    /// Burn rate of the cohort in the window, and the threshold that it is above.
    pub burn: f64,
    pub burn_above: f64,
    /// How long it has been above, in seconds.
    pub held_secs: u64,
    /// Counts of the cohort and of the flag's other variants on the same service, environment and sha.
    pub cohort: Counts,
    pub control: Counts,
    /// Bad share of the cohort over that of the control; `None` when the control has no bad event.
    pub contrast: Option<f64>,
    /// What the cohort's bad events had in common, most frequent first.
    #[serde(default)]
    pub signatures: TopSignatures,
    /// The statistics, of a rule by evidence.
    #[serde(default)]
    pub proof: Option<Proof>,
}

/// Where a decision stands. Every transition is in the journal before the step that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DecisionState {
    /// The rule is in `propose`: it waits for somebody to approve.
    Proposed {
        /// Nobody approved by then: it is withdrawn.
        until: UnixNanos,
    },
    /// In the journal, nothing sent yet.
    Decided,
    /// Attempt `attempt` is about to leave or has left; after a crash the flag is read before anything is
    /// sent again.
    Sending {
        /// From 1.
        attempt: u32,
    },
    /// The service said "done"; the flag is read until it agrees. Nothing is sent any more.
    Verifying {
        /// The attempt that was answered.
        attempt: u32,
    },
    /// The flag is off: the service said so, and where it can be read back, it was.
    Confirmed {
        /// Read back after the call.
        verified: bool,
        /// It was off before we called.
        already_off: bool,
    },
    /// It cannot be done, or could not within the attempts: a human must look.
    Failed {
        /// Why, without secrets.
        reason: FailureReason,
        /// The service's own words, shortened and scrubbed.
        detail: String,
    },
    /// The rule is in `observe`: recorded, not sent.
    Observed,
    /// Withdrawn before anything was sent.
    Aborted {
        /// Why.
        why: String,
    },
}

/// Why a decision could not be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// 401: the token is wrong or has expired.
    Unauthorized,
    /// 403: the token may not do this.
    Forbidden,
    /// 403 with SKIP_CHANGE_REQUEST and its kin: a human must approve.
    NeedsApproval,
    /// 404: no such flag, project or environment.
    NotFound,
    /// Any other answer that a retry will not change.
    Rejected,
    /// Attempts used up on 5xx, 429 or timeouts.
    Unreachable,
    /// The service says done, the read-back says on.
    NotEffective,
    /// Too old to act on when a call could be made, for instance after a long downtime; the rule decides
    /// anew.
    Expired,
    /// Somebody changed the flag after our call, and it is not in its safe state: they know better.
    Overruled,
}

/// One decision about one flag, or about one deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Derived from exporter, environment, flag and incident number: the same incident has the same id after
    /// a crash.
    pub id: String,
    /// Exporter that carries it out, by its configured name.
    pub exporter: String,
    /// The environment in which the flag is switched.
    pub environment: String,
    /// The flag; empty if it is about a deployment.
    pub flag: String,
    /// The deployment that it is about, if it is not about a flag.
    #[serde(default)]
    pub deployment: Option<Deployment>,
    /// What is done.
    #[serde(default)]
    pub action: Action,
    /// Who decided.
    #[serde(default)]
    pub actor: Actor,
    /// Number of the incident of this exporter, environment and flag, from 1; it increases only after the
    /// former is closed.
    #[serde(default)]
    pub incident: u64,
    /// When it was decided.
    pub decided_at: UnixNanos,
    /// When `state` last changed.
    pub updated_at: UnixNanos,
    /// Why.
    pub evidence: Evidence,
    /// Where it stands.
    pub state: DecisionState,
    /// What came of it, and whose turn it is.
    #[serde(default)]
    pub life: Life,
    /// What happened, in order: (when, what), without secrets, at most 64 entries.
    pub history: Vec<(UnixNanos, String)>,
}

impl Decision {
    /// What it is about: the flag, or `service@sha`.
    pub fn subject(&self) -> String {
        match &self.deployment {
            Some(Deployment { service, sha }) => format!("{service}@{sha}"),
            None => self.flag.clone(),
        }
    }
}

/// Entries kept of a decision's history.
const MAX_HISTORY: usize = 64;

impl Decision {
    /// Adds a line to the history; the first and the last half of its places are kept.
    pub fn tell(&mut self, now: UnixNanos, what: impl Into<String>) {
        if self.history.len() >= MAX_HISTORY {
            self.history.remove(MAX_HISTORY / 2);
        }
        self.history.push((now, what.into()));
    }
}

impl DecisionState {
    /// Whether nothing more will be done about it.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Confirmed { .. } | Self::Failed { .. } | Self::Observed | Self::Aborted { .. }
        )
    }

    /// Whether the delivery has nothing to do for it now: it has ended, or somebody is asked.
    pub const fn is_at_rest(&self) -> bool {
        self.is_final() || matches!(self, Self::Proposed { .. })
    }

    /// The attempt that may have left; 0 before the first.
    pub const fn attempt(&self) -> u32 {
        match self {
            Self::Sending { attempt } | Self::Verifying { attempt } => *attempt,
            _ => 0,
        }
    }

    /// The name in answers and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Proposed { .. } => "proposed",
            Self::Decided => "decided",
            Self::Sending { .. } => "sending",
            Self::Verifying { .. } => "verifying",
            Self::Confirmed { .. } => "confirmed",
            Self::Failed { .. } => "failed",
            Self::Observed => "observed",
            Self::Aborted { .. } => "aborted",
        }
    }
}
