//! gRPC and HTTP in, admission, decompression, the answers that OTLP owes its clients.
//!
//! Both receivers end in one [`Consume`]: whatever transport, compression and encoding a request came in, its
//! protobuf bytes come out, once, as one [`Batch`]. What each failure means to a client stands in one table
//! (`failure`), so that gRPC and HTTP never disagree on whether to retry.

mod admission;
mod body;
mod connections;
mod decompress;
mod failure;
mod grpc;
mod http;
mod intake;
mod io;
pub mod json;
mod meters;
mod response;
mod zstd_frame;

pub use self::http::serve_http;
pub use admission::Admission;
pub use grpc::serve_grpc;

use bytes::Bytes;
use std::borrow::Cow;
use std::net::SocketAddr;

/// The three OTLP signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

/// Which signals have a pipeline behind them; the others are not there (UNIMPLEMENTED, 404).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals {
    /// Spans.
    pub traces: bool,
    /// Data points.
    pub metrics: bool,
    /// Log records.
    pub logs: bool,
}

impl Signals {
    /// All three.
    pub const ALL: Self = Self {
        traces: true,
        metrics: true,
        logs: true,
    };
}

/// One request: its protobuf bytes, whatever encoding it came in.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it carries.
    pub signal: Signal,
    /// The Export*ServiceRequest.
    pub bytes: Bytes,
    /// Who sent it; `None` for a local peer without an address.
    pub peer: Option<SocketAddr>,
}

/// What became of a batch that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Items taken.
    pub items: u64,
    /// Items rejected one by one; goes into `partial_success`.
    pub rejected: u64,
    /// Why, in English, for the sender's log; empty when nothing was rejected.
    pub message: Cow<'static, str>,
}

/// Why a batch was not taken. Nothing of it was counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not the message that the signal requires. INVALID_ARGUMENT / 400.
    #[error("{0}")]
    Malformed(Cow<'static, str>),
    /// Too many items or bytes. RESOURCE_EXHAUSTED without RetryInfo / 413.
    #[error("{0}")]
    TooLarge(Cow<'static, str>),
    /// No room now. UNAVAILABLE with RetryInfo / 503 with Retry-After.
    #[error("{message}")]
    Overloaded {
        /// What is full.
        message: Cow<'static, str>,
        /// When to try again, in seconds.
        retry_after_secs: u64,
    },
}

/// Where receivers hand their batches: the tap, and later the pipelines.
pub trait Consume: Send + Sync + 'static {
    /// Takes a batch, synchronously: a walk of 1000 spans is a sixth of a millisecond.
    fn consume(&self, batch: Batch) -> Result<Accepted, Refusal>;
}
