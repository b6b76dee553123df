//! What is known of one budget series: the answer that gauges, the API and the kill rules read.

use super::model::Severity;
use crate::budget::{Confidence, Method, Period, Share, Slices, Target};
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use crate::ledger::{Counts, LatencyWindow, WindowSum};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::sync::Arc;

/// How urgent a series is; the most severe wins, in the order of the discriminants, which are what
/// `slo_alert_state` shows.
///
/// The workbook's pairs map to: 14.4 over 1h and 5m `CriticalBurn`, 6 over 6h and 30m `FastBurn`, 3 over 24h
/// and 2h and 1 over 3d and 6h `SlowBurn` (and so for other periods). An alert of a policy's own maps by its
/// severity: `critical` to `CriticalBurn`, `page` to `FastBurn`, `ticket`, `warning` and `info` to
/// `SlowBurn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum AlertState {
    /// No event in any window: neither good nor bad.
    NoData = -1,
    /// Events, and no alert.
    Healthy = 0,
    /// A ticket's worth of burn.
    SlowBurn = 1,
    /// Worth a page.
    FastBurn = 2,
    /// Worth a page now.
    CriticalBurn = 3,
    /// The period's budget is spent.
    BudgetExhausted = 4,
}

impl AlertState {
    /// The figure on gauges.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The name in answers and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::Healthy => "healthy",
            Self::SlowBurn => "slow_burn",
            Self::FastBurn => "fast_burn",
            Self::CriticalBurn => "critical_burn",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }
}

impl std::fmt::Display for AlertState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One window: its counts and the burn rate that they make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowBurn {
    /// Everything that was counted and the interval that it is exact for, what is excluded included.
    pub sum: WindowSum,
    /// How much of it maintenance windows and corrections leave out.
    pub excluded: Counts,
    /// Its slices, of a total that is counted by slices.
    pub slices: Option<Slices>,
    /// The part that is bad.
    pub share: Share,
    /// Burn rate; `None` without events that count.
    pub burn: Option<f64>,
    /// Where the burn rate lies with 95 % confidence.
    pub interval: Option<(f64, f64)>,
    /// How far it can be trusted.
    pub confidence: Confidence,
}

/// What the budget's period says besides its counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeriodStatus {
    /// How much of the counts is excluded.
    pub excluded: Counts,
    /// Its slices so far.
    pub slices: Option<Slices>,
    /// Slices that the whole period has and that count.
    pub slices_in_all: u64,
    /// The part of the budget's events or slices that is bad.
    pub spent: Share,
    /// When a calendar period ends and the budget is whole again.
    pub until: Option<UnixNanos>,
    /// On how many events or slices that was measured.
    pub trials: u64,
    /// A sampler kept some of the events and nobody knows how many, so that no interval can be stated.
    pub of_unknown_sample: bool,
    /// Where the burn rate of the period lies with 95 % confidence.
    pub interval: Option<(f64, f64)>,
}

/// Where the budget of a further target stands.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetStatus {
    /// Its name.
    pub name: Arc<str>,
    /// The target.
    pub target: Target,
    /// As of the SLO's own target.
    pub remaining: Option<f64>,
    /// As of the SLO's own target.
    pub consumed: Option<f64>,
    /// As of the SLO's own target.
    pub exhausted: bool,
    /// As of the SLO's own target.
    pub time_to_exhaustion_secs: Option<f64>,
}

/// A maintenance window or a peak that is on.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanStatus {
    /// Its name.
    pub name: Arc<str>,
    /// When it ends.
    pub until: UnixNanos,
    /// Of a peak: what thresholds are multiplied by.
    pub burn_factor: f64,
    /// Who agreed to it.
    pub approved_by: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

/// One part of a composite.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberStatus {
    /// Its service.
    pub service: Arc<str>,
    /// Its SLO.
    pub slo: Arc<str>,
    /// How much it weighs.
    pub weight: u32,
    /// Its own events of the composite's period, or of its longest window.
    pub counts: Counts,
}

/// How much of a service's burn its calls of another one account for.
#[derive(Clone, Debug, PartialEq)]
pub struct DependencyStatus {
    /// The service that is called.
    pub callee: Arc<str>,
    /// For each window: its length, the calls, how many bad events they account for, and the burn rate that
    /// these make.
    pub windows: Vec<(u64, Counts, u64, Option<f64>)>,
}

/// What an alert waits for although the burn is above its thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldBack {
    /// Bad events in its longest window.
    pub bad: u64,
    /// How many there must be.
    pub needed: f64,
}

/// What a status is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BudgetKind {
    /// A service, or a cohort of it.
    #[default]
    Service,
    /// A composite over services.
    Journey,
    /// The calls of a service to another one.
    Dependency {
        /// The other one.
        callee: Arc<str>,
    },
}

