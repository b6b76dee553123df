//! How a budget is counted, as the API shows it.

use super::proto;
use super::view::{sum_only, timestamp};
use crate::budget::{Period, RATIO_ONE, Slices};
use crate::ledger::WindowSum;
use crate::policy::{BudgetKind, BudgetStatus, DependencyStatus, PlanStatus, TargetStatus};

/// The sum over the SLO's period.
pub(super) fn period(status: &BudgetStatus, sum: &WindowSum) -> proto::Window {
    let detail = &status.detail;
    proto::Window {
        excluded_good: detail.excluded.good,
        excluded_bad: detail.excluded.bad,
        burn_low: detail.interval.map(|(low, _)| low),
        burn_high: detail.interval.map(|(_, high)| high),
        confidence: Some(status.confidence.as_str().to_owned()),
        slices: detail.slices.map(|s| slices(&s, detail.slices_in_all)),
        ..sum_only(sum, status.consumed)
    }
}

/// Everything that a budget is counted by.
pub(super) fn accounting(status: &BudgetStatus) -> proto::Accounting {
    let detail = &status.detail;
    let (kind, callee) = match &status.kind {
        BudgetKind::Service => ("service", None),
        BudgetKind::Journey => ("journey", None),
        BudgetKind::Dependency { callee } => ("dependency", Some(callee.as_ref().to_owned())),
    };
    let calendar = match &status.period_kind {
        Period::Rolling { .. } => None,
        Period::Calendar(calendar) => Some(calendar),
    };
    proto::Accounting {
        kind: kind.to_owned(),
        method: status.method.as_str().to_owned(),
        slice_secs: status.slice_secs,
        calendar: calendar.map(|c| c.unit().as_str().to_owned()),
        timezone: calendar.map(|c| c.zone_name().to_owned()),
        period_ends: detail.until.map(timestamp),
        slices: detail.slices.map(|s| slices(&s, detail.slices_in_all)),
        excluded_good: detail.excluded.good,
        excluded_bad: detail.excluded.bad,
        confidence: status.confidence.as_str().to_owned(),
        burn_low: detail.interval.map(|(low, _)| low),
        burn_high: detail.interval.map(|(_, high)| high),
        targets: status.targets.iter().map(target).collect(),
        maintenance: status.maintenance.as_ref().map(plan),
        peak: status.peak.as_ref().map(plan),
        members: status
            .members
            .iter()
            .map(|m| proto::Member {
                service: m.service.as_ref().to_owned(),
                slo: m.slo.as_ref().to_owned(),
                weight: m.weight,
                good: m.counts.good,
                bad: m.counts.bad,
            })
            .collect(),
        dependencies: status.dependencies.iter().map(dependency).collect(),
        callee,
    }
}

/// Slices of an interval; `in_all` are those of a whole period.
pub(super) fn slices(slices: &Slices, in_all: u64) -> proto::Slices {
    let counted = slices.counted();
    let mean = |misses: u128| misses as f64 / RATIO_ONE as f64 / counted as f64;
    proto::Slices {
        good: slices.good,
        bad: slices.bad,
        empty: slices.empty,
        excluded: slices.left_out,
        in_all,
        mean_miss: (counted > 0).then(|| mean(slices.misses)),
    }
}

fn target(target: &TargetStatus) -> proto::TargetBudget {
    proto::TargetBudget {
        name: target.name.as_ref().to_owned(),
        objective: target.target.ratio(),
        remaining: target.remaining,
        consumed: target.consumed,
        time_to_exhaustion_secs: target.time_to_exhaustion_secs,
        exhausted: target.exhausted,
    }
}

fn plan(plan: &PlanStatus) -> proto::PlanOn {
    proto::PlanOn {
        name: plan.name.as_ref().to_owned(),
        until: Some(timestamp(plan.until)),
        burn_factor: plan.burn_factor,
        approved_by: plan.approved_by.as_ref().to_owned(),
        reason: plan.reason.as_ref().to_owned(),
    }
}

fn dependency(dependency: &DependencyStatus) -> proto::Dependency {
    let windows = dependency.windows.iter();
    proto::Dependency {
        callee: dependency.callee.as_ref().to_owned(),
        windows: windows
            .map(
                |&(window_secs, calls, attributed_bad, attributed_burn_rate)| proto::DependencyWindow {
                    window_secs,
                    good: calls.good,
                    bad: calls.bad,
                    attributed_bad,
                    attributed_burn_rate,
                },
            )
            .collect(),
    }
}
