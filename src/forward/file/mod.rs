//! `file`: OTLP JSON lines, or protobuf behind its length.
//!
//! Problem: a disk stalls for seconds, and nothing that answers clients may wait for it. Property wanted: a
//! bounded queue in front of one thread that encodes, writes and rotates; a full queue refuses with retry
//! advice; an item counts as sent once the system has its bytes, and as failed when it does not take them;
//! the file never holds half a line. Rejected: asynchronous file functions, which are a thread pool in
//! disguise and a write a call.

mod rotate;
mod write;

use super::counted::Counted;
use crate::config;
use crate::pipeline::{Accepted, Batch, Charge, Component, Consume, Consumed, Memory, Refusal, Signal};
use crate::time::Clock;
use bytes::Bytes;
use std::future::Future;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use write::Writer;

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

/// What waits to be written.
#[derive(Debug)]
struct Job {
    signal: Signal,
    bytes: Bytes,
    items: u64,
    /// Given back when it is written.
    _charge: Charge,
}

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Write(Job),
    /// Everything before this, and then no more.
    Stop,
}

/// Writes batches to a file, off the threads that serve requests.
#[derive(Debug)]
pub struct FileForwarder {
    queue: SyncSender<Order>,
    /// The thread's half, until it runs.
    worker: Mutex<Option<(Receiver<Order>, Writer)>>,
    counted: Arc<Counted>,
    memory: Memory,
}

impl FileForwarder {
    /// Checks that the file of exporter `id` can be written to. Nothing is, before [`Self::run`] runs.
    pub fn build(
        id: &str,
        config: &config::FileExporter,
        clock: Arc<dyn Clock>,
        memory: &Memory,
    ) -> Result<Arc<Self>, FileError> {
        let counted = Arc::new(Counted::new(id));
        let writer = Writer::new(id, config, clock, Arc::clone(&counted));
        writer.check().map_err(|source| FileError::Open {
            id: id.to_owned(),
            path: config.path.clone(),
            source,
        })?;
        let (queue, orders) = sync_channel(config.queue_size);
        Ok(Arc::new(Self {
            queue,
            worker: Mutex::new(Some((orders, writer))),
            counted,
            memory: memory.clone(),
        }))
    }

    /// Says at `component` whether it can write.
    pub fn says_at(&self, component: Component) {
        self.counted.says_at(component);
    }

    /// Writes until `shutdown`, and then what still waits. A second call does nothing.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let Some((orders, writer)) = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let thread = tokio::task::spawn_blocking(move || writer.work(&orders));
        shutdown.await;
        let queue = self.queue.clone();
        // Waits for room where the queue is full; the thread makes it.
        let stopping = tokio::task::spawn_blocking(move || queue.send(Order::Stop));
        // Their only failures are panics, of which the runtime tells.
        let _ = tokio::join!(stopping, thread);
    }

    fn take(&self, batch: Batch) -> Result<Accepted, Refusal> {
        let (signal, items) = (batch.signal, batch.items.unwrap_or(0));
        let order = Order::Write(Job {
            signal,
            items,
            _charge: self.memory.charge(batch.bytes.len() as u64),
            bytes: batch.bytes,
        });
        let message = match self.queue.try_send(order) {
            Ok(()) => return Ok(Accepted::all(items)),
            Err(TrySendError::Full(_)) => "the queue of the file exporter is full",
            Err(TrySendError::Disconnected(_)) => "the file exporter has stopped",
        };
        self.counted.refused(signal, items);
        Err(Refusal::Overloaded {
            message: message.into(),
            retry_after_secs: 1,
        })
    }
}

impl Consume for FileForwarder {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let taken = self.take(batch);
        Box::pin(async move { taken })
    }
}

#[cfg(test)]
mod tests;
