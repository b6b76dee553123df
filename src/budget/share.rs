//! What part of something is bad, whatever is counted: events, time slices, or misses of slices.
//!
//! Three budgeting methods and composites of several SLOs would mean as many versions of burn, budget left
//! and thresholds. All of them are one fraction of integers, so there is one arithmetic. A ratio that must be
//! summed (the miss of a slice, a weighted mean) is kept in units of 10^-18, rounded once: sums of integers
//! can be taken apart again exactly, sums of floats cannot.

use super::contrast::compare;
use super::{Target, Threshold};
use crate::ledger::Counts;
use std::cmp::Ordering;

const BILLION: u128 = 1_000_000_000;
const BURN_ONE: u128 = BILLION * 1_000_000;

/// The unit of ratios that are summed.
pub const RATIO_ONE: u128 = 1_000_000_000_000_000_000;

/// So much bad of so much in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Bad events, bad slices, or misses in units of 10^-18.
    pub bad: u128,
    /// All of them, in the same unit.
    pub of: u128,
}

impl From<Counts> for Share {
    fn from(counts: Counts) -> Self {
        Self {
            bad: u128::from(counts.bad),
            of: u128::from(counts.good) + u128::from(counts.bad),
        }
    }
}

impl Share {
    /// Whether there is nothing of which a part could be bad.
    pub const fn is_empty(self) -> bool {
        self.of == 0
    }

    /// The bad part; `None` of nothing.
    pub fn ratio(self) -> Option<f64> {
        (self.of > 0).then(|| self.bad as f64 / self.of as f64)
    }

    /// The bad part in units of 10^-18, rounded to the nearest; `None` of nothing. At most 2^64 events.
    pub fn miss(self) -> Option<u128> {
        let half = self.of / 2;
        (self.of > 0).then(|| self.bad.saturating_mul(RATIO_ONE).saturating_add(half) / self.of)
    }

    /// Whether the burn rate is above `threshold`: strict, exact, false of nothing.
    ///
    /// `bad / of / b > t` is `bad / of > t_millionths * b_ppb / 10^15`. A threshold at or above the highest
    /// burn that the target allows (`1 / b`) can never be exceeded. Products serve what fits 64 bits, which
    /// counts do; wider shares are compared as fractions.
    pub fn exceeds(self, target: Target, threshold: Threshold) -> bool {
        let allowed = u128::from(threshold.millionths()) * u128::from(target.budget_ppb());
        if allowed >= BURN_ONE || self.of == 0 {
            return false;
        }
        if self.of <= u128::from(u64::MAX) * 2 && self.bad <= self.of {
            return self.bad * BURN_ONE > allowed * self.of;
        }
        compare((self.bad, self.of), (allowed, BURN_ONE)) == Ordering::Greater
    }

    /// Bad and allowed bad, both times a billion.
    fn spent_and_budget(self, target: Target) -> (u128, u128) {
        (
            self.bad.saturating_mul(BILLION),
            u128::from(target.budget_ppb()).saturating_mul(self.of),
        )
    }

    /// Share of the budget that is spent, above 1 when overspent; also the burn rate. `None` of nothing.
    pub fn consumed(self, target: Target) -> Option<f64> {
        let (spent, budget) = self.spent_and_budget(target);
        (budget > 0).then(|| spent as f64 / budget as f64)
    }

    /// Share of the budget that is left; negative when overspent, never clamped. `None` of nothing.
    pub fn remaining(self, target: Target) -> Option<f64> {
        let (spent, budget) = self.spent_and_budget(target);
        let left = if spent <= budget {
            (budget - spent) as f64
        } else {
            -((spent - budget) as f64)
        };
        (budget > 0).then(|| left / budget as f64)
    }

    /// Whether the budget is spent to the last; exact, false of nothing.
    pub fn exhausted(self, target: Target) -> bool {
        let (spent, budget) = self.spent_and_budget(target);
        budget > 0 && spent >= budget
    }
}

/// Whether `bad` events of a window are at least what spending the budget at `threshold` for that long would
/// be, measured by the traffic of the whole period: `bad >= t * w / W * b * N_W`. So an alert means the same
/// part of the budget at any hour, and a quiet night does not wake anybody for one failure.
pub fn is_budget_event(
    bad: u64,
    threshold: Threshold,
    target: Target,
    (window_secs, period_secs): (u64, u64),
    period_events: u64,
) -> bool {
    if period_events == 0 || period_secs == 0 {
        return true;
    }
    // Both sides over N_W: bad / N_W against t_millionths * b_ppb * w / (10^15 * W). The first two factors
    // are at most 10^15 where the burn can be exceeded at all, so the products fit.
    let burn = (u128::from(threshold.millionths()) * u128::from(target.budget_ppb())).min(BURN_ONE);
    let needed = (burn * u128::from(window_secs), BURN_ONE * u128::from(period_secs));
    compare((u128::from(bad), u128::from(period_events)), needed) != Ordering::Less
}

