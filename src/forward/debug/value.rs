//! Attributes, values and times in the Collector's words.

use crate::forward::fields::{Field, each_field, each_in, last_in};
use crate::wire::{AnyValue, Malformed, Value};
use jiff::Timestamp;
use std::fmt::Write as _;

/// Nested lists are shown this deep.
const NESTING_MAX: u32 = 16;

/// Text that is not UTF-8 gets replacement characters.
pub(super) fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// `Str(checkout)`, `Int(7)`, `Map({"a":1})`.
pub(super) fn value(out: &mut String, any: AnyValue<'_>) -> Result<(), Malformed> {
    let kind = match any.value()? {
        Value::Empty => "Empty",
        Value::Str(_) => "Str",
        Value::Bool(_) => "Bool",
        Value::Int(_) => "Int",
        Value::Double(_) => "Double",
        Value::Array(_) => "Slice",
        Value::KvList(_) => "Map",
        Value::Bytes(_) => "Bytes",
    };
    out.push_str(kind);
    out.push('(');
    bare(out, any, NESTING_MAX)?;
    out.push(')');
    Ok(())
}

/// The value alone: scalars as they are, lists as JSON.
pub(super) fn bare(out: &mut String, any: AnyValue<'_>, levels: u32) -> Result<(), Malformed> {
    match any.value()? {
        Value::Str(bytes) => out.push_str(&text(bytes)),
        Value::Bytes(bytes) => out.push_str(&hex::encode(bytes)),
        _ => nested(out, any, levels)?,
    }
    Ok(())
}

/// A value inside a list: JSON.
fn nested(out: &mut String, any: AnyValue<'_>, levels: u32) -> Result<(), Malformed> {
    match any.value()? {
        Value::Empty => {}
        Value::Str(bytes) => {
            let _ = write!(out, "{:?}", text(bytes));
        }
        Value::Bool(yes) => {
            let _ = write!(out, "{yes}");
        }
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Double(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Bytes(bytes) => {
            let _ = write!(out, "\"{}\"", hex::encode(bytes));
        }
        Value::Array(_) | Value::KvList(_) if levels == 0 => out.push_str("..."),
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
                let _ = write!(out, "{}{:?}:", if at == 0 { "" } else { "," }, text(key));
                nested(out, item, levels - 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// A KeyValue of the wire.
pub(super) fn pair(message: &[u8]) -> Result<(&[u8], AnyValue<'_>), Malformed> {
    Ok((last_in(message, 1)?, AnyValue::new(last_in(message, 2)?)))
}

/// `header:`, and a line for each attribute in field `number`; nothing without any.
pub(super) fn attributes(
    out: &mut String,
    message: &[u8],
    number: u32,
    header: &str,
    indent: &str,
) -> Result<(), Malformed> {
    let mut first = true;
    each_in(message, number, |attribute| {
        if std::mem::take(&mut first) {
            let _ = writeln!(out, "{header}:");
        }
        let (key, any) = pair(attribute)?;
        let _ = write!(out, "{indent}-> {}: ", text(key));
        value(out, any)?;
        out.push('\n');
        Ok(())
    })
}

/// ` key=value` for each attribute in field `number`.
pub(super) fn inline(out: &mut String, message: &[u8], number: u32) -> Result<(), Malformed> {
    each_in(message, number, |attribute| {
        let (key, any) = pair(attribute)?;
        let _ = write!(out, " {}=", text(key));
        bare(out, any, NESTING_MAX)
    })
}

/// `2006-01-02 15:04:05.000000001 +0000 UTC`.
pub(super) fn time(unix_nanos: u64) -> String {
    match Timestamp::from_nanosecond(i128::from(unix_nanos)) {
        Ok(time) => format!("{} +0000 UTC", time.strftime("%Y-%m-%d %H:%M:%S%.f")),
        Err(_) => format!("{unix_nanos} ns"),
    }
}

/// The last number in field `number`, whatever it is written as; zero when there is none.
pub(super) fn number(message: &[u8], number: u32) -> Result<u64, Malformed> {
    Ok(optional(message, number)?.unwrap_or(0))
}

/// The same, when there is one.
pub(super) fn optional(message: &[u8], number: u32) -> Result<Option<u64>, Malformed> {
    let mut last = None;
    each_field(message, |field| {
        match field {
            Field::Varint(found, value) | Field::Fixed64(found, value) if found == number => {
                last = Some(value);
            }
            Field::Fixed32(found, value) if found == number => last = Some(u64::from(value)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(last)
}
