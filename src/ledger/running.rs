//! The running sum of one window of one series.
//!
//! A series knows how much ever entered it; a window knows how much of that has left it again. Their
//! difference is the sum, so that an event costs one addition however many windows are in use, and nothing is
//! ever rounded. What leaves a window of at most two hours lies in the ring. What leaves a longer one lies in
//! the store: the chunk that the far edge is in is held here, encoded, and the next one is asked for ahead of
//! time. Where it has not come yet the far edge waits: the sum then covers a little more than its window,
//! says so, and is exact for what it says.

use super::Counts;
use super::block::Blocks;
use super::history::{Chunk, Tier};
use super::moment::{Bucket, Phase, Window};
use super::varint;

/// A chunk at the far edge, read from front to back.
#[derive(Clone, Debug)]
pub(super) struct Held {
    start: Bucket,
    end: Bucket,
    width: Bucket,
    /// Next byte, and the offset that a distance of zero there means.
    at: u32,
    expected: u32,
    bytes: Box<[u8]>,
}

impl Held {
    /// The chunk of `tier` that starts at `start`.
    pub(super) fn new(tier: Tier, start: Bucket, chunk: Option<&Chunk>) -> Self {
        let bytes = chunk.map(Chunk::encode).unwrap_or_default().into_boxed_slice();
        Self {
            start,
            end: start + tier.span(),
            width: tier.width(),
            at: 1,
            expected: 0,
            bytes,
        }
    }

    /// Takes everything before `until` off the front.
    fn take_until(&mut self, until: Bucket) -> Counts {
        let mut sum = Counts::ZERO;
        while let Some(mut rest) = self.bytes.get(self.at as usize..).filter(|rest| !rest.is_empty()) {
            let before = rest.len();
            let (Some(gap), Some(good), Some(bad)) = (
                varint::take_u32(&mut rest),
                varint::take(&mut rest),
                varint::take(&mut rest),
            ) else {
                break;
            };
            let offset = self.expected + gap;
            if self.start + offset * self.width >= until {
                break;
            }
            sum.add(Counts { good, bad });
            self.expected = offset + 1;
            self.at += u32::try_from(before - rest.len()).unwrap_or(u32::MAX);
        }
        sum
    }
}

/// What a window needs from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The chunk that starts here.
    Chunk(Bucket),
    /// Everything from its far edge to the ring.
    Whole(Bucket),
}

/// Where a series' counts lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// No event is older.
    pub(super) first: Bucket,
    /// From here on the ring holds everything.
    pub(super) floor: Bucket,
    /// Before this hour the store holds everything.
    pub(super) sealed: Bucket,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) window: Window,
    /// Of what entered the series, how much left this window.
    left: Counts,
    /// Everything before this bucket has left.
    edge: Bucket,
    /// The sum must be worked out from the store.
    whole: bool,
    held: Option<Box<Held>>,
    next: Option<Box<Held>>,
}

impl Running {
    /// A window that starts at `from`, of a series whose events before it all have left.
    pub(super) fn new(window: Window, from: Bucket, left: Counts) -> Self {
        Self {
            window,
            left,
            edge: from,
            whole: false,
            held: None,
            next: None,
        }
    }

    /// First bucket of the sum.
    pub(super) fn edge(&self) -> Bucket {
        self.edge
    }

    /// The sum, of a series into which `entered` entered.
    pub(super) fn sum(&self, entered: Counts) -> Counts {
        entered.without(self.left)
    }

    /// An event came late, into a bucket that may have left already.
    #[inline]
    pub(super) fn absorb_late(&mut self, bucket: Bucket, counts: Counts) {
        if bucket < self.edge {
            self.left.add(counts);
        }
    }

    /// Events were taken out of a bucket that may have left already.
    pub(super) fn take_late(&mut self, bucket: Bucket, counts: Counts) {
        if bucket < self.edge {
            self.left = self.left.without(counts);
        }
    }

