//! What is read of the file, and what calls for a transaction: the store's traits.

use super::transaction::{begin, put_journal, write_all};
use super::{RedbStore, decoded, failed};
use crate::ledger::{Chunk, ChunkVisitor, History, HistoryError, SeriesRef, SeriesState, Tier};
use crate::store::tables::{
    CHUNKS, FRAMES, IDS, JOURNAL, META, NAMES, STATES, STREAMS, chunk_key, chunk_parts,
};
use crate::store::{Commit, Journal, JournalLimits, Meta, NameRow, Store, StoreError};
use crate::time::UnixNanos;
use redb::{Database, ReadableDatabase, ReadableTable};
use std::sync::PoisonError;

impl RedbStore {
    pub(super) fn limits(&self) -> JournalLimits {
        *self.journal_limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "reads as a conversion in map_err")]
fn as_history(error: StoreError) -> HistoryError {
    HistoryError {
        damaged: error.is_damage(),
        reason: error.to_string(),
    }
}

impl History for RedbStore {
    fn chunk(&self, tier: Tier, start_secs: u64, series: SeriesRef) -> Result<Option<Chunk>, HistoryError> {
        let read = |database: &Database| {
            let read = database.begin_read().map_err(failed)?;
            let chunks = read.open_table(CHUNKS).map_err(failed)?;
            let row = chunks.get(&chunk_key(tier, start_secs, series)).map_err(failed)?;
            row.map(|row| decoded(row.value())).transpose()
        };
        self.guarded(read).map_err(as_history)
    }

    fn scan(
        &self,
        tier: Tier,
        from_secs: u64,
        to_secs: u64,
        visit: &mut ChunkVisitor<'_>,
    ) -> Result<(), HistoryError> {
        let read = |database: &Database| {
            let read = database.begin_read().map_err(failed)?;
            let chunks = read.open_table(CHUNKS).map_err(failed)?;
            let (from, to) = (
                chunk_key(tier, from_secs, SeriesRef(0)),
                chunk_key(tier, to_secs.max(from_secs), SeriesRef(0)),
            );
            for row in chunks.range::<&[u8; 13]>(&from..&to).map_err(failed)? {
                let (key, row) = row.map_err(failed)?;
                let (start, series) = chunk_parts(key.value());
                visit(start, series, decoded(row.value())?);
            }
            Ok(())
        };
        self.guarded(read).map_err(as_history)
    }
}

impl Journal for RedbStore {
    fn put(&self, id: &str, value: &[u8]) -> Result<(), StoreError> {
        self.guarded(|database| {
            let write = begin(database)?;
            put_journal(&write, id, value, self.limits())?;
            write.commit().map_err(failed)
        })
    }

    fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let journal = read.open_table(JOURNAL).map_err(failed)?;
            let mut rows = Vec::new();
            for row in journal.iter().map_err(failed)? {
                let (id, row) = row.map_err(failed)?;
                rows.push((id.value().to_owned(), row.value().1.to_vec()));
            }
            Ok(rows)
        })
    }

    fn limit(&self, limits: JournalLimits) {
        *self.journal_limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

impl Store for RedbStore {
    fn meta(&self) -> Result<Meta, StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let meta = read.open_table(META).map_err(failed)?;
            let value = |key: &str| meta.get(key).map_err(failed).map(|v| v.map_or(0, |v| v.value()));
            let next_series = u32::try_from(value("next_series")?).unwrap_or(u32::MAX);
            Ok(Meta {
                now: UnixNanos(value("now")?),
                next_series,
            })
        })
    }

    fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        self.guarded(|database| {
            let write = begin(database)?;
            write_all(&write, commit, self.limits())?;
            write.commit().map_err(failed)
        })
    }

    fn find(&self, name: &[u8]) -> Result<Option<NameRow>, StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let ids = read.open_table(IDS).map_err(failed)?;
            let Some(id) = ids.get(name).map_err(failed)?.map(|id| id.value()) else {
                return Ok(None);
            };
            let states = read.open_table(STATES).map_err(failed)?;
            let state = states.get(id).map_err(failed)?;
            let state = state
                .map(|s| state_of(s.value()))
                .transpose()?
                .unwrap_or_default();
            Ok(Some(NameRow {
                id: SeriesRef(id),
                name: name.to_vec(),
                state,
            }))
        })
    }

    fn names(&self, from: SeriesRef, limit: usize) -> Result<Vec<NameRow>, StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let names = read.open_table(NAMES).map_err(failed)?;
            let states = read.open_table(STATES).map_err(failed)?;
            let mut rows = Vec::new();
            for row in names.range(from.0..).map_err(failed)?.take(limit) {
                let (id, name) = row.map_err(failed)?;
                let state = states.get(id.value()).map_err(failed)?;
                let state = state
                    .map(|s| state_of(s.value()))
                    .transpose()?
                    .unwrap_or_default();
                rows.push(NameRow {
                    id: SeriesRef(id.value()),
                    name: name.value().to_vec(),
                    state,
                });
            }
            Ok(rows)
        })
    }

    fn streams(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let streams = read.open_table(STREAMS).map_err(failed)?;
            for row in streams.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                visit(key.value(), value.value());
            }
            Ok(())
        })
    }

    fn frames(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let frames = read.open_table(FRAMES).map_err(failed)?;
            for row in frames.iter().map_err(failed)? {
                let (number, bytes) = row.map_err(failed)?;
                visit(number.value(), bytes.value());
            }
            Ok(())
        })
    }
}

fn state_of(bytes: &[u8]) -> Result<SeriesState, StoreError> {
    SeriesState::decode(bytes).ok_or_else(|| StoreError::Corrupt {
        reason: "a series' state cannot be read".to_owned(),
    })
}
