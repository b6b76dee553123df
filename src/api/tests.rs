//! Claims about answers and health, over a board and decisions without a network.

use super::answers::{CohortFilter, DecisionFilter};
use super::proto::AlertState;
use super::view;
use super::{ApiState, Health, health_router};
use crate::act::Decisions;
use crate::cohort::Level;
use crate::decide::{Decision, DecisionState, Evidence, FailureReason, Withheld, WithheldReason};
use crate::ledger::{Counts, ErrorSignature, TopSignatures};
use crate::policy::Corrections;
use crate::publish::testing::{T0, World, deployment, flag};
use crate::store::MemStore;
use crate::time::{Clock, UnixNanos};
use axum::body::Body;
use http_body_util::BodyExt as _;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tower::ServiceExt as _;

fn limits() -> crate::audit::Limits {
    (&crate::config::Audit::default()).into()
}

fn state(world: &World) -> ApiState {
    ApiState {
        audit: Arc::new(crate::audit::Trail::open(Arc::new(MemStore::new()), limits()).unwrap()),
        qualities: Arc::default(),
        board: world.board().clone(),
        decisions: Decisions::new(10, Duration::from_mins(1)),
        withheld: Arc::new(RwLock::new(Vec::new())),
        rulings: Arc::new(RwLock::new(Vec::new())),
        policies: Arc::new(arc_swap::ArcSwap::new(world.policies.clone())),
        latencies: None,
        signatures: Arc::default(),
        shapes: Arc::default(),
        corrections: Corrections::load(Arc::new(MemStore::default())).unwrap(),
        indicators: Arc::default(),
        clock: Arc::new(Stopped),
        desk: crate::act::Desk::default(),
        changes: crate::act::FlagChanges::load(Arc::new(MemStore::default()), T0).unwrap(),
    }
}

/// A clock that stands at the start of the tests' time.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> UnixNanos {
        T0
    }
}

fn decision(id: &str, service: &str, state: DecisionState) -> Decision {
    Decision {
        id: id.to_owned(),
        exporter: "unleash".to_owned(),
        environment: "production".to_owned(),
        flag: format!("flag-{id}"),
        deployment: None,
        action: crate::decide::Action::default(),
        actor: crate::decide::Actor::default(),
        life: crate::decide::Life::default(),
        incident: 1,
        decided_at: T0,
        updated_at: T0.plus_secs(2),
        evidence: Evidence {
            service: service.to_owned(),
            slo: "availability".to_owned(),
            environment: Some("production".to_owned()),
            sha: None,
            flag: format!("flag-{id}"),
            variant: "on".to_owned(),
            window_secs: 300,
            from: T0.minus_secs(300),
            to: T0,
            burn: 14.5,
            burn_above: 7.0,
            held_secs: 180,
            cohort: Counts {
                good: 9_855,
                bad: 145,
            },
            control: Counts { good: 9_990, bad: 10 },
            contrast: Some(14.5),
            proof: None,
            signatures: TopSignatures {
                from: T0.minus_secs(900),
                signatures: vec![ErrorSignature {
                    what: "TimeoutError".to_owned(),
                    route: "/pay".to_owned(),
                    service: service.to_owned(),
                    count: 140,
                    error: 0,
                    traces: vec!["0af7651916cd43dd8448eb211c80319c".to_owned()],
                }],
            },
        },
        state,
        history: vec![(T0, "decided".to_owned())],
    }
}

#[test]
fn totals_are_budgets_and_the_rest_are_cohorts() {
    let mut world = World::new();
    world.count(T0, Level::Total, 999, 1);
    world.count(T0, deployment("abc"), 999, 1);
    world.count(T0, flag(None, "new", "on"), 5, 0);
    world.count(T0, Level::Overflow, 7, 0);
    world.tick(T0.plus_secs(1));
    let api = state(&world);
    let budgets = api.budgets(None).budgets;
    assert_eq!(budgets.len(), 1);
    let total = &budgets[0];
    assert_eq!((total.tier, total.owner["team"].as_str()), (Some(1), "payments"));
    assert_eq!(
        (total.sha.as_deref(), total.flag.as_deref(), total.overflow),
        (None, None, false)
    );
    assert_eq!(
        (total.good_total, total.bad_total, total.budget_minutes),
        (999, 1, Some(43.2))
    );
    assert_eq!(
        total.period.as_ref().map(|p| (p.window_secs, p.good, p.bad)),
        Some((2_592_000, 999, 1))
    );
    assert_eq!(api.budgets(Some("other")).budgets.len(), 0);
    let cohorts = api.cohorts(&CohortFilter::default()).cohorts;
    let named: Vec<_> = cohorts
        .iter()
        .map(|c| {
            (
                c.sha.as_deref(),
                c.flag.as_deref(),
                c.variant.as_deref(),
                c.overflow,
            )
        })
        .collect();
    assert_eq!(named.len(), 3);
    for one in [
        (Some("abc"), None, None, false),
        (None, Some("new"), Some("on"), false),
        (None, None, None, true),
    ] {
        assert!(named.contains(&one), "{one:?} in {named:?}");
    }
    assert!(
        cohorts
            .iter()
            .all(|c| c.remaining.is_none() && c.period.is_none()),
        "a cohort has no budget"
    );
}

