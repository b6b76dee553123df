//! Requests merged and split, as bytes.
//!
//! Problem: a `batch` wish makes one request of many, or many of one, and decoding them would cost ten times
//! what everything else here costs. Property wanted: the items, each under its resource and scope, are those
//! of a merge or split of the decoded messages, and no item is ever copied. Merging is free: protobuf says
//! that the concatenation of two encoded messages is their merge, and the top of every OTLP request is one
//! repeated field; so a merged request is a list of buffers, written to the socket one after the other.
//! Splitting repeats the resource and the scope around a part of their items, with new lengths; the items
//! are slices of the buffer that came in. Rejected: prost in the middle, and copying into one contiguous
//! buffer.

mod index;
mod split;
#[cfg(test)]
mod split_tests;

pub(super) use split::Split;

use bytes::Bytes;

/// A request as the buffers that make it up, in order.
pub(super) type Pieces = Vec<Bytes>;

/// Bytes of it all.
pub(super) fn len_of(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

/// Pieces below this are put together: a frame and an entry in a vector each would cost more than the copy.
const SMALL: usize = 4096;

/// The same request in fewer pieces, the small ones copied into larger ones.
pub(super) fn joined(pieces: Pieces) -> Pieces {
    if pieces.len() < 4 {
        return pieces;
    }
    let mut out = Pieces::new();
    let mut pending = Vec::new();
    for piece in pieces {
        if piece.len() < SMALL {
            pending.extend_from_slice(&piece);
            continue;
        }
        if !pending.is_empty() {
            out.push(std::mem::take(&mut pending).into());
        }
        out.push(piece);
    }
    if !pending.is_empty() {
        out.push(pending.into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_pieces_say_the_same_and_large_ones_are_not_copied() {
        let large = Bytes::from(vec![9; SMALL]);
        let pieces = vec![
            Bytes::from_static(b"a"),
            Bytes::from_static(b"b"),
            large.clone(),
            Bytes::from_static(b"c"),
            Bytes::from_static(b"d"),
        ];
        let out = joined(pieces.clone());
        assert_eq!(out.concat(), pieces.concat());
        assert_eq!((out.len(), out[1].as_ptr()), (3, large.as_ptr()));
    }
}
