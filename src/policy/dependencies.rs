//! How much of a service's burn its calls of others account for.
//!
//! A service's client spans say which calls failed, its server spans which requests did. A call that failed
//! accounts for one failed request, and all of them together for no more than failed: retries and answers
//! from a cache would otherwise make a callee guilty of more than happened. The same events as the service's
//! own, so the same windows; no span is joined to another, which needs no memory of traces.

use super::board::{Board, SeriesKey};
use super::compile_callees::PREFIX;
use super::model::Policy;
use super::set::PolicySet;
use super::status::{BudgetKind, BudgetStatus, DependencyStatus};
use crate::budget::burn_rate;
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use crate::ledger::Counts;
use crate::sli::ObjectiveName;
use std::collections::HashMap;
use std::sync::Arc;

/// Handles of objectives, by name.
pub(super) type Objectives = HashMap<Arc<ObjectiveName>, ObjectiveId>;

fn find(objectives: &Objectives, service: &Arc<str>, slo: &Arc<str>) -> Option<ObjectiveId> {
    let name = ObjectiveName {
        service: Arc::clone(service),
        slo: Arc::clone(slo),
    };
    objectives.get(&name).copied()
}

/// The totals whose figures change with those of `objective`, when that counts calls.
pub(super) fn callers(
    policies: &PolicySet,
    objective: &ObjectiveName,
    cohort: &CohortKey,
    objectives: &Objectives,
    total: CohortId,
) -> Vec<SeriesKey> {
    if !objective.slo.starts_with(PREFIX) || cohort.level != Level::Total {
        return Vec::new();
    }
    let Some((Some(policy), _)) = policies.find(objective, cohort.environment.as_deref()) else {
        return Vec::new();
    };
    let own = policy.slos.iter().filter(|s| !s.name.starts_with(PREFIX));
    own.filter_map(|s| Some((find(objectives, &objective.service, &s.name)?, total)))
        .collect()
}

/// Puts into `status` what it says of dependencies: whose calls it counts, or what calls account for in it.
pub(super) fn tell(policy: &Policy, status: &mut BudgetStatus, objectives: &Objectives, board: &Board) {
    let counts_calls = policy.dependencies.iter().find(|d| d.slo == status.objective.slo);
    if let Some(dependency) = counts_calls {
        status.kind = BudgetKind::Dependency {
            callee: Arc::clone(&dependency.callee),
        };
        return;
    }
    if status.slice_secs.is_some() {
        // Bad slices are no events that a call could account for.
        return;
    }
    for dependency in &policy.dependencies {
        let id = find(objectives, &status.objective.service, &dependency.slo);
        let Some(calls) = id.and_then(|id| board.get(id, status.cohort_id)) else {
            continue;
        };
        // A window that the calls do not have (yet) is not one without calls.
        let windows = status.windows.iter().filter_map(|w| {
            let called = calls.window(w.sum.window_secs)?.counts;
            let kept = w.sum.counts.less(w.excluded);
            let bad = called.bad.min(kept.bad);
            let attributed = Counts {
                good: kept.total().saturating_sub(bad),
                bad,
            };
            Some((
                w.sum.window_secs,
                called,
                bad,
                burn_rate(attributed, status.target),
            ))
        });
        status.dependencies.push(DependencyStatus {
            callee: Arc::clone(&dependency.callee),
            windows: windows.collect(),
        });
    }
}
