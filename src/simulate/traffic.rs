//! Good and bad events of a group of requests in ten seconds, as chance has them.

use crate::ledger::Counts;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Geometric, Poisson};

/// The source of chance of one run: the same on every machine.
pub(super) type Random = Xoshiro256PlusPlus;

/// Poisson numbers; the distribution is kept as long as its mean stays.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    mean: f64,
    law: Option<Poisson<f64>>,
}

impl Count {
    pub(super) fn draw(&mut self, mean: f64, random: &mut Random) -> u64 {
        if mean.to_bits() != self.mean.to_bits() || self.law.is_none() {
            self.mean = mean;
            self.law = Poisson::new(mean).ok();
        }
        // No law: a mean of zero.
        self.law.map_or(0, |law| whole(law.sample(random)))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, which saturates"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

/// Sizes of clusters: geometric from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clusters {
    mean: f64,
    law: Option<Geometric>,
}

impl Clusters {
    pub(super) fn new(mean: f64) -> Self {
        let law = (mean > 1.0).then(|| Geometric::new(1.0 / mean).ok()).flatten();
        Self {
            mean: mean.max(1.0),
            law,
        }
    }

    pub(super) fn size(&self, random: &mut Random) -> u64 {
        1 + self.law.map_or(0, |law| law.sample(random))
    }

    /// How many clusters so many bad events make, on average.
    pub(super) fn per(&self, bad: f64) -> f64 {
        bad / self.mean
    }

    fn total(&self, clusters: u64, random: &mut Random) -> u64 {
        if self.law.is_none() {
            return clusters;
        }
        (0..clusters).map(|_| self.size(random)).sum()
    }
}

/// A group of requests of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    good: Count,
    bad: Count,
}

impl Source {
    /// Events of ten seconds: `events` on average, of which a share of `bad_rate` is bad.
    pub(super) fn draw(
        &mut self,
        events: f64,
        bad_rate: f64,
        clusters: &Clusters,
        random: &mut Random,
    ) -> Counts {
        let bad_rate = bad_rate.min(1.0);
        let good = self.good.draw(events * (1.0 - bad_rate), random);
        let bad = self.bad.draw(clusters.per(events * bad_rate), random);
        Counts {
            good,
            bad: clusters.total(bad, random),
        }
    }
}

/// A Poisson number that is not zero.
pub(super) fn at_least_one(mean: f64, random: &mut Random) -> u64 {
    if mean > 20.0 {
        return Count::default().draw(mean, random).max(1);
    }
    let mut at_most = mean / mean.exp_m1();
    let (mut number, mut left) = (1_u64, random.random::<f64>());
    while left > at_most && number < 1000 {
        left -= at_most;
        number += 1;
        at_most *= mean / number as f64;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn means(of: impl Fn(&mut Random) -> u64) -> (f64, f64) {
        let mut random = Random::seed_from_u64(7);
        let drawn: Vec<f64> = (0..20_000).map(|_| of(&mut random) as f64).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let square = drawn.iter().map(|x| x * x).sum::<f64>() / drawn.len() as f64;
        (mean, square)
    }

    #[test]
    fn clusters_have_their_mean_and_a_geometric_tail() {
        for mean in [1.0, 3.0, 10.0] {
            let clusters = Clusters::new(mean);
            let (found, square) = means(|random| clusters.size(random));
            assert!((found / mean - 1.0).abs() < 0.05, "{found}");
            assert!(
                (square / found / (2.0 * mean - 1.0) - 1.0).abs() < 0.1,
                "{square}"
            );
        }
    }

    #[test]
    fn events_and_bad_ones_come_as_often_as_was_asked() {
        let clusters = Clusters::new(3.0);
        let bad = means(|random| Source::default().draw(1000.0, 0.02, &clusters, random).bad).0;
        let good = means(|random| Source::default().draw(1000.0, 0.02, &clusters, random).good).0;
        assert!(
            (bad - 20.0).abs() < 0.5 && (good - 980.0).abs() < 2.0,
            "{bad} {good}"
        );
        let none = means(|random| Source::default().draw(0.0, 0.02, &clusters, random).good);
        assert_eq!(none, (0.0, 0.0));
    }

    #[test]
    fn numbers_from_one_up_have_the_mean_of_a_truncated_poisson() {
        for mean in [0.001, 0.5, 5.0, 30.0] {
            let found = means(|random| at_least_one(mean, random)).0;
            let want = mean / (1.0 - (-mean).exp());
            assert!((found / want - 1.0).abs() < 0.03, "{mean}: {found} is not {want}");
        }
    }
}
