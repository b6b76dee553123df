//! Time slices: how one slice is judged, and what a number of slices amount to.
//!
//! [`Method::Occurrences`] weighs every event alike. [`Method::Timeslices`] weighs every slice of time alike:
//! a slice is bad when its share of good events is below the slice's target. [`Method::RatioTimeslices`]
//! takes the mean of the slices' ratios, so that an hour of attack with a million requests weighs as much as
//! a quiet one. What a slice without events is, no standard says; so it is a setting.

use super::Target;
use super::share::{RATIO_ONE, Share};
use crate::ledger::Counts;
use std::ops::{AddAssign, SubAssign};

/// How a budget is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Good events of all events.
    #[default]
    Occurrences,
    /// Good slices of all slices.
    Timeslices,
    /// The mean ratio of the slices.
    RatioTimeslices,
}

/// What a slice without events is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EmptySlice {
    /// Good: nobody was harmed.
    #[default]
    Good,
    /// Not counted.
    Exclude,
    /// Bad: there should have been events.
    Bad,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Occurrences, Self::Timeslices, Self::RatioTimeslices];

    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Occurrences => "occurrences",
            Self::Timeslices => "timeslices",
            Self::RatioTimeslices => "ratio_timeslices",
        }
    }
}

impl EmptySlice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Good, Self::Exclude, Self::Bad];

    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Exclude => "exclude",
            Self::Bad => "bad",
        }
    }
}

/// How slices are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRule {
    /// [`Method::Timeslices`] or [`Method::RatioTimeslices`]; with [`Method::Occurrences`] slices are the
    /// grain in which events are summed.
    pub method: Method,
    /// Length of a slice, in seconds.
    pub slice_secs: u64,
    /// What a slice without events is.
    pub empty: EmptySlice,
}

/// Whose events a slice is judged by: one series, or one of several in a composite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The share of a slice's events that must be good.
    pub slice_target: Target,
    /// How much its ratio weighs among the others.
    pub weight: u32,
}

/// What slices amount to. A group: what was added can be taken off again, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slices {
    /// Events that count.
    pub kept: Counts,
    /// Events of slices that are excluded.
    pub excluded: Counts,
    /// Slices that count and are good, those without events among them where they are good.
    pub good: u64,
    /// Slices that count and are bad.
    pub bad: u64,
    /// Of all slices that are not excluded, those without events, however they count.
    pub empty: u64,
    /// Slices excluded by a maintenance window or a correction.
    pub left_out: u64,
    /// Sum of the ratios of bad events, in units of 10^-18, over the slices that count.
    pub misses: u128,
}

impl SliceRule {
    /// Judges one slice by the counts of its parts; `excluded` when maintenance or a correction covers it.
    ///
    /// A slice of several parts is bad when any part with events is. Its ratio is the weighted mean of those
    /// parts' ratios.
    pub fn judge(&self, parts: &[Part], counts: &[Counts], excluded: bool) -> Slices {
        let mut sum = Slices::default();
        let into = if excluded {
            &mut sum.excluded
        } else {
            &mut sum.kept
        };
        for &c in counts {
            into.add(c);
        }
        if excluded {
            sum.left_out = 1;
            return sum;
        }
        let full = || parts.iter().zip(counts).filter(|(_, c)| !c.is_zero());
        if full().next().is_none() {
            sum.empty = 1;
            match self.empty {
                EmptySlice::Good => sum.good = 1,
                EmptySlice::Bad => (sum.bad, sum.misses) = (1, RATIO_ONE),
                EmptySlice::Exclude => {}
            }
            return sum;
        }
        let is_bad =
            |(part, c): (&Part, &Counts)| Share::from(*c).exceeds(part.slice_target, super::Threshold::ONE);
        if full().any(is_bad) {
            sum.bad = 1;
        } else {
            sum.good = 1;
        }
        let weighted = full().filter_map(|(p, &c)| Some((u128::from(p.weight), Share::from(c).miss()?)));
        let (weights, misses) =
            weighted.fold((0, 0), |(w, m), (weight, miss)| (w + weight, m + weight * miss));
        sum.misses = (misses + weights / 2) / weights.max(1);
        sum
    }
}

