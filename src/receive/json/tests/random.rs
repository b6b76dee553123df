//! Random requests: written as JSON by the official structs, read by us, equal to the original. And noise.

use crate::receive::Signal;
use crate::receive::json::decode;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use serde::Serialize;

const LIMIT: usize = 64 << 20;

fn double() -> impl Strategy<Value = f64> {
    // The official writer turns the unbounded into null in some places, so they have tests of their own.
    any::<f64>().prop_filter("finite", |d| d.is_finite())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z.]{0,12}", "\\PC{100,140}"]
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        double().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..40).prop_map(Value::BytesValue),
    ];
    let leaf = leaf.prop_map(|v| AnyValue { value: Some(v) });
    leaf.prop_recursive(4, 24, 4, |inner| {
        let list = vec(inner.clone(), 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let map = vec(pair(inner), 0..4).prop_map(|values| Value::KvlistValue(KeyValueList { values }));
        prop_oneof![list, map].prop_map(|v| AnyValue { value: Some(v) })
    })
}

fn pair(value: impl Strategy<Value = AnyValue>) -> impl Strategy<Value = KeyValue> {
    (text(), option::of(value)).prop_map(|(key, value)| KeyValue {
        key,
        value,
        ..KeyValue::default()
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(pair(value()), 0..3)
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), len), Just(Vec::new())]
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    option::of(
        (attributes(), any::<u32>()).prop_map(|(attributes, dropped_attributes_count)| Resource {
            attributes,
            dropped_attributes_count,
            ..Resource::default()
        }),
    )
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let parts = (text(), text(), attributes(), any::<u32>());
    option::of(parts.prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    ))
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (id(16), id(8), text(), attributes(), any::<(u32, u32)>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, (dropped_attributes_count, flags))| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8), text(), text());
    let numbers = (
        any::<u32>(),
        0..6_i32,
        any::<(u64, u64)>(),
        any::<(u32, u32, u32)>(),
    );
    let status = option::of((text(), 0..3_i32).prop_map(|(message, code)| Status { message, code }));
    (
        ids,
        numbers,
        attributes(),
        vec(event(), 0..3),
        vec(link(), 0..3),
        status,
    )
        .prop_map(|(ids, numbers, attributes, events, links, status)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: ids.3,
            name: ids.4,
            flags: numbers.0,
            kind: numbers.1,
            start_time_unix_nano: numbers.2.0,
            end_time_unix_nano: numbers.2.1,
            dropped_attributes_count: numbers.3.0,
            dropped_events_count: numbers.3.1,
            dropped_links_count: numbers.3.2,
            attributes,
            events,
            links,
            status,
        })
}

fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scopes = (scope(), vec(span(), 0..4), text());
    let scopes = scopes.prop_map(|(scope, spans, schema_url)| ScopeSpans {
        scope,
        spans,
        schema_url,
    });
    let resources = (resource(), vec(scopes, 0..3), text());
    let resources = resources.prop_map(|(resource, scope_spans, schema_url)| ResourceSpans {
        resource,
        scope_spans,
        schema_url,
    });
    vec(resources, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn record() -> impl Strategy<Value = LogRecord> {
    let numbers = (any::<(u64, u64, u32, u32)>(), 0..25_i32);
    (
        numbers,
        text(),
        text(),
        option::of(value()),
        attributes(),
        id(16),
        id(8),
    )
        .prop_map(
            |((n, severity_number), severity_text, event_name, body, attributes, trace_id, span_id)| {
                LogRecord {
                    time_unix_nano: n.0,
                    observed_time_unix_nano: n.1,
                    dropped_attributes_count: n.2,
                    flags: n.3,
                    severity_number,
                    severity_text,
                    body,
                    attributes,
                    trace_id,
                    span_id,
                    event_name,
                }
            },
        )
}

fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scopes = (scope(), vec(record(), 0..4), text());
    let scopes = scopes.prop_map(|(scope, log_records, schema_url)| ScopeLogs {
        scope,
        log_records,
        schema_url,
    });
    let resources = (resource(), vec(scopes, 0..3), text());
    let resources = resources.prop_map(|(resource, scope_logs, schema_url)| ResourceLogs {
        resource,
        scope_logs,
        schema_url,
    });
    vec(resources, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    let value = prop_oneof![
        double().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt)
    ];
    (attributes(), any::<u64>(), option::of(value), id(8), id(16)).prop_map(
        |(filtered_attributes, time_unix_nano, value, span_id, trace_id)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            value,
            span_id,
            trace_id,
        },
    )
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        double().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt)
    ];
    (
        attributes(),
        any::<(u64, u64, u32)>(),
        vec(exemplar(), 0..2),
        option::of(value),
    )
        .prop_map(|(attributes, n, exemplars, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano: n.0,
            time_unix_nano: n.1,
            flags: n.2,
            exemplars,
            value,
        })
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let optional = (option::of(double()), option::of(double()), option::of(double()));
    let lists = (
        vec(any::<u64>(), 0..20),
        vec(double(), 0..20),
        vec(exemplar(), 0..2),
    );
    (attributes(), any::<(u64, u64, u64, u32)>(), optional, lists).prop_map(|(attributes, n, o, l)| {
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: n.0,
            time_unix_nano: n.1,
            count: n.2,
            flags: n.3,
            sum: o.0,
            min: o.1,
            max: o.2,
            bucket_counts: l.0,
            explicit_bounds: l.1,
            exemplars: l.2,
        }
    })
}

