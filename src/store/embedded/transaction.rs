//! What one transaction writes.

use super::{decoded, failed};
use crate::ledger::{SeriesRef, Tier};
use crate::store::tables::{CHUNKS, FRAMES, IDS, JOURNAL, META, NAMES, STATES, STREAMS, chunk_key};
use crate::store::{Commit, EXPIRE_ROWS, JournalLimits, StoreError};
use crate::time::UnixNanos;
use redb::{Database, Durability, ReadableTable, ReadableTableMetadata, WriteTransaction};

pub(super) fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut write = database.begin_write().map_err(failed)?;
    write.set_durability(Durability::Immediate).map_err(failed)?;
    write.set_two_phase_commit(true);
    write.set_quick_repair(true);
    Ok(write)
}

/// All of a tick.
pub(super) fn write_all(
    write: &WriteTransaction,
    commit: &Commit,
    limits: JournalLimits,
) -> Result<(), StoreError> {
    let before = write_meta(write, commit)?;
    write_names(write, commit)?;
    write_chunks(write, commit)?;
    write_frames(write, commit)?;
    write_streams(write, commit)?;
    write_journal(write, commit, before, limits)
}

fn write_streams(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    if commit.streams.is_empty() {
        return Ok(());
    }
    let mut streams = write.open_table(STREAMS).map_err(failed)?;
    for (key, value) in &commit.streams {
        match value {
            Some(value) => streams.insert(key.as_slice(), value.as_slice()).map_err(failed)?,
            None => streams.remove(key.as_slice()).map_err(failed)?,
        };
    }
    Ok(())
}

/// Writes one row, dated by the last commit, and keeps the journal below its cap: the oldest go, and never
/// the one that is being written.
pub(super) fn put_journal(
    write: &WriteTransaction,
    id: &str,
    value: &[u8],
    limits: JournalLimits,
) -> Result<(), StoreError> {
    let now = write
        .open_table(META)
        .map_err(failed)?
        .get("now")
        .map_err(failed)?
        .map_or(0, |v| v.value());
    let mut journal = write.open_table(JOURNAL).map_err(failed)?;
    journal.insert(id, (now, value)).map_err(failed)?;
    let most = limits.rows.max(1);
    let len = usize::try_from(journal.len().map_err(failed)?).unwrap_or(usize::MAX);
    if len > most && !JournalLimits::is_guest(id) {
        let mut others = Vec::new();
        for row in journal.iter().map_err(failed)? {
            let (other, row) = row.map_err(failed)?;
            if other.value() != id && !JournalLimits::is_guest(other.value()) {
                others.push((row.value().0, other.value().to_owned()));
            }
        }
        others.sort_unstable();
        let excess = (others.len() + 1).saturating_sub(most);
        for (_, oldest) in others.iter().take(excess) {
            journal.remove(oldest.as_str()).map_err(failed)?;
        }
        metrics::counter!("burngate_journal_forgotten_total").increment(excess as u64);
    }
    metrics::gauge!("burngate_journal_rows").set(journal.len().map_err(failed)? as f64);
    Ok(())
}

/// Returns the ledger time of the commit before.
fn write_meta(write: &WriteTransaction, commit: &Commit) -> Result<UnixNanos, StoreError> {
    let mut meta = write.open_table(META).map_err(failed)?;
    meta.insert("next_series", u64::from(commit.next_series))
        .map_err(failed)?;
    let before = meta
        .insert("now", commit.now.0)
        .map_err(failed)?
        .map_or(0, |before| before.value());
    Ok(UnixNanos(before))
}

fn write_names(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    let mut names = write.open_table(NAMES).map_err(failed)?;
    let mut ids = write.open_table(IDS).map_err(failed)?;
    let mut states = write.open_table(STATES).map_err(failed)?;
    for (id, name) in &commit.names {
        names.insert(id.0, name.as_slice()).map_err(failed)?;
        ids.insert(name.as_slice(), id.0).map_err(failed)?;
    }
    for (id, state) in &commit.fold.states {
        states.insert(id.0, state.encode().as_slice()).map_err(failed)?;
    }
    for id in &commit.forget {
        if let Some(name) = names.remove(id.0).map_err(failed)? {
            ids.remove(name.value()).map_err(failed)?;
        }
        states.remove(id.0).map_err(failed)?;
    }
    Ok(())
}

fn write_chunks(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
    for row in &commit.fold.chunks {
        let key = chunk_key(row.tier, row.start_secs, row.series);
        let bytes = if row.tier == Tier::Days {
            let old = chunks
                .get(&key)
                .map_err(failed)?
                .map(|old| decoded(old.value()))
                .transpose()?;
            let mut day = old.unwrap_or_default();
            day.merge(&row.chunk);
            day.encode()
        } else {
            row.chunk.encode()
        };
        chunks.insert(&key, bytes.as_slice()).map_err(failed)?;
    }
    for &(tier, before_secs) in &commit.expire {
        let (from, to) = (
            chunk_key(tier, 0, SeriesRef(0)),
            chunk_key(tier, before_secs, SeriesRef(0)),
        );
        for gone in chunks
            .extract_from_if::<&[u8; 13], _>(&from..&to, |_, _| true)
            .map_err(failed)?
            .take(EXPIRE_ROWS)
        {
            gone.map_err(failed)?;
        }
    }
    Ok(())
}

fn write_frames(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    let mut frames = write.open_table(FRAMES).map_err(failed)?;
    if let Some((number, bytes)) = &commit.frame {
        frames.insert(number, bytes.as_slice()).map_err(failed)?;
    }
    frames
        .retain_in(..commit.frames_before, |_, _| false)
        .map_err(failed)
}

fn write_journal(
    write: &WriteTransaction,
    commit: &Commit,
    before: UnixNanos,
    limits: JournalLimits,
) -> Result<(), StoreError> {
    for (id, value) in &commit.journal {
        put_journal(write, id, value, limits)?;
    }
    // Once an hour is enough for rows that are kept for days.
    if commit.now.secs() / 3_600 != before.secs() / 3_600 {
        let mut journal = write.open_table(JOURNAL).map_err(failed)?;
        journal
            .retain(|id, (at, _)| limits.keeps(id, UnixNanos(at), commit.now))
            .map_err(failed)?;
        metrics::gauge!("burngate_journal_rows").set(journal.len().map_err(failed)? as f64);
    }
    Ok(())
}
