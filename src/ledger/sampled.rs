//! What sampled events stand for, beside what was seen of them.
//!
//! Problem: a span that a sampler kept stands for 1/p spans, hardly ever a whole number, and an estimate
//! without its error is a claim. Property wanted: splitting, reordering, merging and restarting change no
//! figure; traffic that is not sampled costs and counts exactly what it did. So a series counts the events
//! that it *saw*, whole, and, once it saw a sampled one, has two more *lanes*: series of their own under the
//! same name, whose "counts" are sums in fixed point.
//!
//! * [`Lane::Excess`]: the sum of w - 1, in 2^-16, so that seen + excess estimates what happened;
//! * [`Lane::Variance`]: the sum of w (w - 1), in 2^-4: the variance of that estimate, and with it the sum of
//!   squared weights, from which effective sample sizes follow.
//!
//! An event that stands for itself adds to neither. Lanes are rings, running sums, frames and chunks like any
//! other series, so nothing of that is written twice; only views and sums put the three together. Rejected:
//! counts in fixed point everywhere (every unsampled series would be four times as large), rounding each
//! weight by chance as the Collector does (a repetition gives another figure), and floats (not additive).

use super::moment::Bucket;
use super::series::Series;
use super::{Counts, Ledger, SeriesView, WindowSum};
use crate::cohort::{CohortId, ObjectiveId, SourceId, StratumId};
use crate::time::UnixNanos;
use crate::wire::Weight;

/// Binary digits behind the point of an excess.
pub const EXCESS_BITS: u32 = 16;
/// Binary digits behind the point of a variance.
pub const VARIANCE_BITS: u32 = 4;
/// Largest weight that is believed, unless the configuration says otherwise and at most: with it, sums of
/// 2^48 events and variances of 10^8 seen ones stay exact.
pub const WEIGHT_MAX: u32 = 65_536;

/// Which of the sums of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Lane {
    /// Events that were seen, whole.
    #[default]
    Seen = 0,
    /// What they stand for beyond themselves, in 2^-16.
    Excess = 1,
    /// Variance of that, in 2^-4.
    Variance = 2,
}

impl Lane {
    /// Those that only sampled series have.
    pub const SIDES: [Self; 2] = [Self::Excess, Self::Variance];

    /// The number that stands for it in a name.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The lane of a number.
    pub const fn of_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Seen),
            1 => Some(Self::Excess),
            2 => Some(Self::Variance),
            _ => None,
        }
    }
}

/// What one event adds to the lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventWeight {
    /// w - 1, in 2^-16.
    pub excess: u64,
    /// w (w - 1), in 2^-4.
    pub variance: u64,
}

impl EventWeight {
    /// An event that stands for itself.
    pub const ONE: Self = Self {
        excess: 0,
        variance: 0,
    };

    /// From the weight of an event, at most `max`; a weight below one is one. Rounded to the nearest unit,
    /// the same for every event of that weight.
    pub fn of(weight: Weight, max: u32) -> Self {
        let one = 1u128 << EXCESS_BITS;
        let max = u128::from(max.clamp(1, WEIGHT_MAX)) << 32;
        let weight = ((weight.fixed().min(max) + (1 << 15)) >> 16).max(one);
        let excess = weight - one;
        // In 2^-32, rounded to 2^-4.
        let variance = (weight * excess + (1 << 27)) >> 28;
        Self {
            excess: u64::try_from(excess).unwrap_or(u64::MAX),
            variance: u64::try_from(variance).unwrap_or(u64::MAX),
        }
    }

    /// Whether it is an event that stands for itself.
    pub const fn is_one(self) -> bool {
        self.excess == 0 && self.variance == 0
    }
}

/// Sums of [`EventWeight`], of good and of bad events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Sums of w - 1, in 2^-16.
    pub excess: Counts,
    /// Sums of w (w - 1), in 2^-4.
    pub variance: Counts,
}

impl Weights {
    /// Whether every event stood for itself.
    pub const fn is_zero(self) -> bool {
        self.excess.is_zero() && self.variance.is_zero()
    }

    /// Adds.
    pub fn add(&mut self, other: Self) {
        self.excess.add(other.excess);
        self.variance.add(other.variance);
    }

    pub(super) fn lane(self, lane: Lane) -> Counts {
        match lane {
            Lane::Seen => Counts::ZERO,
            Lane::Excess => self.excess,
            Lane::Variance => self.variance,
        }
    }

