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
    let pieces = if len_of(&pieces) < OFFLOAD_MIN {
        compress(compression, pieces)?
    } else {
        // As many at once as there are consumers. Limited to the cores packing would get a smaller share of
        // them than receiving does, and what waits for it waits unpacked.
        let work = tokio::task::spawn_blocking(move || compress(compression, pieces));
        work.await.map_err(std::io::Error::other)??
    };
    Ok(Packed {
        pieces,
        coding: Some(coding),
    })
}

/// Each piece is given back as soon as it is packed: what goes out need not be in memory twice.
fn compress(compression: Compression, pieces: Pieces) -> std::io::Result<Pieces> {
    let len = len_of(&pieces);
    let room = Chunks::for_request(len);
    let packed = match compression {
        Compression::None => return Ok(pieces),
        Compression::Gzip(level) => {
            let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::new(level));
            for piece in pieces {
                encoder.write_all(&piece)?;
            }
            encoder.finish()?
        }
        Compression::Zstd(level) => {
            let level = i32::try_from(level).unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
            let mut encoder = zstd::stream::write::Encoder::new(room, level)?;
            encoder.set_pledged_src_size(Some(len as u64))?;
            for piece in pieces {
                encoder.write_all(&piece)?;
            }
            encoder.finish()?
        }
    };
    Ok(packed.into_pieces())
}

/// Largest buffer of packed bytes.
const CHUNK: usize = 64 << 10;

/// Packed bytes as buffers in a row: nobody knows beforehand how many there will be, one buffer would be
/// copied as it grows, and be half empty in the end.
struct Chunks {
    full: Pieces,
    open: Vec<u8>,
}

impl Chunks {
    /// For a request of `len` bytes; telemetry packs to a fifth or less.
    fn for_request(len: usize) -> Self {
        Self {
            full: Pieces::new(),
            open: Vec::with_capacity((len / 5 + 64).min(CHUNK)),
        }
    }

    fn into_pieces(mut self) -> Pieces {
        if !self.open.is_empty() {
            self.full.push(Bytes::from(self.open));
        }
        self.full
    }
}

impl Write for Chunks {
    fn write(&mut self, packed: &[u8]) -> std::io::Result<usize> {
        if self.open.len() == CHUNK {
            let full = std::mem::replace(&mut self.open, Vec::with_capacity(CHUNK));
            self.full.push(full.into());
        }
        let fits = packed.len().min(CHUNK - self.open.len());
        self.open.extend_from_slice(&packed[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

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
        flate2::read::GzDecoder::new(&gzip.pieces.concat()[..])
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, pieces().concat());
        let zstd = pack(Compression::Zstd(3), pieces()).await.unwrap();
        assert_eq!(
            zstd::stream::decode_all(&zstd.pieces.concat()[..]).unwrap(),
            pieces().concat()
        );
    }

    /// Bytes that say when they are gone.
    struct Witness(Vec<u8>, Arc<AtomicBool>);

    impl AsRef<[u8]> for Witness {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl Drop for Witness {
        fn drop(&mut self) {
            self.1.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn what_is_packed_is_not_held_unpacked() {
        for compression in [Compression::Gzip(6), Compression::Zstd(3)] {
            let gone = Arc::new(AtomicBool::new(false));
            let piece = Bytes::from_owner(Witness(vec![7; 100_000], gone.clone()));
            let packed = pack(compression, vec![piece]).await.unwrap();
            assert!(gone.load(Ordering::SeqCst), "{compression:?}");
            assert!(packed.len() < 1000);
        }
    }

    #[tokio::test]
    async fn much_that_hardly_packs_lies_in_full_buffers_of_one_size() {
        let mut noise = fastrand::Rng::with_seed(7);
        let body: Vec<u8> = (0..500_000).map(|_| noise.u8(..)).collect();
        let packed = pack(Compression::Gzip(1), vec![body.clone().into()])
            .await
            .unwrap();
        let (last, full) = packed.pieces.split_last().unwrap();
        assert!(full.len() >= 7 && full.iter().all(|piece| piece.len() == CHUNK));
        assert!(!last.is_empty() && last.len() <= CHUNK);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&packed.pieces.concat()[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert!(plain == body);
    }
}
