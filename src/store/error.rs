//! What can go wrong with a store, and what to do about it.

use crate::ledger::HistoryError;
use std::path::PathBuf;
use thiserror::Error;

/// See the module.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error("the store {path} is in use by another process; stop it, or set another file_storage.directory")]
    InUse { path: PathBuf },
    #[error(
        "the store {path} has format {found}, newer than {supported}: run the burngate that wrote it, or a newer one"
    )]
    Newer {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    #[error("the store {path} cannot be opened: {reason}")]
    Open { path: PathBuf, reason: String },
    #[error("the disk of the store is full ({reason}): free some space; nothing of this write was kept")]
    DiskFull { reason: String },
    #[error("the store failed: {reason}; nothing of this write was kept")]
    Io { reason: String },
    #[error("the store is damaged: {reason}")]
    Corrupt { reason: String },
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl StoreError {
    /// Whether the file itself is damaged, so that only setting it aside helps.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. } | Self::History(HistoryError { damaged: true, .. })
        )
    }
}
