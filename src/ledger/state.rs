//! What the store keeps of a series besides its chunks.

use super::moment::Bucket;
use super::series::Series;
use super::{Counts, varint};
use crate::time::UnixNanos;

const STATE_VERSION: u8 = 1;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeriesState {
    /// No event is older than this bucket.
    pub first: Bucket,
    /// Newest bucket that holds an event.
    pub last: Bucket,
    /// Hours before this bucket are sealed.
    pub sealed: Bucket,
    /// Every event since it was first seen.
    pub lifetime: Counts,
}

impl SeriesState {
    /// The bytes of a row.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![STATE_VERSION];
        for value in [self.first, self.last, self.sealed] {
            varint::put(&mut out, u64::from(value));
        }
        varint::put(&mut out, self.lifetime.good);
        varint::put(&mut out, self.lifetime.bad);
        out
    }

    /// Reads the bytes of a row.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[STATE_VERSION])?;
        let rest = &mut rest;
        Some(Self {
            first: varint::take_u32(rest)?,
            last: varint::take_u32(rest)?,
            sealed: varint::take_u32(rest)?,
            lifetime: Counts {
                good: varint::take(rest)?,
                bad: varint::take(rest)?,
            },
        })
    }

    /// Start of the newest bucket that holds an event.
    pub fn last_event(&self) -> UnixNanos {
        super::moment::start_of(self.last)
    }
}

impl Series {
    pub(super) fn state(&self) -> SeriesState {
        SeriesState {
            first: self.extent.first,
            last: self.last,
            sealed: self.extent.sealed,
            lifetime: self.lifetime,
        }
    }
}
