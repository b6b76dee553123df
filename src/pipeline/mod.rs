//! Receivers -> processors -> exporters as a graph; this room knows the edges, not the components.
//!
//! Problem: a gateway's configuration is a graph, and each component should be written (and tested) as if it
//! stood alone. Property wanted: one batch is one buffer of protobuf bytes, shared by reference count; every
//! stage is one of three traits ([`Process`] for what looks at a batch or edits it, [`Count`] for what counts
//! it, [`Consume`] for whatever takes it over); the order of stages is decided once, in [`Pipeline`], and not
//! by each component.
//!
//! ```text
//! receiver -> FanOut -> Pipeline: guards -> edits -> tap (counts, once a request) -> samplers -> exits
//! ```
//!
//! An exit is an exporter or a connector.
//!
//! The order of a pipeline is the order of its `processors:`, with two exceptions, both so that counts are
//! right: guards (`memory_limiter`) look first, and samplers come after the tap. `batch` is no stage at all:
//! it is a wish ([`Batching`]) that travels with the batch, and the queue of each exporter merges what waits
//! there. So an answer to a client means that the queue has the data, no request waits for a batch to fill,
//! and no error is swallowed on the way. Rejected: a batching stage with a buffer of its own, as the
//! Collector's, which answers before it knows and loses its buffer in a crash.

mod batch;
mod exits;
mod fan_out;
mod memory;
mod path;
mod spans;
mod status;
mod traits;

pub use batch::{Batch, Batching, ClientMetadata, Signal, Signals};
pub use exits::Exits;
pub use fan_out::FanOut;
pub use memory::{Charge, Memory};
pub use path::Pipeline;
pub use spans::{SPAN_TARGET, exporter_span, fail, note_items, receiver_span, traced};
pub use status::{Component, ComponentStatus, Components, Status};
pub use traits::{Accepted, Consume, Consumed, Count, Counted, Process, Processed, Refusal, Stage};
