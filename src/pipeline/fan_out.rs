//! From one receiver (or connector) to every pipeline that names it.
//!
//! All guards are asked before anything is counted, so that a batch that is refused can be sent again. Edits
//! of each pipeline follow; then the batch is counted once by the tap, however many pipelines share it, and a
//! pipeline whose edits left the bytes alone takes over the count of another. Only then does anything leave.

use super::batch::{Batch, Signal};
use super::exits::Outcome;
use super::path::Pipeline;
use super::traits::{Accepted, Consume, Consumed, Refusal};
use futures_util::future::join_all;
use std::borrow::Cow;
use std::sync::Arc;

/// The pipelines of one signal that share a source.
#[derive(Debug, Default)]
pub struct FanOut {
    /// Those with a tap first: the order in which they count.
    pipelines: Vec<Arc<Pipeline>>,
}

/// A batch that is ready to leave through one pipeline.
struct Ready<'a> {
    pipeline: &'a Pipeline,
    /// As it came out of the edits, to be recognised.
    edited: Batch,
    /// Without what must not go on.
    clean: Batch,
    rejected: u64,
}

impl FanOut {
    /// All `pipelines` must carry the same signal.
    pub fn new(mut pipelines: Vec<Arc<Pipeline>>) -> Self {
        pipelines.sort_by_key(|pipeline| !pipeline.is_tapped());
        Self { pipelines }
    }

    /// Whether there is a pipeline at all.
    pub fn is_empty(&self) -> bool {
        self.pipelines.is_empty()
    }

    /// The pipelines.
    pub fn pipelines(&self) -> &[Arc<Pipeline>] {
        &self.pipelines
    }

    async fn take(&self, batch: Batch) -> Result<Accepted, Refusal> {
        for pipeline in &self.pipelines {
            pipeline.guard(batch.clone())?;
        }
        let (ready, mut accepted) = self.prepare(&batch)?;
        drop(batch);
        let tapped = ready.iter().any(|it| it.pipeline.is_tapped());
        let mut outcome = Outcome::default();
        for one in join_all(ready.into_iter().map(|it| it.pipeline.finish(it.clean))).await {
            outcome.merge(one);
        }
        settle(&mut accepted, tapped, outcome)?;
        Ok(accepted)
    }

    /// Edits, counts and cleans, for each pipeline; what comes back beside is the answer so far.
    fn prepare(&self, batch: &Batch) -> Result<(Vec<Ready<'_>>, Accepted), Refusal> {
        let mut ready: Vec<Ready<'_>> = Vec::with_capacity(self.pipelines.len());
        let mut total = None::<Accepted>;
        let mut tapped = false;
        for pipeline in &self.pipelines {
            let edited = pipeline.edit(batch.clone())?;
            let Some(left) = edited.batch else {
                total.get_or_insert_with(|| Accepted::all(edited.dropped));
                continue;
            };
            let counted = ready
                .iter()
                .find(|other| (!pipeline.is_tapped() || tapped) && other.edited.same_bytes(&left))
                .map(|other| (other.clean.clone(), other.rejected));
            let (clean, rejected) = if let Some(known) = counted {
                known
            } else {
                let counted = pipeline.count(&left, tapped)?;
                tapped |= pipeline.is_tapped();
                let mut clean = left.clone();
                if counted.rejected > 0 {
                    clean = pipeline.splice(clean)?;
                }
                clean.items = Some(counted.items.saturating_sub(counted.rejected));
                (clean, counted.rejected)
            };
            total.get_or_insert_with(|| Accepted {
                items: clean.items.unwrap_or(0) + edited.dropped,
                rejected,
                message: rejection(batch.signal, rejected, clean.items.unwrap_or(0) + rejected),
            });
            ready.push(Ready {
                pipeline,
                edited: left,
                clean,
                rejected,
            });
        }
        Ok((ready, total.unwrap_or_default()))
    }
}

/// Adds what became of the batch at its exits to the answer.
///
/// Where nothing was counted a refusal is the sender's to repeat. Where the tap has counted, sending again
/// would count twice: a batch that no exit took is then rejected through `partial_success`, which the
/// protocol says must not be sent again; one that some took is a warning there.
fn settle(accepted: &mut Accepted, tapped: bool, outcome: Outcome) -> Result<(), Refusal> {
    let (rejected, message) = match outcome.refused.into_iter().next() {
        Some((_, refusal)) if !tapped => return Err(refusal),
        Some((id, refusal)) => (
            if outcome.taken == 0 { accepted.items } else { 0 },
            format!("counted, but not forwarded to {id}: {refusal}").into(),
        ),
        None => match outcome.partial {
            Some(partial) => (partial.rejected.min(accepted.items), partial.message),
            None => return Ok(()),
        },
    };
    accepted.items -= rejected;
    accepted.rejected += rejected;
    if rejected > 0 || accepted.message.is_empty() {
        accepted.message = message;
    }
    Ok(())
}

/// Why items were rejected one by one.
fn rejection(signal: Signal, rejected: u64, items: u64) -> Cow<'static, str> {
    let what = match signal {
        Signal::Traces => "spans",
        Signal::Metrics => "data points",
        Signal::Logs => "log records",
    };
    match rejected {
        0 => Cow::Borrowed(""),
        n => format!("{n} of {items} {what} have a trace id that is not 16 bytes or a span id that is not 8")
            .into(),
    }
}

impl Consume for FanOut {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        Box::pin(self.take(batch))
    }
}
