//! How a ledger gets its numbers in the store, and its past after a restart.

use super::block::Slot;
use super::evidence::CellKey;
use super::fold::ring_floor;
use super::moment::Bucket;
use super::running::Extent;
use super::{Counts, Lane, Ledger, SeriesRef, SeriesState, Tier};
use crate::cohort::{CohortId, ObjectiveId};
use crate::time::UnixNanos;

/// Something that the store has no number for yet, as far as the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nameless {
    /// A budget series.
    Series(ObjectiveId, CohortId),
    /// An evidence cell.
    Cell(CellKey),
    /// A lane beside a budget series.
    SeriesLane(ObjectiveId, CohortId, Lane),
    /// A lane beside an evidence cell.
    CellLane(CellKey, Lane),
}

impl Nameless {
    /// The series or cell whose lane it is; itself when it is none.
    pub fn plain(self) -> Self {
        match self {
            Self::SeriesLane(objective, cohort, _) => Self::Series(objective, cohort),
            Self::CellLane(key, _) => Self::Cell(key),
            plain => plain,
        }
    }

    /// Its lane.
    pub fn lane(self) -> Lane {
        match self {
            Self::Series(..) | Self::Cell(_) => Lane::Seen,
            Self::SeriesLane(.., lane) | Self::CellLane(_, lane) => lane,
        }
    }

    /// The lane `lane` of the series or cell.
    #[must_use]
    pub fn in_lane(self, lane: Lane) -> Self {
        match (self.plain(), lane) {
            (plain, Lane::Seen) => plain,
            (Self::Series(objective, cohort), lane) => Self::SeriesLane(objective, cohort, lane),
            (Self::Cell(key), lane) => Self::CellLane(key, lane),
            (other, _) => other,
        }
    }
}

/// Where something lies.
enum Found {
    Series(u32),
    Cell(u32),
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
                out.extend(series.map(|s| Nameless::Series(s.objective, s.cohort).in_lane(s.lane)));
            } else if let Some(slot) = self.cells.unbound.pop() {
                let cell = self.cells.slots[slot as usize]
                    .as_ref()
                    .filter(|c| c.stored_as.is_none());
                out.extend(cell.map(|c| Nameless::Cell(c.key).in_lane(c.lane)));
            } else {
                break;
            }
        }
        out
    }

    /// Gives a series or cell its number; `past` is what the store has of it. Returns the state to write, of
    /// a series.
    pub fn bind(&mut self, what: Nameless, id: SeriesRef, past: Option<SeriesState>) -> Option<SeriesState> {
        match self.found(what)? {
            Found::Series(slot) => {
                self.advance(slot);
                let series = self.series[slot as usize].as_mut()?;
                series.bind(id, past.map(|p| (p.first, p.lifetime)));
                let state = series.state();
                self.bound.insert(id);
                self.advance(slot);
                Some(state)
            }
            Found::Cell(slot) => {
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

    fn found(&self, what: Nameless) -> Option<Found> {
        let lane = what.lane();
        match what {
            Nameless::Series(objective, cohort) | Nameless::SeriesLane(objective, cohort, _) => {
                self.slot_of(objective, cohort, lane).map(Found::Series)
            }
            Nameless::Cell(key) | Nameless::CellLane(key, _) => self.cells.find(&key, lane).map(Found::Cell),
        }
    }

    /// Opens a lane of a series that has come back, with what the store holds of it; one that is open already
    /// is named like any other.
    pub(crate) fn bring_back(&mut self, what: Nameless, id: SeriesRef, past: SeriesState) {
        let Nameless::SeriesLane(objective, cohort, lane) = what else {
            return;
        };
        if self.found(what).is_none() && self.open(objective, cohort, lane).is_some() {
            self.bind(what, id, Some(past));
        }
    }

    /// Forgets a series or cell whose name is gone: it can neither be stored nor shown. How many events it
    /// held.
    pub fn unbind(&mut self, what: Nameless) -> Counts {
        match self.found(what) {
            Some(Found::Series(slot)) => {
                let held = self.series[slot as usize]
                    .as_ref()
                    .filter(|s| s.lane == Lane::Seen)
                    .map_or(Counts::ZERO, |s| s.lifetime);
                self.close(slot);
                held
            }
            Some(Found::Cell(slot)) => {
                self.cells.close(slot).map(|id| self.bound.remove(&id));
                Counts::ZERO
            }
            None => Counts::ZERO,
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

    /// Opens a series or cell of the store. False when there is no room, or one of that name already.
    pub(crate) fn restore(&mut self, what: Nameless, id: SeriesRef) -> bool {
        if self.found(what).is_some() {
            return false;
        }
        let lane = what.lane();
        match what.plain() {
            Nameless::Series(objective, cohort) => {
                let Some(slot) = self.open(objective, cohort, lane) else {
                    return false;
                };
                if let Some(series) = self.series[slot as usize].as_mut() {
                    series.stored_as = Some(id);
                }
            }
            Nameless::Cell(key) if self.cells.len() < self.limits.max_evidence_cells => {
                let slot = self.cells.open(key, lane);
                if let Some(cell) = self.cells.slots[slot as usize].as_mut() {
                    cell.stored_as = Some(id);
                }
            }
            _ => return false,
        }
        self.bound.insert(id)
    }

    /// Puts one slot of a restored series or cell back; `folded` when a chunk holds it already.
    pub(crate) fn restore_slot(&mut self, what: Nameless, at: Slot, folded: bool) {
        match self.found(what) {
            Some(Found::Series(slot)) => {
                if let Some(series) = self.series[slot as usize].as_mut() {
                    series.blocks.put_back(at, folded);
                }
            }
            Some(Found::Cell(slot)) => {
                if let Some(cell) = self.cells.slots[slot as usize].as_mut() {
                    cell.blocks.put_back(at, folded);
                    cell.last = cell.last.max(at.bucket);
                }
            }
            None => {}
        }
    }

    /// Ends the restore of one series: its ring is filled, now its sums begin.
    pub(crate) fn restored_series(&mut self, what: Nameless, state: SeriesState) {
        let floor = ring_floor(self.phase).min(state.sealed);
        let Some(Found::Series(slot)) = self.found(what) else {
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
pub(crate) fn fine_slots(start_secs: u64, chunk: &super::Chunk) -> impl Iterator<Item = Slot> + '_ {
    let start = super::moment::bucket_of(start_secs);
    chunk.buckets.iter().map(move |&(offset, counts)| Slot {
        bucket: start + Bucket::from(offset) * Tier::Fine.width(),
        counts,
        lowered: false,
    })
}
