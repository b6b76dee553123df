//! What is to be written over a request's bytes.
//!
//! A splice is a place and the bytes that stand there instead. A message whose content grows or shrinks needs
//! another length, which is one more splice, known when the message is left. Splices are collected in any
//! order and sorted once, so that a message in several pieces, or one that follows what it describes, is no
//! special case. Rejected: writing the output while reading, because a length stands in front of what it
//! counts.

use super::cursor::{Piece, Span};
use bytes::Bytes;

/// One splice: a place, and where its bytes lie in the arena.
#[derive(Clone, Copy, Debug)]
struct Splice {
    at: Span,
    bytes: Span,
}

/// Splices of one request. Until the first there is nothing on the heap.
#[derive(Debug, Default)]
pub(super) struct Splices {
    list: Vec<Splice>,
    arena: Vec<u8>,
    added: usize,
    removed: usize,
}

/// A message that was entered and not left.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) struct Open {
    piece: Piece,
    mark: usize,
    added: usize,
    removed: usize,
}

impl Splices {
    /// What follows happens within `piece`. A piece may be entered once.
    pub(super) fn enter(&self, piece: Piece) -> Open {
        Open {
            piece,
            mark: self.list.len(),
            added: self.added,
            removed: self.removed,
        }
    }

    /// All of the piece is done: its length follows.
    pub(super) fn leave(&mut self, open: Open) {
        let (added, removed) = (self.added - open.added, self.removed - open.removed);
        if added == removed {
            return;
        }
        let Span { start, end } = open.piece.content;
        let length = end - start + added - removed;
        self.replace_with(open.piece.length, |arena| put_varint(arena, length as u64));
    }

    /// Forgets what happened in the piece.
    pub(super) fn forget(&mut self, open: Open) {
        self.list.truncate(open.mark);
        self.added = open.added;
        self.removed = open.removed;
    }

    /// Writes what `write` appends over `at`.
    pub(super) fn replace_with(&mut self, at: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.arena.len();
        write(&mut self.arena);
        let bytes = Span::new(from, self.arena.len());
        self.added += bytes.end - bytes.start;
        self.removed += at.end - at.start;
        self.list.push(Splice { at, bytes });
    }

    /// Cuts `at` out.
    pub(super) fn remove(&mut self, at: Span) {
        self.replace_with(at, |_| {});
    }

    fn changes_nothing(&self, splice: Splice, source: &[u8]) -> bool {
        let (at, bytes) = (splice.at, splice.bytes);
        source.get(at.start..at.end) == self.arena.get(bytes.start..bytes.end)
    }

    /// The request with all splices in it; the very same bytes where there are none.
    pub(super) fn apply(mut self, source: &Bytes) -> Bytes {
        if self
            .list
            .iter()
            .all(|splice| self.changes_nothing(*splice, source))
        {
            return source.clone();
        }
        // Insertions stand before what begins at the same place, inner ones before those around them: the
        // sort is stable, and inner messages are done first.
        self.list.sort_by_key(|splice| (splice.at.start, splice.at.end));
        let mut out = Vec::with_capacity(source.len() + self.added - self.removed);
        let mut done = 0;
        for splice in &self.list {
            out.extend_from_slice(source.get(done..splice.at.start).unwrap_or_default());
            let bytes = self.arena.get(splice.bytes.start..splice.bytes.end);
            out.extend_from_slice(bytes.unwrap_or_default());
            done = splice.at.end;
        }
        out.extend_from_slice(source.get(done..).unwrap_or_default());
        Bytes::from(out)
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

const fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// Appends a length-delimited field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes that a varint takes.
pub(super) const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_follow_what_grows_and_shrinks() {
        // 1: { 1: "ab", 2: "c" }
        let source = Bytes::from_static(&[0x0a, 7, 0x0a, 2, b'a', b'b', 0x12, 1, b'c']);
        let outer = Piece {
            length: Span::new(1, 2),
            content: Span::new(2, 9),
        };
        let mut splices = Splices::default();
        let open = splices.enter(outer);
        splices.remove(Span::new(2, 6));
        splices.replace_with(Span::new(9, 9), |out| put_bytes(out, 3, &[7; 200]));
        splices.leave(open);
        let mut expected = vec![0x0a, 0xce, 1, 0x12, 1, b'c', 0x1a, 0xc8, 1];
        expected.extend([7; 200]);
        assert_eq!(splices.apply(&source), expected);
    }

    #[test]
    fn what_is_forgotten_was_never_there() {
        let source = Bytes::from_static(&[0x0a, 1, 5]);
        let mut splices = Splices::default();
        let open = splices.enter(Piece {
            length: Span::new(1, 2),
            content: Span::new(2, 3),
        });
        splices.remove(Span::new(2, 3));
        splices.forget(open);
        let same = splices.apply(&source);
        assert!(std::ptr::eq(same.as_ref(), source.as_ref()));
    }

    proptest! {
        #[test]
        fn a_varint_is_as_long_as_it_says(number: u64, shift in 0u32..64) {
            let mut out = Vec::new();
            put_varint(&mut out, number >> shift);
            prop_assert_eq!(varint_len(number >> shift), out.len());
            prop_assert_eq!(prost::encoding::decode_varint(&mut &out[..]), Ok(number >> shift));
        }
    }
}