    /// Asks for a recomputation from the store.
    pub(super) fn forget(&mut self) {
        self.whole = true;
    }

    /// The store has `lifetime` of the series from before: it has left, until the store says how much of it
    /// has not.
    pub(super) fn bind_past(&mut self, phase: Phase, lifetime: Counts) {
        self.left.add(lifetime);
        self.whole = self.edge > self.window.edge(phase);
    }

    /// Nothing is older than `first`: an edge that waited there may state its true place.
    pub(super) fn reach_back(&mut self, phase: Phase, first: Bucket) {
        let target = self.window.edge(phase);
        if target < first && self.edge <= first {
            self.edge = target;
        }
    }

    /// Moves the far edge to where it belongs at `phase`, as far as the counts that leave are at hand. True
    /// when any left.
    pub(super) fn advance(&mut self, phase: Phase, blocks: &Blocks, extent: Extent) -> bool {
        let target = self.window.edge(phase);
        let mut left = Counts::ZERO;
        // The ring holds whatever falls within two hours: before its floor a short window finds nothing.
        let empty_until = if self.window.tier == Tier::Fine {
            extent.floor
        } else {
            extent.first
        };
        while self.edge < target {
            if self.edge < empty_until {
                self.edge = empty_until.min(target);
            } else if self.edge >= extent.floor {
                left.add(blocks.sum(self.edge, target));
                self.edge = target;
                (self.held, self.next) = (None, None);
            } else if let Some(held) = self
                .held
                .as_mut()
                .filter(|h| h.start <= self.edge && self.edge < h.end)
            {
                let until = target.min(held.end);
                left.add(held.take_until(until));
                self.edge = until;
                if until == held.end {
                    self.held = self.next.take();
                }
            } else {
                self.held = None;
                break;
            }
        }
        self.left.add(left);
        !left.is_zero()
    }

    /// What it needs from the store, if anything; `lead` buckets ahead of need.
    pub(super) fn need(&self, phase: Phase, extent: Extent, lead: Bucket) -> Option<Need> {
        let tier = self.window.tier;
        let target = self.window.edge(phase);
        if tier == Tier::Fine {
            return None;
        }
        let stuck = || {
            self.edge < extent.floor && self.held.is_none() && {
                // The chunk that it waits for has left the window as a whole, and perhaps the store.
                target >= tier.chunk_of(self.edge.max(extent.first)) + tier.span()
            }
        };
        if self.whole || stuck() {
            return Some(Need::Whole(target.max(extent.first)));
        }
        if self.edge >= extent.floor {
            return None;
        }
        let (from, start) = match (&self.held, &self.next) {
            (Some(_), Some(_)) => return None,
            (Some(held), None) => (held.end, held.end),
            (None, _) => {
                let from = self.edge.max(extent.first);
                (from, tier.chunk_of(from))
            }
        };
        let due = target.saturating_add(lead) >= from;
        (due && start + tier.span() <= extent.sealed).then_some(Need::Chunk(start))
    }

    /// Takes the chunk that it asked for.
    pub(super) fn supply(&mut self, start: Bucket, chunk: Option<&Chunk>) {
        let mut fresh = Box::new(Held::new(self.window.tier, start, chunk));
        match &self.held {
            Some(held) if held.end == start => self.next = Some(fresh),
            Some(_) => {}
            None if fresh.end > self.edge => {
                // What lies before the edge has left already.
                let _ = fresh.take_until(self.edge);
                self.held = Some(fresh);
            }
            None => {}
        }
    }

    /// Takes the sum from `from` on, of a series into which `entered` entered.
    pub(super) fn supply_whole(&mut self, from: Bucket, sum: Counts, entered: Counts) {
        self.left = entered.without(sum);
        self.edge = from;
        self.whole = false;
        (self.held, self.next) = (None, None);
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.held
            .iter()
            .chain(&self.next)
            .map(|held| size_of::<Held>() + held.bytes.len())
            .sum()
    }
}
