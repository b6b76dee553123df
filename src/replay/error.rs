//! What a record cannot be read for, and what ends a replay.

use crate::gateway::GatewayError;
use crate::time::UnixNanos;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// One record that was left out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Its line; of a binary stream the number of the record. From 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// Why there is no replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody can tell what is in a file.
    #[error(
        "{}: the name says nothing of the format; expected .pbs (OTLP protobuf, each request behind its \
         length), .jsonl (OTLP/JSON, a request a line) or .csv (counts by the minute), plain or with .gz or .zst",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The temporary file of the spool does not work.
    #[error("the temporary file for records in order of time: {0}; TMPDIR says where it lies")]
    Spool(io::Error),
    /// More files or records than can be numbered.
    #[error("too much to replay at once: {0}")]
    TooMuch(&'static str),
    /// One record with a wrong clock makes decades of a day.
    #[error(
        "the records cover {days} days, at most {max} can be replayed: the first, {first}, is of {from}, the last, \
         {last}, of {to}; --from and --to leave the others out"
    )]
    TooLong {
        /// Days that they cover.
        days: u64,
        /// Days that can be.
        max: u64,
        /// Time of the first record.
        from: UnixNanos,
        /// Where it stands.
        first: String,
        /// Time of the last.
        to: UnixNanos,
        /// Where that one stands.
        last: String,
    },
    /// No record can be used.
    #[error("nothing to replay: none of the files holds a record with a time in it")]
    Nothing,
    /// The counting part does not start: most likely a policy is wrong.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}
