//! From counts, slices and exclusions to the figures of one status: everything but its alerts.

use super::model::Slo;
use super::status::{
    AlertState, BudgetKind, BudgetStatus, PeriodStatus, PlanStatus, TargetStatus, WindowBurn,
};
use super::workbook;
use super::{plan::Planned, set::COMMON_WINDOWS_SECS};
use crate::account::{Figures, Reached};
use crate::budget::{self, Confidence, Method, Share, Slices, Span, Target, burn_interval};
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use crate::ledger::{COHORT_REACH_SECS, Counts, WindowSum};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What identifies a series, resolved.
pub(super) struct Identity {
    pub(super) key: (ObjectiveId, CohortId),
    pub(super) objective: Arc<ObjectiveName>,
    pub(super) cohort: Arc<CohortKey>,
}

/// What a status is worked out from.
#[derive(Clone, Copy)]
pub(super) struct Input<'i> {
    pub(super) now: UnixNanos,
    pub(super) slo: &'i Slo,
    /// The ledger's windows.
    pub(super) windows: &'i [WindowSum],
    pub(super) lifetime: Counts,
    /// What the account knows, of a total that has one.
    pub(super) figures: Option<&'i Figures>,
}

/// The windows of an SLO that counts slices, in seconds: those of its alerts, the common ones, and the one
/// that the time to exhaustion assumes; each a whole number of slices.
pub(super) fn slice_windows(slo: &Slo) -> Vec<u64> {
    let slice = slo.budgeting.rule.slice_secs;
    let mut windows = BTreeSet::from(COMMON_WINDOWS_SECS);
    windows.extend(
        slo.alerts
            .iter()
            .flat_map(|a| a.windows.iter().map(|w| w.window_secs)),
    );
    windows.insert(exhaustion_window(slo));
    let reach = if slice < 300 { COHORT_REACH_SECS } else { u64::MAX };
    windows.retain(|secs| secs % slice == 0 && *secs <= reach);
    windows.into_iter().collect()
}

fn exhaustion_window(slo: &Slo) -> u64 {
    let secs = workbook::exhaustion_window(slo.period_secs);
    if slo.budgeting.is_sliced() {
        secs.div_ceil(slo.budgeting.rule.slice_secs) * slo.budgeting.rule.slice_secs
    } else {
        secs
    }
}

/// A window's figures, of a share that was measured on so many events or slices.
pub(super) fn window(
    sum: WindowSum,
    excluded: Counts,
    slices: Option<Slices>,
    (share, trials): (Share, u64),
    target: Target,
) -> WindowBurn {
    let (interval, confidence) = burn_interval(share, trials, target);
    WindowBurn {
        sum,
        excluded,
        slices,
        share,
        burn: share.consumed(target),
        interval,
        confidence,
    }
}

fn of_events(sum: WindowSum, excluded: Counts, target: Target) -> WindowBurn {
    let kept = sum.counts.less(excluded);
    window(sum, excluded, None, (kept.into(), trials(&sum, kept)), target)
}

/// On how many events `kept` of a window was measured: those of a sampler say less than they stand for.
pub(super) fn trials(sum: &WindowSum, kept: Counts) -> u64 {
    let worth = |s| budget::effective_events(s).unwrap_or(0.0) / sum.counts.total().max(1) as f64;
    let worth = sum.sampled.map_or(1.0, worth);
    // Whole and below 2^53 where it matters; a saturating cast of a figure for people.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "see above"
    )]
    let trials = (kept.total() as f64 * worth).round() as u64;
    if sum.sampled.is_some() {
        trials
    } else {
        kept.total()
    }
}

fn of_slices(reached: &Reached, method: Method, target: Target) -> WindowBurn {
    let trials = reached.sum.counted();
    let mut burn = window(
        sum_of(reached),
        reached.sum.excluded,
        Some(reached.sum),
        (reached.sum.share(method), trials),
        target,
    );
    if reached.sampled {
        (burn.interval, burn.confidence) = of_unknown_sample(burn.confidence);
    }
    burn
}

/// What can be said of figures whose events a sampler kept, when how many is not known: an account keeps what
/// events stand for, slice by slice, and not how many were seen.
fn of_unknown_sample(confidence: Confidence) -> (Option<(f64, f64)>, Confidence) {
    let known = match confidence {
        Confidence::None => Confidence::None,
        Confidence::Low | Confidence::High => Confidence::Low,
    };
    (None, known)
}

