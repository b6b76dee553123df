//! The YAML file, as types that cannot be wrong.
//!
//! One struct a component, every default in one place (its `Default`), unknown keys refused. The file is
//! read, merged with these defaults and validated before any port is bound, and all its mistakes are told at
//! once.
//!
//! The language is the OpenTelemetry Collector's: components by kind and id (`type` or `type/name`), null for
//! "with every default", `${env:NAME}`, pipelines that name what runs. `config/gateway.yaml` describes every
//! key. The way of a file:
//!
//! ```text
//! text -> tree (keeps lines) -> expand (${...}) -> components (typed, one struct each) -> pipelines
//!      -> Config
//! ```
//!
//! Relative paths: policies start from the folder of the configuration file, so that both can move together;
//! the data directory and `${file:...}` start from the working directory, as the Collector's do.

mod actuators;
mod assemble;
mod auth;
mod catalog;
mod client_tls;
mod cohorts;
mod components;
mod connections;
mod connectors;
mod cors;
mod decisions;
mod duration;
mod endpoint;
mod error;
mod error_budget;
mod evidence;
mod expand;
mod exporters;
mod extensions;
mod flagd;
mod forwarding;
mod graph;
mod http_api;
mod indicators;
mod kill;
mod launchdarkly;
mod load;
mod merge;
mod metric_streams;
mod pipelines;
mod print;
mod processors;
mod prune;
mod receivers;
mod references;
mod reload;
mod report;
mod secret;
mod section;
mod sending_queue;
mod server_tls;
mod service;
mod setting;
mod sinks;
mod source;
mod taps;
mod telemetry;
mod tree;
mod types;
mod unsupported;
mod wiring;

#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod tests;

pub use actuators::{DecisionExporter, DecisionExporters};
pub use auth::{Authenticator, BasicAuth, BearerTokenAuth, ClientAuth, Htpasswd, ReceiverAuth};
pub use catalog::{ComponentInfo, components};
pub use client_tls::{ClientTls, PemSource, TlsVersion};
pub use cohorts::{Absent, Cohorts, Join, JoinMode, Signatures};
pub use connectors::{
    Buckets, Connector, CountAttribute, CountConnector, CountMetric, Dimension, DurationUnit, Scalar,
    SpanMetricsConnector, Temporality,
};
pub use cors::Cors;
pub use decisions::{Audit, Delivery, Journal};
pub use duration::{format_duration, parse_duration};
pub use endpoint::Endpoint;
pub use error::{ConfigError, Place, Problem};
pub use error_budget::{Dedup, DefaultSlo, ErrorBudget};
pub use evidence::{EvidenceSettings, GuardSettings};
pub use exporters::{
    OtlpMetricsExporter, OtlpProtocol, PrometheusExporter, UnleashExporter, WebhookExporter,
};
pub use extensions::{
    ApiExtension, ComponentHealth, Extension, FileStorage, FlagChangesDoor, HealthCheck, PprofExtension,
    ZpagesExtension,
};
pub use flagd::FlagdExporter;
pub use forwarding::{
    Balancer, ClientKeepalive, Compression, Endpoints, Forwarder, OtlpEncoding, OtlpExporter, Push,
};
pub use graph::{Graph, Named, PipelineConfig, PipelineKind};
pub use http_api::{Checks, HTTP_ACTIONS, HTTP_PRESETS, HttpAction, HttpApiExporter, HttpEdit, HttpLookup};
pub use indicators::{BuiltInIndicators, IndicatorSettings};
pub use kill::Kill;
pub use launchdarkly::{LaunchDarklyExporter, OnApproval};
pub use metric_streams::MetricStreams;
pub use processors::{
    Action, ActionKind, AttributeMatch, AttributeSource, AttributesProcessor, BatchProcessor, ConvertTo,
    ErrorMode, FilterGroup, FilterProcessor, LibraryMatch, Matching, MemoryLimiter, Origin, PlainValue,
    ProbabilisticSampler, Processor, ResourceProcessor, SamplerMode, SeverityMatch, Statement,
    StatementGroup, TransformProcessor,
};
pub use receivers::{CODINGS, GrpcReceiver, HttpReceiver, OtlpReceiver, ReceiverLimits};
pub use reload::ReloadConfig;
pub use secret::Secret;
pub use sending_queue::{QueueBatch, Retry, SendingQueue, Sizer};
pub use server_tls::{CIPHER_SUITES, CURVES, TlsServer};
pub use service::Signals;
pub use sinks::{
    DebugExporter, FileExporter, FileFormat, Naming, ReceivedPage, RemoteWriteExporter, Rotation, Verbosity,
};
pub use source::{ConfigRequest, ConfigSource, EMBEDDED};
pub use telemetry::{
    LabelSelection, LogEncoding, LogLevel, LogOutput, LogSampling, LogsConfig, MetricsLevel, PullReader,
    PushReader, PushTemporality, SelfMetrics, SelfOtlp, SelfResource, SelfTls, SelfTraces, SpanBatching,
    TelemetryConfig,
};
pub use unsupported::{NotHere, UNSUPPORTED, Unsupported};

