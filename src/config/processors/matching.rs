//! `include` and `exclude` of `attributes`: which items are meant.

use super::PlainValue;
use super::actions::not_a_regex;
use crate::config::section::{Section, shown};
use crate::config::tree::Value;

/// Properties of an item; all that are given must match, one value of each list is enough (of `attributes`
/// and `resources`, every entry must match).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// Whether texts are regular expressions (`match_type: regexp`), or compared as they are (`strict`).
    pub regexp: bool,
    /// `service.name` of the resource.
    pub services: Vec<String>,
    /// Names of spans.
    pub span_names: Vec<String>,
    /// Kinds of spans: `SPAN_KIND_SERVER`, `server`.
    pub span_kinds: Vec<String>,
    /// Attributes of the item.
    pub attributes: Vec<AttributeMatch>,
    /// Attributes of the resource.
    pub resources: Vec<AttributeMatch>,
    /// Instrumentation scopes.
    pub libraries: Vec<LibraryMatch>,
    /// Bodies of log records, as text.
    pub log_bodies: Vec<String>,
    /// Severity texts of log records.
    pub log_severity_texts: Vec<String>,
    /// Severity numbers of log records.
    pub log_severity_number: Option<SeverityMatch>,
    /// Names of metrics.
    pub metric_names: Vec<String>,
}

/// An attribute that must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeMatch {
    /// Its key.
    pub key: String,
    /// Its value; `None` is any.
    pub value: Option<PlainValue>,
}

/// An instrumentation scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryMatch {
    /// Its name.
    pub name: String,
    /// Its version; `None` is any.
    pub version: Option<String>,
}

/// A least severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeverityMatch {
    /// Its number, 1 to 24.
    pub min: i32,
    /// Whether a record without severity matches.
    pub match_undefined: bool,
}

/// The kinds of a span, from number 0.
const SPAN_KINDS: [&str; 6] = [
    "UNSPECIFIED",
    "INTERNAL",
    "SERVER",
    "CLIENT",
    "PRODUCER",
    "CONSUMER",
];
/// The severities, each of four numbers.
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

impl Matching {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        let match_type: Option<String> = section.required("match_type", "write strict or regexp");
        match match_type.as_deref() {
            Some("strict") | None => {}
            Some("regexp") => it.regexp = true,
            Some(other) => section.problem(
                "match_type",
                format!("expected strict or regexp, found `{other}`"),
            ),
        }
        // Regular expressions are compiled once: there is no cache to be sized.
        let _ = section.node("regexp");
        for (key, slot) in [
            ("services", &mut it.services),
            ("span_names", &mut it.span_names),
            ("span_kinds", &mut it.span_kinds),
            ("log_bodies", &mut it.log_bodies),
            ("log_severity_texts", &mut it.log_severity_texts),
            ("metric_names", &mut it.metric_names),
        ] {
            section.field(key, slot);
            if it.regexp {
                check_all(&section, key, &*slot);
            }
        }
        if !it.regexp {
            for kind in &mut it.span_kinds {
                let upper = kind.to_ascii_uppercase();
                let name = upper.strip_prefix("SPAN_KIND_").unwrap_or(&upper);
                if !SPAN_KINDS.contains(&name) {
                    section.problem(
                        "span_kinds",
                        format!("expected SPAN_KIND_SERVER or such, found `{kind}`"),
                    );
                }
                *kind = format!("SPAN_KIND_{name}");
            }
        }
        it.attributes = attributes(&section, "attributes", it.regexp);
        it.resources = attributes(&section, "resources", it.regexp);
        it.libraries = libraries(&section, it.regexp);
        it.log_severity_number = severity(&section);
        section.unsupported(&["expressions", "resource_attributes"]);
        if it
            == (Self {
                regexp: it.regexp,
                ..Self::default()
            })
        {
            section.report.problem(
                Some(section.at),
                &section.path,
                "names no property; write at least one, such as services or attributes",
            );
        }
        section.finish();
        it
    }
}

fn check_all<'p>(section: &Section<'_>, key: &str, patterns: impl IntoIterator<Item = &'p String>) {
    for pattern in patterns {
        check(section, key, pattern);
    }
}

fn check(section: &Section<'_>, key: &str, pattern: &str) {
    if let Err(error) = regex::Regex::new(pattern) {
        section.problem(key, not_a_regex(&error));
    }
}

/// The entries of a list of mappings.
fn mappings<'a>(section: &Section<'a>, key: &'static str) -> Vec<Section<'a>> {
    let Some(node) = section.node(key) else {
        return Vec::new();
    };
    match &node.value {
        Value::Null => Vec::new(),
        Value::List(items) => {
            let path = section.path_of(key);
            let inside = |(nth, item)| Section::new(item, format!("{path}[{nth}]"), section.report);
            items.iter().enumerate().map(inside).collect()
        }
        _ => {
            section.problem(key, format!("expected a list of mappings, found {}", shown(node)));
            Vec::new()
        }
    }
}

fn attributes(section: &Section<'_>, key: &'static str, regexp: bool) -> Vec<AttributeMatch> {
    let mut all = Vec::new();
    for inside in mappings(section, key) {
        let name: Option<String> = inside.required("key", "write the key of an attribute");
        let mut value = None::<PlainValue>;
        inside.field("value", &mut value);
        if let (true, Some(PlainValue::Text(pattern))) = (regexp, &value) {
            check(&inside, "value", pattern);
        }
        inside.finish();
        all.extend(name.map(|key| AttributeMatch { key, value }));
    }
    all
}

fn libraries(section: &Section<'_>, regexp: bool) -> Vec<LibraryMatch> {
    let mut all = Vec::new();
    for inside in mappings(section, "libraries") {
        let name: Option<String> = inside.required("name", "write the name of an instrumentation scope");
        let mut version = None::<String>;
        inside.field("version", &mut version);
        if regexp {
            check_all(&inside, "name", &name);
            check_all(&inside, "version", &version);
        }
        inside.finish();
        all.extend(name.map(|name| LibraryMatch { name, version }));
    }
    all
}

fn severity(section: &Section<'_>) -> Option<SeverityMatch> {
    let inside = section.section("log_severity_number")?;
    let min: Option<String> = inside.required("min", "write a severity such as INFO, WARN or 13");
    let mut match_undefined = false;
    inside.field("match_undefined", &mut match_undefined);
    let number = min.as_deref().and_then(severity_number);
    if let (Some(min), None) = (&min, number) {
        inside.problem(
            "min",
            format!("expected a severity such as INFO, WARN2 or 13, found `{min}`"),
        );
    }
    inside.finish();
    Some(SeverityMatch {
        min: number?,
        match_undefined,
    })
}

/// `INFO`, `SEVERITY_NUMBER_INFO3`, `Info2` or `11`.
fn severity_number(written: &str) -> Option<i32> {
    if let Ok(number) = written.parse::<i32>() {
        return (1..=24).contains(&number).then_some(number);
    }
    let upper = written.to_ascii_uppercase();
    let name = upper.strip_prefix("SEVERITY_NUMBER_").unwrap_or(&upper);
    let (name, step) = match name.as_bytes().last() {
        Some(digit @ b'2'..=b'4') => (&name[..name.len() - 1], i32::from(digit - b'1')),
        _ => (name, 0),
    };
    let place = SEVERITIES.iter().position(|severity| *severity == name)?;
    Some(i32::try_from(place).ok()? * 4 + 1 + step)
}
