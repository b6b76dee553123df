//! Bytes in flight: how much all requests together may hold.
//!
//! Problem: the only bound on memory that HTTP/2 offers is messages x streams x connections, which is far
//! more than a machine has. Property wanted: a byte of a request's body, compressed or decompressed, is
//! charged before it is stored, and given back when the request is answered, whatever way it ends. A request
//! waits a moment for room and is then told to come back later; it is never queued without end. Rejected: a
//! limit on requests, because a request is 20 bytes or 16 MiB.

use super::failure::Failure;
use crate::config::ReceiverLimits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Longest retry advice that is ever given.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Refusals in a row after which the advice doubles.
const REFUSALS_PER_DOUBLING: u32 = 16;

/// The budget of bytes in flight, shared by every receiver.
#[derive(Debug)]
pub struct Admission {
    limits: ReceiverLimits,
    capacity: u32,
    room: Arc<Semaphore>,
    /// Refusals since the last request that found room: how hard the pressure is.
    refusals: AtomicU32,
    in_flight: Gauge,
    /// Requests that were taken, and that found no room.
    requests: [AtomicU64; 2],
}

/// Bytes in flight, and the gauge that shows them.
struct Gauge {
    bytes: AtomicU64,
    shown: metrics::Gauge,
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.bytes.load(Ordering::Relaxed))
    }
}

impl Admission {
    /// A budget with the limits of the configuration.
    pub fn new(limits: &ReceiverLimits) -> Arc<Self> {
        let bytes = limits.max_in_flight_mib.saturating_mul(1 << 20);
        let capacity = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permits = usize::try_from(capacity)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            limits: limits.clone(),
            capacity,
            room: Arc::new(Semaphore::new(permits)),
            refusals: AtomicU32::new(0),
            requests: Default::default(),
            in_flight: Gauge {
                bytes: AtomicU64::new(0),
                shown: metrics::gauge!("burngate_receiver_in_flight_bytes"),
            },
        })
    }

    /// The limits that this budget was made from.
    pub fn limits(&self) -> &ReceiverLimits {
        &self.limits
    }

    /// Bytes charged at the moment.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight.bytes.load(Ordering::Relaxed)
    }

    /// Requests since it was made: taken, and shed for want of room or of time.
    pub fn requests(&self) -> [u64; 2] {
        [0, 1].map(|at| self.requests[at].load(Ordering::Relaxed))
    }

    pub(super) fn note_taken(&self) {
        self.requests[0].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_shed(&self) {
        self.requests[1].fetch_add(1, Ordering::Relaxed);
    }

    /// Opens the account of one request; nothing is charged yet.
    pub(super) fn open(self: &Arc<Self>) -> Ticket {
        Ticket {
            admission: Arc::clone(self),
            held: None,
            charged: 0,
            patience_ends: None,
        }
    }

    /// When a refused client should come back: grows with the refusals in a row, jittered so that clients
    /// part.
    pub(super) fn retry_after(&self) -> Duration {
        let doublings = (self.refusals.load(Ordering::Relaxed) / REFUSALS_PER_DOUBLING).min(5);
        let base = Duration::from_secs(self.limits.retry_after_secs.max(1));
        let base = base.saturating_mul(1 << doublings).min(MAX_RETRY_AFTER);
        base.mul_f64(1.0 + fastrand::f64() / 2.0).min(MAX_RETRY_AFTER)
    }

    fn refuse(&self) -> Failure {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        Failure::Overloaded {
            message: "the receiver's bytes in flight are at their limit; retry later".into(),
            retry_after: self.retry_after(),
        }
    }

    fn add(&self, bytes: u64) {
        let now = self.in_flight.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.in_flight.shown.set(now as f64);
    }

    fn take_off(&self, bytes: u64) {
        let now = self.in_flight.bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        self.in_flight.shown.set(now as f64);
    }
}

/// What one request holds of the budget; given back on drop.
#[derive(Debug)]
pub(super) struct Ticket {
    admission: Arc<Admission>,
    held: Option<OwnedSemaphorePermit>,
    charged: u64,
    /// One patience a request, however often it grows.
    patience_ends: Option<Instant>,
}

