//! What the kill rule is told.

use super::{Attribution, EvidenceClass, Guard};
use crate::budget::{Target, Threshold};
use crate::ledger::Counts;
use crate::time::UnixNanos;
use serde::Serialize;

/// Counts of the treated cohort in a window that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HarmWindow {
    /// Length, in seconds.
    pub secs: u64,
    /// What it holds.
    pub counts: Counts,
}

/// Everything that a verdict about one variant rests on.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// ln E, averaged over SLIs, and its bound.
    pub log_e: f64,
    /// See [`super::kill_bound`].
    pub kill_bound: f64,
    /// ln D of the CUSUM.
    pub log_d: f64,
    /// See [`super::change_bound`].
    pub change_bound: f64,
    /// What the comparison is worth.
    pub class: EvidenceClass,
    /// From which class on the policy acts.
    pub class_needed: EvidenceClass,
    /// The SLO's target.
    pub target: Target,
    /// The burn that is harm, strictly above.
    pub burn_above: Threshold,
    /// Treated bad events that a window must hold to be judged.
    pub min_bad: u64,
    /// Windows from the policy's own up, ascending.
    pub windows: &'a [HarmWindow],
    /// The last bad event of the treated cohort.
    pub last_bad: Option<UnixNanos>,
    /// Which one of the suspects it is.
    pub attribution: &'a Attribution,
    /// Guards that hold.
    pub guards: &'a [Guard],
}
