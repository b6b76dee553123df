//! From components and pipelines that have been checked to a [`Config`]: what runs, and nothing else.

use super::components::{Components, Defined};
use super::pipelines::{Carries, Pipeline};
use super::section::Report;
use super::types::{ConnectorSettings, Exporter};
use super::wiring::Wiring;
use super::{
    ClientTls, Config, ConfigRequest, Connector, Extension, Forwarder, Graph, Named, PipelineConfig,
    PipelineKind, ReloadConfig, Signals, TelemetryConfig,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Exporters that publish budgets by themselves, and the graph without them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pipelines: Vec<PipelineConfig>,
    /// Exporters that telemetry flows to.
    forwarding: BTreeSet<String>,
    /// Exporters that publish budgets by themselves.
    publishing: BTreeSet<String>,
}

impl Plan {
    pub(super) fn of(wiring: &Wiring<'_>) -> Self {
        let mut plan = Self::default();
        for pipeline in wiring.pipelines {
            let Carries::Telemetry(kind) = pipeline.carries else {
                continue;
            };
            let alone = kind == PipelineKind::Metrics && wiring.is_budgets_only(pipeline);
            let mut exporters = Vec::new();
            for exporter in names(&pipeline.exporters) {
                if alone && publishes(&exporter, wiring.components) {
                    plan.publishing.insert(exporter);
                } else {
                    plan.forwarding.insert(exporter.clone());
                    exporters.push(exporter);
                }
            }
            if !exporters.is_empty() {
                plan.pipelines.push(PipelineConfig {
                    id: pipeline.id.clone(),
                    kind,
                    receivers: names(&pipeline.receivers),
                    processors: names(&pipeline.processors),
                    exporters,
                });
            }
        }
        plan
    }
}

fn names(references: &[super::pipelines::Reference]) -> Vec<String> {
    references.iter().map(|it| it.id.clone()).collect()
}

/// Whether the exporter can publish budgets by itself: a page does, and an SDK pushes what needs nothing that
/// only forwarding has.
fn publishes(id: &str, components: &Components) -> bool {
    let found = components.exporters.iter().find(|it| it.id == id);
    match found.and_then(|it| it.component.as_ref()) {
        Some(Exporter::Forwards(Forwarder::Prometheus(_))) => true,
        Some(Exporter::Forwards(Forwarder::Otlp(it))) => {
            let plain = ClientTls {
                insecure: it.tls.insecure,
                ..ClientTls::default()
            };
            it.tls == plain && it.authenticator.is_none() && it.endpoints.metrics.is_some()
        }
        _ => false,
    }
}

/// Marks everything that a pipeline names.
pub(super) fn mark(pipelines: &[Pipeline], components: &mut Components) {
    for pipeline in pipelines {
        for it in &pipeline.receivers {
            named(&it.id, &mut components.receivers);
            named(&it.id, &mut components.connectors);
        }
        for it in &pipeline.processors {
            named(&it.id, &mut components.processors);
        }
        for it in &pipeline.exporters {
            named(&it.id, &mut components.exporters);
            named(&it.id, &mut components.connectors);
        }
    }
}

fn named<T>(id: &str, all: &mut [Defined<T>]) {
    all.iter_mut()
        .filter(|it| it.id == id)
        .for_each(|it| it.used = true);
}

/// What runs, of one kind.
fn running<T>(all: Vec<Defined<T>>) -> impl Iterator<Item = (String, String, Option<T>)> {
    all.into_iter()
        .filter(|it| it.used)
        .map(|it| (it.id, it.path, it.component))
}

