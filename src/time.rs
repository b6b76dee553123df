//! Instants as arguments.
//!
//! Every window, state machine and decision takes `now`; nothing below [`crate::gateway`] reads a clock. So
//! 30 days of incidents run in simulated time, and a clock step is one more input to test. Rejected: a global
//! clock trait with a mock, because a hidden input is what makes such code hard to reason about.

use std::fmt;

/// Nanoseconds in a second.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Unix time in nanoseconds, the unit of OTLP timestamps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// The instant `secs` seconds after the epoch; saturates instead of wrapping.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// This instant plus `secs` seconds; saturates.
    pub const fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(NANOS_PER_SEC)))
    }

    /// This instant minus `secs` seconds; saturates at the epoch.
    pub const fn minus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_sub(secs.saturating_mul(NANOS_PER_SEC)))
    }

    /// Seconds from `earlier` to this instant, zero when `earlier` is later.
    pub const fn secs_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / NANOS_PER_SEC
    }
}

impl fmt::Display for UnixNanos {
    /// RFC 3339 in UTC, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0);
        match jiff::Timestamp::from_nanosecond(nanos) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// Where `now` comes from. The gateway has the only implementation that reads the system's clock; tests and
/// the simulator step their own.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The current instant.
    fn now(&self) -> UnixNanos;
}
