//! One file of the log, and beside it the list of what has been sent out of it.
//!
//! Sending ends out of order, so what is done is kept record by record: eight bytes appended to `<n>.done`. A
//! file whose every record is done is removed at once; no compaction ever runs. Rejected: one cursor, which
//! would send again whatever lay behind a batch that waits for its retry.

use super::record::{HEAD, Head, MAGIC, checksum};
use bytes::Bytes;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file of records.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes written.
    length: u64,
    /// Bytes known to be on the device.
    synced: u64,
    /// Offsets of the records that are not done.
    live: HashSet<u64>,
    /// Not looked through yet: nobody knows what is in it.
    unknown: bool,
    /// Nothing more is written to it.
    sealed: bool,
    removed: bool,
    done: Option<File>,
}

/// Where a batch is.
#[derive(Clone, Debug)]
pub(in crate::forward) struct Record {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) head: Head,
}

/// What a look through a file found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    /// Damaged places.
    pub(super) corrupt: u64,
}

fn named(folder: &Path, number: u64, extension: &str) -> PathBuf {
    folder.join(format!("{number:020}.{extension}"))
}

/// Numbers of the files in `folder`, oldest first.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "log") {
            let stem = path.file_stem().and_then(|it| it.to_str());
            numbers.extend(stem.and_then(|it| it.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Segment {
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = named(folder, number, "log");
        match std::fs::remove_file(path.with_extension("done")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            state: Mutex::default(),
        })
    }

    /// A file of an earlier run; nothing more is written to it.
    pub(super) fn open(folder: &Path, number: u64) -> io::Result<Self> {
        let path = named(folder, number, "log");
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let state = State {
            length,
            synced: length,
            unknown: true,
            sealed: true,
            ..State::default()
        };
        Ok(Self {
            path,
            file,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn length(&self) -> u64 {
        self.state().length
    }

    /// Appends a record. What a failed write left is cut off again.
    pub(super) fn append(self: &Arc<Self>, head: Head, content: [&[u8]; 2]) -> io::Result<Record> {
        let mut state = self.state();
        let offset = state.length;
        let written = (|| {
            let front = [&head.to_bytes()[..], content[0]].concat();
            self.file.write_all_at(&front, offset)?;
            self.file.write_all_at(content[1], offset + front.len() as u64)
        })();
        if let Err(error) = written {
            // Should even this fail, the next start finds a damaged place and hops over it.
            state.sealed = self.file.set_len(offset).is_err();
            return Err(error);
        }
        state.length += HEAD as u64 + head.content();
        state.live.insert(offset);
        Ok(Record {
            segment: self.clone(),
            offset,
            head,
        })
    }

    /// Waits until everything written before this call is on the device. Those who come while one waits share
    /// the next wait.
    pub(super) fn sync(&self, until: u64) -> io::Result<()> {
        if self.state().synced >= until {
            return Ok(());
        }
        let length = self.length();
        self.file.sync_data()?;
        let mut state = self.state();
        state.synced = state.synced.max(length);
        Ok(())
    }

    /// Nothing more is written to it. The bytes given back, if that was all there was to wait for.
    pub(super) fn seal(&self) -> u64 {
        let mut state = self.state();
        state.sealed = true;
        self.remove_if_done(&mut state)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.state().sealed
    }

    pub(super) fn is_live(&self, offset: u64) -> bool {
        self.state().live.contains(&offset)
    }

    /// Whether it has records and all are done.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.live.is_empty() && state.length > 0
    }

    fn remove_if_done(&self, state: &mut State) -> u64 {
        if !state.sealed || !state.live.is_empty() || state.unknown || state.removed {
            return 0;
        }
        state.removed = true;
        // The notes first: a file without notes is sent again, notes without their file could pass for
        // another's.
        for path in [&self.path.with_extension("done"), &self.path] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a sent part of a queue cannot be removed");
                }
                _ => {}
            }
        }
        state.length
    }

    /// The content of a record: metadata and bytes; `None` when it is damaged.
    pub(super) fn read(&self, record: &Record) -> io::Result<Option<(Bytes, Bytes)>> {
        let length = usize::try_from(record.head.content()).map_err(io::Error::other)?;
        let mut content = vec![0; length];
        self.file
            .read_exact_at(&mut content, record.offset + HEAD as u64)?;
        if checksum(&[&content]) != record.head.crc {
            return Ok(None);
        }
        let mut bytes = Bytes::from(content);
        let metadata = bytes.split_to(record.head.metadata as usize);
        Ok(Some((metadata, bytes)))
    }

    /// The metadata alone, unchecked: it is parsed, and the content is checked when it is read.
    pub(super) fn metadata(&self, record: &Record) -> io::Result<Vec<u8>> {
        let mut metadata = vec![0; record.head.metadata as usize];
        self.file
            .read_exact_at(&mut metadata, record.offset + HEAD as u64)?;
        Ok(metadata)
    }

    /// Notes that the record at `offset` is done for; the bytes given back.
    pub(super) fn done(&self, offset: u64) -> u64 {
        let mut state = self.state();
        // A batch that was handed over in a reload may have been sent by both.
        if !state.live.remove(&offset) {
            return 0;
        }
        if !(state.sealed && state.live.is_empty()) {
            // Without the note a restart sends the batch again, which does no harm but work.
            if let Err(error) = self.note(&mut state, offset) {
                tracing::debug!(path = %self.path.display(), %error, "a sent batch cannot be noted");
            }
        }
        self.remove_if_done(&mut state)
    }

    fn note(&self, state: &mut State, offset: u64) -> io::Result<()> {
        if state.done.is_none() {
            let path = self.path.with_extension("done");
            state.done = Some(OpenOptions::new().append(true).create(true).open(path)?);
        }
        match &mut state.done {
            Some(file) => file.write_all(&note(offset)),
            None => Ok(()),
        }
    }

    /// Finds the records that are not done; those of a sealed file only.
    pub(super) fn look_through(self: &Arc<Self>) -> io::Result<Found> {
        let done = match std::fs::read(self.path.with_extension("done")) {
            Ok(notes) => notes.chunks(8).filter_map(offset_of).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashSet::new(),
            Err(error) => return Err(error),
        };
        let mut found = Found::default();
        let (mut at, length) = (0, self.length());
        while at < length {
            let Some(head) = self.head_at(at, length)? else {
                found.corrupt += 1;
                match self.next_head(at + 1, length)? {
                    Some(next) => at = next,
                    None => break,
                }
                continue;
            };
            if !done.contains(&at) {
                found.records.push(Record {
                    segment: self.clone(),
                    offset: at,
                    head,
                });
            }
            at += HEAD as u64 + head.content();
        }
        let live = found.records.iter().map(|record| record.offset);
        self.state().live.extend(live);
        Ok(found)
    }

    /// Ends the look through a file of an earlier run; the bytes given back when nothing was left in it.
    pub(super) fn looked_through(&self) -> u64 {
        let mut state = self.state();
        state.unknown = false;
        self.remove_if_done(&mut state)
    }

    fn head_at(&self, at: u64, length: u64) -> io::Result<Option<Head>> {
        if at + HEAD as u64 > length {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, at)?;
        let head = Head::from_bytes(&head);
        Ok(head.filter(|head| at + HEAD as u64 + head.content() <= length))
    }

    /// The next whole record from `at` on.
    fn next_head(&self, at: u64, length: u64) -> io::Result<Option<u64>> {
        let mut rest = vec![0; usize::try_from(length.saturating_sub(at)).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut rest, at)?;
        for hit in memchr::memmem::find_iter(&rest, &MAGIC) {
            if self.head_at(at + hit as u64, length)?.is_some() {
                return Ok(Some(at + hit as u64));
            }
        }
        Ok(None)
    }
}

/// An offset with its checksum: a torn or damaged note must not pass for another.
fn note(offset: u64) -> [u8; 8] {
    let offset = u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = [0; 8];
    out[..4].copy_from_slice(&offset);
    out[4..].copy_from_slice(&checksum(&[&MAGIC, &offset]).to_le_bytes());
    out
}

fn offset_of(bytes: &[u8]) -> Option<u64> {
    let offset = bytes.get(..4)?.try_into().map(u32::from_le_bytes).ok()?;
    (note(u64::from(offset)) == *bytes).then_some(u64::from(offset))
}
