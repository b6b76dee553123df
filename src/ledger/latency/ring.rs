//! One series' durations of the last hour: a histogram for each of the last minutes, and for each five.
//!
//! Two rings, so that a window of five minutes is as fresh as a minute and one of an hour costs thirteen
//! histograms. Both count every event, so nothing is moved from one to the other.

use super::super::moment::Bucket;
use super::scale::SLOTS;
use std::collections::VecDeque;

/// 10 s buckets in a minute and in five.
const MINUTE: Bucket = 6;
const FIVE: Bucket = 30;
/// How far the rings reach back, in 10 s buckets: a window and what rounding its far edge down adds.
const MINUTES_KEPT: Bucket = 6 * MINUTE;
const FIVES_KEPT: Bucket = 13 * FIVE;

/// Sums over all slots.
pub(super) type Sums = Box<[u64; SLOTS]>;

/// Events of one slice, by slot, from the first that holds any.
#[derive(Clone, Debug)]
struct Slice {
    start: Bucket,
    first: u16,
    units: Vec<u64>,
}

impl Slice {
    fn add(&mut self, slot: u16, units: u64) {
        if self.units.is_empty() {
            self.first = slot;
        }
        if slot < self.first {
            let missing = usize::from(self.first - slot);
            self.units.splice(..0, std::iter::repeat_n(0, missing));
            self.first = slot;
        }
        let at = usize::from(slot - self.first);
        if at >= self.units.len() {
            self.units.resize(at + 1, 0);
        }
        if let Some(sum) = self.units.get_mut(at) {
            *sum = sum.saturating_add(units);
        }
    }

    fn add_to(&self, sums: &mut Sums) {
        let sums = sums.iter_mut().skip(usize::from(self.first));
        for (sum, units) in sums.zip(&self.units) {
            *sum = sum.saturating_add(*units);
        }
    }

    fn bytes(&self) -> usize {
        self.units.capacity() * size_of::<u64>()
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    minutes: VecDeque<Slice>,
    fives: VecDeque<Slice>,
    /// Newest bucket that holds an event.
    pub(super) last: Bucket,
}

impl Ring {
    /// Adds events of one bucket; `now` is the bucket of the present.
    pub(super) fn add(&mut self, now: Bucket, bucket: Bucket, slot: u16, units: u64) {
        self.last = self.last.max(bucket);
        for (slices, width, kept) in [
            (&mut self.minutes, MINUTE, MINUTES_KEPT),
            (&mut self.fives, FIVE, FIVES_KEPT),
        ] {
            let oldest = now.saturating_sub(kept);
            let start = bucket - bucket % width;
            if start + width <= oldest {
                continue;
            }
            while slices.front().is_some_and(|slice| slice.start + width <= oldest) {
                slices.pop_front();
            }
            let at = slices.partition_point(|slice| slice.start < start);
            if slices.get(at).is_none_or(|slice| slice.start != start) {
                let fresh = Slice {
                    start,
                    first: slot,
                    units: Vec::new(),
                };
                slices.insert(at, fresh);
            }
            if let Some(slice) = slices.get_mut(at) {
                slice.add(slot, units);
            }
        }
    }

    /// First bucket of a window that ends now, and whether minutes hold it.
    pub(super) fn edge(now: Bucket, window: Bucket) -> (Bucket, bool) {
        let raw = now.saturating_sub(window);
        if window <= FIVE {
            (raw - raw % MINUTE, true)
        } else {
            (raw - raw % FIVE, false)
        }
    }

    /// Adds what fell into a window to `sums`.
    pub(super) fn add_to(&self, now: Bucket, window: Bucket, sums: &mut Sums) {
        let (from, by_minutes) = Self::edge(now, window);
        let slices = if by_minutes { &self.minutes } else { &self.fives };
        let within = slices
            .iter()
            .filter(|slice| slice.start >= from && slice.start <= now);
        within.for_each(|slice| slice.add_to(sums));
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        let slices = self.minutes.iter().chain(&self.fives);
        (self.minutes.capacity() + self.fives.capacity()) * size_of::<Slice>()
            + slices.map(Slice::bytes).sum::<usize>()
    }
}
