//! The counts of one series slice by slice, wherever they lie.
//!
//! What is in memory is copied under the ledger's lock, what is in the store is read without it. The two meet
//! at the ring's floor: before it the store holds everything, from it on the ring does. So a caller that has
//! a [`Past`] can read years without keeping a span waiting.
//!
//! Of sampled events a slice holds what they stand for, to the nearest whole, slice by slice.

use super::history::{HistoryError, Tier, stored_sum};
use super::moment::{Bucket, bucket_of, start_secs};
use super::{Counts, History, Lane, Ledger, SeriesRef, Weights};
use crate::cohort::{CohortId, ObjectiveId};

/// What tells two pasts of one series apart.
pub type Stamp = ((Option<SeriesRef>, u32), Option<(Option<SeriesRef>, u32)>);

/// See the module.
#[derive(Clone, Debug)]
pub struct Past {
    series: Option<SeriesRef>,
    total: bool,
    first: Bucket,
    floor: Bucket,
    end: Bucket,
    /// What the ring holds, ascending.
    ring: Vec<(Bucket, Counts)>,
    /// What sampled events stand for beyond themselves, in fixed point.
    excess: Option<Box<Past>>,
}

impl Ledger {
    /// Where the counts of a series lie, with those that only memory has; `None` when it is not live.
    pub fn past(&self, objective: ObjectiveId, cohort: CohortId) -> Option<Past> {
        let mut past = self.lane(self.slot(objective, cohort)?)?;
        let excess = self.slot_of(objective, cohort, Lane::Excess);
        past.excess = excess.and_then(|slot| self.lane(slot)).map(Box::new);
        Some(past)
    }

    fn lane(&self, slot: u32) -> Option<Past> {
        let series = self.series[slot as usize].as_ref()?;
        let (floor, end) = (series.extent.floor, self.phase.end());
        let filled = series.blocks.iter().flat_map(super::block::Block::filled);
        Some(Past {
            series: series.stored_as,
            total: series.total,
            first: series.extent.first,
            floor,
            end,
            ring: filled.filter(|&(at, _)| at >= floor && at < end).collect(),
            excess: None,
        })
    }

    /// The second before which no bucket can change any more.
    pub fn final_before_secs(&self) -> u64 {
        start_secs(self.allowed().0)
    }
}

impl Past {
    /// Changes when the series gets another past: the store has come to know it, or it is sampled now.
    pub fn stamp(&self) -> Stamp {
        let excess = self.excess.as_ref().map(|e| (e.series, e.first));
        ((self.series, self.first), excess)
    }

    /// Whether any of its events stands for others.
    pub fn is_sampled(&self) -> bool {
        self.excess.is_some()
    }

    /// No event is older than this second.
    pub fn first_secs(&self) -> u64 {
        start_secs(self.first)
    }

    /// First second after the newest bucket that has begun.
    pub fn end_secs(&self) -> u64 {
        start_secs(self.end)
    }

    fn ring_sum(&self, from: Bucket, to: Bucket) -> Counts {
        let mut sum = Counts::ZERO;
        let first = self.ring.partition_point(|&(at, _)| at < from);
        for &(_, counts) in self.ring[first..].iter().take_while(|&&(at, _)| at < to) {
            sum.add(counts);
        }
        sum
    }

    /// The sum over [from, to), in whole buckets of ten seconds; of what has left the ring, in whole minutes,
    /// which are kept for three days.
    pub fn sum(&self, history: &dyn History, from_secs: u64, to_secs: u64) -> Result<Counts, HistoryError> {
        let seen = self.lane_sum(history, from_secs, to_secs)?;
        let Some(excess) = &self.excess else {
            return Ok(seen);
        };
        let excess = excess.lane_sum(history, from_secs, to_secs)?;
        Ok(estimate(seen, excess))
    }

    fn lane_sum(&self, history: &dyn History, from_secs: u64, to_secs: u64) -> Result<Counts, HistoryError> {
        let (from, to) = (bucket_of(from_secs), bucket_of(to_secs).min(self.end));
        let mut sum = self.ring_sum(from.max(self.floor), to);
        let (from, stored_to) = (from.max(self.first), to.min(self.floor));
        if let Some(id) = self.series.filter(|_| from < stored_to) {
            sum.add(stored_sum(history, id, Tier::Minutes, from, stored_to)?);
        }
        Ok(sum)
    }

    /// The counts of each slice of `width_secs` from `from_secs` on, before `to_secs`. Both lie on multiples
    /// of the width. Multiples of five minutes reach back as far as the totals do, others three days.
    pub fn slices(
        &self,
        history: &dyn History,
        interval: (u64, u64),
        width_secs: u64,
    ) -> Result<Vec<Counts>, HistoryError> {
        let mut slices = self.lane_slices(history, interval, width_secs)?;
        if let Some(excess) = &self.excess {
            let excess = excess.lane_slices(history, interval, width_secs)?;
            for (slice, excess) in slices.iter_mut().zip(excess) {
                *slice = estimate(*slice, excess);
            }
        }
        Ok(slices)
    }

    fn lane_slices(
        &self,
        history: &dyn History,
        (from_secs, to_secs): (u64, u64),
        width_secs: u64,
    ) -> Result<Vec<Counts>, HistoryError> {
        let count = to_secs.saturating_sub(from_secs) / width_secs;
        let mut slices = vec![Counts::ZERO; usize::try_from(count).unwrap_or(0)];
        let mut put = |at: Bucket, counts: Counts| {
            let offset = start_secs(at)
                .checked_sub(from_secs)
                .map(|secs| secs / width_secs);
            let slot = offset.and_then(|o| slices.get_mut(usize::try_from(o).ok()?));
            if let Some(slot) = slot {
                slot.add(counts);
            }
        };
        let to = bucket_of(to_secs).min(self.end);
        let first = self.ring.partition_point(|&(at, _)| start_secs(at) < from_secs);
        for &(at, counts) in self.ring[first..].iter().take_while(|&&(at, _)| at < to) {
            put(at, counts);
        }
        let (from, stored_to) = (bucket_of(from_secs).max(self.first), to.min(self.floor));
        let Some(id) = self.series.filter(|_| from < stored_to) else {
            return Ok(slices);
        };
        let by_days = self.total && width_secs.is_multiple_of(start_secs(Tier::Days.width()));
        let tier = if by_days { Tier::Days } else { Tier::Minutes };
        let mut start = tier.chunk_of(from);
        while start < stored_to {
            if let Some(chunk) = history.chunk(tier, start_secs(start), id)? {
                for &(offset, counts) in &chunk.buckets {
                    let at = start + Bucket::from(offset) * tier.width();
                    if at < stored_to {
                        put(at, counts);
                    }
                }
            }
            start += tier.span();
        }
        Ok(slices)
    }
}

/// What events that were seen stand for.
fn estimate(seen: Counts, excess: Counts) -> Counts {
    let weights = Weights {
        excess,
        variance: Counts::ZERO,
    };
    weights.estimate(seen)
}
