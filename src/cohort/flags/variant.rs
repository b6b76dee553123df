//! How a value becomes a variant's name.
//!
//! `true`, `on`, `enabled`, `1`, `yes` are `on`; `false`, `off`, `disabled`, `0`, `no` are `off`, whatever
//! their case, because one flag is sent as a bool here and as text there. Everything else is kept as it is,
//! up to 64 bytes; objects and arrays are hashed, never shown, since they may hold anything.

use super::{OFF, ON};
use crate::cohort::{clip, stable_hash};
use crate::wire::{AnyValue, Value};
use serde_json::{Map, Number, Value as Json};
use std::borrow::Cow;

/// Longest variant, in bytes; a longer one is cut and ends in a hash.
const VARIANT_MAX: usize = 64;

/// Longest flag key, in bytes; a longer one is refused, because a key that was cut could never be switched.
const KEY_MAX: usize = 256;

/// Values read of one object or array, nested ones included.
const NODES_MAX: u32 = 1_024;

/// Levels read of one object or array.
const LEVELS_MAX: u32 = 16;

/// A variant's name.
pub(crate) type Variant = Cow<'static, str>;

/// The bytes as a flag's key: trimmed, not empty, UTF-8 without control characters.
pub(crate) fn flag_key(bytes: &[u8]) -> Option<&str> {
    key_text(simdutf8::basic::from_utf8(bytes).ok()?)
}

/// See [`flag_key`].
pub(super) fn key_text(text: &str) -> Option<&str> {
    let key = text.trim();
    let fits = !key.is_empty() && key.len() <= KEY_MAX && !key.chars().any(char::is_control);
    fits.then_some(key)
}

/// The value as a variant; `None` when it is none (empty, bytes, not UTF-8, control characters).
pub(crate) fn normalise(value: AnyValue<'_>) -> Option<Variant> {
    match value.value().ok()? {
        Value::Empty | Value::Bytes(_) => None,
        Value::Str(text) => from_text(simdutf8::basic::from_utf8(text).ok()?),
        Value::Bool(on) => Some(switch(on)),
        Value::Int(number) => from_text(&number.to_string()),
        Value::Double(number) => from_text(&number.to_string()),
        Value::Array(_) | Value::KvList(_) => {
            let mut nodes = NODES_MAX;
            to_json(value, LEVELS_MAX, &mut nodes).map(|json| hashed(&json))
        }
    }
}

fn switch(on: bool) -> Variant {
    Cow::Borrowed(if on { ON } else { OFF })
}

/// The text as a variant. One level of JSON quotes is taken off, as LaunchDarkly's hooks put it on.
pub(super) fn from_text(text: &str) -> Option<Variant> {
    let text = text.trim();
    if text.starts_with('"')
        && let Ok(Json::String(inner)) = serde_json::from_str(text)
    {
        return from_plain(inner.trim());
    }
    from_plain(text)
}

fn from_plain(text: &str) -> Option<Variant> {
    const ON_WORDS: [&str; 5] = ["true", "on", "enabled", "1", "yes"];
    const OFF_WORDS: [&str; 5] = ["false", "off", "disabled", "0", "no"];
    if text.starts_with(['{', '[']) {
        // An object in a string, as OpenFeature's hooks send it; text that only looks like one is hidden all
        // the same.
        let json = serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()));
        return Some(hashed(&json));
    }
    if text.is_empty() || text.chars().any(char::is_control) {
        return None;
    }
    if ON_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(switch(true));
    }
    if OFF_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some(switch(false));
    }
    Some(Cow::Owned(clip(text, VARIANT_MAX).into_owned()))
}

/// The JSON value as a variant; objects and arrays are hashed.
pub(super) fn from_json(value: &Json) -> Option<Variant> {
    match value {
        Json::Null => None,
        Json::Bool(on) => Some(switch(*on)),
        Json::Number(number) => from_text(&number.to_string()),
        Json::String(text) => from_text(text),
        Json::Array(_) | Json::Object(_) => Some(hashed(value)),
    }
}

