//! The embedded store: redb, one file, one transaction a tick.
//!
//! Two-phase commit and quick repair make a crash at any time cost nothing but the transaction under way, and
//! reopening a matter of milliseconds. redb may panic on a file that the disk has damaged, so every call is
//! guarded: a panic becomes an error, and the caller sets the file aside. After an I/O error redb refuses
//! further work; the file is then opened anew with the next call, so that freeing a full disk is all that an
//! operator must do.

use super::tables::{CHUNKS, FORMAT, FRAMES, IDS, JOURNAL, META, NAMES, STATES, chunk_key, chunk_parts};
use super::{Commit, EXPIRE_ROWS, JOURNAL_ROWS, JOURNAL_SECS, Journal, Meta, NameRow, Store, StoreError};
use crate::ledger::{Chunk, ChunkVisitor, History, HistoryError, SeriesRef, SeriesState, Tier};
use crate::time::UnixNanos;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageError, WriteTransaction,
};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
            write.open_table(JOURNAL).map_err(failed)?;
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

fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut write = database.begin_write().map_err(failed)?;
    write.set_durability(Durability::Immediate).map_err(failed)?;
    write.set_two_phase_commit(true);
    write.set_quick_repair(true);
    Ok(write)
}

fn decoded(bytes: &[u8]) -> Result<Chunk, StoreError> {
    Chunk::decode(bytes).ok_or_else(|| StoreError::Corrupt {
        reason: "a chunk cannot be read".to_owned(),
    })
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
            put_journal(&write, id, value)?;
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
}

/// Writes one row, dated by the last commit, and keeps the journal below its cap.
fn put_journal(write: &WriteTransaction, id: &str, value: &[u8]) -> Result<(), StoreError> {
    let now = write
        .open_table(META)
        .map_err(failed)?
        .get("now")
        .map_err(failed)?
        .map_or(0, |v| v.value());
    let mut journal = write.open_table(JOURNAL).map_err(failed)?;
    journal.insert(id, (now, value)).map_err(failed)?;
    if journal.len().map_err(failed)? > JOURNAL_ROWS as u64 {
        let mut oldest: Option<(u64, String)> = None;
        for row in journal.iter().map_err(failed)? {
            let (id, row) = row.map_err(failed)?;
            let at = row.value().0;
            if oldest.as_ref().is_none_or(|(oldest, _)| at < *oldest) {
                oldest = Some((at, id.value().to_owned()));
            }
        }
        if let Some((_, id)) = oldest {
            journal.remove(id.as_str()).map_err(failed)?;
        }
    }
    Ok(())
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
            let before = write_meta(&write, commit)?;
            write_names(&write, commit)?;
            write_chunks(&write, commit)?;
            write_frames(&write, commit)?;
            write_journal(&write, commit, before)?;
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

/// Returns the ledger time of the commit before.
fn write_meta(write: &WriteTransaction, commit: &Commit) -> Result<UnixNanos, StoreError> {
    let mut meta = write.open_table(META).map_err(failed)?;
    meta.insert("next_series", u64::from(commit.next_series))
        .map_err(failed)?;
    let before = meta
        .insert("now", commit.now.0)
        .map_err(failed)?
        .map_or(0, |before| before.value());
    Ok(UnixNanos(before))
}

fn write_names(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    let mut names = write.open_table(NAMES).map_err(failed)?;
    let mut ids = write.open_table(IDS).map_err(failed)?;
    let mut states = write.open_table(STATES).map_err(failed)?;
    for (id, name) in &commit.names {
        names.insert(id.0, name.as_slice()).map_err(failed)?;
        ids.insert(name.as_slice(), id.0).map_err(failed)?;
    }
    for (id, state) in &commit.fold.states {
        states.insert(id.0, state.encode().as_slice()).map_err(failed)?;
    }
    for id in &commit.forget {
        if let Some(name) = names.remove(id.0).map_err(failed)? {
            ids.remove(name.value()).map_err(failed)?;
        }
        states.remove(id.0).map_err(failed)?;
    }
    Ok(())
}

fn write_chunks(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    let mut chunks = write.open_table(CHUNKS).map_err(failed)?;
    for row in &commit.fold.chunks {
        let key = chunk_key(row.tier, row.start_secs, row.series);
        let bytes = if row.tier == Tier::Days {
            let old = chunks
                .get(&key)
                .map_err(failed)?
                .map(|old| decoded(old.value()))
                .transpose()?;
            let mut day = old.unwrap_or_default();
            day.merge(&row.chunk);
            day.encode()
        } else {
            row.chunk.encode()
        };
        chunks.insert(&key, bytes.as_slice()).map_err(failed)?;
    }
    for &(tier, before_secs) in &commit.expire {
        let (from, to) = (
            chunk_key(tier, 0, SeriesRef(0)),
            chunk_key(tier, before_secs, SeriesRef(0)),
        );
        for gone in chunks
            .extract_from_if::<&[u8; 13], _>(&from..&to, |_, _| true)
            .map_err(failed)?
            .take(EXPIRE_ROWS)
        {
            gone.map_err(failed)?;
        }
    }
    Ok(())
}

fn write_frames(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    let mut frames = write.open_table(FRAMES).map_err(failed)?;
    if let Some((number, bytes)) = &commit.frame {
        frames.insert(number, bytes.as_slice()).map_err(failed)?;
    }
    frames
        .retain_in(..commit.frames_before, |_, _| false)
        .map_err(failed)
}

fn write_journal(write: &WriteTransaction, commit: &Commit, before: UnixNanos) -> Result<(), StoreError> {
    for (id, value) in &commit.journal {
        put_journal(write, id, value)?;
    }
    // Once an hour is enough for rows that are kept for 400 days.
    if commit.now.secs() / 3_600 != before.secs() / 3_600 {
        let oldest = commit.now.minus_secs(JOURNAL_SECS).0;
        let mut journal = write.open_table(JOURNAL).map_err(failed)?;
        journal.retain(|_, (at, _)| at >= oldest).map_err(failed)?;
    }
    Ok(())
}
