//! `filter` and `transform`: conditions and statements, as text with its place.

use crate::config::Place;
use crate::config::section::{Section, shown};
use crate::config::setting::{Setting, text};
use crate::config::tree::{Node, Value};

/// A condition or statement of OTTL, still text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// As written.
    pub text: String,
    /// Where its text begins.
    pub at: Place,
    /// Its path in the file, such as `processors.filter.traces.span[0]`.
    pub path: String,
}

/// What happens when a condition or statement fails while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorMode {
    /// The item is left as it is; counted and logged.
    Ignore,
    /// The item is left as it is; counted.
    Silent,
    /// The request is refused.
    #[default]
    Propagate,
}

impl Setting for ErrorMode {
    const EXPECTED: &'static str = "ignore, silent or propagate";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("ignore") => Ok(Self::Ignore),
            Some("silent") => Ok(Self::Silent),
            Some("propagate") => Ok(Self::Propagate),
            _ => Err(shown(node)),
        }
    }
}

/// Conditions on one kind of thing; one that holds drops it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterGroup {
    /// `traces`, `metrics` or `logs`.
    pub signal: &'static str,
    /// The context of the conditions, such as `span`; `None` leaves it to their paths.
    pub context: Option<Statement>,
    /// At least one.
    pub conditions: Vec<Statement>,
    /// Of this group; `None` is that of the processor.
    pub error_mode: Option<ErrorMode>,
}

/// `filter`: drops what a condition holds for.
///
/// ```yaml
/// filter:
///   error_mode: ignore
///   traces:
///     span: [ 'attributes["http.route"] == "/healthz"' ]
///     spanevent: [ 'name == "noise"' ]
///   metrics:
///     metric: [ 'name == "unused"' ]
///     datapoint: [ 'metric.type == METRIC_DATA_TYPE_SUMMARY' ]
///   logs:
///     log_record: [ 'severity_number < SEVERITY_NUMBER_INFO' ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterProcessor {
    /// What a condition that cannot be evaluated does.
    pub error_mode: ErrorMode,
    /// The conditions, in order.
    pub groups: Vec<FilterGroup>,
}

/// Statements that share a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementGroup {
    /// `traces`, `metrics` or `logs`.
    pub signal: &'static str,
    /// The context of the statements, such as `span`; `None` leaves it to the paths of each.
    pub context: Option<Statement>,
    /// Of which at least one must hold; none is all.
    pub conditions: Vec<Statement>,
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// Of this group; `None` is that of the processor.
    pub error_mode: Option<ErrorMode>,
}

/// `transform`: statements that change fields.
///
/// ```yaml
/// transform:
///   error_mode: ignore
///   trace_statements:
///     - set(span.name, span.attributes["http.route"]) where span.attributes["http.route"] != nil
///   log_statements:
///     - context: log
///       statements: [ 'delete_key(attributes, "password")' ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransformProcessor {
    /// What a statement that cannot be carried out does.
    pub error_mode: ErrorMode,
    /// The statements, in order.
    pub groups: Vec<StatementGroup>,
}

const SIGNALS: [(&str, &str, &str, &[&str]); 3] = [
    (
        "traces",
        "trace_conditions",
        "trace_statements",
        &["resource", "span", "spanevent"],
    ),
    (
        "metrics",
        "metric_conditions",
        "metric_statements",
        &["resource", "metric", "datapoint"],
    ),
    (
        "logs",
        "log_conditions",
        "log_statements",
        &["resource", "log_record"],
    ),
];

/// The older style of `filter`, by signal and in whole.
const OLD_STYLE: [&str; 4] = ["include", "exclude", "expressions", "resource_attributes"];

