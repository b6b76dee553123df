//! What survives a restart: a small trait, and two engines behind it.

mod embedded;
mod error;
mod keeper;
mod memory;

pub use embedded::RedbStore;
pub use error::StoreError;
pub use keeper::{Keeper, Names, Restored, TickReport};
pub use memory::MemStore;

use crate::ledger::History;

/// Small durable records under a name: decisions, and what else must not be lost between two steps.
pub trait Journal: Send + Sync {
    /// Writes `value` under `id`; durable when this returns.
    fn put(&self, id: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Every record, ordered by id.
    fn all(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
}

/// What survives a restart.
pub trait Store: History + Journal + std::fmt::Debug {}
