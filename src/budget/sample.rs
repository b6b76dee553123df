//! What sampled counts are worth.
//!
//! A sampled event stands for w events, so counts estimate what happened (without bias: Horvitz and
//! Thompson), and say less than they seem to: a hundred thousand events known from a thousand say as much
//! about a ratio as a thousand. Two errors must be told apart. That of a *count* is the sampler's alone:
//! the variance is the sum of w (w - 1), and nothing when all was seen. That of a *ratio* as a statement
//! about the service also has the error that any finite number of requests has; for intervals on it
//! (Wilson's, Jeffreys') what is needed is the effective number of events: so many, all seen, would say as
//! much.
//!
//! With good and bad estimates G and B of N, and sums of squared weights Q, the linearised variance of B / N
//! is (G^2 Qb + B^2 Qg) / N^4, so that the effective number is B G N^2 / (G^2 Qb + B^2 Qg): N when everything
//! was seen, and what was seen when all weights are equal. Without an event of one kind its weights are taken
//! to be those of the other kind (Kish's N^2 / Q).
//!
//! Spans of one trace are kept together. Where one request makes several events of an objective the errors
//! are larger than stated, by the square root of how many.

use super::rates;
use crate::ledger::{Counts, EXCESS_BITS, Sampled, VARIANCE_BITS};

/// Mean weights that differ by more than this many times do not come from one sampler.
const DIFFERENCE: u128 = 2;
/// Events of a kind that must be seen before their mean weight says anything.
const SEEN_MIN: u64 = 10;

/// What was seen of one kind of events, as numbers.
#[derive(Clone, Copy, Debug)]
struct Kind {
    estimate: f64,
    variance: f64,
}

impl Kind {
    fn of(seen: u64, excess: u64, variance: u64) -> Self {
        Self {
            estimate: seen as f64 + excess as f64 / f64::from(1u32 << EXCESS_BITS),
            variance: variance as f64 / f64::from(1u32 << VARIANCE_BITS),
        }
    }

    /// Sum of squared weights.
    fn squares(self) -> f64 {
        self.variance + self.estimate
    }
}

fn kinds(of: Sampled) -> (Kind, Kind) {
    let Sampled { seen, weights } = of;
    (
        Kind::of(seen.good, weights.excess.good, weights.variance.good),
        Kind::of(seen.bad, weights.excess.bad, weights.variance.bad),
    )
}

/// How many events, all seen, would say as much about the share of bad ones; `None` without events. What was
/// seen, when nothing was sampled.
pub fn effective_events(of: Sampled) -> Option<f64> {
    let (good, bad) = kinds(of);
    let total = good.estimate + bad.estimate;
    if total <= 0.0 {
        return None;
    }
    if of.weights.is_zero() {
        return Some(total);
    }
    let (g, b) = (good.estimate, bad.estimate);
    Some(if b <= 0.0 || g <= 0.0 {
        total * total / (good.squares() + bad.squares())
    } else {
        let spread = g * g * bad.squares() + b * b * good.squares();
        b * g * total * total / spread
    })
}

/// Standard error of the estimates of good and of bad events: zero when nothing was sampled.
pub fn standard_errors(of: Sampled) -> (f64, f64) {
    let (good, bad) = kinds(of);
    (good.variance.sqrt(), bad.variance.sqrt())
}

/// Whether two groups were sampled so differently that comparing them compares samplers: good or bad events
/// of one stand for more than twice as many as those of the other. Kinds of which few were seen say nothing.
pub fn sampled_differently(one: Sampled, other: Sampled) -> bool {
    let pairs = |of: Sampled| {
        let estimate = of.counts();
        [(of.seen.good, estimate.good), (of.seen.bad, estimate.bad)]
    };
    let kinds = pairs(one).into_iter().zip(pairs(other));
    kinds
        .filter(|((a, _), (b, _))| *a.min(b) >= SEEN_MIN)
        .any(|((seen_a, a), (seen_b, b))| {
            let (a, b) = (
                u128::from(a) * u128::from(seen_b),
                u128::from(b) * u128::from(seen_a),
            );
            a.max(b) > DIFFERENCE.saturating_mul(a.min(b))
        })
}

