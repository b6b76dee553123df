//! From a file to a [`Config`]: read, expand, type, wire up, refuse.

use super::assemble::{self, Plan};
use super::components::Components;
use super::error::ConfigError;
use super::expand::{Lookup, System, expand};
use super::pipelines;
use super::section::{Report, Section};
use super::tree;
use super::wiring::Wiring;
use super::{Config, ConfigSource, ReloadConfig, TelemetryConfig};

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
    let has_service = section.entries().iter().any(|entry| entry.key == "service");
    let service = section.section_or_empty("service");
    let telemetry = TelemetryConfig::read(service.section_or_empty("telemetry"));
    let reload = ReloadConfig::read(service.section_or_empty("reload"));
    let inside = service.section_or_empty("pipelines");
    let pipelines = if has_service {
        pipelines::read(&inside)
    } else {
        Vec::new()
    };
    let extensions = pipelines::read_extensions(&service, &mut components);
    assemble::mark(&pipelines, &mut components);
    service.finish();
    section.finish();
    let wiring = Wiring {
        pipelines: &pipelines,
        components: &components,
        report: &report,
    };
    wiring.check_names();
    wiring.check_connections();
    let plan = Plan::of(&wiring);
    components.warn_of_unused(&report);
    let config = assemble::assemble(components, plan, &extensions, telemetry, reload, source, &report);
    let absent = report.absent();
    let (problems, warnings) = report.into_parts();
    match config {
        Some(config) if problems.is_empty() => Ok((Config { warnings, ..config }, absent)),
        _ => Err(ConfigError {
            file: source.to_string(),
            problems,
        }),
    }
}
