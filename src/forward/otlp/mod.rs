//! OTLP to a backend: what a pipeline's batch goes through after it was handed over.
//!
//! ```text
//! consume -> queue (memory or disk; merges what wishes to be merged) -> worker: pack -> attempts -> answer
//! ```
//!
//! An unmerged batch leaves as the very buffer that came in. Without `sending_queue` the client waits for the
//! attempts, and gets the backend's answer.

mod answer;
mod build;
mod courier;
mod credentials;
mod meters;
mod pack;
mod quiet;
mod tls;

pub use build::{Built, Context, ForwardError, OtlpForwarder, build_otlp};
pub use credentials::Authorize;

pub(super) use answer::{Arrived, Attempt, Failure, RESPONSE_MAX, arrived, unpack};
pub(super) use meters::{Dropped, Meters, StorageError};
pub(super) use pack::{Buffers, Packed, pack};
pub(super) use quiet::Quiet;
pub(super) use tls::client_config;