    fn set(&mut self, lane: Lane, counts: Counts) {
        match lane {
            Lane::Seen => {}
            Lane::Excess => self.excess = counts,
            Lane::Variance => self.variance = counts,
        }
    }

    /// What `seen` events of these weights stand for, rounded to the nearest.
    pub fn estimate(self, seen: Counts) -> Counts {
        let whole = |excess: u64| (excess >> EXCESS_BITS) + (excess >> (EXCESS_BITS - 1) & 1);
        let mut sum = seen;
        sum.add(Counts {
            good: whole(self.excess.good),
            bad: whole(self.excess.bad),
        });
        sum
    }
}

/// What is known of a sum beside the estimate, when some of its events were sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// The events that were seen.
    pub seen: Counts,
    /// What they stand for beyond themselves.
    pub weights: Weights,
}

impl Sampled {
    /// The estimate, to the nearest whole.
    pub fn counts(self) -> Counts {
        self.weights.estimate(self.seen)
    }

    /// Adds another group of events.
    pub fn add(&mut self, other: Self) {
        self.seen.add(other.seen);
        self.weights.add(other.weights);
    }
}

/// What a batch adds to the lanes of one series or cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightDelta {
    /// The objective.
    pub objective: ObjectiveId,
    /// The cohort.
    pub cohort: CohortId,
    /// Stratum and source of an evidence cell; `None` is the budget series.
    pub cell: Option<(StratumId, SourceId)>,
    /// Bucket number, as of the events.
    pub bucket: u64,
    /// What to add.
    pub weights: Weights,
}

impl WindowSum {
    /// The events that were seen.
    pub fn seen(&self) -> Counts {
        self.sampled.map_or(self.counts, |sampled| sampled.seen)
    }

    /// What was seen and what it stands for; of events that were not sampled, themselves.
    pub fn estimate(&self) -> Sampled {
        self.sampled.unwrap_or(Sampled {
            seen: self.counts,
            weights: Weights::default(),
        })
    }

    /// From what was seen and what it stands for.
    pub(super) fn weigh(&mut self, weights: Weights) {
        if !weights.is_zero() {
            let seen = self.counts;
            self.counts = weights.estimate(seen);
            self.sampled = Some(Sampled { seen, weights });
        }
    }
}

impl Ledger {
    /// Counts what the events of a batch stand for. Call it after [`Self::absorb`], at the same hold of the
    /// lock and with the same `now`, so that both come into the same buckets.
    pub fn absorb_weights(&mut self, now: UnixNanos, rows: &[WeightDelta]) {
        self.reach(now);
        for row in rows {
            let bucket = self.bucket_within(row.bucket);
            for lane in Lane::SIDES {
                let counts = row.weights.lane(lane);
                if counts.is_zero() {
                    continue;
                }
                let kept = match row.cell {
                    None => self.count_side(row.objective, row.cohort, lane, bucket, counts),
                    Some((stratum, source)) => {
                        let key = super::CellKey {
                            objective: row.objective,
                            cohort: row.cohort,
                            stratum,
                            source,
                        };
                        let max = self.limits.max_evidence_cells;
                        self.cells.absorb_lane(key, lane, counts, bucket, max)
                    }
                };
                if !kept && lane == Lane::Excess {
                    let lost = row.weights.estimate(Counts::ZERO).total();
                    match row.cell {
                        None => self.stats.refused_series_events += lost,
                        Some(_) => self.stats.refused_evidence_events += lost,
                    }
                }
            }
        }
    }

    fn count_side(
        &mut self,
        objective: ObjectiveId,
        cohort: CohortId,
        lane: Lane,
        bucket: Bucket,
        counts: Counts,
    ) -> bool {
        let known = self.slot_of(objective, cohort, lane);
        let Some(slot) = known.or_else(|| self.open(objective, cohort, lane)) else {
            return false;
        };
        self.count(slot, bucket, counts);
        true
    }

    /// The lanes of a series that only sampled ones have.
    pub(super) fn sides(&self, series: &Series) -> impl Iterator<Item = (Lane, u32)> + use<> {
        let side = |lane| self.slot_of(series.objective, series.cohort, lane);
        let found = if series.sampled {
            Lane::SIDES.map(|lane| (lane, side(lane)))
        } else {
            Lane::SIDES.map(|lane| (lane, None))
        };
        found.into_iter().filter_map(|(lane, slot)| Some((lane, slot?)))
    }

