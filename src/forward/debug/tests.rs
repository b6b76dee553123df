//! What is said is what was sent, and saying it costs the pipeline nothing.

use super::*;
use crate::time::UnixNanos;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> UnixNanos {
        UnixNanos(7)
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        key_strindex: 0,
    }
}

fn traces() -> Vec<u8> {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "pay".into(),
        kind: 2,
        start_time_unix_nano: 1_581_452_772_000_000_321,
        end_time_unix_nano: 1_581_452_773_000_000_789,
        attributes: vec![pair("http.route", Value::StringValue("/pay".into()))],
        events: vec![Event {
            name: "retry".into(),
            attributes: vec![pair("n", Value::IntValue(2))],
            ..Event::default()
        }],
        status: Some(Status {
            code: 2,
            message: "refused".into(),
        }),
        ..Span::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![pair("service.name", Value::StringValue("checkout".into()))],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            schema_url: String::new(),
        }],
    }
    .encode_to_vec()
}

#[test]
fn detailed_shows_every_field_in_the_collectors_shape() {
    let expected = "ResourceSpans #0
Resource SchemaURL: 
Resource attributes:
     -> service.name: Str(checkout)
ScopeSpans #0
ScopeSpans SchemaURL: 
InstrumentationScope  
Span #0
    Trace ID       : 01010101010101010101010101010101
    Parent ID      : 
    ID             : 0202020202020202
    Name           : pay
    Kind           : Server
    Start time     : 2020-02-11 20:26:12.000000321 +0000 UTC
    End time       : 2020-02-11 20:26:13.000000789 +0000 UTC
    Status code    : Error
    Status message : refused
Attributes:
     -> http.route: Str(/pay)
Events:
SpanEvent #0
     -> Name: retry
     -> Timestamp: 1970-01-01 00:00:00 +0000 UTC
     -> DroppedAttributesCount: 0
     -> Attributes::
          -> n: Int(2)";
    assert_eq!(text::detailed(Signal::Traces, &traces(), TEXT_MAX), expected);
}

#[test]
fn normal_is_a_line_an_item_and_basic_counts_them() {
    assert_eq!(
        text::lines(Signal::Traces, &traces(), TEXT_MAX),
        "ResourceTraces service.name=checkout\nScopeTraces\n\
         pay 01010101010101010101010101010101 0202020202020202 http.route=/pay"
    );
    let counts = count::counts(Signal::Traces, &traces()).unwrap();
    assert_eq!((counts.resources, counts.items), (1, 1));
}

#[test]
fn histograms_show_their_bounds_and_counts() {
    let point = HistogramDataPoint {
        count: 3,
        sum: Some(1.5),
        explicit_bounds: vec![0.5],
        bucket_counts: vec![1, 2],
        max: Some(1.0),
        ..HistogramDataPoint::default()
    };
    let data = Data::Histogram(Histogram {
        data_points: vec![point],
        aggregation_temporality: 1,
    });
    let bytes = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: "d".into(),
                    data: Some(data),
                    ..Metric::default()
                }],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
    .encode_to_vec();
    let shown = text::detailed(Signal::Metrics, &bytes, TEXT_MAX);
    for line in [
        "AggregationTemporality: Delta",
        "Count: 3",
        "Sum: 1.500000",
        "Max: 1.000000",
        "ExplicitBounds #0: 0.500000",
        "Buckets #1, Count: 2",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(text::lines(Signal::Metrics, &bytes, TEXT_MAX).ends_with("d{} count=3 sum=1.5 le0.5=1 le+Inf=2"));
    assert_eq!(count::counts(Signal::Metrics, &bytes).unwrap().metrics, 1);
}

#[test]
fn long_text_is_cut() {
    let cut = text::detailed(Signal::Traces, &traces(), 100);
    assert!(cut.ends_with("... (cut)") && cut.len() < 120, "{cut}");
}

fn exporter(config: &config::DebugExporter) -> Arc<DebugExporter> {
    DebugExporter::build("debug", config, Arc::new(Still), &Memory::default())
}

#[test]
fn beyond_the_first_of_a_second_every_nth_is_shown() {
    let shown = |initial, thereafter| {
        let exporter = exporter(&config::DebugExporter {
            sampling_initial: initial,
            sampling_thereafter: thereafter,
            ..config::DebugExporter::default()
        });
        (0..8).map(|_| u8::from(exporter.is_shown())).collect::<Vec<_>>()
    };
    assert_eq!(shown(2, 3), [1, 1, 0, 0, 1, 0, 0, 1]);
    assert_eq!(shown(2, 1), [1; 8]);
    assert_eq!(shown(1, 0), [1, 0, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_writer_that_is_behind_never_holds_up_a_batch() {
    let exporter = exporter(&config::DebugExporter {
        queue_size: 1,
        ..config::DebugExporter::default()
    });
    for _ in 0..10 {
        let batch = Batch {
            items: Some(1),
            ..Batch::new(Signal::Traces, traces().into())
        };
        assert_eq!(exporter.consume(batch).await, Ok(Accepted::all(1)));
    }
    assert!(exporter.memory.held_bytes() <= traces().len() as u64);
    exporter.run(async {}).await;
    assert_eq!(exporter.memory.held_bytes(), 0);
}
