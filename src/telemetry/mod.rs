//! The gateway's own logs, metrics and traces, in the words that operators of a Collector already know.
//!
//! Names of metrics. One recorder has everything. The Collector's counters (`otelcol_*`) are recorded WITHOUT
//! `_total`, as OpenTelemetry names them, and get it where a reader asks for it ([`self_metrics_router`]);
//! ours (`burngate_*`) are recorded as they are read, with `_total`, and look the same everywhere. Labels of
//! `otelcol_*` are the Collector's: `receiver` and `transport`, `processor`, `exporter`, each with the id
//! that the configuration gives.

mod announce;
mod collector;
mod described;
mod exposition;
mod init;
mod json_lines;
mod log_sampling;
mod logs;
mod metrics;
mod otlp;
mod outputs;
mod process;
mod push;
mod recent;
mod resource;
mod scrape;
mod traces;

pub use announce::announce;
pub use init::{TelemetryGuard, init, recent_spans, reload_log_level};
pub use metrics::metrics_handle;
pub use otlp::TelemetryError;
pub use process::process_facts;
pub use push::MetricsPush;
pub use recent::{LATENCIES_NS, NamedSpans, RecentSpan, RecentSpans};
pub use resource::OwnResource;
pub use scrape::self_metrics_router;

use std::time::Duration;

/// Time that the last push of own spans or metrics has; the gateway's own end has the rest of ten seconds.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(2);
