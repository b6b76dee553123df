//! LZ4 frames (lz4_Frame_format.md, 1.6).
//!
//! Blocks are the library's; frames are read here, because its own reader takes a frame that ends between two
//! blocks for a whole one, and allocates twice the block size that a header claims before it has seen a
//! block. Here each block is written straight behind those before it, which are its dictionary.

use super::output::Output;
use super::{Failure, malformed};
use crate::receive::admission::Ticket;
use lz4_flex::block::{DecompressError, decompress_into_with_dict};
use std::hash::Hasher;
use twox_hash::XxHash32;

const MAGIC: u32 = 0x184D_2204;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;
/// How far back a block may refer.
const WINDOW_BYTES: usize = 64 << 10;
/// First guess of a block's length, for each byte of it.
const GUESS: usize = 4;

/// Unfolds all frames of `body`.
pub(super) async fn unfold(body: &[u8], out: &mut Output, ticket: &mut Ticket) -> Result<(), Failure> {
    let mut input = Input(body);
    while !input.0.is_empty() {
        let magic = input.number()?;
        if magic & 0xFFFF_FFF0 == SKIPPABLE_MAGIC {
            let len = input.number()?;
            input.take(len as usize)?;
        } else if magic == MAGIC {
            frame(&mut input, out, ticket).await?;
        } else {
            return Err(malformed("lz4"));
        }
    }
    Ok(())
}

/// What a frame's header says.
struct Header {
    is_linked: bool,
    has_block_checksums: bool,
    has_content_checksum: bool,
    content: Option<u64>,
    max_block: usize,
}

async fn frame(input: &mut Input<'_>, out: &mut Output, ticket: &mut Ticket) -> Result<(), Failure> {
    let header = Header::read(input)?;
    if header.content.is_some_and(|content| content > out.room() as u64) {
        return Err(out.too_large());
    }
    let mut hasher = XxHash32::with_seed(0);
    let mut content = 0_u64;
    loop {
        let size = input.number()?;
        if size == 0 {
            break;
        }
        let block = input.take((size & 0x7FFF_FFFF) as usize)?;
        if block.len() > header.max_block {
            return Err(malformed("lz4"));
        }
        if header.has_block_checksums && input.number()? != checksum(block) {
            return Err(malformed("lz4"));
        }
        let is_compressed = size >> 31 == 0;
        let dictionary = if header.is_linked { content } else { 0 };
        let plain = write(block, is_compressed, (&header, dictionary), out, ticket).await?;
        hasher.write(plain);
        content += plain.len() as u64;
        tokio::task::consume_budget().await;
    }
    if header.has_content_checksum && u64::from(input.number()?) != hasher.finish() {
        return Err(malformed("lz4"));
    }
    match header.content {
        Some(claimed) if claimed != content => Err(malformed("lz4")),
        _ => Ok(()),
    }
}

/// Writes one block behind what came so far, of which the last `dictionary` bytes may be referred to.
async fn write<'a>(
    block: &[u8],
    is_compressed: bool,
    (header, dictionary): (&Header, u64),
    out: &'a mut Output,
    ticket: &mut Ticket,
) -> Result<&'a [u8], Failure> {
    let mut guess = if is_compressed {
        block.len().saturating_mul(GUESS).min(header.max_block)
    } else {
        block.len()
    };
    let written = loop {
        let most = out.room();
        let (before, space) = out.behind(guess, ticket).await?;
        let result = if is_compressed {
            let back = usize::try_from(dictionary)
                .unwrap_or(usize::MAX)
                .min(WINDOW_BYTES);
            decompress_into_with_dict(block, space, &before[before.len().saturating_sub(back)..])
        } else if let Some(space) = space.get_mut(..block.len()) {
            space.copy_from_slice(block);
            Ok(block.len())
        } else {
            return Err(out.too_large());
        };
        match result {
            Ok(written) => break written,
            Err(DecompressError::OutputTooSmall { .. }) if guess > most => return Err(out.too_large()),
            Err(DecompressError::OutputTooSmall { .. }) if guess < header.max_block => {
                guess = guess.saturating_mul(2).min(header.max_block);
            }
            Err(_) => return Err(malformed("lz4")),
        }
    };
    Ok(out.advance(written))
}

impl Header {
    fn read(input: &mut Input<'_>) -> Result<Self, Failure> {
        let whole = input.0;
        let flags = input.take(2)?;
        let (flags, sizes) = (flags[0], flags[1]);
        let has = |bit: u8| flags & 1 << bit != 0;
        let max_block = match sizes {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(malformed("lz4")),
        };
        // Version 1, no reserved bit, and no dictionary, which only the sender would know.
        if flags >> 6 != 1 || has(1) || has(0) {
            return Err(malformed("lz4"));
        }
        let content = if has(3) {
            let (low, high) = (input.number()?, input.number()?);
            Some(u64::from(low) | u64::from(high) << 32)
        } else {
            None
        };
        let described = &whole[..whole.len() - input.0.len()];
        let check = input.take(1)?[0];
        if (checksum(described) >> 8) & 0xFF != u32::from(check) {
            return Err(malformed("lz4"));
        }
        Ok(Self {
            is_linked: !has(5),
            has_block_checksums: has(4),
            has_content_checksum: has(2),
            content,
            max_block,
        })
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Failure> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| malformed("lz4"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Four bytes, the least first.
    fn number(&mut self) -> Result<u32, Failure> {
        let bytes = self.take(4)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }
}