fn sum_of(reached: &Reached) -> WindowSum {
    let mut counts = reached.sum.kept;
    counts.add(reached.sum.excluded);
    WindowSum {
        window_secs: reached.window_secs,
        from: reached.from,
        to: reached.to,
        counts,
        sampled: None,
    }
}

impl Input<'_> {
    fn shown(&self, is_total: bool) -> Vec<WindowBurn> {
        let Slo {
            target, budgeting, ..
        } = self.slo;
        let mut shown: Vec<WindowBurn> = if is_total && budgeting.is_sliced() {
            let known = self.figures.iter().flat_map(|f| &f.windows);
            known
                .map(|r| of_slices(r, budgeting.rule.method, *target))
                .collect()
        } else {
            let period = self.rolling_secs();
            let windows = self.windows.iter().filter(|w| Some(w.window_secs) != period);
            windows
                .map(|&sum| of_events(sum, self.excluded(sum.window_secs), *target))
                .collect()
        };
        shown.sort_by_key(|w| w.sum.window_secs);
        shown
    }

    fn rolling_secs(&self) -> Option<u64> {
        match self.slo.period {
            budget::Period::Rolling { secs } => Some(secs),
            budget::Period::Calendar(_) => None,
        }
    }

    fn excluded(&self, window_secs: u64) -> Counts {
        let window = self.figures.and_then(|f| f.window(window_secs));
        window.map_or(Counts::ZERO, |w| w.sum.excluded)
    }

    /// The period's counts, and what else is known of it.
    fn period(&self, is_total: bool) -> Option<(WindowSum, PeriodStatus)> {
        let method = self.slo.budgeting.rule.method;
        if let Some(reached) = self.figures.filter(|_| is_total).and_then(|f| f.period.as_ref()) {
            let sliced = self.slo.budgeting.is_sliced();
            let detail = PeriodStatus {
                excluded: reached.sum.excluded,
                slices: sliced.then_some(reached.sum),
                slices_in_all: if sliced { reached.slices } else { 0 },
                spent: reached.sum.of_period(method, reached.slices),
                trials: if sliced {
                    reached.slices
                } else {
                    reached.sum.kept.total()
                },
                until: reached.until,
                interval: None,
                of_unknown_sample: reached.sampled,
            };
            return Some((sum_of(reached), detail));
        }
        if is_total && self.slo.budgeting.is_sliced() {
            return None;
        }
        let secs = self.rolling_secs()?;
        let sum = self.windows.iter().find(|w| w.window_secs == secs).copied()?;
        let excluded = self.excluded(secs);
        let kept = sum.counts.less(excluded);
        let detail = PeriodStatus {
            excluded,
            spent: kept.into(),
            trials: trials(&sum, kept),
            ..PeriodStatus::default()
        };
        Some((sum, detail))
    }

    /// Everything but the alerts.
    pub(super) fn status(&self, identity: Identity) -> BudgetStatus {
        let is_total = identity.cohort.level == Level::Total;
        let known = (self.shown(is_total), self.period(is_total));
        assemble(self.now, self.slo, identity, known, self.lifetime)
    }
}

/// Where the burn rate of a period lies, and how far it can be trusted.
fn of_period(detail: &PeriodStatus, target: Target) -> (Option<(f64, f64)>, Confidence) {
    let (interval, confidence) = burn_interval(detail.spent, detail.trials, target);
    if detail.of_unknown_sample {
        return of_unknown_sample(confidence);
    }
    (interval, confidence)
}

