//! Recorded telemetry through the gateway's own counting and judging, in event time.
//!
//! The question is "what would have happened": would this policy have paged, when, would a flag have been
//! switched, and what would be left of the budget. The property wanted is that the answer is the gateway's
//! own, and the same each time: records go through [`crate::gateway::Rehearsal`], which is a gateway with
//! another clock, in the order of their times, and ticks stand on whole intervals of that clock.
//!
//! * [`input`]: files of several formats -> records, each with the moment at which it arrives.
//! * [`spool`]: all records in the order of arrival, in memory or in a temporary file.
//! * [`play`]: records and ticks, one after the other.
//! * [`outcome`]: what happened: edges of alerts, budgets over time, decisions.
//! * [`evidence`]: what the evidence about each variant and version came to.
//! * [`table`], [`json`], [`csv`]: the outcome for people and for programs.
//!
//! Rejected: streaming each file as it lies. Files overlap, and lines of one file may be out of order; what
//! came late by a whole hour would be counted where it arrived, which it never did.

pub mod csv;
mod error;
mod evidence;
mod gates;
mod input;
pub mod json;
mod outcome;
mod play;
mod spool;
mod subject;
pub mod table;

pub use error::{Problem, ReplayError};
pub use evidence::Tried;
pub use gates::GateEdge;
pub use input::{Columns, Intake, Loaded, load};
pub use outcome::{AlertEdge, BudgetSample, EdgeState, HeldBack, Input, Killed, Outcome, WindowSample};
pub use play::{Progress, Wishes, play};
pub use subject::Subject;

#[cfg(test)]
mod tests;
