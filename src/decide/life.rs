//! The life of a decision before it is sent and after it has ended.
//!
//! How a call is carried out is in `carry`; here is what comes before (a proposal that waits for somebody,
//! a condition that clears) and after (was there an effect, when may the next one follow, and who has
//! switched the flag back). One pure function, [`next`], takes what happened and says what the decision is
//! from then on; `now` is an argument. Whoever learned of it (the tick, the watch over flags, somebody's
//! hand) applies it to the one list of decisions, and the journal has it before anything follows.
//!
//! A flag that is seen exposed again after it was confirmed safe, and not by us, is in *hold*: no rule
//! touches it for a day, and what its requests did before counts no more, because whoever switched it on
//! again has seen that as well.

use super::decision::{Decision, DecisionState};
use super::effect::{Effect, Found, NoEffect, Observation, is_back, judge, served_until};
use super::probation::{self, ProbationStep};
use crate::config::Kill;
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long things take; from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifeRules {
    /// After a decision's end, in seconds.
    pub cooldown_secs: u64,
    /// After somebody switched a flag back, or a switch had no effect.
    pub hold_secs: u64,
    /// A change of a flag is everywhere.
    pub propagation_secs: u64,
    /// A proposal waits for somebody.
    pub propose_secs: u64,
}

impl LifeRules {
    /// Those of the configuration.
    pub fn new(kill: &Kill, cooldown: Duration) -> Self {
        Self {
            cooldown_secs: cooldown.as_secs(),
            hold_secs: kill.hold.as_secs(),
            propagation_secs: kill.propagation.as_secs().max(1),
            propose_secs: kill.propose_expires.as_secs(),
        }
    }
}

impl Default for LifeRules {
    fn default() -> Self {
        Self::new(&Kill::default(), Duration::from_secs(super::COOLDOWN_SECS))
    }
}

/// What a decision has besides its state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    /// What came of it.
    pub phase: Phase,
    /// Epoch of the process that wrote it last: an older one never writes over it.
    pub fence: u64,
    /// Calls that may have left.
    pub attempts: u32,
    /// The service's version of the flag before the last call.
    pub version: Option<String>,
    /// When a proposal was approved.
    pub armed_at: Option<UnixNanos>,
    /// When somebody was found to have exposed the flag again, or took the hold on it away: what it did
    /// before counts no more.
    pub exposed_at: Option<UnixNanos>,
    /// Who had the last say in it, after whoever decided.
    pub hand: Option<Hand>,
    /// What the traffic said, once it did.
    pub effect: Option<Effect>,
    /// Of a step of a probation.
    pub probation: Option<ProbationStep>,
    /// Of the decision that ends one: when the flag was left on by us.
    pub left_at: Option<UnixNanos>,
}

/// The name by which the gateway itself closes a decision, where a later one takes its place.
pub const GATEWAY: &str = "burngate";

/// Somebody's word about a decision: yes, no, or that it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hand {
    /// When.
    pub at: UnixNanos,
    /// Who.
    pub name: String,
    /// Why; empty where nobody was asked.
    pub reason: String,
}

impl Hand {
    fn of(event: &Event, at: UnixNanos) -> Option<Self> {
        let (name, reason) = match event {
            Event::Approved { by } => (by, ""),
            Event::Declined { by, reason } | Event::Released { by, reason } => (by, reason.as_str()),
            _ => return None,
        };
        Some(Self {
            at,
            name: name.clone(),
            reason: reason.to_owned(),
        })
    }
}

