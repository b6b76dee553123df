//! Conditions and fields for whoever looks at the same items beside the objectives.

use super::SpanContext;
use super::expr::{Expr, Field, KINDS, STATUSES};
use super::predicate::{Predicate, Source};
use crate::wire::{KeyTableBuilder, Value};

/// An expression, compiled.
#[derive(Debug)]
pub struct Condition(Predicate);

impl Condition {
    /// Compiles an expression; the attribute keys that it reads go to `keys`. The error is a regular
    /// expression that does not compile within its limits, and why.
    pub fn compile(expr: &Expr, keys: &mut KeyTableBuilder) -> Result<Self, (String, String)> {
        Predicate::compile(expr, keys).map(Self)
    }

    /// Whether it holds of a span, or of a data point seen as a span that has nothing but attributes.
    #[inline]
    pub fn holds(&self, context: &SpanContext<'_, '_>) -> bool {
        self.0.holds(context)
    }
}

/// A value by which items are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label<'a> {
    /// There is none.
    Missing,
    /// A text, as it was sent.
    Text(&'a [u8]),
    /// A whole number.
    Int(i64),
    /// A boolean.
    Bool(bool),
}

/// A field whose values tell items apart, compiled.
#[derive(Debug)]
pub struct Reading(Read);

#[derive(Debug)]
enum Read {
    Kind,
    Status,
    Value(Source),
    /// A duration is measured and tells nothing apart.
    Nothing,
}

impl Reading {
    /// Compiles a field; the attribute key that it reads goes to `keys`.
    pub fn compile(field: &Field, keys: &mut KeyTableBuilder) -> Self {
        Self(match field {
            Field::Kind => Read::Kind,
            Field::Status => Read::Status,
            _ => Source::compile(field, keys).map_or(Read::Nothing, Read::Value),
        })
    }

    /// The value of an item.
    #[inline]
    pub fn label<'a>(&self, context: &SpanContext<'_, 'a>) -> Label<'a> {
        let named = |names: &[&'static str], code: i32| {
            let name = usize::try_from(code).ok().and_then(|code| names.get(code));
            name.map_or(Label::Missing, |name| Label::Text(name.as_bytes()))
        };
        match &self.0 {
            Read::Kind => named(&KINDS, context.span.kind),
            Read::Status => named(&STATUSES, context.span.status_code),
            Read::Nothing => Label::Missing,
            Read::Value(source) => match source.value(context) {
                Some(Value::Str(text)) => Label::Text(text),
                Some(Value::Int(whole)) => Label::Int(whole),
                Some(Value::Bool(boolean)) => Label::Bool(boolean),
                _ => Label::Missing,
            },
        }
    }
}
