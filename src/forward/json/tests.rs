//! What is written is read back as the same message, by our reader and by the official structs.

use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message as _;

fn json(signal: Signal, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    encode(signal, bytes, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        key_strindex: 0,
    }
}

fn traces(span: Span, attributes: Vec<KeyValue>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    ..InstrumentationScope::default()
                }),
                spans: vec![span],
                schema_url: "https://opentelemetry.io/schemas/1.30.0".into(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// Read back by the receiver's own reader, it is the same message.
fn comes_back(signal: Signal, bytes: &[u8]) -> Vec<u8> {
    crate::receive::json::decode(signal, json(signal, bytes).as_bytes(), 1 << 24).unwrap()
}

#[test]
fn numbers_ids_bytes_and_enums_are_written_as_the_specification_says() {
    let span = Span {
        trace_id: vec![0xAB; 16],
        span_id: vec![1; 8],
        name: "a \"b\"\n".into(),
        kind: 2,
        start_time_unix_nano: 1_544_712_660_000_000_000,
        status: Some(Status {
            code: 2,
            message: String::new(),
        }),
        ..Span::default()
    };
    let attributes = vec![
        pair("i", Any::IntValue(-7)),
        pair("d", Any::DoubleValue(f64::NAN)),
        pair("b", Any::BytesValue(vec![0, 255])),
        pair("t", Any::BoolValue(false)),
    ];
    let text = json(Signal::Traces, &traces(span, attributes).encode_to_vec());
    for part in [
        r#""traceId":"abababababababababababababababab""#,
        r#""spanId":"0101010101010101""#,
        r#""kind":2"#,
        r#""startTimeUnixNano":"1544712660000000000""#,
        r#""name":"a \"b\"\n""#,
        r#""status":{"code":2}"#,
        r#""intValue":"-7""#,
        r#""doubleValue":"NaN""#,
        r#""bytesValue":"AP8=""#,
        r#""boolValue":false"#,
        r#""schemaUrl":"https://"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains('\n') && !text.contains("trace_id"));
}

#[test]
fn packed_numbers_and_signed_offsets_come_back() {
    let point = ExponentialHistogramDataPoint {
        scale: -3,
        count: 9,
        sum: Some(0.0),
        positive: Some(Buckets {
            offset: -12,
            bucket_counts: vec![1, 0, 8],
        }),
        ..ExponentialHistogramDataPoint::default()
    };
    let metric = |data| Metric {
        name: "m".into(),
        data: Some(data),
        ..Metric::default()
    };
    let sum = Sum {
        data_points: vec![NumberDataPoint {
            value: Some(number_data_point::Value::AsInt(0)),
            ..NumberDataPoint::default()
        }],
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let histogram = ExponentialHistogram {
        data_points: vec![point],
        aggregation_temporality: 1,
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![
                    metric(Data::ExponentialHistogram(histogram)),
                    metric(Data::Sum(sum)),
                ],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    let bytes = request.encode_to_vec();
    let text = json(Signal::Metrics, &bytes);
    assert!(text.contains(r#""bucketCounts":["1","0","8"]"#), "{text}");
    assert!(
        text.contains(r#""offset":-12"#) && text.contains(r#""asInt":"0""#),
        "{text}"
    );
    assert_eq!(comes_back(Signal::Metrics, &bytes), bytes);
    assert_eq!(
        serde_json::from_str::<ExportMetricsServiceRequest>(&text).unwrap(),
        request
    );
}

#[test]
fn of_a_choice_the_last_member_counts_and_pieces_of_a_message_are_one() {
    // AnyValue { string_value: "x", int_value: 7 } within a log record's body, which comes in two pieces.
    let body = [&[0x2a, 3, 0x0a, 1, b'x'][..], &[0x2a, 2, 0x18, 7]].concat();
    let nested = [0x0a, 13, 0x12, 11, 0x12, 9]
        .into_iter()
        .chain(body)
        .collect::<Vec<u8>>();
    assert_eq!(
        json(Signal::Logs, &nested),
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":"7"}}]}]}]}"#
    );
}

#[test]
fn values_that_nest_too_deep_are_refused_and_leave_no_text() {
    let deep = (0..200).fold(AnyValue::default(), |inner, _| AnyValue {
        value: Some(Any::ArrayValue(ArrayValue { values: vec![inner] })),
    });
    let bytes = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord {
                    body: Some(deep),
                    ..LogRecord::default()
                }],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec();
    let mut out = b"kept".to_vec();
    assert_eq!(encode(Signal::Logs, &bytes, &mut out), Err(Malformed));
    assert_eq!(out, b"kept");
}

#[test]
fn empty_messages_of_a_list_come_back() {
    let span = Span {
        links: vec![Link::default()],
        events: vec![Event::default()],
        ..Span::default()
    };
    let bytes = traces(span, vec![]).encode_to_vec();
    assert_eq!(comes_back(Signal::Traces, &bytes), bytes);
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        ".{0,8}".prop_map(Any::StringValue),
        any::<bool>().prop_map(Any::BoolValue),
        any::<i64>().prop_map(Any::IntValue),
        any::<f64>()
            .prop_filter("equal to itself", |n| !n.is_nan())
            .prop_map(Any::DoubleValue),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Any::BytesValue),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let value = inner.prop_map(|value| AnyValue { value: Some(value) });
        let values = proptest::collection::vec(value, 0..3);
        prop_oneof![
            values
                .clone()
                .prop_map(|values| Any::ArrayValue(ArrayValue { values })),
            values.prop_map(|values| {
                let pairs = values.into_iter().enumerate();
                let values = pairs.map(|(n, value)| KeyValue {
                    key: n.to_string(),
                    value: Some(value),
                    key_strindex: 0,
                });
                Any::KvlistValue(KeyValueList {
                    values: values.collect(),
                })
            }),
        ]
    })
    .prop_map(|value| AnyValue { value: Some(value) })
}

proptest! {
    #[test]
    fn every_message_comes_back_through_the_receiver_and_the_official_reader(
        values in proptest::collection::vec((".{0,8}", any_value()), 0..4),
        name in ".{0,12}",
        kind in 0..6,
        times: (u64, u64),
        flags: u32,
    ) {
        let attributes = values
            .into_iter()
            .map(|(key, value)| KeyValue { key, value: Some(value), key_strindex: 0 })
            .collect::<Vec<_>>();
        let span = Span {
            trace_id: vec![9; 16],
            name,
            kind,
            flags,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes: attributes.clone(),
            ..Span::default()
        };
        let request = traces(span, attributes);
        let bytes = request.encode_to_vec();
        #[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
        let back = ExportTraceServiceRequest::decode(&*comes_back(Signal::Traces, &bytes)).unwrap();
        prop_assert_eq!(back, request);
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut out = Vec::new();
        for signal in Signal::ALL {
            if encode(signal, &bytes, &mut out).is_ok() {
                serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            }
            out.clear();
        }
    }
}
