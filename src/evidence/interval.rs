//! Between which limits the rate ratio lies: a confidence sequence, true at every look at once.
//!
//! The e-process against "at most r" for every r of a fine grid, with the ratios above it as alternatives,
//! tells which r are too low; the one against "at least r" tells which are too high. Both need the same sums,
//! one a ratio. It costs 65 logarithms a block with a bad event, so it is kept for variants that people look
//! at.

use super::{Block, Discount, log_mean_exp};
use serde::{Deserialize, Serialize};

/// 1/64 to 1024 in steps of a quarter of a doubling.
const SIZE: usize = 65;

fn ratio(at: usize) -> f64 {
    ((at as f64) / 4.0 - 6.0).exp2()
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct RatioSequence {
    hits: f64,
    /// Sums of `power * B ln(1 + (r - 1) p)`.
    expected: [f64; SIZE],
}

/// Limits of a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioInterval {
    /// 0 where nothing is known.
    pub low: f64,
    /// `None` where nothing is known.
    pub high: Option<f64>,
}

impl Default for RatioSequence {
    fn default() -> Self {
        Self {
            hits: 0.0,
            expected: [0.0; SIZE],
        }
    }
}

impl RatioSequence {
    /// Takes in the strata of one block of time; see [`super::Grid::gains`] for `discount`.
    pub fn absorb(&mut self, strata: &[Block], discount: Discount) {
        let outcomes = || strata.iter().filter_map(|block| block.outcome());
        let bad: f64 = outcomes().map(|o| o.bad).sum();
        let power = discount.power(bad);
        for outcome in outcomes() {
            self.hits += power * outcome.treated_bad;
            for (at, sum) in self.expected.iter_mut().enumerate() {
                *sum += power * outcome.bad * ((ratio(at) - 1.0) * outcome.share).ln_1p();
            }
        }
    }

    /// ln E against the ratio at `null`, with the alternatives at `others`.
    fn log_e(&self, null: usize, others: std::ops::Range<usize>) -> f64 {
        let logs: Vec<f64> = others
            .map(|at| self.hits * (ratio(at) / ratio(null)).ln() - (self.expected[at] - self.expected[null]))
            .collect();
        log_mean_exp(&logs)
    }

    /// Limits between which the ratio lies, with probability `1 - alpha` at all looks together.
    pub fn interval(&self, alpha: f64) -> RatioInterval {
        let bound = (2.0 / alpha).ln();
        let too_low = |at: &usize| self.log_e(*at, at + 1..SIZE) >= bound;
        let too_high = |at: &usize| self.log_e(*at, 0..*at) >= bound;
        RatioInterval {
            low: (0..SIZE).take_while(too_low).last().map_or(0.0, ratio),
            high: (0..SIZE).rev().take_while(too_high).last().map(ratio),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::block;
    use super::*;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn nothing_known_is_no_limit() {
        let interval = RatioSequence::default().interval(0.05);
        assert_eq!((interval.low, interval.high), (0.0, None));
    }

    #[test]
    fn a_clean_control_bounds_the_ratio_from_below_only() {
        let mut sequence = RatioSequence::default();
        for _ in 0..30 {
            sequence.absorb(&[block((1, 100), (0, 900))], Discount::NONE);
        }
        let interval = sequence.interval(0.05);
        assert!(interval.low > 5.0 && interval.high.is_none(), "{interval:?}");
    }

    /// At fifteen looks, for a ratio of 4 that is on the grid: the share of runs that ever leave it out.
    #[test]
    fn the_true_ratio_is_left_out_at_most_as_often_as_was_asked() {
        let (mut out, mut narrow, runs) = (0, 0, 50);
        for seed in 0..runs {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut sequence = RatioSequence::default();
            let mut ever = false;
            for event in 1..=300 {
                // One bad event at a share of a fifth: treated with probability 4/5 / (4/5 + 4/5).
                let hit = u64::from(random.random_bool(0.5));
                sequence.absorb(&[block((hit, 200), (1 - hit, 800))], Discount::NONE);
                if event % 20 == 0 {
                    let interval = sequence.interval(0.1);
                    ever |= interval.low > 4.0 || interval.high.is_some_and(|high| high < 4.0);
                }
            }
            let interval = sequence.interval(0.1);
            narrow += u64::from(interval.low > 2.0 && interval.high.is_some_and(|high| high < 8.0));
            out += u64::from(ever);
        }
        assert!(out <= runs / 10, "{out} of {runs}");
        assert!(narrow > runs / 2, "{narrow} of {runs} are narrow");
    }
}
