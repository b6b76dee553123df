//! What must hold besides evidence and harm before a rule may act.

use serde::{Deserialize, Serialize};

/// The guards of one rule. What they hold against is in `docs/kill-switch.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Guards {
    /// Events that the accused and its control must have had each.
    pub min_events: u64,
    /// Distinct traces among the accused's bad events, where they have traces.
    pub min_roots: u32,
    /// Sources that must have sent bad events of the accused, or all that the service has, if those are
    /// fewer.
    pub min_sources: u32,
    /// What one source may hold of the accused's bad events, in percent, or twice its fair share, if that is
    /// more.
    pub max_source_percent: u8,
    /// How old the newest event of the service may be, in seconds.
    pub max_data_age_secs: u64,
    /// What share of the events should have the variant, in thousandths of a percent; `None` if nobody says.
    pub expected_share: Option<u32>,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            min_events: 50,
            min_roots: 3,
            min_sources: 3,
            max_source_percent: 25,
            max_data_age_secs: 60,
            expected_share: None,
        }
    }
}
