//! Histograms whose buckets are powers of a base that adapts: OpenTelemetry's exponential histogram.
//!
//! Bucket `i` of scale `s` holds (2^(i/2^s), 2^((i+1)/2^s)]. A value that would need more than `max_size`
//! buckets halves the resolution (two neighbours become one) as often as it must.

use super::exact::{Counts, Exact, Weight};

/// Finest resolution; a double cannot tell finer ones apart.
const SCALE_MAX: i32 = 20;
/// At this scale two buckets hold every double.
const SCALE_MIN: i32 = -10;

/// Positive durations by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exponential {
    pub(super) scale: i32,
    /// Index of the first bucket.
    pub(super) offset: i32,
    pub(super) zero: Exact,
    pub(super) counts: Counts,
}

impl Default for Exponential {
    fn default() -> Self {
        Self {
            scale: SCALE_MAX,
            offset: 0,
            zero: Exact::default(),
            counts: Counts::default(),
        }
    }
}

/// The bucket of a positive, finite value.
fn index(value: f64, scale: i32) -> i32 {
    let bits = value.to_bits();
    let mantissa = bits & 0x000f_ffff_ffff_ffff;
    let raw = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    // Subnormal numbers are no durations; they share the lowest power.
    let exponent = if raw == 0 { -1023 } else { raw - 1023 };
    if scale <= 0 {
        // A power of two is the upper bound of the bucket before.
        let index = if mantissa == 0 { exponent - 1 } else { exponent };
        return index >> -scale;
    }
    if mantissa == 0 {
        return (exponent << scale) - 1;
    }
    let fraction = f64::from_bits(mantissa | 1023 << 52).log2();
    let within = (fraction * f64::from(1 << scale)).ceil() - 1.0;
    // Between 0 and 2^20: exact.
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the scale")]
    let within = (within as i32).clamp(0, (1 << scale) - 1);
    (exponent << scale) + within
}

impl Exponential {
    /// Counts `value` (zero or positive) with at most `max_size` buckets.
    pub(super) fn add(&mut self, value: f64, weight: Weight, max_size: usize) {
        if value <= 0.0 {
            self.zero.add(weight);
            return;
        }
        if self.counts.whole.is_empty() {
            self.offset = index(value, self.scale);
            self.counts = Counts::zeros(1);
        }
        let max = i64::try_from(max_size.max(2)).unwrap_or(i64::MAX);
        let mut at = index(value, self.scale);
        loop {
            let (low, high) = (at.min(self.offset), at.max(self.last()));
            if i64::from(high) - i64::from(low) < max || self.scale <= SCALE_MIN {
                break;
            }
            self.halve();
            at = index(value, self.scale);
        }
        self.reach(at);
        let position = usize::try_from(at - self.offset).unwrap_or(0);
        self.counts.add(position, weight);
    }

    fn last(&self) -> i32 {
        let length = i32::try_from(self.counts.whole.len()).unwrap_or(i32::MAX);
        self.offset.saturating_add(length - 1)
    }

    /// Makes room for bucket `at`.
    fn reach(&mut self, at: i32) {
        let (low, high) = (at.min(self.offset), at.max(self.last()));
        if (low, high) == (self.offset, self.last()) {
            return;
        }
        let mut counts = Counts::zeros(usize::try_from(high - low + 1).unwrap_or(1));
        let shift = usize::try_from(self.offset - low).unwrap_or(0);
        for from in 0..self.counts.whole.len() {
            counts.add_from(from + shift, &self.counts, from);
        }
        self.offset = low;
        self.counts = counts;
    }

    /// Half the resolution.
    fn halve(&mut self) {
        let (low, high) = (self.offset >> 1, self.last() >> 1);
        let mut counts = Counts::zeros(usize::try_from(high - low + 1).unwrap_or(1));
        for from in 0..self.counts.whole.len() {
            let at = (self.offset + i32::try_from(from).unwrap_or(0)) >> 1;
            counts.add_from(usize::try_from(at - low).unwrap_or(0), &self.counts, from);
        }
        self.offset = low;
        self.counts = counts;
        self.scale -= 1;
    }

    /// Forgets what is whole. Without parts that wait, the finest resolution is back.
    pub(super) fn take_whole(&mut self) {
        self.zero.take_whole();
        self.counts.take_whole();
        if self.counts.is_zero() {
            self.counts = Counts::default();
            self.scale = SCALE_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn upper(index: i32, scale: i32) -> f64 {
        (f64::from(index + 1) * f64::from(-scale).exp2()).exp2()
    }

    #[test]
    fn powers_of_two_are_upper_bounds() {
        for (value, scale, expected) in [
            (1.0, 0, -1),
            (2.0, 0, 0),
            (2.1, 0, 1),
            (4.0, -1, 0),
            (4.1, -1, 1),
            (1.0, 20, -1),
            (2.0, 3, 7),
            (0.5, 0, -2),
        ] {
            assert_eq!(index(value, scale), expected, "{value} at {scale}");
        }
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_bucket_and_none_is_lost(
            values in proptest::collection::vec(1e-6f64..1e9, 1..200),
            max_size in 2usize..40,
        ) {
            let mut it = Exponential::default();
            for value in &values {
                it.add(*value, Weight::ONE, max_size);
            }
            prop_assert!(it.counts.whole.len() <= max_size);
            prop_assert_eq!(it.counts.total(), values.len() as u64);
            // An independent count by bounds, with room for the last bit of a logarithm.
            for (at, count) in it.counts.whole.iter().enumerate() {
                let bucket = it.offset + i32::try_from(at).unwrap();
                let (low, high) = (upper(bucket - 1, it.scale), upper(bucket, it.scale));
                let surely = values.iter().filter(|v| **v > low * (1.0 + 1e-9) && **v <= high * (1.0 - 1e-9));
                let maybe = values.iter().filter(|v| **v > low * (1.0 - 1e-9) && **v <= high * (1.0 + 1e-9));
                prop_assert!((surely.count() as u64..=maybe.count() as u64).contains(count));
            }
        }
    }
}
