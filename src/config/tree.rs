//! YAML as a tree that remembers where everything stands.
//!
//! Deserialising straight into structs stops at the first mistake and forgets the original text of a scalar,
//! which `${env:NAME}` needs (`007` is a number for a port and a string for a token). So the file first
//! becomes this tree: scalars keep their text, every node keeps its line, and [`super::section`] asks for
//! typed values on demand. It is also what a second file can be merged into. Rejected: serde with spans,
//! because it yields one error a run and no nearest key.

use super::error::Place;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, options};
use std::collections::HashMap;

/// Nodes of one file, aliases unfolded: a file of ten nested aliases must not become a million nodes.
const MAX_NODES: usize = 100_000;
/// Nested levels.
const MAX_DEPTH: usize = 64;

/// One value, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) at: Place,
    /// Set when the text came, whole or in part, from `${...}`.
    pub(super) expanded: Option<Expanded>,
    /// In quotes, or a block: text, whatever it looks like.
    pub(super) quoted: bool,
}

/// A value by YAML's core schema, for keys that take any.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Any<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    List(&'a [Node]),
    Map(&'a [Entry]),
}

/// What a node holds. Scalars keep their text; their type is what the reader asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Place,
    pub(super) node: Node,
}

/// What `${...}` brought. The expression may be shown, the text may not.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expanded {
    /// As the file says it.
    pub(super) expression: String,
    /// What it became, for readers that want a string.
    pub(super) text: String,
    /// The variable that is not set, if so.
    pub(super) unset: Option<String>,
}

/// Why a file is not a tree.
#[derive(Debug, PartialEq)]
pub(super) struct TreeError {
    pub(super) at: Place,
    pub(super) message: String,
}

impl Node {
    pub(super) fn new(value: Value, at: Place) -> Self {
        Self {
            value,
            at,
            expanded: None,
            quoted: false,
        }
    }

    /// What it is where any type may stand. Text that a number would not be written as stays text: a commit
    /// named `12e4567` or `0042` is no number, whoever put it into a variable.
    pub(super) fn any(&self) -> Any<'_> {
        match &self.value {
            Value::Null => Any::Null,
            Value::List(items) => Any::List(items),
            Value::Map(entries) => Any::Map(entries),
            Value::Scalar(text) if self.quoted => Any::Text(text),
            Value::Scalar(text) => match text.as_str() {
                "true" | "True" | "TRUE" => Any::Bool(true),
                "false" | "False" | "FALSE" => Any::Bool(false),
                _ => match (text.parse::<i64>(), text.parse::<f64>()) {
                    (Ok(number), _) if number.to_string() == *text => Any::Int(number),
                    (_, Ok(number)) if number.is_finite() && format!("{number:?}") == *text => {
                        Any::Float(number)
                    }
                    _ => Any::Text(text),
                },
            },
        }
    }

    /// A plain scalar, by the core schema's rules for null.
    pub(super) fn plain(text: String, at: Place) -> Self {
        let null = matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        Self::new(if null { Value::Null } else { Value::Scalar(text) }, at)
    }

    /// The keys of a mapping; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// One key of a mapping.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Where the value behind `keys` stands, or the innermost mapping on the way to it.
    pub(super) fn place(&self, keys: &[&str]) -> Option<Place> {
        let mut node = self;
        let mut at = None;
        for key in keys {
            let Some(entry) = node.entry(key) else { break };
            node = &entry.node;
            at = Some(if matches!(node.value, Value::Scalar(_)) {
                node.at
            } else {
                entry.at
            });
        }
        at
    }

    /// Puts all of it where `at` is.
    pub(super) fn replant(&mut self, at: Place) {
        self.at = at;
        match &mut self.value {
            Value::Null | Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.replant(at)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.at = at;
                entry.node.replant(at);
            }),
        }
    }

    /// Nodes in this tree.
    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.size()).sum(),
        }
    }
}

/// Reads one document; an empty one is null.
pub(super) fn parse(text: &str) -> Result<Node, TreeError> {
    parse_source(text, 0)
}

