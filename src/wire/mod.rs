//! What we know of protobuf: a cursor, and borrowed views of OTLP.
//!
//! The data plane never builds prost messages: a walk that reads only what an SLI needs costs a tenth of a
//! decode, and an attacker's 4 MiB of empty spans stay 4 MiB. Views borrow from the request's bytes and
//! allocate nothing per span.
//!
//! # Equal to prost, and where not
//!
//! Whatever prost accepts as a request the walk accepts, and reads with equal values: unknown fields and
//! groups are skipped, the order of fields is free, the last of a scalar counts, embedded messages that occur
//! twice are merged, numbers are truncated as protobuf says. Whatever prost refuses is refused, with these
//! exceptions, each of which has a test of its own:
//!
//! 1. Strings are bytes. Invalid UTF-8 is let through here and dealt with once, when a name is interned.
//! 2. What is hopped over is checked for framing (its length, and its wire type as a field of the message
//!    around it), not for what is inside: links, entity references, values of attributes (until somebody
//!    reads them), data points.
//! 3. Items beyond a cap ([`WalkLimits`]) are hopped over whole; spans beyond theirs refuse the request
//!    ([`WalkError::TooManyItems`]), which prost would take.
//! 4. Groups may nest 100 levels in any message; prost counts the messages around them too. Values of
//!    attributes may nest deeper than prost lets them: they are bytes, and [`WalkLimits::nesting_max`]
//!    decides whether they are kept.
//! 5. Bodies of log records are values too: handed out unread, and checked when somebody reads them.
//! 6. A span or record whose ids have a wrong length is rejected on its own, while prost lets it be.

mod any_value;
mod attributes;
pub mod edit;
mod envelope;
mod identity;
mod items;
mod keys;
mod log;
mod metric;
mod points;
mod reader;
mod sampling;
mod splice;
mod times;
mod trace;
mod walk;
mod walk_metrics;

pub use any_value::{AnyValue, List, Value};
pub use attributes::Attributes;
pub use edit::{Request, count_items};
pub use identity::Identity;
pub use items::{ItemSummary, count_log_records, count_metric_points};
pub use keys::{KeyTable, KeyTableBuilder, PrefixId, Slot};
pub use log::{BODY_KEY, BODY_MEMBER_PREFIX, LogRecord, LogSink, SEVERITY_KEY, walk_logs};
pub use metric::{
    Buckets, ExponentialValue, HistogramValue, Metric, MetricKind, MetricSink, NO_RECORDED_VALUE,
    NumberValue, Point, PointValue, Repeated, SummaryValue, TEMPORALITY_CUMULATIVE, TEMPORALITY_DELTA,
};
pub use reader::{Malformed, Reader};
pub use sampling::{Sampling, Weight, sampling, threshold_weight};
pub use splice::{without_rejected_log_records, without_rejected_points, without_rejected_spans};
pub use times::{Times, times, within};
pub use trace::{Event, Scope, Span, SpanSink, WalkError, WalkLimits, WalkSummary};
pub use walk::walk_traces;
pub use walk_metrics::walk_metrics;