/// A threshold under a pre-approved higher burn: where `overlap` of the window's seconds lie in the peak,
/// the mean of what is approved over the window, rounded down to a millionth.
pub fn with_peak(threshold: Threshold, factor: Threshold, overlap_secs: u64, window_secs: u64) -> Threshold {
    let (overlap, window) = (
        u128::from(overlap_secs.min(window_secs)),
        u128::from(window_secs.max(1)),
    );
    let weight = (window - overlap) * 1_000_000 + overlap * u128::from(factor.millionths());
    let scaled = u128::from(threshold.millionths()).saturating_mul(weight) / (window * 1_000_000);
    Threshold::from_millionths(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn factor(text: &str) -> Threshold {
        text.parse().unwrap()
    }

    #[test]
    fn v33_two_percent_of_a_quiet_budget_is_less_than_one_event() {
        // 7200 events an hour-long window of which 0.1 % may be bad: 2 % of that budget is 0.144 events.
        let b = target("99.9%");
        // The window is the period here, so the threshold is the share itself.
        let share = factor("0.02");
        assert!(is_budget_event(1, share, b, (3600, 3600), 7200));
        assert!(!is_budget_event(0, share, b, (3600, 3600), 7200));
        // So the floor of three decides, which is the rule's other half.
    }

    #[test]
    fn an_alert_asks_for_the_same_part_of_the_budget_at_any_hour() {
        let (b, t) = (target("99.9%"), factor("14.4"));
        let (hour, month) = (3600, 30 * 86_400);
        // 10 requests an hour: one failure is burn 100, and 13.9 % of the budget of 7.2 events.
        assert!(is_budget_event(1, t, b, (hour, month), 7_200));
        // 36 million a month, a night hour of 100 requests: 2 % of the budget is 720 events.
        assert!(!is_budget_event(719, t, b, (hour, month), 36_000_000));
        assert!(is_budget_event(720, t, b, (hour, month), 36_000_000));
    }

    #[test]
    fn a_peak_raises_a_threshold_by_the_part_of_the_window_that_lies_in_it() {
        let t = factor("14.4");
        assert_eq!(with_peak(t, factor("3"), 0, 3600), t);
        assert_eq!(with_peak(t, factor("3"), 3600, 3600), factor("43.2"));
        assert_eq!(with_peak(t, factor("3"), 1800, 3600), factor("28.8"));
        assert_eq!(with_peak(t, factor("3"), 9999, 3600), factor("43.2"));
    }

    proptest! {
        #[test]
        fn narrow_and_wide_shares_are_compared_alike(
            bad in 0..=u64::MAX, of in 1..=u64::MAX, ppb in 1..1_000_000_000_u64, m in 0..u64::MAX / 2,
        ) {
            let bad = bad.min(of);
            let t = Target::from_budget_ppb(ppb).unwrap();
            let narrow = Share { bad: u128::from(bad), of: u128::from(of) };
            let wide = Share { bad: narrow.bad << 30, of: narrow.of << 30 };
            let m = Threshold::from_millionths(m);
            prop_assert_eq!(narrow.exceeds(t, m), wide.exceeds(t, m));
            prop_assert_eq!(narrow.exhausted(t), wide.exhausted(t));
        }

        #[test]
        fn a_miss_is_the_ratio_to_the_nearest_unit(bad in 0..=u64::MAX, more in 0..u64::MAX) {
            let share = Share { bad: u128::from(bad), of: u128::from(bad) + u128::from(more) };
            prop_assume!(share.of > 0);
            let miss = share.miss().unwrap();
            let back = compare((miss * 2 + 1, 2 * RATIO_ONE), (share.bad, share.of));
            prop_assert_ne!(back, Ordering::Less);
            if miss > 0 {
                let below = compare((miss * 2 - 1, 2 * RATIO_ONE), (share.bad, share.of));
                prop_assert_ne!(below, Ordering::Greater);
            }
        }

        #[test]
        fn no_size_overflows(bad in any::<u64>(), n in any::<u64>(), w in any::<u64>(), m in any::<u64>()) {
            let t = Target::from_budget_ppb(999_999_999).unwrap();
            let _ = is_budget_event(bad, Threshold::from_millionths(m), t, (w, w), n);
            let _ = with_peak(Threshold::from_millionths(m), Threshold::from_millionths(n), w, bad);
        }
    }
}
