//! The samples of one selector in one service, environment and group: a ring of 10 s slots.

use super::formula::Shape;
use super::grid::{Buckets, Grid};
use super::ring::Ring;
use super::top::Top;
use super::{LATE_SLOTS, SLOT_NANOS};
use crate::time::UnixNanos;

/// Different bucket bounds that one series adds up; senders of one service rarely have two.
const GRIDS_MAX: usize = 4;

/// Where a level stood in one slot, over its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Level {
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) streams: u32,
    /// What streams that came brought with them, less what streams that left took: no growth.
    pub(super) moved: f64,
    /// Whether a stream sent something in this slot.
    pub(super) is_fresh: bool,
}

/// The samples, by shape.
#[derive(Debug)]
pub(super) enum Cells {
    /// Growth in the slot.
    Flow(Ring<f64>),
    /// None where nothing is known.
    Level(Ring<Option<Level>>),
    /// Measurements in the slot, by where their buckets end.
    Distribution(Vec<(Grid, Ring<Buckets>)>),
    /// Growth in the slot by value of an attribute.
    Keyed(Ring<Top>),
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) cells: Cells,
    slots: usize,
    /// Slots before this one are complete: every live stream has reported beyond them.
    pub(super) complete: u64,
    pub(super) seen_at: UnixNanos,
}

/// Growth between two instants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Span {
    /// The slots that the span touches, each with its part of the whole. An instant on the edge of two slots
    /// belongs to the one that it ends.
    pub(super) fn parts(self) -> impl Iterator<Item = (u64, f64)> {
        let first = self.from / SLOT_NANOS;
        let last = self.to.saturating_sub(1).max(self.from) / SLOT_NANOS;
        let length = self.to.saturating_sub(self.from);
        (first..=last).map(move |slot| {
            let begin = (slot * SLOT_NANOS).max(self.from);
            let end = ((slot + 1) * SLOT_NANOS).min(self.to);
            let part = if length == 0 {
                1.0
            } else {
                end.saturating_sub(begin) as f64 / length as f64
            };
            (slot, part)
        })
    }
}

impl Series {
    /// An empty series that holds `reach_secs` and what may come late.
    pub(super) fn new(shape: Shape, reach_secs: u64, slot: u64, now: UnixNanos) -> Self {
        let slots = slots(reach_secs);
        let cells = match shape {
            Shape::Flow => Cells::Flow(Ring::new(slots, slot)),
            Shape::Level => Cells::Level(Ring::new(slots, slot)),
            Shape::Distribution => Cells::Distribution(Vec::new()),
            Shape::Keyed => Cells::Keyed(Ring::new(slots, slot)),
        };
        Self {
            cells,
            slots,
            complete: 0,
            seen_at: now,
        }
    }

    /// Gives it another reach; what fits is kept.
    pub(super) fn set_reach(&mut self, reach_secs: u64) {
        let slots = slots(reach_secs);
        if slots == self.slots {
            return;
        }
        self.slots = slots;
        match &mut self.cells {
            Cells::Flow(ring) => *ring = ring.resized(slots),
            Cells::Level(ring) => *ring = ring.resized(slots),
            Cells::Keyed(ring) => *ring = ring.resized(slots),
            Cells::Distribution(all) => {
                for (_, ring) in all {
                    *ring = ring.resized(slots);
                }
            }
        }
    }

    /// The part of `span` that the ring can hold: a counter that was silent for a day is not spread over it
    /// slot by slot.
    fn clipped(&self, span: Span) -> (Span, f64) {
        let reach = self.slots as u64 * SLOT_NANOS;
        let from = span.from.max(span.to.saturating_sub(reach));
        let whole = span.to.saturating_sub(span.from);
        let kept = span.to.saturating_sub(from);
        let part = if whole == 0 {
            1.0
        } else {
            kept as f64 / whole as f64
        };
        (Span { from, to: span.to }, part)
    }

    /// Adds growth, spread evenly over its time.
    pub(super) fn grow(&mut self, span: Span, by: f64) {
        let (span, part) = self.clipped(span);
        if let Cells::Flow(ring) = &mut self.cells {
            for (slot, share) in span.parts() {
                if let Some(cell) = ring.get_mut(slot) {
                    *cell += by * part * share;
                }
            }
        }
    }

    /// Adds growth of one value of the attribute.
    pub(super) fn grow_keyed(&mut self, span: Span, value: Option<&[u8]>, by: f64) {
        let (span, part) = self.clipped(span);
        if let Cells::Keyed(ring) = &mut self.cells {
            for (slot, share) in span.parts() {
                if let Some(cell) = ring.get_mut(slot) {
                    cell.add(value, by * part * share);
                }
            }
        }
    }

    /// Adds a table of values to one slot.
    pub(super) fn merge_keyed(&mut self, slot: u64, top: &Top) {
        if let Cells::Keyed(ring) = &mut self.cells
            && let Some(cell) = ring.get_mut(slot)
        {
            cell.merge(top, 1.0);
        }
    }

    /// Adds measurements. False when the series has too many different bounds already.
    pub(super) fn measure(&mut self, span: Span, grid: &Grid, buckets: &Buckets) -> bool {
        let (span, part) = self.clipped(span);
        let slots = self.slots;
        let Cells::Distribution(all) = &mut self.cells else {
            return true;
        };
        let at = match all.iter().position(|(known, _)| known == grid) {
            Some(at) => at,
            None if all.len() < GRIDS_MAX => {
                all.push((grid.clone(), Ring::new(slots, span.to / SLOT_NANOS)));
                all.len() - 1
            }
            None => return false,
        };
        if let Some((_, ring)) = all.get_mut(at) {
            for (slot, share) in span.parts() {
                if let Some(cell) = ring.get_mut(slot) {
                    cell.merge(buckets, part * share);
                }
            }
        }
        true
    }

    /// Writes where a level stands.
    pub(super) fn stand(&mut self, slot: u64, level: Level) {
        self.complete = slot + 1;
        if let Cells::Level(ring) = &mut self.cells
            && let Some(cell) = ring.get_mut(slot)
        {
            *cell = Some(level);
        }
    }
}

fn slots(reach_secs: u64) -> usize {
    usize::try_from(reach_secs / super::SLOT_SECS + LATE_SLOTS).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn growth_is_spread_and_none_is_lost(from in 0_u64..900, length in 0_u64..200, by in 0.0_f64..1e6) {
            let secs = 1_000_000_000;
            let span = Span { from: from * secs, to: (from + length) * secs };
            let parts: Vec<_> = span.parts().collect();
            let sum: f64 = parts.iter().map(|(_, part)| part).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
            let mut series = Series::new(Shape::Flow, 1200, 0, UnixNanos(0));
            series.grow(span, by);
            let Cells::Flow(ring) = &series.cells else { panic!() };
            let kept: f64 = (0..200).filter_map(|slot| ring.get(slot)).sum();
            prop_assert!((kept - by).abs() <= by * 1e-9);
        }
    }

    #[test]
    fn of_a_long_silence_only_what_the_ring_holds_is_written() {
        let day = 86_400 * 1_000_000_000;
        let mut series = Series::new(Shape::Flow, 60, 0, UnixNanos(0));
        series.grow(Span { from: 0, to: day }, 86_400.0);
        let Cells::Flow(ring) = &series.cells else {
            panic!()
        };
        assert!((ring.get(8639).unwrap() - 10.0).abs() < 1e-6);
        assert!((ring.get(8634).unwrap() - 10.0).abs() < 1e-6);
    }
}
