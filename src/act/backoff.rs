//! How long to wait between attempts, and when to give up.

use crate::config::Delivery;
use std::time::Duration;

/// The pace of decisions, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Upper bound of the first wait.
    pub first: Duration,
    /// Upper bound of every wait.
    pub longest: Duration,
    /// Rounds (a read, a call, a read) before a human is called.
    pub max_attempts: u32,
    /// Time after which a human is called, however many attempts are left.
    pub give_up_after: Duration,
    /// Failures in a row that open an exporter's circuit breaker.
    pub breaker_failures: u32,
    /// How long it stays open before one call may try.
    pub breaker_open: Duration,
    /// Decisions worked on at once, over all exporters.
    pub max_in_flight: usize,
    /// Decisions kept in memory; older ones stay in the journal.
    pub max_in_memory: usize,
    /// Time between two looks at flags that were switched.
    pub watch_every: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self::from(&Delivery::default())
    }
}

impl From<&Delivery> for Pacing {
    fn from(config: &Delivery) -> Self {
        Self {
            first: config.initial_interval,
            longest: config.max_interval,
            max_attempts: config.max_attempts,
            give_up_after: config.max_elapsed_time,
            breaker_failures: config.breaker_failures,
            breaker_open: config.breaker_pause,
            max_in_flight: config.max_in_flight,
            max_in_memory: config.max_in_memory,
            watch_every: Duration::from_mins(1),
        }
    }
}

impl Pacing {
    /// Full jitter: anything between nothing and the doubled bound, so that many gateways do not knock
    /// together. `attempt` counts from 1.
    pub fn wait(&self, attempt: u32) -> Duration {
        self.bound(attempt).mul_f64(fastrand::f64())
    }

    fn bound(&self, attempt: u32) -> Duration {
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1).min(16));
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_longest() {
        let pacing = Pacing::default();
        let bounds: Vec<u128> = (1..=8).map(|n| pacing.bound(n).as_millis()).collect();
        assert_eq!(bounds, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(pacing.bound(u32::MAX), pacing.longest);
    }

    #[test]
    fn waits_are_spread_below_the_bound() {
        let pacing = Pacing::default();
        let waits: Vec<Duration> = (0..200).map(|_| pacing.wait(5)).collect();
        assert!(waits.iter().all(|w| *w <= Duration::from_secs(8)));
        assert!(waits.iter().any(|w| *w < Duration::from_secs(2)));
        assert!(waits.iter().any(|w| *w > Duration::from_secs(6)));
    }
}