/// Events that stand behind one that was seen, on average; `None` without events.
pub fn mean_weight(of: Sampled) -> Option<f64> {
    let total = |counts: Counts| counts.total() as f64;
    (of.seen.total() > 0).then(|| total(of.counts()) / total(of.seen))
}

/// The counts that an interval may be built on: as many as [`effective_events`], with the share of bad ones
/// that was estimated. Whole and exact when nothing was sampled.
pub fn effective_counts(of: Sampled) -> (f64, f64) {
    let share = rates::error_ratio(of.counts()).unwrap_or(0.0);
    let events = effective_events(of).unwrap_or(0.0);
    (events * (1.0 - share), events * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{EventWeight, Weights};
    use crate::wire::Weight;
    use proptest::prelude::*;

    /// Good and bad events of two weights.
    fn of(good: (u64, u64), bad: (u64, u64)) -> Sampled {
        let one = |weight| {
            EventWeight::of(
                Weight {
                    whole: weight,
                    part: 0,
                },
                u32::MAX,
            )
        };
        let (g, b) = (one(good.1), one(bad.1));
        Sampled {
            seen: Counts {
                good: good.0,
                bad: bad.0,
            },
            weights: Weights {
                excess: Counts {
                    good: good.0 * g.excess,
                    bad: bad.0 * b.excess,
                },
                variance: Counts {
                    good: good.0 * g.variance,
                    bad: bad.0 * b.variance,
                },
            },
        }
    }

    proptest! {
        #[test]
        fn equal_weights_are_worth_what_was_seen(
            good in 1u64..100_000, bad in 0u64..1000, weight in 1u64..10_000,
        ) {
            let effective = effective_events(of((good, weight), (bad, weight))).unwrap();
            prop_assert!((effective / (good + bad) as f64 - 1.0).abs() < 1e-9, "{}", effective);
            let (g, b) = effective_counts(of((good, weight), (bad, weight)));
            prop_assert!((g - good as f64).abs() < 1e-3 * good as f64, "{} {}", g, good);
            prop_assert!((b - bad as f64).abs() < 1.0 + 1e-3 * bad as f64, "{} {}", b, bad);
        }

        #[test]
        fn no_weights_make_more_of_what_was_seen_than_the_estimate(
            good in 0u64..10_000, bad in 0u64..10_000, a in 1u64..1000, b in 1u64..1000,
        ) {
            let sampled = of((good, a), (bad, b));
            if let Some(effective) = effective_events(sampled) {
                let most = sampled.counts().total() as f64;
                prop_assert!(effective > 0.0 && effective <= most * (1.0 + 1e-9), "{} {}", effective, most);
            }
        }
    }

    #[test]
    fn errors_that_were_all_kept_make_the_share_as_sure_as_their_number() {
        // 100 bad events, all seen, among 10,000: nearly all of the error is theirs.
        let effective = effective_events(of((99, 100), (100, 1))).unwrap();
        assert!((5_000.0..10_000.0).contains(&effective), "{effective}");
    }

    #[test]
    fn the_error_of_a_count_is_the_sampler_s_alone() {
        assert_eq!(standard_errors(of((1000, 1), (10, 1))), (0.0, 0.0));
        let (good, bad) = standard_errors(of((100, 100), (4, 10)));
        assert!((good - (100.0f64 * 9900.0).sqrt()).abs() < 1e-9, "{good}");
        assert!((bad - 360.0f64.sqrt()).abs() < 1e-9, "{bad}");
    }

    #[test]
    fn other_samplers_are_told_by_kind_and_not_by_the_mix() {
        let tail = |good, bad| of((good, 100), (bad, 1));
        assert!(!sampled_differently(tail(1000, 10), tail(50, 500)));
        assert!(sampled_differently(
            of((1000, 100), (0, 1)),
            of((1000, 1), (0, 1))
        ));
        assert!(sampled_differently(
            of((100, 10), (20, 10)),
            of((100, 10), (20, 1))
        ));
        assert!(
            !sampled_differently(of((9, 10), (0, 1)), of((1000, 1), (0, 1))),
            "too few to tell"
        );
        assert!(
            !sampled_differently(of((100, 20), (0, 1)), of((100, 10), (0, 1))),
            "twice is enough alike"
        );
    }
}
