//! What a verdict by evidence rests on, in figures that anybody can work out again.

use crate::evidence::{EpochCause, EvidenceClass, HarmWindow, RatioInterval, TemporalLack, Verdict};
use crate::ledger::Counts;
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};

/// The statistics behind a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// How the accused and its control came to be two groups.
    pub class: EvidenceClass,
    /// ln E, over all SLIs that the rule watches, and what it must reach.
    pub log_e: f64,
    /// See `log_e`.
    pub kill_bound: f64,
    /// ln D of the CUSUM, for breakage long after a change, and what it must reach.
    pub log_d: f64,
    /// See `log_d`.
    pub change_bound: f64,
    /// How many times as often as its control it fails (Mantel and Haenszel); `None` while that has no bad
    /// event.
    pub ratio: Option<f64>,
    /// Between which limits that lies, with a probability of 95 % at all looks together, by what is older
    /// than a minute; `None` with too few bad events, and of the class `temporal`.
    #[serde(default)]
    pub ratio_interval: Option<RatioInterval>,
    /// Since when evidence counts.
    pub epoch_since: UnixNanos,
    /// What began that epoch.
    pub epoch_cause: EpochCause,
    /// Events of the accused since then.
    pub treated: Counts,
    /// Events of its control since then.
    pub control: Counts,
    /// How much bad events cluster; `None` before that is known.
    pub overdispersion: Option<f64>,
    /// Which one of several suspects it is, in words.
    pub attribution: String,
    /// Who sent it, of a suspect.
    pub sources: Option<SourceProof>,
    /// Of the class `temporal`: what the comparison with the past rests on.
    #[serde(default)]
    pub temporal: Option<TemporalProof>,
}

/// A flag that everybody has, before against after, and beside those that do not have it. `treated` and
/// `control` of the proof are then after and before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemporalProof {
    /// When everybody came to have it; `None` if nobody saw that.
    pub changed_at: Option<UnixNanos>,
    /// ln E that errors rose when it changed. The evidence is the smaller one of the two.
    pub log_risen: f64,
    /// ln E that they rose there, and not everywhere.
    pub log_apart: f64,
    /// Events since the change.
    pub after: Counts,
    /// Events before it, in the same places, as far as they were compared.
    pub before: Counts,
    /// Events since the change of endpoints and services that do not have the flag.
    pub aside: Counts,
    /// Why it can say nothing.
    pub lacks: Option<TemporalLack>,
}

/// Who sent the bad events of a suspect, in the last thirty minutes or since the epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceProof {
    /// Sources that sent anything.
    pub active: usize,
    /// Sources that sent bad events of the accused.
    pub with_bad: usize,
    /// The greatest share of those that one source sent.
    pub top_share: f64,
    /// ln E without that source.
    pub log_e_without_top: f64,
    /// Distinct traces among bad events that were kept; `None` where events have no traces.
    pub roots: Option<usize>,
}

/// What a rule says of one variant or version at the last evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ruling {
    /// The exporter that would act.
    pub exporter: String,
    /// The service.
    pub service: String,
    /// The SLO that burns most of those that the rule watches.
    pub slo: String,
    /// The environment.
    pub environment: String,
    /// The flag; empty for a version.
    pub flag: String,
    /// The variant; empty for a version.
    pub variant: String,
    /// The version, if that is accused.
    pub sha: Option<String>,
    /// The rule's mode.
    pub mode: &'static str,
    /// When it was last evaluated.
    pub at: UnixNanos,
    /// The statistics.
    pub proof: Proof,
    /// The counts in which harm is looked for, smallest window first.
    pub windows: Vec<HarmWindow>,
    /// What burn is harm.
    pub burn_above: f64,
    /// What the rule says.
    pub verdict: Verdict,
    /// The same in words, a reason each.
    pub words: Vec<String>,
}