/// A status of windows and a period that are known already.
pub(super) fn assemble(
    now: UnixNanos,
    slo: &Slo,
    identity: Identity,
    (windows, period): (Vec<WindowBurn>, Option<(WindowSum, PeriodStatus)>),
    lifetime: Counts,
) -> BudgetStatus {
    let is_total = identity.cohort.level == Level::Total;
    let (period, detail) = period.unzip();
    let mut detail = detail.unwrap_or_default();
    let exhaustion_window_secs = exhaustion_window(slo);
    let burn = windows
        .iter()
        .find(|w| w.sum.window_secs == exhaustion_window_secs);
    let share = burn.map_or(Share::default(), |w| w.share);
    let confidence = if period.is_some() {
        let (interval, confidence) = of_period(&detail, slo.target);
        detail.interval = interval;
        confidence
    } else {
        windows
            .last()
            .map_or(Confidence::None, |longest| longest.confidence)
    };
    let of_target = |name: &Arc<str>, target| {
        target_status(slo, Arc::clone(name), target, (period.as_ref(), &detail), share)
    };
    let own = of_target(&slo.name, slo.target);
    let further = slo.targets.iter().filter(|_| period.is_some());
    let targets = further.map(|t| of_target(&t.name, t.target)).collect();
    let is_calendar = slo.period.calendar().is_some();
    BudgetStatus {
        kind: BudgetKind::Service,
        method: slo.budgeting.rule.method,
        slice_secs: (is_total && slo.budgeting.is_sliced()).then_some(slo.budgeting.rule.slice_secs),
        period_kind: slo.period.clone(),
        period_secs: period
            .filter(|_| is_calendar)
            .map_or(slo.period_secs, |p| p.window_secs),
        objective: identity.objective,
        cohort: identity.cohort,
        objective_id: identity.key.0,
        cohort_id: identity.key.1,
        target: slo.target,
        evaluated_at: now,
        windows,
        confidence,
        targets,
        maintenance: slo.maintenance_at(now).map(plan_status),
        peak: slo.peak_at(now).map(plan_status),
        members: Vec::new(),
        dependencies: Vec::new(),
        remaining: own.remaining,
        consumed: own.consumed,
        exhausted: own.exhausted,
        time_to_exhaustion_secs: own.time_to_exhaustion_secs,
        exhaustion_window_secs,
        budget_events: period
            .map(|p| budget::budget_events(slo.target, p.counts.less(detail.excluded).total())),
        budget_minutes: period.map(|p| budget_minutes(slo, &p, &detail)),
        period,
        detail,
        latency: Vec::new(),
        watched_routes: Vec::new(),
        lifetime,
        alerts: Vec::with_capacity(slo.alerts.len()),
        overall: AlertState::NoData,
    }
}

/// Minutes that the budget pays for: of slices those that count, else of the period.
fn budget_minutes(slo: &Slo, period: &WindowSum, detail: &PeriodStatus) -> f64 {
    let secs = if slo.budgeting.is_sliced() {
        detail.slices_in_all * slo.budgeting.rule.slice_secs
    } else {
        period.window_secs
    };
    budget::budget_minutes(slo.target, secs)
}

fn plan_status((planned, span): (&Arc<Planned>, Span)) -> PlanStatus {
    PlanStatus {
        name: Arc::clone(&planned.name),
        until: UnixNanos::from_secs(span.to),
        burn_factor: planned.burn_factor.value(),
        approved_by: Arc::clone(&planned.approved_by),
        reason: Arc::clone(&planned.reason),
    }
}

/// Where the budget of one target stands, and when it is gone at the burn of `share`.
fn target_status(
    slo: &Slo,
    name: Arc<str>,
    target: Target,
    (period, detail): (Option<&WindowSum>, &PeriodStatus),
    share: Share,
) -> TargetStatus {
    let remaining = period.and_then(|_| detail.spent.remaining(target));
    let burn = share.consumed(target).unwrap_or(0.0);
    let gone = |remaining: f64| {
        let period = period?;
        let (Some(until), false) = (detail.until, slo.budgeting.is_sliced()) else {
            let secs = if detail.until.is_some() {
                period.window_secs
            } else {
                slo.period_secs
            };
            return within(
                budget::time_to_exhaustion(remaining, burn, secs),
                detail.until,
                period.to,
            );
        };
        // A calendar period of events has the budget of the events so far, which grows on: only what burns
        // faster than that spends it.
        let so_far = period.to.secs_since(period.from);
        let faster = if remaining > 0.0 {
            (burn - 1.0).max(0.0)
        } else {
            burn
        };
        within(
            budget::time_to_exhaustion(remaining, faster, so_far),
            Some(until),
            period.to,
        )
    };
    TargetStatus {
        name,
        target,
        remaining,
        consumed: period.and_then(|_| detail.spent.consumed(target)),
        exhausted: period.is_some() && detail.spent.exhausted(target),
        time_to_exhaustion_secs: remaining.and_then(gone),
    }
}

/// A budget that is whole again before it is gone is not gone.
fn within(secs: Option<f64>, until: Option<UnixNanos>, now: UnixNanos) -> Option<f64> {
    secs.filter(|&secs| until.is_none_or(|until| secs <= until.secs_since(now) as f64))
}
