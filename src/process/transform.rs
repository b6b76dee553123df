//! `transform`: statements that change fields.
//!
//! The Collector runs group after group, each over the whole request. Groups that go from the outside to the
//! inside (resource, scope, span, its events) give the same in one way through the request, because a
//! statement writes only what it is about; a group that goes outwards again begins another pass over the
//! edited bytes.

use super::edits::{Halt, processed, request_of, visit};
use super::error::problem;
use super::meters::Meters;
use super::ottl::{Group, OttlError, Pass};
use super::{ProcessError, rules};
use crate::config::{StatementGroup, TransformProcessor};
use crate::pipeline::{Batch, Process, Processed, Refusal, Stage};
use crate::wire::edit::{Edited, Keep, Kind, Level, Levels, Visit, Wants};

/// The processor.
#[derive(Debug)]
pub(super) struct Transform {
    id: String,
    /// By signal, in the order of `Signal::ALL`.
    passes: [Vec<Pass>; 3],
    meters: Meters,
}

impl Transform {
    pub(super) fn new(id: &str, config: &TransformProcessor) -> Result<Self, ProcessError> {
        let mut passes: [Vec<Pass>; 3] = Default::default();
        let mut problems = Vec::new();
        for group in &config.groups {
            let mut made = None::<Group>;
            let mode = group.error_mode.unwrap_or(config.error_mode);
            let each = group.statements.iter().map(|one| (one, false));
            // Statements first: they say the context where nothing else does.
            for (text, is_condition) in each.chain(group.conditions.iter().map(|one| (one, true))) {
                let added = match &mut made {
                    Some(made) => add(made, &text.text, is_condition),
                    None => context_of(group, &text.text).and_then(|context| {
                        add(made.insert(Group::new(context, mode)), &text.text, is_condition)
                    }),
                };
                if let Err(error) = added {
                    problems.push(problem(Some(text.at), text.path.clone(), error.to_string()));
                }
            }
            if let (Some(made), Some(list)) = (made, passes.get_mut(rules::slot(group.signal) as usize)) {
                append(list, made);
            }
        }
        if !problems.is_empty() {
            return Err(ProcessError { problems });
        }
        Ok(Self {
            id: id.to_owned(),
            passes,
            meters: Meters::new(id),
        })
    }
}

fn context_of(group: &StatementGroup, text: &str) -> Result<super::ottl::Context, OttlError> {
    rules::context(group.signal, group.context.as_ref(), || {
        Group::context_of_statement(request_of(rules::slot(group.signal)), text)
    })
}

fn add(group: &mut Group, text: &str, is_condition: bool) -> Result<(), OttlError> {
    if is_condition {
        group.condition(text)
    } else {
        group.statement(text)
    }
}

/// Into the last pass, or a new one.
fn append(passes: &mut Vec<Pass>, group: Group) {
    let left = match passes.last_mut() {
        Some(last) => last.take(group),
        None => Err(group),
    };
    if let Err(group) = left {
        let mut pass = Pass::default();
        // An empty pass takes every group.
        let _ = pass.take(group);
        passes.push(pass);
    }
}

impl Process for Transform {
    fn stage(&self) -> Stage {
        Stage::Edit
    }

    fn process(&self, batch: Batch) -> Result<Processed, Refusal> {
        let mut edited = Edited {
            bytes: batch.bytes.clone(),
            dropped: 0,
            is_empty: false,
        };
        let passes = self
            .passes
            .get(batch.signal as usize)
            .map_or(&[][..], Vec::as_slice);
        for pass in passes {
            let bytes = edited.bytes.clone();
            let mut editor = Editor { pass, failed: 0 };
            edited = visit(&bytes, batch.signal, &mut editor)
                .map_err(|halt| halt.refusal(&self.id, batch.signal))?;
            self.meters.failed(batch.signal, editor.failed);
        }
        Ok(processed(batch, edited, &self.meters))
    }
}

struct Editor<'p> {
    pass: &'p Pass,
    failed: u64,
}

impl<'a> Visit<'a> for Editor<'_> {
    type Error = Halt;

    fn wants(&self, kind: Kind) -> Wants {
        self.pass.needs().of_kind(kind)
    }

    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, Halt> {
        for group in self.pass.at(level) {
            group.run(at, &mut self.failed)?;
        }
        Ok(Keep::Stay)
    }
}
