//! The log: which file is written, which are waited for, how much there is.

use super::record::{HEAD, Head, checksum};
use super::segment::{Record, Segment, numbers};
use crate::pipeline::Signal;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::Notify;

/// Largest file; also a bound of what one damaged place can hide.
const SEGMENT_MAX: u64 = 16 << 20;
/// Size from which a file whose every record is sent is given up for a new one.
const ROLL_MIN: u64 = 1 << 20;

/// What a configuration says about the log.
#[derive(Clone, Copy, Debug)]
pub(in crate::forward) struct Limits {
    /// Bytes in all files.
    pub(in crate::forward) bytes: u64,
    /// Whether each write is forced to the device.
    pub(in crate::forward) fsync: bool,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(in crate::forward) enum AppendError {
    /// The queue's own limit.
    #[error("the queue on disk has reached its limit of {0} MiB")]
    Full(u64),
    /// The disk's.
    #[error("the disk is full")]
    DiskFull,
    /// Anything else.
    #[error("the queue cannot be written: {0}")]
    Io(io::Error),
}

/// A folder of segments, shared by whoever opens it within the process: over a reload the old exporter may
/// still be sending while the new one already writes.
#[derive(Debug)]
pub(in crate::forward) struct Log {
    folder: PathBuf,
    writer: Mutex<Writer>,
    /// Found at the start and not looked through yet, oldest first; and what an instance gave back.
    backlog: Mutex<Backlog>,
    news: Notify,
    used: AtomicU64,
    limit: AtomicU64,
    fsync: AtomicBool,
    /// Held as long as the log is open.
    _lock: File,
}

#[derive(Debug, Default)]
struct Writer {
    current: Option<Arc<Segment>>,
    next: u64,
}

#[derive(Debug, Default)]
struct Backlog {
    segments: VecDeque<u64>,
    returned: Vec<Record>,
}

/// A part of the backlog.
#[derive(Debug, Default)]
pub(in crate::forward) struct Found {
    /// Batches to send.
    pub(in crate::forward) records: Vec<Record>,
    /// Damaged places that were hopped over.
    pub(in crate::forward) corrupt: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs that are open in this process.
fn open_logs() -> &'static Mutex<HashMap<PathBuf, Weak<Log>>> {
    static OPEN: OnceLock<Mutex<HashMap<PathBuf, Weak<Log>>>> = OnceLock::new();
    OPEN.get_or_init(Mutex::default)
}

impl Log {
    /// Opens the log in `folder`, which is made when missing. Nothing is read yet.
    pub(in crate::forward) fn open(folder: &Path, limits: Limits) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let mut open = locked(open_logs());
        if let Some(log) = open.get(&folder).and_then(Weak::upgrade) {
            log.limit(limits);
            return Ok(log);
        }
        let lock = File::create(folder.join("LOCK"))?;
        lock.try_lock().map_err(|_| {
            io::Error::new(io::ErrorKind::ResourceBusy, "another process has this queue open")
        })?;
        let segments = numbers(&folder)?;
        let size = |number: &u64| {
            std::fs::metadata(folder.join(format!("{number:020}.log"))).map_or(0, |it| it.len())
        };
        let log = Arc::new(Self {
            writer: Mutex::new(Writer {
                current: None,
                next: segments.last().map_or(1, |last| last + 1),
            }),
            used: AtomicU64::new(segments.iter().map(size).sum()),
            backlog: Mutex::new(Backlog {
                segments: segments.into(),
                returned: Vec::new(),
            }),
            news: Notify::new(),
            limit: AtomicU64::new(0),
            fsync: AtomicBool::new(false),
            folder: folder.clone(),
            _lock: lock,
        });
        log.limit(limits);
        open.retain(|_, log| log.strong_count() > 0);
        open.insert(folder, Arc::downgrade(&log));
        Ok(log)
    }

    fn limit(&self, limits: Limits) {
        self.limit.store(limits.bytes, Ordering::Relaxed);
        self.fsync.store(limits.fsync, Ordering::Relaxed);
    }

    /// Bytes in all files.
    pub(in crate::forward) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Writes a batch; when this returns it survives the end of the process. Blocks.
    pub(in crate::forward) fn append(
        &self,
        signal: Signal,
        items: u64,
        metadata: &[u8],
        bytes: &[u8],
    ) -> Result<Record, AppendError> {
        let size = |length: usize| {
            u32::try_from(length).map_err(|_| AppendError::Io(io::Error::other("a batch above 4 GiB")))
        };
        let head = Head {
            signal,
            items,
            metadata: size(metadata.len())?,
            bytes: size(bytes.len())?,
            crc: checksum(&[metadata, bytes]),
        };
        let length = HEAD as u64 + head.content();
        let limit = self.limit.load(Ordering::Relaxed);
        let mut writer = locked(&self.writer);
        if self.used() + length > limit {
            return Err(AppendError::Full(limit >> 20));
        }
        let segment = self.segment_for(&mut writer, length, limit).map_err(failed)?;
        let record = segment.append(head, [metadata, bytes]).map_err(failed)?;
        self.used.fetch_add(length, Ordering::Relaxed);
        drop(writer);
        if self.fsync.load(Ordering::Relaxed)
            && let Err(error) = segment.sync(record.offset + length)
        {
            // The device may have lost any of it: nothing more goes into this file, and the caller is told
            // no.
            self.give_back_space(segment.seal() + segment.done(record.offset));
            return Err(failed(error));
        }
        Ok(record)
    }

