//! The tables of the embedded store. Chunk keys begin with tier and time: writes append, and what expires is
//! one range.

use crate::ledger::{SeriesRef, Tier};
use redb::TableDefinition;

/// Version of the layout below. A store of a newer one is refused.
pub(super) const FORMAT: u32 = 1;

/// `format`, `now`, `next_series`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Number -> name.
pub(super) const NAMES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("names");
/// Name -> number.
pub(super) const IDS: TableDefinition<'_, &[u8], u32> = TableDefinition::new("ids");
/// Number -> state.
pub(super) const STATES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("states");
/// Frame number -> frame.
pub(super) const FRAMES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("frames");
/// Tier, start, series -> chunk.
pub(super) const CHUNKS: TableDefinition<'_, &[u8; 13], &[u8]> = TableDefinition::new("chunks");
/// Streams of metrics, as the ledger writes them.
pub(super) const STREAMS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("streams");
/// Id -> (time of writing in nanoseconds, value).
pub(super) const JOURNAL: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("journal");

/// Number -> row of the record, see `chain`.
pub(super) const CHAIN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chain");
/// Where the record ends.
pub(super) const CHAIN_MARK: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chain_mark");

/// The key of a chunk.
pub(super) fn chunk_key(tier: Tier, start_secs: u64, series: SeriesRef) -> [u8; 13] {
    let mut key = [0; 13];
    key[0] = tier.code();
    key[1..9].copy_from_slice(&start_secs.to_be_bytes());
    key[9..].copy_from_slice(&series.0.to_be_bytes());
    key
}

/// Start and series of a key.
pub(super) fn chunk_parts(key: &[u8; 13]) -> (u64, SeriesRef) {
    let (mut start, mut series) = ([0; 8], [0; 4]);
    start.copy_from_slice(&key[1..9]);
    series.copy_from_slice(&key[9..]);
    (u64::from_be_bytes(start), SeriesRef(u32::from_be_bytes(series)))
}
