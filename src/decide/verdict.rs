//! Why a burning cohort did not lead to a decision.

use super::rates::RateLimit;
use crate::evidence::Hold;
use crate::ledger::Counts;
use crate::time::UnixNanos;
use serde::Serialize;
use std::fmt;

/// How many withheld verdicts are kept for the API; more are counted, not kept.
pub const WITHHELD_LIMIT: usize = 1000;

/// A cohort that has been above its threshold for the whole `for`, and what held the decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Withheld {
    /// The exporter that would switch the flag.
    pub exporter: String,
    /// The service whose cohort burns.
    pub service: String,
    /// The SLO that it burns.
    pub slo: String,
    /// The environment.
    pub environment: String,
    /// The deployment.
    pub sha: Option<String>,
    /// The flag.
    pub flag: String,
    /// The variant.
    pub variant: String,
    /// Since when the reason is of this kind.
    pub since: UnixNanos,
    /// When it was last found so.
    pub checked_at: UnixNanos,
    /// Window of the rule, in seconds.
    pub window_secs: u64,
    /// Burn rate of the cohort in the window.
    pub burn: f64,
    /// The threshold that it is above.
    pub burn_above: f64,
    /// Counts of the cohort in the window.
    pub cohort: Counts,
    /// Counts of the flag's other variants there.
    pub control: Counts,
    /// What held the decision.
    pub reason: WithheldReason,
}

/// What held a decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WithheldReason {
    /// No traffic of the flag's other variants on the same service, environment and sha: nobody can say that
    /// it is the flag.
    NoControl,
    /// The other variants fail nearly as often: the deploy, the hour or a neighbour is to blame.
    Contrast {
        /// Bad share of the cohort over that of the control.
        ratio: f64,
        /// What the policy asks for.
        needed: f64,
    },
    /// Too few bad events to act on.
    TooFewBad {
        /// Bad events in the window.
        bad: u64,
        /// What the policy asks for.
        needed: u64,
    },
    /// The cohort was sampled otherwise than the other variants: comparing them would compare samplers.
    SamplingDiffers {
        /// Events behind one that was seen, on average, of the cohort.
        cohort: f64,
        /// The same of the other variants.
        control: f64,
    },
    /// The policy says that events are missing and nobody knows how many.
    SamplingUnknown,
    /// Conditions of the rule by evidence that do not hold; at least one.
    Rule {
        /// Which, with figures.
        holds: Vec<Hold>,
    },
    /// A decision about this flag is under way.
    UnderWay {
        /// The decision.
        decision: String,
    },
    /// The last decision about this flag is too recent.
    Cooldown {
        /// The decision.
        decision: String,
        /// When it is over.
        until: UnixNanos,
    },
    /// The flag was dealt with, and its cohorts have burned ever since: switching it off again would not
    /// help.
    NotRearmed {
        /// The decision.
        decision: String,
    },
    /// Somebody switched the flag back.
    HumanHold {
        /// The decision that was overruled.
        decision: String,
        /// When the hold is over.
        until: UnixNanos,
        /// Who, as far as the flag service says.
        by: String,
    },
    /// A switch of this service had no effect, and nobody has looked yet.
    Escalated {
        /// The decision.
        decision: String,
        /// When it is given up.
        until: UnixNanos,
    },
    /// So many flags were switched that a human should look first.
    RateLimited {
        /// Which limit.
        limit: RateLimit,
        /// How many there were.
        kills: u32,
        /// When there is room again.
        until: UnixNanos,
    },
    /// The configuration switches all kill switches off.
    Disabled,
}

impl WithheldReason {
    /// The kind of reason, in answers, logs and labels.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoControl => "no_control",
            Self::Contrast { .. } => "contrast",
            Self::TooFewBad { .. } => "too_few_bad",
            Self::SamplingDiffers { .. } => "sampling_differs",
            Self::SamplingUnknown => "sampling_unknown",
            Self::Rule { holds } => holds.first().map_or("rule", Hold::as_str),
            Self::UnderWay { .. } => "under_way",
            Self::Cooldown { .. } => "cooldown",
            Self::NotRearmed { .. } => "not_rearmed",
            Self::HumanHold { .. } => "human_hold",
            Self::Escalated { .. } => "escalated",
            Self::RateLimited { .. } => "rate_limited",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for WithheldReason {
    /// The kind, and the figures in words: `contrast: its bad share is 1.00 times ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.as_str())?;
        match self {
            Self::NoControl => f.write_str(
                "no traffic of the flag's other variants on the same service, environment and sha",
            ),
            Self::Contrast { ratio, needed } => {
                write!(
                    f,
                    "its bad share is {ratio:.2} times that of the other variants, {needed} is needed"
                )
            }
            Self::TooFewBad { bad, needed } => write!(f, "{bad} bad events, {needed} are needed"),
            Self::SamplingDiffers { cohort, control } => write!(
                f,
                "one event seen stands for {cohort:.1}, one of the other variants for {control:.1}"
            ),
            Self::SamplingUnknown => {
                f.write_str("its policy says sampling: unknown, so that its share of bad events is not known")
            }
            Self::Rule { holds } => {
                let words: Vec<String> = holds.iter().map(ToString::to_string).collect();
                f.write_str(&words.join("; "))
            }
            Self::UnderWay { decision } => write!(f, "decision {decision} is not over yet"),
            Self::Cooldown { decision, until } => write!(f, "decision {decision} was made; until {until}"),
            Self::NotRearmed { decision } => {
                write!(
                    f,
                    "decision {decision} dealt with the flag, and it has burned ever since"
                )
            }
            Self::HumanHold { decision, until, by } => {
                write!(
                    f,
                    "{by} switched it back after decision {decision}; until {until}"
                )
            }
            Self::Escalated { decision, until } => {
                write!(
                    f,
                    "decision {decision} had no effect, a human must look; until {until}"
                )
            }
            Self::RateLimited { limit, kills, until } => {
                write!(
                    f,
                    "{kills} kills, the limit of the {} is reached; until {until}",
                    limit.as_str()
                )
            }
            Self::Disabled => f.write_str("kill.enabled is false"),
        }
    }
}
