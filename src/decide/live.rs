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
//! * `Aborted`: at once, unless somebody withdrew it; then the cooldown must have passed.
//! * Any that somebody closed: at once.
//!
//! While a flag is in hold (somebody switched it back) no rule touches it, and while a switch without effect
//! is not looked at, no rule switches anything else of that service: the next guess would be as good as the
//! last one.
//!
//! A decision that is not final blocks without limit of time: delivery drives each to an end. One exception
//! to the one-live rule: a record of `observe` does not hold back a rule that is in `auto`.

use super::action::Actor;
use super::decision::{Decision, DecisionState, FailureReason};
use super::life::{Event, LifeRules, Phase};
use super::rates::{RateLimits, Rates};
use super::verdict::WithheldReason;
use crate::policy::KillMode;
use crate::time::UnixNanos;
use std::collections::BTreeMap;

/// Time after a decision's end before the same flag may be decided about again, in seconds.
pub const COOLDOWN_SECS: u64 = 1800;

/// A condition that is gone for less than this may come back: nothing is withdrawn for it, in seconds.
const CLEAR_SECS: u64 = 30;

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
            flag: decision.subject(),
        }
    }
}

#[derive(Clone, Debug)]
struct Live {
    decision: Decision,
    /// The burn was seen at or below the threshold since the decision became final.
    cleared: bool,
    /// Of a decision that is not final: since when it is not seen to burn.
    calm_since: Option<UnixNanos>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct LiveDecisions {
    by_subject: BTreeMap<Subject, Live>,
    rates: Rates,
    pub(super) rules: LifeRules,
    pub(super) limits: RateLimits,
    /// Whether rules may switch anything.
    pub(super) enabled: bool,
}

impl LiveDecisions {
    pub(super) fn new(cooldown_secs: u64) -> Self {
        Self {
            by_subject: BTreeMap::new(),
            rates: Rates::default(),
            rules: LifeRules {
                cooldown_secs,
                ..LifeRules::default()
            },
            limits: RateLimits::default(),
            enabled: true,
        }
    }

    pub(super) fn set_cooldown(&mut self, cooldown_secs: u64) {
        self.rules.cooldown_secs = cooldown_secs;
    }

    /// Keeps `decision` unless a later incident of its subject is known.
    pub(super) fn keep(&mut self, decision: Decision) {
        self.rates.note(&decision);
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
                        calm_since: None,
                    },
                );
            }
        }
    }

    /// Says which subjects burn at this evaluation: the others are cleared for another incident.
    pub(super) fn note_burning(&mut self, now: UnixNanos, burns: impl Fn(&Subject) -> bool) {
        self.rates.prune(now);
        for (subject, live) in &mut self.by_subject {
            if !live.decision.state.is_final() {
                let since = live.calm_since.filter(|since| *since <= now).unwrap_or(now);
                live.calm_since = (!burns(subject)).then_some(since);
            } else if !live.cleared {
                live.cleared = !burns(subject);
            }
        }
    }

    /// What is to be told to decisions, besides what their traffic shows: the condition of one that was not
    /// sent yet has cleared, or what was switched has been calm.
    pub(super) fn news(&self, now: UnixNanos) -> Vec<(String, Event)> {
        let news = self.by_subject.values().filter_map(|live| {
            let calm = live.calm_since.map_or(0, |since| now.secs_since(since));
            let event = match &live.decision.state {
                // What somebody decided has no condition.
                DecisionState::Decided | DecisionState::Proposed { .. }
                    if calm >= CLEAR_SECS && live.decision.actor == Actor::Rule =>
                {
                    Event::Cleared
                }
                DecisionState::Confirmed { .. } if live.cleared => Event::Calm,
                _ => return None,
            };
            let is_new = event != Event::Calm
                || matches!(live.decision.life.phase, Phase::Cooldown { until, .. } if now >= until);
            is_new.then(|| (live.decision.id.clone(), event))
        });
        news.collect()
    }

    /// When somebody exposed a flag again after a decision: environment, flag, time.
    pub(super) fn exposures(&self) -> Vec<(String, String, UnixNanos)> {
        let of_flags = self.by_subject.values().map(|live| &live.decision);
        let exposed = of_flags.filter(|d| d.deployment.is_none()).filter_map(|d| {
            let at = d.life.exposed_at?;
            Some((d.environment.clone(), d.flag.clone(), at))
        });
        exposed.collect()
    }

    /// The last decision about `subject`.
    pub(super) fn of(&self, subject: &Subject) -> Option<&Decision> {
        self.by_subject.get(subject).map(|live| &live.decision)
    }

    /// The number of the next incident of `subject` of `service`, or what holds it: the flag's own state,
    /// the switch for all, a switch of the service that had no effect, and the limits over all flags.
    pub(super) fn admit(
        &self,
        now: UnixNanos,
        subject: &Subject,
        service: &str,
        mode: KillMode,
    ) -> Result<u64, WithheldReason> {
        let incident = self.next_incident(now, subject, mode)?;
        if !matches!(mode, KillMode::Auto | KillMode::Propose) {
            return Ok(incident);
        }
        if !self.enabled {
            return Err(WithheldReason::Disabled);
        }
        for live in self.by_subject.values() {
            if let Phase::Escalated { until, .. } = &live.decision.life.phase
                && live.decision.evidence.service == service
                && now < *until
            {
                return Err(WithheldReason::Escalated {
                    decision: live.decision.id.clone(),
                    until: *until,
                });
            }
        }
        if mode == KillMode::Auto
            && let Some((limit, kills, until)) = self.rates.reached(now, service, self.limits)
        {
            return Err(WithheldReason::RateLimited { limit, kills, until });
        }
        Ok(incident)
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
        let until = match &live.decision.life.phase {
            Phase::Closed { .. } => return Ok(next),
            Phase::HumanHold { until, by, .. } if now < *until => {
                let (until, by) = (*until, by.clone());
                return Err(WithheldReason::HumanHold { decision, until, by });
            }
            Phase::Escalated { until, .. } if now < *until => {
                return Err(WithheldReason::Escalated {
                    decision,
                    until: *until,
                });
            }
            Phase::HumanHold { .. } | Phase::Escalated { .. } => return Ok(next),
            Phase::Cooldown { until, .. } => *until,
            Phase::Probation { .. } | Phase::Passed { .. } | Phase::Withdrawn { .. } => {
                return Err(WithheldReason::UnderWay { decision });
            }
            Phase::Act | Phase::EffectCheck { .. } => {
                live.decision.updated_at.plus_secs(self.rules.cooldown_secs)
            }
        };
        match &live.decision.state {
            DecisionState::Proposed { .. }
            | DecisionState::Decided
            | DecisionState::Sending { .. }
            | DecisionState::Verifying { .. } => Err(WithheldReason::UnderWay { decision }),
            DecisionState::Observed if matches!(mode, KillMode::Auto | KillMode::Propose) => Ok(next),
            DecisionState::Failed {
                reason: FailureReason::Expired,
                ..
            } => Ok(next),
            DecisionState::Aborted { .. } if live.decision.life.phase == Phase::Act => Ok(next),
            _ if now < until => Err(WithheldReason::Cooldown { decision, until }),
            DecisionState::Failed { .. } | DecisionState::Aborted { .. } => Ok(next),
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
