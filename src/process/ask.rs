//! Conditions for others than processors: `count` asks which items match.

use super::edits::{Halt, visit};
use super::ottl::{Context, Group};
use crate::config::ErrorMode;
use crate::pipeline::{Refusal, Signal};
use crate::wire::edit::{Keep, Kind, Level, Levels, Visit, Wants};
use bytes::Bytes;

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Spans.
    Span,
    /// Events of spans.
    SpanEvent,
    /// Metrics.
    Metric,
    /// Data points.
    DataPoint,
    /// Log records.
    Log,
}

impl About {
    const fn context(self) -> Context {
        match self {
            Self::Span => Context::Span,
            Self::SpanEvent => Context::SpanEvent,
            Self::Metric => Context::Metric,
            Self::DataPoint => Context::DataPoint,
            Self::Log => Context::Log,
        }
    }
}

/// Questions that one way through a request answers.
#[derive(Debug)]
pub struct Questions {
    signal: Signal,
    /// The conditions of each; with none of them, everything matches.
    groups: Vec<(Group, bool)>,
}

/// What the way through a request finds.
#[derive(Debug)]
pub enum Found<'l, 'a> {
    /// A resource begins.
    Resource,
    /// What is here matches the question of this number.
    Match(usize, &'l Levels<'a>),
}

impl Questions {
    /// No questions about a signal yet.
    pub fn new(signal: Signal) -> Self {
        Self {
            signal,
            groups: Vec::new(),
        }
    }

    /// Asks what matches any of `conditions`. They were read; what is not understood says where and why.
    pub fn ask(&mut self, about: About, conditions: &[String]) -> Result<(), String> {
        let mut group = Group::new(about.context(), ErrorMode::Propagate);
        for condition in conditions {
            let read = group.condition(condition);
            read.map_err(|error| format!("`{condition}`: {error}"))?;
        }
        self.groups.push((group, conditions.is_empty()));
        Ok(())
    }

    /// Whether nobody asks anything.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Tells `found` of each resource, and then of what matches in it.
    pub fn answer(&self, id: &str, bytes: &Bytes, found: impl FnMut(Found<'_, '_>)) -> Result<(), Refusal> {
        let mut way = Way { asked: self, found };
        visit(bytes, self.signal, &mut way)
            .map(drop)
            .map_err(|halt| halt.refusal(id, self.signal))
    }
}

struct Way<'q, F> {
    asked: &'q Questions,
    found: F,
}

impl<'a, F: FnMut(Found<'_, '_>)> Visit<'a> for Way<'_, F> {
    type Error = Halt;

    fn wants(&self, kind: Kind) -> Wants {
        let asked = |kind: &Kind| {
            self.asked
                .groups
                .iter()
                .any(|(group, _)| group.context.kinds().contains(kind))
        };
        match kind {
            Kind::Resource | Kind::Scope | Kind::Span | Kind::Metric | Kind::Record => Wants::Attributes,
            kind if asked(&kind) => Wants::Attributes,
            _ => Wants::Nothing,
        }
    }

    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, Halt> {
        if level == Level::Resource {
            (self.found)(Found::Resource);
        }
        for (number, (group, always)) in self.asked.groups.iter().enumerate() {
            if group.context.level() == level && (*always || group.any_holds(at, &mut 0)?) {
                (self.found)(Found::Match(number, at));
            }
        }
        Ok(Keep::Stay)
    }
}
