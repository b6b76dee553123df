//! What a stream said last: a number, or a histogram as bytes.
//!
//! A histogram's counts are kept as varints: most are small, a stream of sixteen buckets takes forty bytes
//! instead of a hundred and forty, and the store keeps the same bytes.

use super::share::{PowerShare, Share};
use crate::ledger::varint;
use crate::sli::Measure;
use crate::wire::{ExponentialValue, HistogramValue, SummaryValue};
use twox_hash::XxHash3_64;

/// Buckets of one histogram that are read; the most that any SDK makes is 320.
const BUCKETS_MAX: usize = 4_096;

/// A reading, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ledger) enum Reading<'r> {
    Int(i64),
    Double(f64),
    /// A histogram, encoded by [`encode_explicit`] and its like.
    Buckets(&'r [u8]),
}

/// A reading, owned. Its room is used again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Held {
    Int(i64),
    Double(f64),
    Buckets(Box<[u8]>),
}

impl Held {
    pub(super) fn new(reading: Reading<'_>) -> Self {
        match reading {
            Reading::Int(number) => Self::Int(number),
            Reading::Double(number) => Self::Double(number),
            Reading::Buckets(bytes) => Self::Buckets(bytes.into()),
        }
    }

    pub(super) fn get(&self) -> Reading<'_> {
        match self {
            Self::Int(number) => Reading::Int(*number),
            Self::Double(number) => Reading::Double(*number),
            Self::Buckets(bytes) => Reading::Buckets(bytes),
        }
    }

    pub(super) fn set(&mut self, reading: Reading<'_>) {
        match (self, reading) {
            (Self::Buckets(room), Reading::Buckets(bytes)) if room.len() == bytes.len() => {
                room.copy_from_slice(bytes);
            }
            (held, reading) => *held = Self::new(reading),
        }
    }

    /// Bytes beyond its own size.
    pub(super) fn heap_bytes(&self) -> usize {
        if let Self::Buckets(bytes) = self {
            bytes.len()
        } else {
            0
        }
    }
}

const EXPLICIT: u8 = 1;
const EXPONENTIAL: u8 = 2;
const SUMMARY: u8 = 3;

/// A histogram, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'r> {
    kind: u8,
    sum: f64,
    pub(super) count: u64,
    /// Of an explicit one: a hash of its bounds.
    bounds: u64,
    scale: i32,
    /// Of an exponential one: what is zero or below.
    low: u64,
    offset: i64,
    buckets: usize,
    counts: &'r [u8],
}

impl<'r> Parts<'r> {
    pub(super) fn of(bytes: &'r [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (sum, mut rest) = rest.split_first_chunk::<8>()?;
        let mut parts = Self {
            kind: *kind,
            sum: f64::from_le_bytes(*sum),
            count: varint::take(&mut rest)?,
            bounds: 0,
            scale: 0,
            low: 0,
            offset: 0,
            buckets: 0,
            counts: &[],
        };
        match *kind {
            SUMMARY => return Some(parts),
            EXPLICIT => {
                let (bounds, behind) = rest.split_first_chunk::<8>()?;
                (parts.bounds, rest) = (u64::from_le_bytes(*bounds), behind);
            }
            EXPONENTIAL => {
                parts.scale = i32::try_from(unzigzag(varint::take(&mut rest)?)).ok()?;
                parts.low = varint::take(&mut rest)?;
                parts.offset = unzigzag(varint::take(&mut rest)?);
            }
            _ => return None,
        }
        parts.buckets = usize::try_from(varint::take(&mut rest)?).ok()?;
        parts.counts = rest;
        Some(parts)
    }

    fn counts(&self) -> impl Iterator<Item = u64> + use<'r> {
        let mut rest = self.counts;
        (0..self.buckets).map_while(move |_| varint::take(&mut rest))
    }

    /// Index (at a scale that is `down` lower) and count of every bucket.
    fn indexed(&self, down: u32) -> impl Iterator<Item = (i64, u64)> + use<'r> {
        let offset = self.offset;
        (0i64..)
            .zip(self.counts())
            .map(move |(at, count)| (offset.saturating_add(at) >> down.min(63), count))
    }
}

