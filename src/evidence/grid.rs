//! The ratios that are bet on, and what a block of time pays.
//!
//! Innocence is `H0: the treated arm's rate of bad events is at most r0 times the control's`. For one
//! alternative ratio `r` a block with `B` bad events, `bT` of them treated, at a share `p` of the treated
//! arm, pays
//!
//! ```text
//! (r / r0)^bT * ((1 + (r0 - 1) p) / (1 + (r - 1) p))^B
//! ```
//!
//! which is at most 1 in expectation under H0: given `B`, `bT` is binomial (of Poisson streams) or
//! hypergeometric (of exchangeable events), and for the latter Hoeffding's inequality of 1963 gives the same
//! bound. With r0 = 1 that needs no assumption; with r0 > 1 it needs that bad events are rare. Which ratio is
//! true nobody knows, so the stake is spread evenly over ten.
//!
//! No block of time pays more than [`GAIN_MAX`]. That keeps every bet fair (it only ever pays less) and means
//! that no single ten seconds decide. Two things look like guilt for a few blocks and are none: the edges of
//! an outage when the clocks of the arms differ by half a minute, and a cluster of bad events larger than any
//! before.

use super::{Block, Discount};

/// Multiples of the null ratio that are bet on: about equal steps of the logarithm.
pub const ALTERNATIVES: [f64; 10] = [1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 100.0];

/// The most that a block of time adds to the logarithm of a bet. Ten, which two hundred pairs at 1 % need,
/// are then four blocks at least.
pub const GAIN_MAX: f64 = 3.0;

/// Number of alternatives.
pub(super) const SIZE: usize = ALTERNATIVES.len();

/// Why a null ratio was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "a null ratio of {0}: must be above 0 and at most 1000; 1 is usual, 1.25 for services of little weight"
)]
pub struct GridError(f64);

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    null: f64,
    /// (ln(r / r0), r - 1) of each alternative.
    bets: [(f64, f64); SIZE],
}

/// What one block of time adds to the logarithm of each bet, over all its strata.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gains(pub(super) [f64; SIZE]);

impl Default for Grid {
    fn default() -> Self {
        Self::of(1.0)
    }
}

impl Grid {
    /// A grid above `null`: the greatest ratio of rates that is still innocent.
    pub fn new(null: f64) -> Result<Self, GridError> {
        if null > 0.0 && null <= 1000.0 {
            Ok(Self::of(null))
        } else {
            Err(GridError(null))
        }
    }

    fn of(null: f64) -> Self {
        Self {
            null,
            bets: ALTERNATIVES.map(|multiple| (multiple.ln(), null * multiple - 1.0)),
        }
    }

    /// The null ratio.
    pub const fn null(&self) -> f64 {
        self.null
    }

    /// What the strata of one block of time pay together; `None` if they say nothing, which is the same as
    /// gains of zero, and free.
    ///
    /// `discount` must come from *former* blocks: a stake that is chosen when its outcome is known makes no
    /// supermartingale. (It may look at how many bad events this block has, since the bet is on where they
    /// fall given their number.)
    pub fn gains(&self, strata: &[Block], discount: Discount) -> Option<Gains> {
        let outcomes = || strata.iter().filter_map(|block| block.outcome());
        let bad: f64 = outcomes().map(|o| o.bad).sum();
        if bad <= 0.0 {
            return None;
        }
        let power = discount.power(bad);
        let mut gains = [0.0; SIZE];
        for outcome in outcomes() {
            let innocent = ((self.null - 1.0) * outcome.share).ln_1p();
            for (gain, (log_ratio, excess)) in gains.iter_mut().zip(&self.bets) {
                let expected = (excess * outcome.share).ln_1p() - innocent;
                *gain += power * (outcome.treated_bad * log_ratio - outcome.bad * expected);
            }
        }
        Some(Gains(gains.map(|gain| gain.min(GAIN_MAX))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::block;
    use super::*;

    #[test]
    fn a_ratio_that_is_none_is_refused() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e4] {
            assert!(Grid::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Grid::new(1.0), Ok(Grid::default()));
    }

    #[test]
    fn quiet_blocks_are_free() {
        let grid = Grid::default();
        assert_eq!(grid.gains(&[], Discount::NONE), None);
        assert_eq!(grid.gains(&[block((0, 1000), (0, 9000))], Discount::NONE), None);
        assert_eq!(grid.gains(&[block((9, 1000), (0, 0))], Discount::NONE), None);
    }

    /// Exactly, by summing over all outcomes of a block: no bet is worth more than its stake, at any share,
    /// ratio up to the null, number of bad events and discount.
    #[test]
    fn no_bet_gains_under_innocence() {
        for (null, ratio) in [(1.0, 1.0), (1.0, 0.3), (1.25, 1.25), (1.25, 1.0), (3.0, 2.0)] {
            let grid = Grid::new(null).unwrap();
            for (treated, control) in [(1000_u32, 1000_u32), (1000, 99_000), (90_000, 10_000)] {
                let share = f64::from(treated) / f64::from(treated + control);
                let q = ratio * share / (1.0 + (ratio - 1.0) * share);
                for bad in 1..12_u32 {
                    for discount in [Discount::NONE, Discount::DEFAULT, Discount::of(4.0)] {
                        let mut expected = [0.0; SIZE];
                        let mut chance = (1.0 - q).powf(f64::from(bad));
                        for hits in 0..=bad {
                            let seen = block(
                                (u64::from(hits), u64::from(treated)),
                                (u64::from(bad - hits), u64::from(control)),
                            );
                            let gains = grid.gains(&[seen], discount).unwrap();
                            for (sum, gain) in expected.iter_mut().zip(gains.0) {
                                *sum += chance * gain.exp();
                            }
                            chance *= f64::from(bad - hits) / f64::from(hits + 1) * q / (1.0 - q);
                        }
                        assert!(
                            expected.iter().all(|&e| e <= 1.0 + 1e-9),
                            "{null} {ratio} {bad}: {expected:?}"
                        );
                    }
                }
            }
        }
    }
}
