//! From counts to statuses, once a tick.
//!
//! Only what changed is worked on: the ledger marks a series when a count comes in or leaves a window, so a
//! series that it does not name has the same burn as before. What can change without a count is an alert's
//! `for` timer; series with one running are looked at again at every tick.

use super::alerts::{self, MAX_GAP_SECS, Phase};
use super::board::{Board, SeriesKey};
use super::model::Slo;
use super::routes;
use super::set::PolicySet;
use super::status::{AlertState, BudgetStatus, WindowBurn};
use super::workbook;
use crate::budget;
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId, Registry};
use crate::ledger::{Counts, Latencies, SeriesView, WindowSum};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// What the registry knows of handles.
pub trait Names {
    /// The objective behind a handle.
    fn objective(&self, id: ObjectiveId) -> Option<Arc<ObjectiveName>>;
    /// The cohort behind a handle; `None` once it has left.
    fn cohort(&self, id: CohortId) -> Option<Arc<CohortKey>>;
}

impl Names for Registry {
    fn objective(&self, id: ObjectiveId) -> Option<Arc<ObjectiveName>> {
        self.objective(id)
    }

    fn cohort(&self, id: CohortId) -> Option<Arc<CohortKey>> {
        self.key(id)
    }
}

/// Turns views into statuses and keeps the alerts' timers.
#[derive(Debug)]
pub struct Evaluator {
    board: Arc<Board>,
    latencies: Option<Arc<Mutex<Latencies>>>,
    phases: HashMap<SeriesKey, Vec<Phase>, foldhash::fast::RandomState>,
    pending: BTreeSet<SeriesKey>,
    last: Option<UnixNanos>,
}

/// What identifies a series, resolved.
struct Identity {
    key: SeriesKey,
    objective: Arc<ObjectiveName>,
    cohort: Arc<CohortKey>,
}

impl Evaluator {
    /// An evaluator that keeps its results on `board`.
    pub fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            latencies: None,
            phases: HashMap::default(),
            pending: BTreeSet::new(),
            last: None,
        }
    }

    /// The same, with quantiles of durations from `latencies`.
    #[must_use]
    pub fn with_latencies(mut self, latencies: Arc<Mutex<Latencies>>) -> Self {
        self.latencies = Some(latencies);
        self
    }

    /// Where the results are.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Works out the statuses of `views` and of every series with a running timer, puts them on the board and
    /// returns them.
    ///
    /// Call it once a tick, also with no view. When the ledger hands over its changes in portions, collect
    /// them first: each call is one evaluation.
    pub fn apply(
        &mut self,
        now: UnixNanos,
        views: &[SeriesView],
        names: &impl Names,
        policies: &PolicySet,
    ) -> Vec<Arc<BudgetStatus>> {
        let gap = self.last.is_none_or(|last| now.secs_since(last) > MAX_GAP_SECS);
        self.last = Some(now);
        let mut waiting = std::mem::take(&mut self.pending);
        let mut changed = Vec::with_capacity(views.len());
        // Totals come last: what they say may rest on their routes.
        let mut totals = Vec::new();
        for view in views {
            let key = (view.objective, view.cohort);
            waiting.remove(&key);
            let (Some(objective), Some(cohort)) =
                (names.objective(view.objective), names.cohort(view.cohort))
            else {
                self.forget(view.objective, view.cohort);
                continue;
            };
            let identity = Identity {
                key,
                objective,
                cohort,
            };
            if identity.cohort.level == Level::Total {
                totals.push((identity, view));
                continue;
            }
            changed.extend(self.evaluate(now, gap, identity, &view.windows, view.lifetime, policies));
        }
        for (identity, view) in totals {
            changed.extend(self.evaluate(now, gap, identity, &view.windows, view.lifetime, policies));
        }
        for (objective, cohort) in waiting {
            if let Some(former) = self.board.get(objective, cohort) {
                changed.extend(self.again(now, gap, &former, policies));
            }
        }
        changed
    }

    /// Works out every series anew from the counts last seen; call it when the policies have changed.
    pub fn reapply(&mut self, now: UnixNanos, policies: &PolicySet) -> Vec<Arc<BudgetStatus>> {
        self.phases.clear();
        self.pending.clear();
        let all = self.board.snapshot();
        all.iter()
            .filter_map(|former| self.again(now, true, former, policies))
            .collect()
    }

    /// Drops a series whose cohort has left.
    pub fn forget(&mut self, objective: ObjectiveId, cohort: CohortId) {
        self.phases.remove(&(objective, cohort));
        self.pending.remove(&(objective, cohort));
        self.board.remove(objective, cohort);
    }

    fn again(
        &mut self,
        now: UnixNanos,
        gap: bool,
        former: &BudgetStatus,
        policies: &PolicySet,
    ) -> Option<Arc<BudgetStatus>> {
        let identity = Identity {
            key: (former.objective_id, former.cohort_id),
            objective: Arc::clone(&former.objective),
            cohort: Arc::clone(&former.cohort),
        };
        let windows: Vec<WindowSum> = former
            .windows
            .iter()
            .map(|w| w.sum)
            .chain(former.period)
            .collect();
        self.evaluate(now, gap, identity, &windows, former.lifetime, policies)
    }

    fn evaluate(
        &mut self,
        now: UnixNanos,
        gap: bool,
        identity: Identity,
        windows: &[WindowSum],
        lifetime: Counts,
        policies: &PolicySet,
    ) -> Option<Arc<BudgetStatus>> {
        let key = identity.key;
        let Some((_, slo)) = policies.find(&identity.objective, identity.cohort.environment.as_deref())
        else {
            self.forget(key.0, key.1);
            return None;
        };
        let former = self.board.get(key.0, key.1);
        let phases = self.phases.entry(key).or_default();
        phases.resize(slo.alerts.len(), Phase::Inactive);
        let watched = routes::watched(&self.board, key.0, &identity.cohort, slo);
        let mut status = figures(now, identity, slo, windows, lifetime);
        status.watched_routes = routes::names(&watched);
        if let Some(latencies) = self.latencies.as_ref().filter(|_| slo.sli.detail.quantiles) {
            let latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            status.latency = latencies.all(now, key.0, key.1);
        }
        for (i, (alert, phase)) in slo.alerts.iter().zip(phases.iter_mut()).enumerate() {
            let own = || alerts::condition(alert, slo.target, |w| sum_of(windows, w));
            let condition = routes::worst(&watched, alert, slo.target).unwrap_or_else(own);
            *phase = phase.step(now, condition, alert.for_secs, gap);
            let former = former
                .as_ref()
                .and_then(|f| f.alerts.get(i))
                .filter(|a| a.name == alert.name);
            status
                .alerts
                .push(alerts::status(alert, *phase, condition, now, former));
        }
        if phases.iter().any(|p| p.is_pending()) {
            self.pending.insert(key);
        } else {
            self.pending.remove(&key);
        }
        status.overall = overall(&status);
        let status = Arc::new(status);
        self.board.put(Arc::clone(&status));
        Some(status)
    }
}