/// Keeps what runs. `None` only beside a reported problem.
pub(super) fn assemble(
    components: Components,
    plan: Plan,
    extensions: &[String],
    telemetry: TelemetryConfig,
    reload: ReloadConfig,
    report: &Report,
) -> Option<Config> {
    let mut listeners: Vec<(String, SocketAddr)> = Vec::new();
    let mut config = Config {
        receivers: Vec::new(),
        signals: Signals::default(),
        graph: Graph {
            pipelines: plan.pipelines,
            ..Graph::default()
        },
        error_budget: super::ErrorBudget::default(),
        prometheus: None,
        otlp_metrics: Vec::new(),
        decision_exporters: super::DecisionExporters::default(),
        extensions: Vec::new(),
        health: None,
        api: None,
        storage: None,
        pprof: None,
        zpages: None,
        telemetry,
        reload,
        request: ConfigRequest::default(),
        policy_folder: PathBuf::from("."),
        files: Vec::new(),
        dropped: Vec::new(),
        warnings: Vec::new(),
    };
    for (id, path, otlp) in running(components.receivers) {
        let otlp = otlp?;
        let own = otlp.listeners();
        listeners.extend(own.map(|(protocol, at)| (format!("{path}.protocols.{protocol}"), at)));
        config.receivers.push(Named { id, config: otlp });
    }
    for (id, _, processor) in running(components.processors) {
        let config_of = processor?;
        config.graph.processors.push(Named {
            id,
            config: config_of,
        });
    }
    for (id, _, connector) in running(components.connectors) {
        let connector = match connector? {
            ConnectorSettings::Budget(it) => {
                config.error_budget = *it;
                Connector::ErrorBudget
            }
            ConnectorSettings::Other(it) => it,
        };
        config.graph.connectors.push(Named {
            id,
            config: connector,
        });
    }
    let (forwarding, publishing) = (&plan.forwarding, &plan.publishing);
    for (id, path, exporter) in running(components.exporters) {
        match exporter? {
            Exporter::Decides(it) => config.decision_exporters.push(it),
            Exporter::Forwards(it) => {
                match &it {
                    Forwarder::Prometheus(page) => {
                        listeners.push((path.clone(), page.endpoint));
                        if publishing.contains(&id) && config.prometheus.replace(page.clone()).is_some() {
                            let message = "a second page of budgets; one prometheus exporter shows them all";
                            report.problem(None, &path, message);
                        }
                    }
                    Forwarder::Otlp(it) if publishing.contains(&id) => {
                        config.otlp_metrics.extend(it.push(&id));
                    }
                    _ => {}
                }
                if forwarding.contains(&id) {
                    config.graph.forwarders.push(Named { id, config: it });
                }
            }
        }
    }
    config.signals = config.signals_of(|id| config.receivers.iter().any(|it| it.id == id));
    extend(&mut config, components.extensions, extensions, &mut listeners)?;
    for reader in config.telemetry.metrics.pull.iter().filter(|it| !it.implicit) {
        listeners.push(("service.telemetry.metrics.readers".to_owned(), reader.endpoint));
    }
    check_listeners(&listeners, report);
    Some(config)
}

/// The extensions, in the order of `service.extensions`.
fn extend(
    config: &mut Config,
    defined: Vec<Defined<Extension>>,
    order: &[String],
    listeners: &mut Vec<(String, SocketAddr)>,
) -> Option<()> {
    let mut all: Vec<_> = running(defined).collect();
    all.sort_by_key(|(id, ..)| order.iter().position(|named| named == id));
    for (id, path, extension) in all {
        let extension = extension?;
        listeners.extend(extension.endpoint().map(|at| (path, at)));
        match &extension {
            Extension::HealthCheck(it) => config.health = Some(it.clone()),
            Extension::Api(it) => config.api = Some(it.clone()),
            Extension::Pprof(it) => config.pprof = Some(it.clone()),
            Extension::Zpages(it) => config.zpages = Some(it.clone()),
            // The first is where counts and decisions live; others serve queues.
            Extension::FileStorage(it) => {
                config.storage.get_or_insert_with(|| it.clone());
            }
            Extension::BearerTokenAuth(_) | Extension::BasicAuth(_) => {}
        }
        config.extensions.push(Named {
            id,
            config: extension,
        });
    }
    Some(())
}

/// Two listeners on one address would fail at start; better here, with both names.
fn check_listeners(listeners: &[(String, SocketAddr)], report: &Report) {
    for (nth, (path, address)) in listeners.iter().enumerate() {
        let clash = listeners[..nth].iter().find(|(_, before)| {
            let overlaps =
                before.ip() == address.ip() || before.ip().is_unspecified() || address.ip().is_unspecified();
            address.port() != 0 && before.port() == address.port() && overlaps
        });
        if let Some((first, _)) = clash {
            report.problem(
                None,
                &format!("{path}.endpoint"),
                format!("{address} is taken by {first}"),
            );
        }
    }
}
