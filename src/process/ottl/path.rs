//! Paths: which field of which message a name means.

use super::OttlError;
use super::ast::{self, Key};
use super::context::Context;
use super::enums::kind_text;
use super::value::Val;
use crate::process::edits::Halt;
use crate::wire::edit::{Field, Level, Levels, Message};
use crate::wire::{AnyValue, Value};
use std::borrow::Cow;

/// A field, typed, of a message that can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) context: Context,
    pub(super) what: What,
    /// As written.
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `attributes["key"]`, and what is inside of it.
    Attribute(Box<[u8]>, Vec<Key>),
    /// `attributes`
    Attributes,
    /// `body`, and what is inside of it.
    Body(Vec<Key>),
    /// `body.string`
    BodyText,
    Text(Field),
    /// An id: bytes.
    Id(Field),
    /// `trace_id.string`: an id in hexadecimal.
    Hex(Field),
    /// An enum or another int32.
    Int(Field),
    /// A time or another 64-bit number.
    Long(Field),
    Bool(Field),
    Double(Field),
    /// `kind.string`
    KindText,
    /// `type` of a metric.
    MetricType,
}

/// The message of a context.
pub(super) fn message<'s, 'a>(at: &'s Levels<'a>, context: Context) -> &'s Message<'a> {
    match context.level() {
        Level::Resource => &at.resource,
        Level::Scope => &at.scope,
        Level::Item => &at.item,
        Level::Part => &at.part,
    }
}

impl Path {
    /// Finds out what `path` means in `context`.
    pub(super) fn read(column: usize, path: &ast::Path, context: Context) -> Result<Self, OttlError> {
        let (of, names) = match path.names.as_slice() {
            [first, rest @ ..] if !rest.is_empty() => match Context::named(first) {
                Some(other) if context.sees(other) => (other, rest),
                Some(other) => {
                    let message = format!(
                        "`{path}`: {} cannot be seen in the context {}",
                        other.name(),
                        context.name()
                    );
                    return Err(OttlError::new(column, message));
                }
                None => (context, path.names.as_slice()),
            },
            names => (context, names),
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let what = what(of, &names, &path.keys).ok_or_else(|| {
            let message = format!("not supported: the path `{path}` in the context {}", of.name());
            OttlError::new(column, message)
        })?;
        Ok(Self {
            context: of,
            what,
            text: path.to_string(),
        })
    }

    /// Its value.
    pub(super) fn value<'s>(&self, at: &'s Levels<'_>) -> Result<Val<'s>, Halt> {
        let message = message(at, self.context);
        let number = |field| message.number(field).unwrap_or(0);
        Ok(match &self.what {
            What::Attribute(key, keys) => match message.attributes().get(key) {
                Some(value) => inside(value, keys)?,
                None => Val::Nil,
            },
            What::Attributes => Val::Nil,
            What::Body(keys) => inside(message.body(), keys)?,
            What::BodyText => match Val::of(message.body())?.text()? {
                Some(text) => Val::Text(Cow::Owned(text.into_owned())),
                None => Val::Text(Cow::Borrowed(&[])),
            },
            What::Text(field) => Val::Text(Cow::Borrowed(message.bytes(*field))),
            What::Id(field) => Val::Bytes(Cow::Borrowed(message.bytes(*field))),
            What::Hex(field) => Val::Text(Cow::Owned(hex::encode(message.bytes(*field)).into_bytes())),
            What::Int(field) => Val::Int(int32(number(*field))),
            What::Long(field) if message.kind().has(*field) => Val::Int(number(*field).cast_signed()),
            What::Double(field) if message.kind().has(*field) => Val::Float(f64::from_bits(number(*field))),
            What::Long(_) | What::Double(_) => Val::Nil,
            What::Bool(field) => Val::Bool(number(*field) != 0),
            What::KindText => Val::Text(Cow::Borrowed(
                kind_text(int32(number(Field::SpanKind))).as_bytes(),
            )),
            What::MetricType => Val::Int(match message.data_field() {
                5 => 1,
                7 => 2,
                9 => 3,
                10 => 4,
                11 => 5,
                _ => 0,
            }),
        })
    }

    /// Whether attributes are read.
    pub(super) const fn needs_attributes(&self) -> bool {
        matches!(self.what, What::Attribute(..) | What::Attributes)
    }
}

/// As protobuf reads an int32: the low half.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "protobuf says: truncate"
)]
fn int32(number: u64) -> i64 {
    i64::from(number as i32)
}

