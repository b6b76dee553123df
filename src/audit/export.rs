//! The record as a file of lines: where it begins, its entries as they are, where it ends.
//!
//! ```text
//! {"checkpoint":{"seq":0,"hash":"000..."}}     what stands before the first entry
//! {"seq":1,...,"hash":"..."}                   entries, byte by byte
//! {"head":{"seq":1,"hash":"..."}}              the last one, so that a file that was cut short shows it
//! ```

use super::entry::Entry;
use super::verify::{Break, Difference, Head, Verified, Verifier};
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};

/// Longest line that is read: far more than an entry has.
const LINE_MAX: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    checkpoint: Head,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    head: Head,
}

/// Writes a part of the record, entry by entry.
#[derive(Debug)]
pub struct Export<W> {
    out: W,
    since: UnixNanos,
    until: UnixNanos,
    last: Option<Head>,
    /// Entries written.
    pub written: u64,
}

impl<W: Write> Export<W> {
    /// Of the times from `since` up to `until`.
    pub const fn new(out: W, since: UnixNanos, until: UnixNanos) -> Self {
        Self {
            out,
            since,
            until,
            last: None,
            written: 0,
        }
    }

    /// One line of the record. What is written is without gaps: it begins with the first entry in time, and
    /// ends before the first that is too late.
    pub fn take(&mut self, line: &[u8]) -> io::Result<()> {
        let entry = Entry::read(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let is_early = self.last.is_none() && entry.at() < self.since;
        let is_late =
            entry.at() >= self.until || self.last.as_ref().is_some_and(|it| it.seq + 1 != entry.seq);
        if is_early || is_late {
            return Ok(());
        }
        if self.last.is_none() {
            let checkpoint = Head {
                seq: entry.seq.saturating_sub(1),
                hash: entry.prev.clone(),
            };
            self.line(&serde_json::to_vec(&First { checkpoint })?)?;
        }
        self.written += 1;
        self.last = Some(Head {
            seq: entry.seq,
            hash: entry.hash,
        });
        self.line(line)
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.out.write_all(line)?;
        self.out.write_all(b"\n")
    }

    /// The last line; nothing when there was no entry.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(head) = self.last.take() {
            self.line(&serde_json::to_vec(&Last { head })?)?;
        }
        self.out.flush()
    }
}

/// What a file of lines is found to be.
pub type Book = Result<Verified, Break>;

/// Verifies a file of lines; an error is one of reading, and not of what was read.
pub fn read_book(mut lines: impl BufRead, passing: Option<&Head>) -> io::Result<Book> {
    let mut verifier: Option<Verifier> = None;
    let mut seq = 1;
    let broken = |seq, words: &str| {
        let difference = Difference::NotAnEntry(words.to_owned());
        Ok(Err(Break { seq, difference }))
    };
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut lines, LINE_MAX).read_until(b'\n', &mut line)?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            let words = "the file does not end with its line `head`: it was cut short";
            return broken(seq, if read == 0 { words } else { "its line does not end" });
        }
        let Some(known) = &mut verifier else {
            match serde_json::from_slice::<First>(&line) {
                Ok(First { checkpoint }) => {
                    seq = checkpoint.seq + 1;
                    verifier = Some(Verifier::behind(checkpoint).passing(passing.cloned()));
                    continue;
                }
                Err(_) => return broken(seq, "the file does not begin with its line `checkpoint`"),
            }
        };
        if let Ok(Last { head }) = serde_json::from_slice(&line) {
            let mut rest = [0];
            if lines.read(&mut rest)? > 0 {
                return broken(seq, "there is something behind the line `head`");
            }
            return Ok(verifier.unwrap_or_default().finish(Some(&head)));
        }
        match known.take(&line) {
            Ok(entry) => seq = entry.seq + 1,
            Err(broken) => return Ok(Err(broken)),
        }
    }
}
