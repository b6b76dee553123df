//! `resource`: edits the attributes of every resource, and of nothing else.
//!
//! Scopes and what is in them are hopped over by their length, so that a request of a thousand spans costs
//! its copy, and nothing where the attributes already are as they should be. A request may come without a
//! resource; it then gets one.

use super::ProcessError;
use super::actions::{Actions, Client};
use super::edits::{Halt, processed, visit};
use super::meters::Meters;
use crate::config::ResourceProcessor;
use crate::pipeline::{Batch, Process, Processed, Refusal, Stage};
use crate::wire::edit::{Keep, Kind, Level, Levels, Visit, Wants};

/// The processor.
#[derive(Debug)]
pub(super) struct ResourceEdits {
    id: String,
    actions: Actions,
    meters: Meters,
}

impl ResourceEdits {
    pub(super) fn new(id: &str, config: &ResourceProcessor) -> Result<Self, ProcessError> {
        Ok(Self {
            id: id.to_owned(),
            actions: Actions::new(id, &config.actions)?,
            meters: Meters::new(id),
        })
    }
}

impl Process for ResourceEdits {
    fn stage(&self) -> Stage {
        Stage::Edit
    }

    fn process(&self, batch: Batch) -> Result<Processed, Refusal> {
        let (bytes, client) = (batch.bytes.clone(), self.actions.client(&batch));
        let mut editor = Editor {
            actions: &self.actions,
            client: &client,
        };
        let edited =
            visit(&bytes, batch.signal, &mut editor).map_err(|halt| halt.refusal(&self.id, batch.signal))?;
        Ok(processed(batch, edited, &self.meters))
    }
}

struct Editor<'a> {
    actions: &'a Actions,
    client: &'a Client,
}

impl<'a> Visit<'a> for Editor<'a> {
    type Error = Halt;

    fn wants(&self, kind: Kind) -> Wants {
        match kind {
            Kind::Resource => Wants::Attributes,
            _ => Wants::Nothing,
        }
    }

    fn visit(&mut self, _: Level, at: &mut Levels<'a>) -> Result<Keep, Halt> {
        self.actions.apply(at.resource.attributes_mut(), self.client)?;
        Ok(Keep::Stay)
    }
}
