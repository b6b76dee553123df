//! From what the gateway knows to what the API says; the only place that does so, for HTTP and gRPC alike.

use super::{accounting, proto};
use crate::budget::{effective_events, standard_errors};
use crate::cohort::Level;
use crate::decide::{Actor, Decision, DecisionState, Evidence, FailureReason, Phase, Withheld};
use crate::indicate::{GroupStatus, IndicatorState, IndicatorStatus};
use crate::ledger::{LatencyWindow, Sampled, WindowSum};
use crate::policy::{AlertState, AlertStatus, BudgetStatus, WindowBurn};
use crate::time::{NANOS_PER_SEC, UnixNanos};

/// Where one cohort stands, as the API shows it.
pub(super) fn budget(status: &BudgetStatus) -> proto::Budget {
    let key = &status.cohort;
    let (sha, flag, variant) = match &key.level {
        Level::Total | Level::Route { .. } | Level::Overflow => (None, None, None),
        Level::Deployment { sha } => (Some(sha), None, None),
        Level::Flag { sha, flag, variant } => (sha.as_ref(), Some(flag), Some(variant)),
    };
    let route = match &key.level {
        Level::Route { route } => Some(route),
        _ => None,
    };
    let text = |s: &std::sync::Arc<str>| s.as_ref().to_owned();
    proto::Budget {
        service: text(&key.service),
        slo: text(&status.objective.slo),
        environment: key.environment.as_ref().map(text),
        sha: sha.map(text),
        flag: flag.map(text),
        variant: variant.map(text),
        overflow: key.level == Level::Overflow,
        objective: status.target.ratio(),
        period_secs: status.period_secs,
        evaluated_at: Some(timestamp(status.evaluated_at)),
        windows: status.windows.iter().map(window).collect(),
        remaining: status.remaining,
        consumed: status.consumed,
        time_to_exhaustion_secs: status.time_to_exhaustion_secs,
        budget_events: status.budget_events,
        budget_minutes: status.budget_minutes,
        good_total: status.lifetime.good,
        bad_total: status.lifetime.bad,
        state: state(status.overall).into(),
        alerts: status.alerts.iter().map(alert).collect(),
        tier: None,
        owner: std::collections::BTreeMap::new(),
        route: route.map(text),
        latency: status.latency.iter().map(latency).collect(),
        watched_routes: status.watched_routes.iter().map(text).collect(),
        comparisons: Vec::new(),
        sli_quality: None,
        period: status.period.as_ref().map(|sum| accounting::period(status, sum)),
        accounting: Some(accounting::accounting(status)),
    }
}

fn window(burn: &WindowBurn) -> proto::Window {
    proto::Window {
        excluded_good: burn.excluded.good,
        excluded_bad: burn.excluded.bad,
        burn_low: burn.interval.map(|(low, _)| low),
        burn_high: burn.interval.map(|(_, high)| high),
        confidence: Some(burn.confidence.as_str().to_owned()),
        slices: burn.slices.map(|slices| accounting::slices(&slices, 0)),
        ..sum_only(&burn.sum, burn.burn)
    }
}

pub(super) fn sum_only(sum: &WindowSum, burn_rate: Option<f64>) -> proto::Window {
    proto::Window {
        window_secs: sum.window_secs,
        from: Some(timestamp(sum.from)),
        to: Some(timestamp(sum.to)),
        good: sum.counts.good,
        bad: sum.counts.bad,
        burn_rate,
        sampling: sum.sampled.map(sampling),
        ..proto::Window::default()
    }
}

fn latency(window: &LatencyWindow) -> proto::Latency {
    proto::Latency {
        window_secs: window.window_secs,
        from: Some(timestamp(window.from)),
        to: Some(timestamp(window.to)),
        events: window.events,
        p50_secs: window.told.map(|told| told.p50_secs),
        p95_secs: window.told.map(|told| told.p95_secs),
        p99_secs: window.told.map(|told| told.p99_secs),
    }
}

fn sampling(sampled: Sampled) -> proto::Sampling {
    let (good_error, bad_error) = standard_errors(sampled);
    proto::Sampling {
        seen_good: sampled.seen.good,
        seen_bad: sampled.seen.bad,
        good_error,
        bad_error,
        effective_events: effective_events(sampled).unwrap_or(0.0),
    }
}

fn alert(alert: &AlertStatus) -> proto::Alert {
    proto::Alert {
        name: alert.name.as_ref().to_owned(),
        severity: alert.severity.as_str().to_owned(),
        state: state(alert.state).into(),
        since: Some(timestamp(alert.since)),
        held_back: alert.held_back.map(|h| proto::HeldBack {
            bad: h.bad,
            needed: h.needed,
        }),
    }
}

fn state(state: AlertState) -> proto::AlertState {
    match state {
        AlertState::NoData => proto::AlertState::NoData,
        AlertState::Healthy => proto::AlertState::Healthy,
        AlertState::SlowBurn => proto::AlertState::SlowBurn,
        AlertState::FastBurn => proto::AlertState::FastBurn,
        AlertState::CriticalBurn => proto::AlertState::CriticalBurn,
        AlertState::BudgetExhausted => proto::AlertState::BudgetExhausted,
    }
}

