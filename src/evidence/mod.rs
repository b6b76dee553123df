//! Pure statistics: is this variant worse than its control, given that we look all the time?
//!
//! The problem: a flag that is switched off wrongly costs the trust that the next, right, kill needs. A
//! cohort that burns says little. All cohorts burn in an outage; a small one burns by chance several times a
//! day; and a threshold that is looked at every second is crossed by luck sooner or later, whatever it is.
//!
//! The property wanted: the chance that an innocent variant is ever blamed, at any look, is below a number
//! that is chosen, and does not depend on the traffic, its mix, rollouts that ramp, or outages. What has it
//! is an **e-process**: a number that starts at 1 and that under innocence is not expected to grow, so that
//! it ever reaches `1 / alpha` with probability at most `alpha` (Ville). Here it is built from counts alone:
//!
//! * The bad events of a ten-second [`Block`] of a stratum, however many, fall on the treated or on the
//!   control arm. Under innocence each falls on the treated arm with the probability of any event. So a bad
//!   hour, a deploy that is a stratum, and a rollout cancel out, block by block ([`Grid`], [`EProcess`]).
//! * [`Cusum`] restarts by itself, for breakage long after the change.
//! * Bad events come in clusters; [`Dispersion`] measures how much, and [`Discount`] makes a block of many
//!   count as fewer.
//! * [`RatioSequence`] and [`MantelHaenszel`] say how much worse.
//! * Flags travel together; [`PairTrial`] tells which one of two it is, [`attribute`] which one of many.
//! * [`judge`] puts it together with harm and guards. Verdicts carry reasons.
//!
//! No clock, no I/O; time is an argument.
//!
//! Rejected: tests that are made for one look (z, chi-square, Mann-Whitney: a peeking gateway finds something
//! every day), mSPRT on pooled means (blames a rollout that meets an outage, always), and burn rates of
//! cohorts alone. `burngate simulate` measures all of this.

mod attribution;
mod block;
mod bounds;
mod change;
mod class;
mod discount;
mod dispersion;
mod dwell;
mod figures;
mod grid;
mod hold;
mod interval;
mod joint;
mod mantel_haenszel;
mod means;
mod process;
mod ranking;
mod rule;
mod temporal;
mod trial;

#[cfg(test)]
mod testing;

pub use attribution::{
    Attribution, BLAME_AT_LEAST, Finding, OVERLAP_MAX, OtherSuspect, Recency, UNRESOLVED_SECS, attribute,
    finding,
};
pub use block::{Arm, Block, blocks};
pub use bounds::{BLOCKS_A_YEAR, change_bound, kill_bound, suspect_bound};
pub use change::Cusum;
pub use class::EvidenceClass;
pub use discount::Discount;
pub use dispersion::{BLOCKS_MIN, Dispersion};
pub use dwell::Dwell;
pub use figures::{Figures, HarmWindow};
pub use grid::{ALTERNATIVES, GAIN_MAX, Gains, Grid, GridError};
pub use hold::{Guard, Hold};
pub use interval::{RatioInterval, RatioSequence};
pub use joint::{JointCounts, PairTrial};
pub use mantel_haenszel::MantelHaenszel;
pub use means::{expected_effect_variance, mean_half_width, mixture_z, tuning};
pub use process::{EProcess, average, log_mean_exp};
pub use ranking::suspects;
pub use rule::{MIN_TREATED_BAD, Verdict, judge, weigh};
pub use temporal::{TemporalLack, TemporalTrial};
pub use trial::{Epoch, EpochCause, Trial};
