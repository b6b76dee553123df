//! The ring's memory: five minutes of 10 s slots a block, made only where events fall.
//!
//! Slots are as wide as their counts need: 16 bits serve 6,500 events a second, and a block that outgrows its
//! width is rewritten at the next one. So counts stay exact at any rate, an idle series holds no block at
//! all, and a busy one stays below 8 KiB. Rejected: a fixed array of 64-bit pairs (12 KB a series), and
//! saturating 32-bit pairs (not exact).

use super::Counts;
use super::moment::{Bucket, FIVE_MINUTES};

const SLOTS: usize = FIVE_MINUTES as usize;
/// The slots that changed since the last frame; bit 31 of a block's marks says that it changed since the last
/// fold.
const SLOT_MARKS: u32 = (1 << FIVE_MINUTES) - 1;
const UNFOLDED: u32 = 1 << 31;

/// One slot that changed, as absolute counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) bucket: Bucket,
    pub(crate) counts: Counts,
    /// Something was taken out of its block since the last frame: the counts may be lower than they were.
    pub(crate) lowered: bool,
}

#[derive(Clone, Debug)]
enum Slots {
    Small(Box<[[u16; 2]; SLOTS]>),
    Medium(Box<[[u32; 2]; SLOTS]>),
    Large(Box<[[u64; 2]; SLOTS]>),
}

/// Five minutes of one series.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// First bucket.
    start: Bucket,
    marks: u32,
    /// Something was taken out since the last frame.
    lowered: bool,
    slots: Slots,
}

impl Slots {
    fn get(&self, slot: usize) -> Counts {
        let [good, bad] = match self {
            Self::Small(s) => s[slot].map(u64::from),
            Self::Medium(s) => s[slot].map(u64::from),
            Self::Large(s) => s[slot],
        };
        Counts { good, bad }
    }

    /// Writes if the width allows it.
    fn try_set(&mut self, slot: usize, counts: Counts) -> bool {
        match self {
            Self::Small(s) => match (u16::try_from(counts.good), u16::try_from(counts.bad)) {
                (Ok(good), Ok(bad)) => s[slot] = [good, bad],
                _ => return false,
            },
            Self::Medium(s) => match (u32::try_from(counts.good), u32::try_from(counts.bad)) {
                (Ok(good), Ok(bad)) => s[slot] = [good, bad],
                _ => return false,
            },
            Self::Large(s) => s[slot] = [counts.good, counts.bad],
        }
        true
    }

    fn widen(&mut self) {
        *self = match self {
            Self::Small(s) => Self::Medium(Box::new(s.map(|pair| pair.map(u32::from)))),
            Self::Medium(s) => Self::Large(Box::new(s.map(|pair| pair.map(u64::from)))),
            Self::Large(_) => return,
        };
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Small(s) => size_of_val(&**s),
            Self::Medium(s) => size_of_val(&**s),
            Self::Large(s) => size_of_val(&**s),
        }
    }
}

impl Block {
    fn new(start: Bucket) -> Self {
        Self {
            start,
            marks: 0,
            lowered: false,
            slots: Slots::Small(Box::new([[0; 2]; SLOTS])),
        }
    }

    pub(super) fn start(&self) -> Bucket {
        self.start
    }

    fn end(&self) -> Bucket {
        self.start + FIVE_MINUTES
    }

    /// Adds to one slot and marks it for the next frame and fold.
    fn add(&mut self, bucket: Bucket, counts: Counts) {
        let offset = bucket - self.start;
        let mut sum = self.slots.get(offset as usize);
        sum.add(counts);
        self.set(offset, sum);
        self.marks |= UNFOLDED | 1 << offset;
    }

    /// Takes as much of `counts` out of one slot as it holds; how much that was.
    fn take(&mut self, bucket: Bucket, counts: Counts) -> Counts {
        let offset = bucket - self.start;
        let there = self.slots.get(offset as usize);
        let taken = counts.within(there);
        if !taken.is_zero() {
            self.set(offset, there.without(taken));
            self.marks |= UNFOLDED | 1 << offset;
            self.lowered = true;
        }
        taken
    }

    fn set(&mut self, offset: Bucket, counts: Counts) {
        while !self.slots.try_set(offset as usize, counts) {
            self.slots.widen();
        }
    }

    fn sum(&self, from: Bucket, to: Bucket) -> Counts {
        let mut sum = Counts::ZERO;
        for bucket in from.max(self.start)..to.min(self.end()) {
            sum.add(self.slots.get((bucket - self.start) as usize));
        }
        sum
    }

    /// The buckets that hold events.
    pub(super) fn filled(&self) -> impl Iterator<Item = (Bucket, Counts)> + '_ {
        (self.start..self.end())
            .map(|bucket| (bucket, self.slots.get((bucket - self.start) as usize)))
            .filter(|(_, counts)| !counts.is_zero())
    }
}

/// The blocks of one series or cell, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(Vec<Block>);

impl Blocks {
    /// Adds `counts` to `bucket`.
    #[inline]
    pub(super) fn add(&mut self, bucket: Bucket, counts: Counts) {
        if let Some(last) = self.0.last_mut()
            && bucket >= last.start
            && bucket < last.end()
        {
            return last.add(bucket, counts);
        }
        self.block(bucket).add(bucket, counts);
    }

    /// Takes as much of `counts` out of `bucket` as it holds; how much that was.
    pub(super) fn take(&mut self, bucket: Bucket, counts: Counts) -> Counts {
        let start = bucket - bucket % FIVE_MINUTES;
        let at = self.0.binary_search_by_key(&start, |b| b.start);
        at.map_or(Counts::ZERO, |at| self.0[at].take(bucket, counts))
    }

