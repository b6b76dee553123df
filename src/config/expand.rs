//! `${env:NAME}`, `${env:NAME:-default}`, `${NAME}`, `${file:path}`, `${yaml:text}` and `$$`, as the
//! Collector reads them.
//!
//! A value that is one expression and nothing else may be anything (a number, a list, null); inside other
//! text it is text. An expression may hold others: `${env:HOST:-${env:POD_IP}}`. What a file or `yaml:`
//! brings as a mapping or list is configuration and is expanded too; what a variable brings is a value and is
//! not, so that a password may hold `${`. A variable that is not set and has no default is empty, which is
//! said aloud, and refused where a value is required. `$NAME` without braces is plain text. A file's line
//! break at its end is dropped, because that is how secrets are mounted.

use super::error::Place;
use super::report::UNSET;
use super::section::Report;
use super::tree::{self, Expanded, Node, Value};

/// Bytes read of a `${file:...}`, and of a configuration file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Expressions in expressions, and files that name files.
const MAX_DEPTH: usize = 16;

/// Where names are looked up; tests bring their own.
pub(super) trait Lookup {
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// A file's text, or why there is none.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The process environment and the file system (relative to the working directory).
#[derive(Debug)]
pub(super) struct System;

impl Lookup for System {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        super::read_bounded(path.as_ref(), MAX_FILE_BYTES)
    }
}

/// Expands every scalar of the tree in place; what cannot be expanded is reported at its place.
pub(super) fn expand(node: &mut Node, path: &str, lookup: &dyn Lookup, report: &Report) {
    expand_at(node, path, lookup, report, 0);
}

fn expand_at(node: &mut Node, path: &str, lookup: &dyn Lookup, report: &Report, depth: usize) {
    match &mut node.value {
        Value::Null => {}
        Value::List(items) => {
            for (nth, item) in items.iter_mut().enumerate() {
                expand_at(item, &format!("{path}[{nth}]"), lookup, report, depth);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let inner = super::section::join(path, &entry.key);
                expand_at(&mut entry.node, &inner, lookup, report, depth);
            }
        }
        Value::Scalar(text) if text.contains('$') => {
            let mut reader = Reader {
                lookup,
                report,
                unset: None,
                of_config: false,
            };
            match reader.scalar(text, node.at, depth) {
                Ok(Some(expanded)) => {
                    if let Some(unset) = &reader.unset {
                        let message = format!("{UNSET}{unset} is not set; read as empty");
                        report.warn(node.at, path, &message);
                    }
                    let quoted = node.quoted;
                    *node = Node { quoted, ..expanded };
                    if reader.of_config && matches!(node.value, Value::List(_) | Value::Map(_)) {
                        expand_at(node, path, lookup, report, depth + 1);
                    }
                }
                Ok(None) => {}
                Err(message) => report.problem(Some(node.at), path, message),
            }
        }
        Value::Scalar(_) => {}
    }
}

/// Reads the expressions of one scalar.
struct Reader<'a> {
    lookup: &'a dyn Lookup,
    report: &'a Report,
    /// The variable that is not set, if any.
    unset: Option<String>,
    /// Whether what was read is configuration, and not a value.
    of_config: bool,
}