fn hashed(value: &Json) -> Variant {
    Cow::Owned(format!("hash:{}", stable_hash(value.to_string().as_bytes())))
}

/// The value as JSON, so that an object has the same hash however its sender encoded it.
fn to_json(value: AnyValue<'_>, levels: u32, nodes: &mut u32) -> Option<Json> {
    *nodes = nodes.checked_sub(1)?;
    let levels = levels.checked_sub(1)?;
    let text = |bytes| simdutf8::basic::from_utf8(bytes).ok().map(str::to_owned);
    Some(match value.value().ok()? {
        Value::Empty => Json::Null,
        Value::Str(bytes) => Json::String(text(bytes)?),
        Value::Bool(yes) => Json::Bool(yes),
        Value::Int(number) => Json::Number(number.into()),
        Value::Double(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
        Value::Bytes(bytes) => Json::String(stable_hash(bytes)),
        Value::Array(items) => Json::Array(
            AnyValue::array_items(items)
                .map(|item| to_json(item.ok()?, levels, nodes))
                .collect::<Option<_>>()?,
        ),
        Value::KvList(pairs) => Json::Object(
            AnyValue::kvlist_items(pairs)
                .map(|pair| {
                    let (key, value) = pair.ok()?;
                    Some((text(key)?, to_json(value, levels, nodes)?))
                })
                .collect::<Option<Map<_, _>>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_on_and_off_are_one_variant_each() {
        for on in [
            "true", "on", "enabled", "1", "yes", "True", "YES", " on ", "\"true\"",
        ] {
            assert_eq!(from_text(on).as_deref(), Some(ON), "{on}");
        }
        for off in ["false", "off", "disabled", "0", "no", "False", "\"off\""] {
            assert_eq!(from_text(off).as_deref(), Some(OFF), "{off}");
        }
    }

    #[test]
    fn other_text_is_kept_with_its_case_and_without_one_level_of_quotes() {
        for (text, variant) in [
            ("Green", "Green"),
            ("\"green\"", "green"),
            ("a \"b\"", "a \"b\""),
            ("2", "2"),
        ] {
            assert_eq!(from_text(text).as_deref(), Some(variant));
        }
    }

    #[test]
    fn what_cannot_be_a_variant_is_refused() {
        for bad in ["", "  ", "\"\"", "a\u{0}b", "a\nb"] {
            assert_eq!(from_text(bad), None, "{bad:?}");
        }
        assert_eq!(from_json(&Json::Null), None);
    }

    #[test]
    fn objects_are_hashed_however_they_are_spaced_and_never_shown() {
        let (a, b) = (
            from_text("{\"mail\": \"a@b.c\"}").unwrap(),
            from_text("{\"mail\":\"a@b.c\"}").unwrap(),
        );
        assert_eq!(a, b);
        assert!(a.starts_with("hash:") && !a.contains('@'));
        assert!(from_text("{mail: a@b.c").unwrap().starts_with("hash:"));
        assert_ne!(from_text("[1]"), from_text("[2]"));
    }

    #[test]
    fn long_variants_are_cut_with_a_hash() {
        let (a, b) = (
            from_text(&"v".repeat(65)).unwrap(),
            from_text(&"v".repeat(66)).unwrap(),
        );
        assert_eq!((a.len(), b.len()), (VARIANT_MAX, VARIANT_MAX));
        assert_ne!(a, b);
    }

    #[test]
    fn keys_are_trimmed_and_bounded() {
        assert_eq!(flag_key(b" team.checkout-v2_x~1 "), Some("team.checkout-v2_x~1"));
        for bad in [&b""[..], b" ", b"a\tb", b"\xff", "k".repeat(257).as_bytes()] {
            assert_eq!(flag_key(bad), None, "{bad:?}");
        }
    }
}
