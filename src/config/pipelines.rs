//! `service.pipelines` and `service.extensions` as the file has them: lists of ids, each with its place.

use super::PipelineKind;
use super::components::{Components, is_component_name};
use super::error::Place;
use super::section::{Section, shown, suggestion};
use super::setting::text;
use super::tree::{Node, Value};

/// One name in a pipeline.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) id: String,
    pub(super) at: Place,
}

/// What a pipeline carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Telemetry(PipelineKind),
    Decisions,
}

/// One pipeline, its names not looked up yet.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) at: Place,
    pub(super) carries: Carries,
    pub(super) receivers: Vec<Reference>,
    pub(super) processors: Vec<Reference>,
    pub(super) exporters: Vec<Reference>,
}

const KINDS: [&str; 4] = ["traces", "metrics", "logs", "decisions"];

impl Carries {
    fn named(kind: &str) -> Option<Self> {
        Some(match kind {
            "traces" => Self::Telemetry(PipelineKind::Traces),
            "metrics" => Self::Telemetry(PipelineKind::Metrics),
            "logs" => Self::Telemetry(PipelineKind::Logs),
            "decisions" => Self::Decisions,
            _ => return None,
        })
    }

    /// As pipelines are called.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry(kind) => kind.as_str(),
            Self::Decisions => "decisions",
        }
    }
}

/// Reads the pipelines; what is no pipeline is reported and left out.
pub(super) fn read(section: &Section<'_>) -> Vec<Pipeline> {
    if section.entries().is_empty() {
        section
            .report
            .problem(Some(section.at), &section.path, "must have at least one pipeline");
    }
    let mut pipelines = Vec::new();
    for (entry, inside) in section.sections() {
        let (kind, name) = entry.key.split_once('/').unwrap_or((entry.key.as_str(), "-"));
        match Carries::named(kind).filter(|_| is_component_name(name)) {
            Some(carries) => {
                pipelines.push(Pipeline {
                    id: entry.key.clone(),
                    path: inside.path.clone(),
                    at: entry.at,
                    carries,
                    receivers: references(&inside, "receivers"),
                    processors: inside
                        .node("processors")
                        .map_or_else(Vec::new, |node| ids(&inside, "processors", node)),
                    exporters: references(&inside, "exporters"),
                });
                inside.finish();
            }
            None if kind == "profiles" => {
                let message = "profiles are not carried; send traces, metrics and logs";
                section.report.unsupported(entry.at, &inside.path, message);
            }
            None => {
                let message = format!(
                    "not a pipeline; {} (or with a name: traces/eu)",
                    suggestion(kind, &KINDS)
                );
                section.report.problem(Some(entry.at), &inside.path, message);
            }
        }
    }
    pipelines
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
fn ids(section: &Section<'_>, key: &'static str, node: &Node) -> Vec<Reference> {
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
    let path = section.path_of(key);
    for item in items {
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

/// Reads `service.extensions` and marks what it names, in its order.
pub(super) fn read_extensions(section: &Section<'_>, components: &mut Components) -> Vec<String> {
    let Some(node) = section.node("extensions") else {
        return Vec::new();
    };
    let path = section.path_of("extensions");
    let mut order = Vec::new();
    for reference in ids(section, "extensions", node) {
        if section.report.is_dropped(&format!("extensions.{}", reference.id)) {
            continue;
        }
        let all = &mut components.extensions;
        let Some(nth) = all.iter().position(|it| it.id == reference.id) else {
            let known: Vec<&str> = all.iter().map(|it| it.id.as_str()).collect();
            let hint = suggestion(&reference.id, &known);
            let message = format!("`{}` is not an extension of this file; {hint}", reference.id);
            section.report.problem(Some(reference.at), &path, message);
            continue;
        };
        let kind = all[nth].kind.name;
        let single = matches!(kind, "health_check" | "api" | "pprof" | "zpages");
        if single && all.iter().any(|it| it.used && it.kind.name == kind) {
            let message = format!("a second `{kind}`; one is enough");
            section.report.problem(Some(reference.at), &path, message);
        }
        all[nth].used = true;
        order.push(reference.id);
    }
    order
}
