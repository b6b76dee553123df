//! How a flag that was switched off may be given back.

use serde::{Deserialize, Serialize};

/// The steps of a probation. How they are taken is in `docs/kill-switch.md`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probation {
    /// To how many percent the flag is given, step by step; each is more than the one before.
    pub steps: Vec<u8>,
    /// How long each step is watched before the next, in seconds.
    pub every_secs: u64,
    /// The first step is no earlier than this after the switch, in seconds.
    pub after_secs: u64,
}

impl Default for Probation {
    fn default() -> Self {
        Self {
            steps: vec![1, 5, 25],
            every_secs: 600,
            after_secs: 3_600,
        }
    }
}