    /// Puts a slot back, as a restore does: raises it to at least `counts`, or sets it where the counts may
    /// be lower than they were. The block counts as folded only if `folded`.
    pub(super) fn put_back(&mut self, slot: Slot, folded: bool) {
        let block = self.block(slot.bucket);
        let offset = slot.bucket - block.start;
        let counts = if slot.lowered {
            slot.counts
        } else {
            block.slots.get(offset as usize).max(slot.counts)
        };
        block.set(offset, counts);
        if !folded {
            block.marks |= UNFOLDED;
        }
    }

    fn block(&mut self, bucket: Bucket) -> &mut Block {
        let start = bucket - bucket % FIVE_MINUTES;
        let at = match self.0.binary_search_by_key(&start, |b| b.start) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, Block::new(start));
                at
            }
        };
        &mut self.0[at]
    }

    /// Sum over [from, to).
    pub(super) fn sum(&self, from: Bucket, to: Bucket) -> Counts {
        let mut sum = Counts::ZERO;
        let first = self.0.partition_point(|b| b.end() <= from);
        for block in &self.0[first..] {
            if block.start >= to {
                break;
            }
            sum.add(block.sum(from, to));
        }
        sum
    }

    /// The blocks, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Block> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first_start(&self) -> Option<Bucket> {
        self.0.first().map(|b| b.start)
    }

    /// Hands over every slot that changed since the last frame, as absolute counts.
    pub(super) fn take_changed(&mut self, mut each: impl FnMut(Slot)) {
        for block in self.0.iter_mut().filter(|b| b.marks & SLOT_MARKS != 0) {
            let mut marks = block.marks & SLOT_MARKS;
            let lowered = std::mem::take(&mut block.lowered);
            block.marks &= UNFOLDED;
            while marks != 0 {
                let offset = marks.trailing_zeros();
                marks &= marks - 1;
                each(Slot {
                    bucket: block.start + offset,
                    counts: block.slots.get(offset as usize),
                    lowered,
                });
            }
        }
    }

    /// Hands over every block that changed since the last fold.
    pub(super) fn take_unfolded(&mut self, mut each: impl FnMut(&Block)) {
        for block in &mut self.0 {
            if block.marks & UNFOLDED != 0 {
                block.marks &= SLOT_MARKS;
                each(block);
            }
        }
    }

    /// Drops the blocks that end by `before`.
    pub(super) fn drop_before(&mut self, before: Bucket) {
        let gone = self.0.partition_point(|b| b.end() <= before);
        if gone > 0 {
            self.0.drain(..gone);
            if self.0.capacity() > 2 * self.0.len() + 4 {
                self.0.shrink_to(self.0.len());
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Block>() + self.0.iter().map(|b| b.slots.bytes()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn sums_equal_a_map_at_any_magnitude(
            adds in proptest::collection::vec((0u32..700, 0u32..40, 0u32..40), 1..80),
            from in 0u32..700, len in 0u32..700,
        ) {
            let mut blocks = Blocks::default();
            let mut naive: BTreeMap<u32, Counts> = BTreeMap::new();
            for (bucket, good_bits, bad_bits) in adds {
                let counts = Counts { good: 1 << good_bits, bad: (1 << bad_bits) - 1 };
                blocks.add(bucket, counts);
                naive.entry(bucket).or_default().add(counts);
            }
            let mut want = Counts::ZERO;
            naive.range(from..from + len).for_each(|(_, &c)| want.add(c));
            prop_assert_eq!(blocks.sum(from, from + len), want);
            let mut changed = BTreeMap::new();
            blocks.take_changed(|slot| changed.extend([(slot.bucket, slot.counts)]));
            prop_assert_eq!(changed, naive);
            let mut again = 0;
            blocks.take_changed(|_| again += 1);
            prop_assert_eq!(again, 0);
        }
    }

    #[test]
    fn a_busy_ring_stays_below_six_kibibytes() {
        let mut blocks = Blocks::default();
        for bucket in 0..728 {
            blocks.add(
                bucket,
                Counts {
                    good: 60_000,
                    bad: 5_000,
                },
            );
        }
        assert!(blocks.bytes() < 6 * 1024, "{}", blocks.bytes());
    }

    #[test]
    fn no_more_is_taken_out_than_is_there_and_the_next_frame_says_that_it_is_lower() {
        let mut blocks = Blocks::default();
        let counts = |good, bad| Counts { good, bad };
        blocks.add(7, counts(70_000, 3));
        blocks.take_changed(|slot| assert!(!slot.lowered));
        assert_eq!(blocks.take(7, counts(1, 9)), counts(1, 3));
        assert_eq!(
            (blocks.take(8, counts(1, 1)), blocks.take(900, counts(1, 1))),
            (Counts::ZERO, Counts::ZERO)
        );
        let mut changed = Vec::new();
        blocks.take_changed(|slot| changed.push(slot));
        let slot = Slot {
            bucket: 7,
            counts: counts(69_999, 0),
            lowered: true,
        };
        assert_eq!(changed, [slot]);
        let mut restored = Blocks::default();
        restored.add(7, counts(70_000, 3));
        restored.put_back(slot, false);
        assert_eq!(restored.sum(0, 10), counts(69_999, 0));
        restored.put_back(
            Slot {
                lowered: false,
                ..slot
            },
            false,
        );
        assert_eq!(restored.sum(0, 10), counts(69_999, 0));
    }

    #[test]
    fn what_is_dropped_frees_its_memory() {
        let mut blocks = Blocks::default();
        (0..728).for_each(|bucket| blocks.add(bucket, Counts { good: 1, bad: 0 }));
        blocks.drop_before(10_000);
        assert!(blocks.is_empty() && blocks.bytes() < 512, "{}", blocks.bytes());
    }
}
