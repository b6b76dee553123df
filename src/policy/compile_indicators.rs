//! A policy's `indicators:` list.
//!
//! An entry either declares an indicator of its own (`name`, `value`, `enter`), or names a built-in
//! (`built_in`) and says what is different for this service, down to `mode: off`.

use super::compile::Findings;
use super::error::{nearest, one_of};
use super::raw::{RawIndicator, Text};
use crate::indicate::builtin::{self, BuiltIn};
use crate::indicate::{BY_MAX, Bound, Formula, IndicatorSpec, Rule, check_name};
use crate::sli::expr::Field;
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;

/// Indicators of one policy.
const INDICATORS_MAX: usize = 100;
/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 256;
/// Longest unit, in bytes.
const UNIT_BYTES_MAX: usize = 32;

/// What the list says.
#[derive(Debug, Default)]
pub(super) struct Indicators {
    pub(super) declared: Vec<Arc<IndicatorSpec>>,
    pub(super) off: Vec<Arc<str>>,
}

/// Compiles the list; what is wrong is in `findings`.
pub(super) fn indicators(raw: &[Spanned<RawIndicator>], findings: &mut Findings) -> Indicators {
    let mut all = Indicators::default();
    if let Some(entry) = raw.get(INDICATORS_MAX) {
        findings.problem(
            entry.referenced,
            format!(
                "{} indicators in one policy, at most {INDICATORS_MAX} are possible",
                raw.len()
            ),
        );
        return all;
    }
    for entry in raw {
        let at = entry.referenced;
        let Some(is_on) = is_on(&entry.value, findings) else {
            continue;
        };
        let Some(spec) = indicator(at, &entry.value, findings) else {
            continue;
        };
        let same = |name: &Arc<str>| *name == spec.name;
        if all.off.iter().any(same) || all.declared.iter().any(|it| same(&it.name)) {
            let message = format!("the indicator \"{}\" stands here twice; keep one", spec.name);
            findings.problem(at, message);
        } else if is_on {
            all.declared.push(Arc::new(spec));
        } else {
            all.off.push(spec.name);
        }
    }
    all
}

/// What `mode` says.
fn is_on(raw: &RawIndicator, findings: &mut Findings) -> Option<bool> {
    let Some(mode) = &raw.mode else { return Some(true) };
    match mode.value.trim() {
        "on" | "true" => Some(true),
        "off" | "false" if raw.built_in.is_some() => Some(false),
        "off" | "false" => {
            findings.problem(
                mode.referenced,
                "only a built-in is turned off; an indicator of your own is removed by removing it",
            );
            None
        }
        other => {
            findings.problem(
                mode.referenced,
                format!("unknown mode \"{other}\"; expected on or off"),
            );
            None
        }
    }
}

fn indicator(at: Location, raw: &RawIndicator, findings: &mut Findings) -> Option<IndicatorSpec> {
    let before = findings.problems.len();
    let base = match &raw.built_in {
        Some(text) => Some(&built_in(text, findings)?.spec),
        None => None,
    };
    let name = match (&raw.name, base) {
        (Some(text), Some(_)) => {
            findings.problem(
                text.referenced,
                "a built-in keeps its name; leave name out, or leave built_in out and write value and enter",
            );
            return None;
        }
        (Some(text), None) => own_name(text, findings)?,
        (None, Some(base)) => base.name.clone(),
        (None, None) => {
            findings.problem(at, "an indicator needs name, value and enter, or built_in");
            return None;
        }
    };
    let value = match (&raw.value, base) {
        (Some(text), _) => formula(text, findings),
        (None, Some(base)) => Some(base.value.clone()),
        (None, None) => {
            findings.problem(
                at,
                "an indicator needs a value, such as \"max(jvm.thread.count)\"",
            );
            None
        }
    };
    let by = match (&raw.by, base) {
        (Some(list), _) => by(list, findings),
        (None, base) => base.map(|it| it.by.clone()).or(Some(Vec::new())),
    };
    let rule = rule(at, raw, base, findings);
    let or_base = |text: &Option<Text>, of: fn(&IndicatorSpec) -> &Arc<str>| match text {
        Some(text) => text.value.trim().into(),
        None => base.map_or_else(|| Arc::from(""), |it| of(it).clone()),
    };
    let (description, unit) = (
        or_base(&raw.description, |it| &it.description),
        or_base(&raw.unit, |it| &it.unit),
    );
    for (text, what, max) in [
        (&raw.description, "description", DESCRIPTION_BYTES_MAX),
        (&raw.unit, "unit", UNIT_BYTES_MAX),
    ] {
        if let Some(text) = text.as_ref().filter(|text| text.value.len() > max) {
            findings.problem(text.referenced, format!("the {what} is longer than {max} bytes"));
        }
    }
    if findings.problems.len() > before {
        return None;
    }
    Some(IndicatorSpec {
        name,
        description,
        unit,
        value: value?,
        by: by?,
        rule: rule?,
    })
}

