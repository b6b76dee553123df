//! What one request brings, and how its items are matched.

use super::plan::{Plan, ScopePlan, SelectorIndex};
use super::sample::{Events, Group, Sample};
use crate::cohort::label_text;
use crate::sli::{Condition, Label, Reading, SpanContext};
use crate::wire::KeyTableBuilder;
use std::sync::Arc;

/// Attributes by which items are grouped, at most.
pub(super) const LABELS: usize = super::BY_MAX;

/// The values of `by` of one item.
pub(super) type Labels<'a> = [Label<'a>; LABELS];

/// What one request brings; handed to [`super::Indicators::absorb`] under one lock.
#[derive(Debug)]
pub struct Collected {
    pub(super) plan: Arc<Plan>,
    pub(super) parts: Vec<Part>,
    /// Items whose group lay beyond what one request may have.
    pub(super) excess: u64,
}

/// What one service in one environment brings.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) service: Box<str>,
    pub(super) environment: Option<Box<str>>,
    pub(super) plan: Arc<ScopePlan>,
    pub(super) samples: Vec<Sample>,
    pub(super) events: Vec<Events>,
}

impl Collected {
    /// How much it brings.
    pub(super) fn len(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.samples.len() + part.events.len())
            .sum()
    }

    /// Whether it brings nothing.
    pub fn is_empty(&self) -> bool {
        self.excess == 0 && self.len() == 0
    }
}

/// The part of a service, and its number; None when nothing of it is wanted.
pub(super) fn part_of(
    plan: &Plan,
    parts: &mut Vec<Part>,
    service: &str,
    environment: Option<&str>,
    wanted: impl Fn(&ScopePlan) -> bool,
) -> Option<usize> {
    let same = |part: &Part| *part.service == *service && part.environment.as_deref() == environment;
    if let Some(at) = parts.iter().position(same) {
        return Some(at);
    }
    let scope = plan.scope(service, environment);
    if !wanted(&scope) {
        return None;
    }
    parts.push(Part {
        service: service.into(),
        environment: environment.map(Into::into),
        plan: scope,
        samples: Vec::new(),
        events: Vec::new(),
    });
    Some(parts.len() - 1)
}

/// A selector, compiled for one table of attribute keys.
#[derive(Debug)]
pub(super) struct Matcher {
    conditions: Vec<Condition>,
    by: Vec<Reading>,
    key: Option<Reading>,
}

impl Matcher {
    /// Compiles a selector. A regular expression that does not compile (policies are checked for that) holds
    /// of nothing.
    pub(super) fn compile(plan: &Plan, selector: SelectorIndex, keys: &mut KeyTableBuilder) -> Option<Self> {
        let selector = plan.selectors.get(usize::from(selector))?;
        let conditions = selector
            .conditions
            .iter()
            .map(|expr| Condition::compile(expr, keys).ok());
        Some(Self {
            conditions: conditions.collect::<Option<_>>()?,
            by: selector
                .by
                .iter()
                .map(|field| Reading::compile(field, keys))
                .collect(),
            key: selector.key.as_ref().map(|field| Reading::compile(field, keys)),
        })
    }

    #[inline]
    pub(super) fn holds(&self, item: &SpanContext<'_, '_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(item))
    }

    #[inline]
    pub(super) fn labels<'a>(&self, item: &SpanContext<'_, 'a>) -> Labels<'a> {
        let mut labels = [Label::Missing; LABELS];
        for (label, reading) in labels.iter_mut().zip(&self.by) {
            *label = reading.label(item);
        }
        labels
    }

    /// The value of the key attribute. A number or a boolean is no name and has none.
    #[inline]
    pub(super) fn key<'a>(&self, item: &SpanContext<'_, 'a>) -> Option<&'a [u8]> {
        match self.key.as_ref()?.label(item) {
            Label::Text(text) if !text.is_empty() && text.len() <= KEY_BYTES_MAX => Some(text),
            _ => None,
        }
    }

    /// The group that labels stand for.
    pub(super) fn group(&self, labels: &Labels<'_>) -> Group {
        let text = |label: &Label<'_>| match label {
            Label::Missing => None,
            Label::Text(text) => label_text(text).map(|it| it.into_owned().into_boxed_str()),
            Label::Int(whole) => Some(whole.to_string().into()),
            Label::Bool(boolean) => Some(boolean.to_string().into()),
        };
        labels.iter().take(self.by.len()).map(text).collect()
    }
}

/// Longest value of a key attribute that counts for itself.
const KEY_BYTES_MAX: usize = 128;
