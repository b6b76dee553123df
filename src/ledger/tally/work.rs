//! Scratch for settling the points of one batch: their readings, the shares of their buckets, their pairs.

use crate::ledger::points::{
    Brought, Quality, Reading, Share, Step, Streams, bounds_hash, encode_explicit, encode_exponential,
    encode_summary, part, summary_share,
};
use crate::sli::Measure;
use crate::wire::{HistogramValue, NumberValue, PointValue};
use hashbrown::HashMap;

/// Shares that are remembered: a batch has a few sets of bounds and thresholds.
const SHARES_MAX: usize = 64;

/// What a measure found that is new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    pub(super) amount: u64,
    pub(super) quality: Quality,
}

/// What the batch brings of one pair, and where it counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPair {
    pub(super) key: u64,
    pub(super) brought: Brought,
    pub(super) part_is_bad: bool,
    pub(super) group: u32,
    pub(super) lane: u32,
}

impl BatchPair {
    pub(super) fn part(&mut self, amount: u64) {
        *self.brought.part.get_or_insert(0) += amount;
    }

    /// What is known of all events says where both count.
    pub(super) fn whole(&mut self, amount: u64, group: u32) {
        self.group = group;
        *self.brought.whole.get_or_insert(0) += amount;
    }
}

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Work<'a> {
    /// Bounds of the point at hand, as they stand on the wire and read.
    packed: Option<&'a [u8]>,
    bounds: Vec<f64>,
    bounds_hash: u64,
    counts: Vec<u64>,
    bytes: Vec<u8>,
    shares: Vec<((u64, u64), Option<Share>)>,
    pub(super) pairs: Vec<BatchPair>,
    /// Where the pair of a key is.
    places: HashMap<u64, usize>,
}

impl<'a> Work<'a> {
    /// Encodes the reading of a point; false when it is none.
    pub(super) fn read(&mut self, value: &PointValue<'a>) -> bool {
        match value {
            PointValue::Number(NumberValue::Missing) => false,
            PointValue::Number(_) => true,
            PointValue::Histogram(value) => {
                self.read_bounds(value);
                let (bounds, counts) = (&self.bounds, &mut self.counts);
                encode_explicit(value, bounds, self.bounds_hash, counts, &mut self.bytes).is_some()
            }
            PointValue::Exponential(value) => {
                encode_exponential(value, &mut self.counts, &mut self.bytes).is_some()
            }
            PointValue::Summary(value) => {
                encode_summary(value, &mut self.bytes);
                true
            }
        }
    }

    /// Points of one metric have the same bounds, which then are read once.
    fn read_bounds(&mut self, value: &HistogramValue<'a>) {
        let packed = value.explicit_bounds.packed();
        if packed.is_some() && packed == self.packed {
            return;
        }
        self.packed = packed;
        self.bounds.clear();
        let bounds = &mut self.bounds;
        value
            .explicit_bounds
            .for_each(|bits| bounds.push(f64::from_bits(bits)));
        self.bounds_hash = bounds_hash(&self.bounds);
    }

    /// The reading that was read last.
    pub(super) fn reading(&self, value: &PointValue<'_>) -> Reading<'_> {
        match value {
            PointValue::Number(NumberValue::Int(number)) => Reading::Int(*number),
            PointValue::Number(NumberValue::Double(number)) => Reading::Double(*number),
            _ => Reading::Buckets(&self.bytes),
        }
    }

    /// What `measure` finds that is new; `None` when it cannot be said of such a point.
    pub(super) fn added(
        &mut self,
        value: &PointValue<'a>,
        streams: &Streams,
        step: Step,
        measure: Measure,
    ) -> Option<Added> {
        let exact = |amount| Added {
            amount,
            quality: Quality::Exact,
        };
        if let Step::Skip(_) = step {
            return Some(exact(0));
        }
        let before = (step == Step::Grew).then(|| streams.before());
        if let (PointValue::Summary(summary), Measure::AtMost(threshold)) = (value, measure) {
            let count =
                |reading: Reading<'_>| reading.level(Measure::Count, 0, None).map(|level| level.amount);
            let before = before.map_or(Some(0), count)?;
            let after = count(streams.after())?;
            // Of all that the stream has ever counted, as of buckets: parts of each point's few events
            // would lose up to one of them to rounding, at every point.
            let share = summary_share(summary, threshold);
            return Some(Added {
                amount: part(after, share).saturating_sub(part(before, share)),
                quality: Quality::Estimated,
            });
        }
        let share = match measure {
            Measure::AtMost(threshold) => self.share(threshold),
            _ => None,
        };
        let after = streams.after();
        let scale = after.scale().unwrap_or(0);
        let scale = before
            .and_then(Reading::scale)
            .map_or(scale, |other| other.min(scale));
        let level = after.level(measure, scale, share)?;
        let before = match before {
            Some(before) => before.level(measure, scale, share)?.amount,
            None => 0,
        };
        Some(Added {
            amount: level.amount.saturating_sub(before),
            quality: if level.interpolated {
                Quality::Interpolated
            } else {
                Quality::Exact
            },
        })
    }

    /// The share of a histogram with the bounds at hand.
    fn share(&mut self, threshold: f64) -> Option<Share> {
        let key = (self.bounds_hash, threshold.to_bits());
        if let Some((_, share)) = self.shares.iter().find(|(known, _)| *known == key) {
            return *share;
        }
        let share = Share::new(&self.bounds, threshold);
        if self.shares.len() >= SHARES_MAX {
            self.shares.clear();
        }
        self.shares.push((key, share));
        share
    }

    /// The pair of a key, new or known.
    pub(super) fn bring(&mut self, key: u64, group: u32, lane: u32, part_is_bad: bool) -> &mut BatchPair {
        let at = *self.places.entry(key).or_insert(self.pairs.len());
        if at == self.pairs.len() {
            self.pairs.push(BatchPair {
                key,
                brought: Brought::default(),
                part_is_bad,
                group,
                lane,
            });
        }
        &mut self.pairs[at]
    }
}
