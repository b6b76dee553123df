//! What a release gate says of a service's budget: go on, wait for a person, or stop.
//!
//! A change is the usual cause of trouble, so who has little budget left takes fewer risks. Three answers,
//! and not two: without data nobody knows, and a gate that then said pass (or fail) would be wrong half of
//! the time. The thresholds are those of the published budget policies: below a fifth of the budget
//! nothing but repairs goes out, below a half somebody signs. Reasons are all told, not only the first.

use super::model::Severity;
use super::status::BudgetStatus;
use std::fmt;
use std::sync::Arc;

/// Below this share of the budget left, releases stop.
pub const FAIL_BELOW: f64 = 0.2;
/// Below this share left, somebody has to sign.
pub const HOLD_BELOW: f64 = 0.5;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateDecision {
    /// Go on.
    Pass,
    /// Wait: for data, or for somebody who signs.
    Hold,
    /// Stop.
    Fail,
}

impl GateDecision {
    /// The word in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Hold => "hold",
            Self::Fail => "fail",
        }
    }
}

/// Why it is not to pass.
#[derive(Clone, Debug, PartialEq)]
pub enum GateReason {
    /// The period has no event: nobody knows.
    NoData,
    /// The budget is spent.
    BudgetSpent,
    /// Less than [`FAIL_BELOW`] or [`HOLD_BELOW`] of it is left.
    BudgetLow {
        /// The share that is left.
        remaining: f64,
        /// The threshold that it is below.
        below: f64,
    },
    /// An alert fires that wakes somebody, or that makes a ticket.
    Alert {
        /// Its name.
        name: Arc<str>,
        /// How urgent it is.
        severity: Severity,
    },
}

impl GateReason {
    /// The answer that this reason alone asks for.
    pub fn asks_for(&self) -> GateDecision {
        match self {
            Self::NoData => GateDecision::Hold,
            Self::BudgetSpent => GateDecision::Fail,
            Self::BudgetLow { below, .. } if *below <= FAIL_BELOW => GateDecision::Fail,
            Self::BudgetLow { .. } => GateDecision::Hold,
            Self::Alert { severity, .. } => match severity {
                Severity::Critical | Severity::Page => GateDecision::Fail,
                Severity::Ticket | Severity::Warning | Severity::Info => GateDecision::Hold,
            },
        }
    }

    /// The kind of reason, in a word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::BudgetSpent => "budget_spent",
            Self::BudgetLow { .. } => "budget_low",
            Self::Alert { .. } => "alert",
        }
    }
}

impl fmt::Display for GateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoData => f.write_str("no event in the budget's period"),
            Self::BudgetSpent => f.write_str("the budget is spent"),
            Self::BudgetLow { remaining, below } => write!(
                f,
                "{:.1} % of the budget is left, less than {:.0} %",
                remaining * 100.0,
                below * 100.0
            ),
            Self::Alert { name, severity } => write!(f, "{name} fires ({})", severity.as_str()),
        }
    }
}

/// Strictly, but for what a ratio of floats may be off by.
fn is_below(remaining: f64, threshold: f64) -> bool {
    remaining < threshold - 1e-9
}

/// What a gate says of a service's total, and every reason; none when it passes.
pub fn gate(status: &BudgetStatus) -> (GateDecision, Vec<GateReason>) {
    let mut reasons = Vec::new();
    match status.remaining {
        None => reasons.push(GateReason::NoData),
        Some(_) if status.exhausted => reasons.push(GateReason::BudgetSpent),
        Some(remaining) => {
            let below = [FAIL_BELOW, HOLD_BELOW]
                .into_iter()
                .find(|below| is_below(remaining, *below));
            reasons.extend(below.map(|below| GateReason::BudgetLow { remaining, below }));
        }
    }
    let firing = status.alerts.iter().filter(|alert| alert.is_firing());
    reasons.extend(firing.map(|alert| GateReason::Alert {
        name: Arc::clone(&alert.name),
        severity: alert.severity,
    }));
    let decision = reasons.iter().map(GateReason::asks_for).max();
    (decision.unwrap_or(GateDecision::Pass), reasons)
}
