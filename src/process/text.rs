//! Values as text, as the Collector writes them: numbers as JSON has them, bytes in base64, lists and maps as
//! JSON.

use crate::wire::{AnyValue, Malformed, Value};
use base64::Engine;
use std::borrow::Cow;

/// Levels of lists that are written; what lies deeper is `null`.
const DEPTH_MAX: u32 = 32;

/// A value as text. A text is itself, whatever its bytes are; no value is an empty text.
pub(super) fn as_text(value: AnyValue<'_>) -> Result<Cow<'_, [u8]>, Malformed> {
    Ok(match value.value()? {
        Value::Empty => Cow::Borrowed(&[]),
        Value::Str(text) => Cow::Borrowed(text),
        Value::Bool(true) => Cow::Borrowed(b"true"),
        Value::Bool(false) => Cow::Borrowed(b"false"),
        Value::Int(number) => Cow::Owned(number.to_string().into_bytes()),
        Value::Double(number) => Cow::Owned(double(number).into_bytes()),
        Value::Bytes(bytes) => Cow::Owned(base64(bytes).into_bytes()),
        Value::Array(_) | Value::KvList(_) => Cow::Owned(json(value, DEPTH_MAX)?.to_string().into_bytes()),
    })
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A number as ECMAScript, and with it JSON in Go, writes it.
pub(super) fn double(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || !number.is_finite() || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
        _ => text,
    }
}

fn json(value: AnyValue<'_>, levels: u32) -> Result<serde_json::Value, Malformed> {
    use serde_json::Value as Json;
    let deeper = |item| match levels {
        0 => Ok(Json::Null),
        _ => json(item, levels - 1),
    };
    Ok(match value.value()? {
        Value::Empty => Json::Null,
        Value::Str(text) => String::from_utf8_lossy(text).into(),
        Value::Bool(yes) => yes.into(),
        Value::Int(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Bytes(bytes) => base64(bytes).into(),
        Value::Array(items) => Json::Array(
            AnyValue::array_items(items)
                .map(|item| item.and_then(deeper))
                .collect::<Result<_, _>>()?,
        ),
        Value::KvList(items) => {
            let mut object = serde_json::Map::new();
            for item in AnyValue::kvlist_items(items) {
                let (key, item) = item?;
                object.insert(String::from_utf8_lossy(key).into_owned(), deeper(item)?);
            }
            Json::Object(object)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::edit::Held;

    #[test]
    fn values_read_as_the_collector_writes_them() {
        for (held, text) in [
            (Held::text(b"a\xff"), &b"a\xff"[..]),
            (Held::bool(true), b"true"),
            (Held::int(-5), b"-5"),
            (Held::double(1.0), b"1"),
            (Held::double(0.1), b"0.1"),
            (Held::double(1e21), b"1e+21"),
            (Held::double(-2.5e-7), b"-2.5e-7"),
            (Held::double(123_456_789.5), b"123456789.5"),
            (Held::bytes(b"\x01"), b"AQ=="),
            (
                Held::list([Held::int(1), Held::text(b"b"), Held::bool(false)]),
                b"[1,\"b\",false]",
            ),
        ] {
            assert_eq!(as_text(held.any()).unwrap(), text);
        }
        assert_eq!(as_text(AnyValue::EMPTY).unwrap(), &b""[..]);
    }
}
