//! A request's body: buffers in a row, packed or as they came.

use crate::config::Compression;
use crate::forward::merge::{Pieces, len_of};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes from which packing moves off the event loop: below, handing over costs more than it frees.
const OFFLOAD_MIN: usize = 16 << 10;

/// A request as it goes over the wire; cloning shares the bytes, so that each attempt sends the same.
#[derive(Clone, Debug)]
pub(in crate::forward) struct Packed {
    pub(in crate::forward) pieces: Pieces,
    /// Name of the coding; `None` for none.
    pub(in crate::forward) coding: Option<&'static str>,
}

impl Packed {
    pub(in crate::forward) fn len(&self) -> usize {
        len_of(&self.pieces)
    }
}

/// Packs `pieces`. Without compression they are what goes out.
pub(in crate::forward) async fn pack(compression: Compression, pieces: Pieces) -> std::io::Result<Packed> {
    let coding = match compression {
        Compression::None => return Ok(Packed { pieces, coding: None }),
        Compression::Gzip(_) => "gzip",
        Compression::Zstd(_) => "zstd",
    };
    let packed = if len_of(&pieces) < OFFLOAD_MIN {
        compress(compression, &pieces)?
    } else {
        let work = tokio::task::spawn_blocking(move || compress(compression, &pieces));
        work.await.map_err(std::io::Error::other)??
    };
    Ok(Packed {
        pieces: vec![packed],
        coding: Some(coding),
    })
}

fn compress(compression: Compression, pieces: &[Bytes]) -> std::io::Result<Bytes> {
    // Telemetry packs to a fifth or less.
    let room = Vec::with_capacity(len_of(pieces) / 5 + 64);
    match compression {
        Compression::None => Ok(pieces.concat().into()),
        Compression::Gzip(level) => {
            let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::new(level));
            pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
            Ok(encoder.finish()?.into())
        }
        Compression::Zstd(level) => {
            let level = i32::try_from(level).unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
            let mut encoder = zstd::stream::write::Encoder::new(room, level)?;
            encoder.set_pledged_src_size(Some(len_of(pieces) as u64))?;
            pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
            Ok(encoder.finish()?.into())
        }
    }
}

/// The body that hyper sends: one buffer a frame, none copied.
#[derive(Debug)]
pub(in crate::forward) struct Buffers {
    left: VecDeque<Bytes>,
    bytes: u64,
    /// Whether the length is told (`content-length`).
    sized: bool,
}

impl Buffers {
    /// A body whose length is told.
    pub(in crate::forward) fn sized(pieces: &[Bytes]) -> Self {
        Self {
            left: pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect(),
            bytes: len_of(pieces) as u64,
            sized: true,
        }
    }

    /// The same behind `head`, its length left open.
    pub(in crate::forward) fn framed(head: Bytes, pieces: &[Bytes]) -> Self {
        let mut it = Self::sized(pieces);
        it.bytes += head.len() as u64;
        it.left.push_front(head);
        it.sized = false;
        it
    }
}

impl Body for Buffers {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.left.pop_front().map(|bytes| {
            self.bytes -= bytes.len() as u64;
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.bytes)
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::Read;

    fn pieces() -> Pieces {
        vec![
            Bytes::from_static(b"one"),
            Bytes::new(),
            Bytes::from(vec![7; 40_000]),
        ]
    }

    #[tokio::test]
    async fn unpacked_pieces_are_the_buffers_that_came_in() {
        let before = pieces();
        let packed = pack(Compression::None, before.clone()).await.unwrap();
        assert!(
            packed
                .pieces
                .iter()
                .zip(&before)
                .all(|(a, b)| a.as_ptr() == b.as_ptr())
        );
        let mut body = Buffers::sized(&packed.pieces);
        assert_eq!(body.size_hint().exact(), Some(40_003));
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.as_ptr(), before[0].as_ptr());
    }

    #[tokio::test]
    async fn packed_pieces_unpack_to_their_concatenation() {
        let gzip = pack(Compression::Gzip(6), pieces()).await.unwrap();
        assert_eq!(gzip.coding, Some("gzip"));
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&gzip.pieces[0][..])
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, pieces().concat());
        let zstd = pack(Compression::Zstd(3), pieces()).await.unwrap();
        assert_eq!(
            zstd::stream::decode_all(&zstd.pieces[0][..]).unwrap(),
            pieces().concat()
        );
    }
}