impl Slices {
    /// Slices that count.
    pub const fn counted(&self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// What part of it is bad by `method`.
    pub fn share(&self, method: Method) -> Share {
        let counted = u128::from(self.counted());
        match method {
            Method::Occurrences => self.kept.into(),
            Method::Timeslices => Share {
                bad: u128::from(self.bad),
                of: counted,
            },
            Method::RatioTimeslices => Share {
                bad: self.misses,
                of: counted * RATIO_ONE,
            },
        }
    }

    /// The same bad part of a period of `slices`, the ones to come included: the budget of a time-slice SLO
    /// is known from the start, `b` of the period's slices.
    pub fn of_period(&self, method: Method, slices: u64) -> Share {
        let so_far = self.share(method);
        let of = match method {
            Method::Occurrences => return so_far,
            Method::Timeslices => u128::from(slices),
            Method::RatioTimeslices => u128::from(slices) * RATIO_ONE,
        };
        Share { of, ..so_far }
    }
}

impl AddAssign for Slices {
    fn add_assign(&mut self, other: Self) {
        self.kept.add(other.kept);
        self.excluded.add(other.excluded);
        self.good += other.good;
        self.bad += other.bad;
        self.empty += other.empty;
        self.left_out += other.left_out;
        self.misses += other.misses;
    }
}

impl SubAssign for Slices {
    /// Takes off what was added before.
    fn sub_assign(&mut self, other: Self) {
        self.kept = self.kept.without(other.kept);
        self.excluded = self.excluded.without(other.excluded);
        self.good = self.good.saturating_sub(other.good);
        self.bad = self.bad.saturating_sub(other.bad);
        self.empty = self.empty.saturating_sub(other.empty);
        self.left_out = self.left_out.saturating_sub(other.left_out);
        self.misses = self.misses.saturating_sub(other.misses);
    }
}

/// Bad slices that the budget of a period of `slices` pays for, in all.
pub fn budget_slices(target: Target, slices: u64) -> f64 {
    super::budget_events(target, slices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn counts(bad: u64, total: u64) -> Counts {
        Counts {
            good: total - bad,
            bad,
        }
    }

    fn rule(method: Method, empty: EmptySlice) -> SliceRule {
        SliceRule {
            method,
            slice_secs: 60,
            empty,
        }
    }

    fn alone(slice_target: &str) -> [Part; 1] {
        [Part {
            slice_target: target(slice_target),
            weight: 1,
        }]
    }

    #[test]
    fn v29_two_weeks_of_minutes_at_95_percent_allow_1008_bad_ones() {
        let minutes = 14 * 86_400 / 60;
        assert!((budget_slices(target("95%"), minutes) - 1008.0).abs() < 1e-9);
        assert!(
            (super::super::budget_minutes(target("95%"), 14 * 86_400) - (16.0 * 60.0 + 48.0)).abs() < 1e-9
        );
        let spent = |bad| Slices {
            good: minutes - bad,
            bad,
            ..Slices::default()
        };
        let share = |bad| spent(bad).of_period(Method::Timeslices, minutes);
        assert!(!share(1007).exhausted(target("95%")) && share(1008).exhausted(target("95%")));
    }

    #[test]
    fn v31_a_week_at_99_95_percent_allows_5_04_minutes() {
        assert!((budget_slices(target("99.95%"), 7 * 1440) - 5.04).abs() < 1e-9);
    }

    #[test]
    fn a_slice_exactly_at_its_target_is_good() {
        let rule = rule(Method::Timeslices, EmptySlice::Good);
        assert_eq!(rule.judge(&alone("95%"), &[counts(5, 100)], false).bad, 0);
        assert_eq!(rule.judge(&alone("95%"), &[counts(6, 100)], false).bad, 1);
        // OpenSLO: five of fewer than a hundred make the minute bad.
        assert_eq!(rule.judge(&alone("95%"), &[counts(5, 99)], false).bad, 1);
    }

    #[test]
    fn empty_slices_are_what_the_policy_says() {
        for (empty, good, bad, misses) in [
            (EmptySlice::Good, 1, 0, 0),
            (EmptySlice::Exclude, 0, 0, 0),
            (EmptySlice::Bad, 0, 1, RATIO_ONE),
        ] {
            let one = rule(Method::Timeslices, empty).judge(&alone("95%"), &[Counts::default()], false);
            assert_eq!((one.good, one.bad, one.empty, one.misses), (good, bad, 1, misses));
        }
    }

    #[test]
    fn an_excluded_slice_counts_nowhere_and_keeps_its_events_apart() {
        let rule = rule(Method::Timeslices, EmptySlice::Bad);
        let one = rule.judge(&alone("95%"), &[counts(7, 9)], true);
        let want = Slices {
            excluded: counts(7, 9),
            left_out: 1,
            ..Slices::default()
        };
        assert_eq!(one, want);
    }

    #[test]
    fn the_mean_of_ratios_weighs_slices_and_not_events() {
        let rule = rule(Method::RatioTimeslices, EmptySlice::Good);
        let mut sum = Slices::default();
        // An attack of a million requests, half of them failed, and nine quiet minutes.
        sum += rule.judge(&alone("95%"), &[counts(500_000, 1_000_000)], false);
        for _ in 0..9 {
            sum += rule.judge(&alone("95%"), &[counts(0, 10)], false);
        }
        assert!((sum.share(Method::RatioTimeslices).ratio().unwrap() - 0.05).abs() < 1e-15);
        assert!(sum.share(Method::Occurrences).ratio().unwrap() > 0.49);
    }

    #[test]
    fn a_slice_of_several_is_bad_when_one_of_them_is() {
        let parts = [
            Part {
                slice_target: target("99%"),
                weight: 3,
            },
            Part {
                slice_target: target("90%"),
                weight: 1,
            },
        ];
        let rule = rule(Method::Timeslices, EmptySlice::Good);
        let judge = |a, b| rule.judge(&parts, &[a, b], false);
        assert_eq!(judge(counts(2, 100), counts(0, 100)).bad, 1);
        assert_eq!(judge(counts(1, 100), counts(10, 100)).bad, 0);
        // Weighted: (3 * 0.02 + 0) / 4. One without events says nothing, good or bad.
        assert_eq!(
            judge(counts(2, 100), counts(0, 100)).misses,
            RATIO_ONE * 15 / 1000
        );
        assert_eq!(
            judge(counts(2, 100), Counts::default()).misses,
            RATIO_ONE * 2 / 100
        );
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_off(
            slices in proptest::collection::vec((0..50_u64, 0..50_u64, any::<bool>()), 1..40),
            at in any::<prop::sample::Index>(),
        ) {
            let rule = rule(Method::RatioTimeslices, EmptySlice::Bad);
            let judged: Vec<_> = slices
                .iter()
                .map(|&(good, bad, out)| rule.judge(&alone("97%"), &[Counts { good, bad }], out))
                .collect();
            let cut = at.index(judged.len());
            let (mut all, mut rest) = (Slices::default(), Slices::default());
            for (i, &slice) in judged.iter().enumerate() {
                all += slice;
                rest += if i < cut { Slices::default() } else { slice };
            }
            for &slice in &judged[..cut] {
                all -= slice;
            }
            prop_assert_eq!(all, rest);
        }
    }
}
