//! Rows J1 to J8: what a JSON request becomes.

use crate::http::{JSON, post};
use crate::receive_support::{Running, Setup};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value as Point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

async fn taken(server: &Running, path: &str, text: &str) -> bytes::Bytes {
    let response = post(server, path, &[("content-type", JSON)], text.to_owned()).await;
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    server.bodies().pop().unwrap()
}

/// The one span of a request that has these members.
async fn span(members: &str) -> Span {
    let server = Setup::default().http().await;
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{members}}}]}}]}}]}}"#);
    let body = taken(&server, "/v1/traces", &text).await;
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    request.resource_spans[0].scope_spans[0].spans[0].clone()
}

#[tokio::test]
async fn j1_ids_are_hex_in_any_case_and_other_bytes_base64() {
    let attribute = r#"{"key":"b","value":{"bytesValue":"AQID"}}"#;
    let span = span(&format!(
        r#""traceId":"5B8EFFF798038103d269b633813fc60c","spanId":"eee19b7EC3C1B174","attributes":[{attribute}]"#
    ))
    .await;
    assert_eq!(span.trace_id[..2], [0x5B, 0x8E]);
    assert_eq!(span.span_id, [0xEE, 0xE1, 0x9B, 0x7E, 0xC3, 0xC1, 0xB1, 0x74]);
    let value = span.attributes[0].value.clone().unwrap().value;
    assert_eq!(value, Some(Any::BytesValue(vec![1, 2, 3])));
}

#[tokio::test]
async fn j2_enums_are_numbers_or_names() {
    for kind in ["2", r#""SPAN_KIND_SERVER""#] {
        assert_eq!(
            span(&format!(
                r#""kind":{kind},"status":{{"code":"STATUS_CODE_ERROR"}}"#
            ))
            .await
            .kind,
            2
        );
    }
}

#[tokio::test]
async fn j3_numbers_are_numbers_or_strings() {
    for (time, count) in [("\"1544712660000000001\"", "\"7\""), ("1544712660000000001", "7")] {
        let span = span(&format!(
            r#""startTimeUnixNano":{time},"droppedAttributesCount":{count}"#
        ))
        .await;
        assert_eq!(
            (span.start_time_unix_nano, span.dropped_attributes_count),
            (1_544_712_660_000_000_001, 7)
        );
    }
}

#[tokio::test]
async fn j4_unknown_members_of_any_shape_are_ignored() {
    let span = span(r#""future":{"a":[1,{"b":null}]},"name":"x","more":[[]],"and":"so on","n":1e9"#).await;
    assert_eq!(
        span,
        Span {
            name: "x".to_owned(),
            ..Span::default()
        }
    );
}

#[tokio::test]
async fn j5_names_are_lower_camel_case() {
    let span = span(r#""name":"x","start_time_unix_nano":"5","trace_id":"0102""#).await;
    assert_eq!(span.name, "x");
}

#[tokio::test]
async fn j6_doubles_may_be_nan_and_infinite() {
    let server = Setup::default().http().await;
    for (text, expected) in [
        (r#""NaN""#, f64::NAN),
        (r#""Infinity""#, f64::INFINITY),
        (r#""-Infinity""#, f64::NEG_INFINITY),
        ("1.5", 1.5),
        (r#""2.5""#, 2.5),
    ] {
        let text = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{{"asDouble":{text}}}]}}}}]}}]}}]}}"#
        );
        let body = taken(&server, "/v1/metrics", &text).await;
        let request = ExportMetricsServiceRequest::decode(body).unwrap();
        let Some(Data::Gauge(gauge)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else {
            panic!("no gauge")
        };
        let Some(Point::AsDouble(value)) = gauge.data_points[0].value else {
            panic!("no double")
        };
        assert_eq!(value.to_bits(), expected.to_bits());
    }
}

/// Payloads of the shape that the protocol's repository shows, against the official structs.
#[tokio::test]
async fn j7_golden_payloads_mean_what_the_official_structs_read() {
    let server = Setup::default().http().await;
    let resource =
        r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"my.service"}}]}"#;
    let scope = r#""scope":{"name":"my.library","version":"1.0.0","attributes":[{"key":"my.scope.attribute","value":{"stringValue":"some scope attribute"}}]}"#;
    let spans = format!(
        r#"{{"resourceSpans":[{{{resource},"scopeSpans":[{{{scope},"spans":[{{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","parentSpanId":"EEE19B7EC3C1B173","name":"I'm a server span","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000","kind":2,"attributes":[{{"key":"my.span.attr","value":{{"stringValue":"some value"}}}}]}}]}}]}}]}}"#
    );
    let metrics = format!(
        r#"{{"resourceMetrics":[{{{resource},"scopeMetrics":[{{{scope},"metrics":[{{"name":"my.counter","unit":"1","description":"I am a Counter","sum":{{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{{"asDouble":5,"startTimeUnixNano":"1544712660300000000","timeUnixNano":"1544712660300000000"}}]}}}},{{"name":"my.histogram","histogram":{{"aggregationTemporality":1,"dataPoints":[{{"count":"2","sum":2,"bucketCounts":["1","1"],"explicitBounds":[1],"min":0,"max":2}}]}}}}]}}]}}]}}"#
    );
    let logs = format!(
        r#"{{"resourceLogs":[{{{resource},"scopeLogs":[{{{scope},"logRecords":[{{"timeUnixNano":"1544712660300000000","severityNumber":10,"severityText":"Information","traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","body":{{"stringValue":"Example log record"}},"attributes":[{{"key":"map","value":{{"kvlistValue":{{"values":[{{"key":"some.map.key","value":{{"stringValue":"some value"}}}}]}}}}}}]}}]}}]}}]}}"#
    );
    let theirs = serde_json::from_str::<ExportTraceServiceRequest>(&spans).unwrap();
    let ours = ExportTraceServiceRequest::decode(taken(&server, "/v1/traces", &spans).await).unwrap();
    assert_eq!(ours, theirs);
    let theirs = serde_json::from_str::<ExportMetricsServiceRequest>(&metrics).unwrap();
    let ours = ExportMetricsServiceRequest::decode(taken(&server, "/v1/metrics", &metrics).await).unwrap();
    assert_eq!(ours, theirs);
    let theirs = serde_json::from_str::<ExportLogsServiceRequest>(&logs).unwrap();
    let ours = ExportLogsServiceRequest::decode(taken(&server, "/v1/logs", &logs).await).unwrap();
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn j8_null_is_absent_the_last_of_two_counts_and_an_empty_id_is_none() {
    let span =
        span(r#""name":"first","parentSpanId":"","traceState":null,"attributes":null,"name":"second""#).await;
    assert_eq!(
        (
            span.name.as_str(),
            span.parent_span_id.len(),
            span.attributes.len()
        ),
        ("second", 0, 0)
    );
    assert!(span.trace_state.is_empty());
}
