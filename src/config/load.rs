//! From the sources to a [`Config`]: merge, expand, type, wire up, refuse.

use super::assemble::{self, Plan};
use super::components::Components;
use super::error::ConfigError;
use super::expand::{Lookup, System, expand};
use super::pipelines;
use super::prune::prune;
use super::references;
use super::report::{Found, Report};
use super::section::Section;
use super::source::Merged;
use super::tree::Node;
use super::wiring::Wiring;
use super::{Config, ConfigRequest, ReloadConfig, TelemetryConfig};

impl ConfigRequest {
    /// Loads and checks the configuration; every mistake that can be seen without binding a port is in the
    /// error.
    pub fn load(&self) -> Result<Config, ConfigError> {
        read(self, &System).map(|(config, _)| config)
    }

    /// The configuration as it is after merging and expanding, as YAML, secrets redacted; and what is wrong
    /// with it.
    pub fn print(&self) -> Result<(String, Option<ConfigError>), ConfigError> {
        print(self, &System)
    }
}

/// Reads the sources; the report that comes back beside the configuration knows which keys they lacked.
pub(super) fn read(request: &ConfigRequest, lookup: &dyn Lookup) -> Result<(Config, Found), ConfigError> {
    let mut merged = request.merge(lookup)?;
    let report = Report::new(request.unsupported);
    expand(&mut merged.root, "", lookup, &report);
    let config = build(&merged, &report);
    let sources = merged.names();
    let found = report.finish();
    let Some(config) = config.filter(|_| found.problems.is_empty()) else {
        return Err(ConfigError {
            sources,
            problems: found.problems,
        });
    };
    let config = Config {
        request: request.clone(),
        policy_folder: merged.policy_folder(),
        files: merged
            .files()
            .into_iter()
            .chain(found.files.iter().cloned())
            .collect(),
        warnings: found.warnings.iter().map(|it| it.warning(&sources)).collect(),
        dropped: found.dropped.clone(),
        ..config
    };
    Ok((config, found))
}

/// See [`ConfigRequest::print`].
pub(super) fn print(
    request: &ConfigRequest,
    lookup: &dyn Lookup,
) -> Result<(String, Option<ConfigError>), ConfigError> {
    let mut merged = request.merge(lookup)?;
    let report = Report::new(request.unsupported);
    expand(&mut merged.root, "", lookup, &report);
    // Reading tells which keys hold secrets.
    build(&merged, &report);
    let text = super::print::print(&merged.root, &report);
    let problems = report.finish().problems;
    let error = (!problems.is_empty()).then(|| ConfigError {
        sources: merged.names(),
        problems,
    });
    Ok((text, error))
}

/// The configuration of a tree. `None` only beside a reported problem.
fn build(merged: &Merged, report: &Report) -> Option<Config> {
    let root: &Node = &merged.root;
    let section = Section::new(root, String::new(), report);
    let mut components = Components::read(&section);
    let has_service = section.node("service").is_some();
    if !has_service {
        let message = "required; it names the pipelines and extensions that run";
        report.problem(None, "service", message);
    }
    let service = section.section_or_empty("service");
    let telemetry = TelemetryConfig::read(service.section_or_empty("telemetry"));
    let reload = ReloadConfig::read(service.section_or_empty("reload"));
    let inside = service.section_or_empty("pipelines");
    let mut pipelines = if has_service {
        pipelines::read(&inside)
    } else {
        Vec::new()
    };
    let extensions = pipelines::read_extensions(&service, &mut components);
    prune(&mut pipelines, &mut components, report);
    assemble::mark(&pipelines, &mut components);
    service.finish();
    section.finish();
    let wiring = Wiring {
        pipelines: &pipelines,
        components: &components,
        report,
    };
    wiring.check();
    let plan = Plan::of(&wiring);
    components.warn_of_unused(report);
    let config = assemble::assemble(components, plan, &extensions, telemetry, reload, report)?;
    references::check(&config, root, report);
    Some(config)
}
