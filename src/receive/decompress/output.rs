//! The growing output of a coding.

use super::{Caps, Failure, malformed};
use crate::receive::admission::Ticket;
use bytes::Bytes;
use std::io::Read;

/// Share of a body by which its buffer may be larger.
const SLACK_SHARE: usize = 8;

/// What has been unfolded so far.
pub(super) struct Output {
    buf: Vec<u8>,
    filled: usize,
    ceiling: usize,
    caps: Caps,
}

impl Output {
    /// For a body of `compressed` bytes.
    pub(super) fn new(caps: Caps, compressed: usize) -> Self {
        Self {
            buf: Vec::new(),
            filled: 0,
            ceiling: caps.ceiling(compressed),
            caps,
        }
    }

    /// Bytes that may still come.
    pub(super) const fn room(&self) -> usize {
        self.ceiling - self.filled
    }

    /// What came. A buffer much larger than that is not kept: a body may wait in a queue for long.
    pub(super) fn finish(mut self) -> Bytes {
        self.buf.truncate(self.filled);
        // Copied, not shrunk: an allocator may leave a block as it is until half of it is unused.
        if self.buf.capacity() - self.filled > self.filled / SLACK_SHARE {
            return Bytes::copy_from_slice(&self.buf);
        }
        Bytes::from(self.buf)
    }

    /// What came so far, and `len` bytes behind it to write to, charged; fewer where the ceiling is nearer.
    pub(super) async fn behind(
        &mut self,
        len: usize,
        ticket: &mut Ticket,
    ) -> Result<(&[u8], &mut [u8]), Failure> {
        let end = self.filled + len.min(self.room());
        self.grow(end, ticket).await?;
        let (before, after) = self.buf.split_at_mut(self.filled);
        Ok((before, &mut after[..end - self.filled]))
    }

    /// `len` bytes have been written behind what came so far; returns them.
    pub(super) fn advance(&mut self, len: usize) -> &[u8] {
        let before = self.filled;
        self.filled = (self.filled + len).min(self.ceiling);
        &self.buf[before..self.filled]
    }

    /// Reads `from` to its end, `step` bytes at a time. A `guess` of one byte more than there are makes a
    /// buffer that never grows: the last byte is for seeing the end.
    pub(super) async fn drain(
        &mut self,
        mut from: impl Read,
        guess: usize,
        step: usize,
        name: &'static str,
        ticket: &mut Ticket,
    ) -> Result<(), Failure> {
        self.grow(self.filled.saturating_add(guess.max(1024)), ticket)
            .await?;
        loop {
            if self.filled == self.buf.len() {
                self.grow(self.buf.len().saturating_mul(2), ticket).await?;
            }
            let end = self.filled.saturating_add(step).min(self.buf.len());
            let read = match from.read(&mut self.buf[self.filled..end]) {
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(malformed(name)),
            };
            if read == 0 {
                return Ok(());
            }
            if read > self.room() {
                return Err(self.too_large());
            }
            self.filled += read;
            tokio::task::consume_budget().await;
        }
    }

    /// Makes the buffer `to` bytes long, charged first. One byte above the ceiling, so that an excess is
    /// seen.
    async fn grow(&mut self, to: usize, ticket: &mut Ticket) -> Result<(), Failure> {
        let to = to.clamp(self.filled + 1, self.ceiling + 1);
        if to > self.buf.len() {
            ticket.charge(to - self.buf.len()).await?;
            if self.buf.is_empty() {
                // An allocator knows which memory is zero already.
                self.buf = vec![0; to];
            } else {
                self.buf.reserve_exact(to - self.buf.len());
                self.buf.resize(to, 0);
            }
        }
        Ok(())
    }

    /// The refusal of one byte more.
    pub(super) fn too_large(&self) -> Failure {
        let Caps { limit, ratio } = self.caps;
        if self.ceiling < limit {
            let message = format!("the body unfolds to more than {ratio} times its compressed size");
            return Failure::TooLarge(message.into());
        }
        Failure::TooLarge(format!("the body is larger than {limit} bytes after decompression").into())
    }
}
