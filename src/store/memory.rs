//! A store without a disk: tests, simulation, the demo.

use super::{
    Append, Chain, ChainRow, Commit, EXPIRE_ROWS, Journal, JournalLimits, Meta, NameRow, Store, StoreError,
};
use crate::ledger::{Chunk, ChunkVisitor, History, HistoryError, SeriesRef, SeriesState, Tier};
use crate::time::UnixNanos;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module. It keeps what a disk would, so that a ledger can be restored from it.
#[derive(Debug, Default)]
pub struct MemStore {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    meta: Meta,
    names: BTreeMap<SeriesRef, (Vec<u8>, SeriesState)>,
    ids: HashMap<Vec<u8>, SeriesRef>,
    frames: BTreeMap<u64, Vec<u8>>,
    chunks: BTreeMap<(u8, u64, SeriesRef), Vec<u8>>,
    streams: BTreeMap<Vec<u8>, Vec<u8>>,
    journal: BTreeMap<String, (UnixNanos, Vec<u8>)>,
    journal_limits: JournalLimits,
    chain: BTreeMap<u64, Vec<u8>>,
    chain_mark: Option<Vec<u8>>,
}

impl MemStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows it holds: chunks, frames, names.
    pub fn rows(&self) -> (usize, usize, usize) {
        let tables = self.lock();
        (tables.chunks.len(), tables.frames.len(), tables.names.len())
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn row(&self, id: SeriesRef) -> Option<NameRow> {
        let (name, state) = self.names.get(&id)?;
        Some(NameRow {
            id,
            name: name.clone(),
            state: *state,
        })
    }

    fn put_journal(&mut self, id: &str, value: &[u8]) {
        self.journal
            .insert(id.to_owned(), (self.meta.now, value.to_vec()));
        let decisions =
            |journal: &BTreeMap<String, _>| journal.keys().filter(|id| !JournalLimits::is_guest(id)).count();
        while !JournalLimits::is_guest(id) && decisions(&self.journal) > self.journal_limits.rows {
            let others = self.journal.iter();
            let others = others.filter(|(other, _)| *other != id && !JournalLimits::is_guest(other));
            let oldest = others.min_by_key(|(_, (at, _))| *at).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { return };
            self.journal.remove(&oldest);
            metrics::counter!("burngate_journal_forgotten_total").increment(1);
        }
        metrics::gauge!("burngate_journal_rows").set(self.journal.len() as f64);
    }
}

fn damaged() -> HistoryError {
    HistoryError {
        reason: "a chunk cannot be read".to_owned(),
        damaged: true,
    }
}

impl History for MemStore {
    fn chunk(&self, tier: Tier, start_secs: u64, series: SeriesRef) -> Result<Option<Chunk>, HistoryError> {
        let tables = self.lock();
        let row = tables.chunks.get(&(tier.code(), start_secs, series));
        row.map(|bytes| Chunk::decode(bytes).ok_or_else(damaged))
            .transpose()
    }

    fn scan(
        &self,
        tier: Tier,
        from_secs: u64,
        to_secs: u64,
        visit: &mut ChunkVisitor<'_>,
    ) -> Result<(), HistoryError> {
        let tables = self.lock();
        let range =
            (tier.code(), from_secs, SeriesRef(0))..(tier.code(), to_secs.max(from_secs), SeriesRef(0));
        for (&(_, start, series), bytes) in tables.chunks.range(range) {
            visit(start, series, Chunk::decode(bytes).ok_or_else(damaged)?);
        }
        Ok(())
    }
}

impl Journal for MemStore {
    fn put(&self, id: &str, value: &[u8]) -> Result<(), StoreError> {
        self.lock().put_journal(id, value);
        Ok(())
    }

    fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(self
            .lock()
            .journal
            .iter()
            .map(|(id, (_, value))| (id.clone(), value.clone()))
            .collect())
    }

    fn limit(&self, limits: JournalLimits) {
        self.lock().journal_limits = limits;
    }
}

impl Chain for MemStore {
    fn append(&self, append: &Append) -> Result<(), StoreError> {
        let mut tables = self.lock();
        if let Some((id, value)) = &append.journal {
            tables.put_journal(id, value);
        }
        tables.chain.extend(append.rows.iter().cloned());
        tables.chain = tables.chain.split_off(&append.drop_before);
        tables.chain_mark = Some(append.mark.clone());
        Ok(())
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().chain_mark.clone())
    }

    fn rows_after(&self, after: u64, limit: usize) -> Result<Vec<ChainRow>, StoreError> {
        let tables = self.lock();
        let rows = after.checked_add(1).map(|from| tables.chain.range(from..));
        let rows = rows.into_iter().flatten().take(limit);
        Ok(rows.map(|(number, row)| (*number, row.clone())).collect())
    }

    fn journal_row(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().journal.get(id).map(|(_, value)| value.clone()))
    }
}

impl Store for MemStore {
    fn meta(&self) -> Result<Meta, StoreError> {
        Ok(self.lock().meta)
    }

    fn streams(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.lock()
            .streams
            .iter()
            .for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut tables = self.lock();
        for (key, value) in &commit.streams {
            match value {
                Some(value) => tables.streams.insert(key.clone(), value.clone()),
                None => tables.streams.remove(key),
            };
        }
        tables.meta = Meta {
            now: commit.now,
            next_series: commit.next_series,
        };
        for (id, name) in &commit.names {
            tables.names.insert(*id, (name.clone(), SeriesState::default()));
            tables.ids.insert(name.clone(), *id);
        }
        for &(id, state) in &commit.fold.states {
            if let Some(row) = tables.names.get_mut(&id) {
                row.1 = state;
            }
        }
        for row in &commit.fold.chunks {
            let key = (row.tier.code(), row.start_secs, row.series);
            let old = tables.chunks.get(&key).filter(|_| row.tier == Tier::Days);
            let mut chunk = old.and_then(|bytes| Chunk::decode(bytes)).unwrap_or_default();
            chunk.merge(&row.chunk);
            tables.chunks.insert(key, chunk.encode());
        }
        if let Some((number, bytes)) = &commit.frame {
            tables.frames.insert(*number, bytes.clone());
        }
        tables.frames = tables.frames.split_off(&commit.frames_before);
        for &(tier, before) in &commit.expire {
            let range = (tier.code(), 0, SeriesRef(0))..(tier.code(), before, SeriesRef(0));
            let gone: Vec<_> = tables
                .chunks
                .range(range)
                .map(|(&key, _)| key)
                .take(EXPIRE_ROWS)
                .collect();
            for key in gone {
                tables.chunks.remove(&key);
            }
        }
        for id in &commit.forget {
            if let Some((name, _)) = tables.names.remove(id) {
                tables.ids.remove(&name);
            }
        }
        for (id, value) in &commit.journal {
            tables.put_journal(id, value);
        }
        let limits = tables.journal_limits;
        tables
            .journal
            .retain(|id, (at, _)| limits.keeps(id, *at, commit.now));
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<Option<NameRow>, StoreError> {
        let tables = self.lock();
        Ok(tables.ids.get(name).and_then(|&id| tables.row(id)))
    }

    fn names(&self, from: SeriesRef, limit: usize) -> Result<Vec<NameRow>, StoreError> {
        let tables = self.lock();
        Ok(tables
            .names
            .range(from..)
            .take(limit)
            .filter_map(|(&id, _)| tables.row(id))
            .collect())
    }

    fn frames(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        self.lock()
            .frames
            .iter()
            .for_each(|(&number, bytes)| visit(number, bytes));
        Ok(())
    }
}
