//! Weighted counts without rounding.
//!
//! A sampled span stands for 1/p spans, which is rarely whole. The Collector rounds each weight up or down
//! by chance; here whole and part are added up exactly (the part in 2^-32), and only what is told is
//! rounded down. So a total is right to less than one, whatever came in which order, and a repetition gives
//! the same.

pub(super) use crate::wire::Weight;

/// A sum of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exact {
    pub(super) whole: u64,
    pub(super) part: u32,
}

impl Exact {
    pub(super) fn add(&mut self, weight: Weight) {
        let (part, carry) = self.part.overflowing_add(weight.part);
        self.part = part;
        self.whole = self
            .whole
            .saturating_add(weight.whole)
            .saturating_add(u64::from(carry));
    }

    /// Takes what is whole, and leaves the part for the next time: deltas add up.
    pub(super) fn take_whole(&mut self) -> u64 {
        std::mem::take(&mut self.whole)
    }
}

/// A weighted sum of nanoseconds, in 2^-32 ns: exact for ten billion years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nanos(pub(super) u128);

impl Nanos {
    pub(super) fn add(&mut self, nanos: u64, weight: Weight) {
        self.0 = self
            .0
            .saturating_add(weight.fixed().saturating_mul(u128::from(nanos)));
    }

    /// In a unit of so many nanoseconds.
    pub(super) fn in_units_of(self, unit_nanos: f64) -> f64 {
        self.0 as f64 / 4_294_967_296.0 / unit_nanos
    }
}

/// Counts by bucket; parts are kept once there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) whole: Vec<u64>,
    pub(super) part: Vec<u32>,
}

impl Counts {
    pub(super) fn zeros(length: usize) -> Self {
        Self {
            whole: vec![0; length],
            part: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, at: usize, weight: Weight) {
        if weight.part != 0 && self.part.len() < self.whole.len() {
            self.part.resize(self.whole.len(), 0);
        }
        let Some(whole) = self.whole.get_mut(at) else {
            return;
        };
        let mut sum = Exact {
            whole: *whole,
            part: self.part.get(at).copied().unwrap_or(0),
        };
        sum.add(weight);
        *whole = sum.whole;
        if let Some(part) = self.part.get_mut(at) {
            *part = sum.part;
        }
    }

    /// Adds bucket `from` of `other` to bucket `at`.
    pub(super) fn add_from(&mut self, at: usize, other: &Self, from: usize) {
        let weight = Weight {
            whole: other.whole.get(from).copied().unwrap_or(0),
            part: other.part.get(from).copied().unwrap_or(0),
        };
        self.add(at, weight);
    }

    /// All buckets, rounded down one by one.
    pub(super) fn total(&self) -> u64 {
        self.whole.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Forgets what is whole, and keeps the parts.
    pub(super) fn take_whole(&mut self) {
        self.whole.fill(0);
    }

    /// Whether nothing was ever counted.
    pub(super) fn is_zero(&self) -> bool {
        self.whole.iter().all(|count| *count == 0) && self.part.iter().all(|part| *part == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_exact_in_any_order(weights in proptest::collection::vec((0u64..1000, any::<u32>()), 0..50)) {
            let mut sum = Exact::default();
            let mut counts = Counts::zeros(2);
            for (at, (whole, part)) in weights.iter().enumerate() {
                sum.add(Weight { whole: *whole, part: *part });
                counts.add(at % 2, Weight { whole: *whole, part: *part });
            }
            let expected: u128 = weights.iter().map(|(whole, part)| u128::from(*whole) << 32 | u128::from(*part)).sum();
            prop_assert_eq!(u128::from(sum.whole) << 32 | u128::from(sum.part), expected);
            let mut both = Exact::default();
            for at in 0..2 {
                let part = counts.part.get(at).copied().unwrap_or(0);
                both.add(Weight { whole: counts.whole[at], part });
            }
            prop_assert_eq!(both, sum);
        }
    }

    #[test]
    fn deltas_leave_the_part_for_the_next_time() {
        let mut sum = Exact::default();
        let half = Weight {
            whole: 1,
            part: 1 << 31,
        };
        let told: Vec<u64> = (0..4)
            .map(|_| {
                sum.add(half);
                sum.take_whole()
            })
            .collect();
        assert_eq!(told, [1, 2, 1, 2]);
    }
}
