//! What the ledger asks of the store: one series' chunk of one tier.

use super::Counts;
use thiserror::Error;

/// A series' number in the store; stable over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u32);

/// Width of a bucket, and of the chunk of buckets that is one row of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tier {
    /// 10 s buckets, 5 min a chunk, kept 2 h.
    Fine = 0,
    /// 1 min buckets, 1 h a chunk, kept 3 d.
    Minutes = 1,
    /// 5 min buckets, 1 d a chunk, kept 400 d; totals only.
    Days = 2,
    /// Evidence cells: 10 s buckets, 5 min a chunk, kept 30 min.
    Evidence = 3,
}

/// One chunk: the buckets that hold events, ascending, each with its offset within the chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// (bucket within the chunk, counts).
    pub buckets: Vec<(u16, Counts)>,
}

/// Why history could not be read.
#[derive(Debug, Error)]
#[error("history of series {series}: {reason}")]
pub struct HistoryError {
    /// The series.
    pub series: u32,
    /// What the store said.
    pub reason: String,
}

/// Sealed and folded chunks of the past. Implemented by every store.
pub trait History {
    /// The chunk of `series` that starts at `start_secs`; `None` when nothing happened in it.
    fn chunk(&self, tier: Tier, start_secs: u64, series: SeriesRef) -> Result<Option<Chunk>, HistoryError>;
}
