//! Numbered rows that are only appended to at their end and dropped at their beginning.
//!
//! The problem: a record of what happened must not differ from what the journal says happened. So a row of
//! the journal and the rows that record its change are one transaction, and so is the mark that says where
//! the record ends. Rejected: the record as rows of the journal, whose keys would have to be sorted by hand
//! and whose limits (the oldest of any kind go) would tear holes into it.

use super::StoreError;

/// What one transaction brings; all of it or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// A row of the journal, by its id.
    pub journal: Option<(String, Vec<u8>)>,
    /// New rows with their numbers, each higher than any before.
    pub rows: Vec<(u64, Vec<u8>)>,
    /// Where the record stands after them.
    pub mark: Vec<u8>,
    /// Rows below this number go.
    pub drop_before: u64,
}

/// A numbered row.
pub type ChainRow = (u64, Vec<u8>);

/// See the module.
pub trait Chain: Send + Sync {
    /// Writes; durable when this returns. After an error nothing of it is kept.
    fn append(&self, append: &Append) -> Result<(), StoreError>;
    /// The mark of the last [`Chain::append`].
    fn mark(&self) -> Result<Option<Vec<u8>>, StoreError>;
    /// At most `limit` rows with numbers above `after`, in their order.
    fn rows_after(&self, after: u64, limit: usize) -> Result<Vec<ChainRow>, StoreError>;
    /// The row of the journal under `id`.
    fn journal_row(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError>;
}