impl Ticket {
    /// Charges `bytes` more, waiting for room no longer than the request's patience.
    pub(super) async fn charge(&mut self, bytes: usize) -> Result<(), Failure> {
        let Ok(more) = u32::try_from(bytes) else {
            return Err(self.admission.refuse());
        };
        if more == 0 {
            return Ok(());
        }
        if u64::from(more) + self.charged > u64::from(self.admission.capacity) {
            // Would never fit: a limit on one request above the limit on all. Waiting would only block the
            // others.
            return Err(self.admission.refuse());
        }
        let permit = match Arc::clone(&self.admission.room).try_acquire_many_owned(more) {
            Ok(permit) => permit,
            Err(_) => self.wait(more).await?,
        };
        self.admission.refusals.store(0, Ordering::Relaxed);
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        self.charged += u64::from(more);
        self.admission.add(u64::from(more));
        Ok(())
    }

    /// Bytes charged so far.
    #[cfg(test)]
    pub(super) fn charged(&self) -> u64 {
        self.charged
    }

    async fn wait(&mut self, more: u32) -> Result<OwnedSemaphorePermit, Failure> {
        let patience = Duration::from_millis(self.admission.limits.admission_wait_ms);
        let ends = *self
            .patience_ends
            .get_or_insert_with(|| Instant::now() + patience);
        let room = Arc::clone(&self.admission.room).acquire_many_owned(more);
        match tokio::time::timeout_at(ends, room).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.admission.refuse()),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.admission.take_off(self.charged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_mib() -> Arc<Admission> {
        Admission::new(&ReceiverLimits {
            max_in_flight_mib: 1,
            ..ReceiverLimits::default()
        })
    }

    fn delay(failure: Failure) -> Duration {
        match failure {
            Failure::Overloaded { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_charged_comes_back_when_the_request_ends() {
        let admission = one_mib();
        let mut first = admission.open();
        first.charge(600_000).await.unwrap();
        first.charge(400_000).await.unwrap();
        assert_eq!(admission.in_flight_bytes(), 1_000_000);
        assert!(admission.open().charge(100_000).await.is_err());
        drop(first);
        assert_eq!(admission.in_flight_bytes(), 0);
        admission.open().charge(1 << 20).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_room_or_with_patience() {
        let admission = one_mib();
        let mut first = admission.open();
        first.charge(1 << 20).await.unwrap();
        let waiting = tokio::spawn({
            let admission = Arc::clone(&admission);
            async move { admission.open().charge(1000).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(first);
        assert_eq!(waiting.await.unwrap(), Ok(()));

        let mut first = admission.open();
        first.charge(1 << 20).await.unwrap();
        let began = Instant::now();
        assert!(admission.open().charge(1).await.is_err());
        assert_eq!(began.elapsed().as_millis(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn one_patience_a_request_however_often_it_grows() {
        let admission = one_mib();
        let mut first = admission.open();
        first.charge(1 << 20).await.unwrap();
        let mut second = admission.open();
        let began = Instant::now();
        for _ in 0..10 {
            assert!(second.charge(1).await.is_err());
        }
        assert_eq!(began.elapsed().as_millis(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_all_there_is_is_refused_at_once() {
        let admission = one_mib();
        let began = Instant::now();
        let mut ticket = admission.open();
        assert!(ticket.charge((1 << 20) + 1).await.is_err());
        ticket.charge(1).await.unwrap();
        assert!(ticket.charge(1 << 20).await.is_err());
        assert!(began.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn advice_grows_with_the_pressure_up_to_thirty_seconds_and_falls_with_it() {
        let admission = one_mib();
        let mut first = admission.open();
        first.charge(1 << 20).await.unwrap();
        let early = delay(admission.open().charge(1).await.unwrap_err());
        assert!((1.0..=1.5).contains(&early.as_secs_f64()), "{early:?}");
        for _ in 0..200 {
            assert!(admission.open().charge(2 << 20).await.is_err());
        }
        let late = delay(admission.open().charge(1).await.unwrap_err());
        assert!(
            late > Duration::from_secs(20) && late <= Duration::from_secs(30),
            "{late:?}"
        );
        drop(first);
        admission.open().charge(1).await.unwrap();
        assert!(admission.retry_after() < Duration::from_secs(2));
    }
}