    /// Brings a series and its lanes to ledger time.
    pub(super) fn advance_all(&mut self, slot: u32) {
        self.advance(slot);
        let Some(series) = self.series[slot as usize].as_ref().filter(|s| s.sampled) else {
            return;
        };
        for (_, side) in self.sides(series) {
            self.advance(side);
        }
    }

    /// One series with what its lanes say; all of them stand at ledger time.
    pub(super) fn view_of(&self, slot: u32) -> Option<SeriesView> {
        let series = self.series[slot as usize].as_ref()?;
        let mut view = series.view(self.now);
        if !series.sampled {
            return Some(view);
        }
        let mut windows = vec![Weights::default(); view.windows.len()];
        let mut lifetime = Weights::default();
        for (lane, side) in self.sides(series) {
            let Some(side) = self.series[side as usize].as_ref() else {
                continue;
            };
            for (weights, window) in windows.iter_mut().zip(&view.windows) {
                weights.set(lane, side.window(window.window_secs));
            }
            lifetime.set(lane, side.lifetime);
        }
        for (weights, window) in windows.into_iter().zip(&mut view.windows) {
            window.weigh(weights);
        }
        view.lifetime = lifetime.estimate(view.lifetime);
        Some(view)
    }

    /// Where the events of a series count, whose lane this may be; `None` when there are none.
    pub(super) fn base_of(&self, slot: u32) -> Option<u32> {
        let series = self.series[slot as usize].as_ref()?;
        match series.lane {
            Lane::Seen => Some(slot),
            Lane::Excess | Lane::Variance => self.slot(series.objective, series.cohort),
        }
    }

    /// Tells a series that it has lanes, whichever of them came first.
    pub(super) fn tie(&mut self, objective: ObjectiveId, cohort: CohortId, lane: Lane) {
        let Some(base) = self.slot(objective, cohort) else {
            return;
        };
        let has_sides = || {
            let mut sides = Lane::SIDES.into_iter();
            sides.any(|side| self.slot_of(objective, cohort, side).is_some())
        };
        let is_sampled = lane != Lane::Seen || has_sides();
        if let Some(series) = self.series[base as usize].as_mut() {
            series.sampled |= is_sampled;
        }
    }
}

/// The weights of one sum, lane by lane.
pub(super) fn weights_of(lanes: impl Iterator<Item = (Lane, Counts)>) -> Weights {
    let mut weights = Weights::default();
    lanes.for_each(|(lane, counts)| weights.set(lane, counts));
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weight(whole: u64, part: u32) -> Weight {
        Weight { whole, part }
    }

    #[test]
    fn an_event_that_stands_for_itself_adds_to_no_lane() {
        assert!(EventWeight::of(Weight::ONE, WEIGHT_MAX).is_one());
        assert!(EventWeight::of(weight(0, 5), WEIGHT_MAX).is_one());
    }

    #[test]
    fn whole_weights_are_exact() {
        let hundred = EventWeight::of(weight(100, 0), WEIGHT_MAX);
        assert_eq!((hundred.excess, hundred.variance), (99 << 16, 9900 << 4));
        let most = EventWeight::of(weight(u64::MAX, 0), u32::MAX);
        assert_eq!(most, EventWeight::of(weight(65_536, 0), WEIGHT_MAX));
        assert_eq!(EventWeight::of(weight(100, 0), 10).excess, 9 << 16);
    }

    proptest! {
        #[test]
        fn fixed_point_is_right_to_its_unit(whole in 1u64..65_536, part in any::<u32>()) {
            let it = EventWeight::of(weight(whole, part), WEIGHT_MAX);
            let w = whole as f64 + f64::from(part) / 4_294_967_296.0;
            prop_assert!((it.excess as f64 / 65_536.0 - (w - 1.0)).abs() <= 1.0 / 65_536.0);
            let variance = w * (w - 1.0);
            let off = (it.variance as f64 / 16.0 - variance).abs();
            prop_assert!(off <= 0.04 + variance * 2e-5, "{} {}", it.variance, variance);
        }

        #[test]
        fn an_estimate_is_the_nearest_whole(seen in 0u64..1 << 40, excess in 0u64..1 << 50) {
            let weights = Weights {
                excess: Counts { good: excess, bad: 0 },
                variance: Counts::ZERO,
            };
            let got = weights.estimate(Counts { good: seen, bad: 0 }).good - seen;
            prop_assert!((got as f64 - excess as f64 / 65_536.0).abs() <= 0.5);
        }
    }
}