/// One alert of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStatus {
    /// The alert's name in the policy.
    pub name: Arc<str>,
    /// The alert's severity.
    pub severity: Severity,
    /// `NoData`, `Healthy` or, when it fires, the level of the alert.
    pub state: AlertState,
    /// Since when it is in `state`.
    pub since: UnixNanos,
    /// Since when its windows are above their thresholds while its `for` has not passed.
    pub pending_since: Option<UnixNanos>,
    /// What it waits for although its windows are above.
    pub held_back: Option<HeldBack>,
}

impl AlertStatus {
    /// Whether it fires.
    pub fn is_firing(&self) -> bool {
        self.state > AlertState::Healthy
    }
}

/// Everything known of one (objective, cohort) at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetStatus {
    /// The objective.
    pub objective: Arc<ObjectiveName>,
    /// The cohort.
    pub cohort: Arc<CohortKey>,
    /// The objective's handle.
    pub objective_id: ObjectiveId,
    /// The cohort's handle.
    pub cohort_id: CohortId,
    /// The target that holds for this service and environment.
    pub target: Target,
    /// What it is about.
    pub kind: BudgetKind,
    /// How the budget is counted.
    pub method: Method,
    /// Length of a slice, of a total that is counted by slices.
    pub slice_secs: Option<u64>,
    /// The period of the budget.
    pub period_kind: Period,
    /// Its length in seconds; of a calendar period the present one's.
    pub period_secs: u64,
    /// When this was worked out.
    pub evaluated_at: UnixNanos,
    /// The windows in use, shortest first (the period is apart).
    pub windows: Vec<WindowBurn>,
    /// Counts of the period; `None` for cohorts whose counts do not reach that far.
    pub period: Option<WindowSum>,
    /// What else is known of the period.
    pub detail: PeriodStatus,
    /// How far the period's figures can be trusted; of a cohort those of its longest window.
    pub confidence: Confidence,
    /// Further targets.
    pub targets: Vec<TargetStatus>,
    /// The maintenance window that is on.
    pub maintenance: Option<PlanStatus>,
    /// The peak that is on.
    pub peak: Option<PlanStatus>,
    /// Of a composite, what it is made of.
    pub members: Vec<MemberStatus>,
    /// What its calls of others account for.
    pub dependencies: Vec<DependencyStatus>,
    /// Share of the period's budget that is left; negative when overspent; `None` without a period or without
    /// events.
    pub remaining: Option<f64>,
    /// Share of the period's budget that is spent; `None` as for `remaining`.
    pub consumed: Option<f64>,
    /// Whether the period's budget is spent, exact.
    pub exhausted: bool,
    /// Seconds until the budget is gone at the burn of [`Self::exhaustion_window_secs`]; 0 when it is gone,
    /// `None` when nothing burns or nothing is known.
    pub time_to_exhaustion_secs: Option<f64>,
    /// The window whose burn `time_to_exhaustion_secs` assumes: one hour for a period of 30 days.
    pub exhaustion_window_secs: u64,
    /// Bad events that the period's events may have; `None` without a period.
    pub budget_events: Option<f64>,
    /// Minutes of total outage that the period's budget pays for; `None` without a period.
    pub budget_minutes: Option<f64>,
    /// Quantiles of durations, shortest window first; empty for objectives that keep none.
    pub latency: Vec<LatencyWindow>,
    /// Of a total whose promise is for the routes with most traffic: those routes, most traffic first. Its
    /// alerts are those of the worst of them.
    pub watched_routes: Vec<Arc<str>>,
    /// All events since the series began.
    pub lifetime: Counts,
    /// The policy's alerts, in its order.
    pub alerts: Vec<AlertStatus>,
    /// The most severe of the alerts and the budget.
    pub overall: AlertState,
}

impl BudgetStatus {
    /// The window of `window_secs`, the period's included.
    pub fn window(&self, window_secs: u64) -> Option<&WindowSum> {
        let period = self.period.as_ref().filter(|p| p.window_secs == window_secs);
        self.windows
            .iter()
            .map(|w| &w.sum)
            .find(|w| w.window_secs == window_secs)
            .or(period)
    }

    /// Burn rate in the window of `window_secs`, without what is excluded; `None` without events or such a
    /// window.
    pub fn burn(&self, window_secs: u64) -> Option<f64> {
        if let Some(window) = self.windows.iter().find(|w| w.sum.window_secs == window_secs) {
            return window.burn;
        }
        self.period.filter(|p| p.window_secs == window_secs)?;
        self.detail.spent.consumed(self.target)
    }

    /// Whether it counts a service's calls of another one.
    pub fn counts_calls(&self) -> bool {
        self.objective.slo.starts_with(super::compile_callees::PREFIX)
    }

    /// Whether this is the service's total, not a cut of it.
    pub fn is_total(&self) -> bool {
        self.cohort.level == Level::Total
    }
}
