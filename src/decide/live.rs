//! The last decision about each flag, and when the next may follow.
//!
//! One live decision for each (exporter, environment, flag). It closes, and the incident number may increase,
//! when
//!
//! * `Confirmed` or `Observed`: [`COOLDOWN_SECS`] have passed **and** the burn was seen at or below the
//!   threshold since. A flag that is off and whose cohorts still burn is not helped by another call.
//! * `Failed`: the cooldown has passed; the flag may well still be on, and the token may have been replaced
//!   by now. A decision that expired before a call could be made closes at once: nothing was tried.
//!
//! A decision that is not final blocks without limit of time: delivery drives each to an end. One exception
//! to the one-live rule: a record of `observe` does not hold back a rule that is in `auto`.

use super::decision::{Decision, DecisionState, FailureReason};
use super::verdict::WithheldReason;
use crate::policy::KillMode;
use crate::time::UnixNanos;
use std::collections::BTreeMap;

/// Time after a decision's end before the same flag may be decided about again, in seconds.
pub const COOLDOWN_SECS: u64 = 1800;

/// What one decision is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    pub(super) exporter: String,
    pub(super) environment: String,
    pub(super) flag: String,
}

impl Subject {
    fn of(decision: &Decision) -> Self {
        Self {
            exporter: decision.exporter.clone(),
            environment: decision.environment.clone(),
            flag: decision.flag.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Live {
    decision: Decision,
    /// The burn was seen at or below the threshold since the decision became final.
    cleared: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct LiveDecisions {
    by_subject: BTreeMap<Subject, Live>,
    cooldown_secs: u64,
}

impl LiveDecisions {
    pub(super) fn new(cooldown_secs: u64) -> Self {
        Self {
            by_subject: BTreeMap::new(),
            cooldown_secs,
        }
    }

    pub(super) fn set_cooldown(&mut self, cooldown_secs: u64) {
        self.cooldown_secs = cooldown_secs;
    }

    /// Keeps `decision` unless a later incident of its subject is known.
    pub(super) fn keep(&mut self, decision: Decision) {
        let subject = Subject::of(&decision);
        match self.by_subject.get_mut(&subject) {
            Some(live) if live.decision.incident > decision.incident => {}
            Some(live) if live.decision.id == decision.id => {
                live.cleared &= live.decision.state == decision.state;
                live.decision = decision;
            }
            _ => {
                self.by_subject.insert(
                    subject,
                    Live {
                        decision,
                        cleared: false,
                    },
                );
            }
        }
    }

    /// Says which subjects burn at this evaluation: the others are cleared for another incident.
    pub(super) fn note_burning(&mut self, burns: impl Fn(&Subject) -> bool) {
        for (subject, live) in &mut self.by_subject {
            if live.decision.state.is_final() && !live.cleared {
                live.cleared = !burns(subject);
            }
        }
    }

    /// The number of the next incident of `subject`, or what holds it.
    pub(super) fn next_incident(
        &self,
        now: UnixNanos,
        subject: &Subject,
        mode: KillMode,
    ) -> Result<u64, WithheldReason> {
        let Some(live) = self.by_subject.get(subject) else {
            return Ok(1);
        };
        let next = live.decision.incident.saturating_add(1);
        let decision = live.decision.id.clone();
        let until = live.decision.updated_at.plus_secs(self.cooldown_secs);
        match &live.decision.state {
            DecisionState::Decided | DecisionState::Sending { .. } => {
                Err(WithheldReason::UnderWay { decision })
            }
            DecisionState::Observed if mode == KillMode::Auto => Ok(next),
            DecisionState::Failed {
                reason: FailureReason::Expired,
                ..
            } => Ok(next),
            _ if now < until => Err(WithheldReason::Cooldown { decision, until }),
            DecisionState::Failed { .. } => Ok(next),
            DecisionState::Confirmed { .. } | DecisionState::Observed if live.cleared => Ok(next),
            DecisionState::Confirmed { .. } | DecisionState::Observed => {
                Err(WithheldReason::NotRearmed { decision })
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Decision> {
        self.by_subject.values().map(|live| &live.decision)
    }
}
