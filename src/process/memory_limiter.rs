//! `memory_limiter`: refuses, with retry advice, what would not fit.
//!
//! Problem: the Collector's limiter looks at the heap once a second and lets the garbage collector catch up;
//! a burst within that second is not seen. Property wanted: what is known exactly (bytes that queues hold,
//! bytes of requests at work) is compared for every batch, and the resident set (late, and with what the
//! allocator keeps) at most every `check_interval`, by whichever request comes first; the decision between
//! two looks costs two atomic reads. Rejected: a task that looks, because a limiter that nobody asks need not
//! look.
//!
//! Refusals begin at the limit less the spike, as in the Collector: the spike is room for what grows between
//! two looks.

use super::{Context, ProcessError, memory_total, meters};
use crate::config::MemoryLimiter;
use crate::pipeline::{Batch, Memory, Process, Processed, Refusal, Signal, Stage};
use crate::time::{Clock, NANOS_PER_SEC};
use crate::wire;
use metrics::{Counter, Gauge, gauge};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads the resident set.
type Resident = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// The guard.
pub(super) struct MemoryGuard {
    soft_limit_bytes: u64,
    interval_nanos: u64,
    memory: Memory,
    receiving: Arc<dyn Fn() -> u64 + Send + Sync>,
    clock: Arc<dyn Clock>,
    resident: Resident,
    /// When the resident set is to be read again, in Unix nanoseconds.
    next_look: AtomicU64,
    /// What it was at the last look.
    resident_bytes: AtomicU64,
    refused: [Counter; 3],
    used: Gauge,
}

impl MemoryGuard {
    /// A guard; `total` is what the process may have, for percentages.
    pub(super) fn new(
        id: &str,
        config: &MemoryLimiter,
        total: Option<u64>,
        context: &Context,
    ) -> Result<Self, ProcessError> {
        let (limit, spike) = limits(config, total).map_err(|message| ProcessError::whole(id, message))?;
        meters::describe_limiter();
        let soft_limit_bytes = limit - spike;
        gauge!("burngate_memory_limiter_limit_bytes", "processor" => id.to_owned())
            .set(soft_limit_bytes as f64);
        Ok(Self {
            soft_limit_bytes,
            interval_nanos: u64::try_from(config.check_interval.as_nanos()).unwrap_or(NANOS_PER_SEC),
            memory: context.memory.clone(),
            receiving: Arc::clone(&context.receiving),
            clock: Arc::clone(&context.clock),
            resident: Arc::new(|| memory_total::resident_bytes(Path::new("/"))),
            next_look: AtomicU64::new(0),
            resident_bytes: AtomicU64::new(0),
            refused: Signal::ALL.map(|signal| meters::refused(id, signal)),
            used: gauge!("burngate_memory_limiter_used_bytes", "processor" => id.to_owned()),
        })
    }

    /// Whether a guard could be made of this.
    pub(super) fn check(id: &str, config: &MemoryLimiter, total: Option<u64>) -> Result<(), ProcessError> {
        limits(config, total)
            .map(drop)
            .map_err(|message| ProcessError::whole(id, message))
    }

    /// Bytes in use, as far as is known now.
    fn used_bytes(&self) -> u64 {
        let now = self.clock.now().0;
        let due = self.next_look.load(Ordering::Relaxed);
        // A clock that went back must not blind the guard until it has caught up.
        let stepped_back = due > now.saturating_add(self.interval_nanos);
        if now >= due || stepped_back {
            let next = now.saturating_add(self.interval_nanos);
            let mine = self
                .next_look
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
            if mine.is_ok() {
                self.look();
            }
        }
        let accounted = self.memory.held_bytes().saturating_add((self.receiving)());
        accounted.max(self.resident_bytes.load(Ordering::Relaxed))
    }

    #[cold]
    fn look(&self) {
        let resident = (self.resident)().unwrap_or(0);
        self.resident_bytes.store(resident, Ordering::Relaxed);
        self.used.set(resident.max(self.memory.held_bytes()) as f64);
    }

    #[cold]
    fn refuse(&self, batch: &Batch, used: u64) -> Refusal {
        let [spans, points, records] = &self.refused;
        let (counter, kind) = match batch.signal {
            Signal::Traces => (spans, wire::Request::Traces),
            Signal::Metrics => (points, wire::Request::Metrics),
            Signal::Logs => (records, wire::Request::Logs),
        };
        // What is no request at all has no items; whoever reads it later says so.
        let items = wire::count_items(kind, &batch.bytes).unwrap_or(0);
        counter.increment(batch.items.unwrap_or(items));
        let mib = |bytes: u64| bytes >> 20;
        let message = format!(
            "memory_limiter: {} MiB in use, {} MiB allowed",
            mib(used),
            mib(self.soft_limit_bytes)
        );
        Refusal::Overloaded {
            message: message.into(),
            retry_after_secs: self.interval_nanos.div_ceil(NANOS_PER_SEC).max(1),
        }
    }
}

impl Process for MemoryGuard {
    fn stage(&self) -> Stage {
        Stage::Guard
    }

