//! `filter`: drops what a condition holds for.
//!
//! A span that goes takes its events with it, a metric its points; a metric without points, a scope without
//! items and a resource without scopes go too, if it was this that emptied them. All conditions are asked in
//! one way through the request, and where none holds the very bytes go on.

use super::edits::{Halt, processed, request_of, visit};
use super::error::problem;
use super::meters::Meters;
use super::ottl::{Group, Pass};
use super::{ProcessError, rules};
use crate::config::FilterProcessor;
use crate::pipeline::{Batch, Process, Processed, Refusal, Signal, Stage};
use crate::wire::edit::{Keep, Kind, Level, Levels, Visit, Wants};

/// The processor.
#[derive(Debug)]
pub(super) struct Filter {
    id: String,
    /// By signal, in the order of [`Signal::ALL`].
    passes: [Pass; 3],
    meters: Meters,
}

impl Filter {
    pub(super) fn new(id: &str, config: &FilterProcessor) -> Result<Self, ProcessError> {
        let mut groups: [Vec<Group>; 3] = Default::default();
        let mut problems = Vec::new();
        for group in &config.groups {
            let mode = group.error_mode.unwrap_or(config.error_mode);
            let slot = rules::slot(group.signal);
            for condition in &group.conditions {
                let context = rules::context(group.signal, group.context.as_ref(), || {
                    Group::context_of_condition(request_of(slot), &condition.text)
                });
                let made = context.and_then(|context| {
                    let mut made = Group::new(context, mode);
                    made.condition(&condition.text)?;
                    Ok(made)
                });
                match (made, groups.get_mut(slot as usize)) {
                    (Ok(made), Some(list)) => list.push(made),
                    (Ok(_), None) => {}
                    (Err(error), _) => {
                        problems.push(problem(
                            Some(condition.at),
                            condition.path.clone(),
                            error.to_string(),
                        ));
                    }
                }
            }
        }
        if !problems.is_empty() {
            return Err(ProcessError { problems });
        }
        Ok(Self {
            id: id.to_owned(),
            passes: groups.map(one_pass),
            meters: Meters::new(id),
        })
    }
}

/// Conditions read and do not write: any order is right, so all fit in one pass.
fn one_pass(mut groups: Vec<Group>) -> Pass {
    groups.sort_by_key(|group| group.context.level());
    let mut pass = Pass::default();
    for group in groups {
        // Sorted, so that none is turned away.
        let _ = pass.take(group);
    }
    pass
}

impl Process for Filter {
    fn stage(&self) -> Stage {
        Stage::Edit
    }

    fn process(&self, batch: Batch) -> Result<Processed, Refusal> {
        let Some(pass) = self
            .passes
            .get(batch.signal as usize)
            .filter(|pass| !pass.groups.is_empty())
        else {
            self.meters.passed(batch.signal, batch.items, 0);
            return Ok(Processed::whole(batch));
        };
        let bytes = batch.bytes.clone();
        let mut sieve = Sieve { pass, failed: 0 };
        let edited =
            visit(&bytes, batch.signal, &mut sieve).map_err(|halt| halt.refusal(&self.id, batch.signal))?;
        self.meters.failed(batch.signal, sieve.failed);
        Ok(processed(batch, edited, &self.meters))
    }
}

struct Sieve<'p> {
    pass: &'p Pass,
    failed: u64,
}

impl<'a> Visit<'a> for Sieve<'_> {
    type Error = Halt;

    fn wants(&self, kind: Kind) -> Wants {
        self.pass.needs().of_kind(kind)
    }

    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, Halt> {
        for group in self.pass.at(level) {
            if group.any_holds(at, &mut self.failed)? {
                return Ok(Keep::Drop);
            }
        }
        Ok(Keep::Stay)
    }
}

const _: () =
    assert!(Signal::Traces as usize == 0 && Signal::Metrics as usize == 1 && Signal::Logs as usize == 2);
