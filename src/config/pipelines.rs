//! `service.pipelines`: who feeds whom.
//!
//! `error_budget` is a connector: exporter of the telemetry pipelines, receiver of `metrics` (budgets) and
//! `decisions`. This version runs exactly that graph; a pipeline that needs more is refused, because
//! telemetry that silently goes nowhere is the worst answer a gateway can give.

use super::Signals;
use super::components::{Components, Defined};
use super::error::Place;
use super::section::{Section, shown, suggestion};
use super::setting::text;
use super::tree::Value;

/// One name in a pipeline.
#[derive(Debug)]
struct Reference {
    id: String,
    at: Place,
}

/// What the pipelines come to.
#[derive(Debug, Default)]
pub(super) struct Wiring {
    pub(super) signals: Signals,
    /// A telemetry pipeline feeds the connector.
    fed: bool,
    /// A metrics or decisions pipeline reads from it.
    read: bool,
}

/// What a pipeline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Telemetry,
    Budget,
    Decisions,
}

const KINDS: [&str; 4] = ["traces", "metrics", "logs", "decisions"];

impl Wiring {
    /// Reads the pipelines and marks the components that they name.
    pub(super) fn read(section: &Section<'_>, components: &mut Components) -> Self {
        let mut wiring = Self::default();
        if section.entries().is_empty() {
            section
                .report
                .problem(Some(section.at), &section.path, "must have at least one pipeline");
        }
        for (entry, pipeline) in section.sections() {
            let (kind, name) = entry.key.split_once('/').unwrap_or((entry.key.as_str(), "-"));
            if kind == "profiles" {
                section.report.problem(
                    Some(entry.at),
                    &pipeline.path,
                    "not supported in this version: profiles",
                );
            } else if !KINDS.contains(&kind) || name.is_empty() {
                let message = format!(
                    "not a pipeline; {} (or with a name: traces/eu)",
                    suggestion(kind, &KINDS)
                );
                section.report.problem(Some(entry.at), &pipeline.path, message);
            } else {
                wiring.pipeline(kind, pipeline, components);
            }
        }
        wiring.check_connectors(section, components);
        wiring
    }

    fn pipeline(&mut self, kind: &str, section: Section<'_>, components: &mut Components) {
        let receivers = references(&section, "receivers");
        let exporters = references(&section, "exporters");
        if let Some(node) = section.node("processors")
            && node.value != Value::Null
            && node.value != Value::List(Vec::new())
        {
            section.problem("processors", "not supported in this version: processors");
        }
        let Some(role) = role(kind, &section, &receivers, components) else {
            return section.finish();
        };
        for receiver in &receivers {
            mark(receiver, &mut components.receivers);
            mark(receiver, &mut components.connectors);
        }
        for exporter in &exporters {
            let path = section.path_of("exporters");
            if let Some(message) = unfit(role, exporter, components) {
                section.report.problem(Some(exporter.at), &path, message);
            }
            mark(exporter, &mut components.exporters);
            mark(exporter, &mut components.connectors);
        }
        match role {
            Role::Telemetry => {
                self.fed |= exporters.iter().any(|it| is_in(&it.id, &components.connectors));
                match kind {
                    "traces" => self.signals.traces = true,
                    "metrics" => self.signals.metrics = true,
                    _ => self.signals.logs = true,
                }
            }
            Role::Budget | Role::Decisions => self.read = true,
        }
        section.finish();
    }

    /// A connector connects: something feeds it and something reads from it.
    fn check_connectors(&self, section: &Section<'_>, components: &Components) {
        for connector in components.connectors.iter().filter(|it| it.used) {
            let missing = match (self.fed, self.read) {
                (false, _) => "no pipeline names it among its exporters, so nothing would be counted",
                (_, false) => {
                    "no pipeline names it among its receivers; add `metrics/budget: {receivers: [error_budget], ...}`"
                }
                (true, true) => continue,
            };
            section
                .report
                .problem(Some(connector.at), &connector.path, missing);
        }
        one(section, &components.connectors);
        one(section, &components.receivers);
        let prometheus: Vec<_> = components
            .exporters
            .iter()
            .filter(|it| it.used && it.kind == "prometheus")
            .collect();
        if let [_, second, ..] = prometheus[..] {
            section.report.problem(
                Some(second.at),
                &second.path,
                "not supported in this version: a second prometheus exporter",
            );
        }
    }
}

/// This version runs one receiver and one connector.
fn one<T>(section: &Section<'_>, all: &[Defined<T>]) {
    if let Some(second) = all.iter().filter(|it| it.used).nth(1) {
        let message = format!(
            "not supported in this version: a second `{}` in the pipelines",
            second.kind
        );
        section.report.problem(Some(second.at), &second.path, message);
    }
}

fn is_in<T>(id: &str, all: &[Defined<T>]) -> bool {
    all.iter().any(|it| it.id == id)
}

fn mark<T>(reference: &Reference, all: &mut [Defined<T>]) {
    all.iter_mut()
        .filter(|it| it.id == reference.id)
        .for_each(|it| it.used = true);
}

