//! Whether somebody in front of us samples and does not say so.
//!
//! Problem: a tail sampler keeps every error and one success in a hundred, and what is left looks like a
//! service in flames: no ratio of what it keeps means anything, and nothing in the spans says so. Wanted: a
//! signal that costs next to nothing and does not cry wolf. Two are looked at:
//!
//! * the Collector's `tail_sampling` can write `tailsampling.policy` (and `.composite_policy`) on the scope
//!   of what it keeps: that is proof;
//! * a tail sampler must wait for the end of a trace before it decides (`decision_wait`, 30 s unless told
//!   otherwise). SDKs and batch processors hold a span for seconds. So when, in a whole minute with at least
//!   a hundred spans of a service, not one arrives within [`WAIT_SECS`] of its end, something holds all of
//!   them back; in two minutes of three that is likely a tail sampler.
//!
//! Rejected: the error share alone, however high (that is what an incident looks like); incomplete traces (a
//! tail sampler keeps traces whole, head sampling and lost requests do not). A backlog that a sender drains
//! after an outage looks alike for as long as it takes, so this only ever warns: a policy says
//! `sampling:` when it is so. Services that say how they sample are not looked at.

use crate::time::{NANOS_PER_SEC, UnixNanos};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Seconds that nobody but a tail sampler holds every span back.
const WAIT_SECS: u64 = 10;
/// Spans of a minute that say something.
const SPANS_MIN: u64 = 100;
/// Services that are watched at once; more are not.
const SERVICES_MAX: usize = 10_000;
/// After so long without a sign a service is no longer suspected, in seconds.
const FORGET_SECS: u64 = 3_600;

/// What one batch shows of one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signs {
    /// Spans that say nothing of sampling.
    pub(super) spans: u64,
    /// The shortest time from the end of one to its arrival, in nanoseconds.
    pub(super) lag: u64,
    /// A scope was marked by the Collector's tail sampler.
    pub(super) marked: bool,
}

impl Default for Signs {
    fn default() -> Self {
        Self {
            spans: 0,
            lag: u64::MAX,
            marked: false,
        }
    }
}

impl Signs {
    /// Looks at a span.
    #[inline]
    pub(super) fn see(&mut self, end: u64, now: UnixNanos) {
        self.spans += 1;
        self.lag = self.lag.min(now.0.saturating_sub(end));
    }

    fn add(&mut self, other: Self) {
        self.spans = self.spans.saturating_add(other.spans);
        self.lag = self.lag.min(other.lag);
        self.marked |= other.marked;
    }

    fn is_held_back(&self) -> bool {
        self.spans >= SPANS_MIN && self.lag >= WAIT_SECS * NANOS_PER_SEC
    }
}

/// One service.
#[derive(Debug, Default)]
struct Watched {
    minute: u64,
    signs: Signs,
    /// The last three minutes that said something, newest in bit 0: whether all spans were held back.
    held: u8,
    suspected: Option<UnixNanos>,
}

impl Watched {
    fn note(&mut self, signs: Signs, now: UnixNanos) -> bool {
        let minute = now.secs() / 60;
        if minute != self.minute {
            if self.signs.spans >= SPANS_MIN {
                self.held = (self.held << 1 | u8::from(self.signs.is_held_back())) & 0b111;
            }
            (self.minute, self.signs) = (minute, Signs::default());
        }
        self.signs.add(signs);
        let likely = self.signs.marked || self.held.count_ones() >= 2;
        let fresh = likely && self.suspected.is_none();
        if likely {
            self.suspected = Some(now);
        }
        fresh
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct TailWatch(Mutex<Services>);

#[derive(Debug, Default)]
struct Services {
    watched: HashMap<Arc<str>, Watched>,
    swept_minute: u64,
}

impl TailWatch {
    /// Takes the signs of one batch.
    pub(super) fn note<'s>(&self, now: UnixNanos, signs: impl Iterator<Item = (&'s str, Signs)>) {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        services.sweep(now);
        for (service, signs) in signs {
            let is_full = services.watched.len() >= SERVICES_MAX;
            let fresh = match services.watched.get_mut(service) {
                Some(watched) => watched.note(signs, now),
                None if is_full => false,
                None => {
                    let watched = services.watched.entry(service.into()).or_default();
                    watched.note(signs, now)
                }
            };
            if fresh {
                tracing::warn!(
                    service,
                    "something in front of burngate seems to keep errors and drop successes (tail sampling): \
                     error shares and burn rates of this service are then too high; say so in its policy \
                     (sampling:), or send spans here before they are sampled"
                );
                services.tell();
            }
        }
    }
}

