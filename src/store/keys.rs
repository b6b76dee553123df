//! Idempotency keys that survive a restart.
//!
//! Problem: a client that got no answer sends again, perhaps to a gateway that has been started anew since.
//! Property wanted: what its key stands for counts once, with bounded memory and few bytes written. So keys
//! lie in a ring of small segments; a commit writes the segments that changed, together with the counts
//! that came with the keys, and a full ring forgets its oldest segment. At least the newest `max` keys are
//! known, and only hashes of them are kept. Rejected: one row a key, which would push decisions out of the
//! journal; and keys that expire by time, since a flood of them would still grow.

use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};

/// What rows of the journal begin with that are segments.
const ROWS: &str = "events/";
/// Version of the rows that this release writes.
const VERSION: u8 = 1;
/// Keys of a segment.
const SEGMENT: usize = 256;
/// Bytes of a key's entry: its hash, and that of what it stands for.
const ENTRY: usize = 32;

type Hash = [u8; 16];

/// What a key is known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It has not been seen, or is forgotten.
    No,
    /// It came with this very content.
    Same,
    /// It came with another.
    Other,
}

#[derive(Clone, Debug, Default)]
struct Segment {
    /// Segments are numbered as they are begun; 0 was never begun.
    number: u64,
    entries: Vec<(Hash, Hash)>,
}

/// See the module.
#[derive(Debug)]
pub struct KeyBook {
    segments: Vec<Segment>,
    current: usize,
    known: HashMap<Hash, Hash>,
    changed: BTreeSet<usize>,
}

impl KeyBook {
    /// A book of at least `max` keys, with what the rows of a store (of whatever kind) hold of one.
    pub fn restore<'r>(max: usize, rows: impl IntoIterator<Item = (&'r str, &'r [u8])>) -> Self {
        let count = max.max(1).div_ceil(SEGMENT) + 1;
        let mut read: Vec<Segment> = rows
            .into_iter()
            .filter(|(id, _)| Self::owns(id))
            .filter_map(|(_, row)| decode(row))
            .collect();
        // A ring of another size left an older state of a segment in another row: the fuller one is newer.
        read.sort_by_key(|segment| std::cmp::Reverse((segment.number, segment.entries.len())));
        read.dedup_by_key(|segment| segment.number);
        // A smaller book keeps the newest.
        read.truncate(count);
        read.reverse();
        let mut book = Self {
            segments: vec![Segment::default(); count],
            current: 0,
            known: HashMap::new(),
            changed: BTreeSet::new(),
        };
        for segment in read {
            let slot = book.slot(segment.number);
            book.known.extend(segment.entries.iter().copied());
            book.segments[slot] = segment;
            book.current = slot;
        }
        if book.segments[book.current].number == 0 {
            book.current = book.slot(1);
            book.segments[book.current].number = 1;
        }
        book
    }

    /// Whether a row of the journal is a segment.
    pub fn owns(id: &str) -> bool {
        id.starts_with(ROWS)
    }

    fn slot(&self, number: u64) -> usize {
        usize::try_from(number % self.segments.len() as u64).unwrap_or(0)
    }

    /// What `key` is known for, given that it now comes with `content`.
    pub fn find(&self, key: &str, content: &[u8]) -> Known {
        match self.known.get(&hash(key.as_bytes())) {
            None => Known::No,
            Some(known) if *known == hash(content) => Known::Same,
            Some(_) => Known::Other,
        }
    }

    /// Remembers `key`.
    pub fn insert(&mut self, key: &str, content: &[u8]) {
        if self.segments[self.current].entries.len() >= SEGMENT {
            let number = self.segments[self.current].number + 1;
            self.current = self.slot(number);
            let fresh = Segment {
                number,
                entries: Vec::with_capacity(SEGMENT),
            };
            let forgotten = std::mem::replace(&mut self.segments[self.current], fresh);
            for (key, _) in forgotten.entries {
                self.known.remove(&key);
            }
        }
        let entry = (hash(key.as_bytes()), hash(content));
        self.segments[self.current].entries.push(entry);
        self.known.insert(entry.0, entry.1);
        self.changed.insert(self.current);
    }

    /// Keys that are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The rows that a commit must write; the same until [`Self::written`].
    pub fn rows(&self) -> Vec<(String, Vec<u8>)> {
        let row = |&slot: &usize| (format!("{ROWS}{slot:05}"), encode(&self.segments[slot]));
        self.changed.iter().map(row).collect()
    }

    /// The rows are durable.
    pub fn written(&mut self) {
        self.changed.clear();
    }
}