/// What the receivers make of a pipeline; `None` when they do not fit, which is reported.
fn role(kind: &str, section: &Section<'_>, receivers: &[Reference], components: &Components) -> Option<Role> {
    let path = section.path_of("receivers");
    let mut from_connector = None;
    for receiver in receivers {
        let connector = is_in(&receiver.id, &components.connectors);
        if !connector && !is_in(&receiver.id, &components.receivers) {
            let known = components.receivers.iter().map(|it| it.id.as_str());
            let known: Vec<&str> = known
                .chain(components.connectors.iter().map(|it| it.id.as_str()))
                .collect();
            let message = format!(
                "`{}` is not a receiver or connector of this file; {}",
                receiver.id,
                suggestion(&receiver.id, &known)
            );
            section.report.problem(Some(receiver.at), &path, message);
            return None;
        }
        let message = match (connector, kind) {
            (true, "traces" | "logs") => "error_budget gives metrics and decisions, no traces or logs",
            (false, "decisions") => "decisions come from the connector error_budget only",
            _ if from_connector.is_some_and(|before| before != connector) => {
                "received metrics and budget metrics in one pipeline; give budgets their own, such as metrics/budget"
            }
            _ => {
                from_connector = Some(connector);
                continue;
            }
        };
        section.report.problem(Some(receiver.at), &path, message);
        return None;
    }
    match (kind, from_connector?) {
        ("decisions", _) => Some(Role::Decisions),
        (_, true) => Some(Role::Budget),
        (_, false) => Some(Role::Telemetry),
    }
}

/// Why an exporter cannot stand in a pipeline of this role.
fn unfit(role: Role, exporter: &Reference, components: &Components) -> Option<String> {
    let id = &exporter.id;
    if is_in(id, &components.connectors) {
        return (role != Role::Telemetry).then(|| format!("`{id}` cannot feed itself"));
    }
    let Some(found) = components.exporters.iter().find(|it| it.id == *id) else {
        let known = components.exporters.iter().map(|it| it.id.as_str());
        let known: Vec<&str> = known
            .chain(components.connectors.iter().map(|it| it.id.as_str()))
            .collect();
        return Some(format!(
            "`{id}` is not an exporter or connector of this file; {}",
            suggestion(id, &known)
        ));
    };
    match (role, found.kind) {
        (Role::Budget, "prometheus" | "otlp_grpc" | "otlp_http")
        | (Role::Decisions, "unleash" | "webhook") => None,
        (Role::Budget, _) => Some(format!(
            "`{id}` cannot publish budgets; prometheus, otlp_grpc and otlp_http can"
        )),
        (Role::Decisions, _) => Some(format!(
            "`{id}` cannot carry out decisions; unleash and webhook can"
        )),
        (Role::Telemetry, "otlp_grpc" | "otlp_http") => Some(format!(
            "not supported in this version: forwarding telemetry to `{id}`; name error_budget only"
        )),
        (Role::Telemetry, _) => Some(format!("`{id}` cannot take telemetry; name error_budget")),
    }
}

/// A list of ids: at least one, none twice.
fn references(section: &Section<'_>, key: &'static str) -> Vec<Reference> {
    let Some(node) = section.node(key) else {
        section.problem(key, "required; name at least one");
        return Vec::new();
    };
    let read = ids(section, key, node);
    if read.is_empty() && matches!(node.value, Value::Null | Value::List(_)) {
        section.problem(key, "must name at least one");
    }
    read
}

/// The ids in a list, wherever it stands.
fn ids(section: &Section<'_>, key: &'static str, node: &super::tree::Node) -> Vec<Reference> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        _ => {
            section.problem(
                key,
                format!("expected a list such as [otlp], found {}", shown(node)),
            );
            &[]
        }
    };
    let mut read: Vec<Reference> = Vec::new();
    for item in items {
        let path = section.path_of(key);
        match text(item) {
            Some(id) if read.iter().any(|it| it.id == id) => {
                section
                    .report
                    .problem(Some(item.at), &path, format!("`{id}` is named twice"));
            }
            Some(id) => read.push(Reference {
                id: id.to_owned(),
                at: item.at,
            }),
            None => section.report.problem(
                Some(item.at),
                &path,
                format!("expected an id, found {}", shown(item)),
            ),
        }
    }
    read
}

/// Reads `service.extensions` and marks what it names; two of one type are refused.
pub(super) fn read_extensions(section: &Section<'_>, components: &mut Components) {
    let Some(node) = section.node("extensions") else {
        return;
    };
    let path = section.path_of("extensions");
    for reference in ids(section, "extensions", node) {
        let all = &mut components.extensions;
        let Some(nth) = all.iter().position(|it| it.id == reference.id) else {
            let known: Vec<&str> = all.iter().map(|it| it.id.as_str()).collect();
            let hint = suggestion(&reference.id, &known);
            let message = format!("`{}` is not an extension of this file; {hint}", reference.id);
            section.report.problem(Some(reference.at), &path, message);
            continue;
        };
        let kind = all[nth].kind;
        if all.iter().any(|it| it.used && it.kind == kind) {
            let message = format!("not supported in this version: a second `{kind}`");
            section.report.problem(Some(reference.at), &path, message);
        }
        all[nth].used = true;
    }
}