/// Reads one document, the source number `source` of a configuration.
pub(super) fn parse_source(text: &str, source: usize) -> Result<Node, TreeError> {
    let options = options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH as _,
        block_nesting_limit: MAX_DEPTH as _,
    };
    let mut builder = Builder {
        source,
        ..Builder::default()
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| TreeError::scan(&error, source))?;
        builder.take(event, span)?;
    }
    Ok(builder.root.unwrap_or_else(|| {
        let at = Place {
            source,
            line: 1,
            column: 1,
        };
        Node::new(Value::Null, at)
    }))
}

impl TreeError {
    fn new(at: Place, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }

    fn scan(error: &ScanError, source: usize) -> Self {
        let marker = error.marker();
        Self::new(
            Place {
                source,
                line: marker.line(),
                column: marker.col() + 1,
            },
            format!("not valid YAML: {}", error.info()),
        )
    }
}

/// A collection that is still open.
#[derive(Debug)]
struct Open {
    anchor: usize,
    at: Place,
    value: Value,
    /// The key that waits for its value, in a mapping.
    key: Option<(String, Place)>,
}

#[derive(Debug, Default)]
struct Builder {
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    source: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), TreeError> {
        let at = Place {
            source: self.source,
            line: span.start.line(),
            column: span.start.col() + 1,
        };
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(TreeError::new(
                at,
                "a second YAML document; a configuration is one document",
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag
                    .as_ref()
                    .map(|tag| tag.core_suffix().unwrap_or("unknown").to_owned());
                let node = match (style, tag.as_deref()) {
                    (_, Some(other)) if !matches!(other, "str" | "int" | "float" | "bool" | "null") => {
                        return Err(TreeError::new(
                            at,
                            "a YAML tag that means nothing here; remove it",
                        ));
                    }
                    (ScalarStyle::Plain, tag) if tag != Some("str") => Node::plain(text.into_owned(), at),
                    _ => Node {
                        quoted: true,
                        ..Node::new(Value::Scalar(text.into_owned()), at)
                    },
                };
                self.close(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(Value::List(Vec::new()), anchor, at),
            Event::MappingStart(_, anchor, _) => self.open(Value::Map(Vec::new()), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => self.close(Node::new(merged(open.value), open.at), open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => {
                    self.nodes = self.nodes.saturating_add(node.size());
                    self.close(node, 0)
                }
                None => Err(TreeError::new(at, "an alias to a value that contains it")),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, value: Value, anchor: usize, at: Place) -> Result<(), TreeError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(TreeError::new(at, format!("more than {MAX_DEPTH} nested levels")));
        }
        self.stack.push(Open {
            anchor,
            at,
            value,
            key: None,
        });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), TreeError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(TreeError::new(node.at, format!("more than {MAX_NODES} values")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.value, open.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, at))) => entries.push(Entry { key, at, node }),
            (Value::Map(entries), None) => {
                let key = match node.value {
                    Value::Scalar(key) => key,
                    Value::Null => String::new(),
                    Value::List(_) | Value::Map(_) => {
                        return Err(TreeError::new(node.at, "a key must be plain text"));
                    }
                };
                if let Some(first) = entries.iter().find(|entry| entry.key == key && key != "<<") {
                    let message = format!(
                        "the key `{key}` is here a second time; the first is in line {}",
                        first.at.line
                    );
                    return Err(TreeError::new(node.at, message));
                }
                open.key = Some((key, node.at));
            }
            (Value::Null | Value::Scalar(_), _) => {}
        }
        Ok(())
    }
}

