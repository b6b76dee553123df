//! The deployment of an event: the first of the configured attributes that is present, each looked for on the
//! item, then the scope, then the resource. The order of the attributes comes before the order of the places,
//! so that a resource's `deployment.sha` beats a span's `service.version`.

use super::text::label_text;
use crate::wire::{AnyValue, Attributes, KeyTableBuilder, Slot, Value};

/// The slots of the configured attributes, best first.
#[derive(Clone, Debug)]
pub(super) struct DeploymentSlots(Vec<Slot>);

/// What scope and resource say, worked out once for all their spans.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inherited<'a> {
    /// Place in the order of attributes, and the value.
    best: Option<(usize, AnyValue<'a>)>,
}

/// A deployment, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// None of the attributes is present.
    Missing,
    /// The first one present is no name: not UTF-8, control characters, not text nor a number.
    Invalid,
    /// The sha, or what stands for it.
    Sha(Box<str>),
}

impl Deployment {
    /// The sha, if there is one.
    pub fn sha(&self) -> Option<&str> {
        if let Self::Sha(sha) = self {
            Some(sha)
        } else {
            None
        }
    }

    /// Reads the value that [`super::Extractor::own_deployment`] or [`Inherited::value`] found.
    pub fn read(value: Option<AnyValue<'_>>) -> Self {
        let Some(value) = value else { return Self::Missing };
        let value = match value.value() {
            Ok(Value::Array(items)) => AnyValue::array_items(items)
                .next()
                .and_then(Result::ok)
                .map(AnyValue::value),
            other => Some(other),
        };
        match value {
            Some(Ok(Value::Str(text))) => label_text(text).map_or(Self::Invalid, |sha| Self::Sha(sha.into())),
            Some(Ok(Value::Int(number))) => Self::Sha(number.to_string().into()),
            _ => Self::Invalid,
        }
    }
}

impl DeploymentSlots {
    pub(super) fn compile(names: &[String], keys: &mut KeyTableBuilder) -> Self {
        Self(names.iter().map(|name| keys.key(name)).collect())
    }

    pub(super) fn inherit<'a>(&self, scope: &Attributes<'a>, resource: &Attributes<'a>) -> Inherited<'a> {
        let best = self.0.iter().enumerate().find_map(|(place, slot)| {
            present(scope, *slot)
                .or_else(|| present(resource, *slot))
                .map(|value| (place, value))
        });
        Inherited { best }
    }

    /// What the item itself says, where that beats what it inherits.
    #[inline]
    pub(super) fn own<'a>(&self, item: &Attributes<'a>, inherited: &Inherited<'a>) -> Option<AnyValue<'a>> {
        let upto = inherited.best.map_or(self.0.len(), |(place, _)| place + 1);
        self.0.iter().take(upto).find_map(|slot| present(item, *slot))
    }
}

impl<'a> Inherited<'a> {
    /// The raw deployment of items that say nothing better.
    pub fn value(&self) -> Option<AnyValue<'a>> {
        self.best.map(|(_, value)| value)
    }
}

/// The value at `slot`, unless it is empty: no value, an empty string, an array without a first element.
#[inline]
fn present<'a>(attributes: &Attributes<'a>, slot: Slot) -> Option<AnyValue<'a>> {
    let value = attributes.get(slot)?;
    let empty = match value.value() {
        Ok(Value::Empty | Value::Str(b"")) => true,
        Ok(Value::Array(items)) => match AnyValue::array_items(items).next() {
            Some(first) => matches!(
                first.and_then(AnyValue::value),
                Ok(Value::Empty | Value::Str(b""))
            ),
            None => true,
        },
        _ => false,
    };
    (!empty).then_some(value)
}
