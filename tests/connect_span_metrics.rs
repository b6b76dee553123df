//! `span_metrics` counts what an independent recount of the decoded spans counts, and has none of the faults of its
//! namesake.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::items_after_statements,
    missing_docs
)]

mod connect_support;

use burngate::config::{Buckets, Connector, Dimension, DurationUnit, SpanMetricsConnector, Temporality};
use burngate::pipeline::Consume;
use connect_support::{Point, SECOND, T0, World, any, checkout, find, request, span, text};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::Event};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn connector(change: impl FnOnce(&mut SpanMetricsConnector)) -> Connector {
    let mut config = SpanMetricsConnector::default();
    change(&mut config);
    Connector::SpanMetrics(Box::new(config))
}

fn dimension(name: &str, default: Option<&str>) -> Dimension {
    Dimension {
        name: name.into(),
        default: default.map(Into::into),
    }
}

fn error(mut it: Span) -> Span {
    it.status = Some(Status {
        code: 2,
        message: String::new(),
    });
    it
}

#[tokio::test]
async fn names_scope_and_dimensions_are_the_collectors() {
    let world = World::new(&connector(|_| ()), None);
    world
        .send(&checkout(vec![
            span("pay", 7, vec![]),
            error(span("pay", 3, vec![])),
        ]))
        .await
        .unwrap();
    world.step(60 * SECOND);
    let points = world.flush().await;
    assert_eq!(points.len(), 4);
    let calls = find(
        &points,
        "traces.span.metrics.calls",
        &[("status.code", "STATUS_CODE_ERROR")],
    )[0];
    assert_eq!(
        (calls.count, calls.delta, calls.scope.as_str()),
        (1, false, "spanmetricsconnector")
    );
    let keys: Vec<_> = calls.attributes.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "collector.instance.id",
            "service.name",
            "span.kind",
            "span.name",
            "status.code"
        ]
    );
    assert_eq!(calls.attributes["span.kind"], "SPAN_KIND_SERVER");
    assert_eq!(calls.attributes["service.name"], "checkout");
    assert_eq!((calls.start, calls.time), (T0, T0 + 60 * SECOND));
    let duration = find(
        &points,
        "traces.span.metrics.duration",
        &[("status.code", "STATUS_CODE_UNSET")],
    )[0];
    assert_eq!(
        (duration.unit.as_str(), duration.sum, duration.count),
        ("ms", 7.0, 1)
    );
    let bounds = [
        2., 4., 6., 8., 10., 50., 100., 200., 400., 800., 1000., 1400., 2000., 5000., 10_000., 15_000.,
    ];
    assert_eq!(duration.bounds, bounds);
    assert_eq!(duration.buckets[3], 1);
    assert!(duration.resource.is_empty());
}

#[tokio::test]
async fn a_duration_of_a_bound_is_below_it_and_one_nanosecond_more_is_not() {
    let world = World::new(&connector(|_| ()), None);
    let mut over = span("s", 250, vec![]);
    over.end_time_unix_nano = T0 + 10_000_001;
    let mut backwards = span("s", 0, vec![]);
    backwards.start_time_unix_nano = T0 + 5;
    world
        .send(&checkout(vec![span("s", 10, vec![]), over, backwards]))
        .await
        .unwrap();
    let points = world.flush().await;
    let duration = find(&points, "duration", &[])[0];
    assert_eq!(duration.buckets[..6], [1, 0, 0, 0, 1, 1]);
    assert_eq!((duration.min, duration.max), (0.0, 10.000_001));
}

#[tokio::test]
async fn a_missing_dimension_never_takes_the_place_of_another() {
    let world = World::new(
        &connector(|it| it.dimensions = vec![dimension("sha", None), dimension("flags", None)]),
        None,
    );
    let spans = vec![
        span("s", 1, vec![text("flags", "x")]),
        span("s", 1, vec![text("sha", "x")]),
        span("s", 1, vec![text("sha", "x")]),
        span("s", 1, vec![any("sha", Value::IntValue(1))]),
        span("s", 1, vec![text("sha", "1")]),
    ];
    world.send(&checkout(spans)).await.unwrap();
    let points = world.flush().await;
    let count = |with: &[(&str, &str)], without: &str| {
        let found = find(&points, "calls", with);
        let found: Vec<_> = found
            .iter()
            .filter(|point| !point.attributes.contains_key(without))
            .collect();
        assert_eq!(found.len(), 1, "{with:?}");
        found[0].count
    };
    assert_eq!(count(&[("flags", "x")], "sha"), 1);
    assert_eq!(count(&[("sha", "x")], "flags"), 2);
    assert_eq!(count(&[("sha", "int 1")], "flags"), 1);
    assert_eq!(count(&[("sha", "1")], "flags"), 1);
}

