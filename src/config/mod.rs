//! The YAML file, as types that cannot be wrong.
//!
//! One struct a component, every default in one place (its `Default`), unknown keys refused. The file is read, merged with
//! these defaults and validated before any port is bound.

mod cohorts;
mod error_budget;
mod exporters;
mod extensions;
mod receivers;
mod secret;
mod service;

pub use cohorts::{Absent, Cohorts};
pub use error_budget::{DefaultSlo, ErrorBudget};
pub use exporters::{
    OtlpMetricsExporter, OtlpProtocol, PrometheusExporter, UnleashExporter, WebhookExporter,
};
pub use extensions::{ApiExtension, FileStorage, HealthCheck};
pub use receivers::{GrpcReceiver, HttpReceiver, ReceiverLimits};
pub use secret::Secret;
pub use service::{LogEncoding, LogLevel, LogsConfig, Signals};

use std::path::{Path, PathBuf};

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The copy of `config/gateway.yaml` in the binary.
    Embedded,
    /// A file.
    File(PathBuf),
}

/// A configuration that holds: every reference defined, every value in range, only components that run.
#[derive(Clone, Debug)]
pub struct Config {
    /// OTLP/gRPC, if it is on.
    pub grpc: Option<GrpcReceiver>,
    /// OTLP/HTTP, if it is on.
    pub http: Option<HttpReceiver>,
    /// What requests may cost, both protocols together.
    pub limits: ReceiverLimits,
    /// Signals with a pipeline.
    pub signals: Signals,
    /// The heart.
    pub error_budget: ErrorBudget,
    /// `/metrics`, if a budget pipeline names it.
    pub prometheus: Option<PrometheusExporter>,
    /// Pushed budget metrics: the exporters that a budget pipeline names.
    pub otlp_metrics: Vec<OtlpMetricsExporter>,
    /// Unleash servers that a decisions pipeline names.
    pub unleash: Vec<UnleashExporter>,
    /// Webhooks that a decisions pipeline names.
    pub webhooks: Vec<WebhookExporter>,
    /// Health probe, if the extension is on.
    pub health: Option<HealthCheck>,
    /// HTTP and gRPC API, if the extension is on.
    pub api: Option<ApiExtension>,
    /// Store on disk; `None` keeps everything in memory, and a restart forgets it.
    pub storage: Option<FileStorage>,
    /// The gateway's own logs.
    pub logs: LogsConfig,
    /// Where all this came from.
    pub source: ConfigSource,
    /// What is legal but probably not meant, one sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// The folder that relative policy paths start from: that of the configuration file, or the working directory for the
    /// embedded one.
    pub fn policy_base(&self) -> &Path {
        match &self.source {
            ConfigSource::Embedded => Path::new("."),
            ConfigSource::File(file) => match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            },
        }
    }
}
