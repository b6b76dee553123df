//! The embedded store: redb, one file, one transaction a tick.
//!
//! Two-phase commit and quick repair make a crash at any time cost nothing but the transaction under way, and
//! reopening a matter of milliseconds. redb may panic on a file that the disk has damaged, so every call is
//! guarded: a panic becomes an error, and the caller sets the file aside. After an I/O error redb refuses
//! further work; the file is then opened anew with the next call, so that freeing a full disk is all that an
//! operator must do.
//!
//! Here: the file, open and guarded. What is read of it stands in `rows`, what a transaction writes in
//! `transaction`.

mod chain;
mod rows;
mod transaction;

use super::tables::{CHAIN, CHAIN_MARK, CHUNKS, FORMAT, FRAMES, IDS, JOURNAL, META, NAMES, STATES, STREAMS};
use super::{JournalLimits, StoreError};
use crate::ledger::Chunk;
use redb::{Builder, Database, DatabaseError, ReadableTable, StorageError};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use transaction::begin;

/// Page cache, in bytes.
const CACHE_BYTES: usize = 8 << 20;
/// Name of the file in its directory.
pub(super) const FILE_NAME: &str = "burngate.redb";

/// See the module.
pub struct RedbStore {
    path: PathBuf,
    open: OpenDatabase,
    /// `None` between an I/O error and the next call.
    database: Mutex<Option<Database>>,
    journal_limits: Mutex<JournalLimits>,
}

/// How the database is opened, also after an error.
type OpenDatabase = Box<dyn Fn(&Builder) -> Result<Database, DatabaseError> + Send + Sync>;

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Whether a store was ever made in `directory`.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE_NAME).is_file()
    }

    /// Opens (or makes) the file in `directory`. A damaged file is an error here; [`super::open_embedded`]
    /// sets it aside.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        let cannot = |reason: std::io::Error| StoreError::Open {
            path: path.clone(),
            reason: reason.to_string(),
        };
        std::fs::create_dir_all(directory).map_err(cannot)?;
        let file = path.clone();
        Self::with(path, Box::new(move |builder| builder.create(&file)))
    }

    pub(super) fn with(path: PathBuf, open: OpenDatabase) -> Result<Self, StoreError> {
        let store = Self {
            path,
            open,
            database: Mutex::new(None),
            journal_limits: Mutex::default(),
        };
        store.guarded(|database| store.prepare(database))?;
        Ok(store)
    }

    /// Makes the tables of a new file, refuses those of a newer burngate.
    fn prepare(&self, database: &Database) -> Result<(), StoreError> {
        let write = begin(database)?;
        {
            let mut meta = write.open_table(META).map_err(failed)?;
            let found = meta.get("format").map_err(failed)?.map(|v| v.value());
            match found {
                None => {
                    meta.insert("format", u64::from(FORMAT)).map_err(failed)?;
                }
                Some(found) if found > u64::from(FORMAT) => {
                    let found = u32::try_from(found).unwrap_or(u32::MAX);
                    return Err(StoreError::Newer {
                        path: self.path.clone(),
                        found,
                        supported: FORMAT,
                    });
                }
                Some(_) => {}
            }
            write.open_table(NAMES).map_err(failed)?;
            write.open_table(IDS).map_err(failed)?;
            write.open_table(STATES).map_err(failed)?;
            write.open_table(FRAMES).map_err(failed)?;
            write.open_table(CHUNKS).map_err(failed)?;
            write.open_table(STREAMS).map_err(failed)?;
            write.open_table(JOURNAL).map_err(failed)?;
            write.open_table(CHAIN).map_err(failed)?;
            write.open_table(CHAIN_MARK).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// Runs `work` on the open database; opens it if need be.
    fn guarded<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let open = self.opened(&mut database)?;
            work(open)
        }));
        let outcome = outcome.unwrap_or_else(|panic| {
            Err(StoreError::Corrupt {
                reason: panic_words(&panic),
            })
        });
        let broken = matches!(
            outcome,
            Err(StoreError::Io { .. } | StoreError::DiskFull { .. } | StoreError::Corrupt { .. })
        );
        if broken {
            close(database.take(), &self.path);
        }
        outcome
    }

    fn opened<'d>(
        &self,
        database: &'d mut MutexGuard<'_, Option<Database>>,
    ) -> Result<&'d Database, StoreError> {
        if database.is_none() {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            **database = Some((self.open)(&builder).map_err(|error| self.not_opened(error))?);
        }
        database.as_ref().ok_or_else(|| StoreError::Io {
            reason: "the store is closed".to_owned(),
        })
    }

    fn not_opened(&self, error: DatabaseError) -> StoreError {
        let path = self.path.clone();
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                StoreError::InUse { path }
            }
            DatabaseError::Storage(StorageError::Io(error))
                if error.kind() != std::io::ErrorKind::InvalidData
                    && error.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                match failed(StorageError::Io(error)) {
                    full @ StoreError::DiskFull { .. } => full,
                    other => StoreError::Open {
                        path,
                        reason: other.to_string(),
                    },
                }
            }
            DatabaseError::UpgradeRequired(found) => StoreError::Newer {
                path,
                found: u32::from(found),
                supported: FORMAT,
            },
            error => StoreError::Corrupt {
                reason: error.to_string(),
            },
        }
    }

    /// Checks every page's checksum; for a test, a tool, or a copy.
    pub fn check_integrity(&self) -> Result<bool, StoreError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        match database.as_mut() {
            Some(database) => database.check_integrity().map_err(|e| StoreError::Corrupt {
                reason: e.to_string(),
            }),
            None => Ok(false),
        }
    }
}

/// Closing touches the same disk and the same pages; what goes wrong then is found by the next opening.
fn close(database: Option<Database>, path: &Path) {
    if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
        tracing::warn!(path = %path.display(), "closing the store failed");
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        close(database.take(), &self.path);
    }
}

fn panic_words(panic: &Box<dyn std::any::Any + Send>) -> String {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "the storage engine gave up: {}",
        words.unwrap_or("no reason given")
    )
}

/// Any error of redb as ours.
fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => StoreError::DiskFull {
            reason: error.to_string(),
        },
        redb::Error::Corrupted(reason) => StoreError::Corrupt { reason },
        error @ (redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. }) => {
            StoreError::Corrupt {
                reason: error.to_string(),
            }
        }
        error => StoreError::Io {
            reason: error.to_string(),
        },
    }
}

fn decoded(bytes: &[u8]) -> Result<Chunk, StoreError> {
    Chunk::decode(bytes).ok_or_else(|| StoreError::Corrupt {
        reason: "a chunk cannot be read".to_owned(),
    })
}
