//! `resource` and `attributes`: what is done to attributes.

use super::Matching;
use crate::config::Place;
use crate::config::section::{Section, shown};
use crate::config::setting::{Setting, text};
use crate::config::tree::{Any, Node, Value};

/// `resource`: edits the attributes of resources.
///
/// ```yaml
/// resource:
///   attributes:
///     - { action: upsert, key: deployment.environment.name, value: production }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceProcessor {
    /// In order.
    pub actions: Vec<Action>,
}

/// `attributes`: edits the attributes of spans, log records and data points.
///
/// ```yaml
/// attributes:
///   include: { match_type: strict, services: [checkout] }
///   actions:
///     - { action: delete, key: http.request.header.authorization }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttributesProcessor {
    /// Only items that match.
    pub include: Option<Box<Matching>>,
    /// Only items that do not match.
    pub exclude: Option<Box<Matching>>,
    /// In order.
    pub actions: Vec<Action>,
}

/// One action.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What is done.
    pub kind: ActionKind,
    /// Where it stands.
    pub at: Place,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// Adds the attribute where it is absent.
    Insert {
        /// Its key.
        key: String,
        /// Its value.
        from: Origin,
    },
    /// Changes the attribute where it is there.
    Update {
        /// Its key.
        key: String,
        /// Its value.
        from: Origin,
    },
    /// Adds or changes it.
    Upsert {
        /// Its key.
        key: String,
        /// Its value.
        from: Origin,
    },
    /// Takes it out.
    Delete {
        /// Its key.
        key: Option<String>,
        /// All keys that match this regular expression.
        pattern: Option<String>,
    },
    /// Replaces its value by the SHA-256 of it, in hexadecimal.
    Hash {
        /// Its key.
        key: Option<String>,
        /// All keys that match this regular expression.
        pattern: Option<String>,
    },
    /// Upserts an attribute for each named group of a regular expression that matches its text.
    Extract {
        /// Its key.
        key: String,
        /// The regular expression.
        pattern: String,
    },
    /// Changes the type of its value.
    Convert {
        /// Its key.
        key: String,
        /// The new type.
        to: ConvertTo,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// The configuration.
    Value(PlainValue),
    /// Another attribute of the same item.
    Attribute(String),
    /// What is known of the client: `metadata.<header>`, `client.address`, `auth.<attribute>`.
    Context(String),
}

/// A value as YAML has it.
#[derive(Clone, Debug, PartialEq)]
pub enum PlainValue {
    /// Text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Double(f64),
    /// A list.
    List(Vec<PlainValue>),
}

/// The types of `convert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvertTo {
    /// `int`
    Int,
    /// `double`
    Double,
    /// `string`
    Text,
}

impl Setting for PlainValue {
    const EXPECTED: &'static str = "text, a number, true, false, or a list of them";

    fn read(node: &Node) -> Result<Self, String> {
        Ok(match node.any() {
            Any::Null => Self::Text(String::new()),
            Any::Bool(yes) => Self::Bool(yes),
            Any::Int(number) => Self::Int(number),
            Any::Float(number) => Self::Double(number),
            Any::Text(text) => Self::Text(text.to_owned()),
            Any::List(items) => Self::List(items.iter().map(Self::read).collect::<Result<_, _>>()?),
            Any::Map(_) => return Err(shown(node)),
        })
    }
}

impl Setting for ConvertTo {
    const EXPECTED: &'static str = "int, double or string";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("int") => Ok(Self::Int),
            Some("double") => Ok(Self::Double),
            Some("string") => Ok(Self::Text),
            _ => Err(shown(node)),
        }
    }
}

impl ResourceProcessor {
    pub(in crate::config) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let actions = actions(&section, "attributes");
        section.unsupported(&["detectors", "override"]);
        section.finish();
        Some(Self { actions })
    }
}

impl AttributesProcessor {
    pub(in crate::config) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let it = Self {
            include: section.section("include").map(Matching::read).map(Box::new),
            exclude: section.section("exclude").map(Matching::read).map(Box::new),
            actions: actions(&section, "actions"),
        };
        section.finish();
        Some(it)
    }
}

fn actions(section: &Section<'_>, key: &'static str) -> Vec<Action> {
    let node = section.node(key);
    let items = match node.map(|node| &node.value) {
        Some(Value::List(items)) if !items.is_empty() => items.as_slice(),
        _ => {
            let message = "expected a list of actions such as [{ action: upsert, key: a, value: b }]";
            section.problem(key, message);
            &[]
        }
    };
    let path = section.path_of(key);
    let read = |(nth, item)| action(Section::new(item, format!("{path}[{nth}]"), section.report));
    items.iter().enumerate().filter_map(read).collect()
}