use std::io::Read;
use std::path::{Path, PathBuf};

/// A configuration that holds: every reference defined, every value in range, only components that run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where telemetry comes in.
    pub receivers: Vec<Named<OtlpReceiver>>,
    /// Signals with a pipeline that reads from a receiver.
    pub signals: Signals,
    /// The graph that telemetry flows through.
    pub graph: Graph,
    /// The heart.
    pub error_budget: ErrorBudget,
    /// `/metrics`, if a budget pipeline names it.
    pub prometheus: Option<PrometheusExporter>,
    /// Pushed budget metrics: the exporters that a budget pipeline names.
    pub otlp_metrics: Vec<OtlpMetricsExporter>,
    /// What carries out decisions: the exporters that a decisions pipeline names.
    pub decision_exporters: DecisionExporters,
    /// The extensions that are on, in their order; the fields below are for those that there is one of.
    pub extensions: Vec<Named<Extension>>,
    /// Health probe, if the extension is on.
    pub health: Option<HealthCheck>,
    /// HTTP and gRPC API, if the extension is on.
    pub api: Option<ApiExtension>,
    /// Store of counts and decisions on disk, the first `file_storage`; `None` keeps everything in memory,
    /// and a restart forgets it.
    pub storage: Option<FileStorage>,
    /// CPU profiles, if the extension is on.
    pub pprof: Option<PprofExtension>,
    /// Pages about the process, if the extension is on.
    pub zpages: Option<ZpagesExtension>,
    /// The gateway's own logs, metrics and traces.
    pub telemetry: TelemetryConfig,
    /// When a new configuration is looked for.
    pub reload: ReloadConfig,
    /// The files that this was read from, those of `${file:...}` among them.
    pub files: Vec<PathBuf>,
    /// What was asked for: a reload asks for it again.
    pub request: ConfigRequest,
    /// See [`Config::policy_base`].
    pub policy_folder: PathBuf,
    /// What was left out because it does not run here, by path; only where the request allows it.
    pub dropped: Vec<String>,
    /// What is legal but probably not meant, one line each, with its place.
    pub warnings: Vec<String>,
}

impl Config {
    /// The signals of the pipelines that read from a receiver for which `is_asked` holds.
    pub fn signals_of(&self, is_asked: impl Fn(&str) -> bool) -> Signals {
        let mut signals = Signals::default();
        for pipeline in &self.graph.pipelines {
            if pipeline.receivers.iter().any(|id| is_asked(id)) {
                match pipeline.kind {
                    PipelineKind::Traces => signals.traces = true,
                    PipelineKind::Metrics => signals.metrics = true,
                    PipelineKind::Logs => signals.logs = true,
                }
            }
        }
        signals
    }

    /// What is read of a request, by the widest of the receivers: one walk serves them all.
    pub fn limits(&self) -> ReceiverLimits {
        let all = self.receivers.iter().map(|it| it.config.limits.clone());
        all.reduce(|a, b| ReceiverLimits {
            max_items: a.max_items.max(b.max_items),
            max_attributes: a.max_attributes.max(b.max_attributes),
            max_events: a.max_events.max(b.max_events),
            max_nesting: a.max_nesting.max(b.max_nesting),
            ..a
        })
        .unwrap_or_default()
    }

    /// The folder that relative policy paths start from: that of the configuration file which names them, or
    /// the working directory.
    pub fn policy_base(&self) -> &Path {
        &self.policy_folder
    }

    /// Takes the processor `id` out of every pipeline, because it does not run here; `problems` say why.
    pub fn leave_out_processor(&mut self, id: &str, problems: &[Problem]) {
        for pipeline in &mut self.graph.pipelines {
            pipeline.processors.retain(|it| it != id);
        }
        self.graph.processors.retain(|it| it.id != id);
        let sources = self.request.names();
        for problem in problems {
            let left_out = Problem {
                message: format!("left out, with the whole processor `{id}`: {}", problem.message),
                ..problem.clone()
            };
            self.warnings.push(left_out.warning(&sources));
        }
        self.dropped.push(format!("processors.{id}"));
    }

    /// Whether a pipeline hands telemetry to `error_budget`; else the gateway only forwards.
    pub fn counts(&self) -> bool {
        let mut connectors = self.graph.connectors.iter();
        connectors.any(|named| named.config == Connector::ErrorBudget)
    }

    /// Whether nobody wrote it: the copy of `config/gateway.yaml` in the binary.
    pub fn is_embedded(&self) -> bool {
        self.request
            .sources
            .iter()
            .all(|it| *it == ConfigSource::Embedded)
    }

    /// What it was read from, for people.
    pub fn source(&self) -> String {
        let sources: Vec<String> = self.request.sources.iter().map(ToString::to_string).collect();
        match sources.as_slice() {
            [] => ConfigSource::Embedded.to_string(),
            sources => sources.join(", "),
        }
    }
}

/// Reads a text file of at most `limit` bytes, or says why not.
fn read_bounded(path: &Path, limit: u64) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > limit {
        return Err(format!("larger than {limit} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())
}
