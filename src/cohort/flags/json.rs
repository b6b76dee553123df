//! Lists that come as JSON in a string.

use super::list::{Items, KEY_MEMBERS, LIST_MAX, VALUE_MEMBERS};
use super::variant::{flag_key, from_json};
use super::{ListError, ON};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Reads an object, an array of strings or an array of objects; refuses anything else whole, also what is too
/// long, since half of a JSON text cannot be trusted.
pub(super) fn read(text: &str, items: &mut Items<'_>) -> Result<(), ListError> {
    if text.len() > LIST_MAX {
        return Err(ListError::Unreadable);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => {
            for (flag, value) in &map {
                items.pair(flag_key(flag.as_bytes()), from_json(unwrap_object(value)));
            }
            Ok(())
        }
        Ok(Value::Array(list)) => {
            for item in &list {
                match item {
                    Value::String(text) => items.string_item(text),
                    Value::Object(object) => read_object(object, items),
                    _ => items.invalid(),
                }
            }
            Ok(())
        }
        _ => Err(ListError::Unreadable),
    }
}

fn read_object(object: &Map<String, Value>, items: &mut Items<'_>) {
    let key = member(object, &KEY_MEMBERS).and_then(Value::as_str);
    let variant = match member(object, &VALUE_MEMBERS) {
        Some(value) => from_json(value),
        None => Some(Cow::Borrowed(ON)),
    };
    items.pair(key.and_then(|key| flag_key(key.as_bytes())), variant);
}

/// `{"variant": "b"}` as the value of a flag is `b`.
fn unwrap_object(value: &Value) -> &Value {
    value
        .as_object()
        .and_then(|object| member(object, &VALUE_MEMBERS))
        .unwrap_or(value)
}

fn member<'v>(object: &'v Map<String, Value>, names: &[&str]) -> Option<&'v Value> {
    names
        .iter()
        .find_map(|name| object.get(*name).filter(|value| !value.is_null()))
}
