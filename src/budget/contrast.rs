//! Whether one group of events is worse than another by a factor, exactly.

use super::Threshold;
use crate::ledger::Counts;
use std::cmp::Ordering;

/// Whether the bad share of `cohort` is at least `factor` times that of `control`; `None` when one of them
/// has no event.
///
/// A control without a bad event is exceeded by any bad event, whatever the factor; two shares of zero differ
/// by no factor, so the answer is then `false` unless the factor is zero.
pub fn contrasts(cohort: Counts, control: Counts, factor: Threshold) -> Option<bool> {
    let total = |c: Counts| u128::from(c.good) + u128::from(c.bad);
    if total(cohort) == 0 || total(control) == 0 {
        return None;
    }
    if cohort.bad == 0 {
        return Some(factor.millionths() == 0);
    }
    // bad_c / total_c against factor * bad_o / total_o, the millionths moved to the left.
    let left = (u128::from(cohort.bad) * 1_000_000, total(cohort));
    let right = (
        u128::from(factor.millionths()) * u128::from(control.bad),
        total(control),
    );
    Some(compare(left, right) != Ordering::Less)
}

/// Compares two fractions with positive denominators term by term of their continued fractions: no product,
/// so no overflow at any size.
pub(super) fn compare(left: (u128, u128), right: (u128, u128)) -> Ordering {
    let wholes = (left.0 / left.1).cmp(&(right.0 / right.1));
    wholes.then_with(|| match (left.0 % left.1, right.0 % right.1) {
        (0, 0) => Ordering::Equal,
        (0, _) => Ordering::Less,
        (_, 0) => Ordering::Greater,
        // The rests are fractions below 1: compare their reciprocals the other way round.
        (rest, other) => compare((right.1, other), (left.1, rest)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(bad: u64, total: u64) -> Counts {
        Counts {
            good: total - bad,
            bad,
        }
    }

    fn factor(text: &str) -> Threshold {
        text.parse().unwrap()
    }

    #[test]
    fn exactly_the_factor_is_enough_and_a_hair_less_is_not() {
        assert_eq!(contrasts(of(20, 1000), of(10, 1000), factor("2")), Some(true));
        assert_eq!(contrasts(of(20, 1001), of(10, 1000), factor("2")), Some(false));
        assert_eq!(contrasts(of(3, 100), of(30, 2000), factor("2")), Some(true));
        assert_eq!(
            contrasts(of(3, 100), of(30, 2000), factor("2.000001")),
            Some(false)
        );
    }

    #[test]
    fn groups_without_events_cannot_be_compared() {
        assert_eq!(contrasts(of(1, 10), of(0, 0), factor("2")), None);
        assert_eq!(contrasts(of(0, 0), of(1, 10), factor("2")), None);
    }

    #[test]
    fn a_clean_control_is_exceeded_by_any_bad_event_and_by_none_without() {
        assert_eq!(contrasts(of(1, 1_000_000), of(0, 1), factor("100")), Some(true));
        assert_eq!(contrasts(of(0, 10), of(0, 10), factor("2")), Some(false));
    }

    proptest! {
        #[test]
        fn fractions_compare_as_their_cross_products(
            a in any::<u32>(),
            b in 1..=u32::MAX,
            c in any::<u32>(),
            d in 1..=u32::MAX,
        ) {
            let wide = |x: u32| u128::from(x);
            let want = (wide(a) * wide(d)).cmp(&(wide(c) * wide(b)));
            prop_assert_eq!(compare((wide(a), wide(b)), (wide(c), wide(d))), want);
        }

        #[test]
        fn no_size_overflows(a in any::<[u64; 4]>(), k in any::<u64>()) {
            let [good, bad, others_good, others_bad] = a;
            let control = Counts { good: others_good, bad: others_bad };
            let _ = contrasts(Counts { good, bad }, control, Threshold::from_millionths(k));
        }

        #[test]
        fn a_cohort_never_stands_out_from_itself(
            bad in 1..1000_u64,
            good in 0..1000_u64,
            k in 1_000_001..u64::MAX,
        ) {
            let c = Counts { good, bad };
            prop_assert_eq!(contrasts(c, c, Threshold::from_millionths(k)), Some(false));
            prop_assert_eq!(contrasts(c, c, Threshold::ONE), Some(true));
        }
    }
}
