//! A text with placeholders: `{{flag}}` stands for a value that is filled in later.
//!
//! Names are checked when the configuration is read: an unknown one is refused then, and not during an
//! incident. Rejected: a template engine, because loops and conditions in a kill are a place for bugs, and
//! the values are few.

use super::template::TemplateError;

/// A parsed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(String),
}

impl Pattern {
    /// Parses a text in which only these names may stand between braces.
    pub(crate) fn parse(source: &str, known: &[&str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some((text, after)) = rest.split_once("{{") {
            parts.push(Part::Text(text.to_owned()));
            let Some((name, tail)) = after.split_once("}}") else {
                return Err(TemplateError::Unclosed {
                    at: source.len() - after.len() - 2,
                });
            };
            parts.push(Part::Value(checked(name.trim(), known)?));
            rest = tail;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// Whether a value of that name stands in it.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Value(it) if it == name))
    }

    /// The text with `value` filled in.
    pub(crate) fn render(&self, value: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(name) => out.push_str(&value(name)),
            }
        }
        out
    }

    /// The text as it stands, where nothing is filled in.
    pub(crate) fn as_plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn checked(name: &str, known: &[&str]) -> Result<String, TemplateError> {
    if known.contains(&name) {
        return Ok(name.to_owned());
    }
    let near = known
        .iter()
        .map(|known| (strsim::osa_distance(known, name), known))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    Err(TemplateError::Unknown {
        name: name.chars().take(64).collect(),
        hint: near.map_or_else(String::new, |(_, known)| format!(", did you mean `{known}`?")),
        known: known.join(", "),
    })
}