fn buckets() -> impl Strategy<Value = Option<Buckets>> {
    let parts = (any::<i32>(), vec(any::<u64>(), 0..20));
    option::of(parts.prop_map(|(offset, bucket_counts)| Buckets {
        offset,
        bucket_counts,
    }))
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let optional = (
        option::of(double()),
        option::of(double()),
        option::of(double()),
        double(),
    );
    let numbers = any::<(u64, u64, u64, u64, u32, i32)>();
    (
        attributes(),
        numbers,
        optional,
        buckets(),
        buckets(),
        vec(exemplar(), 0..2),
    )
        .prop_map(
            |(attributes, n, o, positive, negative, exemplars)| ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: n.0,
                time_unix_nano: n.1,
                count: n.2,
                zero_count: n.3,
                flags: n.4,
                scale: n.5,
                sum: o.0,
                min: o.1,
                max: o.2,
                zero_threshold: o.3,
                positive,
                negative,
                exemplars,
            },
        )
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let quantile = (double(), double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    (
        attributes(),
        any::<(u64, u64, u64, u32)>(),
        double(),
        vec(quantile, 0..4),
    )
        .prop_map(|(attributes, n, sum, quantile_values)| SummaryDataPoint {
            attributes,
            start_time_unix_nano: n.0,
            time_unix_nano: n.1,
            count: n.2,
            flags: n.3,
            sum,
            quantile_values,
        })
}

fn data() -> impl Strategy<Value = metric::Data> {
    prop_oneof![
        vec(number_point(), 0..3).prop_map(|data_points| metric::Data::Gauge(Gauge { data_points })),
        (vec(number_point(), 0..3), 0..3_i32, any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                metric::Data::Sum(Sum {
                    data_points,
                    aggregation_temporality,
                    is_monotonic,
                })
            }
        ),
        (vec(histogram_point(), 0..3), 0..3_i32).prop_map(|(data_points, aggregation_temporality)| {
            metric::Data::Histogram(Histogram {
                data_points,
                aggregation_temporality,
            })
        }),
        (vec(exponential_point(), 0..3), 0..3_i32).prop_map(|(data_points, aggregation_temporality)| {
            metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        }),
        vec(summary_point(), 0..3).prop_map(|data_points| metric::Data::Summary(Summary { data_points })),
    ]
}

fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let metric = (text(), text(), text(), attributes(), option::of(data()));
    let metric = metric.prop_map(|(name, description, unit, metadata, data)| Metric {
        name,
        description,
        unit,
        metadata,
        data,
    });
    let scopes = (scope(), vec(metric, 0..4), text());
    let scopes = scopes.prop_map(|(scope, metrics, schema_url)| ScopeMetrics {
        scope,
        metrics,
        schema_url,
    });
    let resources = (resource(), vec(scopes, 0..3), text());
    let resources = resources.prop_map(|(resource, scope_metrics, schema_url)| ResourceMetrics {
        resource,
        scope_metrics,
        schema_url,
    });
    vec(resources, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

fn check<M: Message + Default + PartialEq + Serialize + std::fmt::Debug>(
    signal: Signal,
    request: &M,
) -> Result<(), TestCaseError> {
    for text in [
        serde_json::to_string(request).unwrap(),
        serde_json::to_string_pretty(request).unwrap(),
    ] {
        let bytes = decode(signal, text.as_bytes(), LIMIT)
            .map_err(|e| TestCaseError::fail(format!("{e}: {text}")))?;
        prop_assert_eq!(&M::decode(&bytes[..]).unwrap(), request);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn traces_survive_json(request in traces()) {
        check(Signal::Traces, &request)?;
    }

    #[test]
    fn metrics_survive_json(request in metrics()) {
        check(Signal::Metrics, &request)?;
    }

    #[test]
    fn logs_survive_json(request in logs()) {
        check(Signal::Logs, &request)?;
    }
}

proptest! {
    #[test]
    fn noise_is_an_error_or_a_message_never_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(Signal::Traces, &bytes, 1000);
    }

    #[test]
    fn noise_of_json_tokens_is_never_a_panic(
        tokens in vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"resourceSpans\"", "\"scopeSpans\"", "\"spans\"", "\"name\"", "\"kind\"",
                "\"attributes\"", "\"value\"", "\"intValue\"", "\"\\ud800\"", "\"\\", "\"", "1e", "-", "0", "1.5e3",
                "null", "true", "nul", "é", " ",
            ]),
            0..40,
        ),
    ) {
        let text = tokens.concat();
        let _ = decode(Signal::Traces, text.as_bytes(), 1000);
    }

    #[test]
    fn a_broken_request_is_never_a_panic(request in traces(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = serde_json::to_vec(&request).unwrap();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(bytes) = decode(Signal::Traces, &text, LIMIT) {
            prop_assert!(ExportTraceServiceRequest::decode(&bytes[..]).is_ok());
        }
    }
}
