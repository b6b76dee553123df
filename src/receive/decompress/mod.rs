//! Content codings, with every byte of output charged before it is stored.
//!
//! Problem: ten kilobytes may unfold to ten gigabytes. Property wanted: memory stays within the request's
//! limit and the common budget, and the work within the ratio, for any input and any coding; a worker is
//! never held for longer than a step. A body that was cut short is malformed, never a shorter body (but where
//! a format has no end, as framed snappy has none between two chunks). Rejected: the transport library's own
//! decompression, which caps the output but neither the ratio nor zstd's window, and charges nothing; one
//! layer on top of another, because each would need a budget of its own.

mod coding;
mod lz4;
mod output;
mod snappy;
mod zstd;
mod zstd_frame;

#[cfg(test)]
mod tests;

pub(super) use coding::Coding;

use super::admission::Ticket;
use super::failure::Failure;
use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use output::Output;

/// Output below which the ratio is not looked at: small bodies of repeated text compress well and do no harm.
const RATIO_FREE_BYTES: usize = 1 << 20;
/// Output of one step; between two steps other tasks run.
const STEP_BYTES: usize = 256 << 10;

/// What gzip begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What one body may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// Bytes after decompression.
    pub(super) limit: usize,
    /// Bytes out for each byte in.
    pub(super) ratio: usize,
}

impl Caps {
    /// The most that `compressed` bytes may become.
    fn ceiling(self, compressed: usize) -> usize {
        compressed
            .saturating_mul(self.ratio)
            .max(RATIO_FREE_BYTES)
            .min(self.limit)
    }
}

/// Unfolds `body`.
pub(super) async fn decompress(
    coding: Coding,
    body: Bytes,
    caps: Caps,
    ticket: &mut Ticket,
) -> Result<Bytes, Failure> {
    // Some clients send nothing at all for an empty message, whatever coding they announce.
    if coding == Coding::Identity || body.is_empty() {
        return Ok(body);
    }
    let mut out = Output::new(caps, body.len());
    let guess = body.len().saturating_mul(4);
    match coding {
        Coding::Identity => {}
        Coding::Gzip => {
            let from = MultiGzDecoder::new(&body[..]);
            let told = told_by_gzip(&body, caps.ceiling(body.len()));
            out.drain(from, told.unwrap_or(guess), STEP_BYTES, "gzip", ticket)
                .await?;
        }
        Coding::Zlib => {
            let mut from = ZlibDecoder::new(&body[..]);
            out.drain(&mut from, guess, STEP_BYTES, "zlib", ticket).await?;
            if !from.get_ref().is_empty() {
                return Err(malformed("zlib"));
            }
        }
        Coding::Zstd => zstd::unfold(&body, &mut out, ticket).await?,
        Coding::Snappy if snappy::is_framed(&body) => snappy::framed(&body, &mut out, ticket).await?,
        Coding::Snappy => return snappy::block(body, &out, ticket).await,
        Coding::SnappyFramed => snappy::framed(&body, &mut out, ticket).await?,
        Coding::Lz4 => lz4::unfold(&body, &mut out, ticket).await?,
    }
    Ok(out.finish())
}

/// Room for what gzip's trailer says (RFC 1952: ISIZE, the last four bytes), so that no buffer need grow.
/// Only a hint: it is the size of the last member of perhaps several, and whoever wrote it may lie. So the
/// room is charged like any other, and the decoder compares in the end; `None` where the body is no gzip or
/// would be refused if it were true, since a wrong body must hear that it is wrong and not that memory is
/// short.
fn told_by_gzip(body: &[u8], ceiling: usize) -> Option<usize> {
    if !body.starts_with(&GZIP_MAGIC) {
        return None;
    }
    let told = usize::try_from(u32::from_le_bytes(*body.last_chunk()?)).ok()?;
    (told <= ceiling).then(|| told.max(body.len()).saturating_add(1))
}

fn malformed(name: &str) -> Failure {
    Failure::Malformed(format!("the body is not valid {name}").into())
}