/// The fields of a context.
fn what(context: Context, names: &[&str], keys: &[Key]) -> Option<What> {
    if let (["attributes"], Context::Metric) = (names, context) {
        return None;
    }
    match (names, keys) {
        (["attributes"], []) => return Some(What::Attributes),
        (["attributes"], [Key::Text(key), rest @ ..]) => {
            return Some(What::Attribute(key.as_bytes().into(), rest.to_vec()));
        }
        (["body"], keys) if context == Context::Log => return Some(What::Body(keys.to_vec())),
        (_, [_, ..]) => return None,
        _ => {}
    }
    match context {
        Context::Resource => None,
        Context::Scope => text_field(names, &[("name", Field::Name), ("version", Field::Version)]),
        Context::Span => of_span(names),
        Context::SpanEvent => text_field(names, &[("name", Field::Name)]).or_else(|| times(names)),
        Context::Metric => of_metric(names),
        Context::DataPoint => of_point(names),
        Context::Log => of_log(names),
    }
}

fn text_field(names: &[&str], fields: &[(&str, Field)]) -> Option<What> {
    let [name] = names else { return None };
    let found = fields.iter().find(|(known, _)| known == name);
    found.map(|(_, field)| What::Text(*field))
}

fn times(names: &[&str]) -> Option<What> {
    Some(What::Long(match names {
        ["time_unix_nano" | "time"] => Field::Time,
        ["start_time_unix_nano" | "start_time"] => Field::StartTime,
        _ => return None,
    }))
    .filter(|_| !names.is_empty())
}

fn ids(names: &[&str]) -> Option<What> {
    Some(match names {
        ["trace_id"] => What::Id(Field::TraceId),
        ["span_id"] => What::Id(Field::SpanId),
        ["trace_id", "string"] => What::Hex(Field::TraceId),
        ["span_id", "string"] => What::Hex(Field::SpanId),
        ["flags"] => What::Long(Field::Flags),
        _ => return None,
    })
}

fn of_span(names: &[&str]) -> Option<What> {
    Some(match names {
        ["name"] => What::Text(Field::Name),
        ["trace_state"] => What::Text(Field::TraceState),
        ["parent_span_id"] => What::Id(Field::ParentSpanId),
        ["parent_span_id", "string"] => What::Hex(Field::ParentSpanId),
        ["kind"] => What::Int(Field::SpanKind),
        ["kind", "string"] => What::KindText,
        ["status", "code"] => What::Int(Field::StatusCode),
        ["status", "message"] => What::Text(Field::StatusMessage),
        ["start_time_unix_nano" | "start_time"] => What::Long(Field::StartTime),
        ["end_time_unix_nano" | "end_time"] => What::Long(Field::EndTime),
        _ => return ids(names),
    })
}

fn of_metric(names: &[&str]) -> Option<What> {
    Some(match names {
        ["name"] => What::Text(Field::Name),
        ["description"] => What::Text(Field::Description),
        ["unit"] => What::Text(Field::Unit),
        ["type"] => What::MetricType,
        ["aggregation_temporality"] => What::Int(Field::Temporality),
        ["is_monotonic"] => What::Bool(Field::IsMonotonic),
        _ => return None,
    })
}

fn of_point(names: &[&str]) -> Option<What> {
    Some(match names {
        ["value_double"] => What::Double(Field::DoubleValue),
        ["value_int"] => What::Long(Field::IntValue),
        ["count"] => What::Long(Field::Count),
        ["sum"] => What::Double(Field::Sum),
        ["flags"] => What::Long(Field::Flags),
        _ => return times(names),
    })
}

fn of_log(names: &[&str]) -> Option<What> {
    Some(match names {
        ["body", "string"] => What::BodyText,
        ["severity_number"] => What::Int(Field::SeverityNumber),
        ["severity_text"] => What::Text(Field::SeverityText),
        ["event_name"] => What::Text(Field::EventName),
        ["time_unix_nano" | "time"] => What::Long(Field::Time),
        ["observed_time_unix_nano" | "observed_time"] => What::Long(Field::ObservedTime),
        _ => return ids(names),
    })
}

/// What the keys lead to in a value; nil where they lead nowhere.
fn inside<'s>(value: AnyValue<'s>, keys: &[Key]) -> Result<Val<'s>, Halt> {
    let mut value = value;
    for key in keys {
        let found = match (value.value()?, key) {
            (Value::KvList(list), Key::Text(key)) => {
                let mut found = None;
                for pair in AnyValue::kvlist_items(list) {
                    let (name, inner) = pair?;
                    if name == key.as_bytes() {
                        found = Some(inner);
                    }
                }
                found
            }
            (Value::Array(list), Key::Index(index)) => AnyValue::array_items(list).nth(*index).transpose()?,
            _ => None,
        };
        let Some(inner) = found else {
            return Ok(Val::Nil);
        };
        value = inner;
    }
    Val::of(value)
}
