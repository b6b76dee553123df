//! A frame: everything that changed since the last one, as one row of the store.
//!
//! It holds *absolute* counts of the slots that changed, not differences. Counts of a slot only grow, so that
//! the larger of two values is the newer: frames may be laid over folded chunks, twice, or with one frame
//! missing, and the newest value that survived wins. The one exception says so itself: a slot of a block that
//! something was taken out of (an event whose variant became known later left the one that was assumed) is
//! *lowered*, and its value stands whatever was read before; so frames are read in their order. Rejected:
//! differences, where a frame that is read twice or lost makes every later count wrong.
//!
//! Layout: version, ledger time in nanoseconds, number of series, the series, number of cells, the cells,
//! CRC-32 of all that (little endian). A series: number, lifetime good and bad, last bucket, number of slots,
//! each slot. A cell: number, number of slots, each slot. A slot: bucket, good, bad. All numbers are varints;
//! a bucket is written as its distance back from the frame's newest possible bucket, doubled, plus one if it
//! is lowered. Version 1 had no such slots, and the distance stood there as it was.

use super::block::Slot;
use super::moment::{Bucket, bucket_of};
use super::{Counts, FUTURE_SECS, SeriesRef, varint};
use crate::time::UnixNanos;

const FRAME_VERSION: u8 = 2;
/// The version before slots could be lowered.
const GROWING_VERSION: u8 = 1;

/// Collects one frame.
#[derive(Debug)]
pub struct FrameBuilder {
    now: UnixNanos,
    base: Bucket,
    series: Part,
    cells: Part,
}

#[derive(Debug, Default)]
struct Part {
    rows: u64,
    bytes: Vec<u8>,
    slots: Vec<u8>,
}

impl Part {
    fn finish(&mut self, slots: u64) {
        varint::put(&mut self.bytes, slots);
        self.bytes.append(&mut self.slots);
        self.rows += 1;
    }
}

/// Frames are dated no later than a minute before the newest bucket they may hold.
fn base_of(now: UnixNanos) -> Bucket {
    bucket_of(now.secs() + FUTURE_SECS)
}

impl FrameBuilder {
    /// An empty frame at ledger time `now`.
    pub fn new(now: UnixNanos) -> Self {
        Self {
            now,
            base: base_of(now),
            series: Part::default(),
            cells: Part::default(),
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.series.rows == 0 && self.cells.rows == 0
    }

    pub(super) fn series(
        &mut self,
        id: SeriesRef,
        lifetime: Counts,
        last: Bucket,
        slots: impl FnOnce(&mut dyn FnMut(Slot)),
    ) {
        let part = &mut self.series;
        for value in [
            u64::from(id.0),
            lifetime.good,
            lifetime.bad,
            u64::from(self.base.saturating_sub(last)),
        ] {
            varint::put(&mut part.bytes, value);
        }
        part.add(self.base, slots);
    }

    pub(super) fn cell(&mut self, id: SeriesRef, slots: impl FnOnce(&mut dyn FnMut(Slot))) {
        varint::put(&mut self.cells.bytes, u64::from(id.0));
        self.cells.add(self.base, slots);
    }

    /// The row.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.series.bytes.len() + self.cells.bytes.len() + 32);
        out.push(FRAME_VERSION);
        varint::put(&mut out, self.now.0);
        for part in [self.series, self.cells] {
            varint::put(&mut out, part.rows);
            out.extend_from_slice(&part.bytes);
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }
}

impl Part {
    fn add(&mut self, base: Bucket, slots: impl FnOnce(&mut dyn FnMut(Slot))) {
        let (mut count, bytes) = (0u64, &mut self.slots);
        slots(&mut |slot| {
            count += 1;
            let distance = u64::from(base.saturating_sub(slot.bucket));
            varint::put(bytes, distance << 1 | u64::from(slot.lowered));
            varint::put(bytes, slot.counts.good);
            varint::put(bytes, slot.counts.bad);
        });
        self.finish(count);
    }
}

/// A series as a frame holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameSeries {
    pub(crate) id: SeriesRef,
    pub(crate) lifetime: Counts,
    pub(crate) last: Bucket,
    pub(crate) slots: Vec<Slot>,
}

impl FrameSeries {
    /// Whether something was taken out of it: then its lifetime, too, may be lower than it was.
    pub(crate) fn is_lowered(&self) -> bool {
        self.slots.iter().any(|slot| slot.lowered)
    }
}

