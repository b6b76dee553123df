//! The script of the demo: who plays, what fails when, and how far the story has come.
//!
//! The script only sees facts and the time; it never looks at how the gateway decides. So it cannot help
//! the gateway to the right answer, and its steps are tested without a clock.

use crate::time::UnixNanos;

/// The shop's services, in the order of a visit.
pub(super) const SERVICES: [&str; 3] = ["storefront", "search", "checkout"];
/// The service in which the fault sits.
pub(super) const FAILING_SERVICE: &str = "checkout";
/// The deployments that take traffic side by side: the old one and the new one.
pub(super) const DEPLOYMENTS: [&str; 2] = ["4f2a91c", "b7e03d5"];
/// The flags, all on for a part of the customers, all armed.
pub(super) const FLAGS: [&str; 4] = ["new-checkout", "express-pay", "fast-search", "dark-mode"];
/// The flag whose code breaks.
pub(super) const GUILTY: &str = FLAGS[0];
/// `deployment.environment.name` of everything.
pub(super) const ENVIRONMENT: &str = "production";
/// The window of the policy's kill switches, in seconds.
pub(super) const RULE_WINDOW_SECS: u64 = 30;
/// Their threshold, and the contrast they ask for.
pub(super) const RULE_BURN_ABOVE: f64 = 7.0;
/// See [`RULE_BURN_ABOVE`].
pub(super) const RULE_CONTRAST: f64 = 2.0;
/// The short window by which recovery is judged, in seconds.
pub(super) const SHORT_WINDOW_SECS: u64 = 10;

/// Healthy traffic before the fault, so that every cohort has a past.
const CALM_SECS: u64 = 12;
/// After the kill nothing may fail behind the flag for this long.
const QUIET_SECS: u64 = 6;
/// Burn in the short window that counts as healthy: the budget lasts.
const HEALTHY_BURN: f64 = 1.0;

/// How far the story has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The shop opens; the gateway has not counted every service yet.
    Opening,
    /// Everything works.
    Calm,
    /// The guilty flag's code fails.
    Failing,
    /// A flag is off; does the service come back?
    Recovering,
    /// It came back.
    Recovered,
}

impl Phase {
    /// The steps that a viewer follows, in order.
    pub(super) const STEPS: [(Self, &'static str); 5] = [
        (Self::Opening, "shop opens"),
        (Self::Calm, "calm"),
        (Self::Failing, "a flag fails"),
        (Self::Recovering, "switched off"),
        (Self::Recovered, "recovered"),
    ];
}

/// What the script may know at one instant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// The gateway has counted requests of every service.
    pub(super) every_service_seen: bool,
    /// The flag service has switched the guilty flag off.
    pub(super) guilty_off: bool,
    /// It has switched off any flag.
    pub(super) any_off: bool,
    /// End of the last request that failed behind the guilty flag.
    pub(super) last_bad: Option<UnixNanos>,
    /// Burn of the failing service in the short window, as the gateway sees it.
    pub(super) short_burn: Option<f64>,
}

/// The state of the script.
#[derive(Debug)]
pub(super) struct Scene {
    phase: Phase,
    since: UnixNanos,
}

impl Scene {
    /// The curtain rises at `now`.
    pub(super) fn new(now: UnixNanos) -> Self {
        Self {
            phase: Phase::Opening,
            since: now,
        }
    }

    /// How far it has come.
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Moves on by at most one step; the new phase, if there is one.
    pub(super) fn step(&mut self, now: UnixNanos, facts: &Facts) -> Option<Phase> {
        let next = match self.phase {
            Phase::Opening if facts.every_service_seen => Phase::Calm,
            // A kill without a fault is a failure that the verdict must see: the story goes on as it would.
            Phase::Calm if now.secs_since(self.since) >= CALM_SECS => Phase::Failing,
            Phase::Failing if facts.any_off => Phase::Recovering,
            Phase::Recovering if facts.guilty_off && Self::healthy(now, self.since, facts) => {
                Phase::Recovered
            }
            _ => return None,
        };
        self.phase = next;
        self.since = now;
        Some(next)
    }

    fn healthy(now: UnixNanos, since: UnixNanos, facts: &Facts) -> bool {
        let last_bad = facts.last_bad.unwrap_or(since).max(since);
        now.secs_since(last_bad) >= QUIET_SECS && facts.short_burn.is_some_and(|burn| burn < HEALTHY_BURN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixNanos {
        UnixNanos::from_secs(1_000_000 + secs)
    }

    fn failing() -> Scene {
        let mut scene = Scene::new(at(0));
        let seen = Facts {
            every_service_seen: true,
            ..Facts::default()
        };
        assert_eq!(scene.step(at(1), &seen), Some(Phase::Calm));
        assert_eq!(scene.step(at(12), &seen), None);
        assert_eq!(scene.step(at(13), &seen), Some(Phase::Failing));
        scene
    }

    #[test]
    fn nothing_fails_before_the_gateway_has_seen_every_service() {
        let mut scene = Scene::new(at(0));
        assert_eq!(scene.step(at(60), &Facts::default()), None);
        assert_eq!(scene.phase(), Phase::Opening);
    }

    #[test]
    fn recovery_needs_quiet_and_a_low_burn() {
        let mut scene = failing();
        let off = Facts {
            guilty_off: true,
            any_off: true,
            last_bad: Some(at(21)),
            short_burn: Some(40.0),
            ..Facts::default()
        };
        assert_eq!(scene.step(at(20), &off), Some(Phase::Recovering));
        assert_eq!(scene.step(at(40), &off), None, "the burn is high");
        let low = Facts {
            short_burn: Some(0.9),
            ..off
        };
        assert_eq!(scene.step(at(26), &low), None, "the last failure is 5 s ago");
        assert_eq!(scene.step(at(27), &low), Some(Phase::Recovered));
    }

    #[test]
    fn another_flag_off_is_no_recovery() {
        let mut scene = failing();
        let other = Facts {
            any_off: true,
            short_burn: Some(0.0),
            ..Facts::default()
        };
        assert_eq!(scene.step(at(20), &other), Some(Phase::Recovering));
        assert_eq!(scene.step(at(80), &other), None);
    }
}
