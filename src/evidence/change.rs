//! Breakage long after the change.
//!
//! An e-process that has watched a healthy flag for a week is far below 1 for every ratio, and has to climb
//! back first. The CUSUM of the same gains restarts each bet whenever it is below its stake, so it is as
//! quick after a week as at the start. The price: it is an e-detector (its expectation under innocence grows
//! by at most 1 a block), not an e-process, so it needs a higher bound: see [`super::change_bound`].

use super::Gains;
use super::grid::SIZE;
use super::process::log_mean_exp;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cusum {
    logs: [f64; SIZE],
    log_d: f64,
}

impl Cusum {
    /// Adds what a block of time pays: once a block with all its strata, because a restart happens between
    /// blocks. Blocks that say nothing need not be told.
    pub fn absorb(&mut self, gains: &Gains) {
        for (log, gain) in self.logs.iter_mut().zip(gains.0) {
            *log = log.max(0.0) + gain;
        }
        self.log_d = log_mean_exp(&self.logs);
    }

    /// ln D, to be compared with [`super::change_bound`].
    pub const fn log_d(&self) -> f64 {
        self.log_d
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_block, block};
    use super::super::{Discount, EProcess, Grid};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_healthy_week_does_not_slow_it_down() {
        let grid = Grid::default();
        let healthy = grid
            .gains(&[block((1, 1000), (9, 9000))], Discount::NONE)
            .unwrap();
        let broken = grid
            .gains(&[block((20, 1000), (9, 9000))], Discount::NONE)
            .unwrap();
        let (mut cusum, mut process) = (Cusum::default(), EProcess::default());
        for _ in 0..1000 {
            cusum.absorb(&healthy);
            process.absorb(&healthy);
        }
        let (mut quick, mut slow) = (0, 0);
        while cusum.log_d() < 20.0 {
            cusum.absorb(&broken);
            quick += 1;
        }
        while process.log_e() < 9.9 {
            process.absorb(&broken);
            slow += 1;
        }
        assert!(quick <= 8 && slow > 3 * quick, "{quick} {slow}");
    }

    proptest! {
        #[test]
        fn it_is_never_below_the_e_process(seen in prop::collection::vec(any_block(), 1..50)) {
            let grid = Grid::default();
            let (mut cusum, mut process) = (Cusum::default(), EProcess::default());
            for block in seen {
                if let Some(gains) = grid.gains(&[block], Discount::DEFAULT) {
                    cusum.absorb(&gains);
                    process.absorb(&gains);
                }
                prop_assert!(cusum.log_d() >= process.log_e() - 1e-9);
            }
        }
    }
}