#[tokio::test]
async fn a_span_wins_over_its_resource_a_default_over_nothing_and_globs_take_what_matches() {
    let world = World::new(
        &connector(|it| {
            it.dimensions = vec![
                dimension("region", None),
                dimension("tier", Some("gold")),
                dimension("http.*", None),
            ];
        }),
        None,
    );
    let resource = vec![
        text("service.name", "checkout"),
        text("region", "eu"),
        text("http.scheme", "https"),
    ];
    let spans = vec![
        span(
            "s",
            1,
            vec![
                text("region", "us"),
                text("http.method", "GET"),
                text("other", "x"),
            ],
        ),
        span("t", 1, vec![]),
    ];
    world.send(&request(resource, spans)).await.unwrap();
    let points = world.flush().await;
    let one = &find(&points, "calls", &[("span.name", "s")])[0].attributes;
    assert_eq!((one["region"].as_str(), one["tier"].as_str()), ("us", "gold"));
    assert_eq!(
        (one["http.method"].as_str(), one["http.scheme"].as_str()),
        ("GET", "https")
    );
    assert!(!one.contains_key("other"));
    let two = &find(&points, "calls", &[("span.name", "t")])[0].attributes;
    assert_eq!(
        (two["region"].as_str(), two.contains_key("http.method")),
        ("eu", false)
    );
}

#[tokio::test]
async fn spans_of_nobody_count_and_restless_resources_are_one_series() {
    let world = World::new(&connector(|_| ()), None);
    world
        .send(&request(vec![], vec![span("s", 1, vec![])]))
        .await
        .unwrap();
    for pid in 0..5 {
        let resource = vec![
            text("service.name", "checkout"),
            any("process.pid", Value::IntValue(pid)),
        ];
        world
            .send(&request(resource, vec![span("s", 1, vec![])]))
            .await
            .unwrap();
    }
    let points = world.flush().await;
    assert_eq!(
        find(&points, "calls", &[("service.name", "unknown_service")])[0].count,
        1
    );
    let ours = find(&points, "calls", &[("service.name", "checkout")]);
    assert_eq!((ours.len(), ours[0].count), (1, 5));
}

#[tokio::test]
async fn resources_are_kept_apart_where_asked_by_the_attributes_that_were_named() {
    let world = World::new(
        &connector(|it| {
            it.add_resource_attributes = true;
            it.resource_metrics_key_attributes = vec!["service.name".into(), "k8s.pod.name".into()];
            it.resource_metrics_cache_size = 2;
        }),
        None,
    );
    let pod = |name: &str, pid: i64| {
        vec![
            text("service.name", "checkout"),
            text("k8s.pod.name", name),
            any("process.pid", Value::IntValue(pid)),
        ]
    };
    for (name, pid) in [("a", 1), ("a", 2), ("b", 3)] {
        world
            .send(&request(pod(name, pid), vec![span("s", 1, vec![])]))
            .await
            .unwrap();
    }
    let points = world.flush().await;
    let by_pod: BTreeMap<_, _> = find(&points, "calls", &[])
        .into_iter()
        .map(|point| {
            (
                point.resource["k8s.pod.name"].clone(),
                (point.count, point.resource["process.pid"].clone()),
            )
        })
        .collect();
    assert_eq!(
        by_pod,
        BTreeMap::from([
            ("a".into(), (2, "int 1".into())),
            ("b".into(), (1, "int 3".into()))
        ])
    );
    // A third resource: the one that was used least recently leaves at the next flush.
    world.step(SECOND);
    for name in ["b", "c"] {
        world
            .send(&request(pod(name, 4), vec![span("s", 1, vec![])]))
            .await
            .unwrap();
    }
    world.flush().await;
    let pods: Vec<_> = find(&world.flush().await, "calls", &[])
        .iter()
        .map(|p| p.resource["k8s.pod.name"].clone())
        .collect();
    assert_eq!(pods, ["b", "c"]);
}

