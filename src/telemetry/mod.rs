//! The gateway's own logs, metrics and traces, in the words that operators of a Collector already know.
//!
//! Names of metrics. One recorder has everything. The Collector's counters (`otelcol_*`) are recorded WITHOUT
//! `_total`, as OpenTelemetry names them, and get it where a reader asks for it ([`self_metrics_router`]); ours
//! (`burngate_*`) are recorded as they are read, with `_total`, and look the same everywhere. Labels of
//! `otelcol_*` are the Collector's: `receiver` and `transport`, `processor`, `exporter`, each with the id that
//! the configuration gives.

mod announce;
mod exposition;
mod logs;
mod metrics;
mod process;
mod resource;
mod scrape;

pub use announce::announce;
pub use logs::init_logs;
pub use metrics::metrics_handle;
pub use resource::OwnResource;
pub use scrape::self_metrics_router;
