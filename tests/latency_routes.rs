//! Quantiles and routes from the bytes of requests to alerts: what is kept, for whom, and what it says.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cohort_support;

use burngate::cohort::{CohortId, Level, NamedFlags, ObjectiveId, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::ledger::{Compiled, Latencies, Ledger, LedgerLimits, RELATIVE_ERROR, Tap, TapOutcome};
use burngate::policy::{AlertState, Board, BudgetStatus, Evaluator, PolicySet, from_text};
use burngate::sli::ObjectiveName;
use burngate::time::UnixNanos;
use cohort_support::{NOW, kv, request, s};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};

fn policy(slo: &str) -> PolicySet {
    let text = format!(
        "service: checkout\nslos:\n  - {{ name: latency, {slo} }}\n  - {{ name: availability, target: 99.9% }}\n"
    );
    from_text("p.yaml", &text).unwrap()
}

fn tap(set: &PolicySet, cohorts: &Cohorts) -> Tap {
    let limits = ReceiverLimits::default();
    let compiled = Compiled::compile(&set.objectives(), None, NamedFlags::new(), cohorts, &limits).unwrap();
    Tap::new(compiled, Arc::new(Registry::new(cohorts)))
}

fn span(route: &str, millis: u64, sha: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET".into(),
        kind: 2,
        start_time_unix_nano: NOW.0 - millis * 1_000_000,
        end_time_unix_nano: NOW.0,
        attributes: vec![kv("http.route", s(route)), kv("deployment.sha", s(sha))],
        ..Span::default()
    }
}

fn counted(tap: &Tap, spans: Vec<Span>) -> TapOutcome {
    let bytes = request(vec![kv("service.name", s("checkout"))], vec![], spans);
    tap.process(&bytes, None, NOW).unwrap()
}

fn id(tap: &Tap, slo: &str) -> ObjectiveId {
    tap.registry().objective_id("checkout", slo, &mut Vec::new())
}

fn cohort(tap: &Tap, outcome: &TapOutcome, is: impl Fn(&Level) -> bool) -> CohortId {
    let level = |id| tap.registry().key(id).map(|key| key.level.clone());
    let found = outcome.series.iter().map(|row| row.cohort);
    found
        .filter_map(|id| Some((id, level(id)?)))
        .find(|(_, level)| is(level))
        .unwrap()
        .0
}

fn is_route(name: &str) -> impl Fn(&Level) -> bool {
    move |level| matches!(level, Level::Route { route } if &**route == name)
}

#[test]
fn service_deployment_and_route_have_quantiles_and_other_slos_pay_nothing() {
    let set = policy("p99_below: 300ms");
    let tap = tap(&set, &Cohorts::default());
    let spans = (1..=100).map(|n| span(if n > 90 { "/slow" } else { "/fast" }, n, "abc"));
    let outcome = counted(&tap, spans.collect());
    let mut table = Latencies::new(100);
    table.absorb(NOW, &outcome.latencies);
    let latency = id(&tap, "latency");
    assert!(outcome.latencies.iter().all(|row| row.objective == latency));
    let p = |cohort| table.quantiles(NOW, latency, &[cohort], 300);
    let near = |got: f64, want: f64| assert!((got / want - 1.0).abs() <= RELATIVE_ERROR, "{got} {want}");
    for level in [
        |l: &Level| *l == Level::Total,
        |l: &Level| matches!(l, Level::Deployment { .. }),
    ] {
        let window = p(cohort(&tap, &outcome, level));
        assert_eq!(window.events, 100);
        let told = window.told.unwrap();
        near(told.p50_secs, 0.050);
        near(told.p95_secs, 0.095);
        near(told.p99_secs, 0.099);
    }
    let slow = p(cohort(&tap, &outcome, is_route("/slow")));
    assert_eq!(slow.events, 10);
    near(slow.told.unwrap().p50_secs, 0.095);
    // Routes of the latency SLO alone.
    let route = cohort(&tap, &outcome, is_route("/slow"));
    let rows: Vec<_> = outcome.series.iter().filter(|row| row.cohort == route).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].objective, rows[0].counts.good), (latency, 10));
}

#[test]
fn who_wants_neither_gets_neither() {
    let set = policy("p99_below: 300ms, quantiles: false, routes: false");
    let tap = tap(&set, &Cohorts::default());
    let outcome = counted(&tap, vec![span("/a", 5, "abc")]);
    assert!(outcome.latencies.is_empty());
    let level = |id| tap.registry().key(id).map(|key| key.level.clone());
    let mut levels = outcome.series.iter().filter_map(|row| level(row.cohort));
    assert!(levels.all(|level| !matches!(level, Level::Route { .. })));
}