#[tokio::test]
async fn what_lies_beyond_the_limit_is_one_series_that_says_so_and_nothing_is_lost() {
    let world = World::new(&connector(|it| it.aggregation_cardinality_limit = 3), None);
    let spans = (0..10).map(|n| span(&format!("s{n}"), 1, vec![])).collect();
    world.send(&checkout(spans)).await.unwrap();
    let points = world.flush().await;
    let calls = find(&points, "calls", &[]);
    assert_eq!(calls.len(), 4);
    let overflow = find(&points, "calls", &[("otel.metric.overflow", "bool true")])[0];
    assert_eq!((overflow.count, overflow.attributes.len()), (7, 1));
    assert_eq!(calls.iter().map(|point| point.count).sum::<u64>(), 10);
    assert_eq!(
        find(&points, "duration", &[("otel.metric.overflow", "bool true")])[0].count,
        7
    );
}

#[tokio::test]
async fn idle_series_leave_and_come_back_with_a_later_start() {
    let world = World::new(
        &connector(|it| it.series_expiration = Duration::from_secs(100)),
        None,
    );
    world
        .send(&checkout(vec![span("old", 1, vec![]), span("new", 1, vec![])]))
        .await
        .unwrap();
    assert_eq!(find(&world.flush().await, "calls", &[]).len(), 2);
    world.step(60 * SECOND);
    world.send(&checkout(vec![span("new", 1, vec![])])).await.unwrap();
    world.step(50 * SECOND);
    // Told once more, and then forgotten.
    world.flush().await;
    assert_eq!(find(&world.flush().await, "calls", &[]).len(), 1);
    world.send(&checkout(vec![span("old", 1, vec![])])).await.unwrap();
    world.step(SECOND);
    let points = world.flush().await;
    let old = find(&points, "calls", &[("span.name", "old")])[0];
    assert_eq!((old.count, old.start), (1, T0 + 110 * SECOND));
}

#[tokio::test]
async fn metrics_expiration_looks_at_a_service_as_a_whole() {
    let world = World::new(
        &connector(|it| it.metrics_expiration = Duration::from_secs(100)),
        None,
    );
    let of =
        |service: &str, name: &str| request(vec![text("service.name", service)], vec![span(name, 1, vec![])]);
    for (service, name) in [("a", "one"), ("a", "two"), ("b", "one")] {
        world.send(&of(service, name)).await.unwrap();
    }
    world.flush().await;
    world.step(99 * SECOND);
    world.send(&of("a", "one")).await.unwrap();
    world.step(2 * SECOND);
    world.flush().await;
    let points = world.flush().await;
    assert_eq!(find(&points, "calls", &[("service.name", "a")]).len(), 2);
    assert!(find(&points, "calls", &[("service.name", "b")]).is_empty());
}

#[tokio::test]
async fn after_a_restart_counters_go_on_under_the_same_name_and_start() {
    let folder = tempfile::tempdir().unwrap();
    for exponential in [false, true] {
        let connector = connector(|it| {
            it.series_expiration = Duration::ZERO;
            if exponential {
                it.buckets = Buckets::Exponential { max_size: 8 };
            }
        });
        let world = World::new(&connector, Some(folder.path()));
        let mut sampled = span("s", 3, vec![]);
        sampled.trace_state = "ot=th:55555555555555".into();
        world
            .send(&checkout(vec![
                sampled,
                span("s", 0, vec![]),
                span("s", 900, vec![]),
            ]))
            .await
            .unwrap();
        world.step(SECOND);
        let before = world.flush().await;
        let again = World::at(&connector, Some(folder.path()), T0 + 9 * SECOND);
        let mut restored = again.flush().await;
        for point in &mut restored {
            point.time = T0 + SECOND;
        }
        let sorted = |mut points: Vec<Point>| {
            points.sort_by(|a, b| a.metric.cmp(&b.metric));
            points
        };
        assert_eq!(sorted(restored), sorted(before));
        again.send(&checkout(vec![span("s", 1, vec![])])).await.unwrap();
        assert_eq!(find(&again.flush().await, "calls", &[])[0].count, 4);
    }
}

