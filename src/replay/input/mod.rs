//! Files -> records in the spool, each with the moment at which it arrives.
//!
//! A request is cut where its items fall into different buckets of the ledger, and each piece arrives when
//! the last of its items happened. So every item counts by the end of its own bucket, however the recording
//! was divided into requests: by what the exporter had ready, or by what a converter put on one line. A
//! minute of counts arrives when it is over.
//!
//! What cannot be read is left out and named, and does not stop the rest.

mod files;
mod frames;
mod lines;
mod minutes;
mod streams;

pub use minutes::Columns;

use super::error::{Problem, ReplayError};
use super::play::Progress;
use super::spool::{Content, Origin, Sorted, Spool};
use crate::ledger::BUCKET_SECS;
use crate::pipeline::Signal;
use crate::time::{NANOS_PER_SEC, UnixNanos};
use crate::wire::edit::Request;
use crate::wire::{Malformed, Times, times, within};
use bytes::Bytes;
use files::Format;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Longest record that is read, in bytes.
pub(super) const RECORD_MAX: usize = 64 << 20;
/// Nanoseconds of a bucket.
const BUCKET_NANOS: u64 = BUCKET_SECS * NANOS_PER_SEC;
/// Problems that are kept word by word; all are counted.
pub(super) const PROBLEMS_MAX: usize = 100;

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// The files, in any order.
    pub files: Vec<PathBuf>,
    /// What the columns of per-minute files mean.
    pub columns: Columns,
    /// What arrives before this is left out.
    pub from: Option<UnixNanos>,
    /// What arrives after this is left out.
    pub to: Option<UnixNanos>,
}

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    pub(super) records: Sorted,
    pub(super) files: Vec<String>,
    pub(super) problems: Problems,
    /// Requests and minutes that hold nothing.
    pub(super) empty: u64,
    /// Pieces of requests and minutes outside of what was asked for.
    pub(super) outside: u64,
    /// Columns of per-minute files that are not used.
    pub unused_columns: Vec<String>,
}

/// Records that were left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems {
    pub(super) first: Vec<Problem>,
    pub(super) count: u64,
}

impl Problems {
    pub(super) fn add(&mut self, file: &str, line: u64, reason: impl Into<String>) {
        self.count += 1;
        if self.first.len() < PROBLEMS_MAX {
            self.first.push(Problem {
                file: file.to_owned(),
                line,
                reason: reason.into(),
            });
        }
    }
}

impl Loaded {
    /// Records that were left out, and the first of them.
    pub fn problems(&self) -> (u64, &[Problem]) {
        (self.problems.count, &self.problems.first)
    }
}

/// Reads every file.
pub fn load(intake: &Intake, progress: &dyn Progress) -> Result<Loaded, ReplayError> {
    let mut loading = Loading {
        spool: Spool::new(),
        problems: Problems::default(),
        empty: 0,
        outside: 0,
        range: intake.from.unwrap_or_default()..=intake.to.unwrap_or(UnixNanos(u64::MAX)),
        unused_columns: Vec::new(),
        file: 0,
        name: String::new(),
    };
    let mut opened = Vec::new();
    for path in &intake.files {
        opened.push(files::open(path)?);
    }
    progress.reads(opened.iter().map(|file| file.bytes).sum());
    let mut names = Vec::new();
    for (number, (path, file)) in (0..).zip(intake.files.iter().zip(opened)) {
        loading.file = number;
        loading.name = path.display().to_string();
        names.push(loading.name.clone());
        let format = file.format;
        let mut reader = file.reader(progress);
        match format {
            Format::Stream(signal) => streams::read(signal, &mut reader, &mut loading)?,
            Format::Lines => lines::read(&mut reader, &mut loading)?,
            Format::Minutes => minutes::read(&mut reader, &intake.columns, &mut loading)?,
        }
    }
    if loading.spool.is_empty() && loading.problems.count == 0 {
        return Err(ReplayError::Nothing);
    }
    Ok(Loaded {
        records: loading.spool.sorted()?,
        files: names,
        problems: loading.problems,
        empty: loading.empty,
        outside: loading.outside,
        unused_columns: loading.unused_columns,
    })
}

/// One load.
#[derive(Debug)]
struct Loading {
    spool: Spool,
    problems: Problems,
    empty: u64,
    outside: u64,
    range: RangeInclusive<UnixNanos>,
    unused_columns: Vec<String>,
    file: u32,
    name: String,
}

impl Loading {
    fn problem(&mut self, line: u64, reason: impl Into<String>) {
        self.problems.add(&self.name, line, reason);
    }

    /// Keeps a request's protobuf bytes.
    fn request(&mut self, line: u64, signal: Signal, bytes: Vec<u8>) -> Result<(), ReplayError> {
        let (kind, bytes) = (request_kind(signal), Bytes::from(bytes));
        let Ok(found) = times(kind, &bytes) else {
            self.problem(line, format!("not a valid request of {}", signal.as_str()));
            return Ok(());
        };
        if found.items == 0 {
            self.empty += 1;
            return Ok(());
        }
        if found.timeless > 0 {
            let (what, all) = (signal.items(), found.items);
            self.problem(
                line,
                format!("{} of its {all} {what} say no time", found.timeless),
            );
            return Ok(());
        }
        let mut pieces = Vec::new();
        if cut(kind, bytes, found, &mut pieces).is_err() {
            self.problem(line, format!("not a valid request of {}", signal.as_str()));
            return Ok(());
        }
        for (latest, piece) in pieces {
            self.keep(line, signal, latest, &piece)?;
        }
        Ok(())
    }

    fn keep(&mut self, line: u64, signal: Signal, latest: u64, bytes: &[u8]) -> Result<(), ReplayError> {
        self.push(UnixNanos(latest), line, Content::Request(signal), bytes)
    }

    /// Keeps a record, if it arrives when it should.
    fn push(&mut self, due: UnixNanos, line: u64, content: Content, bytes: &[u8]) -> Result<(), ReplayError> {
        if !self.range.contains(&due) {
            self.outside += 1;
            return Ok(());
        }
        let origin = Origin {
            file: self.file,
            line,
        };
        self.spool.push(due, origin, content, bytes)
    }
}

fn request_kind(signal: Signal) -> Request {
    match signal {
        Signal::Traces => Request::Traces,
        Signal::Metrics => Request::Metrics,
        Signal::Logs => Request::Logs,
    }
}

/// Halves a request until the items of each piece share a bucket; every piece with its latest time.
fn cut(request: Request, bytes: Bytes, found: Times, out: &mut Vec<(u64, Bytes)>) -> Result<(), Malformed> {
    let (first, last) = (found.earliest / BUCKET_NANOS, found.latest / BUCKET_NANOS);
    if first == last {
        out.push((found.latest, bytes));
        return Ok(());
    }
    let middle = (first + (last - first).div_ceil(2)) * BUCKET_NANOS;
    for half in [0..middle, middle..u64::MAX] {
        let part = within(request, &bytes, &half)?;
        let found = times(request, &part)?;
        cut(request, part, found, out)?;
    }
    Ok(())
}
