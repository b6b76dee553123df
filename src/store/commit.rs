//! What one transaction writes.

use crate::ledger::{Fold, SeriesRef, SeriesState, StreamRow, Tier};
use crate::time::UnixNanos;

/// Everything that one tick writes; all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Ledger time.
    pub now: UnixNanos,
    /// First series number that has not been given out.
    pub next_series: u32,
    /// New rows of the dictionary.
    pub names: Vec<(SeriesRef, Vec<u8>)>,
    /// Chunks and states.
    pub fold: Fold,
    /// Number and bytes of the frame.
    pub frame: Option<(u64, Vec<u8>)>,
    /// Frames below this number are folded and can go.
    pub frames_before: u64,
    /// Chunks that start before this second can go. At most [`EXPIRE_ROWS`] of each tier go with one commit.
    pub expire: Vec<(Tier, u64)>,
    /// Series whose chunks are all gone: their name and state go too.
    pub forget: Vec<SeriesRef>,
    /// Streams of metrics, of the same moment as the frame.
    pub streams: Vec<StreamRow>,
    /// Journal rows.
    pub journal: Vec<(String, Vec<u8>)>,
}

/// Rows of one tier that one commit deletes at most.
pub const EXPIRE_ROWS: usize = 4_096;

/// What the journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalLimits {
    /// Rows; beyond it the oldest go.
    pub rows: usize,
    /// How long it keeps a row, in seconds.
    pub secs: u64,
}

/// How long rows that are no decisions stay, in seconds: longer than any budget looks back.
const GUESTS_SECS: u64 = 400 * 86_400;

impl JournalLimits {
    /// Whether a row is no decision but another room's (corrections, idempotency keys), which a slash in its
    /// id says. Who writes such rows bounds them; none leaves for the sake of decisions.
    pub(super) fn is_guest(id: &str) -> bool {
        id.contains('/')
    }

    /// Whether a row of `at` is still kept at `now`.
    pub(super) fn keeps(self, id: &str, at: UnixNanos, now: UnixNanos) -> bool {
        let secs = if Self::is_guest(id) {
            self.secs.max(GUESTS_SECS)
        } else {
            self.secs
        };
        at >= now.minus_secs(secs)
    }
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self::from(&crate::config::Journal::default())
    }
}

impl From<&crate::config::Journal> for JournalLimits {
    fn from(config: &crate::config::Journal) -> Self {
        Self {
            rows: config.max_rows,
            secs: config.retention.as_secs(),
        }
    }
}

/// What a store remembers of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Ledger time of the last commit.
    pub now: UnixNanos,
    /// First series number that has not been given out.
    pub next_series: u32,
}

/// One row of the dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRow {
    /// Its number.
    pub id: SeriesRef,
    /// Its name.
    pub name: Vec<u8>,
    /// Its state.
    pub state: SeriesState,
}
