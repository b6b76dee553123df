//! Two flags that travel together: which one is it?
//!
//! If g goes to nine tenths of the users of f, and f is broken, the evidence against g crosses every bound
//! too. Each is therefore compared within the variants of the other: does f matter among those who have g,
//! and among those who do not? Conditional evidence is an e-process like any other, with the other's variant
//! as a stratum.

use super::{Block, Discount, EProcess, Grid};
use crate::ledger::Counts;

/// Counts of one stratum in one block of time by both flags: `[first][second]`, 0 without and 1 with the
/// variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JointCounts(pub [[Counts; 2]; 2]);

/// Evidence against each of two flags, given the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairTrial {
    first: EProcess,
    second: EProcess,
    both: u64,
    either: u64,
}

fn events(counts: Counts) -> u64 {
    counts.good.saturating_add(counts.bad)
}

impl JointCounts {
    /// One of the flags (0 or 1), whatever the other's variant.
    pub fn margin(self, flag: usize) -> Block {
        let [[neither, second], [first, both]] = self.0;
        let sum = |a: Counts, b: Counts| Counts {
            good: a.good.saturating_add(b.good),
            bad: a.bad.saturating_add(b.bad),
        };
        if flag == 0 {
            Block::new(sum(first, both), sum(neither, second))
        } else {
            Block::new(sum(second, both), sum(neither, first))
        }
    }

    /// The first flag within each variant of the second.
    fn first(self) -> [Block; 2] {
        [0, 1].map(|g| Block::new(self.0[1][g], self.0[0][g]))
    }

    /// The second flag within each variant of the first.
    fn second(self) -> [Block; 2] {
        self.0.map(|row| Block::new(row[1], row[0]))
    }
}

impl PairTrial {
    /// Takes in the strata of one block of time; see [`Grid::gains`] for `discount`.
    pub fn absorb(&mut self, strata: &[JointCounts], grid: &Grid, discount: Discount) {
        for joint in strata {
            let [[_, second], [first, both]] = joint.0.map(|row| row.map(events));
            self.both = self.both.saturating_add(both);
            self.either = self
                .either
                .saturating_add(both)
                .saturating_add(first)
                .saturating_add(second);
        }
        let is_quiet = |joint: &JointCounts| joint.0.iter().flatten().all(|c| c.bad == 0);
        if strata.iter().all(is_quiet) {
            return;
        }
        let firsts: Vec<Block> = strata.iter().flat_map(|joint| joint.first()).collect();
        let seconds: Vec<Block> = strata.iter().flat_map(|joint| joint.second()).collect();
        if let Some(gains) = grid.gains(&firsts, discount) {
            self.first.absorb(&gains);
        }
        if let Some(gains) = grid.gains(&seconds, discount) {
            self.second.absorb(&gains);
        }
    }

    /// ln E against the first, given the second.
    pub const fn log_first(&self) -> f64 {
        self.first.log_e()
    }

    /// ln E against the second, given the first.
    pub const fn log_second(&self) -> f64 {
        self.second.log_e()
    }

    /// Events with both of those with either; `None` without any.
    pub fn overlap(&self) -> Option<f64> {
        (self.either > 0).then(|| self.both as f64 / self.either as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{near, of};
    use super::*;

    /// f at 200 requests of 1000, g at nine tenths of them; `bad` by whether f and g are on.
    fn trial(blocks: u64, bad: [[u64; 2]; 2]) -> PairTrial {
        let mut trial = PairTrial::default();
        let joint = JointCounts([
            [of(bad[0][0], 800), of(bad[0][1], 0)],
            [of(bad[1][0], 20), of(bad[1][1], 180)],
        ]);
        for _ in 0..blocks {
            trial.absorb(&[joint], &Grid::default(), Discount::NONE);
        }
        trial
    }

    #[test]
    fn the_guilty_one_is_told_from_its_companion() {
        let trial = trial(10, [[1, 0], [2, 18]]);
        assert!(trial.log_first() > 20.0_f64.ln(), "{}", trial.log_first());
        assert!(trial.log_second() < 0.0, "{}", trial.log_second());
        near(trial.overlap().unwrap(), 0.9, 1e-12);
    }

    #[test]
    fn flags_that_are_the_same_cannot_be_told_apart() {
        let mut trial = PairTrial::default();
        for _ in 0..50 {
            let joint = JointCounts([[of(0, 800), of(0, 0)], [of(0, 0), of(10, 200)]]);
            trial.absorb(&[joint], &Grid::default(), Discount::NONE);
        }
        assert!(trial.log_first() == 0.0 && trial.log_second() == 0.0);
        assert_eq!(trial.overlap(), Some(1.0));
        assert_eq!(PairTrial::default().overlap(), None);
    }

    #[test]
    fn flags_that_break_only_together_are_both_blamed() {
        let mut trial = PairTrial::default();
        for _ in 0..50 {
            let joint = JointCounts([[of(0, 250), of(0, 250)], [of(0, 250), of(10, 250)]]);
            trial.absorb(&[joint], &Grid::default(), Discount::NONE);
        }
        assert!(trial.log_first() > 20.0_f64.ln() && trial.log_second() > 20.0_f64.ln());
    }
}
