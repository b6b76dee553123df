//! What counts say about a budget now.
//!
//! With target `s`, budget `b = 1 - s`, period `W` and counts of a window: error ratio `e = bad / total`,
//! burn rate `BR = e / b`, budget left of the period `R = (b - e_W) / b`, and at this burn exhausted in `R *
//! W / BR`.

use super::{Share, Target, Threshold};

const BILLION: u128 = 1_000_000_000;

/// Whether the burn rate of `counts` is above `threshold`: strict, exact, false without events; see
/// [`Share::exceeds`].
pub fn exceeds(counts: impl Into<Share>, target: Target, threshold: Threshold) -> bool {
    counts.into().exceeds(target, threshold)
}

/// Share of bad events; `None` without events.
pub fn error_ratio(counts: impl Into<Share>) -> Option<f64> {
    counts.into().ratio()
}

/// Burn rate: error ratio over budget; 1 spends exactly the budget in a period. `None` without events.
pub fn burn_rate(counts: impl Into<Share>, target: Target) -> Option<f64> {
    counts.into().consumed(target)
}

/// Share of the period's budget that is spent, given the counts of the whole period; above 1 when overspent.
/// `None` without events.
pub fn consumed(counts: impl Into<Share>, target: Target) -> Option<f64> {
    counts.into().consumed(target)
}

/// Share of the period's budget that is left, given the counts of the whole period; negative when overspent,
/// never clamped. `None` without events.
pub fn remaining(counts: impl Into<Share>, target: Target) -> Option<f64> {
    counts.into().remaining(target)
}

/// Whether the period's budget is spent to the last event; exact, false without events.
pub fn exhausted(counts: impl Into<Share>, target: Target) -> bool {
    counts.into().exhausted(target)
}

/// Seconds until the budget is gone at burn rate `burn`, of a period of `period_secs` with `remaining` left.
///
/// `Some(0.0)` when nothing is left, whatever the burn; otherwise `None` when nothing burns. A rolling period
/// also regains budget while old errors leave it, so this is the pessimistic bound.
pub fn time_to_exhaustion(remaining: f64, burn: f64, period_secs: u64) -> Option<f64> {
    if remaining <= 0.0 {
        return Some(0.0);
    }
    (burn > 0.0).then(|| remaining * period_secs as f64 / burn)
}

/// Minutes of total outage that the budget of a period pays for at even traffic: 43.2 for 99.9 % over 30
/// days.
pub fn budget_minutes(target: Target, period_secs: u64) -> f64 {
    let scaled = u128::from(target.budget_ppb()) * u128::from(period_secs);
    scaled as f64 / (BILLION as f64 * 60.0)
}

/// Bad events that `events` events of a period may have.
pub fn budget_events(target: Target, events: u64) -> f64 {
    (u128::from(target.budget_ppb()) * u128::from(events)) as f64 / BILLION as f64
}

#[cfg(test)]
mod tests {
    use super::super::contrast::compare;
    use super::*;
    use crate::ledger::Counts;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn total(counts: Counts) -> u128 {
        u128::from(counts.good) + u128::from(counts.bad)
    }

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn counts(bad: u64, total: u64) -> Counts {
        Counts {
            good: total - bad,
            bad,
        }
    }

    fn threshold(text: &str) -> Threshold {
        text.parse().unwrap()
    }

    #[track_caller]
    fn near(got: f64, want: f64) {
        assert!(
            (got - want).abs() <= 1e-9 * want.abs().max(1.0),
            "{got} is not {want}"
        );
    }

    #[test]
    fn v1_budget_minutes_of_the_usual_targets() {
        for (text, days, minutes) in [
            ("99.9%", 30, 43.2),
            ("99.9%", 28, 40.32),
            ("99.95%", 30, 21.6),
            ("99.99%", 30, 4.32),
            ("99.999%", 30, 25.92 / 60.0),
            ("90%", 30, 72.0 * 60.0),
        ] {
            near(budget_minutes(target(text), days * DAY), minutes);
        }
    }

    #[test]
    fn v31_a_week_at_three_and_a_half_nines_is_five_minutes() {
        near(budget_minutes(target("99.95%"), 7 * DAY), 5.04);
    }

    #[test]
    fn v29_two_weeks_of_minute_slices_at_95_percent_allow_1008_bad_ones() {
        near(budget_events(target("95%"), 14 * 24 * 60), 1008.0);
        near(budget_minutes(target("95%"), 14 * DAY), 16.0 * 60.0 + 48.0);
    }

    #[test]
    fn v2_burn_is_eight_and_exhausts_in_three_and_three_quarter_days() {
        let burn = burn_rate(counts(4, 1000), target("99.95%")).unwrap();
        near(burn, 8.0);
        near(
            time_to_exhaustion(1.0, burn, 30 * DAY).unwrap(),
            3.75 * DAY as f64,
        );
    }

    #[test]
    fn v3_burn_ten_exhausts_thirty_days_in_three() {
        near(time_to_exhaustion(1.0, 10.0, 30 * DAY).unwrap(), 3.0 * DAY as f64);
    }

    #[test]
    fn v4_two_fifths_left_at_burn_four_last_three_days() {
        near(time_to_exhaustion(0.4, 4.0, 30 * DAY).unwrap(), 3.0 * DAY as f64);
    }

