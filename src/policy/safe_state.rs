//! What a kill switch makes of a flag, and what a bad deployment is answered with.

use crate::cohort::flags::{OFF, ON};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The state of a flag that its policy calls safe. No kill writes anything else to a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SafeState {
    /// Switched off: everybody gets what the service serves of a flag that is off.
    #[default]
    Off,
    /// Switched on, for flags that are read inverted (a kill switch whose *on* means "without the feature").
    On,
    /// Still on, for so many percent.
    Rollout {
        /// From 0 to 100.
        percent: u8,
    },
    /// Still on, with this variant for everybody.
    Serve {
        /// The variant's key at the flag service.
        variant: Arc<str>,
    },
}

impl SafeState {
    /// Whether this leaves a variant as it is: it is what the state leads to, so it is never blamed. Of a
    /// flag that is read inverted that is `on`, and `off` is the one that breaks something.
    pub fn keeps(&self, variant: &str) -> bool {
        match self {
            Self::Off | Self::Rollout { .. } => variant == OFF,
            Self::On => variant == ON,
            Self::Serve { variant: safe } => {
                let safe = normal(Arc::clone(safe));
                variant == &*safe || (variant == OFF && &*safe != ON)
            }
        }
    }
}

/// Variants as cohorts name them: a boolean flag has `on` and `off`, whatever the SDK says.
pub(super) fn normal(variant: Arc<str>) -> Arc<str> {
    match variant.to_ascii_lowercase().as_str() {
        "true" | "on" | "enabled" | "1" | "yes" => ON.into(),
        "false" | "off" | "disabled" | "0" | "no" => OFF.into(),
        _ => variant,
    }
}

/// What is done about a deployment that is to blame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployAction {
    /// Back to the version before it.
    #[default]
    Rollback,
    /// No more traffic for it, until somebody has looked.
    Pause,
}

impl DeployAction {
    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Pause => "pause",
        }
    }
}

impl fmt::Display for SafeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On => f.write_str("on"),
            Self::Rollout { percent } => write!(f, "rollout of {percent} %"),
            Self::Serve { variant } => write!(f, "variant {variant} for everybody"),
        }
    }
}
