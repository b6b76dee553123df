//! How many flags were switched lately: the limits over all of them.
//!
//! A rule that is wrong is wrong about many flags at once, so the number of kills has a limit that no single
//! rule can see. It is counted from the decisions themselves, which are in the journal before anything
//! leaves: a restart forgets nothing. What people decide by hand counts, and is not held back.

use super::action::Actor;
use super::decision::{Decision, DecisionState};
use crate::config::Kill;
use crate::time::UnixNanos;
use serde::Serialize;
use std::collections::BTreeMap;

/// The window of the limit of one service, in seconds.
pub(super) const SERVICE_WINDOW_SECS: u64 = 600;
const HOUR_SECS: u64 = 3_600;
const DAY_SECS: u64 = 86_400;
/// Kept for longer than any window, so that a clock that jumps ahead and back finds them again.
const KEPT_SECS: u64 = 2 * DAY_SECS;
/// Kills remembered; the limits are far below it.
const KILLS_MAX: usize = 100_000;

/// How many kills there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Of one service in ten minutes.
    pub per_service: u32,
    /// In an hour.
    pub per_hour: u32,
    /// In a day.
    pub per_day: u32,
}

impl From<&Kill> for RateLimits {
    fn from(kill: &Kill) -> Self {
        Self {
            per_service: kill.max_per_service,
            per_hour: kill.max_per_hour,
            per_day: kill.max_per_day,
        }
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        Self::from(&Kill::default())
    }
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimit {
    /// Of one service.
    Service,
    /// In an hour.
    Hour,
    /// In a day.
    Day,
}

impl RateLimit {
    /// The word in answers and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// The kills of the last days.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// (when, decision) to the service.
    kills: BTreeMap<(UnixNanos, String), String>,
}

impl Rates {
    /// Takes note of a decision, or of what became of it.
    pub fn note(&mut self, decision: &Decision) {
        let at = decision.life.armed_at.unwrap_or(decision.decided_at);
        let key = (at, decision.id.clone());
        if is_kill(decision) {
            self.kills.insert(key, decision.evidence.service.clone());
            if self.kills.len() > KILLS_MAX {
                self.kills.pop_first();
            }
        } else {
            self.kills.remove(&key);
        }
    }

    /// The limit that another kill of `service` at `now` would break: how many there were, and when it may.
    pub fn reached(
        &self,
        now: UnixNanos,
        service: &str,
        limits: RateLimits,
    ) -> Option<(RateLimit, u32, UnixNanos)> {
        let windows = [
            (RateLimit::Service, SERVICE_WINDOW_SECS, limits.per_service),
            (RateLimit::Hour, HOUR_SECS, limits.per_hour),
            (RateLimit::Day, DAY_SECS, limits.per_day),
        ];
        windows.into_iter().find_map(|(limit, secs, most)| {
            // What seems to lie ahead was made before the clock was put back: it counts.
            let since = now.minus_secs(secs);
            let after = self.kills.range((since, String::new())..);
            let ours = after.filter(|((at, _), of)| {
                *at > since && (limit != RateLimit::Service || of.as_str() == service)
            });
            let found: Vec<UnixNanos> = ours.map(|((at, _), _)| *at).collect();
            let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
            // Free again when so many have left the window that there is room for one.
            let oldest = found.get(found.len().saturating_sub(most.max(1) as usize));
            let until = oldest.map_or(now, |at| at.plus_secs(secs));
            (count >= most).then_some((limit, count, until))
        })
    }

    /// Forgets what no window reaches.
    pub fn prune(&mut self, now: UnixNanos) {
        let kept = now.minus_secs(KEPT_SECS);
        while self
            .kills
            .first_key_value()
            .is_some_and(|((at, _), _)| *at < kept)
        {
            self.kills.pop_first();
        }
    }
}

/// Whether a flag was switched by it, or may be.
///
/// What a probation does is not one: it takes back what it gave itself.
fn is_kill(decision: &Decision) -> bool {
    if matches!(decision.actor, Actor::Probation { .. }) {
        return false;
    }
    match &decision.state {
        DecisionState::Decided | DecisionState::Sending { .. } | DecisionState::Verifying { .. } => true,
        DecisionState::Confirmed { already_off, .. } => !already_off,
        // A call left, and nobody knows what it did.
        DecisionState::Failed { .. } => decision.life.attempts > 0,
        DecisionState::Observed | DecisionState::Proposed { .. } | DecisionState::Aborted { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::hand::tests::decision;

    const T0: UnixNanos = UnixNanos::from_secs(1_795_300_000);

    fn kill(id: &str, service: &str, secs: u64) -> Decision {
        let mut it = decision(id, T0.plus_secs(secs));
        it.evidence.service = service.to_owned();
        it
    }

    #[test]
    fn each_limit_holds_over_any_window_and_says_when_it_is_over() {
        let (mut rates, limits) = (Rates::default(), RateLimits::default());
        let at = |secs| T0.plus_secs(secs);
        rates.note(&kill("a", "checkout", 0));
        let told = rates.reached(at(599), "checkout", limits);
        assert_eq!(told, Some((RateLimit::Service, 1, at(600))));
        assert_eq!(rates.reached(at(600), "checkout", limits), None);
        assert_eq!(rates.reached(at(1), "cart", limits), None);
        rates.note(&kill("b", "cart", 1));
        rates.note(&kill("c", "search", 2));
        assert_eq!(
            rates.reached(at(3), "ads", limits),
            Some((RateLimit::Hour, 3, at(3_600)))
        );
        assert_eq!(rates.reached(at(3_600), "ads", limits), None);
        for n in 3..10 {
            rates.note(&kill(&format!("d{n}"), "x", n * 3_600));
        }
        let told = rates.reached(at(12 * 3_600), "ads", limits);
        assert_eq!(told, Some((RateLimit::Day, 10, at(86_400))));
        assert_eq!(rates.reached(at(86_400), "ads", limits), None);
    }

    #[test]
    fn what_switched_nothing_does_not_count_and_a_clock_put_back_forgets_nothing() {
        let (mut rates, limits) = (Rates::default(), RateLimits::default());
        let mut it = kill("a", "checkout", 3_600);
        rates.note(&it);
        assert!(rates.reached(T0, "checkout", limits).is_some(), "an hour ahead");
        for state in [
            DecisionState::Aborted { why: String::new() },
            DecisionState::Confirmed {
                verified: true,
                already_off: true,
            },
        ] {
            it.state = state;
            rates.note(&it);
            assert_eq!(rates.reached(T0, "checkout", limits), None);
            it.state = DecisionState::Decided;
            rates.note(&it);
        }
        rates.prune(T0.plus_secs(4 * 86_400));
        assert!(rates.kills.is_empty());
    }

    #[test]
    fn a_limit_of_zero_lets_nothing_through() {
        let limits = RateLimits {
            per_hour: 0,
            ..RateLimits::default()
        };
        assert!(Rates::default().reached(T0, "checkout", limits).is_some());
    }
}
