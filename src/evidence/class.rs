//! What a comparison is worth.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How treated and control came to be two groups; a stronger class is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceClass {
    /// Before against after the change: there is no control at the same time. Whatever else happened then is
    /// blamed as well, except what also befell the negative controls.
    Temporal,
    /// A control at the same time, of whom nobody threw dice: users of a segment may fail more, flag or not.
    Concurrent,
    /// Evaluations with the reason `split`: the dice decided, so the variant is the cause.
    Randomised,
}

impl EvidenceClass {
    /// The name in policies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::Concurrent => "concurrent",
            Self::Randomised => "randomised",
        }
    }

    /// The class of a comparison: whether there is a control at the same time, and whether all evaluations
    /// that were counted, on both sides, were decided by a split.
    pub const fn of(has_control: bool, all_split: bool) -> Self {
        match (has_control, all_split) {
            (false, _) => Self::Temporal,
            (true, false) => Self::Concurrent,
            (true, true) => Self::Randomised,
        }
    }
}

impl fmt::Display for EvidenceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_are_stronger_than_a_control_and_a_control_than_memory() {
        assert!(EvidenceClass::Randomised > EvidenceClass::Concurrent);
        assert!(EvidenceClass::Concurrent > EvidenceClass::Temporal);
        assert_eq!(EvidenceClass::of(false, true), EvidenceClass::Temporal);
        assert_eq!(EvidenceClass::of(true, false), EvidenceClass::Concurrent);
        assert_eq!(EvidenceClass::of(true, true), EvidenceClass::Randomised);
    }
}
