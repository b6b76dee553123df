//! The walk allocates its scratch once a request, and nothing a span.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../benches/common/mod.rs"]
mod common;

use alloc_tracker::{Allocator, Session};
use burngate::wire::{
    Attributes, Event, Identity, KeyTable, KeyTableBuilder, LogRecord, LogSink, Metric, MetricSink, Point,
    PointValue, Scope, Span, SpanSink, WalkLimits, walk_logs, walk_metrics, walk_traces,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProstValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as ProstAny, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as ProstRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::span::Event as ProstEvent;
use prost::Message;

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

const LIMITS: WalkLimits = WalkLimits {
    spans_max: 100_000,
    attributes_max: 256,
    events_max: 256,
    nesting_max: 16,
};

#[derive(Default)]
struct Count(u64);

impl<'a> SpanSink<'a> for Count {
    fn forget(&mut self) {
        self.0 = 0;
    }

    fn resource(&mut self, _: &Attributes<'a>) {}
    fn scope(&mut self, _: &Scope<'a, '_>) {}
    fn span(&mut self, _: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]) {
        self.0 += 1 + attributes.prefixed().len() as u64 + events.len() as u64;
    }
}

fn table() -> KeyTable {
    let mut builder = KeyTableBuilder::default();
    for key in [
        "service.name",
        "http.route",
        "http.response.status_code",
        "feature.flags",
    ] {
        builder.key(key);
    }
    builder.prefix("feature_flag.");
    builder.build()
}

/// Allocations of one walk over `request`.
fn allocations(request: &[u8], keys: &KeyTable) -> u64 {
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("walk");
    let mut sink = Count::default();
    let summary = {
        let _span = operation.measure_thread().iterations(1);
        walk_traces(request, keys, &LIMITS, &mut sink).unwrap()
    };
    assert!(sink.0 >= summary.spans && summary.spans > 0);
    session
        .to_report()
        .operations()
        .map(|(_, operation)| operation.total_allocations_count())
        .sum()
}

#[test]
fn ten_thousand_spans_allocate_no_more_than_a_hundred() {
    let keys = table();
    let few = allocations(&common::request(1, 100, 1 << 60), &keys);
    let many = allocations(&common::request(1, 10_000, 1 << 60), &keys);
    assert_eq!(many, few);
    assert!((1..=12).contains(&few), "{few} allocations a request");
}

#[test]
fn flag_events_reuse_their_room() {
    let with_events = |spans: u64| {
        #[allow(clippy::disallowed_methods, reason = "the request is rewritten with prost")]
        let mut request = ExportTraceServiceRequest::decode(&common::request(1, spans, 1 << 60)[..]).unwrap();
        let scopes = request
            .resource_spans
            .iter_mut()
            .flat_map(|resource| &mut resource.scope_spans);
        for span in scopes.flat_map(|scope| &mut scope.spans) {
            let pair = |key: &str| KeyValue {
                key: key.to_owned(),
                ..KeyValue::default()
            };
            let attributes = vec![pair("feature_flag.key"), pair("feature_flag.result.variant")];
            let event = ProstEvent {
                name: "feature_flag".to_owned(),
                attributes,
                ..ProstEvent::default()
            };
            span.events = vec![event; 3];
        }
        request.encode_to_vec()
    };
    let keys = table();
    let few = allocations(&with_events(100), &keys);
    assert_eq!(allocations(&with_events(2_000), &keys), few);
}

#[derive(Default)]
struct CountRecords(u64);

impl<'a> LogSink<'a> for CountRecords {
    fn forget(&mut self) {
        self.0 = 0;
    }

    fn resource(&mut self, _: &Attributes<'a>) {}
    fn scope(&mut self, _: &Scope<'a, '_>) {}
    fn record(&mut self, record: &LogRecord<'a>, attributes: &Attributes<'a>) {
        assert!(record.body.is_some() && !attributes.prefixed().is_empty());
        self.0 += 1;
    }
}

#[test]
fn ten_thousand_records_allocate_no_more_than_a_hundred() {
    let text = |text: &str| ProstAny {
        value: Some(ProstValue::StringValue(text.to_owned())),
    };
    let request = |records: usize| {
        let pair = |key: &str, value: &str| KeyValue {
            key: key.to_owned(),
            value: Some(text(value)),
            ..KeyValue::default()
        };
        let record = ProstRecord {
            severity_number: 9,
            body: Some(text("served")),
            attributes: vec![pair("feature_flag.key", "a"), pair("http.route", "/a")],
            event_name: "feature_flag.evaluation".to_owned(),
            ..ProstRecord::default()
        };
        let scope_logs = ScopeLogs {
            log_records: vec![record; records],
            ..ScopeLogs::default()
        };
        let resource_logs = ResourceLogs {
            scope_logs: vec![scope_logs],
            ..ResourceLogs::default()
        };
        ExportLogsServiceRequest {
            resource_logs: vec![resource_logs],
        }
        .encode_to_vec()
    };
    let allocations = |request: &[u8]| {
        let session = Session::new().no_stdout().no_file();
        let operation = session.operation("walk");
        let (keys, mut sink) = (table(), CountRecords::default());
        let summary = {
            let _span = operation.measure_thread().iterations(1);
            walk_logs(request, &keys, &LIMITS, &mut sink).unwrap()
        };
        assert_eq!(sink.0, summary.spans);
        session
            .to_report()
            .operations()
            .map(|(_, operation)| operation.total_allocations_count())
            .sum::<u64>()
    };
    let few = allocations(&request(100));
    assert_eq!(allocations(&request(10_000)), few);
    assert!((1..=12).contains(&few), "{few} allocations a request");
}

struct Points(u64);

impl<'a> MetricSink<'a> for Points {
    fn forget(&mut self) {
        self.0 = 0;
    }

    fn resource(&mut self, _: &Attributes<'a>, _: Identity) {}
    fn scope(&mut self, _: &Scope<'a, '_>, _: Identity) {}

    fn metric(&mut self, _: &Metric<'a>) -> bool {
        true
    }

    fn point(&mut self, point: &Point<'a>, _: &Attributes<'a>) {
        if let PointValue::Histogram(value) = point.value {
            value.bucket_counts.for_each(|count| self.0 += count);
            value.explicit_bounds.for_each(|_| self.0 += 1);
        }
        self.0 += u64::from(point.identity() != Identity::default());
    }
}

#[test]
fn ten_thousand_points_allocate_no_more_than_a_hundred() {
    let keys = table();
    let of = |points| {
        let request = common::points::request(1, points, 2, (1 << 60, 1 << 61));
        let session = Session::new().no_stdout().no_file();
        let operation = session.operation("points");
        let mut sink = Points(0);
        {
            let _span = operation.measure_thread().iterations(1);
            walk_metrics(&request, &keys, &LIMITS, &mut sink).unwrap();
        }
        assert!(sink.0 > points);
        let report = session.to_report();
        report
            .operations()
            .map(|(_, operation)| operation.total_allocations_count())
            .sum::<u64>()
    };
    let few = of(100);
    assert_eq!(of(10_000), few);
    assert!((1..=12).contains(&few), "{few} allocations a request");
}
