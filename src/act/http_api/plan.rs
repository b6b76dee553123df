//! What a configuration describes, compiled: every placeholder known, every URL below the endpoint, every
//! body JSON with sample values.

use super::fill::{Fill, KNOWN_BEFORE};
use crate::act::ActError;
use crate::act::ability::Ability;
use crate::act::pattern::Pattern;
use crate::act::template::{PLACEHOLDERS, try_samples_with};
use crate::config::{HttpAction, HttpApiExporter};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where each check looks, and what stands there.
pub(super) type Checks = Vec<(Pattern, Expected)>;

/// A value to compare with, or to set.
#[derive(Debug)]
pub(super) enum Expected {
    Plain(Value),
    Text(Pattern),
}

#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) url: Pattern,
    pub(super) list: Pattern,
    pub(super) matching: Checks,
    pub(super) take: Pattern,
}

#[derive(Debug)]
pub(super) struct Edit {
    pub(super) url: Pattern,
    pub(super) take: Pattern,
    pub(super) set: Checks,
    pub(super) revision: Option<Pattern>,
}

/// One action.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) method: http::Method,
    pub(super) url: Pattern,
    pub(super) body: Option<Pattern>,
    pub(super) edit: Option<Edit>,
    pub(super) success: Vec<u16>,
    pub(super) expect: Checks,
    pub(super) no_change: Vec<u16>,
    pub(super) already: Checks,
    pub(super) safe: Checks,
}

/// Compiles texts of one exporter.
#[derive(Debug)]
pub(super) struct Compiler<'c> {
    pub(super) config: &'c HttpApiExporter,
    /// Names that every text may use.
    always: Vec<String>,
}

impl<'c> Compiler<'c> {
    pub(super) fn new(config: &'c HttpApiExporter) -> Self {
        let vars = config.vars.keys().map(|name| format!("vars.{name}"));
        let always = KNOWN_BEFORE.iter().map(|it| (*it).to_owned()).chain(vars);
        Self {
            config,
            always: always.collect(),
        }
    }

    /// A text in which the values may stand that are known before anything is called, and `more`.
    pub(super) fn text(&self, key: &str, text: &str, more: &[&str]) -> Result<Pattern, ActError> {
        let known: Vec<&str> = self
            .always
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        Pattern::parse(text, &known).map_err(|source| ActError::Template {
            exporter: self.config.id.clone(),
            key: key.to_owned(),
            source,
        })
    }

    /// A URL, which begins with the endpoint: no other host is ever called.
    pub(super) fn url(&self, key: &str, text: &str, more: &[&str]) -> Result<Pattern, ActError> {
        let rest = text.trim().strip_prefix("{{endpoint}}").unwrap_or_default();
        if !rest.starts_with(['/', '?']) {
            return Err(self.invalid(key, "must begin with `{{endpoint}}/`"));
        }
        self.text(key, text.trim(), more)
    }

    pub(super) fn checks(
        &self,
        key: &str,
        all: &[(String, Value)],
        more: &[&str],
    ) -> Result<Checks, ActError> {
        let one = |(pointer, value): &(String, Value)| {
            let expected = match value {
                Value::String(text) if text.contains("{{") => Expected::Text(self.text(key, text, more)?),
                other => Expected::Plain(other.clone()),
            };
            Ok((self.text(key, pointer, more)?, expected))
        };
        all.iter().map(one).collect()
    }

    pub(super) fn lookup(&self) -> Result<Option<Lookup>, ActError> {
        let Some(lookup) = &self.config.lookup else {
            return Ok(None);
        };
        Ok(Some(Lookup {
            url: self.url("lookup.url", &lookup.url, &[])?,
            list: self.text("lookup.list", &lookup.list, &[])?,
            matching: self.checks("lookup.where", &lookup.matching, &[])?,
            take: self.text("lookup.take", &lookup.take, &[])?,
        }))
    }

    pub(super) fn plans(&self) -> Result<BTreeMap<Ability, Plan>, ActError> {
        let mut plans = BTreeMap::new();
        for (name, action) in &self.config.actions {
            // Who has the flag is in no answer that could be described here.
            let mut known = Ability::ALL.into_iter().filter(|it| *it != Ability::Probation);
            let ability = known.find(|it| it.as_str() == *name);
            let ability = ability.ok_or_else(|| self.invalid("actions", "no such action"))?;
            plans.insert(ability, self.plan(&format!("actions.{name}"), action)?);
        }
        Ok(plans)
    }

    fn plan(&self, key: &str, action: &HttpAction) -> Result<Plan, ActError> {
        let at = |part: &str| format!("{key}.{part}");
        let more: Vec<&str> = PLACEHOLDERS.iter().map(|(name, _)| *name).chain(["id"]).collect();
        let edit = match &action.edit {
            None => None,
            Some(edit) => {
                let url = if edit.url.is_empty() {
                    &action.url
                } else {
                    &edit.url
                };
                Some(Edit {
                    url: self.url(&at("edit.url"), url, &more)?,
                    take: self.text(&at("edit.take"), &edit.take, &more)?,
                    set: self.checks(&at("edit.set"), &edit.set, &more)?,
                    revision: match edit.revision.as_str() {
                        "" => None,
                        pointer => Some(self.text(&at("edit.revision"), pointer, &more)?),
                    },
                })
            }
        };
        let body = action
            .body
            .as_deref()
            .or(edit.is_some().then_some("{{document}}"));
        let body = match body {
            None => None,
            Some(text) => {
                let mut more = more.clone();
                if edit.is_some() {
                    more.extend(["document", "revision"]);
                }
                let body = self.text(&at("body"), text, &more)?;
                try_samples_with(&body, Fill::sample).map_err(|source| ActError::Template {
                    exporter: self.config.id.clone(),
                    key: at("body"),
                    source,
                })?;
                Some(body)
            }
        };
        let method = action.method.parse();
        Ok(Plan {
            method: method.map_err(|_| self.invalid(&at("method"), "is not a method"))?,
            url: self.url(&at("url"), &action.url, &more)?,
            body,
            edit,
            success: action.success.clone(),
            expect: self.checks(&at("expect"), &action.expect, &more)?,
            no_change: action.no_change.clone(),
            already: self.checks(&at("already"), &action.already, &more)?,
            safe: self.checks(&at("safe"), &action.safe, &more)?,
        })
    }

    pub(super) fn invalid(&self, key: &str, problem: &str) -> ActError {
        ActError::Invalid {
            exporter: self.config.id.clone(),
            key: key.to_owned(),
            problem: problem.to_owned(),
        }
    }
}
