//! How much bad events cluster, from the blocks of all flags in the last 24 hours.
//!
//! For a healthy flag the number of treated bad events of a block has variance `B p (1 - p)` if bad events
//! are independent. What is found instead, over that, is the overdispersion phi: 1 for independent ones, and
//! `E[size^2] / E[size]` for clusters. It is a ratio of two sums, so that blocks weigh by what they can say;
//! rejected: the mean of the ratios of blocks, which a block with a tiny share dominates, and which sees
//! clusters of mean 3 as 3 where they do the harm of 5.

use super::{Block, Discount};
use crate::time::UnixNanos;
use std::collections::VecDeque;

/// Blocks that must have said something before they are believed.
pub const BLOCKS_MIN: u64 = 1000;

/// How long a block counts, and in which steps it is forgotten.
const REACH_SECS: u64 = 86_400;
const STEP_SECS: u64 = 600;

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    blocks: u64,
    /// Squared differences between the treated bad events and their expectation.
    found: f64,
    /// Their variance if bad events are independent.
    independent: f64,
}

/// See the module. State: at most 145 sums.
#[derive(Clone, Debug, Default)]
pub struct Dispersion {
    /// By number of the step, ascending.
    steps: VecDeque<(u64, Sums)>,
    total: Sums,
}

impl Dispersion {
    /// Takes in the strata of one block of one comparison. Call it when the block's evidence is worked out: a
    /// block must not choose its own discount.
    pub fn observe(&mut self, now: UnixNanos, strata: &[Block]) {
        let (mut difference, mut independent) = (0.0, 0.0);
        for outcome in strata.iter().filter_map(|block| block.outcome()) {
            difference += outcome.treated_bad - outcome.bad * outcome.share;
            independent += outcome.bad * outcome.share * (1.0 - outcome.share);
        }
        if independent <= 0.0 {
            return;
        }
        self.forget(now);
        let step = now.secs() / STEP_SECS;
        // Late blocks count in the newest step.
        if self.steps.back().is_none_or(|(newest, _)| *newest < step) {
            self.steps.push_back((step, Sums::default()));
        }
        let found = difference * difference;
        let newest = self.steps.back_mut().map(|(_, sums)| sums);
        for sums in newest.into_iter().chain([&mut self.total]) {
            sums.blocks += 1;
            sums.found += found;
            sums.independent += independent;
        }
    }

    /// Forgets what is older than a day; call it now and then where blocks may stop coming.
    pub fn forget(&mut self, now: UnixNanos) {
        let oldest = now.secs().saturating_sub(REACH_SECS) / STEP_SECS;
        let before = self.steps.len();
        while self.steps.front().is_some_and(|(step, _)| *step < oldest) {
            self.steps.pop_front();
        }
        if self.steps.len() < before {
            // Summed anew rather than subtracted, so that rounding does not add up over months.
            self.total = self.steps.iter().fold(Sums::default(), |sum, (_, part)| Sums {
                blocks: sum.blocks + part.blocks,
                found: sum.found + part.found,
                independent: sum.independent + part.independent,
            });
        }
    }

    /// Blocks that had something to say.
    pub const fn blocks(&self) -> u64 {
        self.total.blocks
    }

    /// The overdispersion; `None` before [`BLOCKS_MIN`] blocks.
    pub fn phi(&self) -> Option<f64> {
        (self.total.blocks >= BLOCKS_MIN).then(|| self.total.found / self.total.independent)
    }

    /// The discount for the next block.
    pub fn discount(&self) -> Discount {
        self.phi().map_or(Discount::DEFAULT, Discount::of)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{block, near};
    use super::*;

    fn at(secs: u64) -> UnixNanos {
        UnixNanos::from_secs(secs)
    }

    /// Clusters of `size` bad events at a share of one half, alternately on either side.
    fn fed(size: u64, blocks: u64) -> Dispersion {
        let mut dispersion = Dispersion::default();
        for n in 0..blocks {
            let (treated, control) = if n % 2 == 0 { (size, 0) } else { (0, size) };
            dispersion.observe(at(n * 10), &[block((treated, 1000), (control, 1000))]);
        }
        dispersion
    }

    #[test]
    fn clusters_of_one_size_show_their_size() {
        near(fed(1, 2000).phi().unwrap(), 1.0, 1e-9);
        near(fed(7, 2000).phi().unwrap(), 7.0, 1e-9);
    }

    #[test]
    fn a_thousand_blocks_are_needed_and_quiet_ones_do_not_count() {
        let mut dispersion = fed(7, 999);
        assert_eq!(
            (dispersion.phi(), dispersion.discount()),
            (None, Discount::DEFAULT)
        );
        dispersion.observe(at(9990), &[block((0, 1000), (0, 1000))]);
        dispersion.observe(at(9990), &[block((5, 1000), (0, 0))]);
        assert_eq!(dispersion.phi(), None);
        dispersion.observe(at(9990), &[block((7, 1000), (0, 1000))]);
        assert_eq!(dispersion.discount(), Discount::of(dispersion.phi().unwrap()));
    }

    #[test]
    fn clusters_over_several_strata_are_one_cluster() {
        let mut dispersion = Dispersion::default();
        for n in 0..1000 {
            let side = |bad| {
                if n % 2 == 0 {
                    block((bad, 100), (0, 100))
                } else {
                    block((0, 100), (bad, 100))
                }
            };
            dispersion.observe(at(n), &[side(2), side(3)]);
        }
        near(dispersion.phi().unwrap(), 5.0, 1e-9);
    }

    #[test]
    fn a_day_later_it_is_forgotten() {
        let mut dispersion = fed(7, 2000);
        dispersion.forget(at(REACH_SECS));
        assert_eq!(dispersion.blocks(), 2000);
        dispersion.forget(at(20_000 + REACH_SECS + STEP_SECS));
        assert_eq!(dispersion.blocks(), 0);
        for n in 0..1000 {
            dispersion.observe(at(200_000 + n), &[block((n % 2, 1000), (1 - n % 2, 1000))]);
        }
        near(dispersion.phi().unwrap(), 1.0, 1e-9);
        assert!(dispersion.steps.len() <= 145);
    }
}