impl Services {
    /// Once a minute, lets go of services and suspicions without a sign for an hour.
    fn sweep(&mut self, now: UnixNanos) {
        let minute = now.secs() / 60;
        if std::mem::replace(&mut self.swept_minute, minute) == minute {
            return;
        }
        let is_old = |at_secs: u64| now.secs().saturating_sub(at_secs) >= FORGET_SECS;
        self.watched.retain(|_, watched| !is_old(watched.minute * 60));
        for watched in self.watched.values_mut() {
            watched.suspected = watched.suspected.filter(|at| !is_old(at.secs()));
        }
        self.tell();
    }

    fn tell(&self) {
        let suspected = self.watched.values().filter(|w| w.suspected.is_some()).count();
        metrics::gauge!("burngate_sampling_suspected_services").set(suspected as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000;

    fn is_suspected(watch: &TailWatch, service: &str) -> bool {
        let services = watch.0.lock().unwrap();
        services
            .watched
            .get(service)
            .is_some_and(|watched| watched.suspected.is_some())
    }

    /// Minutes of spans that arrive so long after their end.
    fn watch(minutes: &[(u64, u64)]) -> bool {
        let watch = TailWatch::default();
        let mut now = UnixNanos::from_secs(START);
        for &(spans, lag_secs) in minutes {
            let mut signs = Signs::default();
            for _ in 0..spans {
                signs.see(now.minus_secs(lag_secs).0, now);
            }
            watch.note(now, [("cart", signs)].into_iter());
            now = now.plus_secs(60);
        }
        watch.note(
            now,
            [(
                "cart",
                Signs {
                    spans: 1,
                    lag: 0,
                    marked: false,
                },
            )]
            .into_iter(),
        );
        is_suspected(&watch, "cart")
    }

    #[test]
    fn spans_that_all_wait_for_a_decision_are_suspected() {
        assert!(watch(&[(100, 31), (500, 30), (0, 0)]));
    }

    #[test]
    fn one_slow_minute_or_a_handful_of_spans_or_an_sdk_s_batches_are_not() {
        assert!(!watch(&[(1000, 31), (1000, 4), (1000, 5)]));
        assert!(!watch(&[(99, 31), (99, 31), (99, 31)]));
        assert!(!watch(&[(1000, 9), (1000, 9), (1000, 9)]));
    }

    #[test]
    fn one_span_on_time_clears_its_minute() {
        let watch = TailWatch::default();
        for minute in 0..4 {
            let now = UnixNanos::from_secs(START + minute * 60);
            let mut signs = Signs::default();
            (0..200).for_each(|_| signs.see(now.minus_secs(40).0, now));
            signs.see(now.minus_secs(1).0, now);
            watch.note(now, [("cart", signs)].into_iter());
            assert!(!is_suspected(&watch, "cart"));
        }
    }

    #[test]
    fn a_mark_is_proof_and_is_forgotten_after_an_hour() {
        let watch = TailWatch::default();
        let now = UnixNanos::from_secs(START);
        let signs = Signs {
            marked: true,
            ..Signs::default()
        };
        watch.note(now, [("cart", signs)].into_iter());
        assert!(is_suspected(&watch, "cart") && !is_suspected(&watch, "other"));
        let later = now.plus_secs(FORGET_SECS + 60);
        watch.note(later, std::iter::empty());
        assert!(!is_suspected(&watch, "cart") && watch.0.lock().unwrap().watched.is_empty());
    }
}