fn hash(bytes: &[u8]) -> Hash {
    let digest = Sha256::digest(bytes);
    let mut hash = Hash::default();
    hash.copy_from_slice(&digest[..16]);
    hash
}

fn encode(segment: &Segment) -> Vec<u8> {
    let mut row = vec![VERSION];
    row.extend(segment.number.to_be_bytes());
    for (key, content) in &segment.entries {
        row.extend(key);
        row.extend(content);
    }
    row
}

/// `None` for what another release wrote, or a disk damaged: its keys are not known then.
fn decode(row: &[u8]) -> Option<Segment> {
    let (version, rest) = row.split_first()?;
    let (number, entries) = rest.split_first_chunk::<8>()?;
    if *version != VERSION || entries.len() % ENTRY != 0 {
        return None;
    }
    let half = |bytes: &[u8]| Hash::try_from(bytes).ok();
    let entry = |bytes: &[u8]| Some((half(&bytes[..16])?, half(&bytes[16..])?));
    Some(Segment {
        number: u64::from_be_bytes(*number),
        entries: entries.chunks_exact(ENTRY).map(entry).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn fresh(max: usize) -> KeyBook {
        KeyBook::restore(max, [])
    }

    #[test]
    fn a_key_is_known_with_what_it_stands_for() {
        let mut book = fresh(10);
        assert_eq!(book.find("a", b"1"), Known::No);
        book.insert("a", b"1");
        assert_eq!(
            (book.find("a", b"1"), book.find("a", b"2"), book.find("b", b"1")),
            (Known::Same, Known::Other, Known::No)
        );
    }

    #[test]
    fn the_newest_are_known_and_memory_is_bounded() {
        let mut book = fresh(1_000);
        for n in 0..10_000 {
            book.insert(&n.to_string(), b"");
            assert!(book.len() <= 1_000 + 2 * SEGMENT);
        }
        for n in 9_000..10_000 {
            assert_eq!(book.find(&n.to_string(), b""), Known::Same, "{n}");
        }
        assert_eq!(book.find("17", b""), Known::No);
    }

    #[test]
    fn a_restart_anywhere_forgets_nothing_that_was_written() {
        let mut disk: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut book = fresh(600);
        for n in 0..3_000 {
            book.insert(&n.to_string(), &[7]);
            if n % 37 == 0 {
                let rows = book.rows();
                assert!(rows.len() <= 2);
                disk.extend(rows);
                book.written();
                disk.insert("0123abcd".to_owned(), b"a decision".to_vec());
                book = KeyBook::restore(600, disk.iter().map(|(id, row)| (id.as_str(), row.as_slice())));
                assert!(book.rows().is_empty());
            }
            for back in 0..n.min(500) {
                assert_eq!(
                    book.find(&(n - back).to_string(), &[7]),
                    Known::Same,
                    "{back} before {n}"
                );
            }
        }
        let rows: Vec<_> = disk
            .iter()
            .map(|(id, row)| (id.as_str(), row.as_slice()))
            .collect();
        let smaller = KeyBook::restore(10, rows);
        assert_eq!(smaller.find("2999", &[7]), Known::No, "never written");
        assert_eq!(smaller.find("2997", &[7]), Known::Same);
    }

    #[test]
    fn a_ring_of_another_size_takes_over_what_the_former_wrote() {
        let mut disk: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut n = 0;
        for max in [600, 5_000, 600, 300, 2_000] {
            let mut book = KeyBook::restore(max, disk.iter().map(|(id, row)| (id.as_str(), row.as_slice())));
            for _ in 0..1_500 {
                book.insert(&n.to_string(), &[7]);
                n += 1;
            }
            disk.extend(book.rows());
            let again = KeyBook::restore(max, disk.iter().map(|(id, row)| (id.as_str(), row.as_slice())));
            for back in 1..=max.min(1_500) {
                assert_eq!(
                    again.find(&(n - back).to_string(), &[7]),
                    Known::Same,
                    "{back} of {max}"
                );
            }
        }
    }

    #[test]
    fn damaged_rows_are_left_out() {
        for row in [
            &b""[..],
            b"\x01",
            b"\x02\0\0\0\0\0\0\0\x01",
            b"\x01\0\0\0\0\0\0\0\x01short",
        ] {
            assert!(KeyBook::restore(10, [("events/00001", row)]).is_empty());
        }
    }
}
