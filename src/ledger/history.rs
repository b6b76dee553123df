//! What the ledger asks of the store: one series' chunk of one tier, and how such a chunk is written.
//!
//! A chunk is sparse: offset, good, bad, as varints, a version byte before them. It holds absolute counts, so
//! that writing one twice is harmless.

use super::moment::{Bucket, bucket_of, start_secs};
use super::{Counts, varint};
use thiserror::Error;

/// A series' number in the store; stable over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u32);

/// Width of a bucket, and of the chunk of buckets that is one row of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tier {
    /// 10 s buckets, 5 min a chunk, kept 2 h.
    Fine = 0,
    /// 1 min buckets, 1 h a chunk, kept 3 d.
    Minutes = 1,
    /// 5 min buckets, 1 d a chunk, kept 400 d; totals only.
    Days = 2,
    /// Evidence cells: 10 s buckets, 5 min a chunk, kept 30 min.
    Evidence = 3,
}

impl Tier {
    /// All tiers.
    pub const ALL: [Self; 4] = [Self::Fine, Self::Minutes, Self::Days, Self::Evidence];

    /// The byte that stands for the tier in a key.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Version byte of an encoded chunk.
const CHUNK_VERSION: u8 = 1;

/// One chunk: the buckets that hold events, ascending, each with its offset within the chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// (bucket within the chunk, counts).
    pub buckets: Vec<(u16, Counts)>,
}

impl Chunk {
    /// The bytes of a row.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.buckets.len() * 5);
        out.push(CHUNK_VERSION);
        let mut expected = 0u16;
        for &(offset, counts) in &self.buckets {
            varint::put(&mut out, u64::from(offset - expected));
            varint::put(&mut out, counts.good);
            varint::put(&mut out, counts.bad);
            expected = offset.saturating_add(1);
        }
        out
    }

    /// Reads the bytes of a row; `None` when they are no chunk.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[CHUNK_VERSION])?;
        let (mut buckets, mut expected) = (Vec::new(), 0u16);
        while !rest.is_empty() {
            let offset = expected.checked_add(u16::try_from(varint::take(&mut rest)?).ok()?)?;
            let counts = Counts {
                good: varint::take(&mut rest)?,
                bad: varint::take(&mut rest)?,
            };
            buckets.push((offset, counts));
            expected = offset.checked_add(1)?;
        }
        Some(Self { buckets })
    }

    /// Adds what `newer` holds; where both hold a bucket, the larger count is the newer one.
    pub fn merge(&mut self, newer: &Self) {
        for &(offset, counts) in &newer.buckets {
            match self.buckets.binary_search_by_key(&offset, |&(o, _)| o) {
                Ok(at) => self.buckets[at].1 = self.buckets[at].1.max(counts),
                Err(at) => self.buckets.insert(at, (offset, counts)),
            }
        }
    }

    /// Sum of the buckets within [from, to) of a chunk of `tier` that starts at `start`, all in 10 s buckets.
    pub(super) fn sum(&self, tier: Tier, start: Bucket, from: Bucket, to: Bucket) -> Counts {
        let mut sum = Counts::ZERO;
        for &(offset, counts) in &self.buckets {
            let at = start + Bucket::from(offset) * tier.width();
            if at >= from && at < to {
                sum.add(counts);
            }
        }
        sum
    }
}

/// Why history could not be read.
#[derive(Debug, Error)]
#[error("the history of the counts could not be read: {reason}")]
pub struct HistoryError {
    /// What the store said.
    pub reason: String,
    /// The file itself is damaged.
    pub damaged: bool,
}

/// What a scan hands over: start in seconds, series, chunk.
pub type ChunkVisitor<'v> = dyn FnMut(u64, SeriesRef, Chunk) + 'v;

/// Sealed and folded chunks of the past. Implemented by every store.
pub trait History {
    /// The chunk of `series` that starts at `start_secs`; `None` when nothing happened in it.
    fn chunk(&self, tier: Tier, start_secs: u64, series: SeriesRef) -> Result<Option<Chunk>, HistoryError>;

    /// Every chunk of `tier` that starts within [from, to), of every series, in order of time.
    fn scan(
        &self,
        tier: Tier,
        from_secs: u64,
        to_secs: u64,
        visit: &mut ChunkVisitor<'_>,
    ) -> Result<(), HistoryError>;
}

/// The sum of one series over [from, to) as one tier of the store holds it.
pub(super) fn stored_sum(
    history: &dyn History,
    series: SeriesRef,
    tier: Tier,
    from: Bucket,
    to: Bucket,
) -> Result<Counts, HistoryError> {
    let mut sum = Counts::ZERO;
    let mut start = tier.chunk_of(from);
    while start < to {
        if let Some(chunk) = history.chunk(tier, start_secs(start), series)? {
            sum.add(chunk.sum(tier, start, from, to));
        }
        start += tier.span();
    }
    Ok(sum)
}

/// Start of a chunk as the store states it, in 10 s buckets.
pub(super) fn start_bucket(secs: u64) -> Bucket {
    bucket_of(secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunks() -> impl Strategy<Value = Chunk> {
        proptest::collection::btree_map(0u16..300, (any::<u64>(), any::<u64>()), 0..60).prop_map(|map| {
            Chunk {
                buckets: map
                    .into_iter()
                    .map(|(o, (good, bad))| (o, Counts { good, bad }))
                    .collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn a_chunk_reads_back_as_written(chunk in chunks()) {
            prop_assert_eq!(Chunk::decode(&chunk.encode()), Some(chunk));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Chunk::decode(&bytes);
        }

        #[test]
        fn merging_twice_changes_nothing(a in chunks(), b in chunks()) {
            let mut once = a.clone();
            once.merge(&b);
            let mut twice = once.clone();
            twice.merge(&b);
            prop_assert_eq!(once, twice);
        }
    }
}
