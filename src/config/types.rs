//! Every type of component that runs here: what people write, and what reads it.
//!
//! One table a kind. A new component is one line here and its own file beside; whatever lists components
//! (errors,
//! `burngate components`, the docs test) reads these tables. Old and new names of the Collector stand for the
//! same type: its renames must not break a file, in either direction.

use super::section::Section;
use super::{
    ApiExtension, AttributesProcessor, BasicAuth, BatchProcessor, BearerTokenAuth, Connector, CountConnector,
    DebugExporter, DecisionExporter, ErrorBudget, Extension, FileExporter, FileStorage, FilterProcessor,
    FlagdExporter, Forwarder, HealthCheck, HttpApiExporter, LaunchDarklyExporter, MemoryLimiter,
    OtlpExporter, OtlpProtocol, OtlpReceiver, PprofExtension, ProbabilisticSampler, Processor,
    PrometheusExporter, RemoteWriteExporter, ResourceProcessor, SpanMetricsConnector, TransformProcessor,
    UnleashExporter, WebhookExporter, ZpagesExtension,
};

/// What a component takes, as pipelines are called.
type Signals = &'static [&'static str];
const ALL: Signals = &["traces", "metrics", "logs"];
const METRICS: Signals = &["metrics"];
const DECISIONS: Signals = &["decisions"];

/// One type of component.
#[derive(Debug)]
pub(super) struct Type<T> {
    /// What it is called here, and by the Collector today.
    pub(super) name: &'static str,
    /// What else people write.
    pub(super) aliases: &'static [&'static str],
    /// Signals that it takes; empty for extensions.
    pub(super) takes: Signals,
    /// Signals that it gives, for connectors only.
    pub(super) gives: Signals,
    /// How firm its keys are.
    pub(super) stability: &'static str,
    /// Reads its settings by the id of the component. `None` only beside a reported problem.
    pub(super) read: fn(&str, Section<'_>) -> Option<T>,
}

impl<T> Type<T> {
    const fn new(
        name: &'static str,
        aliases: &'static [&'static str],
        takes: Signals,
        read: fn(&str, Section<'_>) -> Option<T>,
    ) -> Self {
        Self {
            name,
            aliases,
            takes,
            gives: &[],
            stability: "beta",
            read,
        }
    }

    const fn giving(mut self, signals: Signals) -> Self {
        self.gives = signals;
        self
    }

    /// Its keys are the Collector's, and stay.
    const fn stable(mut self) -> Self {
        self.stability = "stable";
        self
    }

    /// Whether people mean this type by `written`.
    pub(super) fn is(&self, written: &str) -> bool {
        self.name == written || self.aliases.contains(&written)
    }
}

/// What an exporter's settings may be.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a handful of them, while a file is read"
)]
pub(super) enum Exporter {
    /// Takes telemetry.
    Forwards(Forwarder),
    /// Carries out decisions.
    Decides(DecisionExporter),
}

/// What a connector's settings may be.
#[derive(Debug)]
pub(super) enum ConnectorSettings {
    /// Of `error_budget`.
    Budget(Box<ErrorBudget>),
    /// Of the others.
    Other(Connector),
}

pub(super) const RECEIVERS: &[Type<OtlpReceiver>] =
    &[Type::new("otlp", &[], ALL, OtlpReceiver::read).stable()];

pub(super) const PROCESSORS: &[Type<Processor>] = &[
    Type::new("memory_limiter", &[], ALL, |id, section| {
        MemoryLimiter::read(id, section).map(Processor::MemoryLimiter)
    }),
    Type::new("batch", &[], ALL, |id, section| {
        BatchProcessor::read(id, section).map(Processor::Batch)
    }),
    Type::new("resource", &[], ALL, |id, section| {
        ResourceProcessor::read(id, section).map(Processor::Resource)
    }),
    Type::new("attributes", &[], ALL, |id, section| {
        AttributesProcessor::read(id, section).map(Processor::Attributes)
    }),
    Type::new("filter", &[], ALL, |id, section| {
        FilterProcessor::read(id, section).map(Processor::Filter)
    }),
    Type::new(
        "probabilistic_sampler",
        &["probabilisticsampler"],
        &["traces", "logs"],
        |id, section| ProbabilisticSampler::read(id, section).map(Processor::ProbabilisticSampler),
    ),
    Type::new("transform", &[], ALL, |id, section| {
        TransformProcessor::read(id, section).map(Processor::Transform)
    }),
];

