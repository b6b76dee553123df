//! The e-process of one comparison.

use super::Gains;
use super::grid::SIZE;

/// Evidence that grows only against innocence; ten numbers and their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EProcess {
    logs: [f64; SIZE],
    log_e: f64,
}

impl EProcess {
    /// Adds what a block of time pays.
    pub fn absorb(&mut self, gains: &Gains) {
        for (log, gain) in self.logs.iter_mut().zip(gains.0) {
            *log += gain;
        }
        self.log_e = log_mean_exp(&self.logs);
    }

    /// ln E: 0 at the start; against innocence at level `alpha` from `ln(1 / alpha)` up, at any look.
    pub const fn log_e(&self) -> f64 {
        self.log_e
    }
}

/// The logarithm of the mean of exponentials; -infinity of none.
pub fn log_mean_exp(logs: &[f64]) -> f64 {
    let max = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !max.is_finite() {
        return max;
    }
    let sum: f64 = logs.iter().map(|log| (log - max).exp()).sum();
    max + (sum / logs.len() as f64).ln()
}

/// The evidence of several SLIs of one variant as one: the mean of their E, which is again evidence however
/// they depend on each other. Their maximum, or their product, is not. `None` of none.
pub fn average(log_es: &[f64]) -> Option<f64> {
    (!log_es.is_empty()).then(|| log_mean_exp(log_es))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_block, block, near};
    use super::super::{Discount, Grid, kill_bound};
    use super::*;
    use proptest::prelude::*;

    /// `bad` events, `treated_bad` of them treated, at a share of one in `one_in`, a block each.
    fn log_e(treated_bad: u64, bad: u64, one_in: u64) -> f64 {
        let mut process = EProcess::default();
        for n in 0..bad {
            let hit = u64::from(n < treated_bad);
            let seen = block((hit, 1_000_000), (1 - hit, 1_000_000 * (one_in - 1)));
            process.absorb(&Grid::default().gains(&[seen], Discount::NONE).unwrap());
        }
        process.log_e()
    }

    #[test]
    fn v42_five_of_five_at_a_tenth() {
        near(log_e(5, 5, 10), 9.7398, 5e-5);
    }

    #[test]
    fn v43_halves() {
        for (hits, bad, want) in [
            (10, 10, 6.0502),
            (20, 20, 12.5981),
            (5, 10, -1.7888),
            (0, 10, -4.3764),
        ] {
            near(log_e(hits, bad, 2), want, 5e-5);
        }
    }

    #[test]
    fn blocks_and_one_larger_block_say_the_same_at_the_same_share() {
        let (mut apart, mut together) = (EProcess::default(), EProcess::default());
        let gains = |seen| Grid::default().gains(&[seen], Discount::NONE).unwrap();
        for _ in 0..3 {
            apart.absorb(&gains(block((1, 100), (0, 100))));
        }
        together.absorb(&gains(block((3, 300), (0, 300))));
        near(apart.log_e(), together.log_e(), 1e-9);
    }

    #[test]
    fn no_ten_seconds_decide_alone() {
        let mut process = EProcess::default();
        let all = block((1000, 1000), (0, 99_000));
        for blocks in 1..=4 {
            process.absorb(&Grid::default().gains(&[all], Discount::NONE).unwrap());
            assert_eq!(process.log_e() >= kill_bound(200, 0.01), blocks == 4);
        }
    }

    #[test]
    fn an_outage_of_everybody_is_no_evidence() {
        let mut process = EProcess::default();
        for _ in 0..180 {
            let outage = block((50, 100), (450, 900));
            process.absorb(&Grid::default().gains(&[outage], Discount::NONE).unwrap());
        }
        assert!(process.log_e() < 0.0, "{}", process.log_e());
    }

    #[test]
    fn averages_are_of_e_and_not_of_its_logarithm() {
        near(
            average(&[4.0_f64.ln(), 2.0_f64.ln()]).unwrap(),
            3.0_f64.ln(),
            1e-12,
        );
        near(average(&[800.0, 0.0]).unwrap(), 800.0 - 2.0_f64.ln(), 1e-9);
        assert_eq!(average(&[]), None);
    }

    proptest! {
        #[test]
        fn evidence_is_finite_whatever_comes(
            seen in prop::collection::vec(any_block(), 0..20),
            phi in 0.0..100.0_f64,
            null in 0.01..1000.0_f64,
        ) {
            let mut process = EProcess::default();
            if let Some(gains) = Grid::new(null).unwrap().gains(&seen, Discount::of(phi)) {
                process.absorb(&gains);
            }
            prop_assert!(process.log_e().is_finite());
        }

        #[test]
        fn one_more_bad_event_of_the_control_never_adds_evidence(
            seen in any_block(), phi in 1.0..10.0_f64,
        ) {
            // At a fixed power: the number of bad events in the block changes it otherwise.
            let discount = Discount { usual: phi, widest: phi };
            let (mut less, mut more) = (EProcess::default(), EProcess::default());
            let mut worse = seen;
            worse.control.bad += 1;
            worse.control.good = worse.control.good.saturating_sub(1);
            prop_assume!(seen.control.good > 0);
            for (process, block) in [(&mut less, seen), (&mut more, worse)] {
                if let Some(gains) = Grid::default().gains(&[block], discount) {
                    process.absorb(&gains);
                }
            }
            prop_assert!(more.log_e() <= less.log_e() + 1e-9);
        }
    }
}