#[test]
fn the_most_recent_cohorts_come_first_when_a_limit_cuts() {
    let mut world = World::new();
    for (secs, sha) in [(0, "a"), (10, "b"), (20, "c")] {
        world.count(T0.plus_secs(secs), deployment(sha), 1, 0);
        world.tick(T0.plus_secs(secs + 1));
    }
    let answer = state(&world).cohorts(&CohortFilter {
        limit: 2,
        ..CohortFilter::default()
    });
    let shas: Vec<_> = answer.cohorts.iter().filter_map(|c| c.sha.as_deref()).collect();
    assert_eq!((shas.as_slice(), answer.truncated), (&["c", "b"][..], true));
    let all = state(&world).cohorts(&CohortFilter {
        limit: u32::MAX,
        ..CohortFilter::default()
    });
    assert_eq!((all.cohorts.len(), all.truncated), (3, false));
}

#[test]
fn decisions_are_filtered_before_they_are_cut() {
    let api = state(&World::new());
    for (id, service) in [("1", "a"), ("2", "b"), ("3", "b")] {
        let decision = decision(id, service, DecisionState::Observed);
        api.decisions.submit(decision.clone()).unwrap();
        assert!(
            api.decisions.get(id).is_none(),
            "not shown before it is in the journal"
        );
        api.decisions.update(&decision, true);
    }
    let ids = |service: &str, limit| -> Vec<String> {
        let filter = DecisionFilter {
            service: service.to_owned(),
            limit,
        };
        api.decisions(&filter)
            .decisions
            .into_iter()
            .map(|d| d.id)
            .collect()
    };
    assert_eq!(ids("a", 1), ["1"], "newer ones of others are not in the way");
    assert_eq!(ids("b", 1), ["3"], "the newest first");
    assert_eq!(ids("", 0).len(), 3);
    assert_eq!(ids("c", 0).len(), 0);
}

#[test]
fn a_decision_says_how_it_ended() {
    let shown = |state| view::decision(&decision("1", "a", state));
    let confirmed = shown(DecisionState::Confirmed {
        verified: true,
        already_off: false,
    });
    assert_eq!(
        (
            confirmed.state.as_str(),
            confirmed.verified,
            confirmed.already_off
        ),
        ("confirmed", true, false)
    );
    let failed = FailureReason::Unauthorized;
    let failed = shown(DecisionState::Failed {
        reason: failed,
        detail: "401".to_owned(),
    });
    assert_eq!(
        (
            failed.state.as_str(),
            failed.failure.as_str(),
            failed.detail.as_str()
        ),
        ("failed", "unauthorized", "401")
    );
    let evidence = failed.evidence.unwrap();
    let window = evidence.window.unwrap();
    assert_eq!(
        (window.good, window.bad, window.burn_rate),
        (9_855, 145, Some(14.5))
    );
    assert_eq!(
        (evidence.control_good, evidence.control_bad, evidence.contrast),
        (9_990, 10, Some(14.5))
    );
    let json = serde_json::to_value(shown(DecisionState::Decided)).unwrap();
    assert_eq!(json["decided_at"], T0.to_string(), "instants are RFC 3339");
    assert_eq!(
        json["evidence"]["sha"],
        serde_json::Value::Null,
        "what is missing is null, not an empty name"
    );
}

#[test]
fn what_is_withheld_says_why_with_figures() {
    let reason = |reason| {
        let withheld = Withheld {
            exporter: "unleash".to_owned(),
            service: "a".to_owned(),
            slo: "availability".to_owned(),
            environment: "production".to_owned(),
            sha: None,
            flag: "new".to_owned(),
            variant: "on".to_owned(),
            since: T0,
            checked_at: T0,
            window_secs: 300,
            burn: 9.0,
            burn_above: 7.0,
            cohort: Counts { good: 1, bad: 1 },
            control: Counts::ZERO,
            reason,
        };
        view::withheld(&withheld).reason
    };
    assert!(reason(WithheldReason::NoControl).starts_with("no_control: "));
    let contrast = reason(WithheldReason::Contrast {
        ratio: 1.25,
        needed: 2.0,
    });
    assert!(contrast.contains("1.25") && contrast.contains('2'), "{contrast}");
    let cooldown = WithheldReason::Cooldown {
        decision: "d-1".to_owned(),
        until: T0,
    };
    assert!(reason(cooldown).contains("d-1"));
}

#[test]
fn alert_states_are_words_in_json() {
    let mut world = World::new();
    world.count(T0, Level::Total, 0, 100);
    world.tick(T0.plus_secs(1));
    let budget = state(&world).budgets(None).budgets.remove(0);
    assert_eq!(budget.state(), AlertState::BudgetExhausted);
    let json = serde_json::to_value(&budget).unwrap();
    assert_eq!(json["state"], "budget_exhausted");
    assert_eq!(json["alerts"][0]["state"], "critical_burn");
    assert_eq!(json["time_to_exhaustion_secs"], 0.0);
}

#[tokio::test]
async fn health_follows_the_phases() {
    let health = Arc::new(Health::default());
    let config = crate::config::HealthCheck {
        path: "/up".to_owned(),
        ..Default::default()
    };
    let probe = || async {
        let request = http::Request::get("/up").body(Body::empty()).unwrap();
        let answer = health_router(&config, health.clone())
            .oneshot(request)
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
        )
    };
    let (status, body) = probe().await;
    assert_eq!(
        (status, &body["status"], &body["evaluated_at"]),
        (503, &"starting".into(), &serde_json::Value::Null)
    );
    health.serving();
    health.ticked(T0);
    let (status, body) = probe().await;
    assert_eq!((status, &body["evaluated_at"]), (200, &T0.to_string().into()));
    health.stopping();
    let (status, body) = probe().await;
    assert_eq!((status, &body["status"]), (503, &"stopping".into()));
}
