//! State machines that turn verdicts over time into decisions.
//!
//! [`KillDecider`] looks, at every tick, at the flags that policies name: is a variant's cohort burning, has
//! it burned at every evaluation of the rule's `for`, and is it the variant rather than what all variants
//! share? It is pure: no clock, no network, no store. What it returns goes to the journal first and to an
//! exporter after that; what the exporter achieves comes back through [`KillDecider::update`].
//!
//! Verdicts carry reasons: a burning cohort that does not lead to a decision is [`Withheld`] with the figures
//! that held it.

mod decision;
mod identity;
mod kill;
mod live;
mod verdict;

#[cfg(test)]
mod kill_tests;

pub use decision::{Decision, DecisionState, Evidence, FailureReason};
pub use identity::decision_id;
pub use kill::KillDecider;
pub use live::COOLDOWN_SECS;
pub use verdict::{WITHHELD_LIMIT, Withheld, WithheldReason};