/// What a measure found: how much, and whether it had to be interpolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Level {
    pub(in crate::ledger) amount: u64,
    pub(in crate::ledger) interpolated: bool,
}

impl From<u64> for Level {
    fn from(amount: u64) -> Self {
        Self {
            amount,
            interpolated: false,
        }
    }
}

impl Reading<'_> {
    /// How much `measure` finds; `None` when it cannot be said of such a reading. `scale` is the lower one of
    /// the readings that will be compared; `share` divides an explicit histogram, whose bounds its caller
    /// knows.
    pub(in crate::ledger) fn level(
        self,
        measure: Measure,
        scale: i32,
        share: Option<Share>,
    ) -> Option<Level> {
        match (self, measure) {
            (Self::Int(number), Measure::Value) => Some(u64::try_from(number).unwrap_or(0).into()),
            (Self::Double(number), Measure::Value) => Some(floor(number).into()),
            (Self::Buckets(bytes), _) => {
                let parts = Parts::of(bytes)?;
                match (measure, parts.kind) {
                    (Measure::Count, _) => Some(parts.count.into()),
                    (Measure::Sum, _) => Some(floor(parts.sum).into()),
                    (Measure::AtMost(_), EXPLICIT) => {
                        let share = share?;
                        Some(Level {
                            amount: share.take(parts.counts()).min(parts.count),
                            interpolated: !share.is_exact,
                        })
                    }
                    (Measure::AtMost(threshold), EXPONENTIAL) => parts.at_most(threshold, scale),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The scale of an exponential histogram.
    pub(in crate::ledger) fn scale(self) -> Option<i32> {
        match self {
            Self::Buckets(bytes) => Parts::of(bytes)
                .filter(|p| p.kind == EXPONENTIAL)
                .map(|p| p.scale),
            _ => None,
        }
    }

    /// Whether every count is at least what it was: what a reset or another writer breaks.
    pub(super) fn has_grown_from(self, before: Self) -> bool {
        match (self, before) {
            (Self::Buckets(after), Self::Buckets(before)) => {
                let (Some(after), Some(before)) = (Parts::of(after), Parts::of(before)) else {
                    return false;
                };
                let same =
                    after.kind == before.kind && after.bounds == before.bounds && after.low >= before.low;
                let buckets = after.kind != EXPLICIT
                    || (after.buckets == before.buckets
                        && after.counts().zip(before.counts()).all(|(a, b)| a >= b));
                same && buckets && after.count >= before.count
            }
            (Self::Buckets(_), _) | (_, Self::Buckets(_)) => false,
            (Self::Int(after), Self::Int(before)) => after >= before,
            (after, before) => after.number() >= before.number(),
        }
    }

    /// A number to compare readings by.
    pub(super) fn number(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Double(number) => number,
            Self::Buckets(bytes) => Parts::of(bytes).map_or(0.0, |parts| parts.count as f64),
        }
    }
}

impl Parts<'_> {
    fn at_most(&self, threshold: f64, scale: i32) -> Option<Level> {
        let down = u32::try_from(self.scale.saturating_sub(scale)).unwrap_or(0);
        let share = PowerShare::new(self.scale.min(scale), threshold)?;
        let below = self.indexed(down).fold(Merged::default(), |sum, (index, count)| {
            sum.add(&share, index, count)
        });
        Some(Level {
            amount: self.low.saturating_add(below.finish(&share)).min(self.count),
            interpolated: !share.is_exact,
        })
    }
}

/// Adds up buckets; those that the lower scale merges are divided as one.
#[derive(Clone, Copy, Default)]
struct Merged {
    below: u64,
    divided: u64,
}

impl Merged {
    fn add(mut self, share: &PowerShare, index: i64, count: u64) -> Self {
        if index == share.index {
            self.divided = self.divided.saturating_add(count);
        } else {
            self.below = self.below.saturating_add(share.of(index, count));
        }
        self
    }

    fn finish(self, share: &PowerShare) -> u64 {
        self.below.saturating_add(share.of(share.index, self.divided))
    }
}

/// Whole numbers below; a counter of events that is sent as a float holds whole numbers.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates: negative and NaN are zero"
)]
fn floor(number: f64) -> u64 {
    number.floor() as u64
}

