//! How a ledger gets its numbers in the store, and its past after a restart.

use super::evidence::CellKey;
use super::fold::ring_floor;
use super::moment::Bucket;
use super::running::Extent;
use super::{Counts, Ledger, SeriesRef, SeriesState, Tier};
use crate::cohort::{CohortId, ObjectiveId};
use crate::time::UnixNanos;

/// Something that the store has no number for yet, as far as the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nameless {
    /// A budget series.
    Series(ObjectiveId, CohortId),
    /// An evidence cell.
    Cell(CellKey),
}

impl Ledger {
    /// At most `limit` series and cells that have no number yet. Each is returned once; answer with
    /// [`Self::bind`] or [`Self::unbind`].
    pub fn nameless(&mut self, limit: usize) -> Vec<Nameless> {
        let mut out = Vec::new();
        while out.len() < limit {
            if let Some(slot) = self.unbound.pop_front() {
                let series = self.series[slot as usize]
                    .as_ref()
                    .filter(|s| s.stored_as.is_none());
                out.extend(series.map(|s| Nameless::Series(s.objective, s.cohort)));
            } else if let Some(slot) = self.cells.unbound.pop() {
                let cell = self.cells.slots[slot as usize]
                    .as_ref()
                    .filter(|c| c.stored_as.is_none());
                out.extend(cell.map(|c| Nameless::Cell(c.key)));
            } else {
                break;
            }
        }
        out
    }

    /// Gives a series or cell its number; `past` is what the store has of it. Returns the state to write, of
    /// a series.
    pub fn bind(&mut self, what: Nameless, id: SeriesRef, past: Option<SeriesState>) -> Option<SeriesState> {
        match what {
            Nameless::Series(objective, cohort) => {
                let slot = self.slot(objective, cohort)?;
                self.advance(slot);
                let series = self.series[slot as usize].as_mut()?;
                series.bind(id, past.map(|p| (p.first, p.lifetime)));
                let state = series.state();
                self.bound.insert(id);
                self.advance(slot);
                Some(state)
            }
            Nameless::Cell(key) => {
                let slot = self.cells.find(&key)?;
                let cell = self.cells.slots[slot as usize].as_mut()?;
                cell.stored_as = Some(id);
                self.bound.insert(id);
                Some(SeriesState {
                    last: cell.last,
                    ..SeriesState::default()
                })
            }
        }
    }

    /// Forgets a series or cell whose name is gone: it can neither be stored nor shown. How many events it
    /// held.
    pub fn unbind(&mut self, what: Nameless) -> Counts {
        match what {
            Nameless::Series(objective, cohort) => {
                let Some(slot) = self.slot(objective, cohort) else {
                    return Counts::ZERO;
                };
                let held = self.series[slot as usize]
                    .as_ref()
                    .map_or(Counts::ZERO, |s| s.lifetime);
                self.close(slot);
                held
            }
            Nameless::Cell(key) => {
                let gone = self.cells.find(&key).and_then(|slot| self.cells.close(slot));
                gone.map(|id| self.bound.remove(&id));
                Counts::ZERO
            }
        }
    }

    /// Whether a series that the store holds in `state` belongs in memory at ledger time.
    pub(crate) fn is_live(&self, objective: ObjectiveId, total: bool, state: &SeriesState) -> bool {
        let reach = if total {
            self.longest_total_secs(objective)
        } else {
            0
        };
        self.now.secs_since(state.last_event()) < self.limits.idle_timeout_secs.max(reach)
    }

    /// Starts a restore at `now`, which may lie after what the store remembers but never before it.
    pub(crate) fn restore_at(&mut self, now: UnixNanos) {
        self.reach(now);
    }

    /// Whether a number of the store belongs to something live.
    pub fn is_bound(&self, id: SeriesRef) -> bool {
        self.bound.contains(&id)
    }

    /// Opens a series of the store. False when there is no room, or one of that name already.
    pub(crate) fn restore_series(&mut self, objective: ObjectiveId, cohort: CohortId, id: SeriesRef) -> bool {
        if self.slot(objective, cohort).is_some() {
            return false;
        }
        let Some(slot) = self.open(objective, cohort) else {
            return false;
        };
        if let Some(series) = self.series[slot as usize].as_mut() {
            series.stored_as = Some(id);
        }
        self.bound.insert(id)
    }

    /// Opens a cell of the store. False when there is no room, or one of that name already.
    pub(crate) fn restore_cell(&mut self, key: CellKey, id: SeriesRef) -> bool {
        if self.cells.find(&key).is_some() || self.cells.len() >= self.limits.max_evidence_cells {
            return false;
        }
        let slot = self.cells.open(key);
        if let Some(cell) = self.cells.slots[slot as usize].as_mut() {
            cell.stored_as = Some(id);
        }
        self.bound.insert(id)
    }

    /// Puts one slot of a restored series or cell back; `folded` when a chunk holds it already.
    pub(crate) fn restore_slot(&mut self, what: Nameless, bucket: Bucket, counts: Counts, folded: bool) {
        match what {
            Nameless::Series(objective, cohort) => {
                let slot = self.slot(objective, cohort);
                if let Some(series) = slot.and_then(|slot| self.series[slot as usize].as_mut()) {
                    series.blocks.raise(bucket, counts, folded);
                }
            }
            Nameless::Cell(key) => {
                let slot = self.cells.find(&key);
                if let Some(cell) = slot.and_then(|slot| self.cells.slots[slot as usize].as_mut()) {
                    cell.blocks.raise(bucket, counts, folded);
                    cell.last = cell.last.max(bucket);
                }
            }
        }
    }

    /// Ends the restore of one series: its ring is filled, now its sums begin.
    pub(crate) fn restored_series(&mut self, objective: ObjectiveId, cohort: CohortId, state: SeriesState) {
        let floor = ring_floor(self.phase).min(state.sealed);
        let Some(slot) = self.slot(objective, cohort) else {
            return;
        };
        let Some(series) = self.series[slot as usize].as_mut() else {
            return;
        };
        series.blocks.drop_before(floor);
        let extent = Extent {
            first: state.first,
            floor,
            sealed: state.sealed,
        };
        series.restored(extent, state.lifetime, state.last);
        self.advance(slot);
        self.mark(slot);
    }
}

/// First bucket of a chunk as the store states it, and the buckets in it.
pub(crate) fn fine_slots(
    start_secs: u64,
    chunk: &super::Chunk,
) -> impl Iterator<Item = (Bucket, Counts)> + '_ {
    let start = super::moment::bucket_of(start_secs);
    chunk
        .buckets
        .iter()
        .map(move |&(offset, counts)| (start + Bucket::from(offset) * Tier::Fine.width(), counts))
}
