//! Which one of the suspects.

use super::PairTrial;
use crate::time::UnixNanos;
use serde::Serialize;
use std::sync::Arc;

/// What conditional E must reach. Lower than the kill bound: that something is wrong is known by then, only
/// which of two is asked.
pub const BLAME_AT_LEAST: f64 = 20.0;
/// Flags that share more of their events than this cannot be told apart.
pub const OVERLAP_MAX: f64 = 0.99;
/// After so long two that are not told apart are taken to be inseparable.
pub const UNRESOLVED_SECS: u64 = 600;

/// What the joint counts of two suspects say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It is the first.
    First,
    /// It is the second.
    Second,
    /// Each matters given the other: they break together.
    Interaction,
    /// Not told apart yet.
    Open,
    /// They cannot be told apart: they share nearly all events, or have not differed for long enough.
    Inseparable,
}

impl Finding {
    /// The same with first and second exchanged.
    pub const fn seen_from_the_other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            other => other,
        }
    }
}

/// What `pair` says after both have been suspect for `open_secs`.
pub fn finding(pair: &PairTrial, open_secs: u64) -> Finding {
    let (first, second) = (pair.log_first(), pair.log_second());
    let bound = BLAME_AT_LEAST.ln();
    if first >= bound && second >= bound {
        return Finding::Interaction;
    }
    if first >= bound {
        return Finding::First;
    }
    if second >= bound {
        return Finding::Second;
    }
    let is_same = pair.overlap().is_none_or(|overlap| overlap > OVERLAP_MAX);
    if is_same || open_secs >= UNRESOLVED_SECS {
        Finding::Inseparable
    } else {
        Finding::Open
    }
}

/// When both flags were last changed, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recency {
    /// The flag in question.
    pub own: Option<UnixNanos>,
    /// The other one.
    pub other: Option<UnixNanos>,
}

impl Recency {
    /// Whether the flag in question is known to have been changed after the other.
    fn is_latest(self) -> bool {
        matches!((self.own, self.other), (Some(own), Some(other)) if own > other)
    }
}

/// Another suspect, and what is known of it beside the flag in question, which is the first of the pair.
#[derive(Clone, Debug)]
pub struct OtherSuspect {
    /// Its name.
    pub flag: Arc<str>,
    /// What the joint counts say.
    pub finding: Finding,
    /// Which one was changed last.
    pub recency: Recency,
}

/// Whether the flag in question is the one to blame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Attribution {
    /// Nobody else is suspect.
    Alone,
    /// It is this one, and none of these others.
    Blamed {
        /// The others that were suspect.
        over: Vec<Arc<str>>,
    },
    /// It breaks together with the other, or cannot be told from it, and was changed last.
    LatestChange {
        /// The other one.
        other: Arc<str>,
    },
    /// It is the other one.
    Other {
        /// The other one.
        other: Arc<str>,
    },
    /// It breaks together with the other, or cannot be told from it, and the other was changed last.
    OtherIsLater {
        /// The other one.
        other: Arc<str>,
    },
    /// Not told apart yet.
    Open {
        /// The other one.
        other: Arc<str>,
    },
    /// They cannot be told apart, and the policy does not let the order of changes decide, or it is not
    /// known.
    Inseparable {
        /// The other one.
        other: Arc<str>,
    },
}

impl Attribution {
    /// Whether the flag in question may be switched.
    pub const fn is_resolved(&self) -> bool {
        matches!(
            self,
            Self::Alone | Self::Blamed { .. } | Self::LatestChange { .. }
        )
    }
}

/// What is to be said of a flag, given all other suspects: the first that speaks for another or is open
/// decides. `latest_decides`: whether the policy lets the latest change be blamed where two cannot be told
/// apart.
pub fn attribute(others: &[OtherSuspect], latest_decides: bool) -> Attribution {
    if others.is_empty() {
        return Attribution::Alone;
    }
    let mut latest_over = None;
    for suspect in others {
        let other = Arc::clone(&suspect.flag);
        match suspect.finding {
            Finding::First => {}
            Finding::Second => return Attribution::Other { other },
            Finding::Open => return Attribution::Open { other },
            Finding::Inseparable if !latest_decides => return Attribution::Inseparable { other },
            Finding::Interaction | Finding::Inseparable => {
                if suspect.recency.is_latest() {
                    latest_over.get_or_insert(other);
                } else if suspect.recency.own.is_some() && suspect.recency.other.is_some() {
                    return Attribution::OtherIsLater { other };
                } else {
                    return Attribution::Inseparable { other };
                }
            }
        }
    }
    match latest_over {
        Some(other) => Attribution::LatestChange { other },
        None => Attribution::Blamed {
            over: others.iter().map(|suspect| Arc::clone(&suspect.flag)).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(flag: &str, finding: Finding, own: Option<u64>, other: Option<u64>) -> OtherSuspect {
        OtherSuspect {
            flag: flag.into(),
            finding,
            recency: Recency {
                own: own.map(UnixNanos::from_secs),
                other: other.map(UnixNanos::from_secs),
            },
        }
    }

    fn told(others: &[OtherSuspect], latest_decides: bool) -> Attribution {
        attribute(others, latest_decides)
    }

    #[test]
    fn alone_it_is_and_against_others_it_must_win_every_time() {
        assert_eq!(told(&[], false), Attribution::Alone);
        let won = other("g", Finding::First, None, None);
        let lost = other("h", Finding::Second, None, None);
        assert!(told(std::slice::from_ref(&won), false).is_resolved());
        let both = told(&[won, lost], false);
        assert_eq!(both, Attribution::Other { other: "h".into() });
        assert!(!both.is_resolved());
    }

    #[test]
    fn of_two_that_break_together_the_latest_change_is_blamed() {
        let of = |own, last| told(&[other("g", Finding::Interaction, own, last)], false);
        assert_eq!(
            of(Some(2), Some(1)),
            Attribution::LatestChange { other: "g".into() }
        );
        assert_eq!(
            of(Some(1), Some(2)),
            Attribution::OtherIsLater { other: "g".into() }
        );
        assert!(!of(None, Some(2)).is_resolved() && !of(Some(2), None).is_resolved());
    }

    #[test]
    fn of_two_that_are_the_same_nobody_is_blamed_unless_the_policy_says_so() {
        let same = [other("g", Finding::Inseparable, Some(2), Some(1))];
        assert_eq!(told(&same, false), Attribution::Inseparable { other: "g".into() });
        assert_eq!(told(&same, true), Attribution::LatestChange { other: "g".into() });
    }

    #[test]
    fn two_that_are_not_told_apart_wait_ten_minutes() {
        use super::super::testing::of;
        use super::super::{Discount, Grid, JointCounts};
        let joint = JointCounts([[of(0, 800), of(0, 0)], [of(0, 20), of(1, 180)]]);
        let mut pair = PairTrial::default();
        pair.absorb(&[joint], &Grid::default(), Discount::NONE);
        assert_eq!(finding(&pair, 599), Finding::Open);
        assert_eq!(finding(&pair, 600), Finding::Inseparable);
        let same = JointCounts([[of(0, 800), of(0, 0)], [of(0, 0), of(1, 180)]]);
        let mut pair = PairTrial::default();
        pair.absorb(&[same], &Grid::default(), Discount::NONE);
        assert_eq!(finding(&pair, 0), Finding::Inseparable);
    }
}
