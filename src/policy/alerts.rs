//! The state machine of one alert of one series.
//!
//! ```text
//! inactive --all windows above--> pending(since) --held `for`--> firing(since)
//!     ^------------ one window at or below, or without events ----------'
//! ```
//!
//! It resolves at once: the short window of a pair is what makes an alert end soon, a hold-off would only
//! hide that. `for` means above at every evaluation made; after a gap of more than [`MAX_GAP_SECS`] without
//! one (a restart, a suspended machine) nobody knows what happened, so the timer begins again. A window
//! without events never fires.

use super::model::{Alert, AlertWindow};
use super::status::{AlertState, AlertStatus, HeldBack};
use crate::budget::{Share, Target, Threshold};
use crate::time::UnixNanos;
use std::sync::Arc;

/// Longest time between two evaluations over which a `for` timer runs on, in seconds.
pub const MAX_GAP_SECS: u64 = 30;

/// What the windows of an alert say at one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// No window has an event, or none is known.
    NoData,
    /// At least one window is at or below its threshold, or empty.
    Below,
    /// All windows are above.
    Above,
}

/// Where an alert stands between two evaluations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Inactive,
    Pending {
        since: UnixNanos,
    },
    Firing {
        since: UnixNanos,
    },
}

/// Judges an alert by what `share` gives for its windows; `scaled` is the threshold that holds in a window
/// now, which a peak may raise.
pub(super) fn condition(
    alert: &Alert,
    target: Target,
    share: impl Fn(u64) -> Option<Share>,
    scaled: impl Fn(&AlertWindow) -> Threshold,
) -> Condition {
    let target = alert.of_target.unwrap_or(target);
    let empty = |w: &AlertWindow| share(w.window_secs).is_none_or(Share::is_empty);
    if alert.windows.iter().all(empty) {
        return Condition::NoData;
    }
    let above = |w: &AlertWindow| share(w.window_secs).is_some_and(|s| s.exceeds(target, scaled(w)));
    if alert.windows.iter().all(above) {
        Condition::Above
    } else {
        Condition::Below
    }
}

impl Phase {
    /// The phase after an evaluation at `now`; `gap` when the former evaluation is too long ago for a timer
    /// to run on.
    pub(super) fn step(self, now: UnixNanos, condition: Condition, for_secs: u64, gap: bool) -> Self {
        match (self, condition) {
            (_, Condition::NoData | Condition::Below) => Self::Inactive,
            (firing @ Self::Firing { .. }, Condition::Above) => firing,
            (Self::Pending { since }, Condition::Above) if !gap && since <= now => {
                Self::held(since, now, for_secs)
            }
            (Self::Inactive | Self::Pending { .. }, Condition::Above) => Self::held(now, now, for_secs),
        }
    }

    fn held(since: UnixNanos, now: UnixNanos, for_secs: u64) -> Self {
        if now >= since.plus_secs(for_secs) {
            Self::Firing { since: now }
        } else {
            Self::Pending { since }
        }
    }

    pub(super) fn is_pending(self) -> bool {
        matches!(self, Self::Pending { .. })
    }
}

