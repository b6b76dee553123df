//! What one status says as samples: the names, meanings and units of every published metric stand here and
//! nowhere else.

use crate::budget::{Confidence, mean_weight};
use crate::cohort::{CohortKey, Level};
use crate::policy::{AlertState, BudgetKind, BudgetStatus};
use std::sync::Arc;

/// Whether a metric goes up and down or only up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    /// A count of whole events.
    Counter,
}

/// A published metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// UCUM, for OTLP. Empty where Prometheus' translation of OTLP names would put a second suffix behind the
    /// name.
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
}

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        help,
        unit,
        kind: Kind::Gauge,
    }
}

const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        help,
        unit,
        kind: Kind::Counter,
    }
}

pub(super) static OBJECTIVE: Metric = gauge("slo_objective_ratio", "1", "Target of the SLO, such as 0.999.");
pub(super) static BURN_RATE: Metric = gauge(
    "slo_burn_rate",
    "",
    "Error ratio over error budget in the window; 1 spends the budget exactly in its period. NaN without events.",
);
pub(super) static EVENTS: Metric = counter(
    "slo_events_total",
    "{event}",
    "Events counted, by outcome; exact, also over restarts.",
);
pub(super) static REMAINING: Metric = gauge(
    "slo_error_budget_remaining_ratio",
    "1",
    "Share of the period's error budget that is left; negative when overspent. NaN without events.",
);
pub(super) static CONSUMED: Metric = gauge(
    "slo_error_budget_consumed_ratio",
    "1",
    "Share of the period's error budget that is spent; above 1 when overspent. NaN without events.",
);
pub(super) static EXHAUSTION: Metric = gauge(
    "slo_time_to_exhaustion_seconds",
    "s",
    "Seconds until the error budget is spent at the present burn rate; +Inf while nothing burns, NaN without events.",
);
pub(super) static BUDGET_MINUTES: Metric = gauge(
    "slo_error_budget_minutes",
    "min",
    "Minutes of total outage that the period allows: 43.2 for 99.9 % over 30 d.",
);
pub(super) static LATENCY_P50: Metric = gauge(
    "slo_latency_p50_seconds",
    "",
    "Half of the window's requests took at most this long, to 2.2 %; of SLOs that keep quantiles. NaN without a duration.",
);
pub(super) static LATENCY_P95: Metric = gauge(
    "slo_latency_p95_seconds",
    "",
    "95 % of the window's requests took at most this long, to 2.2 %; of SLOs that keep quantiles. NaN without a duration.",
);
pub(super) static LATENCY_P99: Metric = gauge(
    "slo_latency_p99_seconds",
    "",
    "99 % of the window's requests took at most this long, to 2.2 %; of SLOs that keep quantiles. NaN without a duration.",
);
pub(super) static SEEN: Metric = gauge(
    "slo_seen_events_ratio",
    "1",
    "Events seen over events counted in the window behind the time to exhaustion; below 1 where spans are sampled.",
);
pub(super) static ALERT_STATE: Metric = gauge(
    "slo_alert_state",
    "",
    "0 healthy, 1 slow_burn, 2 fast_burn, 3 critical_burn, 4 budget_exhausted, -1 no_data; alert=overall is the worst.",
);
pub(super) static CONFIDENCE: Metric = gauge(
    "slo_burn_rate_confidence",
    "",
    "1 when the burn rate is within budget for certain or known within a factor of 4, 0 when it is not, NaN without events.",
);
pub(super) static TARGET_REMAINING: Metric = gauge(
    "slo_target_budget_remaining_ratio",
    "1",
    "As slo_error_budget_remaining_ratio, of a further target of the SLO.",
);
pub(super) static SLICES: Metric = gauge(
    "slo_period_slices",
    "{slice}",
    "Time slices of the period so far: good, bad, and of both those without events (empty); excluded ones beside them.",
);
pub(super) static EXCLUDED: Metric = gauge(
    "slo_period_excluded_events",
    "{event}",
    "Events of the period that maintenance windows and corrections leave out of the budget.",
);
pub(super) static PERIOD_END: Metric = gauge(
    "slo_period_end_timestamp_seconds",
    "s",
    "When the calendar period ends and the budget is whole again, in Unix time.",
);
pub(super) static MAINTENANCE: Metric = gauge(
    "slo_maintenance",
    "",
    "1 while a maintenance window leaves everything out of the budget, else 0.",
);
pub(super) static PEAK: Metric = gauge(
    "slo_peak_burn_factor",
    "",
    "What the alerts' thresholds are multiplied by while an approved peak is on; 1 outside of one.",
);
pub(super) static DEPENDENCY: Metric = gauge(
    "slo_dependency_burn_rate",
    "",
    "Part of the service's burn rate in the last hour that failed calls of one other service account for.",
);
pub(super) static DASH_REMAINING: Metric = gauge(
    "error_budget_remaining_pct",
    "",
    "Error budget left, in percent; negative when overspent.",
);
pub(super) static DASH_CONSUMED: Metric = counter(
    "error_budget_consumed_total",
    "{event}",
    "Bad events counted: whole events, a true counter.",
);
pub(super) static DASH_EVENTS: Metric = gauge(
    "error_budget_events",
    "{event}",
    "Bad events that the period's traffic allows.",
);
pub(super) static DASH_FAST: Metric = gauge(
    "burn_rate_fast",
    "",
    "Burn rate in the fast window (5m by default).",
);
pub(super) static DASH_SLOW: Metric = gauge(
    "burn_rate_slow",
    "",
    "Burn rate in the slow window (1h by default).",
);
pub(super) static DASH_CRITICAL: Metric = gauge(
    "burn_rate_critical",
    "",
    "Burn rate in the critical window (24h by default).",
);

