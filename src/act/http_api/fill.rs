//! The values of placeholders, escaped for where they stand.

use super::plan::{Checks, Expected};
use crate::act::pattern::Pattern;
use crate::act::scrub::{json_inside, percent_encoded};
use crate::act::template::{sample_of, value_of};
use crate::config::HttpApiExporter;
use crate::decide::Decision;
use base64::Engine as _;
use serde_json::Value;

/// What may stand in a text before anything is known of a decision, beside `vars.*`.
pub(super) const KNOWN_BEFORE: [&str; 6] = [
    "endpoint",
    "token",
    "token_base64",
    "flag",
    "environment",
    "environment_id",
];

/// Everything that a text may be filled with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill<'a> {
    pub(super) config: &'a HttpApiExporter,
    pub(super) flag: &'a str,
    pub(super) environment: &'a str,
    /// None while somebody only asks.
    pub(super) decision: Option<&'a Decision>,
    pub(super) id: &'a str,
    pub(super) document: Option<&'a Value>,
    pub(super) revision: Option<&'a Value>,
}

impl Fill<'_> {
    fn value(&self, name: &str) -> String {
        let token = || self.config.token.as_ref().map_or("", |it| it.expose().trim());
        match name {
            "endpoint" => self.config.endpoint.trim_end_matches('/').to_owned(),
            "token" => token().to_owned(),
            "token_base64" => base64::engine::general_purpose::STANDARD.encode(token()),
            "flag" => self.flag.to_owned(),
            "environment" => self.environment.to_owned(),
            "environment_id" => {
                let known = self.config.environments.get(self.environment);
                known.map_or(self.environment, |it| it.expose()).to_owned()
            }
            "id" => self.id.to_owned(),
            _ => match (name.strip_prefix("vars."), self.decision) {
                (Some(var), _) => self.config.vars.get(var).cloned().unwrap_or_default(),
                (None, Some(decision)) => value_of(name, decision),
                (None, None) => String::new(),
            },
        }
    }

    /// Each value is one segment, or one value of a query; what comes before is the configuration's.
    pub(super) fn url(&self, pattern: &Pattern) -> String {
        pattern.render(|name| match name {
            "endpoint" => self.value(name),
            _ => percent_encoded(&self.value(name)),
        })
    }

    pub(super) fn header(&self, pattern: &Pattern) -> String {
        pattern.render(|name| self.value(name))
    }

    /// Inside a JSON string, but for the document and its revision, which are JSON.
    pub(super) fn body(&self, pattern: &Pattern) -> String {
        let json = |value: Option<&Value>| value.map_or_else(|| "null".to_owned(), Value::to_string);
        pattern.render(|name| match name {
            "document" => json(self.document),
            "revision" => json(self.revision),
            _ => json_inside(&self.value(name)),
        })
    }

    /// Each value is one key.
    pub(super) fn pointer(&self, pattern: &Pattern) -> String {
        pattern.render(|name| self.value(name).replace('~', "~0").replace('/', "~1"))
    }

    pub(super) fn expected(&self, expected: &Expected) -> Value {
        let pattern = match expected {
            Expected::Plain(value) => return value.clone(),
            Expected::Text(pattern) => pattern,
        };
        let text = pattern.render(|name| self.value(name));
        match text.parse::<u64>() {
            Ok(number) if pattern.names("percent") => number.into(),
            _ => text.into(),
        }
    }

    /// Whether all of it stands in `answer`; `None` where a place is not there at all.
    pub(super) fn holds(&self, checks: &Checks, answer: &Value) -> Option<bool> {
        let mut all = true;
        for (pointer, expected) in checks {
            all &= *answer.pointer(&self.pointer(pointer))? == self.expected(expected);
        }
        Some(all)
    }

    /// What a body is tried with before there is a decision.
    pub(super) fn sample(name: &str, text: &str) -> String {
        match name {
            "document" => "{}".to_owned(),
            "revision" => "\"1\"".to_owned(),
            _ => json_inside(&sample_of(name, text)),
        }
    }
}
