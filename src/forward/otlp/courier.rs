//! From a request to its end: attempts, and the waits between them.

use super::{Arrived, Attempt, Dropped, Failure, Meters, Packed, Quiet, pack};
use crate::config::{Compression, OtlpEncoding, Retry};
use crate::forward::grpc::GrpcClient;
use crate::forward::http::HttpClient;
use crate::forward::merge::Pieces;
use crate::forward::merge::len_of;
use crate::forward::retry::Backoff;
use crate::forward::{json, merge};
use crate::pipeline::{Component, Signal, Status, exporter_span, fail, note_items};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

/// How an exporter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It runs.
    Running,
    /// It takes nothing more, and sends what it has.
    Draining,
    /// Time is up.
    Ended,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Delivered {
    Arrived(Arrived),
    Dropped(Dropped, Failure),
    /// Shutdown came between: it is neither sent nor given up.
    Unfinished,
}

/// Where requests go.
#[derive(Debug)]
pub(super) enum Transport {
    Grpc(GrpcClient),
    Http(HttpClient),
}

impl Transport {
    async fn send(&self, signal: Signal, packed: &Packed) -> Attempt {
        match self {
            Self::Grpc(client) => client.send(signal, packed).await,
            Self::Http(client) => client.send(signal, packed).await,
        }
    }

    /// Looks at the files of certificates again.
    pub(super) fn reload(&self) -> Result<(), String> {
        match self {
            Self::Grpc(client) => client.reload(),
            Self::Http(client) => client.reload(),
        }
    }
}

/// Delivers requests to one backend.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) id: Arc<str>,
    pub(super) transport: Transport,
    pub(super) compression: Compression,
    pub(super) encoding: OtlpEncoding,
    pub(super) retry: Option<Retry>,
    /// Whether what is not sent at shutdown is kept.
    pub(super) persistent: bool,
    pub(super) meters: Arc<Meters>,
    pub(super) quiet: Quiet,
    pub(super) component: Component,
    /// The last attempt failed.
    pub(super) failing: AtomicBool,
    pub(super) phase: watch::Sender<Phase>,
}

/// Longest wait between attempts during shutdown.
const DRAIN_WAIT: Duration = Duration::from_secs(1);

impl Courier {
    /// Sends until it arrives, fails for good, or time is up. Counts what becomes of it.
    pub(super) async fn deliver(&self, signal: Signal, items: u64, pieces: Pieces) -> Delivered {
        let end = Unsettled {
            courier: self,
            signal,
            items,
        };
        let span = exporter_span(&self.id, signal);
        self.meters.sending(items, len_of(&pieces));
        let delivered = match self.encode(signal, merge::joined(pieces)).await {
            Ok(packed) if span.is_disabled() => self.attempts(signal, &packed).await,
            Ok(packed) => self.attempts(signal, &packed).instrument(span.clone()).await,
            Err(failure) => Delivered::Dropped(Dropped::Unreadable, failure),
        };
        match &delivered {
            Delivered::Arrived(arrived) => {
                note_items(&span, items.saturating_sub(arrived.rejected), arrived.rejected);
            }
            Delivered::Dropped(_, failure) => fail(&span, &failure.message),
            Delivered::Unfinished => {}
        }
        end.settle(&delivered);
        delivered
    }

    async fn encode(&self, signal: Signal, pieces: Pieces) -> Result<Packed, Failure> {
        let broken = |why: String| Failure::of(tonic::Code::InvalidArgument, why);
        let pieces = match self.encoding {
            OtlpEncoding::Proto => pieces,
            OtlpEncoding::Json => {
                let request = pieces.concat();
                let mut text = Vec::with_capacity(request.len() * 2);
                json::encode(signal, &request, &mut text)
                    .map_err(|error| broken(format!("cannot be written as JSON: {error}")))?;
                vec![text.into()]
            }
        };
        let packed = pack(self.compression, pieces).await;
        packed.map_err(|error| broken(format!("cannot be compressed: {error}")))
    }