    /// The file to write to, with room for `length` bytes.
    fn segment_for(&self, writer: &mut Writer, length: u64, limit: u64) -> io::Result<Arc<Segment>> {
        // Small limits get small files, so that space comes back in small pieces too.
        let longest = SEGMENT_MAX.min(limit / 8);
        if let Some(current) = &writer.current {
            let full = current.length() > 0 && current.length() + length > longest;
            if !full && !current.is_sealed() {
                return Ok(current.clone());
            }
            self.give_back_space(current.seal());
            writer.current = None;
        }
        let segment = Arc::new(Segment::create(&self.folder, writer.next)?);
        writer.next += 1;
        writer.current = Some(segment.clone());
        Ok(segment)
    }

    /// The metadata and bytes of a batch; `None` when they are damaged. Blocks.
    pub(in crate::forward) fn read(record: &Record) -> io::Result<Option<(Bytes, Bytes)>> {
        record.segment.read(record)
    }

    /// Notes that a batch is sent, or given up. Blocks, shortly.
    pub(in crate::forward) fn done(&self, record: &Record) {
        self.give_back_space(record.segment.done(record.offset));
        if record.segment.is_done() && record.segment.length() >= ROLL_MIN && !record.segment.is_sealed() {
            let mut writer = locked(&self.writer);
            // Somebody may have written to it since.
            if record.segment.is_done() {
                writer.current.take_if(|it| Arc::ptr_eq(it, &record.segment));
                self.give_back_space(record.segment.seal());
            }
        }
    }

    fn give_back_space(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The next part of what was there before; `None` when there is no more now. Blocks.
    pub(in crate::forward) fn next_of_backlog(&self) -> Option<Found> {
        let number = {
            let mut backlog = locked(&self.backlog);
            if !backlog.returned.is_empty() {
                return Some(Found {
                    records: std::mem::take(&mut backlog.returned),
                    corrupt: 0,
                });
            }
            backlog.segments.pop_front()?
        };
        let opened = Segment::open(&self.folder, number).map(Arc::new);
        let looked = opened.and_then(|segment| {
            let found = segment.look_through()?;
            self.give_back_space(segment.looked_through());
            Ok(found)
        });
        Some(match looked {
            Ok(found) => Found {
                records: found.records,
                corrupt: found.corrupt,
            },
            Err(error) => {
                let folder = self.folder.display();
                tracing::error!(%folder, segment = number, %error, "a part of a queue cannot be read; it is left");
                Found {
                    records: Vec::new(),
                    corrupt: 1,
                }
            }
        })
    }

    /// Waits until there may be more of it.
    pub(in crate::forward) async fn news(&self) {
        self.news.notified().await;
    }

    /// Hands back what an instance did not send, to the next that asks.
    pub(in crate::forward) fn give_back(&self, records: Vec<Record>) {
        let mut backlog = locked(&self.backlog);
        for record in records {
            let known = |it: &Record| it.offset == record.offset && Arc::ptr_eq(&it.segment, &record.segment);
            // Parts of one batch come one after the other.
            if !backlog.returned.iter().rev().take(4).any(known) {
                backlog.returned.push(record);
            }
        }
        drop(backlog);
        self.news.notify_one();
    }
}

impl Record {
    /// Whether nobody has noted yet that it is done for.
    pub(in crate::forward) fn is_live(&self) -> bool {
        self.segment.is_live(self.offset)
    }

    /// What it carries.
    pub(in crate::forward) fn signal(&self) -> Signal {
        self.head.signal
    }

    /// Spans, data points or log records.
    pub(in crate::forward) fn items(&self) -> u64 {
        self.head.items
    }

    /// Bytes of the batch.
    pub(in crate::forward) fn bytes(&self) -> u64 {
        u64::from(self.head.bytes)
    }

    /// What was written beside the batch. Blocks.
    pub(in crate::forward) fn metadata(&self) -> io::Result<Vec<u8>> {
        self.segment.metadata(self)
    }
}

fn failed(error: io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::DiskFull,
        _ => AppendError::Io(error),
    }
}
