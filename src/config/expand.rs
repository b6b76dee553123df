//! `${env:NAME}`, `${env:NAME:-default}`, `${NAME}`, `${file:path}` and `$$`, as the Collector reads them.
//!
//! A value that is one expression and nothing else may be anything (a number, a list, null); inside other
//! text it is text. A variable that is not set and has no default is empty, which is said aloud, and refused
//! where a value is required. `$NAME` without braces is plain text. A file's line break at its end is
//! dropped, because that is how secrets are mounted.

use super::error::Place;
use super::section::Report;
use super::tree::{self, Expanded, Node, Value};

/// Bytes read of a `${file:...}`.
const MAX_FILE_BYTES: u64 = 1 << 20;

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
    match &mut node.value {
        Value::Null => {}
        Value::List(items) => {
            for (nth, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{path}[{nth}]"), lookup, report);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                expand(
                    &mut entry.node,
                    &super::section::join(path, &entry.key),
                    lookup,
                    report,
                );
            }
        }
        Value::Scalar(text) if text.contains('$') => match scalar(text, node.at, lookup) {
            Ok(Some(expanded)) => {
                if let Some(unset) = expanded.expanded.as_ref().and_then(|e| e.unset.as_ref()) {
                    report.warn(
                        node.at,
                        path,
                        &format!("the environment variable {unset} is not set; read as empty"),
                    );
                }
                let quoted = node.quoted;
                *node = Node { quoted, ..expanded };
            }
            Ok(None) => {}
            Err(message) => report.problem(Some(node.at), path, message),
        },
        Value::Scalar(_) => {}
    }
}

/// The node that `text` becomes; `None` when nothing in it was an expression.
fn scalar(text: &str, at: Place, lookup: &dyn Lookup) -> Result<Option<Node>, String> {
    let mut out = String::new();
    let mut unset = None;
    let mut expressions = 0;
    let mut rest = text;
    while let Some(at_dollar) = rest.find('$') {
        out.push_str(&rest[..at_dollar]);
        let tail = &rest[at_dollar + 1..];
        if let Some(tail) = tail.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(tail) = tail.strip_prefix('{') {
            let Some(end) = tail.find('}') else {
                return Err("`${` without its `}` (write `$$` for a dollar sign)".to_owned());
            };
            expressions += 1;
            match resolve(&tail[..end], lookup)? {
                Ok(value) => out.push_str(&value),
                Err(name) => unset = Some(name),
            }
            rest = &tail[end + 1..];
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out.push_str(rest);
    if expressions == 0 {
        return Ok((out != text).then_some(Node {
            value: Value::Scalar(out),
            at,
            expanded: None,
            quoted: false,
        }));
    }
    let alone = expressions == 1 && text.starts_with("${") && text.find('}') == Some(text.len() - 1);
    let value = if alone {
        structure(&out, at)
    } else {
        Value::Scalar(out.clone())
    };
    let expression = text.split(":-").next().unwrap_or(text);
    let expression = if expression.len() < text.len() {
        format!("{expression}}}")
    } else {
        expression.to_owned()
    };
    Ok(Some(Node {
        value,
        at,
        expanded: Some(Expanded {
            expression,
            text: out,
            unset,
        }),
        quoted: false,
    }))
}

/// An expression alone is read as YAML; text that is no YAML is text.
fn structure(text: &str, at: Place) -> Value {
    let mut value = match tree::parse(text) {
        Ok(Node {
            value: value @ (Value::List(_) | Value::Map(_)),
            ..
        }) => value,
        _ => Node::plain(text.to_owned(), at).value,
    };
    replant(&mut value, at);
    value
}

/// Everything that came out of a variable stands where the variable stands, and is as little to be shown as
/// the variable.
fn replant(value: &mut Value, at: Place) {
    let plant = |node: &mut Node| {
        node.at = at;
        if let Value::Scalar(own) = &node.value {
            node.expanded = Some(Expanded {
                expression: "${...}".to_owned(),
                text: own.clone(),
                unset: None,
            });
        }
        replant(&mut node.value, at);
    };
    match value {
        Value::Null | Value::Scalar(_) => {}
        Value::List(items) => items.iter_mut().for_each(plant),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.at = at;
            plant(&mut entry.node);
        }),
    }
}

/// The value of one expression, or the name of the variable that is not set.
fn resolve(expression: &str, lookup: &dyn Lookup) -> Result<Result<String, String>, String> {
    let (scheme, body) = match expression.split_once(':') {
        Some((scheme, body)) if !body.starts_with('-') => (scheme, body),
        _ => ("env", expression),
    };
    match scheme {
        "env" => {
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
            let value = lookup
                .env(name)
                .filter(|value| default.is_none() || !value.is_empty());
            Ok(value.or(default.map(str::to_owned)).ok_or(name.to_owned()))
        }
        "file" => match lookup.file(body) {
            Ok(text) => Ok(Ok(text.trim_end_matches(['\n', '\r']).to_owned())),
            Err(why) => Err(format!("cannot read the file `{body}`: {why}")),
        },
        "yaml" | "http" | "https" => Err(format!(
            "not supported in this version: `${{{scheme}:...}}`; use env or file"
        )),
        other => Err(format!(
            "unknown source `{other}` in `${{...}}`; expected env or file (write `$$` for a dollar sign)"
        )),
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
        ]);
        scalar(text, Place::default(), &lookup)
            .map(|node| node.map_or(Value::Scalar(text.to_owned()), |node| node.value))
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
    }

    #[test]
    fn what_cannot_be_expanded_says_why() {
        for (text, why) in [
            ("${env:PORT", "`${` without its `}`"),
            ("${env:1X}", "`1X` is not the name"),
            ("${env:${PORT}}", "`${PORT` is not the name"),
            ("${file:/nope}", "cannot read the file `/nope`: no such file"),
            ("${yaml:a}", "not supported in this version"),
            ("${vault:a}", "unknown source `vault`"),
            ("${}", "`` is not the name"),
        ] {
            assert!(one(text).unwrap_err().starts_with(why), "{text}: {:?}", one(text));
        }
    }
}
