//! The plain rule, beside the evidence and in the same runs: burn above N for M, and so many times as bad as
//! the control.
//!
//! The comparisons are those of the live decider: [`crate::budget::exceeds`] at every evaluation, and
//! [`crate::budget::contrasts`] when the cohort is due. `plain_tests` holds them together.

use super::cell::Settings;
use crate::budget::{contrasts, exceeds};
use crate::evidence::Dwell;
use crate::ledger::Counts;
use crate::policy::MAX_GAP_SECS;
use crate::time::UnixNanos;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PlainRule {
    above: Dwell,
}

impl PlainRule {
    /// Whether it kills now, given the counts of both arms in its window.
    pub(super) fn note(
        &mut self,
        now: UnixNanos,
        treated: Counts,
        control: Counts,
        settings: &Settings,
    ) -> bool {
        let rule = &settings.rule;
        let above = treated.bad > 0 && exceeds(treated, settings.target, rule.burn_above);
        let held = self.above.note(now, above, MAX_GAP_SECS);
        held.is_some_and(|secs| secs >= rule.for_secs)
            && treated.bad >= rule.min_bad
            && contrasts(treated, control, rule.contrast) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_kills_after_three_minutes_of_burn_with_a_better_control() {
        let settings = Settings::of("99.95%".parse().unwrap());
        let bad = Counts { good: 980, bad: 20 };
        for (control, kills) in [
            (Counts { good: 9999, bad: 1 }, true),
            (bad, false),
            (Counts::default(), false),
        ] {
            let mut rule = PlainRule::default();
            let killed_at =
                (0..100).find(|n| rule.note(UnixNanos::from_secs(n * 10), bad, control, &settings));
            assert_eq!(killed_at, kills.then_some(18));
        }
    }
}