/// What came of a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Phase {
    /// It is on its way, or ended without a switch.
    #[default]
    Act,
    /// Switched; does the traffic say so?
    EffectCheck {
        /// When it was confirmed.
        since: UnixNanos,
        /// When the variant's traffic was found to be gone.
        gone: Option<UnixNanos>,
    },
    /// Switched, and left alone.
    Cooldown {
        /// Until then at least.
        until: UnixNanos,
        /// What the traffic said.
        effect: Effect,
    },
    /// Switched without effect: a human must look, and nothing else is switched for the service meanwhile.
    Escalated {
        /// For so long, unless somebody releases it.
        until: UnixNanos,
        /// What is not as it should be.
        why: NoEffect,
    },
    /// Given to some, and watched.
    Probation {
        /// Since when.
        since: UnixNanos,
    },
    /// Nothing burned on probation: the next step may follow.
    Passed {
        /// When.
        at: UnixNanos,
    },
    /// It burned on probation: the flag is to be switched off again.
    Withdrawn {
        /// When.
        at: UnixNanos,
        /// Why.
        why: String,
    },
    /// Somebody switched the flag back.
    HumanHold {
        /// Since when it was seen.
        since: UnixNanos,
        /// No rule touches the flag until then, unless somebody releases it.
        until: UnixNanos,
        /// Who, as far as the service says.
        by: String,
    },
    /// Over: another decision about the flag may follow.
    Closed {
        /// When.
        at: UnixNanos,
        /// Why.
        why: String,
    },
}

impl Phase {
    /// The word in answers and labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::EffectCheck { .. } => "effect_check",
            Self::Cooldown { .. } => "cooldown",
            Self::Escalated { .. } => "escalated",
            Self::Probation { .. } => "probation",
            Self::Passed { .. } => "passed",
            Self::Withdrawn { .. } => "withdrawn",
            Self::HumanHold { .. } => "human_hold",
            Self::Closed { .. } => "closed",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody approved of a proposal.
    Approved {
        /// Who.
        by: String,
    },
    /// Somebody declined it.
    Declined {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The condition no longer holds.
    Cleared,
    /// Time went by, and this was seen.
    Passed(Observation),
    /// A read found the flag exposed after it had been confirmed safe.
    Exposed {
        /// When it was changed, or when it was seen.
        at: UnixNanos,
        /// By whom; `None` when the service does not say.
        by: Option<String>,
        /// The change was made with our own credential.
        is_ours: bool,
    },
    /// The burn has been below its threshold since.
    Calm,
    /// Somebody closes it.
    Released {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

/// Why something cannot be done to a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Only proposals are approved and declined.
    #[error("it is not a proposal")]
    NotProposed,
    /// Nobody decided in time.
    #[error("the time to approve it is over")]
    TooLate,
    /// A call may have left.
    #[error("it is being carried out; it ends by itself")]
    UnderWay,
    /// It is closed already.
    #[error("there is nothing to release")]
    NothingHeld,
}

/// What a decision is from now on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) state: Option<DecisionState>,
    pub(super) phase: Option<Phase>,
    pub(super) words: String,
}

impl Step {
    fn state(state: DecisionState, words: impl Into<String>) -> Self {
        Self {
            state: Some(state),
            phase: None,
            words: words.into(),
        }
    }

    pub(super) fn phase(phase: Phase, words: impl Into<String>) -> Self {
        Self {
            state: None,
            phase: Some(phase),
            words: words.into(),
        }
    }
}

impl Decision {
    /// Takes note of what happened; true when it made a difference.
    pub fn apply(&mut self, now: UnixNanos, rules: &LifeRules, event: &Event) -> Result<bool, Refused> {
        let Some(step) = next(self, now, rules, event)? else {
            return Ok(false);
        };
        if let Some(state) = step.state {
            if state == DecisionState::Decided {
                self.life.armed_at = Some(now);
            }
            self.state = state;
            self.updated_at = now;
        }
        if let Some(phase) = step.phase {
            match &phase {
                Phase::HumanHold { since, .. } | Phase::Probation { since } => {
                    self.life.exposed_at = Some(*since);
                }
                Phase::Cooldown { effect, .. } => self.life.effect = Some(*effect),
                _ => {}
            }
            self.life.phase = phase;
        }
        if let Some(hand) = Hand::of(event, now) {
            self.life.hand = Some(hand);
        }
        // Whoever takes a hold away has seen what was before it.
        if matches!(event, Event::Released { .. }) && matches!(self.state, DecisionState::Confirmed { .. }) {
            self.life.exposed_at = Some(now);
        }
        self.tell(now, step.words);
        Ok(true)
    }

