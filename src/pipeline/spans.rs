//! burngate's own spans: one for each request that came in, one for each that goes out.
//!
//! They have a target of their own, so that the filter of the log never meets them, and nobody listens to it
//! unless own traces or zpages are on: then [`Span`]s are disabled at their callsite, which costs a load and
//! a branch, and [`traced`] awaits the work as it is. Names and attributes are the Collector's.

use super::batch::Signal;
use super::traits::{Accepted, Refusal};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

/// The target of every span here.
pub const SPAN_TARGET: &str = "otel::span";

/// A request at a receiver: `receiver/otlp/TraceDataReceived`. `transport` is `grpc` or `http`.
pub fn receiver_span(id: &str, transport: &'static str, signal: Signal) -> Span {
    let operation = match signal {
        Signal::Traces => "TraceDataReceived",
        Signal::Metrics => "MetricsReceived",
        Signal::Logs => "LogsReceived",
    };
    tracing::info_span!(
        target: SPAN_TARGET,
        "receiver",
        otel.name = %format_args!("receiver/{id}/{operation}"),
        otel.kind = "server",
        otel.status_code = Empty,
        otel.status_description = Empty,
        receiver = id,
        transport,
        otel_signal = signal.as_str(),
        accepted_items = Empty,
        rejected_items = Empty,
    )
}

/// A request of an exporter: `exporter/otlp_grpc/apm/traces`.
pub fn exporter_span(id: &str, signal: Signal) -> Span {
    tracing::info_span!(
        target: SPAN_TARGET,
        "exporter",
        otel.name = %format_args!("exporter/{id}/{}", signal.as_str()),
        otel.kind = "client",
        otel.status_code = Empty,
        otel.status_description = Empty,
        exporter = id,
        otel_signal = signal.as_str(),
        accepted_items = Empty,
        rejected_items = Empty,
    )
}

/// Does `work` inside `span`, and writes into it what came of it.
pub async fn traced(
    span: Span,
    work: impl Future<Output = Result<Accepted, Refusal>>,
) -> Result<Accepted, Refusal> {
    if span.is_disabled() {
        return work.await;
    }
    let result = work.instrument(span.clone()).await;
    match &result {
        Ok(accepted) => {
            note_items(&span, accepted.items, accepted.rejected);
        }
        Err(refusal) => fail(&span, refusal),
    }
    result
}

/// Writes into `span` what became of its items. As signed numbers: those of OpenTelemetry are.
pub fn note_items(span: &Span, accepted: u64, rejected: u64) {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    span.record("accepted_items", signed(accepted));
    span.record("rejected_items", signed(rejected));
}

/// Writes into `span` that its work failed.
pub fn fail(span: &Span, why: &dyn std::fmt::Display) {
    if !span.is_disabled() {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", why.to_string());
    }
}
