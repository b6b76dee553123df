//! From counts to statuses, once a tick.
//!
//! Only what changed is worked on: the ledger marks a series when a count comes in or leaves a window, so a
//! series that it does not name has the same burn as before. What can change without a count is an alert's
//! `for` timer; series with one running are looked at again at every tick.

use super::alerts::{self, Condition, MAX_GAP_SECS, Phase};
use super::board::{Board, SeriesKey};
use super::dependencies;
use super::figures::{Identity, Input};
use super::model::{Alert, AlertWindow, Slo};
use super::routes;
use super::set::PolicySet;
use super::status::{AlertState, BudgetKind, BudgetStatus, HeldBack};
use crate::account::Accounts;
use crate::budget::{Share, Threshold, is_budget_event, with_peak};
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
    /// Objectives that were seen, by name: a service's budget asks for those of its calls.
    objectives: HashMap<Arc<ObjectiveName>, ObjectiveId>,
    none: Accounts,
    last: Option<UnixNanos>,
    /// Whether the evaluation before this one is too long ago for timers to run on.
    gap: bool,
}

impl Evaluator {
    /// An evaluator that keeps its results on `board`.
    pub fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            latencies: None,
            phases: HashMap::default(),
            pending: BTreeSet::new(),
            objectives: HashMap::new(),
            none: Accounts::new(0),
            last: None,
            gap: true,
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

    /// [`Self::apply_with`] where no total needs an account.
    pub fn apply(
        &mut self,
        now: UnixNanos,
        views: &[SeriesView],
        names: &impl Names,
        policies: &PolicySet,
    ) -> Vec<Arc<BudgetStatus>> {
        let none = std::mem::replace(&mut self.none, Accounts::new(0));
        let changed = self.apply_with(now, views, names, policies, (&none, &[]));
        self.none = none;
        changed
    }

    /// Works out the statuses of `views`, of every series with a running timer and of those whose accounts
    /// were `touched`, puts them on the board and returns them.
    ///
    /// Call it once a tick, also with no view. When the ledger hands over its changes in portions, collect
    /// them first: each call is one evaluation.
    pub fn apply_with(
        &mut self,
        now: UnixNanos,
        views: &[SeriesView],
        names: &impl Names,
        policies: &PolicySet,
        (accounts, touched): (&Accounts, &[SeriesKey]),
    ) -> Vec<Arc<BudgetStatus>> {
        self.gap = self.last.is_none_or(|last| now.secs_since(last) > MAX_GAP_SECS);
        self.last = Some(now);
        let mut waiting = std::mem::take(&mut self.pending);
        waiting.extend(touched);
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
            if !self.objectives.contains_key(&objective) {
                self.objectives.insert(Arc::clone(&objective), view.objective);
            }
            waiting.extend(dependencies::callers(
                policies,
                &objective,
                &cohort,
                &self.objectives,
                key.1,
            ));
            let identity = Identity {
                key,
                objective,
                cohort,
            };
            if identity.cohort.level == Level::Total {
                totals.push((identity, view));
                continue;
            }
            let counted = (view.windows.as_slice(), view.lifetime);
            changed.extend(self.evaluate(now, identity, counted, policies, accounts));
        }
        for (identity, view) in totals {
            let counted = (view.windows.as_slice(), view.lifetime);
            changed.extend(self.evaluate(now, identity, counted, policies, accounts));
        }
        for (objective, cohort) in waiting {
            if let Some(former) = self.board.get(objective, cohort) {
                changed.extend(self.again(now, &former, policies, accounts));
            }
        }
        changed
    }

    /// Works out every series anew from the counts last seen; call it when the policies have changed.
    pub fn reapply(&mut self, now: UnixNanos, policies: &PolicySet) -> Vec<Arc<BudgetStatus>> {
        self.phases.clear();
        self.pending.clear();
        self.gap = true;
        let all = self.board.snapshot();
        let none = Accounts::new(0);
        all.iter()
            .filter_map(|former| self.again(now, former, policies, &none))
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
        former: &BudgetStatus,
        policies: &PolicySet,
        accounts: &Accounts,
    ) -> Option<Arc<BudgetStatus>> {
        let identity = Identity {
            key: (former.objective_id, former.cohort_id),
            objective: Arc::clone(&former.objective),
            cohort: Arc::clone(&former.cohort),
        };
        if former.kind == BudgetKind::Journey {
            // Its parts are not here; see `composites`.
            return None;
        }
        // The ledger's windows, of which a rolling period is one. Slices come from their account.
        let rolling = former.period.filter(|_| former.detail.until.is_none());
        let windows: Vec<WindowSum> = former.windows.iter().map(|w| w.sum).chain(rolling).collect();
        self.evaluate(now, identity, (&windows, former.lifetime), policies, accounts)
    }

    fn evaluate(
        &mut self,
        now: UnixNanos,
        identity: Identity,
        (windows, lifetime): (&[WindowSum], Counts),
        policies: &PolicySet,
        accounts: &Accounts,
    ) -> Option<Arc<BudgetStatus>> {
        let key = identity.key;
        let Some((policy, slo)) = policies.find(&identity.objective, identity.cohort.environment.as_deref())
        else {
            self.forget(key.0, key.1);
            return None;
        };
        let input = Input {
            now,
            slo,
            windows,
            lifetime,
            figures: accounts.figures(key),
        };
        let mut status = input.status(identity);
        if let Some(policy) = policy.filter(|p| !p.dependencies.is_empty() && status.is_total()) {
            dependencies::tell(policy, &mut status, &self.objectives, &self.board);
        }
        Some(self.judge(now, slo, status))
    }

    /// Works out the alerts of a status whose figures stand, and puts it on the board.
    pub(super) fn judge(&mut self, now: UnixNanos, slo: &Slo, mut status: BudgetStatus) -> Arc<BudgetStatus> {
        let key = (status.objective_id, status.cohort_id);
        let former = self.board.get(key.0, key.1);
        let phases = self.phases.entry(key).or_default();
        phases.resize(slo.alerts.len(), Phase::Inactive);
        let watched = routes::watched(&self.board, key.0, &status.cohort, slo);
        status.watched_routes = routes::names(&watched);
        if let Some(latencies) = self.latencies.as_ref().filter(|_| slo.sli.detail.quantiles) {
            let latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            status.latency = latencies.all(now, key.0, key.1);
        }
        let peaks = Peaks::of(slo, now);
        for (i, (alert, phase)) in slo.alerts.iter().zip(phases.iter_mut()).enumerate() {
            let judge = |of: &BudgetStatus| {
                alerts::condition(alert, slo.target, |w| share_of(of, w), |w| peaks.threshold(w))
            };
            let mut condition = routes::worst(&watched, judge).unwrap_or_else(|| judge(&status));
            let held_back = held_back(slo, alert, &status, &peaks).filter(|_| condition == Condition::Above);
            if held_back.is_some() {
                condition = Condition::Below;
            }
            *phase = phase.step(now, condition, alert.for_secs, self.gap);
            let former = former
                .as_ref()
                .and_then(|f| f.alerts.get(i))
                .filter(|a| a.name == alert.name);
            let shown = alerts::status(alert, *phase, condition, now, former, held_back);
            status.alerts.push(shown);
        }
        if phases.iter().any(|p| p.is_pending()) {
            self.pending.insert(key);
        } else {
            self.pending.remove(&key);
        }
        status.overall = overall(&status);
        let status = Arc::new(status);
        self.board.put(Arc::clone(&status));
        status
    }
}

