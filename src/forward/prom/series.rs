//! One series: whose points it takes, and which of them.

use super::accumulate::{Value, remember};
use super::labels::Labels;
use super::points::{Example, Head, Scratch};
use crate::time::UnixNanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A cumulative series of the same labels takes over when the one before was silent for so long.
const TAKE_OVER: Duration = Duration::from_mins(1);

/// One series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(super) family: Arc<str>,
    pub(crate) labels: Arc<Labels>,
    pub(super) value: Value,
    pub(crate) examples: Vec<Example>,
    /// Time of the newest point.
    pub(crate) time: u64,
    /// Since when it counts.
    pub(crate) start: u64,
    /// When the newest point came.
    pub(crate) last_seen: UnixNanos,
    /// Its sender says that it is no more.
    pub(crate) is_absent: bool,
    /// Whose cumulative points it shows.
    pub(super) owner: u128,
    /// Time of the newest sample that was handed over, in milliseconds.
    pub(super) handed: AtomicU64,
}

/// Why a point does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Another metric has its name, with another type.
    TypeConflict,
    /// Another stream has its labels.
    Duplicate,
    /// A later point came before it.
    OutOfOrder,
    /// There are too many series.
    Limit,
}

impl Left {
    /// In the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::TypeConflict, Self::Duplicate, Self::OutOfOrder, Self::Limit];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TypeConflict => "type_conflict",
            Self::Duplicate => "duplicate_series",
            Self::OutOfOrder => "out_of_order",
            Self::Limit => "max_series",
        }
    }
}

impl Series {
    /// Whether `millis` is later than what was handed over before; then it is remembered.
    pub(crate) fn hand_over(&self, millis: u64) -> bool {
        self.handed.fetch_max(millis, Ordering::Relaxed) < millis
    }

    /// Takes a point of stream `id`, if it can be shown.
    pub(super) fn take(
        &mut self,
        now: UnixNanos,
        head: &Head<'_>,
        id: u128,
        point: &mut Scratch,
    ) -> Result<(), Left> {
        if self.time == 0 {
            self.start = point.start;
        }
        if head.is_delta {
            // Deltas of several senders add up to a total that is as right as theirs.
            if !point.is_absent && !self.value.add(point) {
                self.start = point.start;
            }
        } else {
            let silent = u128::from(now.0.saturating_sub(self.last_seen.0));
            if self.owner != id && point.start <= self.start && silent < TAKE_OVER.as_nanos() {
                return Err(Left::Duplicate);
            }
            if self.owner == id && point.time < self.time {
                return Err(Left::OutOfOrder);
            }
            self.owner = id;
            self.start = point.start;
            if !point.is_absent {
                self.value.set(point);
            }
        }
        self.is_absent = point.is_absent;
        self.time = if head.is_delta {
            self.time.max(point.time)
        } else {
            point.time
        };
        self.last_seen = now;
        if !point.examples.is_empty() {
            remember(&mut self.examples, &mut point.examples);
        }
        Ok(())
    }
}