fn sum_of(windows: &[WindowSum], window_secs: u64) -> Option<Counts> {
    windows
        .iter()
        .find(|w| w.window_secs == window_secs)
        .map(|w| w.counts)
}

/// Everything but the alerts.
fn figures(
    now: UnixNanos,
    identity: Identity,
    slo: &Slo,
    windows: &[WindowSum],
    lifetime: Counts,
) -> BudgetStatus {
    let target = slo.target;
    let period = windows.iter().find(|w| w.window_secs == slo.period_secs).copied();
    let remaining = period.and_then(|p| budget::remaining(p.counts, target));
    let exhaustion_window_secs = workbook::exhaustion_window(slo.period_secs);
    let burn = sum_of(windows, exhaustion_window_secs).and_then(|c| budget::burn_rate(c, target));
    let time_to_exhaustion_secs =
        remaining.and_then(|r| budget::time_to_exhaustion(r, burn.unwrap_or(0.0), slo.period_secs));
    let mut shown: Vec<WindowBurn> = windows
        .iter()
        .filter(|w| w.window_secs != slo.period_secs)
        .map(|&sum| WindowBurn {
            sum,
            burn: budget::burn_rate(sum.counts, target),
        })
        .collect();
    shown.sort_by_key(|w| w.sum.window_secs);
    BudgetStatus {
        objective: identity.objective,
        cohort: identity.cohort,
        objective_id: identity.key.0,
        cohort_id: identity.key.1,
        target,
        period_secs: slo.period_secs,
        evaluated_at: now,
        windows: shown,
        period,
        remaining,
        consumed: period.and_then(|p| budget::consumed(p.counts, target)),
        exhausted: period.is_some_and(|p| budget::exhausted(p.counts, target)),
        time_to_exhaustion_secs,
        exhaustion_window_secs,
        budget_events: period
            .map(|p| budget::budget_events(target, p.counts.good.saturating_add(p.counts.bad))),
        budget_minutes: period.map(|_| budget::budget_minutes(target, slo.period_secs)),
        latency: Vec::new(),
        watched_routes: Vec::new(),
        lifetime,
        alerts: Vec::with_capacity(slo.alerts.len()),
        overall: AlertState::NoData,
    }
}

/// The most severe of the alerts and the budget. Without alerts the windows say whether there is data.
fn overall(status: &BudgetStatus) -> AlertState {
    if status.exhausted {
        return AlertState::BudgetExhausted;
    }
    let by_windows = || {
        let any = status.windows.iter().any(|w| w.burn.is_some());
        if any {
            AlertState::Healthy
        } else {
            AlertState::NoData
        }
    };
    status
        .alerts
        .iter()
        .map(|a| a.state)
        .max()
        .unwrap_or_else(by_windows)
}