fn share_of(status: &BudgetStatus, window_secs: u64) -> Option<Share> {
    let window = status.windows.iter().find(|w| w.sum.window_secs == window_secs);
    let period = status.period.filter(|p| p.window_secs == window_secs);
    window
        .map(|w| w.share)
        .or_else(|| period.map(|_| status.detail.spent))
}

/// The peaks that the windows of an SLO's alerts reach into.
struct Peaks {
    now: u64,
    spans: Vec<(crate::budget::Span, Threshold)>,
}

impl Peaks {
    fn of(slo: &Slo, now: UnixNanos) -> Self {
        let windows = slo
            .alerts
            .iter()
            .flat_map(|a| a.windows.iter().map(|w| w.window_secs));
        let longest = windows.max().filter(|_| !slo.plans.peaks.is_empty());
        Self {
            now: now.secs(),
            spans: longest.map_or_else(Vec::new, |secs| slo.peaks_within(now, secs)),
        }
    }

    /// The threshold of a window: raised by the part of it that lies in a peak. Peaks that overlap each raise
    /// what the others left.
    fn threshold(&self, window: &AlertWindow) -> Threshold {
        let from = self.now.saturating_sub(window.window_secs);
        let raise = |threshold, (span, factor): &(crate::budget::Span, Threshold)| {
            with_peak(
                threshold,
                *factor,
                span.overlap(from, self.now),
                window.window_secs,
            )
        };
        self.spans.iter().fold(window.burn_above, raise)
    }
}

/// What keeps an alert back whose burn may be above: too few bad events, for a service of so little traffic.
fn held_back(slo: &Slo, alert: &Alert, status: &BudgetStatus, peaks: &Peaks) -> Option<HeldBack> {
    let rule = slo.low_traffic;
    if rule.min_bad <= 1 && !rule.budget_events {
        return None;
    }
    let longest = alert.windows.iter().max_by_key(|w| w.window_secs)?;
    let window = status
        .windows
        .iter()
        .find(|w| w.sum.window_secs == longest.window_secs);
    let bad = window.map_or(0, |w| w.sum.counts.less(w.excluded).bad);
    // One error that a sampler kept in a hundred is one piece of evidence, whatever it stands for.
    let seen = window.map_or(0, |w| seen_bad(&w.sum, bad));
    if seen < rule.min_bad.min(bad) {
        let needed = rule.min_bad as f64;
        return Some(HeldBack { bad: seen, needed });
    }
    let mut needed = rule.min_bad as f64;
    let mut enough = bad >= rule.min_bad;
    let events = status
        .period
        .map(|p| p.counts.less(status.detail.excluded).total());
    if let Some(events) = events.filter(|_| rule.budget_events && !slo.budgeting.is_sliced()) {
        let target = alert.of_target.unwrap_or(slo.target);
        let (threshold, lengths) = (peaks.threshold(longest), (longest.window_secs, slo.period_secs));
        enough &= is_budget_event(bad, threshold, target, lengths, events);
        let spent = threshold.value() * longest.window_secs as f64 / slo.period_secs as f64;
        needed = needed.max(spent * target.budget_ratio() * events as f64);
    }
    (!enough).then_some(HeldBack { bad, needed })
}

/// How many bad events were seen for the `kept` ones that a window counts.
fn seen_bad(window: &WindowSum, kept: u64) -> u64 {
    let (seen, counted) = (window.seen().bad, window.counts.bad);
    if seen == counted || counted == 0 {
        return kept;
    }
    let part = (u128::from(seen) * u128::from(kept)).div_ceil(u128::from(counted));
    u64::try_from(part).unwrap_or(u64::MAX)
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
