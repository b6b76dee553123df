//! `forward`: from pipeline to pipeline, as it is. It merges pipelines, or splits one by processors.

use crate::pipeline::{Batch, Consume, Consumed};
use std::sync::Arc;

/// Hands over the very bytes.
pub(super) struct Forward {
    downstream: Arc<dyn Consume>,
}

impl Forward {
    pub(super) fn new(downstream: Arc<dyn Consume>) -> Self {
        Self { downstream }
    }
}

impl Consume for Forward {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        self.downstream.consume(batch)
    }
}