/// Every metric, for descriptions.
pub(super) static ALL: [&Metric; 26] = [
    &OBJECTIVE,
    &BURN_RATE,
    &EVENTS,
    &REMAINING,
    &CONSUMED,
    &EXHAUSTION,
    &BUDGET_MINUTES,
    &SEEN,
    &LATENCY_P50,
    &LATENCY_P95,
    &LATENCY_P99,
    &ALERT_STATE,
    &CONFIDENCE,
    &TARGET_REMAINING,
    &SLICES,
    &EXCLUDED,
    &PERIOD_END,
    &MAINTENANCE,
    &PEAK,
    &DEPENDENCY,
    &DASH_REMAINING,
    &DASH_CONSUMED,
    &DASH_EVENTS,
    &DASH_FAST,
    &DASH_SLOW,
    &DASH_CRITICAL,
];

/// Names of published dashboards, and the windows behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "units stand last")]
pub(super) struct DashboardNames {
    pub(super) fast_secs: u64,
    pub(super) slow_secs: u64,
    pub(super) critical_secs: u64,
}

/// A value, and what tells it from the other samples of the same status and metric.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) metric: &'static Metric,
    pub(super) label: Option<(&'static str, Arc<str>)>,
    pub(super) value: Value,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Gauge(f64),
    Count(u64),
}

/// The labels that name a series: (name, value), missing parts missing.
pub(super) fn identity(status: &BudgetStatus) -> Vec<(&'static str, Arc<str>)> {
    let CohortKey {
        service,
        environment,
        level,
    } = status.cohort.as_ref();
    let mut labels = vec![
        ("service", service.clone()),
        ("slo", status.objective.slo.clone()),
    ];
    labels.extend(environment.clone().map(|e| ("environment", e)));
    let level_name = match level {
        Level::Total => match &status.kind {
            BudgetKind::Service => "total",
            BudgetKind::Journey => "journey",
            BudgetKind::Dependency { .. } => "dependency",
        },
        Level::Deployment { sha } => {
            labels.push(("sha", sha.clone()));
            "deployment"
        }
        Level::Flag { sha, flag, variant } => {
            labels.extend(sha.clone().map(|s| ("sha", s)));
            labels.extend([("flag", flag.clone()), ("variant", variant.clone())]);
            "flag"
        }
        Level::Route { route } => {
            labels.push(("route", route.clone()));
            "route"
        }
        Level::Overflow => "overflow",
    };
    labels.push(("level", level_name.into()));
    labels
}

