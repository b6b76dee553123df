//! The text of a file of flag definitions, and the one place in it that a decision changes.
//!
//! People keep such files in a repository, with an order and a layout of their own, and review what changes
//! in them. So the place of one value is found in the text and nothing else is touched: numbers, blanks and
//! keys that we do not know stay byte for byte. Rejected: parsing all of it and writing it out again.

use super::super::trouble::Trouble;
use super::{clean, rejected};
use crate::decide::FailureReason;
use crate::policy::SafeState;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The keys of an object, and the text of each value; of a key that stands there twice the last one counts,
/// as it does to flagd.
type Keys<'a> = BTreeMap<KeyOf<'a>, &'a RawValue>;

/// A key, borrowed from the text where it has no escape in it.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct KeyOf<'a>(#[serde(borrow)] Cow<'a, str>);

/// One flag of a file.
pub(super) struct Flag<'a> {
    text: &'a str,
    /// From its brace to its brace.
    at: Range<usize>,
    keys: Keys<'a>,
}

impl<'a> Flag<'a> {
    /// Finds it.
    pub(super) fn find(text: &'a str, name: &str) -> Result<Self, Trouble> {
        let no_json = |e: serde_json::Error| rejected(&clean(&format!("the file is no JSON ({e})")));
        let absent = || Trouble::Permanent {
            reason: FailureReason::NotFound,
            detail: clean(&format!("the file has no flag `{name}`")),
        };
        let root: Keys<'a> = serde_json::from_str(text).map_err(no_json)?;
        let flags = get(&root, "flags").ok_or_else(|| rejected("the file has no object `flags`"))?;
        let flags: Keys<'a> = serde_json::from_str(flags.get())
            .map_err(|_| rejected("`flags` of the file is no object of flags by their names"))?;
        let flag = get(&flags, name).ok_or_else(absent)?;
        let keys = serde_json::from_str(flag.get())
            .map_err(|_| rejected(&clean(&format!("flag `{name}` of the file is no object"))))?;
        let at = place(text, flag);
        Ok(Self { text, at, keys })
    }

    /// Whether it is switched off.
    pub(super) fn is_disabled(&self) -> bool {
        self.string("state").as_deref() == Some("DISABLED")
    }

    /// Whether everybody gets this variant, or nobody any.
    pub(super) fn serves(&self, variant: &str) -> bool {
        self.is_disabled()
            || self.string("defaultVariant").as_deref() == Some(variant) && !self.has_targeting()
    }

    /// What a variant of it is worth; `None` where there is no such variant.
    pub(super) fn value_of(&self, variant: &str) -> Option<Value> {
        self.variants()?.get(variant).cloned()
    }

    /// The text of the whole file in which the flag is in that state; `None` where it is so already.
    pub(super) fn with(&self, to: &SafeState) -> Result<Option<String>, Trouble> {
        let (key, value) = match to {
            SafeState::Off => ("state", "DISABLED"),
            SafeState::On => ("state", "ENABLED"),
            SafeState::Serve { variant } => {
                self.can_serve(variant)?;
                ("defaultVariant", &**variant)
            }
            SafeState::Rollout { .. } => return Err(rejected("a file of flagd has no share to set")),
        };
        if self.string(key).as_deref() == Some(value) {
            return Ok(None);
        }
        let written = Value::from(value).to_string();
        let (at, written) = if let Some(old) = get(&self.keys, key) {
            (place(self.text, old), written)
        } else {
            // Right behind the brace, in the line of what comes next.
            let inside = &self.text[self.at.start + 1..self.at.end - 1];
            let lead = &inside[..inside.len() - inside.trim_start().len()];
            let comma = if self.keys.is_empty() { "" } else { "," };
            let behind = self.at.start + 1;
            (behind..behind, format!("{lead}\"{key}\": {written}{comma}"))
        };
        let mut text = self.text.to_owned();
        text.replace_range(at, &written);
        Ok(Some(text))
    }