#[tokio::test]
async fn a_damaged_or_foreign_file_begins_anew_and_says_so_by_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let first = connector(|_| ());
    let world = World::new(&first, Some(folder.path()));
    world.send(&checkout(vec![span("s", 1, vec![])])).await.unwrap();
    world.flush().await;
    let other = connector(|it| it.dimensions = vec![dimension("sha", None)]);
    assert!(
        World::at(&other, Some(folder.path()), T0 + 1)
            .flush()
            .await
            .is_empty()
    );
    world.flush().await;
    let path = folder.path().join("span_metrics/span_metrics%2Fa.state");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(
        World::at(&first, Some(folder.path()), T0 + 1)
            .flush()
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn deltas_follow_each_other_and_wait_for_pipelines_that_refuse() {
    let world = World::new(&connector(|it| it.temporality = Temporality::Delta), None);
    world.send(&checkout(vec![span("s", 1, vec![])])).await.unwrap();
    world.step(10 * SECOND);
    let first = world.flush().await;
    assert_eq!((first[0].delta, first[0].count, first[0].start), (true, 1, T0));
    assert!(world.flush().await.is_empty(), "nothing new, nothing told");
    world.sink.refuses.store(true, Ordering::Relaxed);
    world
        .send(&checkout(vec![span("s", 2, vec![]), span("s", 2, vec![])]))
        .await
        .unwrap();
    world.step(10 * SECOND);
    assert!(world.flush().await.is_empty());
    world.sink.refuses.store(false, Ordering::Relaxed);
    world.send(&checkout(vec![span("s", 4, vec![])])).await.unwrap();
    world.step(10 * SECOND);
    let points = world.flush().await;
    let told: Vec<_> = find(&points, "calls", &[])
        .iter()
        .map(|p| (p.start - T0, p.time - T0, p.count))
        .collect();
    assert_eq!(
        told,
        [(10 * SECOND, 20 * SECOND, 2), (20 * SECOND, 30 * SECOND, 1)]
    );
    let max: Vec<_> = find(&points, "duration", &[]).iter().map(|p| p.max).collect();
    assert_eq!(max, [2.0, 4.0]);
}

#[tokio::test]
async fn exemplars_are_the_newest_spans_and_are_told_once() {
    let world = World::new(
        &connector(|it| {
            it.exemplars = true;
            it.max_per_data_point = 2;
        }),
        None,
    );
    world
        .send(&checkout((0..5).map(|n| span("s", n, vec![])).collect()))
        .await
        .unwrap();
    let points = world.flush().await;
    let duration = find(&points, "duration", &[])[0];
    assert_eq!(duration.exemplars.len(), 2);
    assert_eq!(
        (
            duration.exemplars[0].trace_id.as_slice(),
            duration.exemplars[0].span_id.as_slice()
        ),
        (&[7; 16][..], &[8; 8][..])
    );
    assert_eq!(find(&points, "calls", &[])[0].exemplars.len(), 2);
    assert!(world.flush().await.iter().all(|point| point.exemplars.is_empty()));
}

#[tokio::test]
async fn events_are_counted_by_their_own_dimensions() {
    let world = World::new(
        &connector(|it| {
            it.events = true;
            it.events_dimensions = vec![dimension("exception.type", None)];
        }),
        None,
    );
    let event = |kind: &str| Event {
        name: "exception".into(),
        attributes: vec![text("exception.type", kind)],
        ..Event::default()
    };
    let mut it = span("s", 1, vec![]);
    it.events = vec![event("Timeout"), event("Refused"), event("Timeout")];
    world.send(&checkout(vec![it])).await.unwrap();
    let points = world.flush().await;
    let count =
        |kind: &str| find(&points, "traces.span.metrics.events", &[("exception.type", kind)])[0].count;
    assert_eq!((count("Timeout"), count("Refused")), (2, 1));
    assert_eq!(find(&points, "calls", &[])[0].count, 1);
}

#[tokio::test]
async fn options_change_what_is_told() {
    let world = World::new(
        &connector(|it| {
            it.namespace = String::new();
            it.unit = DurationUnit::Secs;
            it.exclude_dimensions = vec!["status.code".into(), "collector.instance.id".into()];
            it.calls_dimensions = vec![dimension("a", None)];
            it.histogram_dimensions = vec![dimension("b", None)];
            it.include_instrumentation_scope = vec!["lib".into()];
            it.enable_metrics_sampling_method = true;
        }),
        None,
    );
    let mut sampled = span("s", 1500, vec![text("a", "1"), text("b", "2")]);
    sampled.trace_state = "ot=th:8".into();
    world.send(&checkout(vec![sampled])).await.unwrap();
    let points = world.flush().await;
    let calls = find(&points, "calls", &[("a", "1")])[0];
    assert_eq!((calls.metric.as_str(), calls.count), ("calls", 2));
    assert!(!calls.attributes.contains_key("b") && !calls.attributes.contains_key("status.code"));
    assert_eq!(calls.attributes["span.instrumentation.scope.name"], "lib");
    assert_eq!(calls.attributes["span.instrumentation.scope.version"], "1.2");
    assert_eq!(calls.attributes["sampling.method"], "adjusted");
    let duration = find(&points, "duration", &[("b", "2")])[0];
    assert_eq!(
        (duration.unit.as_str(), duration.sum, duration.max),
        ("s", 3.0, 1.5)
    );
    assert!(
        !duration.attributes.contains_key("a") && !duration.attributes.contains_key("collector.instance.id")
    );
}

#[tokio::test]
async fn a_broken_batch_counts_nothing() {
    let world = World::new(&connector(|_| ()), None);
    let mut bytes = prost::Message::encode_to_vec(&checkout(vec![span("s", 1, vec![])]));
    bytes.extend([0x0a, 0xff]);
    let batch = burngate::pipeline::Batch::new(burngate::pipeline::Signal::Traces, bytes.into());
    assert!(world.built.consume(batch).await.is_err());
    assert!(world.flush().await.is_empty());
}

#[tokio::test]
async fn many_series_leave_in_requests_of_a_size_that_backends_take() {
    let world = World::new(&connector(|_| ()), None);
    for part in 0..10 {
        let spans = (0..1000)
            .map(|n| span(&format!("s{part}.{n}"), 1, vec![]))
            .collect();
        world.send(&checkout(spans)).await.unwrap();
    }
    world.built.flush().await;
    let largest = world
        .sink
        .batches
        .lock()
        .unwrap()
        .iter()
        .map(|batch| batch.bytes.len())
        .max()
        .unwrap();
    assert!(largest < 3 << 20, "{largest}");
    assert_eq!(world.points().len(), 20_000);
}

/// One span as the model sees it.
#[derive(Clone, Debug)]
struct Made {
    name: u8,
    kind: i32,
    status: i32,
    nanos: u64,
    sha: Option<u8>,
    service: u8,
    threshold: u8,
}

fn made() -> impl Strategy<Value = Made> {
    let nanos = prop_oneof![
        0u64..30_000_000_000,
        (0u64..16).prop_map(|n| n * 1_000_000),
        Just(2_000_000u64)
    ];
    (
        0u8..3,
        0i32..6,
        0i32..3,
        nanos,
        proptest::option::of(0u8..2),
        0u8..3,
        0u8..3,
    )
        .prop_map(|(name, kind, status, nanos, sha, service, threshold)| Made {
            name,
            kind,
            status,
            nanos,
            sha,
            service,
            threshold,
        })
}

/// What the recount knows of a series.
#[derive(Debug, Default)]
struct Recount {
    calls: u64,
    buckets: Vec<u64>,
    nanos: u128,
    min: u64,
    max: u64,
}

const KINDS: [&str; 6] = [
    "UNSPECIFIED",
    "INTERNAL",
    "SERVER",
    "CLIENT",
    "PRODUCER",
    "CONSUMER",
];
const STATUSES: [&str; 3] = ["UNSET", "OK", "ERROR"];

fn recount(all: &[Made]) -> BTreeMap<[String; 5], Recount> {
    let bounds: [u64; 16] = [
        2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000,
    ];
    let mut series = BTreeMap::<_, Recount>::new();
    for it in all {
        let service = if it.service == 0 {
            "unknown_service".to_owned()
        } else {
            format!("svc{}", it.service)
        };
        let key = [
            service,
            format!("n{}", it.name),
            format!("SPAN_KIND_{}", KINDS[usize::try_from(it.kind).unwrap()]),
            format!("STATUS_CODE_{}", STATUSES[usize::try_from(it.status).unwrap()]),
            it.sha.map_or_else(String::new, |sha| format!("sha{sha}")),
        ];
        let weight = 1u64 << it.threshold;
        let of = series.entry(key).or_default();
        if of.buckets.is_empty() {
            of.buckets = vec![0; 17];
            of.min = u64::MAX;
        }
        of.calls += weight;
        let bucket = bounds
            .iter()
            .position(|bound| it.nanos <= bound * 1_000_000)
            .unwrap_or(16);
        of.buckets[bucket] += weight;
        of.nanos += u128::from(it.nanos) * u128::from(weight);
        of.min = of.min.min(it.nanos);
        of.max = of.max.max(it.nanos);
    }
    series
}

fn to_request(all: &[Made]) -> opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest {
    let mut whole = checkout(vec![]);
    whole.resource_spans.clear();
    for it in all {
        let resource = match it.service {
            0 => vec![],
            service => vec![text("service.name", &format!("svc{service}"))],
        };
        let attributes = it
            .sha
            .map(|sha| text("sha", &format!("sha{sha}")))
            .into_iter()
            .collect();
        let mut span = span(&format!("n{}", it.name), 0, attributes);
        span.end_time_unix_nano = T0 + it.nanos;
        span.kind = it.kind;
        span.status = Some(Status {
            code: it.status,
            message: String::new(),
        });
        // Weights of 1, 2 and 4.
        span.trace_state = ["", "ot=th:8", "a=b,ot=th:c"][usize::from(it.threshold)].into();
        whole
            .resource_spans
            .extend(request(resource, vec![span]).resource_spans);
    }
    whole
}

fn assert_recount(points: &[Point], expected: &BTreeMap<[String; 5], Recount>, exponential: bool) {
    assert_eq!(points.len(), expected.len() * 2);
    for (key, want) in expected {
        let names = ["service.name", "span.name", "span.kind", "status.code", "sha"];
        let with: Vec<_> = names
            .into_iter()
            .zip(key.iter().map(String::as_str))
            .filter(|(_, v)| !v.is_empty())
            .collect();
        let absent = |point: &&&Point| !key[4].is_empty() || !point.attributes.contains_key("sha");
        let one = |metric: &str| {
            let found = find(points, metric, &with);
            let found: Vec<_> = found.iter().filter(absent).copied().cloned().collect();
            assert_eq!(found.len(), 1, "{key:?}");
            found.into_iter().next().unwrap()
        };
        assert_eq!(one("calls").count, want.calls, "{key:?}");
        let duration = one("duration");
        assert_eq!(duration.count, want.calls);
        if exponential {
            assert_eq!(duration.zero + duration.buckets.iter().sum::<u64>(), want.calls);
        } else {
            assert_eq!(duration.buckets, want.buckets);
        }
        let millis = |nanos: u128| nanos as f64 / 1e6;
        assert!((duration.sum - millis(want.nanos)).abs() <= 1e-9 * (1.0 + millis(want.nanos)));
        assert_eq!(
            (duration.min, duration.max),
            (millis(want.min.into()), millis(want.max.into()))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_spans_count_as_an_independent_recount_counts_them(
        batches in proptest::collection::vec(proptest::collection::vec(made(), 0..30), 1..5),
        exponential: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new(
                &connector(|it| {
                    it.dimensions = vec![dimension("sha", None)];
                    if exponential {
                        it.buckets = Buckets::Exponential { max_size: 10 };
                    }
                }),
                None,
            );
            for batch in &batches {
                world.send(&to_request(batch)).await.unwrap();
            }
            assert_recount(&world.flush().await, &recount(&batches.concat()), exponential);
        });
    }

    #[test]
    fn deltas_add_up_to_the_recount(
        batches in proptest::collection::vec(proptest::collection::vec(made(), 0..20), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new(
                &connector(|it| {
                    it.dimensions = vec![dimension("sha", None)];
                    it.temporality = Temporality::Delta;
                }),
                None,
            );
            let mut told = 0;
            for batch in &batches {
                world.send(&to_request(batch)).await.unwrap();
                world.step(SECOND);
                let points = world.flush().await;
                assert_recount(&points, &recount(batch), false);
                told += find(&points, "calls", &[]).iter().map(|point| point.count).sum::<u64>();
            }
            let all = recount(&batches.concat());
            assert_eq!(told, all.values().map(|it| it.calls).sum::<u64>());
        });
    }
}