impl Reader<'_> {
    /// The node that `text` becomes; `None` when nothing in it was an expression.
    fn scalar(&mut self, text: &str, at: Place, depth: usize) -> Result<Option<Node>, String> {
        let (out, expressions) = self.text(text, depth)?;
        if expressions == 0 {
            let changed = out != text;
            return Ok(changed.then_some(Node::new(Value::Scalar(out), at)));
        }
        let inside = text.strip_prefix("${");
        let alone = expressions == 1 && inside.is_some_and(|tail| end_of(tail) == Some(tail.len() - 1));
        self.of_config &= alone;
        let value = if alone {
            structure(&out, at, !self.of_config)
        } else {
            Value::Scalar(out.clone())
        };
        Ok(Some(Node {
            expanded: Some(Expanded {
                expression: shown(text),
                text: out,
                unset: self.unset.clone(),
            }),
            ..Node::new(value, at)
        }))
    }

    /// `text` with every expression replaced, and how many there were.
    fn text(&mut self, text: &str, depth: usize) -> Result<(String, usize), String> {
        if depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} expressions inside of each other"));
        }
        let mut out = String::new();
        let mut expressions = 0;
        let mut rest = text;
        while let Some(at_dollar) = rest.find('$') {
            out.push_str(&rest[..at_dollar]);
            let tail = &rest[at_dollar + 1..];
            if let Some(tail) = tail.strip_prefix('$') {
                out.push('$');
                rest = tail;
            } else if let Some(tail) = tail.strip_prefix('{') {
                let Some(end) = end_of(tail) else {
                    return Err("`${` without its `}` (write `$$` for a dollar sign)".to_owned());
                };
                expressions += 1;
                let (inner, _) = self.text(&tail[..end], depth + 1)?;
                out.push_str(&self.resolve(&inner)?);
                rest = &tail[end + 1..];
            } else {
                out.push('$');
                rest = tail;
            }
        }
        out.push_str(rest);
        Ok((out, expressions))
    }

    /// The value of one expression; empty for a variable that is not set.
    fn resolve(&mut self, expression: &str) -> Result<String, String> {
        let (scheme, body) = match expression.split_once(':') {
            Some((scheme, body)) if !body.starts_with('-') => (scheme, body),
            _ => ("env", expression),
        };
        match scheme {
            "env" => self.variable(body),
            "file" => match self.lookup.file(body) {
                Ok(text) => {
                    self.report.file(body.into());
                    self.of_config = true;
                    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
                }
                Err(why) => Err(format!("cannot read the file `{body}`: {why}")),
            },
            "yaml" => {
                self.of_config = true;
                Ok(body.to_owned())
            }
            "http" | "https" => Err(format!(
                "`${{{scheme}:...}}` is not fetched over the network; use env or file"
            )),
            other => Err(format!(
                "unknown source `{other}` in `${{...}}`; expected env, file or yaml (write `$$` for a dollar sign)"
            )),
        }
    }

    fn variable(&mut self, body: &str) -> Result<String, String> {
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        if !is_name(name) {
            return Err(format!(
                "`{name}` is not the name of an environment variable (letters, digits and `_`)"
            ));
        }
        // A variable that is set to nothing takes the default too, as in a shell.
        let value = self
            .lookup
            .env(name)
            .filter(|value| default.is_none() || !value.is_empty());
        Ok(value.or(default.map(str::to_owned)).unwrap_or_else(|| {
            self.unset = Some(name.to_owned());
            String::new()
        }))
    }
}

/// Where the brace that was opened before `tail` is closed; where none of them is, the first brace closes it.
fn end_of(tail: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, byte) in tail.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    tail.find('}')
}

/// The expression without what may be a secret: its default, or its text.
fn shown(text: &str) -> String {
    let cut = text.split(":-").next().unwrap_or(text);
    let cut = cut.split_once("yaml:").map_or(cut, |(before, _)| before);
    if cut.len() < text.len() {
        format!("{cut}}}")
    } else {
        text.to_owned()
    }
}

/// An expression alone is read as YAML; text that is no YAML is text.
fn structure(text: &str, at: Place, secret: bool) -> Value {
    let mut node = match tree::parse(text) {
        Ok(node) if matches!(node.value, Value::List(_) | Value::Map(_)) => node,
        _ => Node::plain(text.to_owned(), at),
    };
    node.replant(at);
    if secret {
        conceal(&mut node.value);
    }
    node.value
}

