//! `debug` (alias `logging`): says what passes, on stderr, in the Collector's words.
//!
//! Property wanted: looking on never slows what is looked at. So a batch is handed (by reference count) to a
//! thread that writes; when that thread is behind, batches are left out of the log and counted, and the
//! pipeline never waits.

mod count;
mod text;
mod value;

use super::counted::Counted;
use crate::config::{self, Verbosity};
use crate::pipeline::{Accepted, Batch, Charge, Consume, Consumed, Memory, Signal};
use crate::time::Clock;
use bytes::Bytes;
use std::future::Future;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Text of one batch; what is beyond is cut, because a terminal is no place for more.
const TEXT_MAX: usize = 1 << 20;

#[derive(Debug)]
enum Order {
    Show(Signal, Bytes, Charge),
    Stop,
}

/// What was shown in the current second.
#[derive(Debug, Default)]
struct Sampled {
    second: u64,
    seen: u64,
}

/// Says what passes, and never slows it.
#[derive(Debug)]
pub struct DebugExporter {
    config: config::DebugExporter,
    clock: Arc<dyn Clock>,
    sampled: Mutex<Sampled>,
    queue: SyncSender<Order>,
    orders: Mutex<Option<Receiver<Order>>>,
    memory: Memory,
    counted: Counted,
    id: Arc<str>,
}

impl DebugExporter {
    /// Builds the exporter `id`. Nothing is written before [`Self::run`] runs.
    pub fn build(
        id: &str,
        config: &config::DebugExporter,
        clock: Arc<dyn Clock>,
        memory: &Memory,
    ) -> Arc<Self> {
        let (queue, orders) = sync_channel(config.queue_size);
        Arc::new(Self {
            config: config.clone(),
            clock,
            sampled: Mutex::default(),
            queue,
            orders: Mutex::new(Some(orders)),
            memory: memory.clone(),
            counted: Counted::new(id),
            id: id.into(),
        })
    }

    /// Writes until `shutdown`, and then what still waits. A second call does nothing.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let Some(orders) = self.orders.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let (id, verbosity) = (Arc::clone(&self.id), self.config.verbosity);
        let thread = tokio::task::spawn_blocking(move || {
            while let Ok(Order::Show(signal, bytes, _charge)) = orders.recv() {
                show(&id, verbosity, signal, &bytes);
            }
        });
        shutdown.await;
        let queue = self.queue.clone();
        let stopping = tokio::task::spawn_blocking(move || queue.send(Order::Stop));
        // Their only failures are panics, of which the runtime tells.
        let _ = tokio::join!(stopping, thread);
    }

    /// Whether the next batch is among those that are shown.
    fn is_shown(&self) -> bool {
        let second = self.clock.now().secs();
        let mut sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        if sampled.second != second {
            *sampled = Sampled { second, seen: 0 };
        }
        sampled.seen += 1;
        match sampled.seen.checked_sub(self.config.sampling_initial) {
            None | Some(0) => true,
            Some(beyond) => beyond.checked_rem(self.config.sampling_thereafter) == Some(0),
        }
    }
}

impl Consume for DebugExporter {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let items = batch.items.unwrap_or(0);
        if self.is_shown() {
            let charge = self.memory.charge(batch.bytes.len() as u64);
            if self
                .queue
                .try_send(Order::Show(batch.signal, batch.bytes, charge))
                .is_err()
            {
                metrics::counter!("burngate_debug_omitted_total", "exporter" => self.id.to_string())
                    .increment(1);
            }
        }
        self.counted.sent(batch.signal, items);
        Box::pin(async move { Ok(Accepted::all(items)) })
    }
}

/// Writes one batch.
fn show(exporter: &str, verbosity: Verbosity, signal: Signal, bytes: &[u8]) {
    let Ok(counts) = count::counts(signal, bytes) else {
        tracing::warn!(exporter, signal = signal.as_str(), "not a valid protobuf message");
        return;
    };
    let written = match verbosity {
        Verbosity::Basic => String::new(),
        Verbosity::Normal => text::lines(signal, bytes, TEXT_MAX),
        Verbosity::Detailed => text::detailed(signal, bytes, TEXT_MAX),
    };
    let separator = if written.is_empty() { "" } else { "\n" };
    match signal {
        Signal::Traces => tracing::info!(
            exporter,
            resource_spans = counts.resources,
            spans = counts.items,
            "Traces{separator}{written}"
        ),
        Signal::Metrics => tracing::info!(
            exporter,
            resource_metrics = counts.resources,
            metrics = counts.metrics,
            data_points = counts.items,
            "Metrics{separator}{written}"
        ),
        Signal::Logs => tracing::info!(
            exporter,
            resource_logs = counts.resources,
            log_records = counts.items,
            "Logs{separator}{written}"
        ),
    }
}

#[cfg(test)]
mod tests;