    #[test]
    fn v21_an_overspent_budget_is_negative() {
        let (c, t) = (counts(250, 200_000), target("99.9%"));
        near(error_ratio(c).unwrap(), 0.00125);
        near(burn_rate(c, t).unwrap(), 1.25);
        near(remaining(c, t).unwrap(), -0.25);
        near(consumed(c, t).unwrap(), 1.25);
        assert!(exhausted(c, t));
    }

    #[test]
    fn v37_a_pair_speaks_only_when_both_are_above() {
        let t = target("99.9%");
        let fires = |long, short| {
            [long, short]
                .iter()
                .all(|&b| exceeds(counts(b, 1000), t, threshold("14.4")))
        };
        assert!(!fires(15, 13));
        assert!(fires(15, 15));
        assert!(!fires(13, 15));
    }

    #[test]
    fn v38_a_burn_of_exactly_the_threshold_is_not_above_it() {
        let t = target("99.9%");
        assert!(!exceeds(counts(144, 10_000), t, threshold("14.4")));
        assert!(exceeds(counts(145, 10_000), t, threshold("14.4")));
        assert!(exceeds(counts(144, 10_000), t, threshold("14.399999")));
    }

    #[test]
    fn v39_no_events_have_no_burn_and_no_budget_left_or_spent() {
        let t = target("99.9%");
        let none = Counts::default();
        assert_eq!(
            (
                burn_rate(none, t),
                remaining(none, t),
                consumed(none, t),
                error_ratio(none)
            ),
            (None, None, None, None)
        );
        assert!(!exceeds(none, t, Threshold::from_millionths(0)) && !exhausted(none, t));
    }

    #[test]
    fn v20_no_burn_exceeds_what_the_target_allows() {
        let t = target("90%");
        assert!(!exceeds(counts(1000, 1000), t, threshold("14.4")));
        assert!(!exceeds(counts(1000, 1000), t, threshold("10")));
        assert!(exceeds(counts(1000, 1000), t, threshold("9.999999")));
    }

    #[test]
    fn exhaustion_is_now_when_nothing_is_left_and_never_when_nothing_burns() {
        assert_eq!(time_to_exhaustion(0.0, 0.0, DAY), Some(0.0));
        assert_eq!(time_to_exhaustion(-0.5, 3.0, DAY), Some(0.0));
        assert_eq!(time_to_exhaustion(0.5, 0.0, DAY), None);
    }

    #[test]
    fn a_budget_spent_to_the_last_event_is_exhausted() {
        let t = target("99%");
        assert!(exhausted(counts(10, 1000), t));
        assert!(!exhausted(counts(9, 1000), t));
    }

    prop_compose! {
        fn any_counts()(good in any::<u64>(), bad in any::<u64>()) -> Counts { Counts { good, bad } }
    }

    fn any_target() -> impl Strategy<Value = Target> {
        (1..1_000_000_000_u64).prop_map(|ppb| Target::from_budget_ppb(ppb).unwrap())
    }

    proptest! {
        #[test]
        fn exceeds_is_the_comparison_of_rationals(
            c in any_counts(),
            t in any_target(),
            m in 0..1_000_000_000_000_u64,
        ) {
            prop_assume!(total(c) > 0);
            // e / b against threshold: bad * 10^9 / (total * b) against m / 10^6.
            let lhs = (u128::from(c.bad) * BILLION, total(c) * u128::from(t.budget_ppb()));
            let above = compare(lhs, (u128::from(m), 1_000_000)) == std::cmp::Ordering::Greater;
            prop_assert_eq!(exceeds(c, t, Threshold::from_millionths(m)), above);
        }

        #[test]
        fn exceeds_never_overflows(c in any_counts(), t in any_target(), m in any::<u64>()) {
            let _ = exceeds(c, t, Threshold::from_millionths(m));
        }

        #[test]
        fn a_bad_event_more_never_lowers_the_burn(
            bad in 0..1_000_000_u64,
            good in 0..1_000_000_u64,
            t in any_target(),
            m in 0..100_000_000_u64,
        ) {
            prop_assume!(good + bad > 0);
            let (c, worse) = (Counts { good, bad }, Counts { good, bad: bad + 1 });
            let m = Threshold::from_millionths(m);
            prop_assert!(burn_rate(worse, t) >= burn_rate(c, t));
            prop_assert!(!exceeds(c, t, m) || exceeds(worse, t, m));
        }

        #[test]
        fn burn_does_not_depend_on_the_rate(
            bad in 0..1_000_000_u64,
            good in 0..1_000_000_u64,
            k in 1..1000_u64,
            t in any_target(),
            m in 0..100_000_000_u64,
        ) {
            let (c, more) = (Counts { good, bad }, Counts { good: good * k, bad: bad * k });
            let m = Threshold::from_millionths(m);
            prop_assert_eq!(exceeds(c, t, m), exceeds(more, t, m));
            prop_assert_eq!(exhausted(c, t), exhausted(more, t));
        }

        #[test]
        fn remaining_and_consumed_sum_to_one(
            bad in 0..1_000_000_u64,
            good in 1..1_000_000_u64,
            ppb in 1_000..1_000_000_000_u64,
        ) {
            let (c, t) = (Counts { good, bad }, Target::from_budget_ppb(ppb).unwrap());
            let (left, spent) = (remaining(c, t).unwrap(), consumed(c, t).unwrap());
            prop_assert!((left + spent - 1.0).abs() <= 1e-9 * spent.max(1.0));
            prop_assert_eq!(exhausted(c, t), left <= 0.0);
        }
    }
}
