//! Ledger time in whole buckets: which bucket is the newest of a window, and where its far edge lies.
//!
//! Windows are (t - w, t] over whole buckets [a, b) that are stamped b. So the newest bucket of a window at
//! `t` is the last one that *starts* before `t`, and the far edge is `t - w` rounded down. The two do not
//! step together: at a multiple of ten seconds the far edge moves, just after it the newest bucket does. A
//! [`Phase`] numbers both kinds of step.

use super::history::Tier;
use super::{BUCKET_SECS, Counts};
use crate::time::{NANOS_PER_SEC, UnixNanos};

/// A 10 s bucket: Unix seconds / 10. 32 bits last for 1,361 years.
pub(super) type Bucket = u32;

/// 10 s buckets in five minutes: the chunk of the finest tier.
pub(super) const FIVE_MINUTES: Bucket = 30;
/// 10 s buckets in an hour: the chunk of the minutes.
pub(super) const HOUR: Bucket = 360;
/// Reach of the ring, in seconds: windows up to here have their far edge on 10 s buckets.
pub(super) const FINE_REACH_SECS: u64 = 7_200;

const BUCKET_NANOS: u64 = BUCKET_SECS * NANOS_PER_SEC;

/// The bucket that holds `secs`, clamped to what 32 bits hold.
pub(super) fn bucket_of(secs: u64) -> Bucket {
    Bucket::try_from(secs / BUCKET_SECS).unwrap_or(Bucket::MAX / 4)
}

/// Start of a bucket, in seconds.
pub(super) fn start_secs(bucket: Bucket) -> u64 {
    u64::from(bucket) * BUCKET_SECS
}

/// Start of a bucket.
pub(super) fn start_of(bucket: Bucket) -> UnixNanos {
    UnixNanos::from_secs(start_secs(bucket))
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Phase(u32);

impl Phase {
    /// The phase of an instant.
    pub(super) fn at(t: UnixNanos) -> Self {
        let whole = u32::try_from(t.0 / BUCKET_NANOS).unwrap_or(u32::MAX / 4);
        Self(whole * 2 + u32::from(!t.0.is_multiple_of(BUCKET_NANOS)))
    }

    /// First bucket after the newest one of a window that ends now.
    pub(super) fn end(self) -> Bucket {
        self.0.div_ceil(2)
    }

    /// Oldest bucket of a window of `buckets`, before rounding to a coarser tier.
    fn back(self, buckets: Bucket) -> Bucket {
        (self.0 / 2).saturating_sub(buckets)
    }
}

/// A window in use: its length, and the tier that holds its far edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) secs: u64,
    pub(super) buckets: Bucket,
    pub(super) tier: Tier,
}

impl Window {
    pub(super) fn new(secs: u64) -> Self {
        Self {
            secs,
            buckets: bucket_of(secs),
            tier: tier_of_age(secs),
        }
    }

    /// Oldest bucket of the window at `phase`: rounded down to its tier, never up.
    pub(super) fn edge(self, phase: Phase) -> Bucket {
        let raw = phase.back(self.buckets);
        raw - raw % self.tier.width()
    }
}

/// The tier that holds an edge which lies `secs` back.
pub(super) fn tier_of_age(secs: u64) -> Tier {
    match secs {
        0..=FINE_REACH_SECS => Tier::Fine,
        7_201..=super::COHORT_REACH_SECS => Tier::Minutes,
        _ => Tier::Days,
    }
}

impl Tier {
    /// Width of one bucket of this tier, in 10 s buckets.
    pub(super) fn width(self) -> Bucket {
        match self {
            Self::Fine | Self::Evidence => 1,
            Self::Minutes => 6,
            Self::Days => 30,
        }
    }

    /// Length of one chunk of this tier, in 10 s buckets.
    pub(super) fn span(self) -> Bucket {
        match self {
            Self::Fine | Self::Evidence => FIVE_MINUTES,
            Self::Minutes => HOUR,
            Self::Days => 8_640,
        }
    }

    /// Length of one chunk of this tier, in seconds.
    pub fn chunk_secs(self) -> u64 {
        start_secs(self.span())
    }

    /// Start of the chunk that holds `bucket`.
    pub(super) fn chunk_of(self, bucket: Bucket) -> Bucket {
        bucket - bucket % self.span()
    }
}

impl Counts {
    /// Nothing.
    pub const ZERO: Self = Self { good: 0, bad: 0 };

    /// Good and bad together.
    pub const fn total(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// Whether nothing was counted.
    pub const fn is_zero(self) -> bool {
        self.good == 0 && self.bad == 0
    }

    /// Adds, never wrapping: 2^64 events are out of anybody's reach.
    pub(crate) fn add(&mut self, other: Self) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
    }

    /// What remains without `other`, which must be a part of it.
    pub(crate) fn without(self, other: Self) -> Self {
        debug_assert!(
            self.good >= other.good && self.bad >= other.bad,
            "{other:?} is no part of {self:?}"
        );
        Self {
            good: self.good.saturating_sub(other.good),
            bad: self.bad.saturating_sub(other.bad),
        }
    }

    /// `self`, and no less than `other` of either.
    pub(crate) fn at_least(self, other: Self) -> Self {
        Self {
            good: self.good.max(other.good),
            bad: self.bad.max(other.bad),
        }
    }

    /// As much of `self` as `there` has.
    pub(crate) fn within(self, there: Self) -> Self {
        Self {
            good: self.good.min(there.good),
            bad: self.bad.min(there.bad),
        }
    }

    /// What remains without `other`, of which roundings may have made a little more than there is.
    pub(crate) const fn less(self, other: Self) -> Self {
        Self {
            good: self.good.saturating_sub(other.good),
            bad: self.bad.saturating_sub(other.bad),
        }
    }

    /// The larger of each: absolute counts of one bucket only grow, so the larger is the newer.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            good: self.good.max(other.good),
            bad: self.bad.max(other.bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_bucket_starts_before_now() {
        assert_eq!(Phase::at(UnixNanos::from_secs(110)).end(), 11);
        assert_eq!(Phase::at(UnixNanos(110 * NANOS_PER_SEC + 1)).end(), 12);
        assert_eq!(Phase::at(UnixNanos::from_secs(119)).end(), 12);
    }

    #[test]
    fn far_edge_is_rounded_down_to_its_tier() {
        let at = Phase::at(UnixNanos(1_000_005 * NANOS_PER_SEC));
        assert_eq!(Window::new(60).edge(at), 99_994);
        assert_eq!(Window::new(21_600).edge(at) % 6, 0);
        assert!(start_secs(Window::new(21_600).edge(at)) <= 1_000_005 - 21_600);
        assert_eq!(Window::new(30 * 86_400).edge(at) % 30, 0);
    }

    #[test]
    fn a_multiple_of_ten_seconds_moves_the_edge_and_the_next_nanosecond_the_head() {
        let whole = Phase::at(UnixNanos::from_secs(120));
        let after = Phase::at(UnixNanos(120 * NANOS_PER_SEC + 1));
        let window = Window::new(60);
        assert_eq!((window.edge(whole), whole.end()), (6, 12));
        assert_eq!((window.edge(after), after.end()), (6, 13));
    }
}
