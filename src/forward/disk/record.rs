//! One record of the log: a batch, with what is needed to find it again when what is around it is damaged.
//!
//! ```text
//! magic 4 | crc of the head's rest 4 | crc of the content 4 | lengths of metadata 4 and bytes 4
//! items 8 | signal 1 | 0 0 0
//! metadata | bytes
//! ```
//!
//! The head has a checksum of its own, so that a start can hop from head to head without reading contents;
//! the magic lets a reader find the next record behind a damaged one.

use crate::pipeline::Signal;

/// Bytes of a head.
pub(super) const HEAD: usize = 32;
/// Begins every record.
pub(super) const MAGIC: [u8; 4] = *b"BGq1";

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) signal: Signal,
    pub(super) items: u64,
    pub(super) metadata: u32,
    pub(super) bytes: u32,
    /// Of metadata and bytes.
    pub(super) crc: u32,
}

impl Head {
    /// Bytes of the content.
    pub(super) fn content(&self) -> u64 {
        u64::from(self.metadata) + u64::from(self.bytes)
    }

    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..4].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.crc.to_le_bytes());
        out[12..16].copy_from_slice(&self.metadata.to_le_bytes());
        out[16..20].copy_from_slice(&self.bytes.to_le_bytes());
        out[20..28].copy_from_slice(&self.items.to_le_bytes());
        out[28] = match self.signal {
            Signal::Traces => 1,
            Signal::Metrics => 2,
            Signal::Logs => 3,
        };
        let crc = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` where the bytes are no head, or a damaged one.
    pub(super) fn from_bytes(bytes: &[u8; HEAD]) -> Option<Self> {
        let word = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        if bytes[..4] != MAGIC || word(4)? != crc32fast::hash(&bytes[8..]) {
            return None;
        }
        Some(Self {
            signal: match bytes[28] {
                1 => Signal::Traces,
                2 => Signal::Metrics,
                3 => Signal::Logs,
                _ => return None,
            },
            items: bytes[20..28].try_into().map(u64::from_le_bytes).ok()?,
            metadata: word(12)?,
            bytes: word(16)?,
            crc: word(8)?,
        })
    }
}

/// Checksum of a content.
pub(super) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
    }
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn head_comes_back_and_any_flipped_bit_is_noticed(
            items: u64, metadata: u32, bytes: u32, crc: u32, signal in 0_usize..3, bit in 0_usize..HEAD * 8,
        ) {
            let head = Head { signal: Signal::ALL[signal], items, metadata, bytes, crc };
            let mut out = head.to_bytes();
            prop_assert_eq!(Head::from_bytes(&out), Some(head));
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Head::from_bytes(&out), None);
        }
    }
}
