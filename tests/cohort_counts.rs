//! What must hold of the counts whatever is sent: totals are exact, caps hold, nothing panics.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cohort_support;

use burngate::cohort::{CohortKey, Level, NamedFlags, OVERFLOW_SERVICE, Registry, SourceId};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::ledger::{Compiled, Tap, TapOutcome};
use burngate::sli::{ObjectiveName, ObjectiveSpec, SliSpec};
use burngate::time::UnixNanos;
use burngate::wire::WalkError;
use cohort_support::{NOW, array, by_cohort, kv, map, request, s, tap};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

fn span(end: UnixNanos, bad: bool, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: end.0.saturating_sub(5_000_000),
        end_time_unix_nano: end.0,
        attributes,
        status: Some(Status {
            code: if bad { 2 } else { 0 },
            message: String::new(),
        }),
        ..Span::default()
    }
}

fn service(name: &str) -> Vec<KeyValue> {
    vec![kv("service.name", s(name))]
}

/// Good and bad of the rows at one level.
fn at(tap: &Tap, outcome: &TapOutcome, level: impl Fn(&CohortKey) -> bool) -> (u64, u64) {
    let rows = by_cohort(tap, outcome).into_iter().filter(|(key, _)| level(key));
    rows.fold((0, 0), |(good, bad), (_, counts)| {
        (good + counts.good, bad + counts.bad)
    })
}

fn is_total(key: &CohortKey) -> bool {
    key.level == Level::Total
}

#[test]
fn an_event_counts_in_the_bucket_of_its_end_if_that_is_near() {
    let tap = tap(&Cohorts::default(), &[]);
    let bucket = |end: UnixNanos| {
        let outcome = tap
            .process(
                &request(service("a"), vec![], vec![span(end, false, vec![])]),
                None,
                NOW,
            )
            .unwrap();
        (outcome.series[0].bucket, outcome.stats.late, outcome.stats.future)
    };
    let now = NOW.secs() / 10;
    assert_eq!(bucket(NOW), (now, 0, 0));
    assert_eq!(bucket(NOW.minus_secs(300)), (now - 30, 0, 0));
    assert_eq!(bucket(UnixNanos(NOW.minus_secs(300).0 - 1)), (now, 1, 0));
    assert_eq!(bucket(NOW.plus_secs(60)), (now + 6, 0, 0));
    assert_eq!(bucket(UnixNanos(NOW.plus_secs(60).0 + 1)), (now, 0, 1));
    assert_eq!(bucket(UnixNanos(0)), (now, 1, 0));
}

#[test]
fn a_span_that_ends_before_it_starts_is_counted_as_such() {
    let tap = tap(&Cohorts::default(), &[]);
    let backwards = Span {
        start_time_unix_nano: NOW.0 + 1,
        ..span(NOW, false, vec![])
    };
    let outcome = tap
        .process(&request(service("a"), vec![], vec![backwards]), None, NOW)
        .unwrap();
    assert_eq!((outcome.stats.invalid_durations, outcome.stats.judged), (1, 1));
}

