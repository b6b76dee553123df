//! One pipeline: the stages that a batch goes through, in the order that makes counts right.

use super::batch::{Batch, Batching, Signal};
use super::exits::{Exits, Outcome};
use super::traits::{Count, Counted, Process, Refusal, Stage};
use std::sync::Arc;

/// A pipeline of the configuration, built.
pub struct Pipeline {
    id: Arc<str>,
    signal: Signal,
    guards: Vec<Arc<dyn Process>>,
    edits: Vec<Arc<dyn Process>>,
    samplers: Vec<Arc<dyn Process>>,
    tap: Option<Arc<dyn Count>>,
    counter: Arc<dyn Count>,
    batching: Option<Arc<Batching>>,
    exits: Exits,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("id", &self.id)
            .field("exits", &self.exits)
            .finish_non_exhaustive()
    }
}

/// A batch after the edits of one pipeline.
#[derive(Debug)]
pub(super) struct Edited {
    /// What is left.
    pub(super) batch: Option<Batch>,
    /// Items that edits took out.
    pub(super) dropped: u64,
}

impl Pipeline {
    /// A pipeline that ends in `exits`; `counter` counts where there is no tap.
    pub fn new(id: impl Into<Arc<str>>, signal: Signal, counter: Arc<dyn Count>, exits: Exits) -> Self {
        Self {
            id: id.into(),
            signal,
            guards: Vec::new(),
            edits: Vec::new(),
            samplers: Vec::new(),
            tap: None,
            counter,
            batching: None,
            exits,
        }
    }

    /// Adds a processor; within its stage it comes after those added before.
    pub fn add(&mut self, processor: Arc<dyn Process>) {
        match processor.stage() {
            Stage::Guard => self.guards.push(processor),
            Stage::Edit => self.edits.push(processor),
            Stage::Sample => self.samplers.push(processor),
        }
    }

    /// What counts, after the edits and before the samplers: `error_budget` is among the exporters.
    pub fn set_tap(&mut self, tap: Arc<dyn Count>) {
        self.tap = Some(tap);
    }

    /// How batches are to leave.
    pub fn set_batching(&mut self, batching: Arc<Batching>) {
        self.batching = Some(batching);
    }

    /// Its name, such as `traces` or `metrics/budget`.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// What it carries.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Where it ends.
    pub fn exits(&self) -> &Exits {
        &self.exits
    }

    /// Whether `error_budget` reads it.
    pub fn is_tapped(&self) -> bool {
        self.tap.is_some()
    }

    /// Asks the guards; they come first, whatever else the pipelines of a request do.
    pub(super) fn guard(&self, mut batch: Batch) -> Result<(), Refusal> {
        for guard in &self.guards {
            match guard.process(batch)?.batch {
                Some(same) => batch = same,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    pub(super) fn edit(&self, batch: Batch) -> Result<Edited, Refusal> {
        through(&self.edits, batch)
    }

    /// Counts what the edits left, by the tap (where `tapped` says that nobody did for this request) or
    /// plainly.
    pub(super) fn count(&self, batch: &Batch, tapped: bool) -> Result<Counted, Refusal> {
        match &self.tap {
            Some(tap) if !tapped => tap.count(batch),
            _ => self.counter.count(batch),
        }
    }

    /// The bytes without the items that must not go on.
    pub(super) fn splice(&self, batch: Batch) -> Result<Batch, Refusal> {
        let bytes = self.counter.splice(&batch)?;
        Ok(batch.with_bytes(bytes))
    }

    /// Samples, and hands over what is left.
    pub(super) async fn finish(&self, batch: Batch) -> Outcome {
        match self.sampled(batch) {
            Ok(Some(left)) => self.exits.hand_over(left).await,
            Ok(None) => Outcome::default(),
            Err(refusal) => Outcome::refused(&self.id, refusal),
        }
    }

    /// What is to leave, ready for a queue; `None` when nothing is.
    fn sampled(&self, batch: Batch) -> Result<Option<Batch>, Refusal> {
        if batch.items == Some(0) {
            return Ok(None);
        }
        let Some(mut left) = through(&self.samplers, batch)?.batch else {
            return Ok(None);
        };
        if left.items.is_none() {
            left.items = Some(self.counter.count(&left)?.items);
        }
        left.batching.clone_from(&self.batching);
        Ok(Some(left))
    }
}

fn through(stages: &[Arc<dyn Process>], batch: Batch) -> Result<Edited, Refusal> {
    let mut edited = Edited {
        batch: Some(batch),
        dropped: 0,
    };
    for stage in stages {
        let Some(batch) = edited.batch.take() else { break };
        let processed = stage.process(batch)?;
        edited.dropped += processed.dropped;
        edited.batch = processed.batch;
    }
    Ok(edited)
}