/// A decision with everything that it rests on.
pub(super) fn decision(decision: &Decision) -> proto::Decision {
    let (by, by_reason) = match &decision.actor {
        Actor::Rule => (String::new(), String::new()),
        Actor::Person { name, reason } => (name.clone(), reason.clone()),
        Actor::Probation { of } => ("probation".to_owned(), format!("after the decision {of}")),
    };
    let (failure, detail) = match &decision.state {
        DecisionState::Failed { reason, detail } => (failure_name(*reason).to_owned(), detail.clone()),
        DecisionState::Aborted { why } => (String::new(), why.clone()),
        _ => (String::new(), String::new()),
    };
    let (verified, already_off) = match decision.state {
        DecisionState::Confirmed {
            verified,
            already_off,
        } => (verified, already_off),
        _ => (false, false),
    };
    proto::Decision {
        id: decision.id.clone(),
        exporter: decision.exporter.clone(),
        environment: decision.environment.clone(),
        flag: decision.flag.clone(),
        decided_at: Some(timestamp(decision.decided_at)),
        updated_at: Some(timestamp(decision.updated_at)),
        state: decision.state.as_str().to_owned(),
        failure,
        detail,
        evidence: Some(evidence(&decision.evidence)),
        history: decision
            .history
            .iter()
            .map(|(at, what)| proto::Step {
                at: Some(timestamp(*at)),
                what: what.clone(),
            })
            .collect(),
        verified,
        already_off,
        phase: decision.life.phase.as_str().to_owned(),
        phase_until: until(&decision.life.phase).map(timestamp),
        action: decision.action.to_string(),
        by,
        by_reason,
        expires_at: match decision.state {
            DecisionState::Proposed { until } => Some(timestamp(until)),
            _ => None,
        },
    }
}

fn until(phase: &Phase) -> Option<UnixNanos> {
    match phase {
        Phase::Cooldown { until, .. } | Phase::Escalated { until, .. } | Phase::HumanHold { until, .. } => {
            Some(*until)
        }
        Phase::Act
        | Phase::EffectCheck { .. }
        | Phase::Probation { .. }
        | Phase::Passed { .. }
        | Phase::Withdrawn { .. }
        | Phase::Closed { .. } => None,
    }
}

fn evidence(evidence: &Evidence) -> proto::Evidence {
    proto::Evidence {
        service: evidence.service.clone(),
        slo: evidence.slo.clone(),
        environment: evidence.environment.clone(),
        sha: evidence.sha.clone(),
        flag: evidence.flag.clone(),
        variant: evidence.variant.clone(),
        window: Some(proto::Window {
            window_secs: evidence.window_secs,
            from: Some(timestamp(evidence.from)),
            to: Some(timestamp(evidence.to)),
            good: evidence.cohort.good,
            bad: evidence.cohort.bad,
            burn_rate: Some(evidence.burn),
            ..proto::Window::default()
        }),
        burn_above: evidence.burn_above,
        held_secs: evidence.held_secs,
        control_good: evidence.control.good,
        control_bad: evidence.control.bad,
        contrast: evidence.contrast,
        signatures: evidence
            .signatures
            .signatures
            .iter()
            .map(super::explain::signature)
            .collect(),
        signatures_from: Some(evidence.signatures.from)
            .filter(|from| from.0 > 0)
            .map(timestamp),
        proof: evidence.proof.as_ref().map(super::why::proof),
    }
}

/// Where an indicator stands.
pub(super) fn indicator(status: &IndicatorStatus) -> proto::Indicator {
    let text = |s: &std::sync::Arc<str>| s.as_ref().to_owned();
    proto::Indicator {
        name: text(&status.name),
        service: text(&status.service),
        environment: status.environment.as_ref().map(text),
        value: status.value,
        unit: text(&status.unit),
        state: indicator_state(status.state).into(),
        since: Some(timestamp(status.since)),
        reason: status.reason.as_str().to_owned(),
        detail: status.reason.to_string(),
        enter: text(&status.enter),
        leave: text(&status.leave),
        description: text(&status.description),
        built_in: status.built_in,
        evaluated_at: Some(timestamp(status.evaluated_at)),
        groups: status.groups.iter().map(indicator_group).collect(),
    }
}

fn indicator_group(group: &GroupStatus) -> proto::IndicatorGroup {
    let labels = group.labels.iter();
    proto::IndicatorGroup {
        labels: labels
            .map(|(name, value)| (name.as_ref().to_owned(), value.clone()))
            .collect(),
        value: group.value,
        state: indicator_state(group.state).into(),
        since: Some(timestamp(group.since)),
    }
}

fn indicator_state(state: IndicatorState) -> proto::IndicatorState {
    match state {
        IndicatorState::NoData => proto::IndicatorState::NoData,
        IndicatorState::Calm => proto::IndicatorState::Calm,
        IndicatorState::Entering => proto::IndicatorState::Entering,
        IndicatorState::Leaving => proto::IndicatorState::Leaving,
        IndicatorState::Active => proto::IndicatorState::Active,
    }
}

/// A rule that burns and does not act.
pub(super) fn withheld(withheld: &Withheld) -> proto::Withheld {
    proto::Withheld {
        service: withheld.service.clone(),
        slo: withheld.slo.clone(),
        environment: Some(withheld.environment.clone()),
        sha: withheld.sha.clone(),
        flag: withheld.flag.clone(),
        variant: withheld.variant.clone(),
        reason: withheld.reason.to_string(),
        since: Some(timestamp(withheld.since)),
    }
}

fn failure_name(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::Unauthorized => "unauthorized",
        FailureReason::Forbidden => "forbidden",
        FailureReason::NeedsApproval => "needs_approval",
        FailureReason::NotFound => "not_found",
        FailureReason::Rejected => "rejected",
        FailureReason::Unreachable => "unreachable",
        FailureReason::NotEffective => "not_effective",
        FailureReason::Expired => "expired",
        FailureReason::Overruled => "overruled",
    }
}

pub(super) fn timestamp(at: UnixNanos) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(at.secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(at.0 % NANOS_PER_SEC).unwrap_or(0),
    }
}
