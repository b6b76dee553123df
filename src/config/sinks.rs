//! `exporters.debug`, `exporters.file` and `exporters.prometheusremotewrite`.

/// `debug` (alias `logging`): says what passes, on stderr.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugExporter {}

/// `file`: OTLP JSON, a line a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileExporter {}

/// `prometheusremotewrite`: received metrics pushed to Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteWriteExporter {}