/// A frame that was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) now: UnixNanos,
    pub(crate) series: Vec<FrameSeries>,
    pub(crate) cells: Vec<(SeriesRef, Vec<Slot>)>,
}

impl Frame {
    /// Reads a row; `None` when its checksum or anything in it does not hold.
    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let (body, crc) = row.split_at_checked(row.len().checked_sub(4)?)?;
        if crc32fast::hash(body).to_le_bytes() != crc {
            return None;
        }
        let (version, mut rest) = body.split_first()?;
        let growing = match *version {
            FRAME_VERSION => false,
            GROWING_VERSION => true,
            _ => return None,
        };
        let rest = &mut rest;
        let mut frame = Self {
            now: UnixNanos(varint::take(rest)?),
            ..Self::default()
        };
        let base = base_of(frame.now);
        for _ in 0..varint::take(rest)? {
            let id = SeriesRef(varint::take_u32(rest)?);
            let lifetime = Counts {
                good: varint::take(rest)?,
                bad: varint::take(rest)?,
            };
            let last = base.checked_sub(varint::take_u32(rest)?)?;
            frame.series.push(FrameSeries {
                id,
                lifetime,
                last,
                slots: slots(rest, base, growing)?,
            });
        }
        for _ in 0..varint::take(rest)? {
            let id = SeriesRef(varint::take_u32(rest)?);
            frame.cells.push((id, slots(rest, base, growing)?));
        }
        rest.is_empty().then_some(frame)
    }
}

fn slots(rest: &mut &[u8], base: Bucket, growing: bool) -> Option<Vec<Slot>> {
    let count = varint::take(rest)?;
    let mut slots = Vec::new();
    for _ in 0..count {
        let (distance, lowered) = match varint::take(rest)? {
            distance if growing => (distance, false),
            both => (both >> 1, both & 1 == 1),
        };
        slots.push(Slot {
            bucket: base.checked_sub(Bucket::try_from(distance).ok()?)?,
            counts: Counts {
                good: varint::take(rest)?,
                bad: varint::take(rest)?,
            },
            lowered,
        });
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixNanos = UnixNanos::from_secs(1_800_000_000);

    fn slot(bucket: Bucket, good: u64, bad: u64) -> Slot {
        Slot {
            bucket,
            counts: Counts { good, bad },
            lowered: good % 2 == 1,
        }
    }

    fn row(good: u64, bad: u64) -> Vec<u8> {
        let mut builder = FrameBuilder::new(NOW);
        let counts = Counts { good, bad };
        builder.series(SeriesRef(7), counts, 180_000_000, |each| {
            each(slot(179_999_999, good, bad));
        });
        builder.cell(SeriesRef(9), |each| each(slot(180_000_000, good, bad)));
        builder.finish()
    }

    /// A frame of version 1: one series of one slot, five buckets before the newest possible.
    #[test]
    fn frames_from_before_slots_could_be_lowered_are_read() {
        let mut row = vec![1];
        for number in [NOW.0, 1, 7, 4, 2, 0, 1, 5, 4, 2, 0] {
            varint::put(&mut row, number);
        }
        let crc = crc32fast::hash(&row);
        row.extend(crc.to_le_bytes());
        let frame = Frame::decode(&row).unwrap();
        let slot = Slot {
            bucket: base_of(NOW) - 5,
            counts: Counts { good: 4, bad: 2 },
            lowered: false,
        };
        assert_eq!(frame.series[0].slots, [slot]);
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_as_written(good in any::<u64>(), bad in any::<u64>()) {
            let counts = Counts { good, bad };
            let frame = Frame::decode(&row(good, bad)).unwrap();
            prop_assert_eq!(frame.now, NOW);
            prop_assert_eq!(&frame.series[0].slots, &vec![slot(179_999_999, good, bad)]);
            prop_assert_eq!((frame.series[0].lifetime, frame.series[0].last), (counts, 180_000_000));
            prop_assert_eq!(&frame.cells, &vec![(SeriesRef(9), vec![slot(180_000_000, good, bad)])]);
        }

        #[test]
        fn any_bytes_with_a_good_checksum_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut row = vec![FRAME_VERSION];
            row.extend(bytes);
            let crc = crc32fast::hash(&row);
            row.extend(crc.to_le_bytes());
            let _ = Frame::decode(&row);
        }

        #[test]
        fn one_flipped_bit_is_noticed(bit in 0usize..160) {
            let mut damaged = row(5, 1);
            let bit = bit % (damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Frame::decode(&damaged), None);
        }
    }
}
