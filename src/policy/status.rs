//! What is known of one budget series: the answer that gauges, the API and the kill rules read.

use super::model::Severity;
use crate::budget::Target;
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
    /// Counts and the interval they are exact for.
    pub sum: WindowSum,
    /// Burn rate; `None` without events.
    pub burn: Option<f64>,
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
    /// The rolling period of the budget, in seconds.
    pub period_secs: u64,
    /// When this was worked out.
    pub evaluated_at: UnixNanos,
    /// The windows in use, shortest first (the period is apart).
    pub windows: Vec<WindowBurn>,
    /// Counts of the period; `None` for cohorts whose counts do not reach that far.
    pub period: Option<WindowSum>,
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

    /// Burn rate in the window of `window_secs`; `None` without events or such a window.
    pub fn burn(&self, window_secs: u64) -> Option<f64> {
        self.window(window_secs)
            .and_then(|w| crate::budget::burn_rate(w.counts, self.target))
    }

    /// Whether this is the service's total, not a cut of it.
    pub fn is_total(&self) -> bool {
        self.cohort.level == Level::Total
    }
}
