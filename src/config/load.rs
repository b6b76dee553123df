//! From a file to a [`Config`]: read, expand, type, wire up, refuse.

use super::components::{Components, Exporter, Extension};
use super::error::ConfigError;
use super::expand::{Lookup, System, expand};
use super::pipelines::{Wiring, read_extensions};
use super::section::{Report, Section};
use super::tree;
use super::{Config, ConfigSource, ErrorBudget, TelemetryConfig};
use std::net::SocketAddr;

/// The file that describes every key and default, and the configuration of a bare `burngate`.
pub const EMBEDDED: &str = include_str!("../../config/gateway.yaml");

/// Bytes read of a configuration file.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Config {
    /// Loads and checks a configuration; every mistake that can be seen without binding a port is in the
    /// error.
    pub fn load(source: &ConfigSource) -> Result<Self, ConfigError> {
        match source {
            ConfigSource::Embedded => from_text(EMBEDDED, source, &System).map(|(config, _)| config),
            ConfigSource::File(path) => {
                let text = super::read_bounded(path, MAX_FILE_BYTES).map_err(|why| {
                    ConfigError::whole(source.to_string(), format!("cannot read it: {why}"))
                })?;
                from_text(&text, source, &System).map(|(config, _)| config)
            }
        }
    }
}

/// Reads `text`; the report that comes back beside the configuration knows which keys it lacked.
pub(super) fn from_text(
    text: &str,
    source: &ConfigSource,
    lookup: &dyn Lookup,
) -> Result<(Config, Vec<String>), ConfigError> {
    let report = Report::default();
    let mut root = match tree::parse(text) {
        Ok(root) => root,
        Err(error) => {
            report.problem(Some(error.at), "", error.message);
            return Err(ConfigError {
                file: source.to_string(),
                problems: report.into_parts().0,
            });
        }
    };
    expand(&mut root, "", lookup, &report);
    let section = Section::new(&root, String::new(), &report);
    let mut components = Components::read(&section);
    if section.node("service").is_none() {
        section.report.problem(
            None,
            "service",
            "required; it names the pipelines and extensions that run",
        );
    }
    let service = section.section_or_empty("service");
    let telemetry = TelemetryConfig::read(service.section_or_empty("telemetry"));
    let reload = super::ReloadConfig::read(service.section_or_empty("reload"));
    read_extensions(&service, &mut components);
    let pipelines = service.section_or_empty("pipelines");
    let wiring = if section.entries().iter().any(|entry| entry.key == "service") {
        Wiring::read(&pipelines, &mut components)
    } else {
        Wiring::default()
    };
    service.finish();
    section.finish();
    components.warn_of_unused(&report);
    let absent = report.absent();
    let config =
        assemble(components, &wiring, telemetry, source, &report).map(|config| Config { reload, ..config });
    let (problems, warnings) = report.into_parts();
    match config {
        Some(config) if problems.is_empty() => Ok((Config { warnings, ..config }, absent)),
        _ => Err(ConfigError {
            file: source.to_string(),
            problems,
        }),
    }
}

/// Keeps what runs. `None` only beside a reported problem.
fn assemble(
    components: Components,
    wiring: &Wiring,
    telemetry: TelemetryConfig,
    source: &ConfigSource,
    report: &Report,
) -> Option<Config> {
    let mut listeners: Vec<(String, SocketAddr)> = Vec::new();
    let receiver = components.receivers.into_iter().find(|it| it.used);
    let connector = components.connectors.into_iter().find(|it| it.used);
    let mut config = Config {
        grpc: None,
        http: None,
        limits: super::ReceiverLimits::default(),
        signals: wiring.signals,
        graph: super::Graph::default(),
        error_budget: connector.map_or_else(|| Some(ErrorBudget::default()), |it| it.component)?,
        prometheus: None,
        otlp_metrics: Vec::new(),
        unleash: Vec::new(),
        webhooks: Vec::new(),
        health: None,
        api: None,
        storage: None,
        pprof: None,
        zpages: None,
        telemetry,
        reload: super::ReloadConfig::default(),
        files: match source {
            ConfigSource::Embedded => Vec::new(),
            ConfigSource::File(file) => vec![file.clone()],
        },
        source: source.clone(),
        warnings: Vec::new(),
    };
    if let Some(receiver) = receiver {
        let otlp = receiver.component?;
        listeners.extend(otlp.grpc.as_ref().and_then(|it| {
            Some((
                format!("{}.protocols.grpc", receiver.path),
                it.endpoint.address()?,
            ))
        }));
        listeners.extend(otlp.http.as_ref().and_then(|it| {
            Some((
                format!("{}.protocols.http", receiver.path),
                it.endpoint.address()?,
            ))
        }));
        (config.grpc, config.http, config.limits) = (otlp.grpc, otlp.http, otlp.limits);
    }
    for exporter in components.exporters.into_iter().filter(|it| it.used) {
        match exporter.component? {
            Exporter::Prometheus(it) => {
                listeners.push((exporter.path, it.endpoint));
                config.prometheus = Some(it);
            }
            Exporter::Otlp(it) => config.otlp_metrics.push(it),
            Exporter::Unleash(it) => config.unleash.push(it),
            Exporter::Webhook(it) => config.webhooks.push(it),
        }
    }
    for extension in components.extensions.into_iter().filter(|it| it.used) {
        match extension.component? {
            Extension::Health(it) => {
                listeners.push((extension.path, it.endpoint));
                config.health = Some(it);
            }
            Extension::Storage(it) => config.storage = Some(it),
            Extension::Api(it) => {
                listeners.push((extension.path, it.endpoint));
                config.api = Some(it);
            }
            Extension::Pprof(it) => {
                listeners.push((extension.path, it.endpoint));
                config.pprof = Some(it);
            }
            Extension::Zpages(it) => {
                listeners.push((extension.path, it.endpoint));
                config.zpages = Some(it);
            }
        }
    }
    for reader in config.telemetry.metrics.pull.iter().filter(|it| !it.implicit) {
        listeners.push(("service.telemetry.metrics.readers".to_owned(), reader.endpoint));
    }
    check_listeners(&listeners, report);
    Some(config)
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
