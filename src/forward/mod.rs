//! Telemetry exporters: queue, retry, OTLP, files, Prometheus.

mod counted;
mod debug;
pub(crate) mod fields;
mod file;
pub mod json;
mod otlp;
mod prometheus;
mod remote_write;

pub use debug::DebugExporter;
pub use file::{FileError, FileForwarder};
pub use otlp::{Authorize, Built, Context, ForwardError, OtlpForwarder, build_otlp};
pub use prometheus::ReceivedMetrics;
pub use remote_write::{RemoteWrite, RemoteWriteError};
