//! Telemetry exporters: queue, retry, OTLP, files, Prometheus.

pub(crate) mod attribute;
mod counted;
mod debug;
mod disk;
pub(crate) mod fields;
mod file;
mod grpc;
mod http;
pub mod json;
mod merge;
mod otlp;
pub(crate) mod prom;
mod prometheus;
mod queue;
mod remote_write;
mod retry;

pub use debug::DebugExporter;
pub use file::{FileError, FileForwarder};
pub use otlp::{Authorize, Built, Context, ForwardError, OtlpForwarder, build_otlp};
pub use prometheus::{ReceivedMetrics, to_open_metrics};
pub use remote_write::{RemoteWrite, RemoteWriteError};

pub(crate) use prom::prometheus_name;
