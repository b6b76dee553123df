//! The payload that the benches and the allocation test read: requests of 1000 spans, about 560 bytes a span,
//! eleven attributes a span, four resources of twelve attributes, an exception event on every fiftieth span.
//!
//! Spans are in no order, and three of four are a server's. In the usual shape these make 128 groups: four
//! services of one deployment each, eight routes, two combinations of flags, two buckets. In the scattered
//! shape (256 routes, 256 combinations of flags) nearly every span is a group of its own, which no service
//! sends, but which the tally must survive.
#![allow(dead_code, unreachable_pub, reason = "each bench uses its part")]

pub mod points;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// Spans a request.
pub const SPANS: u64 = 1000;

/// Resources a request.
const RESOURCES: u64 = 4;

const SERVICES: [&str; 4] = ["checkout", "cart", "payment", "recommendation"];
const METHODS: [&str; 4] = ["GET", "POST", "GET", "PUT"];
const ROUTES: [&str; 8] = [
    "/api/v1/carts/{cartId}",
    "/api/v1/carts/{cartId}/items",
    "/api/v1/checkout",
    "/api/v1/products/{productId}",
    "/api/v1/products",
    "/api/v1/recommendations",
    "/api/v1/payments/{paymentId}",
    "/api/v1/orders",
];
const STATUS_CODES: [i64; 8] = [200, 200, 200, 201, 200, 404, 200, 500];
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/149.0";

/// A sequence that looks random and is always the same.
#[derive(Debug)]
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.0 >> 16
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.next()).unwrap_or(0) % choices.len()]
    }
}

/// How much the spans of a request differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As services send them.
    Usual,
    /// As differently as can be.
    Scattered,
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        key_strindex: 0,
    }
}

fn resource(number: u64) -> Resource {
    let service = SERVICES[usize::try_from(number).unwrap_or(0) % SERVICES.len()];
    let attributes = vec![
        pair("service.name", text(service)),
        pair("service.namespace", text("shop")),
        pair(
            "service.instance.id",
            text("5b8efff7-98f8-4f5a-8a5e-2f6f3d2f8d11"),
        ),
        pair("deployment.environment.name", text("production")),
        pair("deployment.sha", text("9fceb02d0ae598e95dc970b74767f19372d61af8")),
        pair("telemetry.sdk.name", text("opentelemetry")),
        pair("telemetry.sdk.language", text("java")),
        pair("telemetry.sdk.version", text("1.57.0")),
        pair("k8s.pod.name", text("checkout-6d4cf56db6-zx2v9")),
        pair("k8s.namespace.name", text("shop")),
        pair("host.name", text("node-17")),
        pair("process.pid", Value::IntValue(4711)),
    ];
    Resource {
        attributes,
        ..Resource::default()
    }
}

fn route(sequence: &mut Sequence, shape: Shape) -> String {
    let route = sequence.one_of(&ROUTES).to_owned();
    match shape {
        Shape::Usual => route,
        Shape::Scattered => format!("{route}/{}", sequence.next() % 32),
    }
}

fn flags(sequence: &mut Sequence, shape: Shape) -> Value {
    if shape == Shape::Scattered {
        let (bits, names) = (
            sequence.next(),
            ["new-checkout", "b", "c", "d", "e", "f", "g", "h"],
        );
        let state = |bit: usize| if bits >> bit & 1 == 1 { "on" } else { "off" };
        let flags: Vec<_> = (0..)
            .zip(names)
            .map(|(bit, name)| format!("{name}={}", state(bit)))
            .collect();
        return text(&flags.join(","));
    }
    let all = ["new-checkout=on", "fast-cart=off", "blue-button=treatment"];
    if sequence.next().is_multiple_of(2) {
        return text("new-checkout=on,fast-cart=off");
    }
    let values = all
        .iter()
        .map(|flag| AnyValue {
            value: Some(text(flag)),
        })
        .collect();
    Value::ArrayValue(ArrayValue { values })
}

fn attributes(sequence: &mut Sequence, status: i64, shape: Shape) -> Vec<KeyValue> {
    vec![
        pair("http.request.method", text(sequence.one_of(&METHODS))),
        pair("http.response.status_code", Value::IntValue(status)),
        pair("http.route", text(&route(sequence, shape))),
        pair("url.path", text("/api/v1/carts/8812736/items")),
        pair("url.scheme", text("https")),
        pair("server.address", text("checkout.shop.svc.cluster.local")),
        pair("server.port", Value::IntValue(8443)),
        pair("client.address", text("10.17.4.211")),
        pair("user_agent.original", text(AGENT)),
        pair("network.protocol.version", text("1.1")),
        pair("feature.flags", flags(sequence, shape)),
    ]
}

fn exception() -> Event {
    let attributes = vec![
        pair("exception.type", text("java.net.SocketTimeoutException")),
        pair("exception.message", text("Read timed out")),
        pair(
            "exception.stacktrace",
            text(&"at com.shop.Client.call(Client.java:42)\n".repeat(8)),
        ),
    ];
    Event {
        name: "exception".to_owned(),
        attributes,
        ..Event::default()
    }
}

fn span(sequence: &mut Sequence, number: u64, now_unix_nano: u64, shape: Shape) -> Span {
    let status = sequence.one_of(&STATUS_CODES);
    let start = now_unix_nano - sequence.next() % 1_000_000_000;
    Span {
        trace_id: [sequence.next().to_le_bytes(), sequence.next().to_le_bytes()].concat(),
        span_id: sequence.next().to_le_bytes().to_vec(),
        parent_span_id: sequence.next().to_le_bytes().to_vec(),
        flags: 0x101,
        name: "POST /api/v1/carts/{cartId}/items".to_owned(),
        kind: if sequence.next().is_multiple_of(4) { 3 } else { 2 },
        start_time_unix_nano: start,
        end_time_unix_nano: start + sequence.next() % 400_000_000,
        attributes: attributes(sequence, status, shape),
        events: if number.is_multiple_of(50) {
            vec![exception()]
        } else {
            Vec::new()
        },
        status: Some(Status {
            code: if status >= 500 { 2 } else { 0 },
            message: String::new(),
        }),
        ..Span::default()
    }
}

/// One encoded request of `spans` spans that ended around `now_unix_nano`; `seed` makes it differ from
/// others.
pub fn request(seed: u64, spans: u64, now_unix_nano: u64) -> Vec<u8> {
    request_of(Shape::Usual, seed, spans, now_unix_nano)
}

/// As [`request`], of a shape.
pub fn request_of(shape: Shape, seed: u64, spans: u64, now_unix_nano: u64) -> Vec<u8> {
    let mut sequence = Sequence(seed);
    let resource_spans = (0..RESOURCES).map(|number| {
        let of_resource = (0..spans).filter(|span| span % RESOURCES == number);
        let spans = of_resource
            .map(|number| span(&mut sequence, number, now_unix_nano, shape))
            .collect();
        let name = "io.opentelemetry.tomcat-10.0".to_owned();
        let scope = InstrumentationScope {
            name,
            version: "2.21.0".to_owned(),
            ..Default::default()
        };
        let scope_spans = vec![ScopeSpans {
            scope: Some(scope),
            spans,
            ..Default::default()
        }];
        ResourceSpans {
            resource: Some(resource(number)),
            scope_spans,
            ..Default::default()
        }
    });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
    .encode_to_vec()
}

/// Sixteen different requests: more than the first-level caches hold.
pub fn requests(now_unix_nano: u64) -> Vec<Vec<u8>> {
    (1..=16).map(|seed| request(seed, SPANS, now_unix_nano)).collect()
}
