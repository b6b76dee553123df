//! `connectors.error_budget.delivery` and `.journal`: how decisions are carried out, and how long they are
//! remembered.

use super::section::Section;
use std::time::Duration;

/// `connectors.error_budget.delivery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Upper bound of the first wait between two attempts; doubled with each one.
    pub initial_interval: Duration,
    /// Upper bound of every wait.
    pub max_interval: Duration,
    /// Attempts (a read, a call, a read) before a human is called.
    pub max_attempts: u32,
    /// Time after which a human is called, however many attempts are left.
    pub max_elapsed_time: Duration,
    /// Decisions worked on at once, over all exporters.
    pub max_in_flight: usize,
    /// Decisions in memory and in the API; older ones stay in the journal.
    pub max_in_memory: usize,
    /// Failures in a row that open an exporter's circuit breaker.
    pub breaker_failures: u32,
    /// How long it stays open before one call may try.
    pub breaker_pause: Duration,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_millis(500),
            max_interval: Duration::from_secs(30),
            max_attempts: 8,
            max_elapsed_time: Duration::from_mins(10),
            max_in_flight: 64,
            max_in_memory: 10_000,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
        }
    }
}

impl Delivery {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        let (tick, hour) = (Duration::from_millis(10), Duration::from_hours(1));
        section.ranged("initial_interval", &mut it.initial_interval, tick..=hour);
        section.ranged("max_interval", &mut it.max_interval, tick..=hour);
        if it.max_interval < it.initial_interval {
            section.problem("max_interval", "expected at least initial_interval");
        }
        section.ranged("max_attempts", &mut it.max_attempts, 1..=1_000);
        let elapsed = Duration::from_secs(1)..=24 * hour;
        section.ranged("max_elapsed_time", &mut it.max_elapsed_time, elapsed);
        section.ranged("max_in_flight", &mut it.max_in_flight, 1..=10_000);
        section.ranged("max_in_memory", &mut it.max_in_memory, 100..=1_000_000);
        section.ranged("breaker_failures", &mut it.breaker_failures, 1..=1_000);
        section.ranged("breaker_pause", &mut it.breaker_pause, tick..=hour);
        section.finish();
        it
    }
}

/// `connectors.error_budget.journal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Decisions kept in the store; beyond it the oldest go.
    pub max_rows: usize,
    /// How long a decision is kept.
    pub retention: Duration,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            max_rows: 100_000,
            retention: Duration::from_hours(400 * 24),
        }
    }
}

impl Journal {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.ranged("max_rows", &mut it.max_rows, 100..=10_000_000);
        // Below a day a restart could forget what a cooldown still holds back.
        let day = Duration::from_hours(24);
        section.ranged("retention", &mut it.retention, day..=4_000 * day);
        section.finish();
        it
    }
}

/// `connectors.error_budget.audit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Entries kept in the store; beyond it the oldest go.
    pub max_entries: u64,
    /// How long an entry is kept.
    pub retention: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            max_entries: 100_000,
            retention: Duration::from_hours(400 * 24),
        }
    }
}

impl Audit {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.ranged("max_entries", &mut it.max_entries, 100..=10_000_000);
        let day = Duration::from_hours(24);
        section.ranged("retention", &mut it.retention, day..=4_000 * day);
        section.finish();
        it
    }
}
