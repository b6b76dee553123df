//! The graph of pipelines as the file has it, references checked.

use super::{Connector, Forwarder, Processor};
use crate::config::Signals;

/// A component with its name in the file, such as `batch` or `otlp_http/apm`.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T> {
    /// As the file writes it; unique within its kind.
    pub id: String,
    /// Its settings.
    pub config: T,
}

/// What a pipeline carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineKind {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl PipelineKind {
    /// As pipelines are called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// Whether `signals` has it.
    pub const fn is_in(self, signals: Signals) -> bool {
        match self {
            Self::Traces => signals.traces,
            Self::Metrics => signals.metrics,
            Self::Logs => signals.logs,
        }
    }
}

/// One telemetry pipeline: every name in it is defined, and fits.
///
/// The pipelines of `decisions` are not here. Neither are exporters that publish budgets by themselves
/// ([`super::Config::prometheus`], [`super::Config::otlp_metrics`]): those of a pipeline that reads from
/// `error_budget` only and has no processors. Such a pipeline is here with the exporters that are left, if
/// any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineConfig {
    /// Such as `traces` or `metrics/budget`.
    pub id: String,
    /// What it carries.
    pub kind: PipelineKind,
    /// Receivers and connectors, in order.
    pub receivers: Vec<String>,
    /// Processors, in order.
    pub processors: Vec<String>,
    /// Exporters and connectors, in order.
    pub exporters: Vec<String>,
}

/// Everything that telemetry flows through, as far as pipelines name it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The pipelines.
    pub pipelines: Vec<PipelineConfig>,
    /// Processors that a pipeline names.
    pub processors: Vec<Named<Processor>>,
    /// Connectors that a pipeline names, `error_budget` among them, each with its id.
    pub connectors: Vec<Named<Connector>>,
    /// Exporters of telemetry that a pipeline names.
    pub forwarders: Vec<Named<Forwarder>>,
}