    /// Puts it in hold, as an overruled one is.
    pub fn hold(&mut self, now: UnixNanos, hold_secs: u64, by: &str) {
        self.life.exposed_at = Some(now);
        self.life.phase = held(now, now, hold_secs, by);
    }
}

fn held(since: UnixNanos, now: UnixNanos, hold_secs: u64, by: &str) -> Phase {
    Phase::HumanHold {
        since,
        until: now.plus_secs(hold_secs),
        by: by.to_owned(),
    }
}

/// See the module. `None` when nothing changes.
pub(super) fn next(
    decision: &Decision,
    now: UnixNanos,
    rules: &LifeRules,
    event: &Event,
) -> Result<Option<Step>, Refused> {
    match &decision.state {
        DecisionState::Proposed { until } => proposed(now, *until, rules, event),
        DecisionState::Decided => decided(now, rules, event),
        DecisionState::Sending { .. } | DecisionState::Verifying { .. } => match event {
            Event::Approved { .. } | Event::Declined { .. } => Err(Refused::NotProposed),
            Event::Released { .. } => Err(Refused::UnderWay),
            _ => Ok(None),
        },
        DecisionState::Confirmed { .. }
        | DecisionState::Failed { .. }
        | DecisionState::Observed
        | DecisionState::Aborted { .. } => ended(decision, now, rules, event),
    }
}

fn proposed(
    now: UnixNanos,
    until: UnixNanos,
    rules: &LifeRules,
    event: &Event,
) -> Result<Option<Step>, Refused> {
    Ok(match event {
        Event::Approved { .. } if now >= until => return Err(Refused::TooLate),
        Event::Approved { by } => Some(Step::state(DecisionState::Decided, format!("approved by {by}"))),
        Event::Declined { by, reason } | Event::Released { by, reason } => {
            Some(stopped(now, rules, format!("declined by {by}: {reason}")))
        }
        Event::Cleared => Some(aborted("the condition cleared before anybody approved")),
        Event::Passed(_) if now >= until => Some(aborted("nobody approved in time")),
        _ => None,
    })
}

fn decided(now: UnixNanos, rules: &LifeRules, event: &Event) -> Result<Option<Step>, Refused> {
    Ok(match event {
        Event::Approved { .. } | Event::Declined { .. } => return Err(Refused::NotProposed),
        Event::Released { by, reason } => Some(stopped(now, rules, format!("stopped by {by}: {reason}"))),
        Event::Cleared => Some(aborted("the condition cleared before anything was sent")),
        _ => None,
    })
}

fn aborted(why: &str) -> Step {
    Step::state(DecisionState::Aborted { why: why.to_owned() }, why)
}

/// Withdrawn by somebody: the rule must not say the same again a second later.
fn stopped(now: UnixNanos, rules: &LifeRules, why: String) -> Step {
    let phase = Phase::Cooldown {
        until: now.plus_secs(rules.cooldown_secs),
        effect: Effect::Unknown,
    };
    Step {
        state: Some(DecisionState::Aborted { why: why.clone() }),
        phase: Some(phase),
        words: why,
    }
}

fn ended(
    decision: &Decision,
    now: UnixNanos,
    rules: &LifeRules,
    event: &Event,
) -> Result<Option<Step>, Refused> {
    let phase = &decision.life.phase;
    let is_confirmed = matches!(decision.state, DecisionState::Confirmed { .. });
    match (event, phase) {
        (Event::Approved { .. } | Event::Declined { .. }, _) => Err(Refused::NotProposed),
        (Event::Released { .. }, Phase::Closed { .. }) => Err(Refused::NothingHeld),
        (Event::Released { .. }, Phase::Act) if matches!(decision.state, DecisionState::Aborted { .. }) => {
            Err(Refused::NothingHeld)
        }
        (Event::Released { by, reason }, _) => Ok(Some(closed(now, format!("released by {by}: {reason}")))),
        (Event::Passed(_), Phase::HumanHold { until, .. } | Phase::Escalated { until, .. }) => {
            Ok((now >= *until).then(|| closed(now, "the hold is over".to_owned())))
        }
        (Event::Passed(seen), _) if is_confirmed => Ok(match &decision.life.probation {
            Some(step) => probation::watched(decision, step, now, rules, seen),
            None => passed(decision, now, rules, seen),
        }),
        (Event::Calm, Phase::Cooldown { until, .. }) => {
            Ok((now >= *until).then(|| closed(now, "the cooldown is over and nothing burns".to_owned())))
        }
        (
            Event::Exposed {
                at,
                by,
                is_ours: false,
            },
            Phase::EffectCheck { .. } | Phase::Cooldown { .. } | Phase::Escalated { .. },
        ) if is_confirmed => {
            let by = by.as_deref().unwrap_or("somebody");
            let phase = held((*at).min(now), now, rules.hold_secs, by);
            let words = format!("{by} has exposed the flag again; no rule touches it for now");
            Ok(Some(Step::phase(phase, words)))
        }
        // On probation it is exposed by us; then somebody has made more, or less, of it.
        (Event::Exposed { at, by, .. }, Phase::Probation { .. }) => {
            let by = by.as_deref().unwrap_or("somebody");
            let phase = held((*at).min(now), now, rules.hold_secs, by);
            let words =
                format!("{by} has changed the flag: its probation is over, and no rule touches it for now");
            Ok(Some(Step::phase(phase, words)))
        }
        _ => Ok(None),
    }
}

fn passed(decision: &Decision, now: UnixNanos, rules: &LifeRules, seen: &Observation) -> Option<Step> {
    let cooldown = |since: UnixNanos, effect| Phase::Cooldown {
        until: since.plus_secs(rules.cooldown_secs),
        effect,
    };
    match &decision.life.phase {
        // What nobody drove was not switched: a replay's, or a row of a former release.
        Phase::Act if decision.life.fence == 0 => None,
        Phase::Act if now < served_until(decision.updated_at, rules) => {
            let since = decision.updated_at;
            Some(Step::phase(
                Phase::EffectCheck { since, gone: None },
                "watching whether it has an effect",
            ))
        }
        Phase::Act => {
            let phase = cooldown(decision.updated_at, Effect::Unknown);
            Some(Step::phase(phase, "left alone for the cooldown"))
        }
        Phase::EffectCheck { since, gone } => {
            let since = *since;
            match judge(decision, (since, *gone), now, rules, seen) {
                Found::Wait => None,
                Found::Gone => Some(Step::phase(
                    Phase::EffectCheck {
                        since,
                        gone: Some(now),
                    },
                    "the variant is not served any more",
                )),
                Found::Done(effect) => {
                    let words = match effect {
                        Effect::Seen => "it had its effect",
                        Effect::Unknown => "no traffic to tell an effect by",
                    };
                    Some(Step::phase(cooldown(since, effect), words))
                }
                Found::Failed(why) => {
                    let until = now.plus_secs(rules.hold_secs);
                    let words = format!("no effect: {why}");
                    Some(Step::phase(Phase::Escalated { until, why }, words))
                }
            }
        }
        // Where the flag cannot be read, its traffic tells that somebody exposed it again.
        Phase::Cooldown {
            effect: Effect::Seen, ..
        } if matches!(decision.state, DecisionState::Confirmed { verified: false, .. })
            && is_back(decision, seen) =>
        {
            let phase = held(now, now, rules.hold_secs, "somebody");
            Some(Step::phase(
                phase,
                "the variant is served again; somebody has exposed the flag",
            ))
        }
        _ => None,
    }
}

fn closed(at: UnixNanos, why: String) -> Step {
    Step::phase(Phase::Closed { at, why: why.clone() }, why)
}
