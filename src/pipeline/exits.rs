//! The end of a pipeline: every exporter and connector gets the batch, whatever becomes of it at the others.

use super::batch::Batch;
use super::traits::{Accepted, Consume, Refusal};
use futures_util::future::join_all;
use std::sync::Arc;

/// One exporter or connector at the end of a pipeline.
struct Exit {
    id: Arc<str>,
    sink: Arc<dyn Consume>,
}

/// Everything that a pipeline hands its batches to.
#[derive(Default)]
pub struct Exits(Vec<Exit>);

impl std::fmt::Debug for Exits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|exit| &exit.id))
            .finish()
    }
}

/// What became of a batch at its exits.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Exits that took it.
    pub(super) taken: usize,
    /// Who did not, and why.
    pub(super) refused: Vec<(Arc<str>, Refusal)>,
    /// Items that an exit rejected, and its words; the worst of them.
    pub(super) partial: Option<Accepted>,
}

impl Exits {
    /// Adds an exit by its name in the configuration.
    pub fn add(&mut self, id: impl Into<Arc<str>>, sink: Arc<dyn Consume>) {
        self.0.push(Exit { id: id.into(), sink });
    }

    /// The names, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|exit| exit.id.as_ref())
    }

    /// Hands `batch` to all of them at once, so that one that waits for room does not hold up the others.
    pub(super) async fn hand_over(&self, batch: Batch) -> Outcome {
        let mut outcome = Outcome::default();
        if let [only] = self.0.as_slice() {
            outcome.note(&only.id, only.sink.consume(batch).await);
            return outcome;
        }
        let all = self.0.iter().map(|exit| exit.sink.consume(batch.clone()));
        for (exit, result) in self.0.iter().zip(join_all(all).await) {
            outcome.note(&exit.id, result);
        }
        outcome
    }
}

impl Outcome {
    /// Nobody took it.
    pub(super) fn refused(id: &Arc<str>, refusal: Refusal) -> Self {
        Self {
            refused: vec![(Arc::clone(id), refusal)],
            ..Self::default()
        }
    }

    /// Adds what became of the same request elsewhere.
    pub(super) fn merge(&mut self, other: Self) {
        self.taken += other.taken;
        self.refused.extend(other.refused);
        if let Some(partial) = other.partial {
            self.worst_of(partial);
        }
    }

    fn worst_of(&mut self, accepted: Accepted) {
        let worst = self.partial.as_ref().map_or(0, |before| before.rejected);
        if accepted.rejected > worst || (self.partial.is_none() && !accepted.message.is_empty()) {
            self.partial = Some(accepted);
        }
    }

    fn note(&mut self, id: &Arc<str>, result: Result<Accepted, Refusal>) {
        match result {
            Ok(accepted) => {
                self.taken += 1;
                self.worst_of(accepted);
            }
            Err(refusal) => self.refused.push((Arc::clone(id), refusal)),
        }
    }
}
