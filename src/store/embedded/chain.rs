//! The record beside the journal, in tables of its own. They are additions to the layout: a release that does
//! not know them leaves them alone.

use super::transaction::{begin, put_journal};
use super::{RedbStore, failed};
use crate::store::tables::{CHAIN, CHAIN_MARK, JOURNAL};
use crate::store::{Append, Chain, ChainRow, StoreError};
use redb::ReadableDatabase;

/// The one key of the marks.
const END: &str = "end";

impl Chain for RedbStore {
    fn append(&self, append: &Append) -> Result<(), StoreError> {
        self.guarded(|database| {
            let write = begin(database)?;
            if let Some((id, value)) = &append.journal {
                put_journal(&write, id, value, self.limits())?;
            }
            {
                let mut rows = write.open_table(CHAIN).map_err(failed)?;
                for (number, row) in &append.rows {
                    rows.insert(number, row.as_slice()).map_err(failed)?;
                }
                rows.retain_in(..append.drop_before, |_, _| false)
                    .map_err(failed)?;
                let mut marks = write.open_table(CHAIN_MARK).map_err(failed)?;
                marks.insert(END, append.mark.as_slice()).map_err(failed)?;
            }
            write.commit().map_err(failed)
        })
    }

    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let marks = read.open_table(CHAIN_MARK).map_err(failed)?;
            let mark = marks.get(END).map_err(failed)?;
            Ok(mark.map(|mark| mark.value().to_vec()))
        })
    }

    fn rows_after(&self, after: u64, limit: usize) -> Result<Vec<ChainRow>, StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let rows = read.open_table(CHAIN).map_err(failed)?;
            let Some(from) = after.checked_add(1) else {
                return Ok(Vec::new());
            };
            let mut found = Vec::new();
            for row in rows.range(from..).map_err(failed)?.take(limit) {
                let (number, row) = row.map_err(failed)?;
                found.push((number.value(), row.value().to_vec()));
            }
            Ok(found)
        })
    }

    fn journal_row(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.guarded(|database| {
            let read = database.begin_read().map_err(failed)?;
            let journal = read.open_table(JOURNAL).map_err(failed)?;
            let row = journal.get(id).map_err(failed)?;
            Ok(row.map(|row| row.value().1.to_vec()))
        })
    }
}
