//! `exporters.otlp_grpc` and `exporters.otlp_http`: telemetry forwarded to a backend.

use super::{DebugExporter, FileExporter, OtlpProtocol, PrometheusExporter, RemoteWriteExporter};

/// One exporter of telemetry.
#[derive(Clone, Debug, PartialEq)]
pub enum Forwarder {
    /// `otlp_grpc` (alias `otlp`) and `otlp_http` (alias `otlphttp`).
    Otlp(OtlpExporter),
    /// `debug` (alias `logging`).
    Debug(DebugExporter),
    /// `file`.
    File(FileExporter),
    /// `prometheusremotewrite`.
    RemoteWrite(RemoteWriteExporter),
    /// `prometheus`, for received metrics; budgets are on the same page.
    Prometheus(PrometheusExporter),
}

/// OTLP to a backend, over gRPC or HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpExporter {
    /// gRPC or HTTP.
    pub protocol: OtlpProtocol,
    /// URL with its scheme.
    pub endpoint: String,
}
