//! How much of what was sent was counted.
//!
//! Load is shed when there is much of it, which is when something is wrong: what is left is no fair sample of
//! it. A rule that would act then waits until (nearly) everything of the last minutes was taken.

use crate::time::UnixNanos;
use std::collections::VecDeque;

/// The time that is looked at, and the time between two notes, in seconds.
const WINDOW_SECS: u64 = 300;
const STEP_SECS: u64 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Coverage(VecDeque<(UnixNanos, [u64; 2])>);

impl Coverage {
    /// The share of the requests of the last five minutes that was taken, from counts of all times; 1 when
    /// there were none.
    pub(super) fn look(&mut self, now: UnixNanos, [taken, shed]: [u64; 2]) -> f64 {
        let notes = &mut self.0;
        // A receiver with new limits counts from zero.
        if notes
            .back()
            .is_some_and(|(at, [t, s])| taken < *t || shed < *s || now < *at)
        {
            notes.clear();
        }
        // The oldest note is the beginning of the window, or the last before it.
        while notes
            .get(1)
            .is_some_and(|(at, _)| now.secs_since(*at) >= WINDOW_SECS)
        {
            notes.pop_front();
        }
        if notes
            .back()
            .is_none_or(|(at, _)| now.secs_since(*at) >= STEP_SECS)
        {
            notes.push_back((now, [taken, shed]));
        }
        let Some((_, [first_taken, first_shed])) = notes.front() else {
            return 1.0;
        };
        let (taken, shed) = (taken - first_taken, shed - first_shed);
        if shed == 0 {
            return 1.0;
        }
        taken as f64 / (taken + shed) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: UnixNanos = UnixNanos::from_secs(1_795_000_200);

    #[test]
    fn what_was_shed_counts_for_five_minutes() {
        let mut coverage = Coverage::default();
        assert!((coverage.look(T0, [0, 0]) - 1.0).abs() < 1e-9);
        let at = |secs| T0.plus_secs(secs);
        assert!((coverage.look(at(10), [90, 10]) - 0.9).abs() < 1e-9);
        assert!((coverage.look(at(200), [990, 10]) - 0.99).abs() < 1e-9);
        assert!(coverage.look(at(290), [990, 10]) < 1.0);
        assert!(
            (coverage.look(at(320), [990, 10]) - 1.0).abs() < 1e-9,
            "it is over"
        );
    }

    #[test]
    fn a_receiver_that_starts_anew_is_no_loss() {
        let mut coverage = Coverage::default();
        coverage.look(T0, [1000, 500]);
        assert!((coverage.look(T0.plus_secs(10), [5, 0]) - 1.0).abs() < 1e-9);
        assert!((coverage.look(T0.plus_secs(20), [10, 5]) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_day_of_looks_is_remembered_in_a_few_notes() {
        let mut coverage = Coverage::default();
        for second in 0..86_400 {
            coverage.look(T0.plus_secs(second), [second, 0]);
        }
        assert!(coverage.0.len() <= 32, "{}", coverage.0.len());
    }
}
