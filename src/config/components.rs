//! The components that a file defines, by kind and id (`type` or `type/name`), used or not.

use super::error::Place;
use super::section::{Report, Section, suggestion};
use super::types::{
    CONNECTORS, ConnectorSettings, EXPORTERS, EXTENSIONS, Exporter, PROCESSORS, RECEIVERS, Type,
};
use super::{Extension, OtlpReceiver, Processor, unsupported};

/// Longest name of a component, and of its type.
const MAX_NAME_CHARS: usize = 1024;
const MAX_TYPE_CHARS: usize = 63;

/// One component, its id and its place.
#[derive(Debug)]
pub(super) struct Defined<T: 'static> {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) at: Place,
    pub(super) kind: &'static Type<T>,
    /// `None` when it could not be read; the report says why. The id still counts as defined.
    pub(super) component: Option<T>,
    /// Whether a pipeline or `service.extensions` names it.
    pub(super) used: bool,
}

/// Everything above `service`.
#[derive(Debug)]
pub(super) struct Components {
    pub(super) receivers: Vec<Defined<OtlpReceiver>>,
    pub(super) processors: Vec<Defined<Processor>>,
    pub(super) exporters: Vec<Defined<Exporter>>,
    pub(super) connectors: Vec<Defined<ConnectorSettings>>,
    pub(super) extensions: Vec<Defined<Extension>>,
}

impl Components {
    /// Finds and reads them all.
    pub(super) fn read(root: &Section<'_>) -> Self {
        Self {
            receivers: defined(root, "receivers", RECEIVERS),
            processors: defined(root, "processors", PROCESSORS),
            exporters: defined(root, "exporters", EXPORTERS),
            connectors: defined(root, "connectors", CONNECTORS),
            extensions: defined(root, "extensions", EXTENSIONS),
        }
    }

    /// What was defined and never named: legal, and rarely meant.
    pub(super) fn warn_of_unused(&self, report: &Report) {
        unused(&self.receivers, "service.pipelines", report);
        unused(&self.processors, "service.pipelines", report);
        unused(&self.exporters, "service.pipelines", report);
        unused(&self.connectors, "service.pipelines", report);
        unused(&self.extensions, "service.extensions", report);
    }
}

fn unused<T>(all: &[Defined<T>], place: &str, report: &Report) {
    for it in all.iter().filter(|it| !it.used) {
        let message = format!("defined, but {place} does not name it: it does nothing");
        report.warn(it.at, &it.path, &message);
    }
}

/// Finds every component of one kind.
fn defined<T>(root: &Section<'_>, section_kind: &'static str, types: &'static [Type<T>]) -> Vec<Defined<T>> {
    let Some(section) = root.section(section_kind) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (entry, inside) in section.sections() {
        let (written, name) = match entry.key.split_once('/') {
            Some((written, name)) => (written, Some(name)),
            None => (entry.key.as_str(), None),
        };
        if !is_type(written) || name.is_some_and(|name| !is_component_name(name)) {
            let message = "not an id; write `type` or `type/name`, the name without spaces";
            root.report.problem(Some(entry.at), &inside.path, message);
            continue;
        }
        let Some(kind) = types.iter().find(|known| known.is(written)) else {
            let (path, names) = (&inside.path, types.iter().map(|known| known.name));
            unknown(
                root.report,
                entry.at,
                path,
                (section_kind, written),
                &names.collect::<Vec<_>>(),
            );
            continue;
        };
        let path = inside.path.clone();
        all.push(Defined {
            id: entry.key.clone(),
            path,
            at: entry.at,
            kind,
            component: (kind.read)(&entry.key, inside),
            used: false,
        });
    }
    all
}

/// A type that does not run here: one of the Collector's, a slip of the pen, or of somebody's own.
fn unknown(report: &Report, at: Place, path: &str, (kind, written): (&'static str, &str), names: &[&str]) {
    let what = kind.trim_end_matches('s');
    if let Some(instead) = unsupported::instead(kind, written) {
        return report.unsupported(
            at,
            path,
            &format!("{what} `{written}` does not run here; {instead}"),
        );
    }
    let hint = suggestion(written, names);
    let message = format!("there is no {what} `{written}` here; {hint}");
    if hint.starts_with("did you mean") {
        return report.problem(Some(at), path, message);
    }
    report.unsupported(at, path, &message);
}

/// `[a-zA-Z][0-9a-zA-Z_]*`, as the Collector has it.
fn is_type(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= MAX_TYPE_CHARS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What may follow the slash of an id.
pub(super) fn is_component_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}