    fn can_serve(&self, variant: &str) -> Result<(), Trouble> {
        let variants = self.variants().unwrap_or_default();
        if !variants.contains_key(variant) {
            let known: Vec<&str> = variants.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            let words = format!("the flag has no variant `{variant}`; it has {known}");
            return Err(rejected(&clean(&words)));
        }
        if self.has_targeting() {
            return Err(rejected(
                "the flag has targeting rules, which would go on choosing; use the action off",
            ));
        }
        Ok(())
    }

    fn has_targeting(&self) -> bool {
        let rules = get(&self.keys, "targeting").and_then(|it| serde_json::from_str::<Value>(it.get()).ok());
        rules.is_some_and(|rules| !rules.is_null() && rules != serde_json::json!({}))
    }

    fn variants(&self) -> Option<serde_json::Map<String, Value>> {
        serde_json::from_str(get(&self.keys, "variants")?.get()).ok()
    }

    fn string(&self, key: &str) -> Option<String> {
        serde_json::from_str(get(&self.keys, key)?.get()).ok()
    }
}

fn get<'a>(keys: &Keys<'a>, key: &str) -> Option<&'a RawValue> {
    keys.get(&KeyOf(key.into())).copied()
}

/// Where a value stands in the text that it borrows from.
fn place(text: &str, value: &RawValue) -> Range<usize> {
    let value = value.get();
    let start = value.as_ptr().addr() - text.as_ptr().addr();
    start..start + value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(text: &str) -> Result<Option<String>, Trouble> {
        Flag::find(text, "f")?.with(&SafeState::Off)
    }

    #[test]
    fn only_the_one_value_changes_whatever_the_layout() {
        let rows = [
            (
                r#"{"flags":{"f":{"state":"ENABLED","x":2.50}}, "z" : 1e3 }"#,
                r#"{"flags":{"f":{"state":"DISABLED","x":2.50}}, "z" : 1e3 }"#,
            ),
            (
                "{\"flags\": {\n\t\"f\" : {\n\t\t\"variants\": {}\n\t}\r\n}}\n\n",
                "{\"flags\": {\n\t\"f\" : {\n\t\t\"state\": \"DISABLED\",\n\t\t\"variants\": {}\n\t}\r\n}}\n\n",
            ),
            (
                r#"{"flags":{"f":{}}}"#,
                r#"{"flags":{"f":{"state": "DISABLED"}}}"#,
            ),
            // An escape in a key, a flag of the same name elsewhere, and a state that belongs to another.
            (
                r#"{"x":{"f":{"state":"ENABLED"}},"flags":{"g":{"state":"ENABLED"},"\u0066":{"s":"\"state\":\"ENABLED\"","state":"ENABLED"}}}"#,
                r#"{"x":{"f":{"state":"ENABLED"}},"flags":{"g":{"state":"ENABLED"},"\u0066":{"s":"\"state\":\"ENABLED\"","state":"DISABLED"}}}"#,
            ),
            // Of two the last one counts.
            (
                r#"{"flags":{"f":{"state":"ENABLED"},"f":{"state":"ENABLED","state":"ENABLED"}}}"#,
                r#"{"flags":{"f":{"state":"ENABLED"},"f":{"state":"ENABLED","state":"DISABLED"}}}"#,
            ),
        ];
        for (text, want) in rows {
            let made = off(text).unwrap().unwrap();
            assert_eq!(made, want);
            assert_eq!(off(&made).unwrap(), None, "and nothing more the second time");
        }
    }

    #[test]
    fn what_is_no_file_of_flags_is_said() {
        let rows = [
            ("{", "the file is no JSON"),
            ("[]", "the file is no JSON"),
            ("{}", "no object `flags`"),
            (r#"{"flags":[]}"#, "no object of flags"),
            (r#"{"flags":{}}"#, "the file has no flag `f`"),
            (
                r#"{"flags":{"f":"ENABLED"}}"#,
                "flag `f` of the file is no object",
            ),
        ];
        for (text, want) in rows {
            let said = off(text).unwrap_err().to_string();
            assert!(said.contains(want), "{text}: {said}");
        }
    }
}
