//! The proof of the kill rule: services that are made up, in which it is known who is to blame.
//!
//! The problem: error rates of a rule that looks all the time, over days, under outages, rollouts and
//! clustered errors, are not to be worked out on paper, and an incident of one's own happens once. The
//! property wanted: a figure that anybody can repeat. So [`Cell`]s (a [`Scenario`] and its axes) are played
//! thousands of times through the very code that judges live telemetry ([`crate::evidence`]), with seeds that
//! make every run the same on every machine, whatever the number of jobs. The plain rule (burn above N for M,
//! with contrast) watches the same runs.
//!
//! Counts are drawn, not requests: a stratum's good and bad events of ten seconds are Poisson (which is what
//! requests with independent outcomes give), bad ones in clusters of geometric size where that is asked for.
//! Each cluster falls on one arm, and clusters do not respect the margin that the discount leaves for them.
//!
//! A flag that everybody has is compared with its past, and what finds its past is the decider: those
//! scenarios ([`Scenario::is_rollout`]) go through a gateway's own ledger, evaluation and decider.
//!
//! Rejected: simulating requests (a thousand times slower, the same counts), and closed formulas for power
//! (they leave out the harm condition and the dwell, which is most of the time to a kill).

mod acceptance;
mod campaign;
mod cell;
mod court;
mod fleet;
mod output;
mod plain;
mod plot;
mod rollout;
mod run;
mod scene;
mod subject;
mod summary;
mod traffic;
mod world;

#[cfg(test)]
mod plain_tests;

pub use acceptance::{Claim, Proof, acceptance};
pub use campaign::{Campaign, Progress};
pub use cell::{Cell, DiscountSource, Scenario, Settings};
pub use output::{write_csv, write_json, write_proofs, write_table};
pub use plot::write_plot;
pub use run::{Kill, RunOutcome};
pub use summary::{Delay, Row};
