//! `connectors`: exporters of one pipeline that are receivers of another.

/// One connector.
#[derive(Clone, Debug, PartialEq)]
pub enum Connector {
    /// `error_budget`; its settings are [`super::Config::error_budget`].
    ErrorBudget,
    /// `forward`: from pipeline to pipeline, as it is.
    Forward,
    /// `count`.
    Count(CountConnector),
    /// `span_metrics` (alias `spanmetrics`).
    SpanMetrics(SpanMetricsConnector),
}

/// `count`: metrics of how many items match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountConnector {}

/// `span_metrics`: calls and durations of spans as metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanMetricsConnector {}
