//! Whether a switch did what it was for.
//!
//! A flag service that says "off" has not yet kept anybody from the variant: clients poll, caches lag, a
//! polarity may be inverted. So after a confirmation two things are looked at. The variant's share of the
//! traffic must fall to about nothing within the time that a change takes to get around; and the burn of the
//! service must fall below the rule's threshold within the rule's window after that. If one of them does not
//! happen, the wrong thing was switched: a human is called, and no other flag is tried in its place.

use super::action::Action;
use super::decision::{Decision, Evidence};
use super::life::LifeRules;
use super::probation::Probed;
use crate::ledger::BUCKET_SECS;
use crate::policy::SafeState;
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Share of the traffic that is about nothing, whatever it was before.
const SHARE_LEFT: f64 = 0.01;
/// Longer after its time than this, what is seen may have any reason: somebody may have come in between.
const STALE_SECS: u64 = 120;
/// And how much of the former share may be left.
const OF_FORMER: f64 = 0.05;

/// What was seen of a switched flag since it was confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// Traffic of the last moments; `None` while they have not been watched for long enough.
    pub traffic: Option<Traffic>,
    /// Burn of the whole service in the rule's window; `None` without traffic.
    pub burn: Option<f64>,
    /// What a flag on probation did; `None` while it has not been watched.
    pub probed: Option<Probed>,
}

/// Events of some moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Of the variant that was blamed.
    pub treated: u64,
    /// Of the service.
    pub all: u64,
}

/// What a switch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The variant's traffic is gone, and the burn fell.
    Seen,
    /// There was no traffic to tell it by, or nobody looked.
    Unknown,
}

/// Why a switch did not do what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NoEffect {
    /// The variant is still served.
    StillServed {
        /// Its share of the service's events.
        share: f64,
    },
    /// The variant is gone and the service burns on.
    StillBurning {
        /// The burn rate.
        burn: f64,
        /// The rule's threshold.
        above: f64,
    },
}

impl fmt::Display for NoEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StillServed { share } => {
                write!(
                    f,
                    "the variant is still served, to {:.1} % of the requests",
                    share * 100.0
                )
            }
            Self::StillBurning { burn, above } => {
                write!(
                    f,
                    "the variant is gone, and the service burns on at {burn:.2}, above {above}"
                )
            }
        }
    }
}

/// What an observation comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing yet.
    Wait,
    /// The traffic is gone from now on.
    Gone,
    /// It is over.
    Done(Effect),
    /// It did not work.
    Failed(NoEffect),
}

/// Judges an observation at `now` of a switch that was confirmed at `since`; `gone` when its traffic was seen
/// to be gone before.
pub(super) fn judge(
    decision: &Decision,
    (since, gone): (UnixNanos, Option<UnixNanos>),
    now: UnixNanos,
    rules: &LifeRules,
    seen: &Observation,
) -> Found {
    let share = seen.traffic.and_then(|traffic| share(&traffic));
    let has_left = share.map(|share| share <= allowed(decision));
    let e = &decision.evidence;
    let burns = seen
        .burn
        .filter(|burn| *burn > e.burn_above && e.burn_above > 0.0);
    let served_until = served_until(since, rules);
    let is_stale = |until: UnixNanos| now >= until.plus_secs(rules.propagation_secs.max(STALE_SECS));
    if gone.is_some() || has_left == Some(true) {
        // A window's sum reaches back to the beginning of a bucket.
        let burn_until = served_until.plus_secs(e.window_secs.saturating_add(BUCKET_SECS));
        return match burns {
            None => Found::Done(Effect::Seen),
            Some(_) if is_stale(burn_until) => Found::Done(Effect::Unknown),
            Some(burn) if now >= burn_until => Found::Failed(NoEffect::StillBurning {
                burn,
                above: e.burn_above,
            }),
            Some(_) if gone.is_none() => Found::Gone,
            Some(_) => Found::Wait,
        };
    }
    match share {
        _ if is_stale(served_until) => Found::Done(Effect::Unknown),
        Some(share) if now >= served_until => Found::Failed(NoEffect::StillServed { share }),
        _ => Found::Wait,
    }
}

/// When the traffic of a variant that was switched at `since` must have gone: the time that a change takes to
/// get around, twice.
pub(super) fn served_until(since: UnixNanos, rules: &LifeRules) -> UnixNanos {
    since.plus_secs(rules.propagation_secs.saturating_mul(2))
}

/// Whether traffic that had gone is back.
pub(super) fn is_back(decision: &Decision, seen: &Observation) -> bool {
    let share = seen.traffic.and_then(|traffic| share(&traffic));
    share.is_some_and(|share| share > allowed(decision))
}

fn share(traffic: &Traffic) -> Option<f64> {
    (traffic.all > 0).then(|| traffic.treated.min(traffic.all) as f64 / traffic.all as f64)
}

/// The share that may be left: about nothing, and what the safe state leaves by intention.
fn allowed(decision: &Decision) -> f64 {
    let Evidence { cohort, control, .. } = &decision.evidence;
    let all = cohort.total().saturating_add(control.total());
    let former = if all == 0 {
        0.0
    } else {
        cohort.total() as f64 / all as f64
    };
    let left = SHARE_LEFT.max(OF_FORMER * former);
    match &decision.action {
        Action::Switch {
            to: SafeState::Rollout { percent },
        } => f64::from(*percent) / 100.0 * 1.25 + left,
        _ => left,
    }
}
