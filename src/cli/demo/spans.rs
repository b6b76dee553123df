//! The spans of one request through the shop, with the attributes of the semantic conventions.

use super::scene::SERVICES;
use crate::time::UnixNanos;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the caller spends beside the call.
const OVERHEAD: Duration = Duration::from_millis(4);

/// The services of one deployment, in the order of [`SERVICES`].
#[derive(Debug)]
pub(super) struct Stand(pub(super) Vec<SdkTracer>);

/// A page of the storefront that calls one service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    /// Method and route of the page.
    pub(super) page: (&'static str, &'static str),
    /// Index of the called service.
    pub(super) callee: usize,
    /// Method and route there.
    pub(super) request: (&'static str, &'static str),
    /// Time the call takes.
    pub(super) took: Duration,
    /// The called service answers 500; the page still comes, with an apology.
    pub(super) failed: bool,
}

impl Stand {
    /// Serves `hop`, which ends at `end`: the page's server span, its client span, the called service's
    /// server span.
    pub(super) fn serve(&self, hop: &Hop, flags: &[&'static str], end: UnixNanos) {
        let (Some(front), Some(back)) = (self.0.first(), self.0.get(hop.callee)) else {
            return;
        };
        let end = UNIX_EPOCH + Duration::from_nanos(end.0);
        let called = end - hop.took;
        let came = called - OVERHEAD;

        let mut page = server(front, hop.page, flags, came, &Context::new());
        let inside = Context::new().with_remote_span_context(page.span_context().clone());
        let mut call = client(front, hop, called, &inside);
        let arrived = Context::new().with_remote_span_context(call.span_context().clone());
        let mut request = server(back, hop.request, flags, called, &arrived);

        let status = if hop.failed { 500 } else { 200 };
        finish(&mut request, status, hop.failed, end);
        finish(&mut call, status, hop.failed, end);
        finish(&mut page, 200, false, end);
    }
}

fn server(
    tracer: &SdkTracer,
    (method, route): (&'static str, &'static str),
    flags: &[&'static str],
    start: SystemTime,
    parent: &Context,
) -> Span {
    let flags: Vec<StringValue> = flags.iter().map(|f| StringValue::from(*f)).collect();
    let builder = tracer
        .span_builder(format!("{method} {route}"))
        .with_kind(SpanKind::Server)
        .with_start_time(start)
        .with_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
            KeyValue::new("url.path", route),
            KeyValue::new("url.scheme", "https"),
            KeyValue::new("feature.flags", Value::Array(Array::String(flags))),
        ]);
    tracer.build_with_context(builder, parent)
}

fn client(tracer: &SdkTracer, hop: &Hop, start: SystemTime, parent: &Context) -> Span {
    let (method, route) = hop.request;
    let callee = SERVICES.get(hop.callee).copied().unwrap_or_default();
    let builder = tracer
        .span_builder(method)
        .with_kind(SpanKind::Client)
        .with_start_time(start)
        .with_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("server.address", callee),
            KeyValue::new("server.port", 8080),
            KeyValue::new("url.full", format!("http://{callee}:8080{route}")),
        ]);
    tracer.build_with_context(builder, parent)
}

fn finish(span: &mut Span, status: i64, failed: bool, end: SystemTime) {
    span.set_attribute(KeyValue::new("http.response.status_code", status));
    if failed {
        span.set_attribute(KeyValue::new("error.type", status.to_string()));
        span.set_status(Status::error(""));
    }
    span.end_with_timestamp(end);
}
