//! Received metrics as Prometheus scrapes them.

use crate::config::ReceivedPage;
use crate::pipeline::{Accepted, Batch, Consume, Consumed};
use crate::time::Clock;
use std::sync::Arc;

/// The received metrics of one `prometheus` exporter.
#[derive(Debug)]
pub struct ReceivedMetrics {}

impl ReceivedMetrics {
    /// An empty page of the exporter `id`.
    pub fn build(_id: &str, _config: &ReceivedPage, _clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {})
    }
}

impl Consume for ReceivedMetrics {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        Box::pin(async move { Ok(Accepted::all(batch.items.unwrap_or(0))) })
    }
}