fn built_in(text: &Text, findings: &mut Findings) -> Option<&'static BuiltIn> {
    let name = text.value.trim();
    let found = builtin::named(name);
    if found.is_none() {
        let known: Vec<&str> = builtin::all().iter().map(|it| &*it.spec.name).collect();
        let message = match nearest(name, known.iter().copied()) {
            Some(near) => format!("there is no built-in indicator \"{name}\"; did you mean \"{near}\"?"),
            None => format!(
                "there is no built-in indicator \"{name}\"; there are {}",
                one_of(&known)
            ),
        };
        findings.problem(text.referenced, message);
    }
    found
}

fn own_name(text: &Text, findings: &mut Findings) -> Option<Arc<str>> {
    let name = text.value.trim();
    if let Err(message) = check_name(name) {
        findings.problem(text.referenced, message);
        return None;
    }
    if builtin::named(name).is_some() {
        let message = format!(
            "\"{name}\" is a built-in indicator; write built_in: {name} to change it, or choose another name"
        );
        findings.problem(text.referenced, message);
        return None;
    }
    Some(name.into())
}

fn formula(text: &Text, findings: &mut Findings) -> Option<Formula> {
    let parsed = text.value.parse();
    parsed
        .map_err(|error| findings.problem(text.referenced, format!("value: {error}")))
        .ok()
}

fn by(list: &Spanned<Vec<Text>>, findings: &mut Findings) -> Option<Vec<Field>> {
    if list.value.len() > BY_MAX {
        let message = format!(
            "by names {} attributes, at most {BY_MAX} are possible",
            list.value.len()
        );
        findings.problem(list.referenced, message);
        return None;
    }
    let mut fields = Vec::new();
    for text in &list.value {
        let name = findings.name("an attribute in by", text)?;
        fields.push(Field::attribute(&name));
    }
    Some(fields)
}

fn rule(
    at: Location,
    raw: &RawIndicator,
    base: Option<&Arc<IndicatorSpec>>,
    findings: &mut Findings,
) -> Option<Rule> {
    let mut bound = |text: &Text, what: &str| {
        let parsed = text.value.parse::<Bound>();
        parsed
            .map_err(|error| findings.problem(text.referenced, format!("{what} \"{}\": {error}", text.value)))
            .ok()
    };
    let enter = match &raw.enter {
        Some(text) => Some(bound(text, "enter")?),
        None => base.map(|it| it.rule.enter),
    };
    let leave = match &raw.leave {
        Some(text) => Some(bound(text, "leave")?),
        // A threshold of one's own does not go with the way out of another.
        None if raw.enter.is_some() => None,
        None => base.and_then(|it| it.rule.leave),
    };
    let Some(enter) = enter else {
        findings.problem(at, "an indicator needs enter, such as \"> 0.9 for 1m\"");
        return None;
    };
    let place = raw
        .leave
        .as_ref()
        .or(raw.enter.as_ref())
        .map_or(at, |text| text.referenced);
    Rule::new(enter, leave)
        .map_err(|message| findings.problem(place, message))
        .ok()
}
