//! How many times worse, as one figure: Mantel and Haenszel's estimate over strata and blocks.

use super::Block;

/// Sums of `bT nC / n` and `bC nT / n`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MantelHaenszel {
    treated: f64,
    control: f64,
}

impl MantelHaenszel {
    /// Takes in the strata of a block.
    pub fn absorb(&mut self, strata: &[Block]) {
        for outcome in strata.iter().filter_map(|block| block.outcome()) {
            self.treated += outcome.treated_bad * (1.0 - outcome.share);
            self.control += (outcome.bad - outcome.treated_bad) * outcome.share;
        }
    }

    /// The rate ratio; `None` while the control has no bad event.
    pub fn ratio(&self) -> Option<f64> {
        (self.control > 0.0).then(|| self.treated / self.control)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{block, near};
    use super::*;

    #[test]
    fn strata_are_compared_within_and_not_across() {
        // Each stratum has a ratio of 2; pooled it would be 0.4.
        let mut ratio = MantelHaenszel::default();
        assert_eq!(ratio.ratio(), None);
        ratio.absorb(&[block((20, 1000), (1, 100)), block((20, 100), (100, 1000))]);
        near(ratio.ratio().unwrap(), 2.0, 1e-12);
    }

    #[test]
    fn a_clean_control_gives_no_figure() {
        let mut ratio = MantelHaenszel::default();
        ratio.absorb(&[block((20, 1000), (0, 1000))]);
        assert_eq!(ratio.ratio(), None);
    }
}
