//! Typed values out of the tree, one mapping at a time.
//!
//! A component reads its keys by name into a struct that already holds the defaults; whatever is left over is
//! unknown. So the list of known keys cannot differ from the code that reads them, and every mistake is
//! reported, not only the first.

use super::error::Place;
pub(super) use super::report::Report;
use super::setting::Setting;
use super::tree::{Entry, Node, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Path of `key` in `path`; keys with a dot keep their slash or dot as they are, people read it.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// One mapping while it is read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) path: String,
    pub(super) at: Place,
    pub(super) report: &'a Report,
    entries: &'a [Entry],
    /// Keys that were asked for, and whether they may be used.
    known: RefCell<BTreeMap<&'static str, bool>>,
}

impl<'a> Section<'a> {
    /// The mapping in `node`; null is an empty one, anything else a problem.
    pub(super) fn new(node: &'a Node, path: String, report: &'a Report) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                report.problem(
                    Some(node.at),
                    &path,
                    format!("expected a mapping (keys with values), found {}", shown(node)),
                );
                &[]
            }
        };
        Self {
            path,
            at: node.at,
            report,
            entries,
            known: RefCell::default(),
        }
    }

    fn find(&self, key: &'static str) -> Option<&'a Entry> {
        self.known.borrow_mut().insert(key, true);
        let found = self.entries.iter().find(|entry| entry.key == key);
        self.report.key(self.path_of(key), found.is_some());
        found
    }

    /// Path of one of its keys.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// A problem with one of its keys, or with the whole where the key is absent.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        // A block mapping begins with its first child, which is not what is meant.
        let at = entry.map_or(self.at, |entry| match entry.node.value {
            Value::Scalar(_) => entry.node.at,
            Value::Null | Value::List(_) | Value::Map(_) => entry.at,
        });
        self.report.problem(Some(at), &self.path_of(key), message);
    }

    /// The raw value of `key`.
    pub(super) fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.find(key).map(|entry| &entry.node)
    }

    /// A mapping inside this one. Absent is `None`, null is empty: `grpc:` turns gRPC on with every default.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        self.find(key).map(|entry| self.inside(entry))
    }

    /// A mapping inside this one, empty when absent.
    pub(super) fn section_or_empty(&self, key: &'static str) -> Section<'a> {
        self.section(key).unwrap_or(Section {
            path: self.path_of(key),
            at: self.at,
            report: self.report,
            entries: &[],
            known: RefCell::default(),
        })
    }

    /// The mappings of the list `key`, each with its place; absent and null are `None`.
    pub(super) fn sections_in(&self, key: &'static str) -> Option<Vec<Section<'a>>> {
        let entry = self.find(key)?;
        match &entry.node.value {
            Value::Null => None,
            Value::List(items) => {
                let path = self.path_of(key);
                let section = |(nth, item)| Section::new(item, format!("{path}[{nth}]"), self.report);
                Some(items.iter().enumerate().map(section).collect())
            }
            Value::Scalar(_) | Value::Map(_) => {
                self.problem(key, format!("expected a list, found {}", shown(&entry.node)));
                None
            }
        }
    }

    /// Keys that may stand here and change nothing: harmless, and said aloud.
    pub(super) fn without_effect(&self, keys: &[&'static str], why: &str) {
        for &key in keys {
            self.known.borrow_mut().insert(key, true);
            if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
                self.report
                    .warn(entry.at, &self.path_of(key), &format!("has no effect: {why}"));
            }
        }
    }

    /// All its mappings, by whatever names they have: components and pipelines.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&'a Entry, Section<'a>)> {
        self.entries.iter().map(|entry| (entry, self.inside(entry)))
    }

    /// All its keys, by whatever names they have.
    pub(super) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    fn inside(&self, entry: &'a Entry) -> Section<'a> {
        let mut inside = Section::new(&entry.node, self.path_of(&entry.key), self.report);
        inside.at = entry.at;
        inside
    }

    /// Reads `key` into `slot`; absent and null leave the default there. True when something was read.
    pub(super) fn field<T: Setting>(&self, key: &'static str, slot: &mut T) -> bool {
        let Some(node) = self.node(key) else { return false };
        if matches!(node.value, Value::Null)
            && node
                .expanded
                .as_ref()
                .is_none_or(|expanded| expanded.text.is_empty())
        {
            return false;
        }
        if T::SECRET {
            self.report.secret(self.path_of(key));
        }
        match T::read(node) {
            Ok(value) => {
                *slot = value;
                true
            }
            Err(found) => {
                self.problem(key, format!("expected {}, found {found}", T::EXPECTED));
                false
            }
        }
    }

    /// Reads `key`, which must be there and say something; `hint` tells what for.
    pub(super) fn required<T: Setting>(&self, key: &'static str, hint: &str) -> Option<T> {
        let mut value = None::<T>;
        if self.field(key, &mut value) {
            return value;
        }
        let node = self
            .entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node);
        let unset = node
            .and_then(|node| node.expanded.as_ref())
            .and_then(|expanded| expanded.unset.as_deref());
        match (node, unset) {
            (_, Some(name)) => self.problem(
                key,
                format!("empty: the environment variable {name} is not set; {hint}"),
            ),
            (None, None) => {
                self.report
                    .problem(Some(self.at), &self.path_of(key), format!("required; {hint}"));
            }
            (Some(node), None) if matches!(node.value, Value::Null) => {
                self.problem(key, format!("empty; {hint}"));
            }
            // It was there and wrong, and `field` has said so.
            (Some(_), None) => {}
        }
        None
    }

    /// Reads `key` into `slot` if it is within `range`.
    pub(super) fn ranged<T: Setting + PartialOrd>(
        &self,
        key: &'static str,
        slot: &mut T,
        range: RangeInclusive<T>,
    ) {
        let mut value = None::<T>;
        self.field(key, &mut value);
        let Some(value) = value else { return };
        if range.contains(&value) {
            *slot = value;
            return;
        }
        let (low, high) = (range.start().show(), range.end().show());
        let found = self
            .find(key)
            .map_or_else(String::new, |entry| shown(&entry.node));
        self.problem(key, format!("must be from {low} to {high}, found {found}"));
    }

    /// Keys that the Collector knows and this version does not: refused with a reason, never ignored.
    pub(super) fn unsupported(&self, keys: &[&'static str]) {
        for &key in keys {
            self.known.borrow_mut().insert(key, false);
            if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
                self.report.problem(
                    Some(entry.at),
                    &self.path_of(key),
                    format!("not supported in this version: `{key}`"),
                );
            }
        }
    }

    /// The same, of keys about burngate itself: without them all telemetry that passes is the same, so that
    /// `--unsupported=warn` leaves them out.
    pub(super) fn unsupported_of_own(&self, keys: &[&'static str]) {
        for &key in keys {
            self.known.borrow_mut().insert(key, false);
            if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
                let message = format!("not supported in this version: `{key}`");
                self.report.unsupported(entry.at, &self.path_of(key), &message);
            }
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        let usable: Vec<&str> = known
            .iter()
            .filter(|(_, usable)| **usable)
            .map(|(key, _)| *key)
            .collect();
        for entry in self
            .entries
            .iter()
            .filter(|entry| !known.contains_key(entry.key.as_str()))
        {
            let message = format!("unknown key; {}", suggestion(&entry.key, &usable));
            self.report
                .problem(Some(entry.at), &self.path_of(&entry.key), message);
        }
    }
}

/// The nearest of the names, or all of them.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), candidate),
                *candidate,
            )
        })
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3));
    match near {
        Some((_, candidate)) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "nothing can stand here".to_owned(),
        None => format!("expected one of {}", known.join(", ")),
    }
}

/// What stands in a node, for an error: never what `${...}` brought.
pub(super) fn shown(node: &Node) -> String {
    if let Some(expanded) = &node.expanded {
        return format!("the value of `{}`", cut(&expanded.expression));
    }
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Scalar(text) => format!("`{}`", cut(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// At most 60 characters, control characters made visible.
fn cut(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(60)
        .flat_map(|c| {
            if c.is_control() { '?' } else { c }
                .to_string()
                .chars()
                .collect::<Vec<_>>()
        })
        .collect();
    if text.chars().count() > 60 {
        out.push_str("...");
    }
    out
}
