//! Telemetry exporters: queue, retry, OTLP, files, Prometheus.
