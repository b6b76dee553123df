//! Promises that are for each of the routes with most traffic.
//!
//! A service that answers 99 % of its requests within 300 ms may still be slow on the one route that sells
//! something. So the alerts of such an SLO look at each watched route for itself, and are those of the worst.
//! Which routes are watched is asked at every evaluation: those with most traffic in the window behind the
//! time to exhaustion (an hour, for 30 days), by name where they are equal. The budget stays that of all
//! requests: routes are kept for three days only.

use super::alerts::Condition;
use super::board::Board;
use super::model::Slo;
use super::status::BudgetStatus;
use super::workbook;
use crate::cohort::{CohortKey, Level, ObjectiveId};
use std::cmp::Reverse;
use std::sync::Arc;

/// The routes that the promise of a total is for, most traffic first; empty when it is for all requests.
pub(super) fn watched(
    board: &Board,
    objective: ObjectiveId,
    cohort: &CohortKey,
    slo: &Slo,
) -> Vec<Arc<BudgetStatus>> {
    let Some(most) = slo.top_routes.filter(|_| cohort.level == Level::Total) else {
        return Vec::new();
    };
    let window_secs = workbook::exhaustion_window(slo.period_secs);
    let mut routes = board.routes_of(objective, cohort.environment.as_deref());
    by_traffic(&mut routes, window_secs);
    routes.truncate(most);
    routes
}

/// Most traffic in a window first.
pub(super) fn by_traffic(routes: &mut Vec<Arc<BudgetStatus>>, window_secs: u64) {
    let traffic = |status: &BudgetStatus| status.window(window_secs).map_or(0, |w| w.counts.total());
    routes.retain(|route| traffic(route) > 0);
    routes.sort_by(|a, b| {
        let key = |status: &Arc<BudgetStatus>| Reverse(traffic(status));
        key(a).cmp(&key(b)).then_with(|| a.cohort.cmp(&b.cohort))
    });
}

/// The names of routes.
pub(super) fn names(routes: &[Arc<BudgetStatus>]) -> Vec<Arc<str>> {
    let name = |status: &Arc<BudgetStatus>| match &status.cohort.level {
        Level::Route { route } => Some(Arc::clone(route)),
        _ => None,
    };
    routes.iter().filter_map(name).collect()
}

/// What an alert says of the worst of `routes`, each judged by `judge`; `None` without any.
pub(super) fn worst(
    routes: &[Arc<BudgetStatus>],
    judge: impl Fn(&BudgetStatus) -> Condition,
) -> Option<Condition> {
    routes.iter().map(|route| judge(route)).max()
}
