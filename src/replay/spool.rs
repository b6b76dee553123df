//! Records in the order of their arrival.
//!
//! Contents go to memory up to [`IN_MEMORY`] and to a temporary file beyond; an index of fixed size a record
//! is sorted. Records that arrive together stay in the order in which they were read.

use super::error::ReplayError;
use crate::pipeline::Signal;
use crate::time::UnixNanos;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use tempfile::SpooledTempFile;

/// Bytes of contents that are kept in memory.
const IN_MEMORY: usize = 256 << 20;
/// Bytes read at once: records in order of time mostly lie in order, too.
const READ_AHEAD: usize = 256 << 10;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// An OTLP request.
    Request(Signal),
    /// Counts of a minute, as [`super::input`] writes them.
    Counts,
}

/// Where a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Number of the file.
    pub(super) file: u32,
    /// Line or record, from 1.
    pub(super) line: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: UnixNanos,
    origin: Origin,
    content: Content,
    offset: u64,
    length: u32,
}

/// See the module; this is the side that is written.
#[derive(Debug)]
pub(super) struct Spool {
    file: BufWriter<SpooledTempFile>,
    index: Vec<Entry>,
    written: u64,
}

impl Spool {
    pub(super) fn new() -> Self {
        Self {
            file: BufWriter::new(SpooledTempFile::new(IN_MEMORY)),
            index: Vec::new(),
            written: 0,
        }
    }

    /// Adds a record that arrives at `due`.
    pub(super) fn push(
        &mut self,
        due: UnixNanos,
        origin: Origin,
        content: Content,
        bytes: &[u8],
    ) -> Result<(), ReplayError> {
        let length =
            u32::try_from(bytes.len()).map_err(|_| ReplayError::TooMuch("a record of over 4 GiB"))?;
        self.file.write_all(bytes).map_err(ReplayError::Spool)?;
        self.index.push(Entry {
            due,
            origin,
            content,
            offset: self.written,
            length,
        });
        self.written += u64::from(length);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The side that is read.
    pub(super) fn sorted(mut self) -> Result<Sorted, ReplayError> {
        // Stable: what arrives together stays in the order of files and lines.
        self.index.sort_by_key(|entry| entry.due);
        let file = self
            .file
            .into_inner()
            .map_err(|e| ReplayError::Spool(e.into_error()))?;
        let mut file = BufReader::with_capacity(READ_AHEAD, file);
        file.rewind().map_err(ReplayError::Spool)?;
        Ok(Sorted {
            file,
            index: self.index,
            next: 0,
            stands_at: 0,
        })
    }
}

/// One record, read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) due: UnixNanos,
    pub(super) origin: Origin,
    pub(super) content: Content,
    pub(super) bytes: Vec<u8>,
}

/// The records, earliest first.
#[derive(Debug)]
pub(super) struct Sorted {
    file: BufReader<SpooledTempFile>,
    index: Vec<Entry>,
    next: usize,
    stands_at: u64,
}

impl Sorted {
    /// When the first and the last record arrive.
    pub(super) fn ends(&self) -> Option<(UnixNanos, UnixNanos)> {
        Some((self.index.first()?.due, self.index.last()?.due))
    }

    /// Where those come from.
    pub(super) fn origins(&self) -> Option<(Origin, Origin)> {
        Some((self.index.first()?.origin, self.index.last()?.origin))
    }

    /// The next record, if it arrives by `until`.
    pub(super) fn next_by(&mut self, until: UnixNanos) -> Result<Option<Record>, ReplayError> {
        let Some(&entry) = self.index.get(self.next).filter(|entry| entry.due <= until) else {
            return Ok(None);
        };
        self.next += 1;
        let bytes = self.read(&entry).map_err(ReplayError::Spool)?;
        Ok(Some(Record {
            due: entry.due,
            origin: entry.origin,
            content: entry.content,
            bytes,
        }))
    }

    fn read(&mut self, entry: &Entry) -> io::Result<Vec<u8>> {
        let step = entry.offset.wrapping_sub(self.stands_at).cast_signed();
        self.file.seek_relative(step)?;
        let mut bytes = vec![0; entry.length as usize];
        self.file.read_exact(&mut bytes)?;
        self.stands_at = entry.offset + u64::from(entry.length);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_by_arrival_and_equals_as_they_were_read() {
        let mut spool = Spool::new();
        let dues = [30, 10, 20, 10, 30, 0];
        for (line, due) in (1..).zip(dues) {
            let origin = Origin { file: 0, line };
            let text = format!("{due}/{line}").repeat(usize::try_from(line).unwrap() * 1000);
            spool
                .push(
                    UnixNanos::from_secs(due),
                    origin,
                    Content::Counts,
                    text.as_bytes(),
                )
                .unwrap();
        }
        let mut sorted = spool.sorted().unwrap();
        let ends = (UnixNanos::from_secs(0), UnixNanos::from_secs(30));
        assert_eq!(sorted.ends(), Some(ends));
        let mut seen = Vec::new();
        for until in [5, 10, 30] {
            while let Some(record) = sorted.next_by(UnixNanos::from_secs(until)).unwrap() {
                let text = String::from_utf8(record.bytes).unwrap();
                let lead = format!("{}/{}", record.due.secs(), record.origin.line);
                assert!(text.starts_with(&lead), "{lead}");
                seen.push((until, record.origin.line));
            }
        }
        assert_eq!(seen, [(5, 6), (10, 2), (10, 4), (30, 3), (30, 1), (30, 5)]);
    }
}