/// What came out of a variable is as little to be shown as the variable.
fn conceal(value: &mut Value) {
    let mark = |node: &mut Node| {
        if let Value::Scalar(own) = &node.value {
            node.expanded = Some(Expanded {
                expression: "${...}".to_owned(),
                text: own.clone(),
                unset: None,
            });
        }
        conceal(&mut node.value);
    };
    match value {
        Value::Null | Value::Scalar(_) => {}
        Value::List(items) => items.iter_mut().for_each(mark),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| mark(&mut entry.node)),
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Variables and files of a test.
    pub(in crate::config) struct Fixed(pub(in crate::config) Vec<(&'static str, &'static str)>);

    impl Lookup for Fixed {
        fn env(&self, name: &str) -> Option<String> {
            self.0
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }

        fn file(&self, path: &str) -> Result<String, String> {
            self.env(path).ok_or_else(|| "no such file".to_owned())
        }
    }

    fn one(text: &str) -> Result<Value, String> {
        let lookup = Fixed(vec![
            ("PORT", "4317"),
            ("TOKEN", "s3cret"),
            ("EMPTY", ""),
            ("LIST", "[a, b]"),
            ("BROKEN", "[a"),
            ("/run/token", "abc\n"),
            ("NAME", "PORT"),
            ("NESTED", "${env:TOKEN} $$"),
            ("/part.yaml", "a: ${env:PORT}\nb: $$x\n"),
            ("/loop.yaml", "a: [ '${file:/loop.yaml}' ]"),
        ]);
        let report = Report::default();
        let mut node = Node::new(Value::Scalar(text.to_owned()), Place::default());
        expand(&mut node, "", &lookup, &report);
        match report.finish().problems.pop() {
            Some(problem) => Err(problem.message),
            None => Ok(node.value),
        }
    }

    #[test]
    fn expressions_become_their_values() {
        for (text, value) in [
            ("${env:PORT}", "4317"),
            ("${PORT}", "4317"),
            ("0.0.0.0:${env:PORT}", "0.0.0.0:4317"),
            ("${env:NOPE:-4318}", "4318"),
            ("${NOPE:-4318}", "4318"),
            ("${env:EMPTY:-x}", "x"),
            ("${env:PORT:-x}", "4317"),
            ("${file:/run/token}", "abc"),
            ("$PORT and $", "$PORT and $"),
            ("$$", "$"),
            ("$${env:PORT}", "${env:PORT}"),
            ("$$$${x", "$${x"),
            ("a${env:NOPE}b", "ab"),
            ("${env:BROKEN}", "[a"),
            // An expression in an expression.
            ("${env:${NAME}}", "4317"),
            ("${env:NOPE:-${env:PORT}}", "4317"),
            ("${env:NOPE:-${env:NADA:-x}}y", "xy"),
            // What a variable holds is a value.
            ("${env:NESTED}", "${env:TOKEN} $$"),
            ("${yaml:007}", "007"),
            ("a${yaml:b}", "ab"),
            ("${env:NOPE:-{}", "{"),
        ] {
            assert_eq!(one(text), Ok(Value::Scalar(value.to_owned())), "{text}");
        }
    }

    #[test]
    fn an_expression_alone_may_be_null_or_a_list() {
        assert_eq!(one("${env:NOPE}"), Ok(Value::Null));
        assert_eq!(one("${env:NOPE:-}"), Ok(Value::Null));
        assert!(matches!(one("${env:LIST}"), Ok(Value::List(items)) if items.len() == 2));
        assert_eq!(one("x${env:LIST}"), Ok(Value::Scalar("x[a, b]".to_owned())));
        assert!(matches!(one("${yaml:{a: {b: 1}}}"), Ok(Value::Map(entries)) if entries.len() == 1));
    }

    #[test]
    fn a_file_of_configuration_is_expanded_too() {
        let Ok(Value::Map(entries)) = one("${file:/part.yaml}") else {
            panic!("not a mapping")
        };
        let values: Vec<_> = entries.iter().map(|entry| entry.node.value.clone()).collect();
        assert_eq!(
            values,
            [Value::Scalar("4317".to_owned()), Value::Scalar("$x".to_owned())]
        );
    }

    #[test]
    fn what_cannot_be_expanded_says_why() {
        for (text, why) in [
            ("${env:PORT", "`${` without its `}`"),
            ("${env:1X}", "`1X` is not the name"),
            ("${env:${PORT}}", "`4317` is not the name"),
            ("${file:/loop.yaml}", "more than 16 expressions"),
            ("${file:/nope}", "cannot read the file `/nope`: no such file"),
            ("${https://x}", "`${https:...}` is not fetched"),
            ("${vault:a}", "unknown source `vault`"),
            ("${}", "`` is not the name"),
        ] {
            assert!(one(text).unwrap_err().starts_with(why), "{text}: {:?}", one(text));
        }
    }

    proptest! {
        /// Whatever a value holds, `$$` makes it safe, and it comes back as it was.
        #[test]
        fn text_with_its_dollars_doubled_is_itself(text in "[a-z$ {}:-]{0,20}") {
            prop_assert_eq!(one(&text.replace('$', "$$")), Ok(Value::Scalar(text)));
        }

        /// An expression in text is replaced where it stands, whatever stands around it.
        #[test]
        fn an_expression_is_replaced_where_it_stands(before in "[a-z :]{1,9}", after in "[a-z :]{1,9}") {
            let text = format!("{before}${{env:PORT}}{after}");
            prop_assert_eq!(one(&text), Ok(Value::Scalar(format!("{before}4317{after}"))));
        }

        #[test]
        fn any_text_is_answered(text in "[a-zA-Z$ {}:_/-]{0,40}") {
            let _ = one(&text);
        }
    }
}
