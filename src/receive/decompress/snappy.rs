//! Snappy: one block, which says how long it will be, or chunks of at most 64 KiB.

use super::output::Output;
use super::{Failure, STEP_BYTES, malformed};
use crate::receive::admission::Ticket;
use bytes::Bytes;

/// How framed snappy begins.
const STREAM_HEADER: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// What the decoder of frames keeps for itself: a chunk before and after.
const FRAME_BUFFERS_BYTES: usize = 144 << 10;
/// Blocks above this are decoded off the workers that move bytes.
const INLINE_BYTES: usize = 1 << 20;

/// Whether `body` is framed.
pub(super) fn is_framed(body: &[u8]) -> bool {
    body.starts_with(STREAM_HEADER)
}

/// Unfolds chunks.
pub(super) async fn framed(body: &[u8], out: &mut Output, ticket: &mut Ticket) -> Result<(), Failure> {
    ticket.charge(FRAME_BUFFERS_BYTES).await?;
    let from = snap::read::FrameDecoder::new(body);
    let guess = body.len().saturating_mul(4);
    out.drain(from, guess, STEP_BYTES, "snappy", ticket).await
}

/// Unfolds one block. The length that it claims is looked at before a byte of it is believed: a header of
/// five bytes may claim four gigabytes.
pub(super) async fn block(body: Bytes, out: &Output, ticket: &mut Ticket) -> Result<Bytes, Failure> {
    let len = snap::raw::decompress_len(&body).map_err(|_| malformed("snappy"))?;
    if len > out.room() {
        return Err(out.too_large());
    }
    ticket.charge(len).await?;
    let decode = move || {
        let mut plain = vec![0; len];
        let decoded = snap::raw::Decoder::new().decompress(&body, &mut plain);
        decoded.is_ok_and(|written| written == len).then_some(plain)
    };
    let plain = if len <= INLINE_BYTES {
        decode()
    } else {
        let task = tokio::task::spawn_blocking(decode);
        task.await.map_err(|_| Failure::Panicked)?
    };
    plain.map(Bytes::from).ok_or_else(|| malformed("snappy"))
}
