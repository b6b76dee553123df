//! What a decision does, who made it, and about what.

use crate::policy::{DeployAction, SafeState};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a decision does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// Brings a flag into its safe state.
    Switch {
        /// The safe state.
        to: SafeState,
    },
    /// Gives a flag that was switched off back to some, on probation.
    Expose {
        /// To so many percent, from 1 to 99.
        percent: u8,
        /// From so many; 0 if it is off.
        from: u8,
    },
    /// Takes a deployment back.
    Rollback,
    /// Stops a deployment where it is.
    Pause,
}

impl Default for Action {
    fn default() -> Self {
        Self::Switch { to: SafeState::Off }
    }
}

impl From<DeployAction> for Action {
    fn from(action: DeployAction) -> Self {
        match action {
            DeployAction::Rollback => Self::Rollback,
            DeployAction::Pause => Self::Pause,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch { to } => write!(f, "{to}"),
            Self::Expose { percent, .. } => write!(f, "on for {percent} %, on probation"),
            Self::Rollback => f.write_str("rollback"),
            Self::Pause => f.write_str("pause"),
        }
    }
}

/// Who decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A policy's rule.
    #[default]
    Rule,
    /// Somebody, by hand.
    Person {
        /// The name of the token that was used.
        name: String,
        /// The reason that was given.
        reason: String,
    },
    /// The probation of a flag that a rule switched off.
    Probation {
        /// The decision that switched it off.
        of: String,
    },
}

/// A deployment, as the subject of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Deployment {
    /// The service.
    pub service: String,
    /// Its bad version.
    pub sha: String,
}
