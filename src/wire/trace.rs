//! What the walk over traces hands out, and to whom.

use super::{Attributes, Malformed};

/// The instrumentation scope of the spans that follow.
#[derive(Debug)]
pub struct Scope<'a, 's> {
    /// `InstrumentationScope.name`.
    pub name: &'a [u8],
    /// `InstrumentationScope.version`.
    pub version: &'a [u8],
    /// The wanted attributes of the scope.
    pub attributes: &'s Attributes<'a>,
}

/// One span event that carries flag evidence (named `feature_flag.evaluation` or `feature_flag`, or with an
/// attribute whose key begins with `feature_flag.key` or `feature_flag.flag_key`), or an `exception`. Other
/// events are hopped over.
#[derive(Debug, Default)]
pub struct Event<'a> {
    /// `Span.Event.name`.
    pub name: &'a [u8],
    /// `Span.Event.time_unix_nano`.
    pub time_unix_nano: u64,
    /// The wanted attributes of the event.
    pub attributes: Attributes<'a>,
}

/// One span: scalars by value, the rest borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields are those of opentelemetry.proto.trace.v1.Span"
)]
pub struct Span<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub flags: u32,
    pub name: &'a [u8],
    pub kind: i32,
    pub start_time_unix_nano: u64,
    pub end_time_unix_nano: u64,
    pub status_code: i32,
    pub status_message: &'a [u8],
}

/// Caps on one request. Beyond `spans_max` the request is refused; what lies beyond an item's cap is not
/// read, but the item still counts.
#[derive(Clone, Copy, Debug)]
pub struct WalkLimits {
    /// Spans (data points, log records) a request; more refuses the request.
    pub spans_max: u32,
    /// Attributes read of an item.
    pub attributes_max: u32,
    /// Events read of a span.
    pub events_max: u32,
    /// Levels of nested lists in an attribute's value; a deeper value is not read. 100 is the most that is
    /// ever allowed.
    pub nesting_max: u32,
}

/// What the walk hands over, in the order resource, its scopes, their spans.
///
/// Resources and scopes are announced when their first accepted span is, so empty ones (an attacker's four
/// bytes each) cost a sink nothing. A walk that ends in an error has handed out spans that must be forgotten.
pub trait SpanSink<'a> {
    /// All that was handed out so far must be forgotten: the walk begins again, because the request's fields
    /// stand in an order that nobody sends.
    fn forget(&mut self);
    /// A new resource begins, and with it a new scope.
    fn resource(&mut self, attributes: &Attributes<'a>);
    /// A new scope of the current resource begins. Called for every resource, also when no scope was sent.
    fn scope(&mut self, scope: &Scope<'a, '_>);
    /// A span of the current scope. Not called for spans that are rejected (a trace id that is not 16 bytes
    /// ...).
    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]);
}

/// What a walk saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkSummary {
    /// Spans (data points, log records) in the request, rejected ones included.
    pub spans: u64,
    /// Spans with an id of a wrong length.
    pub rejected: u64,
    /// Attributes and events beyond a cap, not read.
    pub excess: u64,
}

/// Why a request can not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// The bytes are not the message they should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More spans, points or records than one request may hold.
    #[error("more than {limit} items in one request; send smaller batches")]
    TooManyItems {
        /// [`WalkLimits::spans_max`].
        limit: u32,
    },
}