/// Unfolds YAML's merge key: `<<: *defaults` brings the keys that are not there already.
fn merged(value: Value) -> Value {
    let Value::Map(entries) = value else { return value };
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.key == "<<");
    for merge in merges {
        let maps = match merge.node.value {
            Value::List(items) => items,
            _ => vec![merge.node],
        };
        for node in maps {
            let Value::Map(entries) = node.value else { continue };
            for entry in entries {
                if own.iter().all(|mine| mine.key != entry.key) {
                    own.push(entry);
                }
            }
        }
    }
    Value::Map(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (usize, usize, String) {
        let error = parse(text).unwrap_err();
        (error.at.line, error.at.column, error.message)
    }

    fn get<'a>(node: &'a Node, key: &str) -> &'a Node {
        let Value::Map(entries) = &node.value else {
            panic!("not a mapping")
        };
        &entries.iter().find(|entry| entry.key == key).unwrap().node
    }

    #[test]
    fn every_value_knows_its_line_and_column() {
        let tree = parse("a:\n  b: [1, two]\n").unwrap();
        let b = get(get(&tree, "a"), "b");
        assert_eq!((b.at.line, b.at.column), (2, 6));
        let Value::List(items) = &b.value else {
            panic!("not a list")
        };
        assert_eq!(items[1].value, Value::Scalar("two".to_owned()));
        assert_eq!((items[1].at.line, items[1].at.column), (2, 10));
    }

    #[test]
    fn only_plain_scalars_are_null() {
        let tree = parse("a:\nb: null\nc: \"null\"\nd: ~\ne: !!str\n").unwrap();
        for key in ["a", "b", "d"] {
            assert_eq!(get(&tree, key).value, Value::Null, "{key}");
        }
        assert_eq!(get(&tree, "c").value, Value::Scalar("null".to_owned()));
        assert_eq!(get(&tree, "e").value, Value::Scalar(String::new()));
        assert_eq!(parse("# nothing\n").unwrap().value, Value::Null);
    }

    #[test]
    fn a_number_is_what_is_written_as_one() {
        for (text, any) in [
            ("7", Any::Int(7)),
            ("-1", Any::Int(-1)),
            ("'7'", Any::Text("7")),
            ("0042", Any::Text("0042")),
            ("1.5", Any::Float(1.5)),
            ("12e4567", Any::Text("12e4567")),
            ("1e3", Any::Text("1e3")),
            ("inf", Any::Text("inf")),
            ("true", Any::Bool(true)),
            ("\"true\"", Any::Text("true")),
            ("yes", Any::Text("yes")),
            ("~", Any::Null),
        ] {
            assert_eq!(parse(text).unwrap().any(), any, "{text}");
        }
        assert!(matches!(parse("[a]").unwrap().any(), Any::List([_])));
        assert!(matches!(parse("a: b").unwrap().any(), Any::Map([_])));
    }

    #[test]
    fn merge_keys_fill_what_is_missing() {
        let tree = parse("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n").unwrap();
        assert_eq!(get(get(&tree, "use"), "x").value, Value::Scalar("1".to_owned()));
        assert_eq!(get(get(&tree, "use"), "y").value, Value::Scalar("3".to_owned()));
    }

    #[test]
    fn what_is_not_a_tree_is_refused_with_its_place() {
        assert_eq!(
            error("a: 1\nb: 2\na: 3\n").2,
            "the key `a` is here a second time; the first is in line 1"
        );
        assert_eq!(
            error("a: 1\n---\nb: 2\n").2,
            "a second YAML document; a configuration is one document"
        );
        assert_eq!(error("? [x]\n: 1\n").2, "a key must be plain text");
        assert_eq!(error("a: &x [*x]\n").2, "an alias to a value that contains it");
        assert_eq!(
            error("a: !env X\n").2,
            "a YAML tag that means nothing here; remove it"
        );
        let (line, _, message) = error("a: 1\nb: [1\nc: 2\n");
        assert!(
            line >= 2 && message.starts_with("not valid YAML: "),
            "{line} {message}"
        );
    }

    #[test]
    fn a_bomb_of_aliases_stops_at_the_limit() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let below = format!("*a{},", level - 1).repeat(10);
            text = format!("{text}a{level}: &a{level} [{below}]\n");
        }
        assert_eq!(error(&text).2, "more than 100000 values");
        assert!(parse(&"[".repeat(10_000)).is_err());
    }
}
