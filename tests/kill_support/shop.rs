//! A shop's requests as OTLP: so many good and bad ones, with these flags on.

use crate::support::{Gateway, post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use prost::Message as _;
use std::time::{Duration, SystemTime};

/// Requests that are alike.
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    pub flags: &'a [&'a str],
    pub n: usize,
    pub status: i64,
    pub took: Duration,
}

/// `n` requests that went well, with `flags` on.
pub const fn good<'a>(n: usize, flags: &'a [&'a str]) -> Requests<'a> {
    Requests {
        flags,
        n,
        status: 200,
        took: Duration::from_millis(20),
    }
}

/// The same, failed.
pub const fn bad<'a>(n: usize, flags: &'a [&'a str]) -> Requests<'a> {
    Requests {
        status: 500,
        ..good(n, flags)
    }
}

/// The same, well and slow.
pub const fn slow<'a>(n: usize, flags: &'a [&'a str]) -> Requests<'a> {
    Requests {
        took: Duration::from_millis(900),
        ..good(n, flags)
    }
}

/// Sends requests of `checkout` in `production` that end now, and sees that they were taken.
pub fn send(gateway: &Gateway, requests: &[Requests<'_>]) {
    send_of(gateway, "9fceb02", requests);
}

/// The same of a version.
pub fn send_of(gateway: &Gateway, sha: &str, requests: &[Requests<'_>]) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let spans = requests
        .iter()
        .flat_map(|r| (0..r.n).map(|_| span(r, now)))
        .collect();
    let attributes = vec![
        text("service.name", "checkout"),
        text("deployment.sha", sha),
        text("deployment.environment.name", "production"),
    ];
    let message = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let url = format!("{}/v1/traces", gateway.http());
    let (status, body) = post(&url, "application/x-protobuf", message.encode_to_vec());
    assert_eq!((status, body.len()), (200, 0), "all of them are taken");
}

fn span(requests: &Requests<'_>, now: Duration) -> Span {
    let end = u64::try_from(now.as_nanos()).unwrap();
    let flags = requests
        .flags
        .iter()
        .map(|f| any(Value::StringValue((*f).to_owned())))
        .collect();
    let flags = ArrayValue { values: flags };
    Span {
        trace_id: fastrand::u128(1..).to_be_bytes().to_vec(),
        span_id: fastrand::u64(1..).to_be_bytes().to_vec(),
        name: "POST /checkout".to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: end - u64::try_from(requests.took.as_nanos()).unwrap(),
        end_time_unix_nano: end,
        attributes: vec![
            text("http.request.method", "POST"),
            text("http.route", "/checkout"),
            attribute("http.response.status_code", Value::IntValue(requests.status)),
            attribute("feature.flags", Value::ArrayValue(flags)),
        ],
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}