fn action(section: Section<'_>) -> Option<Action> {
    let name: Option<String> = section.required("action", "write insert, update, upsert, delete, ...");
    let (mut key, mut pattern) = (None::<String>, None::<String>);
    section.field("key", &mut key);
    section.field("pattern", &mut pattern);
    let mut to = None::<ConvertTo>;
    section.field("converted_type", &mut to);
    let from = origin(&section);
    let kind = kind(&section, name.as_deref()?, key, pattern, (from, to));
    let at = section.at;
    section.finish();
    kind.map(|kind| Action { kind, at })
}

type Parts = (Option<Origin>, Option<ConvertTo>);

/// The action `name`, if it has what it needs and nothing else.
fn kind(
    section: &Section<'_>,
    name: &str,
    key: Option<String>,
    pattern: Option<String>,
    (from, to): Parts,
) -> Option<ActionKind> {
    let takes: &[&str] = match name {
        "insert" | "update" | "upsert" => &["value", "from_attribute", "from_context"],
        "delete" | "hash" | "extract" => &["pattern"],
        "convert" => &["converted_type"],
        _ => {
            let message =
                format!("expected insert, update, upsert, delete, hash, extract or convert, found `{name}`");
            section.problem("action", message);
            return None;
        }
    };
    for one in [
        "value",
        "from_attribute",
        "from_context",
        "pattern",
        "converted_type",
    ] {
        if !takes.contains(&one) && section.entries().iter().any(|entry| entry.key == one) {
            section.problem(one, format!("has no meaning for `action: {name}`"));
        }
    }
    if let Some(pattern) = &pattern {
        check_pattern(section, pattern, name == "extract");
    }
    let needs_key = !matches!(name, "delete" | "hash") || pattern.is_none();
    if needs_key && key.as_ref().is_none_or(String::is_empty) {
        section.problem("key", "required; write the key of an attribute");
        return None;
    }
    if let "delete" | "hash" = name {
        return Some(match name {
            "delete" => ActionKind::Delete { key, pattern },
            _ => ActionKind::Hash { key, pattern },
        });
    }
    let key = key?;
    match name {
        "extract" if pattern.is_none() => {
            section.problem("pattern", "required; a regular expression with named groups");
            None
        }
        "extract" => pattern.map(|pattern| ActionKind::Extract { key, pattern }),
        "convert" if to.is_none() => {
            section.problem("converted_type", "required; int, double or string");
            None
        }
        "convert" => to.map(|to| ActionKind::Convert { key, to }),
        _ => {
            let Some(from) = from else {
                section.problem("value", "required, or from_attribute or from_context");
                return None;
            };
            Some(match name {
                "insert" => ActionKind::Insert { key, from },
                "update" => ActionKind::Update { key, from },
                _ => ActionKind::Upsert { key, from },
            })
        }
    }
}

/// `value`, `from_attribute` or `from_context`; one of them.
fn origin(section: &Section<'_>) -> Option<Origin> {
    let mut value = None::<PlainValue>;
    let (mut attribute, mut context) = (None::<String>, None::<String>);
    let empty = section
        .node("value")
        .is_some_and(|node| node.expanded.is_some() || node.quoted);
    if !section.field("value", &mut value) && empty && value.is_none() {
        // A variable that is set and empty is an empty text, as the Collector has it.
        value = Some(PlainValue::Text(String::new()));
    }
    section.field("from_attribute", &mut attribute);
    section.field("from_context", &mut context);
    if let Some(name) = &context {
        let known = name == "client.address" || name.starts_with("metadata.") || name.starts_with("auth.");
        if !known {
            let message =
                format!("expected metadata.<header>, client.address or auth.<attribute>, found `{name}`");
            section.problem("from_context", message);
        }
    }
    let found = [value.is_some(), attribute.is_some(), context.is_some()];
    if found.iter().filter(|found| **found).count() > 1 {
        section.problem("key", "value, from_attribute and from_context exclude each other");
    }
    value
        .map(Origin::Value)
        .or(attribute.map(Origin::Attribute))
        .or(context.map(Origin::Context))
}

/// A regular expression that compiles; for `extract` with nothing but named groups.
fn check_pattern(section: &Section<'_>, pattern: &str, named: bool) {
    match regex::Regex::new(pattern) {
        Err(error) => section.problem("pattern", not_a_regex(&error)),
        Ok(regex) if named => {
            let groups: Vec<_> = regex.capture_names().skip(1).collect();
            if groups.is_empty() || groups.iter().any(Option::is_none) {
                section.problem(
                    "pattern",
                    "every group needs a name, (?P<name>...), and one must be there",
                );
            }
        }
        Ok(_) => {}
    }
}

/// What is wrong with a regular expression, in one line.
pub(super) fn not_a_regex(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", last.trim_start_matches("error: "))
}