/// Everything that `status` says, in an order that depends only on its windows and alerts.
pub(super) fn samples(status: &BudgetStatus, dashboard: Option<DashboardNames>) -> Vec<Sample> {
    let mut out = Vec::with_capacity(24);
    let mut put = |metric, label, value| out.push(Sample { metric, label, value });
    let or_nan = |value: Option<f64>| Value::Gauge(value.unwrap_or(f64::NAN));
    // A rolling period is a window like any other, and may be one that everybody asks for: 24h, 3d. That of a
    // calendar has another length each month, which would be another series each time.
    let rolling = status.period_kind.calendar().is_none();
    let asked_for = |secs: &u64| status.windows.iter().any(|w| w.sum.window_secs == *secs);
    let period = status.period.iter().map(|period| period.window_secs);
    let period = period.filter(|secs| rolling && !asked_for(secs));
    for secs in status.windows.iter().map(|w| w.sum.window_secs).chain(period) {
        let label = ("window", window_name(secs).into());
        put(&BURN_RATE, Some(label), or_nan(status.burn(secs)));
    }
    put(
        &EVENTS,
        Some(("outcome", "good".into())),
        Value::Count(status.lifetime.good),
    );
    put(
        &EVENTS,
        Some(("outcome", "bad".into())),
        Value::Count(status.lifetime.bad),
    );
    for alert in &status.alerts {
        put(
            &ALERT_STATE,
            Some(("alert", alert.name.clone())),
            Value::Gauge(state_value(alert.state)),
        );
    }
    put(
        &ALERT_STATE,
        Some(("alert", "overall".into())),
        Value::Gauge(state_value(status.overall)),
    );
    for (metric, label, value) in latencies(status) {
        put(metric, Some(label), value);
    }
    // What a cohort has left of the period is known as far as its counts reach.
    let is_total = status.is_total();
    if !is_total && status.period.is_none() {
        return out;
    }
    put(&OBJECTIVE, None, Value::Gauge(status.target.ratio()));
    put(&BUDGET_MINUTES, None, or_nan(status.budget_minutes));
    put(&REMAINING, None, or_nan(status.remaining));
    put(&CONSUMED, None, or_nan(status.consumed));
    put(&EXHAUSTION, None, Value::Gauge(exhaustion(status)));
    let seen = status.window(status.exhaustion_window_secs);
    let seen = seen.and_then(|window| mean_weight(window.estimate()));
    put(&SEEN, None, or_nan(seen.map(f64::recip)));
    if is_total {
        accounting(status, &mut put);
    }
    if let Some(names) = dashboard.filter(|_| is_total) {
        let burn = |secs| or_nan(status.burn(secs));
        put(&DASH_REMAINING, None, or_nan(status.remaining.map(|r| r * 100.0)));
        put(&DASH_CONSUMED, None, Value::Count(status.lifetime.bad));
        put(&DASH_EVENTS, None, or_nan(status.budget_events));
        put(&DASH_FAST, None, burn(names.fast_secs));
        put(&DASH_SLOW, None, burn(names.slow_secs));
        put(&DASH_CRITICAL, None, burn(names.critical_secs));
    }
    out
}

/// Seconds until the budget is gone: infinite when it is not going, NaN when nothing is known.
fn exhaustion(status: &BudgetStatus) -> f64 {
    match (status.time_to_exhaustion_secs, status.remaining) {
        (Some(secs), _) => secs,
        (None, Some(_)) => f64::INFINITY,
        (None, None) => f64::NAN,
    }
}

