//! `service.telemetry`: how burngate speaks about itself, in the Collector's words.
//!
//! The shapes are those that the Collector reads (`readers: [{pull: ...}, {periodic: ...}]`, `processors:
//! [{batch: ...}]`), so that a block that is there already goes on to mean what it meant. What cannot mean
//! anything here is accepted with a warning where ignoring it is harmless, and refused by name where it is
//! not.

mod logs;
mod metrics;
mod otlp;
mod resource;
#[cfg(test)]
pub(super) mod tests;
mod traces;

pub use logs::{LogEncoding, LogLevel, LogOutput, LogSampling, LogsConfig};
pub use metrics::{LabelSelection, MetricsLevel, PullReader, PushReader, SelfMetrics};
pub use otlp::{PushTemporality, SelfOtlp, SelfTls};
pub use resource::SelfResource;
pub use traces::{SelfTraces, SpanBatching};

use super::section::Section;

/// `service.telemetry`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TelemetryConfig {
    /// The log.
    pub logs: LogsConfig,
    /// The own metrics.
    pub metrics: SelfMetrics,
    /// The own traces.
    pub traces: SelfTraces,
    /// Who all of these say that they are from.
    pub resource: SelfResource,
}

impl TelemetryConfig {
    pub(in crate::config) fn read(section: Section<'_>) -> Self {
        let it = Self {
            logs: LogsConfig::read(section.section_or_empty("logs")),
            metrics: SelfMetrics::read(section.section_or_empty("metrics")),
            traces: SelfTraces::read(section.section_or_empty("traces")),
            resource: SelfResource::read(&section.section_or_empty("resource")),
        };
        section.finish();
        it
    }
}