fn zigzag(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// A hash of bounds, the same in every process.
pub(in crate::ledger) fn bounds_hash(bounds: &[f64]) -> u64 {
    let bytes: Vec<u8> = bounds.iter().flat_map(|bound| bound.to_le_bytes()).collect();
    XxHash3_64::oneshot(&bytes)
}

fn head(out: &mut Vec<u8>, kind: u8, sum: f64, count: u64) {
    out.clear();
    out.push(kind);
    out.extend_from_slice(&sum.to_le_bytes());
    varint::put(out, count);
}

fn put_counts(out: &mut Vec<u8>, counts: &[u64]) {
    varint::put(out, counts.len() as u64);
    for count in counts {
        varint::put(out, *count);
    }
}

/// Encodes a histogram; `counts` is scratch. `None` when buckets and bounds do not fit each other.
pub(in crate::ledger) fn encode_explicit(
    value: &HistogramValue<'_>,
    bounds: &[f64],
    bounds_hash: u64,
    counts: &mut Vec<u64>,
    out: &mut Vec<u8>,
) -> Option<()> {
    counts.clear();
    value.bucket_counts.for_each(|count| counts.push(count));
    let fits = counts.len() == bounds.len() + 1 || (counts.is_empty() && bounds.is_empty());
    if !fits || counts.len() > BUCKETS_MAX {
        return None;
    }
    head(out, EXPLICIT, value.sum.unwrap_or(0.0), value.count);
    out.extend_from_slice(&bounds_hash.to_le_bytes());
    put_counts(out, counts);
    Some(())
}

/// Encodes an exponential histogram; `counts` is scratch.
pub(in crate::ledger) fn encode_exponential(
    value: &ExponentialValue<'_>,
    counts: &mut Vec<u64>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut low = value.zero_count;
    value.negative.for_each(|count| low = low.saturating_add(count));
    counts.clear();
    value.positive.for_each(|count| counts.push(count));
    if counts.len() > BUCKETS_MAX {
        return None;
    }
    head(out, EXPONENTIAL, value.sum.unwrap_or(0.0), value.count);
    put_powers(out, value.scale, low, value.positive.offset.into(), counts);
    Some(())
}

fn put_powers(out: &mut Vec<u8>, scale: i32, low: u64, offset: i64, counts: &[u64]) {
    varint::put(out, zigzag(scale.into()));
    varint::put(out, low);
    varint::put(out, zigzag(offset));
    put_counts(out, counts);
}

/// Encodes a summary: its count and sum. Quantiles are of the last minutes and no part of what adds up.
pub(in crate::ledger) fn encode_summary(value: &SummaryValue<'_>, out: &mut Vec<u8>) {
    head(out, SUMMARY, value.sum, value.count);
}

/// `before + delta` into `out`; `None` when they are no readings of one histogram.
pub(super) fn add_buckets(
    before: &[u8],
    delta: &[u8],
    counts: &mut Vec<u64>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let (a, b) = (Parts::of(before)?, Parts::of(delta)?);
    if a.kind != b.kind || a.bounds != b.bounds {
        return None;
    }
    counts.clear();
    let count = a.count.saturating_add(b.count);
    head(out, a.kind, a.sum + b.sum, count);
    match a.kind {
        EXPLICIT => {
            if a.buckets != b.buckets {
                return None;
            }
            counts.extend(a.counts().zip(b.counts()).map(|(a, b)| a.saturating_add(b)));
            out.extend_from_slice(&a.bounds.to_le_bytes());
            put_counts(out, counts);
        }
        EXPONENTIAL => {
            let scale = a.scale.min(b.scale);
            let down = |parts: &Parts<'_>| u32::try_from(parts.scale - scale).unwrap_or(0);
            let all = || a.indexed(down(&a)).chain(b.indexed(down(&b)));
            let from = all()
                .filter(|(_, count)| *count > 0)
                .map(|(index, _)| index)
                .min()
                .unwrap_or(0);
            for (index, count) in all().filter(|(_, count)| *count > 0) {
                let at = usize::try_from(index - from)
                    .ok()
                    .filter(|at| *at < BUCKETS_MAX)?;
                if counts.len() <= at {
                    counts.resize(at + 1, 0);
                }
                let sum = counts.get_mut(at)?;
                *sum = sum.saturating_add(count);
            }
            put_powers(out, scale, a.low.saturating_add(b.low), from, counts);
        }
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn explicit(counts: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        head(&mut out, EXPLICIT, 0.5, counts.iter().sum());
        out.extend_from_slice(&7u64.to_le_bytes());
        put_counts(&mut out, counts);
        out
    }

    fn powers(scale: i32, low: u64, offset: i64, counts: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        head(&mut out, EXPONENTIAL, 0.0, low + counts.iter().sum::<u64>());
        put_powers(&mut out, scale, low, offset, counts);
        out
    }

    #[test]
    fn a_bucket_that_shrank_is_no_growth_even_if_the_count_grew() {
        let (a, b) = (explicit(&[5, 1]), explicit(&[4, 9]));
        assert!(!Reading::Buckets(&b).has_grown_from(Reading::Buckets(&a)));
        assert!(Reading::Buckets(&a).has_grown_from(Reading::Buckets(&a)));
        assert!(Reading::Double(3.0).has_grown_from(Reading::Int(3)));
    }

    #[test]
    fn counters_sent_as_floats_count_whole_events() {
        for (number, events) in [(3.0, 3), (2.999, 2), (-1.0, 0), (f64::NAN, 0)] {
            let level = Reading::Double(number).level(Measure::Value, 0, None).unwrap();
            assert_eq!(level.amount, events, "{number}");
        }
    }

    #[test]
    fn a_lower_scale_divides_the_merged_bucket() {
        // At scale 1 the buckets (1, 1.41] and (1.41, 2] hold 4 and 6; at scale 0 they are one.
        let bytes = powers(1, 3, 0, &[4, 6, 5]);
        let at = |scale, threshold| {
            Reading::Buckets(&bytes)
                .level(Measure::AtMost(threshold), scale, None)
                .unwrap()
        };
        assert_eq!(at(1, 2.0), 13.into());
        assert_eq!(at(0, 2.0), 13.into());
        assert_eq!(at(0, 2f64.powf(0.5)).amount, 3 + 5);
    }

    proptest! {
        #[test]
        fn numbers_survive_zigzag(number: i64) {
            prop_assert_eq!(unzigzag(zigzag(number)), number);
        }

        #[test]
        fn adding_keeps_every_count_at_the_lower_scale(
            a in proptest::collection::vec(0u64..9, 0..20), b in proptest::collection::vec(0u64..9, 0..20),
            (scale_a, scale_b) in (-1i32..4, -1i32..4), (from_a, from_b) in (-9i64..9, -9i64..9),
        ) {
            let (first, second) = (powers(scale_a, 1, from_a, &a), powers(scale_b, 2, from_b, &b));
            let mut sum = Vec::new();
            prop_assert!(add_buckets(&first, &second, &mut Vec::new(), &mut sum).is_some());
            let scale = scale_a.min(scale_b);
            for power in -8..8 {
                // Bounds of both scales: no rounding.
                let at = |bytes: &[u8]| {
                    let measure = Measure::AtMost(f64::from(power * 2).exp2());
                    Reading::Buckets(bytes).level(measure, scale, None).unwrap().amount
                };
                prop_assert_eq!(at(&sum), at(&first) + at(&second));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), kind in 0u8..5) {
            let bytes = [vec![kind], bytes].concat();
            let reading = Reading::Buckets(&bytes);
            for measure in [Measure::Count, Measure::Sum, Measure::AtMost(0.3)] {
                let _ = reading.level(measure, 0, None);
            }
            let _ = add_buckets(&bytes, &bytes, &mut Vec::new(), &mut Vec::new());
        }
    }
}