pub(super) const EXPORTERS: &[Type<Exporter>] = &[
    Type::new("otlp_grpc", &["otlp"], ALL, |_, section| {
        let read = OtlpExporter::read(OtlpProtocol::Grpc, section);
        read.map(|it| Exporter::Forwards(Forwarder::Otlp(it)))
    }),
    Type::new("otlp_http", &["otlphttp"], ALL, |_, section| {
        let read = OtlpExporter::read(OtlpProtocol::Http, section);
        read.map(|it| Exporter::Forwards(Forwarder::Otlp(it)))
    }),
    Type::new("debug", &["logging"], ALL, |_, section| {
        let debug = DebugExporter::read(section);
        Some(Exporter::Forwards(Forwarder::Debug(debug)))
    }),
    Type::new("file", &[], ALL, |_, section| {
        FileExporter::read(section).map(|it| Exporter::Forwards(Forwarder::File(it)))
    }),
    Type::new("prometheus", &[], METRICS, |_, section| {
        let page = PrometheusExporter::read(section);
        Some(Exporter::Forwards(Forwarder::Prometheus(page)))
    }),
    Type::new(
        "prometheus_remote_write",
        &["prometheusremotewrite"],
        METRICS,
        |_, section| {
            RemoteWriteExporter::read(section).map(|it| Exporter::Forwards(Forwarder::RemoteWrite(it)))
        },
    ),
    Type::new("unleash", &[], DECISIONS, |id, section| {
        decides(UnleashExporter::read(id, section))
    }),
    Type::new("launchdarkly", &[], DECISIONS, |id, section| {
        decides(LaunchDarklyExporter::read(id, section))
    }),
    Type::new("http", &[], DECISIONS, |id, section| {
        decides(HttpApiExporter::read(id, &section))
    }),
    Type::new("flagd", &[], DECISIONS, |id, section| {
        decides(FlagdExporter::read(id, section))
    }),
    Type::new("webhook", &[], DECISIONS, |id, section| {
        decides(WebhookExporter::read(id, section))
    }),
];

fn decides(read: Option<impl Into<DecisionExporter>>) -> Option<Exporter> {
    read.map(|it| Exporter::Decides(it.into()))
}

pub(super) const CONNECTORS: &[Type<ConnectorSettings>] = &[
    Type::new("error_budget", &["errorbudget"], ALL, |_, section| {
        Some(ConnectorSettings::Budget(Box::new(ErrorBudget::read(section))))
    })
    .giving(&["metrics", "logs", "decisions"]),
    // What comes in goes out: the check knows that it gives the signal that it took.
    Type::new("forward", &[], ALL, |_, section| {
        section.finish();
        Some(ConnectorSettings::Other(Connector::Forward))
    })
    .giving(ALL),
    Type::new("count", &[], ALL, |_, section| {
        let count = CountConnector::read(section);
        Some(ConnectorSettings::Other(Connector::Count(count)))
    })
    .giving(METRICS),
    Type::new("span_metrics", &["spanmetrics"], &["traces"], |_, section| {
        let metrics = Box::new(SpanMetricsConnector::read(section));
        Some(ConnectorSettings::Other(Connector::SpanMetrics(metrics)))
    })
    .giving(METRICS),
];

pub(super) const EXTENSIONS: &[Type<Extension>] = &[
    Type::new("health_check", &["healthcheck"], &[], |_, section| {
        Some(Extension::HealthCheck(HealthCheck::read(section)))
    }),
    Type::new("file_storage", &["filestorage"], &[], |_, section| {
        Some(Extension::FileStorage(FileStorage::read(section)))
    }),
    Type::new("api", &[], &[], |_, section| {
        Some(Extension::Api(ApiExtension::read(section)))
    }),
    Type::new("pprof", &[], &[], |_, section| {
        Some(Extension::Pprof(PprofExtension::read(section)))
    }),
    Type::new("zpages", &[], &[], |_, section| {
        Some(Extension::Zpages(ZpagesExtension::read(section)))
    }),
    Type::new("bearertokenauth", &["bearer_token_auth"], &[], |id, section| {
        BearerTokenAuth::read(id, section).map(Extension::BearerTokenAuth)
    }),
    Type::new("basicauth", &["basic_auth"], &[], |id, section| {
        BasicAuth::read(id, section).map(Extension::BasicAuth)
    }),
];