    async fn attempts(&self, signal: Signal, packed: &Packed) -> Delivered {
        let begun = Instant::now();
        let mut phase = self.phase.subscribe();
        let mut backoff = self.retry.map(Backoff::new);
        loop {
            let in_flight = self.meters.attempt();
            let attempt = tokio::select! {
                attempt = self.transport.send(signal, packed) => attempt,
                () = reached(&mut phase, Phase::Ended) => return Delivered::Unfinished,
            };
            drop(in_flight);
            let failure = match attempt {
                Ok(arrived) => {
                    self.note_success(signal, &arrived);
                    return Delivered::Arrived(arrived);
                }
                Err(failure) => failure,
            };
            self.note_failure(&failure);
            let wait = match &mut backoff {
                Some(backoff) if failure.retryable => {
                    backoff.wait(begun.elapsed(), failure.advice, fastrand::f64())
                }
                _ => None,
            };
            let Some(wait) = wait else {
                let reason = match (failure.retryable, failure.nonsense) {
                    (_, true) => Dropped::Nonsense,
                    (true, false) => Dropped::RetriesExhausted,
                    (false, false) => Dropped::Refused,
                };
                return Delivered::Dropped(reason, failure);
            };
            self.note_retry(&failure, wait);
            if !self.pause(&mut phase, wait).await {
                return Delivered::Unfinished;
            }
        }
    }

    /// Waits; false when shutdown says that there is no point.
    async fn pause(&self, phase: &mut watch::Receiver<Phase>, wait: Duration) -> bool {
        let draining = *phase.borrow() >= Phase::Draining;
        let wait = if draining { wait.min(DRAIN_WAIT) } else { wait };
        if draining && self.persistent {
            return false;
        }
        let next = if draining { Phase::Ended } else { Phase::Draining };
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            // In memory there is one more chance; on disk there is a next start.
            () = reached(phase, next) => !draining && !self.persistent,
        }
    }

    fn note_success(&self, signal: Signal, arrived: &Arrived) {
        self.component.set(Status::Ok);
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(exporter = %self.id, "the backend takes telemetry again");
        }
        if (arrived.rejected > 0 || !arrived.message.is_empty())
            && let Some(hidden) = self.quiet.speak()
        {
            tracing::warn!(
                exporter = %self.id, signal = signal.as_str(), rejected = arrived.rejected, hidden,
                said = arrived.message, "the backend took a request in part"
            );
        }
    }

    fn note_failure(&self, failure: &Failure) {
        self.failing.store(true, Ordering::Relaxed);
        let message = failure.message.clone().into();
        self.component.set(if failure.retryable {
            Status::Recoverable(message)
        } else {
            Status::Permanent(message)
        });
    }

    fn note_retry(&self, failure: &Failure, wait: Duration) {
        self.meters.retried();
        if let Some(hidden) = self.quiet.speak() {
            tracing::warn!(
                exporter = %self.id, error = failure.message, ?wait, hidden, "sending failed; it will be tried again"
            );
        }
    }

    fn note_dropped(&self, signal: Signal, items: u64, reason: Dropped, failure: &Failure) {
        self.meters.dropped(signal, items, reason);
        if let Some(hidden) = self.quiet.speak() {
            tracing::error!(
                exporter = %self.id, signal = signal.as_str(), items, reason = reason.as_str(), hidden,
                error = failure.message, "items were dropped"
            );
        }
    }
}

/// Counts a request even when whoever waits for it goes away in the middle.
struct Unsettled<'a> {
    courier: &'a Courier,
    signal: Signal,
    items: u64,
}

impl Unsettled<'_> {
    fn settle(self, delivered: &Delivered) {
        match delivered {
            Delivered::Arrived(arrived) => {
                let meters = &self.courier.meters;
                meters.arrived(self.signal, self.items, arrived.rejected);
            }
            Delivered::Dropped(reason, failure) => {
                self.courier
                    .note_dropped(self.signal, self.items, *reason, failure);
            }
            // The queue knows whether it is lost.
            Delivered::Unfinished => {}
        }
        std::mem::forget(self);
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        let meters = &self.courier.meters;
        meters.dropped(self.signal, self.items, Dropped::Cancelled);
    }
}

/// Ready when the phase is `at` or later.
async fn reached(phase: &mut watch::Receiver<Phase>, at: Phase) {
    if phase.wait_for(|now| *now >= at).await.is_err() {
        std::future::pending::<()>().await;
    }
}