/// Quantiles of durations, by window.
fn latencies(
    status: &BudgetStatus,
) -> impl Iterator<Item = (&'static Metric, (&'static str, Arc<str>), Value)> + '_ {
    status.latency.iter().flat_map(|window| {
        let name: Arc<str> = window_name(window.window_secs).into();
        let quantiles = [
            (&LATENCY_P50, window.told.map(|told| told.p50_secs)),
            (&LATENCY_P95, window.told.map(|told| told.p95_secs)),
            (&LATENCY_P99, window.told.map(|told| told.p99_secs)),
        ];
        quantiles.map(|(metric, secs)| {
            let value = Value::Gauge(secs.unwrap_or(f64::NAN));
            (metric, ("window", Arc::clone(&name)), value)
        })
    })
}

/// How a total's budget is counted. Of what a policy does not ask for there are no samples.
fn accounting(
    status: &BudgetStatus,
    put: &mut impl FnMut(&'static Metric, Option<(&'static str, Arc<str>)>, Value),
) {
    let gauge = |value: u64| Value::Gauge(value as f64);
    for window in &status.windows {
        let name = window_name(window.sum.window_secs);
        let value = match window.confidence {
            Confidence::None => f64::NAN,
            Confidence::Low => 0.0,
            Confidence::High => 1.0,
        };
        put(&CONFIDENCE, Some(("window", name.into())), Value::Gauge(value));
    }
    for target in &status.targets {
        let left = target.remaining.unwrap_or(f64::NAN);
        put(
            &TARGET_REMAINING,
            Some(("target", target.name.clone())),
            Value::Gauge(left),
        );
    }
    if let Some(slices) = &status.detail.slices {
        for (outcome, count) in [
            ("good", slices.good),
            ("bad", slices.bad),
            ("empty", slices.empty),
            ("excluded", slices.left_out),
        ] {
            put(&SLICES, Some(("outcome", outcome.into())), gauge(count));
        }
    }
    let excluded = status.detail.excluded;
    put(&EXCLUDED, Some(("outcome", "good".into())), gauge(excluded.good));
    put(&EXCLUDED, Some(("outcome", "bad".into())), gauge(excluded.bad));
    if let Some(until) = status.detail.until {
        put(&PERIOD_END, None, gauge(until.secs()));
    }
    put(&MAINTENANCE, None, gauge(u64::from(status.maintenance.is_some())));
    let factor = status.peak.as_ref().map_or(1.0, |peak| peak.burn_factor);
    put(&PEAK, None, Value::Gauge(factor));
    for dependency in &status.dependencies {
        let hour = dependency.windows.iter().find(|(secs, ..)| *secs == 3600);
        let burn = hour.and_then(|(.., burn)| *burn).unwrap_or(f64::NAN);
        put(
            &DEPENDENCY,
            Some(("callee", dependency.callee.clone())),
            Value::Gauge(burn),
        );
    }
}

/// The number that stands for a state on `slo_alert_state`.
fn state_value(state: AlertState) -> f64 {
    f64::from(state.code())
}

/// `5m`, `1h`, `24h`, `3d`: minutes below an hour, hours up to a day and a half, days beyond; seconds where
/// nothing else is whole. One day is `24h`, as in the SRE Workbook's pairs.
pub(crate) fn window_name(secs: u64) -> String {
    match secs {
        s if s > 86_400 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s >= 3600 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_named_as_the_workbook_names_them() {
        let names = [
            (300, "5m"),
            (1800, "30m"),
            (3600, "1h"),
            (7200, "2h"),
            (21_600, "6h"),
            (86_400, "24h"),
        ];
        for (secs, name) in names {
            assert_eq!(window_name(secs), name);
        }
        assert_eq!(window_name(259_200), "3d");
        assert_eq!(window_name(90), "90s");
        assert_eq!(window_name(2_592_000), "30d");
    }

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = ALL.iter().map(|m| m.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
