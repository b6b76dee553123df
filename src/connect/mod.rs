//! Connectors that make metrics of other signals: `count`, `span_metrics`.
