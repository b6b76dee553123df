//! What a release gate would have said, each time that its answer changed.

use super::outcome::instant;
use super::subject::Subject;
use crate::cohort::{CohortId, ObjectiveId};
use crate::policy::{BudgetStatus, GateDecision, GateReason, gate};
use crate::time::UnixNanos;
use serde::Serialize;
use std::collections::HashMap;

/// A gate whose answer is new.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateEdge {
    /// When: the tick that found it.
    #[serde(serialize_with = "instant")]
    pub at: UnixNanos,
    /// Whose budget.
    #[serde(flatten)]
    pub subject: Subject,
    /// From here on it says this.
    pub decision: GateDecision,
    /// Why, a word each; empty when it passes.
    pub reasons: Vec<&'static str>,
    /// The same with figures.
    pub told: Vec<String>,
    /// Share of the budget that is left.
    pub remaining: Option<f64>,
}

/// The latest answer of each gate.
#[derive(Debug, Default)]
pub(super) struct Gates(HashMap<(ObjectiveId, CohortId), GateDecision>);

impl Gates {
    /// The edge that a status makes, if it does. Only totals have a gate.
    pub(super) fn saw(&mut self, now: UnixNanos, status: &BudgetStatus) -> Option<GateEdge> {
        if !status.is_total() {
            return None;
        }
        let (decision, reasons) = gate(status);
        let key = (status.objective_id, status.cohort_id);
        if self.0.insert(key, decision) == Some(decision) {
            return None;
        }
        Some(GateEdge {
            at: now,
            subject: Subject::of(status),
            decision,
            reasons: reasons.iter().map(GateReason::as_str).collect(),
            told: reasons.iter().map(ToString::to_string).collect(),
            remaining: status.remaining,
        })
    }
}
