//! A store without a disk: tests, simulation, the demo.

use super::{Journal, Store, StoreError};
use crate::ledger::{Chunk, History, HistoryError, SeriesRef, Tier};

/// See the module.
#[derive(Debug, Default)]
pub struct MemStore {}

impl History for MemStore {
    fn chunk(
        &self,
        _tier: Tier,
        _start_secs: u64,
        _series: SeriesRef,
    ) -> Result<Option<Chunk>, HistoryError> {
        Ok(None)
    }

    fn scan(
        &self,
        _tier: Tier,
        _from_secs: u64,
        _to_secs: u64,
        _visit: &mut crate::ledger::ChunkVisitor<'_>,
    ) -> Result<(), HistoryError> {
        Ok(())
    }
}

impl Journal for MemStore {
    fn put(&self, _id: &str, _value: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
    fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }
}

impl Store for MemStore {}
