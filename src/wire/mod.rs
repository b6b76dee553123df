//! What we know of protobuf: a cursor, and borrowed views of OTLP.
//!
//! The data plane never builds prost messages: a walk that reads only what an SLI needs costs a tenth of a decode, and an
//! attacker's 4 MiB of empty spans stay 4 MiB. Views borrow from the request's bytes and allocate nothing per span.

mod any_value;
mod attributes;
mod reader;
mod trace;

pub use any_value::{AnyValue, Value};
pub use attributes::{Attributes, KeyTable, KeyTableBuilder, PrefixId, Slot};
pub use reader::{Malformed, Reader};
pub use trace::{Event, Scope, Span, SpanSink, WalkLimits, WalkSummary, walk_traces};
