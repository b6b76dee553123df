//! The shop's regulars: who they are, which flags they have, and whose checkout breaks.
//!
//! Flags are rolled out to customers, not to requests, as flag services do it. The customers are a fixed
//! population that comes in rounds, in an order that a seed shuffles: after each round every combination of
//! flags has come exactly as often as it should. Rejected: a coin for each request, because then a run in
//! some hundreds would meet a bystander that fails twice as often by chance, and whoever sees that run has
//! seen a broken product.

use super::scene::FLAGS;
use std::collections::VecDeque;

/// Seed of everything random in the shop.
const SEED: u64 = 0x5107;
/// Customers; one round of all of them takes two seconds.
pub(super) const POPULATION: u32 = 240;

/// One customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Customer {
    /// Rolled-out flags, in the order of [`FLAGS`].
    pub(super) rollout: [bool; 4],
    /// Which of six alike the customer is.
    twin: u32,
}

/// One visit of one customer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    /// Who.
    pub(super) customer: Customer,
    /// Which of the two deployments serves it: 0 the old one, 1 the new one.
    pub(super) deployment: usize,
    /// The guilty code fails a third of the requests that run it: these.
    pub(super) unlucky: bool,
    /// A search that fails without anybody to blame, one in two thousand.
    pub(super) search_mishap: bool,
    /// A purchase that does.
    pub(super) purchase_mishap: bool,
    /// Noise for durations, from 0 to 1.
    pub(super) noise: f64,
}

/// Visits without end.
#[derive(Debug)]
pub(super) struct Visits {
    rng: fastrand::Rng,
    round: u32,
    queue: VecDeque<u32>,
}

impl Customer {
    /// Half have `new-checkout`; of those three in five have `express-pay`, of the others two in five, so
    /// that bystander meets one and a half times its share of the failures. The other two flags are halves
    /// that cross everything.
    fn of(index: u32) -> Self {
        let new_checkout = index.is_multiple_of(2);
        let half = index / 2;
        let express = half % 5 < if new_checkout { 3 } else { 2 };
        Self {
            rollout: [
                new_checkout,
                express,
                (half / 5).is_multiple_of(2),
                (half / 10).is_multiple_of(2),
            ],
            twin: half / 20,
        }
    }
}

impl Visits {
    /// Always the same visits.
    pub(super) fn new() -> Self {
        Self {
            rng: fastrand::Rng::with_seed(SEED),
            round: 0,
            queue: VecDeque::new(),
        }
    }
}

impl Iterator for Visits {
    type Item = Visit;

    fn next(&mut self) -> Option<Visit> {
        if self.queue.is_empty() {
            let mut order: Vec<u32> = (0..POPULATION).collect();
            self.rng.shuffle(&mut order);
            self.queue = order.into();
            self.round = self.round.wrapping_add(1);
        }
        let customer = Customer::of(self.queue.pop_front()?);
        // Of six twins two fail in each round, one on each deployment.
        Some(Visit {
            customer,
            deployment: usize::from((customer.twin / 3 + self.round).is_multiple_of(2)),
            unlucky: (customer.twin + self.round).is_multiple_of(3),
            search_mishap: self.rng.u32(0..2000) == 0,
            purchase_mishap: self.rng.u32(0..2000) == 0,
            noise: self.rng.f64(),
        })
    }
}

const _: () = assert!(FLAGS.len() == 4);

#[cfg(test)]
mod tests {
    use super::*;

    /// (failures, visits) of those with and without flag `flag` on deployment `deployment`, over one round.
    fn shares(flag: usize, deployment: usize) -> [(u32, u32); 2] {
        let mut shares = [(0, 0); 2];
        for visit in Visits::new().take(POPULATION as usize) {
            if visit.deployment == deployment {
                let share = &mut shares[usize::from(!visit.customer.rollout[flag])];
                share.0 += u32::from(visit.customer.rollout[0] && visit.unlucky);
                share.1 += 1;
            }
        }
        shares
    }

    #[test]
    fn a_third_behind_the_guilty_flag_fails_on_each_deployment() {
        for deployment in 0..2 {
            assert_eq!(shares(0, deployment), [(20, 60), (0, 60)]);
        }
    }

    #[test]
    fn a_correlated_bystander_meets_half_as_many_failures_again() {
        for deployment in 0..2 {
            assert_eq!(shares(1, deployment), [(12, 60), (8, 60)]);
        }
    }

    #[test]
    fn the_other_bystanders_fail_as_often_with_as_without() {
        for (flag, deployment) in [(2, 0), (2, 1), (3, 0), (3, 1)] {
            assert_eq!(shares(flag, deployment), [(10, 60), (10, 60)], "flag {flag}");
        }
    }

    #[test]
    fn the_same_visits_come_every_time() {
        let first: Vec<String> = Visits::new().take(1000).map(|v| format!("{v:?}")).collect();
        let again: Vec<String> = Visits::new().take(1000).map(|v| format!("{v:?}")).collect();
        assert_eq!(first, again);
    }
}
