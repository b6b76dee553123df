//! zstd: frames in a row, none of which may ask for a window of more than 8 MiB.

use super::output::Output;
use super::zstd_frame::{self, Frame};
use super::{Failure, RATIO_FREE_BYTES, STEP_BYTES, malformed};
use crate::receive::admission::Ticket;

/// Largest window, as a power of two: 8 MiB, what RFC 8878 asks decoders to support.
const MAX_WINDOW_LOG: u32 = 23;
const MAX_WINDOW_BYTES: u64 = 1 << MAX_WINDOW_LOG;

/// Unfolds all frames of `body`.
pub(super) async fn unfold(body: &[u8], out: &mut Output, ticket: &mut Ticket) -> Result<(), Failure> {
    let mut rest = body;
    while !rest.is_empty() {
        rest = one(rest, out, ticket).await?;
    }
    Ok(())
}

/// One frame; returns what follows it.
async fn one<'a>(input: &'a [u8], out: &mut Output, ticket: &mut Ticket) -> Result<&'a [u8], Failure> {
    let invalid = || malformed("zstd");
    let (window, content) = match zstd_frame::peek(input).ok_or_else(invalid)? {
        Frame::Skippable { len } => return input.get(len..).ok_or_else(invalid),
        Frame::Data { window, content } => (window, content),
    };
    let content = content.map(|c| usize::try_from(c).unwrap_or(usize::MAX));
    if content.is_some_and(|c| c > out.room()) {
        return Err(out.too_large());
    }
    // With room for the whole frame zstd writes straight into our buffer and needs no window of its own.
    let whole = content.filter(|c| *c <= RATIO_FREE_BYTES || window > MAX_WINDOW_BYTES);
    let (guess, step) = match (whole, content) {
        (Some(c), _) => (c.saturating_add(1), c.max(1)),
        (None, Some(c)) => (c.saturating_add(1), STEP_BYTES),
        (None, None) => (input.len().saturating_mul(4), STEP_BYTES),
    };
    if whole.is_none() {
        if window > MAX_WINDOW_BYTES {
            let message = format!("zstd window of {window} bytes; at most {MAX_WINDOW_BYTES} are supported");
            return Err(Failure::TooLarge(message.into()));
        }
        ticket
            .charge(usize::try_from(window).unwrap_or(usize::MAX))
            .await?;
    }
    let mut decoder = ::zstd::stream::read::Decoder::with_buffer(input)
        .map_err(|_| invalid())?
        .single_frame();
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(|_| invalid())?;
    out.drain(&mut decoder, guess, step, "zstd", ticket).await?;
    Ok(decoder.finish())
}