#[test]
fn routes_beyond_the_cap_count_in_the_totals_and_as_overflow() {
    let set = policy("p99_below: 300ms");
    let cohorts = Cohorts {
        max_routes: 3,
        ..Cohorts::default()
    };
    let tap = tap(&set, &cohorts);
    let spans = (0..10).map(|n| span(&format!("/{n}"), 5, "abc")).collect();
    let outcome = counted(&tap, spans);
    assert_eq!(outcome.overflow.get("max_routes"), Some(&7));
    let total = cohort(&tap, &outcome, |level| *level == Level::Total);
    let latency = id(&tap, "latency");
    let row = outcome
        .series
        .iter()
        .find(|row| (row.objective, row.cohort) == (latency, total));
    assert_eq!(row.unwrap().counts.good, 10);
}

/// The total of the latency SLO after ten fast requests for each slow one, each on a route of its own.
fn evaluated(slo: &str) -> Arc<BudgetStatus> {
    let set = policy(slo);
    let tap = tap(&set, &Cohorts::default());
    let mut spans: Vec<Span> = (0..1_000).map(|_| span("/fast", 5, "abc")).collect();
    spans.extend((0..100).map(|_| span("/slow", 900, "abc")));
    spans.extend((0..20).map(|_| span("/rare", 5, "abc")));
    let outcome = counted(&tap, spans);
    let name = ObjectiveName {
        service: "checkout".into(),
        slo: "latency".into(),
    };
    let registry = Arc::<Registry>::clone(tap.registry());
    let mut ledger = Ledger::new(LedgerLimits::default(), set.plan(&name).unwrap(), registry);
    let latencies = Arc::new(Mutex::new(Latencies::new(100)));
    ledger.absorb(NOW, &outcome.series, &outcome.evidence);
    latencies.lock().unwrap().absorb(NOW, &outcome.latencies);
    let now: UnixNanos = NOW.plus_secs(1);
    let mut views = Vec::new();
    while ledger.changed(now, 1_000, &mut views) {}
    let board = Arc::new(Board::new());
    let mut evaluator = Evaluator::new(Arc::clone(&board)).with_latencies(latencies);
    evaluator.apply(now, &views, tap.registry().as_ref(), &set);
    let total = cohort(&tap, &outcome, |level| *level == Level::Total);
    board.get(id(&tap, "latency"), total).unwrap()
}

#[test]
fn one_slow_route_cannot_hide_behind_traffic_of_another() {
    // 100 of 1,120 are slow: 8.9 %, burn 8.9 of 99 %, below the 14.4 of a page.
    let together = evaluated("p99_below: 300ms");
    assert!(
        together.alerts[0].state <= AlertState::Healthy,
        "{:?}",
        together.alerts
    );
    let each = evaluated("p99_below: 300ms, top_routes: 2");
    let watched: Vec<_> = each.watched_routes.iter().map(|route| &**route).collect();
    assert_eq!(watched, ["/fast", "/slow"]);
    assert_eq!(each.alerts[0].state, AlertState::CriticalBurn);
    let first = evaluated("p99_below: 300ms, top_routes: 1");
    assert!(first.alerts[0].state <= AlertState::Healthy, "{:?}", first.alerts);
}

#[test]
fn a_status_carries_its_quantiles() {
    let status = evaluated("p99_below: 300ms");
    let windows: Vec<_> = status.latency.iter().map(|window| window.window_secs).collect();
    assert_eq!(windows, [300, 3_600]);
    assert!(status.latency[0].told.unwrap().p99_secs > 0.85);
}

#[test]
fn a_quantile_is_a_target_and_a_threshold() {
    let both = |slo: &str| {
        let set = policy(slo);
        let slo = &set.policies()[0].slos[0];
        (slo.target, slo.sli.latency)
    };
    assert_eq!(
        both("p95_below: 1.5s"),
        both("target: 95%, sli: { faster_than: 1.5s }")
    );
    for (wrong, says) in [
        ("p99_below: 300ms, target: 99%", "says the target"),
        ("p99_below: 300ms, p50_below: 10ms", "second promise"),
        ("p99_below: fast", "no duration"),
        ("p99_below: 300ms, sli: { faster_than: 1s }", "keep one"),
        ("p99_below: 300ms, top_routes: 21", "from 1 to 20"),
        ("sli: {}", "target"),
    ] {
        let text = format!("service: checkout\nslos:\n  - {{ name: latency, {wrong} }}\n");
        let problem = from_text("p.yaml", &text).unwrap_err().to_string();
        assert!(
            problem.contains(says) && problem.contains("p.yaml:3"),
            "{wrong}: {problem}"
        );
    }
}
