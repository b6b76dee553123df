//! `attributes`: edits the attributes of spans, log records and data points that match.

use super::ProcessError;
use super::actions::{Actions, Client};
use super::edits::{Halt, processed, visit};
use super::matching::Matcher;
use super::meters::Meters;
use crate::config::{AttributesProcessor, Matching};
use crate::pipeline::{Batch, Process, Processed, Refusal, Signal, Stage};
use crate::wire::edit::{Keep, Kind, Level, Levels, Visit, Wants};

/// The processor.
#[derive(Debug)]
pub(super) struct AttributeEdits {
    id: String,
    actions: Actions,
    include: Option<Matcher>,
    exclude: Option<Matcher>,
    meters: Meters,
}

impl AttributeEdits {
    pub(super) fn new(id: &str, config: &AttributesProcessor) -> Result<Self, ProcessError> {
        let matcher = |matching: &Option<Box<Matching>>| {
            let matching = matching.as_deref();
            matching.map(|matching| Matcher::new(id, matching)).transpose()
        };
        Ok(Self {
            id: id.to_owned(),
            actions: Actions::new(id, &config.actions)?,
            include: matcher(&config.include)?,
            exclude: matcher(&config.exclude)?,
            meters: Meters::new(id),
        })
    }
}

impl Process for AttributeEdits {
    fn stage(&self) -> Stage {
        Stage::Edit
    }

    fn process(&self, batch: Batch) -> Result<Processed, Refusal> {
        let (bytes, client) = (batch.bytes.clone(), self.actions.client(&batch));
        let mut editor = Editor {
            rules: self,
            client: &client,
            signal: batch.signal,
            may_be_excluded: false,
        };
        let edited =
            visit(&bytes, batch.signal, &mut editor).map_err(|halt| halt.refusal(&self.id, batch.signal))?;
        Ok(processed(batch, edited, &self.meters))
    }
}

struct Editor<'a> {
    rules: &'a AttributeEdits,
    client: &'a Client,
    signal: Signal,
    /// Whether resource and scope are those of the exclusion, so that an item may be.
    may_be_excluded: bool,
}

impl<'a> Visit<'a> for Editor<'a> {
    type Error = Halt;

    fn wants(&self, kind: Kind) -> Wants {
        match kind {
            Kind::Resource if self.rules.include.is_some() || self.rules.exclude.is_some() => {
                Wants::Attributes
            }
            Kind::Scope => Wants::Fields,
            Kind::Span | Kind::Record => Wants::Attributes,
            Kind::Metric => Wants::Fields,
            Kind::NumberPoint | Kind::HistogramPoint | Kind::ExponentialPoint | Kind::SummaryPoint => {
                Wants::Attributes
            }
            _ => Wants::Nothing,
        }
    }

    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, Halt> {
        match (level, self.signal) {
            (Level::Scope, _) => self.scope(at),
            (Level::Part, Signal::Metrics) | (Level::Item, Signal::Traces | Signal::Logs) => {
                if self.is_meant(at)? {
                    let message = if level == Level::Part {
                        &mut at.part
                    } else {
                        &mut at.item
                    };
                    self.rules.actions.apply(message.attributes_mut(), self.client)?;
                }
                Ok(Keep::Stay)
            }
            _ => Ok(Keep::Stay),
        }
    }
}

impl<'a> Editor<'a> {
    /// What resource and scope say is settled once for all of their items.
    fn scope(&mut self, at: &Levels<'a>) -> Result<Keep, Halt> {
        if let Some(include) = &self.rules.include
            && !include.holds_around(at)?
        {
            return Ok(Keep::Pass);
        }
        self.may_be_excluded = match &self.rules.exclude {
            None => false,
            Some(exclude) => exclude.holds_around(at)?,
        };
        Ok(Keep::Stay)
    }

    fn is_meant(&self, at: &Levels<'a>) -> Result<bool, Halt> {
        if let Some(include) = &self.rules.include
            && !include.holds_for(at, self.signal)?
        {
            return Ok(false);
        }
        match &self.rules.exclude {
            Some(exclude) if self.may_be_excluded => Ok(!exclude.holds_for(at, self.signal)?),
            _ => Ok(true),
        }
    }
}
