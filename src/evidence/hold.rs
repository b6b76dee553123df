//! Why a variant is not switched, as data and in words.

use super::{Attribution, EvidenceClass};
use serde::Serialize;
use std::fmt;

/// A guard outside the statistics that holds a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Too few events of the cohort or of its control.
    Samples,
    /// Too few distinct requests among the bad events.
    Roots,
    /// Too few sources.
    Sources,
    /// One source has too large a share.
    SourceShare,
    /// Without one of the sources the verdict would be another.
    LeaveOneOut,
    /// The flag was dealt with a moment ago.
    Cooldown,
    /// Too many kills in a short time.
    Rate,
    /// Too many services burn: this is no flag's doing.
    Breaker,
    /// The arms' shares are not those that were configured.
    SampleRatio,
    /// The arms were sampled differently, or nobody knows how.
    Sampling,
    /// Too few events carry their flags.
    Coverage,
    /// The data is too old.
    Stale,
    /// A human has said otherwise.
    Human,
    /// The policy never lets it be switched.
    NeverKill,
    /// A maintenance window.
    Maintenance,
}

impl Guard {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Roots => "roots",
            Self::Sources => "sources",
            Self::SourceShare => "source_share",
            Self::LeaveOneOut => "leave_one_out",
            Self::Cooldown => "cooldown",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::SampleRatio => "sample_ratio",
            Self::Sampling => "sampling",
            Self::Coverage => "coverage",
            Self::Stale => "stale",
            Self::Human => "human",
            Self::NeverKill => "never_kill",
            Self::Maintenance => "maintenance",
        }
    }
}

/// A condition of the kill rule that does not hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are the figures that the words name")]
pub enum Hold {
    /// Neither ln E nor ln D of the CUSUM has reached its bound.
    Evidence {
        log_e: f64,
        kill_bound: f64,
        log_d: f64,
        change_bound: f64,
    },
    /// The comparison is worth less than the policy asks for.
    Class {
        class: EvidenceClass,
        needed: EvidenceClass,
    },
    /// No window holds enough bad events of the cohort to be judged.
    TooFewBad { bad: u64, needed: u64 },
    /// The cohort does not burn enough in the smallest window that can be judged.
    Harm {
        window_secs: u64,
        burn: f64,
        burn_above: f64,
    },
    /// It was, and is not any more.
    Over { quiet_secs: u64, after_secs: u64 },
    /// It may be another flag.
    Attribution { attribution: Attribution },
    /// A guard holds.
    Guard { guard: Guard },
    /// All holds, and not for long enough.
    Dwell { held_secs: u64, needed_secs: u64 },
}

impl Hold {
    /// The kind, in answers and labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Evidence { .. } => "evidence",
            Self::Class { .. } => "class",
            Self::TooFewBad { .. } => "too_few_bad",
            Self::Harm { .. } => "harm",
            Self::Over { .. } => "over",
            Self::Attribution { .. } => "attribution",
            Self::Guard { guard } => guard.as_str(),
            Self::Dwell { .. } => "dwell",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evidence {
                log_e,
                kill_bound,
                log_d,
                change_bound,
            } => write!(
                f,
                "evidence {log_e:.1} of {kill_bound:.1}, of a later change {log_d:.1} of {change_bound:.1}"
            ),
            Self::Class { class, needed } => {
                write!(f, "the evidence is {class}, the policy asks for {needed}")
            }
            Self::TooFewBad { bad, needed } => write!(f, "{bad} bad events, {needed} are needed to judge"),
            Self::Harm {
                window_secs,
                burn,
                burn_above,
            } => write!(f, "burn {burn:.2} in {window_secs} s, not above {burn_above}"),
            Self::Over {
                quiet_secs: u64::MAX, ..
            } => f.write_str("no bad event yet"),
            Self::Over {
                quiet_secs,
                after_secs,
            } => write!(f, "no bad event for {quiet_secs} s, over after {after_secs} s"),
            Self::Attribution { attribution } => write!(f, "{attribution}"),
            Self::Guard { guard } => write!(f, "held by the guard {}", guard.as_str()),
            Self::Dwell {
                held_secs,
                needed_secs,
            } => write!(f, "all holds for {held_secs} s, {needed_secs} s are needed"),
        }
    }
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => f.write_str("nobody else is suspect"),
            Self::Blamed { over } => write!(f, "it is this flag and not {}", over.join(", ")),
            Self::LatestChange { other } => write!(f, "not to be told from {other}, and changed later"),
            Self::Other { other } => write!(f, "it is {other}"),
            Self::OtherIsLater { other } => write!(f, "not to be told from {other}, which was changed later"),
            Self::Open { other } => write!(f, "not told from {other} yet"),
            Self::Inseparable { other } => write!(f, "cannot be told from {other}"),
        }
    }
}