#[test]
fn every_objective_of_a_service_counts_for_itself() {
    let spec = |slo: &str, sli: &str| ObjectiveSpec {
        name: ObjectiveName {
            service: "checkout".into(),
            slo: slo.into(),
        },
        environment: None,
        sli: serde_json::from_str(sli).unwrap(),
    };
    let specs = [
        spec("availability", "{}"),
        spec("latency", r#"{"faster_than": "1ms"}"#),
    ];
    let cohorts = Cohorts::default();
    let limits = ReceiverLimits::default();
    let compiled = Compiled::compile(&specs, None, NamedFlags::new(), &cohorts, &limits).unwrap();
    let tap = Tap::new(compiled, Arc::new(Registry::new(&cohorts)));
    let spans = vec![span(NOW, false, vec![]), span(NOW, true, vec![])];
    let outcome = tap
        .process(&request(service("checkout"), vec![], spans.clone()), None, NOW)
        .unwrap();
    let mut rows: Vec<_> = outcome
        .series
        .iter()
        .map(|row| {
            let name = tap.registry().objective(row.objective).unwrap();
            (name.slo.to_string(), row.counts.good, row.counts.bad)
        })
        .collect();
    rows.sort();
    assert_eq!(
        rows,
        [("availability".to_owned(), 1, 1), ("latency".to_owned(), 0, 2)]
    );
    let stranger = tap
        .process(&request(service("cart"), vec![], spans), None, NOW)
        .unwrap();
    assert_eq!(stranger.series, [], "no policy, no default: nothing counts");
}

#[test]
fn evidence_cells_are_kept_for_shas_and_for_named_flags() {
    let tap = tap(&Cohorts::default(), &["named"]);
    let spans = ["/a", "/b"].map(|route| {
        span(
            NOW,
            true,
            vec![kv("http.route", s(route)), kv("feature.flags", s("named,other"))],
        )
    });
    let mut resource = service("checkout");
    resource.extend([kv("deployment.sha", s("abc")), kv("cloud.region", s("eu"))]);
    let peer = Some("192.0.2.7:4711".parse().unwrap());
    let outcome = tap
        .process(&request(resource, vec![], spans.into()), peer, NOW)
        .unwrap();
    let registry = tap.registry();
    let cells: HashSet<_> = outcome
        .evidence
        .iter()
        .map(|cell| {
            let stratum = registry.stratum(cell.stratum).unwrap();
            assert_eq!((cell.counts.good, cell.counts.bad), (0, 1));
            assert_eq!(registry.source(cell.source).as_deref(), Some("192.0.2.7"));
            assert_eq!(stratum.region.as_deref(), Some("eu"));
            let cohort = match &registry.key(cell.cohort).unwrap().level {
                Level::Deployment { sha } => sha.to_string(),
                Level::Flag { flag, variant, .. } => format!("{flag}={variant}"),
                Level::Total | Level::Route { .. } | Level::Overflow => panic!("no cells for totals"),
            };
            format!("{cohort} {}", stratum.endpoint)
        })
        .collect();
    let expected = ["abc /a", "abc /b", "named=on /a", "named=on /b"].map(str::to_owned);
    assert_eq!(cells, HashSet::from(expected));
    assert!(
        outcome
            .evidence
            .iter()
            .all(|cell| cell.source != SourceId::OVERFLOW)
    );
}

#[test]
fn a_batch_of_nothing_but_new_shas_keeps_its_totals() {
    let cohorts = Cohorts {
        max_new_per_minute: 10,
        ..Cohorts::default()
    };
    let tap = tap(&cohorts, &[]);
    let spans: Vec<_> = (0..6_000u32)
        .map(|n| span(NOW, n % 3 == 0, vec![kv("deployment.sha", s(&n.to_string()))]))
        .collect();
    let outcome = tap
        .process(&request(service("checkout"), vec![], spans), None, NOW)
        .unwrap();
    assert_eq!(at(&tap, &outcome, is_total), (4_000, 2_000));
    let live = at(&tap, &outcome, |key| {
        matches!(key.level, Level::Deployment { .. })
    });
    let rest = at(&tap, &outcome, |key| key.level == Level::Overflow);
    assert_eq!((live.0 + live.1, rest.0 + rest.1), (10, 5_990));
    assert_eq!(outcome.overflow.values().sum::<u64>(), 5_990);
    assert!(outcome.overflow.contains_key("batch_groups"));
}

#[test]
fn services_beyond_the_cap_count_under_one_name() {
    let cohorts = Cohorts {
        max_services: 2,
        ..Cohorts::default()
    };
    let tap = tap(&cohorts, &[]);
    let mut seen = (0, 0);
    for n in 0..10 {
        let bytes = request(service(&format!("s{n}")), vec![], vec![span(NOW, true, vec![])]);
        let outcome = tap.process(&bytes, None, NOW).unwrap();
        let folded = at(&tap, &outcome, |key| {
            is_total(key) && &*key.service == OVERFLOW_SERVICE
        });
        seen = (seen.0 + at(&tap, &outcome, is_total).1, seen.1 + folded.1);
        for row in &outcome.series {
            let (objective, cohort) = (
                tap.registry().objective(row.objective).unwrap(),
                tap.registry().key(row.cohort).unwrap(),
            );
            assert_eq!(objective.service, cohort.service);
        }
    }
    assert_eq!(seen, (10, 8));
}

#[test]
fn a_request_that_is_refused_leaves_no_trace() {
    let tap = tap(&Cohorts::default(), &[]);
    let mut bytes = request(service("checkout"), vec![], vec![span(NOW, true, vec![])]);
    bytes.push(0xff);
    assert!(matches!(
        tap.process(&bytes, None, NOW),
        Err(WalkError::Malformed(_))
    ));
    assert_eq!(
        (tap.registry().stats().totals, tap.registry().stats().objectives),
        (0, 0)
    );
}

#[test]
fn resources_without_a_usable_name_are_one_service() {
    let tap = tap(&Cohorts::default(), &[]);
    for resource in [
        vec![],
        service(""),
        service("a\nb"),
        vec![kv("service.name", Value::IntValue(1))],
    ] {
        let outcome = tap
            .process(
                &request(resource, vec![], vec![span(NOW, true, vec![])]),
                None,
                NOW,
            )
            .unwrap();
        assert_eq!(
            at(&tap, &outcome, |key| &*key.service == "unknown_service"),
            (0, 1)
        );
        assert_eq!(outcome.stats.unknown_service, 1);
    }
}

#[test]
fn a_reload_keeps_the_handles() {
    let cohorts = Cohorts::default();
    let tap = tap(&cohorts, &[]);
    let bytes = request(
        service("checkout"),
        vec![],
        vec![span(NOW, true, vec![kv("deployment.sha", s("a"))])],
    );
    let before = tap.process(&bytes, None, NOW).unwrap();
    let default = burngate::sli::DefaultObjective {
        slo: "availability".into(),
        sli: SliSpec::default(),
    };
    let limits = ReceiverLimits::default();
    tap.swap(Compiled::compile(&[], Some(&default), NamedFlags::new(), &cohorts, &limits).unwrap());
    assert_eq!(tap.process(&bytes, None, NOW).unwrap(), before);
}

/// Values that look like evidence, and values that only try to.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-c]{0,3}([=:,;| !-]{1,2}[a-c\"{}\\[\\]]{0,3}){0,4}".prop_map(|text| s(&text)),
        "\\PC{0,12}".prop_map(|text| s(&text)),
        any::<String>().prop_map(|text| s(&text)),
        Just(s("{\"a\":true,\"b\":[1]}")),
        Just(s("[\"a=b\",{\"key\":\"c\",\"value\":null}]")),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(Value::BytesValue),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| array([a, b])),
            (inner.clone(), inner).prop_map(|(a, b)| map([("key", a), ("variant", b)])),
        ]
    })
}

