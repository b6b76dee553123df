//! What survives a restart: a small trait, and two engines behind it.
//!
//! The problem: counts of a second must be durable within a second, at 10 k series a tick, and a `kill -9` at
//! any time must lose at most the last tick and no decision. One transaction a tick carries the frame of what
//! changed, a slice of the folding, and the dictionary's new rows; [`Keeper`] puts it together and knows the
//! order of steps. Rejected: a row a series and tick (five times the work of a frame), and a log of our own
//! (a log needs transactions as soon as decisions live beside it).

mod chain;
mod commit;
mod embedded;
mod error;
mod keeper;
mod keys;
mod memory;
mod names;
mod open;
mod restore;
mod tables;

pub use chain::{Append, Chain, ChainRow};
pub use commit::{Commit, EXPIRE_ROWS, JournalLimits, Meta, NameRow};
pub use embedded::RedbStore;
pub use error::StoreError;
pub use keeper::{Keeper, TickReport};
pub use keys::{KeyBook, Known};
pub use memory::MemStore;
pub use names::{NameKind, Names, in_lane, join, lane_of, split};
pub use open::{Opened, open_embedded};
pub use restore::Restored;

use crate::ledger::{History, SeriesRef};
use std::fmt;

/// Small durable records under a name: decisions, and what else must not be lost between two steps.
pub trait Journal: Send + Sync {
    /// Writes `value` under `id`; durable when this returns.
    fn put(&self, id: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Every record, ordered by id.
    fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
    /// How much it keeps from now on; what is beyond goes with the next writes.
    fn limit(&self, limits: JournalLimits);
}

/// What survives a restart.
pub trait Store: History + Journal + Chain + Send + Sync + fmt::Debug {
    /// What it remembers of itself.
    fn meta(&self) -> Result<Meta, StoreError>;
    /// Writes one tick, durable when this returns; after an error nothing of it is kept, and it can be tried
    /// again.
    fn commit(&self, commit: &Commit) -> Result<(), StoreError>;
    /// The dictionary's row of a name.
    fn find(&self, name: &[u8]) -> Result<Option<NameRow>, StoreError>;
    /// At most `limit` rows of the dictionary from number `from` on, ordered by number.
    fn names(&self, from: SeriesRef, limit: usize) -> Result<Vec<NameRow>, StoreError>;
    /// Every row of the streams of metrics.
    fn streams(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;
    /// Every frame, oldest first.
    fn frames(&self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError>;
}
