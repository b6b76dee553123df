//! The rows J1-J8 one by one; golden payloads and random requests beside.

#![allow(clippy::disallowed_methods, reason = "prost is the oracle here")]

mod golden;
mod random;

use super::{Error, ErrorKind, decode};
use crate::receive::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

const LIMIT: usize = 1 << 20;

fn traces(text: &str) -> Result<ExportTraceServiceRequest, Error> {
    let bytes = decode(Signal::Traces, text.as_bytes(), LIMIT)?;
    Ok(ExportTraceServiceRequest::decode(&bytes[..]).unwrap())
}

fn span_text(members: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{members}}}]}}]}}]}}"#)
}

fn try_span(members: &str) -> Result<Span, Error> {
    Ok(traces(&span_text(members))?
        .resource_spans
        .remove(0)
        .scope_spans
        .remove(0)
        .spans
        .remove(0))
}

fn span(members: &str) -> Span {
    try_span(members).unwrap()
}

fn attribute(value: &str) -> Option<Value> {
    span(&format!(r#""attributes":[{{"key":"a","value":{value}}}]"#))
        .attributes
        .remove(0)
        .value
        .unwrap()
        .value
}

fn histogram(members: &str) -> HistogramDataPoint {
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{{members}}}]}}}}]}}]}}]}}"#
    );
    let bytes = decode(Signal::Metrics, text.as_bytes(), LIMIT).unwrap();
    let mut request = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
    match request
        .resource_metrics
        .remove(0)
        .scope_metrics
        .remove(0)
        .metrics
        .remove(0)
        .data
    {
        Some(metric::Data::Histogram(mut h)) => h.data_points.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn j1_ids_are_hex_of_either_case() {
    let span = span(r#""traceId":"5B8EFFF798038103d269B633813FC60C","spanId":"eee19b7ec3c1b174""#);
    assert_eq!(
        span.trace_id,
        hex::decode("5b8efff798038103d269b633813fc60c").unwrap()
    );
    assert_eq!(span.span_id, hex::decode("eee19b7ec3c1b174").unwrap());
}

#[test]
fn j1_id_that_is_not_hex_is_refused_with_its_path() {
    for (id, why) in [
        ("abc", "an odd number of hex digits"),
        ("zz", "not hex digits"),
        ("W47/95gDgQ==", "not hex digits"),
    ] {
        let error = try_span(&format!(r#""name":"x","traceId":"{id}""#)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Value(why));
        assert_eq!(error.path, "resourceSpans[0].scopeSpans[0].spans[0].traceId");
        assert_eq!(
            error.offset,
            span_text("").find("[{}]").unwrap() + 2 + r#""name":"x","traceId":"#.len()
        );
    }
}

#[test]
fn j1_an_id_of_a_wrong_length_passes_for_the_walker_to_reject() {
    assert_eq!(span(r#""traceId":"0102""#).trace_id, [1, 2]);
}

#[test]
fn j1_other_bytes_are_base64_of_either_alphabet_padded_or_not() {
    for text in ["-_8=", "-_8", "+/8=", "+/8"] {
        assert_eq!(
            attribute(&format!(r#"{{"bytesValue":"{text}"}}"#)),
            Some(Value::BytesValue(vec![0xFB, 0xFF]))
        );
    }
    let error = try_span(r#""attributes":[{"key":"a","value":{"bytesValue":"+_8="}}]"#).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Value("not base64"));
}

#[test]
fn j2_enums_are_numbers_or_names() {
    for kind in ["3", r#""SPAN_KIND_CLIENT""#, r#""3""#, "3.0"] {
        assert_eq!(span(&format!(r#""kind":{kind}"#)).kind, 3, "{kind}");
    }
    assert_eq!(
        span(r#""status":{"code":"STATUS_CODE_ERROR"}"#)
            .status
            .unwrap()
            .code,
        2
    );
    assert_eq!(span(r#""kind":77"#).kind, 77);
    assert!(try_span(r#""kind":"SPAN_KIND_CAT""#).is_err());
    let logs =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"SEVERITY_NUMBER_ERROR2"}]}]}]}"#;
    let bytes = decode(Signal::Logs, logs.as_bytes(), LIMIT).unwrap();
    let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
    assert_eq!(
        request.resource_logs[0].scope_logs[0].log_records[0].severity_number,
        18
    );
}

#[test]
fn j3_integers_are_numbers_or_strings() {
    for time in [
        "1544712660300000000",
        r#""1544712660300000000""#,
        "1.5447126603e18",
        r#""15447126603e8""#,
    ] {
        assert_eq!(
            span(&format!(r#""startTimeUnixNano":{time}"#)).start_time_unix_nano,
            1_544_712_660_300_000_000
        );
    }
    assert_eq!(
        span(r#""droppedEventsCount":"7","flags":"256""#).dropped_events_count,
        7
    );
    assert_eq!(span(r#""flags":4294967295"#).flags, u32::MAX);
    assert_eq!(
        attribute(r#"{"intValue":"-9223372036854775808"}"#),
        Some(Value::IntValue(i64::MIN))
    );
    assert_eq!(attribute(r#"{"intValue":-5}"#), Some(Value::IntValue(-5)));
}

#[test]
fn j3_integers_out_of_range_are_errors_not_other_numbers() {
    for members in [
        r#""startTimeUnixNano":18446744073709551616"#,
        r#""startTimeUnixNano":-1"#,
        r#""flags":4294967296"#,
        r#""droppedLinksCount":1.5"#,
        r#""droppedLinksCount":"""#,
        r#""droppedLinksCount":true"#,
        r#""attributes":[{"value":{"intValue":"9223372036854775808"}}]"#,
    ] {
        assert!(
            matches!(try_span(members).unwrap_err().kind, ErrorKind::Value(_)),
            "{members}"
        );
    }
}

#[test]
fn j4_unknown_members_of_any_type_are_hopped_over() {
    let span = span(
        r#""new":{"a":[1,{"b":null}],"c":{}},"x":[[],[[{}]]],"y":"\ud83d\ude00","z":-1.5e7,"t":true,"name":"n","n":null"#,
    );
    assert_eq!(
        span,
        Span {
            name: "n".into(),
            ..Span::default()
        }
    );
}

#[test]
fn j5_snake_case_is_unknown() {
    let span = span(r#""trace_id":"zz","start_time_unix_nano":[],"name":"n""#);
    assert_eq!(
        span,
        Span {
            name: "n".into(),
            ..Span::default()
        }
    );
}

#[test]
fn j6_doubles_have_names_for_the_unbounded() {
    let Some(Value::DoubleValue(nan)) = attribute(r#"{"doubleValue":"NaN"}"#) else {
        panic!()
    };
    assert!(nan.is_nan());
    assert_eq!(
        attribute(r#"{"doubleValue":"-Infinity"}"#),
        Some(Value::DoubleValue(f64::NEG_INFINITY))
    );
    assert_eq!(
        attribute(r#"{"doubleValue":"0.1"}"#),
        Some(Value::DoubleValue(0.1))
    );
    let point = histogram(r#""explicitBounds":[1,2.5,"Infinity"],"bucketCounts":["1",2,"3.0"],"sum":0"#);
    assert_eq!(point.explicit_bounds, [1.0, 2.5, f64::INFINITY]);
    assert_eq!(point.bucket_counts, [1, 2, 3]);
    assert_eq!((point.sum, point.min), (Some(0.0), None));
}

#[test]
fn j8_null_members_are_absent() {
    let span = span(r#""traceId":null,"attributes":null,"status":null,"kind":null,"name":"n""#);
    assert_eq!(
        span,
        Span {
            name: "n".into(),
            ..Span::default()
        }
    );
    assert_eq!(
        attribute(r#"{"stringValue":null,"intValue":"1"}"#),
        Some(Value::IntValue(1))
    );
    assert_eq!(histogram(r#""sum":null"#).sum, None);
}

#[test]
fn j8_of_duplicate_members_the_last_scalar_wins_messages_merge_and_lists_append() {
    let span = span(
        r#""name":"a","name":"","status":{"code":2},"status":{"message":"m"},
           "attributes":[{"key":"a"}],"attributes":[{"key":"b"}],"flags":3,"flags":0"#,
    );
    assert_eq!((span.name.as_str(), span.flags), ("", 0));
    let status = span.status.unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "m"));
    assert_eq!(
        span.attributes.iter().map(|a| a.key.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        attribute(r#"{"intValue":1,"stringValue":"s"}"#),
        Some(Value::StringValue("s".into()))
    );
}

#[test]
fn j8_empty_parent_is_no_parent() {
    assert_eq!(span(r#""parentSpanId":"""#).parent_span_id, Vec::<u8>::new());
}

#[test]
fn null_in_a_list_of_messages_is_an_empty_message_and_in_numbers_an_error() {
    assert_eq!(span(r#""events":[null,{"name":"e"}]"#).events.len(), 2);
    let text = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"bucketCounts":[null]}]}}]}]}]}"#;
    assert!(decode(Signal::Metrics, text.as_bytes(), LIMIT).is_err());
}

#[test]
fn present_zeros_are_present() {
    let text =
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"asInt":"0"}]}}]}]}]}"#;
    let bytes = decode(Signal::Metrics, text.as_bytes(), LIMIT).unwrap();
    let request = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
    let Some(metric::Data::Gauge(gauge)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data
    else {
        panic!()
    };
    assert_eq!(
        gauge.data_points[0].value,
        Some(number_data_point::Value::AsInt(0))
    );
    assert_eq!(
        attribute(r#"{"stringValue":""}"#),
        Some(Value::StringValue(String::new()))
    );
    assert_eq!(attribute("{}"), None);
}

#[test]
fn strings_keep_every_character() {
    let name = span(r#""name":"a\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00 \u0000é😀""#).name;
    assert_eq!(name, "a\"\\/\u{8}\u{c}\n\r\tAé😀 \0é😀");
}

#[test]
fn text_that_is_not_json_is_refused_at_the_byte() {
    for (text, offset) in [
        ("", 0),
        ("  ", 2),
        ("[]", 0),
        ("null", 0),
        ("{", 1),
        ("{}x", 2),
        ("{} {}", 3),
        (r#"{"a":1,}"#, 7),
        (r#"{"a" 1}"#, 5),
        (r"{a:1}", 1),
        (r#"{"a":[1,]}"#, 8),
        (r#"{"a":[1 2]}"#, 8),
        (r#"{"a":01}"#, 5),
        (r#"{"a":1.}"#, 5),
        (r#"{"a":.5}"#, 5),
        (r#"{"a":NaN}"#, 5),
        (r#"{"a":tru}"#, 5),
        (r#"{"a":nulls}"#, 5),
        ("{\"a\":\"\n\"}", 6),
        (r#"{"a":"\x"}"#, 6),
        (r#"{"a":"\ud800"}"#, 6),
        (r#"{"a":"\udc00"}"#, 6),
        (r#"{"a":"\ud800\u0041"}"#, 6),
        (r#"{"a":"\u12"}"#, 6),
        (r#"{"a":"x"#, 7),
        (r#"{"resourceSpans":{}}"#, 17),
        (r#"{"resourceSpans":[1]}"#, 18),
    ] {
        let error = traces(text).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
    }
}

#[test]
fn invalid_utf8_is_refused_at_the_byte() {
    let error = decode(Signal::Traces, b"{\"resourceSpans\":[], \"x\":\"\xFF\"}", LIMIT).unwrap_err();
    assert_eq!(
        (error.kind, error.offset),
        (ErrorKind::Syntax("invalid UTF-8"), 26)
    );
}

#[test]
fn errors_read_like_a_place() {
    let error = traces(r#"{"resourceSpans":[{},{"resource":{"attributes":[{"key":5}]}}]}"#).unwrap_err();
    let want = "invalid JSON at byte 55, resourceSpans[1].resource.attributes[0].key: a string is expected";
    assert_eq!(error.to_string(), want);
}

#[test]
fn depth_is_capped_in_known_and_unknown_members() {
    let deep = |n: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(n), "]}}".repeat(n));
        try_span(&format!(r#""attributes":[{{"key":"a","value":{open}{close}}}]"#))
    };
    assert!(deep(35).is_ok());
    assert_eq!(deep(60).unwrap_err().kind, ErrorKind::TooDeep);
    assert_eq!(deep(20_000).unwrap_err().kind, ErrorKind::TooDeep);
    let unknown = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(traces(&unknown).unwrap_err().kind, ErrorKind::TooDeep);
    let fine = format!(r#"{{"x":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    assert!(traces(&fine).is_ok());
}

#[test]
fn output_beyond_the_limit_is_refused_while_it_grows() {
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[0{}]}}]}}}}]}}]}}]}}"#,
        ",0".repeat(10_000)
    );
    let error = decode(Signal::Metrics, text.as_bytes(), 40_000).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(decode(Signal::Metrics, text.as_bytes(), 81_000).is_ok());
}
