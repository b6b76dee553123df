//! How long to wait between attempts, and when to give up. Pure: time is an argument.

use crate::config::Retry;
use std::time::Duration;

/// Longest that a backend's own advice (RetryInfo, Retry-After) is followed: a typo there must not silence
/// us.
pub(super) const ADVICE_MAX: Duration = Duration::from_mins(5);

/// The pace of one request.
#[derive(Debug)]
pub(super) struct Backoff {
    settings: Retry,
    /// Wait before chance has its say.
    interval: Duration,
}

impl Backoff {
    pub(super) fn new(settings: Retry) -> Self {
        Self {
            settings,
            interval: settings.initial_interval.min(settings.max_interval),
        }
    }

    /// The wait before the next attempt, `elapsed` after the first began; `None` gives up. A backend's advice
    /// is a lower bound. `chance` is between 0 and 1.
    pub(super) fn wait(
        &mut self,
        elapsed: Duration,
        advice: Option<Duration>,
        chance: f64,
    ) -> Option<Duration> {
        let spread = self.settings.randomization_factor;
        let own = self.interval.mul_f64(1.0 - spread + 2.0 * spread * chance);
        self.interval = (self.interval.mul_f64(self.settings.multiplier)).min(self.settings.max_interval);
        // Those who were told the same do not come back at the same moment.
        let told = advice.map(|it| it.min(ADVICE_MAX).mul_f64(1.0 + 0.1 * chance));
        let wait = told.unwrap_or_default().max(own);
        match self.settings.max_elapsed_time {
            Some(longest) if elapsed + wait > longest => None,
            _ => Some(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn waits(settings: Retry, chance: f64) -> Vec<f64> {
        let mut backoff = Backoff::new(settings);
        let mut elapsed = Duration::ZERO;
        let mut all = Vec::new();
        while let Some(wait) = backoff.wait(elapsed, None, chance) {
            all.push(wait.as_secs_f64());
            elapsed += wait;
            if all.len() == 100 {
                break;
            }
        }
        all
    }

    #[test]
    fn default_waits_grow_by_half_up_to_thirty_seconds_and_end_after_five_minutes() {
        let all = waits(Retry::default(), 0.5);
        assert_eq!(all[..5], [5.0, 7.5, 11.25, 16.875, 25.3125]);
        assert!(all[5..].iter().all(|wait| (*wait - 30.0).abs() < 1e-9));
        assert!(all.iter().sum::<f64>() <= 300.0 && all.iter().sum::<f64>() > 270.0);
    }

    #[test]
    fn without_a_limit_it_never_gives_up() {
        let settings = Retry {
            max_elapsed_time: None,
            ..Retry::default()
        };
        assert_eq!(waits(settings, 1.0).len(), 100);
    }

    #[test]
    fn advice_is_a_lower_bound_and_has_an_upper_one() {
        let settings = Retry {
            max_elapsed_time: None,
            ..Retry::default()
        };
        let wait = |advice| Backoff::new(settings).wait(SECOND, Some(advice), 0.0).unwrap();
        assert_eq!(wait(60 * SECOND), 60 * SECOND);
        assert_eq!(wait(SECOND), Duration::from_millis(2500));
        assert_eq!(wait(86_400 * SECOND), ADVICE_MAX);
    }

    #[test]
    fn advice_beyond_the_time_left_gives_up_now() {
        let mut backoff = Backoff::new(Retry::default());
        assert_eq!(backoff.wait(290 * SECOND, Some(60 * SECOND), 0.0), None);
    }

    proptest! {
        #[test]
        fn chance_stays_within_its_factor(chance in 0.0_f64..1.0, factor in 0.0_f64..=1.0) {
            let settings = Retry { randomization_factor: factor, ..Retry::default() };
            let wait = Backoff::new(settings).wait(Duration::ZERO, None, chance).unwrap().as_secs_f64();
            prop_assert!(wait >= 5.0 * (1.0 - factor) - 1e-6 && wait <= 5.0 * (1.0 + factor) + 1e-6);
        }
    }
}
