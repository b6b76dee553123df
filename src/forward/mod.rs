//! Telemetry exporters: queue, retry, OTLP, files, Prometheus.

mod otlp;

pub use otlp::{Authorize, Built, Context, ForwardError, OtlpForwarder, build_otlp};
