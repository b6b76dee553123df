//! What can go wrong with a store, and what to do about it.

use std::path::PathBuf;
use thiserror::Error;

/// See the module.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error("the store {path} is in use by another process; stop it, or set another file_storage.directory")]
    InUse { path: PathBuf },
    #[error(
        "the store {path} has format {found}, newer than {supported}: run the burngate that wrote it, or newer"
    )]
    Newer {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    #[error("the store {path} cannot be opened: {reason}")]
    Open { path: PathBuf, reason: String },
    #[error("the disk of the store is full: free some space; nothing of this write was kept ({reason})")]
    DiskFull { reason: String },
    #[error("the store failed: {reason}")]
    Io { reason: String },
    #[error("the store is damaged: {reason}")]
    Corrupt { reason: String },
}