    fn process(&self, batch: Batch) -> Result<Processed, Refusal> {
        let used = self.used_bytes();
        if used > self.soft_limit_bytes {
            return Err(self.refuse(&batch, used));
        }
        Ok(Processed::whole(batch))
    }
}

/// The limit and the spike, in bytes. `limit_mib` wins over a percentage, as in the Collector.
fn limits(config: &MemoryLimiter, total: Option<u64>) -> Result<(u64, u64), String> {
    let percent = |share: u32| {
        total
            .map(|total| total / 100 * u64::from(share))
            .ok_or("nobody says how much memory this machine has: write limit_mib")
    };
    let limit = match config.limit_mib {
        0 => percent(config.limit_percentage)?,
        mib => mib.saturating_mul(1 << 20),
    };
    let spike = match (config.spike_limit_mib, config.spike_limit_percentage) {
        (0, 0) => limit / 5,
        (0, share) => percent(share)?,
        (mib, _) => mib.saturating_mul(1 << 20),
    };
    if spike >= limit {
        let (spike, limit) = (spike >> 20, limit >> 20);
        return Err(format!(
            "the spike ({spike} MiB) must be below the limit ({limit} MiB)"
        ));
    }
    Ok((limit, spike))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;
    use bytes::Bytes;
    use std::time::Duration;

    #[derive(Debug, Default)]
    struct Stepped(AtomicU64);

    impl Clock for Stepped {
        fn now(&self) -> UnixNanos {
            UnixNanos(self.0.load(Ordering::Relaxed))
        }
    }

    struct Bench {
        guard: MemoryGuard,
        clock: Arc<Stepped>,
        memory: Memory,
        resident: Arc<AtomicU64>,
        looks: Arc<AtomicU64>,
    }

    fn bench(receiving: u64) -> Bench {
        let clock = Arc::new(Stepped(AtomicU64::new(100 * NANOS_PER_SEC)));
        let memory = Memory::default();
        let context = Context {
            memory: memory.clone(),
            receiving: Arc::new(move || receiving),
            clock: Arc::<Stepped>::clone(&clock),
        };
        let config = MemoryLimiter {
            limit_mib: 100,
            spike_limit_mib: 20,
            check_interval: Duration::from_secs(2),
            ..MemoryLimiter::default()
        };
        let mut guard = MemoryGuard::new("memory_limiter", &config, None, &context).unwrap();
        let (resident, looks) = (Arc::new(AtomicU64::new(1 << 20)), Arc::new(AtomicU64::new(0)));
        let (shown, counted) = (Arc::clone(&resident), Arc::clone(&looks));
        guard.resident = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Some(shown.load(Ordering::Relaxed))
        });
        Bench {
            guard,
            clock,
            memory,
            resident,
            looks,
        }
    }

    fn ask(bench: &Bench) -> Result<Processed, Refusal> {
        let bytes = Bytes::from_static(&[0x0a, 4, 0x12, 2, 0x12, 0]);
        bench.guard.process(Batch::new(Signal::Traces, bytes))
    }

    #[test]
    fn accounted_bytes_are_compared_for_every_batch() {
        let bench = bench(10 << 20);
        assert!(ask(&bench).is_ok());
        let charge = bench.memory.charge((70 << 20) + 1);
        let refusal = ask(&bench).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::Overloaded {
                message: "memory_limiter: 80 MiB in use, 80 MiB allowed".into(),
                retry_after_secs: 2,
            }
        );
        drop(charge);
        assert!(ask(&bench).is_ok());
    }

    #[test]
    fn the_resident_set_is_read_once_an_interval() {
        let bench = bench(0);
        for _ in 0..10 {
            assert!(ask(&bench).is_ok());
        }
        assert_eq!(bench.looks.load(Ordering::Relaxed), 1);
        bench.resident.store(90 << 20, Ordering::Relaxed);
        assert!(ask(&bench).is_ok());
        bench.clock.0.fetch_add(2 * NANOS_PER_SEC, Ordering::Relaxed);
        assert!(ask(&bench).is_err());
        bench.resident.store(70 << 20, Ordering::Relaxed);
        assert!(ask(&bench).is_err());
        bench.clock.0.fetch_add(2 * NANOS_PER_SEC, Ordering::Relaxed);
        assert!(ask(&bench).is_ok());
        assert_eq!(bench.looks.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_blind_the_guard() {
        let bench = bench(0);
        assert!(ask(&bench).is_ok());
        bench.clock.0.store(NANOS_PER_SEC, Ordering::Relaxed);
        bench.resident.store(90 << 20, Ordering::Relaxed);
        assert!(ask(&bench).is_err());
    }

    #[test]
    fn percentages_are_of_what_the_process_may_have() {
        let config = |limit, spike| MemoryLimiter {
            limit_percentage: limit,
            spike_limit_percentage: spike,
            ..MemoryLimiter::default()
        };
        let total = Some(1000 << 20);
        assert_eq!(
            limits(&config(80, 25), total),
            Ok(((1000 << 20) / 100 * 80, (1000 << 20) / 100 * 25))
        );
        let (limit, spike) = limits(&config(50, 0), total).unwrap();
        assert_eq!(spike, limit / 5);
        assert!(
            limits(&config(80, 25), None)
                .unwrap_err()
                .contains("write limit_mib")
        );
    }
}
