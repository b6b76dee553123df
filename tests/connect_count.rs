//! `count` counts what its conditions say, by the attributes it was given, and `forward` hands over the very bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod connect_support;

use burngate::config::{Connector, CountAttribute, CountConnector, CountMetric, Scalar};
use burngate::connect::{Context, build};
use burngate::pipeline::{Batch, Consume, Signal};
use connect_support::{Hand, Kept, LIMITS, SECOND, T0, World, any, checkout, find, request, span, text};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn metric(name: &str, conditions: &[&str], attributes: &[(&str, Option<Scalar>)]) -> CountMetric {
    let attribute = |(key, default_value): &(&str, Option<Scalar>)| CountAttribute {
        key: (*key).into(),
        default_value: default_value.clone(),
    };
    CountMetric {
        name: name.into(),
        description: "d".into(),
        conditions: conditions.iter().map(|it| (*it).to_owned()).collect(),
        attributes: attributes.iter().map(attribute).collect(),
    }
}

#[tokio::test]
async fn everything_is_counted_by_default_as_deltas_of_each_resource() {
    let world = World::new(&Connector::Count(CountConnector::default()), None);
    let mut one = span("a", 1, vec![]);
    one.events = vec![Event::default(), Event::default()];
    world
        .send(&checkout(vec![one, span("b", 1, vec![])]))
        .await
        .unwrap();
    let points = world.points();
    let spans = find(&points, "trace.span.count", &[])[0];
    assert_eq!(
        (spans.count, spans.delta, spans.scope.as_str()),
        (2, true, "otelcol/countconnector")
    );
    assert_eq!(spans.resource["service.name"], "checkout");
    assert_eq!(find(&points, "trace.span.event.count", &[])[0].count, 2);
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord::default(); 3],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    world
        .built
        .consume(Batch::new(Signal::Logs, logs.encode_to_vec().into()))
        .await
        .unwrap();
    assert_eq!(find(&world.points(), "log.record.count", &[])[0].count, 3);
}

#[tokio::test]
async fn metrics_and_data_points_are_counted_apart() {
    let world = World::new(&Connector::Count(CountConnector::default()), None);
    world.send(&checkout(vec![span("a", 1, vec![])])).await.unwrap();
    // What it made itself is as good as any: two metrics with a point each.
    let made = world.sink.batches.lock().unwrap().pop().unwrap();
    world.built.consume(made).await.unwrap();
    let points = world.points();
    assert_eq!(find(&points, "metric.count", &[])[0].count, 1);
    assert_eq!(find(&points, "metric.datapoint.count", &[])[0].count, 1);
}

#[tokio::test]
async fn conditions_choose_and_attributes_keep_apart() {
    let world = World::new(
        &Connector::Count(CountConnector {
            spans: vec![
                metric("slow", &["name == \"b\"", "attributes[\"env\"] == \"dev\""], &[]),
                metric("by.env", &[], &[("env", None)]),
                metric(
                    "by.tier",
                    &[],
                    &[("tier", Some(Scalar::Int(3))), ("service.name", None)],
                ),
            ],
            ..CountConnector::default()
        }),
        None,
    );
    let spans = vec![
        span("a", 1, vec![text("env", "dev")]),
        span("b", 1, vec![text("env", "prod")]),
        span("c", 1, vec![any("tier", Value::IntValue(1))]),
    ];
    world.send(&checkout(spans)).await.unwrap();
    let points = world.points();
    assert_eq!(find(&points, "slow", &[])[0].count, 2);
    assert_eq!(
        find(&points, "by.env", &[]).len(),
        2,
        "a span without env does not count"
    );
    assert_eq!(find(&points, "by.env", &[("env", "prod")])[0].count, 1);
    let tier = |tier: &str| {
        find(
            &points,
            "by.tier",
            &[("tier", tier), ("service.name", "checkout")],
        )[0]
        .count
    };
    assert_eq!((tier("int 1"), tier("int 3")), (1, 2));
}

#[tokio::test]
async fn deltas_follow_each_other_and_a_refusal_is_told() {
    let world = World::new(&Connector::Count(CountConnector::default()), None);
    let mut times = Vec::new();
    for _ in 0..3 {
        world.send(&checkout(vec![span("a", 1, vec![])])).await.unwrap();
        let point = world.points().remove(0);
        times.push((point.start, point.time));
        world.step(SECOND);
    }
    assert_eq!(
        times,
        [(T0, T0), (T0, T0 + SECOND), (T0 + SECOND, T0 + 2 * SECOND)]
    );
    world.sink.refuses.store(true, Ordering::Relaxed);
    assert!(world.send(&checkout(vec![span("a", 1, vec![])])).await.is_err());
}

#[tokio::test]
async fn what_holds_nothing_makes_no_metrics() {
    let world = World::new(&Connector::Count(CountConnector::default()), None);
    world.send(&request(vec![], vec![])).await.unwrap();
    assert!(world.points().is_empty());
}

#[test]
fn a_condition_that_is_not_understood_is_refused_by_its_place() {
    let connector = Connector::Count(CountConnector {
        logs: vec![metric("x", &["body =="], &[])],
        ..CountConnector::default()
    });
    let context = Context {
        clock: Arc::new(Hand(AtomicU64::new(T0))),
        storage: None,
        limits: LIMITS,
    };
    let error = build("count/a", &connector, Arc::new(Kept::default()), &context)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("connector count/a: logs.x.conditions: `body ==`"),
        "{error}"
    );
}

#[tokio::test]
async fn forward_hands_over_the_very_bytes() {
    let world = World::new(&Connector::Forward, None);
    let batch = Batch::new(Signal::Logs, b"any".to_vec().into());
    world.built.consume(batch.clone()).await.unwrap();
    assert!(world.sink.batches.lock().unwrap()[0].same_bytes(&batch));
}
