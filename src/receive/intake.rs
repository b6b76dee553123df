//! The common way of a request, whatever transport it came by: is there room, hand it over, count what became
//! of it.

use super::admission::{Admission, Ticket};
use super::context::Context;
use super::failure::Failure;
use super::meters::{Meters, Transport};
use super::{Accepted, Batch, Consume, Signal, Signals};
use crate::pipeline::{receiver_span, traced};
use crate::wire::edit::{Request, count_items};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use tokio::time::Instant;

/// Log lines about refusals a second and receiver; the rest is counted.
const LOGS_PER_SEC: u32 = 5;

/// What every request of one receiver shares.
pub(super) struct Intake {
    /// The component's name.
    pub(super) id: Arc<str>,
    /// Its protocol.
    pub(super) transport: Transport,
    /// The budget of bytes.
    pub(super) admission: Arc<Admission>,
    /// Signals that have a pipeline.
    pub(super) signals: Signals,
    sink: Arc<dyn Consume>,
    meters: Meters,
    draining: AtomicBool,
    log: LogLimit,
}

impl Intake {
    /// For one receiver.
    pub(super) fn new(
        transport: Transport,
        context: &Context,
        sink: Arc<dyn Consume>,
        signals: Signals,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: Arc::clone(&context.id),
            transport,
            admission: Arc::clone(&context.admission),
            signals,
            sink,
            meters: Meters::new(&context.id, transport),
            draining: AtomicBool::new(false),
            log: LogLimit::new(),
        })
    }

    /// From now on new requests are told to come back; those in flight finish.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Opens a request's account with the budget, unless the receiver is shutting down.
    pub(super) fn open(&self) -> Result<Ticket, Failure> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Failure::ShuttingDown {
                retry_after: self.admission.retry_after(),
            });
        }
        Ok(self.admission.open())
    }

    /// Hands a batch over. A panic of the consumer costs this batch, not the server.
    pub(super) async fn deliver(&self, batch: Batch) -> Result<Accepted, Failure> {
        let (signal, message) = (batch.signal, batch.bytes.clone());
        let bytes = message.len() as u64;
        let consumed = AssertUnwindSafe(async {
            let span = receiver_span(&self.id, self.transport.label(), signal);
            traced(span, self.sink.consume(batch)).await
        });
        let failure = match consumed.catch_unwind().await {
            Ok(Ok(accepted)) => {
                self.meters.accepted(signal, bytes, &accepted);
                self.admission.note_taken();
                return Ok(accepted);
            }
            Ok(Err(refusal)) => Failure::from(refusal),
            Err(_panic) => {
                tracing::error!(?signal, bytes, "the consumer panicked; the batch is lost");
                Failure::Panicked
            }
        };
        let items = count_items(request_of(signal), &message).unwrap_or(0);
        self.meters.not_taken(signal, items, &failure);
        Err(failure)
    }

    /// Counts a refusal and logs it, a few a second. Nothing of the payload is in either.
    pub(super) fn refused(&self, signal: Option<Signal>, bytes: u64, failure: &Failure) {
        self.meters.refused(signal, bytes, failure);
        // What is wrong with a request is its sender's doing, and says nothing about the others.
        if matches!(
            failure,
            Failure::Overloaded { .. } | Failure::Deadline(_) | Failure::Panicked
        ) {
            self.admission.note_shed();
        }
        if let Some(unlogged) = self.log.allow() {
            let (transport, reason) = (self.transport.label(), failure.reason());
            tracing::warn!(
                transport,
                ?signal,
                reason,
                bytes,
                unlogged,
                "request refused: {}",
                failure.message()
            );
        }
    }
}

const fn request_of(signal: Signal) -> Request {
    match signal {
        Signal::Traces => Request::Traces,
        Signal::Metrics => Request::Metrics,
        Signal::Logs => Request::Logs,
    }
}

/// A few events a second; says how many it swallowed before.
struct LogLimit {
    start: Instant,
    second: AtomicU64,
    used: AtomicU32,
    swallowed: AtomicU64,
}

impl LogLimit {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            second: AtomicU64::new(0),
            used: AtomicU32::new(0),
            swallowed: AtomicU64::new(0),
        }
    }

    /// `Some(swallowed before)` when the event may be logged. Two threads at the edge of a second may let one
    /// more pass.
    fn allow(&self) -> Option<u64> {
        let second = self.start.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.used.store(0, Ordering::Relaxed);
        }
        if self.used.fetch_add(1, Ordering::Relaxed) < LOGS_PER_SEC {
            return Some(self.swallowed.swap(0, Ordering::Relaxed));
        }
        self.swallowed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_a_few_lines_a_second_that_say_how_many_were_not_written() {
        let log = LogLimit::new();
        let written = (0..1000).filter_map(|_| log.allow()).count();
        assert_eq!(written, LOGS_PER_SEC as usize);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(log.allow(), Some(1000 - u64::from(LOGS_PER_SEC)));
        assert_eq!(log.allow(), Some(0));
    }
}