/// The status to show, given the former one (to keep `since` while the state stays).
pub(super) fn status(
    alert: &Alert,
    phase: Phase,
    condition: Condition,
    now: UnixNanos,
    former: Option<&AlertStatus>,
    held_back: Option<HeldBack>,
) -> AlertStatus {
    let state = match (phase, condition) {
        (Phase::Firing { .. }, _) => alert.level,
        (_, Condition::NoData) => AlertState::NoData,
        _ => AlertState::Healthy,
    };
    let since = match (phase, former) {
        (Phase::Firing { since }, _) => since,
        (_, Some(former)) if former.state == state => former.since,
        _ => now,
    };
    let pending_since = match phase {
        Phase::Pending { since } => Some(since),
        _ => None,
    };
    AlertStatus {
        name: Arc::clone(&alert.name),
        severity: alert.severity,
        state,
        since,
        pending_since,
        held_back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counts;
    use crate::policy::Severity;
    use proptest::prelude::*;

    fn pair(for_secs: u64) -> Alert {
        let window = |window_secs, burn: &str| AlertWindow {
            window_secs,
            burn_above: burn.parse().unwrap(),
        };
        Alert {
            name: "pair".into(),
            severity: Severity::Page,
            level: AlertState::FastBurn,
            windows: vec![window(300, "14"), window(3600, "7")],
            for_secs,
            of_target: None,
        }
    }

    /// Per mille of bad events in the short and the long window, at 99.9 %: the burn rates.
    fn judged(short: Option<u64>, long: Option<u64>) -> Condition {
        let counts = |b: Option<u64>| {
            b.map_or(Counts::default(), |bad| Counts {
                good: 1000 - bad,
                bad,
            })
        };
        let sums = [(300, counts(short)), (3600, counts(long))];
        let share = |w| sums.iter().find(|s| s.0 == w).map(|s| s.1.into());
        condition(&pair(0), "99.9%".parse().unwrap(), share, |w| w.burn_above)
    }

    fn at(secs: u64) -> UnixNanos {
        UnixNanos::from_secs(1_000_000 + secs)
    }

    #[test]
    fn all_windows_must_be_above() {
        assert_eq!(judged(Some(15), Some(8)), Condition::Above);
        assert_eq!(judged(Some(14), Some(8)), Condition::Below, "strict");
        assert_eq!(judged(Some(15), Some(7)), Condition::Below, "strict");
    }

    #[test]
    fn v39_windows_without_events_never_fire() {
        assert_eq!(judged(None, None), Condition::NoData);
        assert_eq!(judged(None, Some(8)), Condition::Below);
        let target = "99.9%".parse().unwrap();
        assert_eq!(
            condition(&pair(0), target, |_| None, |w| w.burn_above),
            Condition::NoData,
            "unknown windows"
        );
    }

    #[test]
    fn without_a_hold_it_fires_at_once_and_resolves_at_once() {
        let firing = Phase::Inactive.step(at(0), Condition::Above, 0, false);
        assert_eq!(firing, Phase::Firing { since: at(0) });
        assert_eq!(firing.step(at(1), Condition::Above, 0, false), firing);
        assert_eq!(firing.step(at(2), Condition::Below, 0, false), Phase::Inactive);
    }

    #[test]
    fn with_a_hold_it_fires_after_the_hold_and_not_a_second_earlier() {
        let mut phase = Phase::Inactive;
        for t in 0..300 {
            phase = phase.step(at(t), Condition::Above, 300, false);
            assert_eq!(phase, Phase::Pending { since: at(0) }, "{t}");
        }
        assert_eq!(
            phase.step(at(300), Condition::Above, 300, false),
            Phase::Firing { since: at(300) }
        );
    }

    #[test]
    fn one_evaluation_below_restarts_the_hold() {
        let pending = Phase::Inactive.step(at(0), Condition::Above, 300, false);
        let reset = pending.step(at(299), Condition::Below, 300, false);
        assert_eq!(
            reset.step(at(300), Condition::Above, 300, false),
            Phase::Pending { since: at(300) }
        );
    }

    #[test]
    fn a_gap_restarts_the_hold_but_does_not_resolve() {
        let pending = Phase::Pending { since: at(0) };
        assert_eq!(
            pending.step(at(400), Condition::Above, 300, true),
            Phase::Pending { since: at(400) }
        );
        let firing = Phase::Firing { since: at(0) };
        assert_eq!(firing.step(at(400), Condition::Above, 300, true), firing);
    }

    #[test]
    fn a_clock_that_steps_back_restarts_the_hold() {
        let pending = Phase::Pending { since: at(100) };
        assert_eq!(
            pending.step(at(50), Condition::Above, 300, false),
            Phase::Pending { since: at(50) }
        );
    }

    proptest! {
        #[test]
        fn it_fires_exactly_when_above_for_the_last_hold(
            above in proptest::collection::vec(any::<bool>(), 1..200),
            hold in 0_u64..20,
        ) {
            let mut phase = Phase::Inactive;
            for (t, &is_above) in above.iter().enumerate() {
                let condition = if is_above { Condition::Above } else { Condition::Below };
                phase = phase.step(at(t as u64), condition, hold, false);
                let held = above[..=t].iter().rev().take_while(|&&a| a).count() as u64;
                prop_assert_eq!(matches!(phase, Phase::Firing { .. }), held > hold);
            }
        }
    }
}
