//! An attribute's value as text: what a label, or a line of a log, says.

use crate::wire::{AnyValue, Malformed, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Nested lists are followed this deep.
const NESTING_MAX: u32 = 16;

/// Appends the value: text as it is, numbers in digits, bytes in base64, lists as JSON. What cannot be read
/// is no text.
pub(crate) fn push_text(out: &mut String, any: AnyValue<'_>) -> Result<(), Malformed> {
    match any.value()? {
        Value::Str(bytes) => out.push_str(&text(bytes)),
        Value::Bytes(bytes) => STANDARD.encode_string(bytes, out),
        _ => nested(out, any, NESTING_MAX)?,
    }
    Ok(())
}

/// Text that is not UTF-8 gets replacement characters.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

fn quoted(out: &mut String, text: &str) {
    // Text always becomes JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn nested(out: &mut String, any: AnyValue<'_>, levels: u32) -> Result<(), Malformed> {
    match any.value()? {
        Value::Empty => {}
        Value::Str(bytes) => quoted(out, &text(bytes)),
        Value::Bool(yes) => out.push_str(if yes { "true" } else { "false" }),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Double(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Bytes(bytes) => quoted(out, &STANDARD.encode(bytes)),
        Value::Array(_) | Value::KvList(_) if levels == 0 => out.push_str("null"),
        Value::Array(list) => {
            out.push('[');
            for (at, item) in AnyValue::array_items(list).enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                nested(out, item?, levels - 1)?;
            }
            out.push(']');
        }
        Value::KvList(list) => {
            out.push('{');
            for (at, pair) in AnyValue::kvlist_items(list).enumerate() {
                let (key, item) = pair?;
                out.push_str(if at == 0 { "" } else { "," });
                quoted(out, &text(key));
                out.push(':');
                nested(out, item, levels - 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}