impl FilterProcessor {
    pub(in crate::config) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let mut it = Self::default();
        section.field("error_mode", &mut it.error_mode);
        section.unsupported(&["spans", "profiles", "profile_conditions", "action"]);
        for (signal, flat, _, contexts) in SIGNALS {
            if let Some(inside) = section.section(signal) {
                for &context in contexts {
                    let Some(conditions) = texts(&inside, context).filter(|list| !list.is_empty()) else {
                        continue;
                    };
                    it.groups.push(FilterGroup {
                        signal,
                        context: Some(Statement {
                            text: context.to_owned(),
                            at: inside.at,
                            path: inside.path_of(context),
                        }),
                        conditions,
                        error_mode: None,
                    });
                }
                inside.unsupported(&OLD_STYLE);
                inside.finish();
            }
            for part in parts(&section, flat, "conditions") {
                it.groups.push(FilterGroup {
                    signal,
                    context: part.context,
                    conditions: part.texts,
                    error_mode: part.error_mode,
                });
            }
        }
        if it.groups.is_empty() {
            section
                .report
                .warn(section.at, &section.path, "no condition: it drops nothing");
        }
        section.finish();
        Some(it)
    }
}

impl TransformProcessor {
    pub(in crate::config) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let mut it = Self::default();
        section.field("error_mode", &mut it.error_mode);
        section.unsupported(&["profile_statements", "flatten_data"]);
        for (signal, _, key, _) in SIGNALS {
            for part in parts(&section, key, "statements") {
                it.groups.push(StatementGroup {
                    signal,
                    context: part.context,
                    conditions: part.conditions,
                    statements: part.texts,
                    error_mode: part.error_mode,
                });
            }
        }
        if it.groups.is_empty() {
            section
                .report
                .warn(section.at, &section.path, "no statement: it changes nothing");
        }
        section.finish();
        Some(it)
    }
}

/// One entry of a list of conditions or statements.
struct Part {
    context: Option<Statement>,
    conditions: Vec<Statement>,
    texts: Vec<Statement>,
    error_mode: Option<ErrorMode>,
}

/// A list of texts, each a group of its own, or of mappings with `context` and a list of texts; both may mix.
fn parts(section: &Section<'_>, key: &'static str, inner: &'static str) -> Vec<Part> {
    let Some(node) = section.node(key) else {
        return Vec::new();
    };
    let Value::List(items) = &node.value else {
        if node.value != Value::Null {
            section.problem(key, format!("expected a list of {inner}, found {}", shown(node)));
        }
        return Vec::new();
    };
    let path = section.path_of(key);
    let mut parts = Vec::new();
    for (nth, item) in items.iter().enumerate() {
        let path = format!("{path}[{nth}]");
        if !matches!(item.value, Value::Map(_)) {
            parts.extend(statement(section, item, path).map(|one| Part {
                context: None,
                conditions: Vec::new(),
                texts: vec![one],
                error_mode: None,
            }));
            continue;
        }
        let inside = Section::new(item, path, section.report);
        let mut error_mode = None;
        inside.field("error_mode", &mut error_mode);
        let context = inside
            .node("context")
            .and_then(|node| statement(&inside, node, inside.path_of("context")));
        let texts_of = texts(&inside, inner);
        if texts_of.as_ref().is_none_or(Vec::is_empty) {
            inside.problem(inner, "required; a list of texts");
        }
        let conditions = match inner {
            "conditions" => Vec::new(),
            _ => texts(&inside, "conditions").unwrap_or_default(),
        };
        inside.finish();
        parts.push(Part {
            context,
            conditions,
            texts: texts_of.unwrap_or_default(),
            error_mode,
        });
    }
    parts
}

fn statement(section: &Section<'_>, node: &Node, path: String) -> Option<Statement> {
    let found = text(node).filter(|text| !text.trim().is_empty());
    let Some(found) = found else {
        let message = format!("expected a text, found {}", shown(node));
        section.report.problem(Some(node.at), &path, message);
        return None;
    };
    Some(Statement {
        text: found.to_owned(),
        at: node.at,
        path,
    })
}

/// A list of texts, with the place of each.
fn texts(section: &Section<'_>, key: &'static str) -> Option<Vec<Statement>> {
    let node = section.node(key)?;
    let Value::List(items) = &node.value else {
        if node.value != Value::Null {
            section.problem(key, format!("expected a list of texts, found {}", shown(node)));
        }
        return None;
    };
    let path = section.path_of(key);
    let all = items.iter().enumerate();
    Some(
        all.filter_map(|(nth, item)| statement(section, item, format!("{path}[{nth}]")))
            .collect(),
    )
}