fn attribute() -> impl Strategy<Value = KeyValue> {
    let key = proptest::sample::select(vec![
        "feature.flags",
        "feature_flags",
        "feature_flag.enabled",
        "feature_flag.x",
        "flag.evaluation.y",
        "feature_flag.key",
        "feature_flag.result.variant",
        "feature_flag.result.variationIndex",
        "feature_flag.result.reason",
        "deployment.sha",
        "service.version",
        "http.route",
        "error.type",
    ]);
    (key, value()).prop_map(|(key, value)| kv(key, value))
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    proptest::collection::vec(attribute(), 0..4)
}

prop_compose! {
    fn any_span()(
        own in attributes(),
        event in attributes(),
        kind in 0i32..6,
        code in 0i32..3,
        end in prop_oneof![Just(NOW.0), any::<u64>(), (0..400u64).prop_map(|n| NOW.minus_secs(n).0)],
    ) -> Span {
        let event = Event { name: "feature_flag".into(), attributes: event, ..Event::default() };
        Span {
            kind,
            end_time_unix_nano: end,
            events: vec![event],
            status: Some(Status { code, message: String::new() }),
            ..span(NOW, false, own)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("BURNGATE_LONG").is_some() { 5_000 } else { 100 }
    ))]

    /// Any telemetry, tight caps: totals count each judged span once, each deeper level at most once, and
    /// rows are merged.
    #[test]
    fn totals_are_exact_whatever_is_sent(
        resource in attributes(),
        scope in attributes(),
        spans in proptest::collection::vec(any_span(), 0..30),
        per_service in 1u32..4,
    ) {
        let cohorts = Cohorts {
            max_per_service: per_service,
            max_total: 4,
            max_flags: 3,
            ..Cohorts::default()
        };
        let tap = tap(&cohorts, &["a", "x"]);
        let mut own = service("checkout");
        own.extend(resource);
        let requests = spans.iter().filter(|span| matches!(span.kind, 2 | 5)).count() as u64;
        let outcome = tap.process(&request(own, scope, spans), None, NOW).unwrap();
        let stats = outcome.stats;
        prop_assert_eq!(stats.judged + stats.evaluation_spans.min(requests), requests);
        let total = at(&tap, &outcome, is_total);
        prop_assert_eq!(total.0 + total.1, stats.judged);
        for level in [
            at(&tap, &outcome, |key| matches!(key.level, Level::Deployment { .. })),
            at(&tap, &outcome, |key| key.level == Level::Overflow),
            at(&tap, &outcome, |key| matches!(&key.level, Level::Flag { flag, .. } if &**flag == "a")),
        ] {
            prop_assert!(level.0 <= total.0 && level.1 <= total.1);
        }
        prop_assert!(tap.registry().stats().cohorts <= per_service);
        let rows: HashSet<_> =
            outcome.series.iter().map(|row| (row.objective, row.cohort, row.bucket)).collect();
        prop_assert_eq!(rows.len(), outcome.series.len());
        // The same bytes again give the same answer: nothing depends on what came before.
        let again = tap.process(&request(service("checkout"), vec![], vec![]), None, NOW).unwrap();
        prop_assert_eq!(again.series.len(), 0);
    }
}
