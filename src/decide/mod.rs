//! State machines that turn verdicts over time into decisions.
//!
//! [`KillDecider`] looks, at every tick, at the flags that policies name: is a variant's cohort burning, has
//! it burned at every evaluation of the rule's `for`, and is it the variant rather than what all variants
//! share? It is pure: no clock, no network, no store. What it returns goes to the journal first and to an
//! exporter after that; what the exporter achieves comes back through [`KillDecider::update`].
//!
//! Verdicts carry reasons: a burning cohort that does not lead to a decision is [`Withheld`] with the figures
//! that held it.

mod accusation;
mod action;
mod by_burn;
mod by_evidence;
mod carry;
mod decision;
mod effect;
mod guards;
mod hand;
mod identity;
mod kill;
mod life;
mod live;
mod outcome;
mod probation;
mod proof;
mod rates;
mod reading;
mod trials;
mod verdict;
mod versions;

#[cfg(test)]
mod canary_tests;
#[cfg(test)]
mod evidence_tests;
#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod probation_tests;
#[cfg(test)]
mod temporal_tests;

pub use action::{Action, Actor, Deployment};
pub use carry::{Look, Next, Tries, after_done, after_read};
pub use decision::{Decision, DecisionState, Evidence, FailureReason};
pub use effect::{Effect, NoEffect, Observation, Traffic};
pub use guards::CommonGuards;
pub use hand::{HandError, HandKill, HandRelease, HandVote, released, voted};
pub use identity::decision_id;
pub use kill::KillDecider;
pub use life::{Event, GATEWAY, Hand, Life, LifeRules, Phase, Refused};
pub use live::COOLDOWN_SECS;
pub use probation::{ProbationStep, Probed};
pub use proof::{Proof, Ruling, SourceProof, TemporalProof};
pub use rates::{RateLimit, RateLimits, Rates};
pub use trials::{ErrorRates, Sources};
pub use verdict::{WITHHELD_LIMIT, Withheld, WithheldReason};
