//! Evidence cells: ten-second counts of one (objective, cohort, stratum, source) for thirty minutes.

use super::block::Blocks;
use super::moment::Bucket;
use super::{Counts, EvidenceDelta, EvidenceSum, SeriesRef};
use crate::cohort::{CohortId, ObjectiveId, SourceId, StratumId};
use hashbrown::HashMap;

/// Identity of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CellKey {
    /// The objective.
    pub objective: ObjectiveId,
    /// The cohort.
    pub cohort: CohortId,
    /// Endpoint class and region.
    pub stratum: StratumId,
    /// Sending instance or peer.
    pub source: SourceId,
}

#[derive(Debug)]
pub(super) struct Cell {
    pub(super) key: CellKey,
    pub(super) stored_as: Option<SeriesRef>,
    pub(super) dirty: bool,
    pub(super) last: Bucket,
    pub(super) blocks: Blocks,
}

/// All cells.
#[derive(Debug, Default)]
pub(super) struct Cells {
    index: HashMap<CellKey, u32, foldhash::fast::RandomState>,
    /// The cells of one cohort, for the reader.
    groups: HashMap<(ObjectiveId, CohortId), Vec<u32>, foldhash::fast::RandomState>,
    pub(super) slots: Vec<Option<Cell>>,
    free: Vec<u32>,
    pub(super) dirty: Vec<u32>,
    pub(super) unbound: Vec<u32>,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Counts; false when the cell is new and there is no room.
    pub(super) fn absorb(&mut self, delta: &EvidenceDelta, bucket: Bucket, max: usize) -> bool {
        let EvidenceDelta {
            objective,
            cohort,
            stratum,
            source,
            counts,
            ..
        } = *delta;
        if counts.is_zero() {
            return true;
        }
        let key = CellKey {
            objective,
            cohort,
            stratum,
            source,
        };
        let slot = match self.index.get(&key) {
            Some(&slot) => slot,
            None if self.index.len() >= max => return false,
            None => self.open(key),
        };
        let Some(cell) = self.slots[slot as usize].as_mut() else {
            return false;
        };
        cell.blocks.add(bucket, counts);
        cell.last = cell.last.max(bucket);
        if !cell.dirty {
            cell.dirty = true;
            self.dirty.push(slot);
        }
        true
    }

    pub(super) fn open(&mut self, key: CellKey) -> u32 {
        let cell = Cell {
            key,
            stored_as: None,
            dirty: false,
            last: 0,
            blocks: Blocks::default(),
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            super::table::slot_number(self.slots.len() - 1)
        });
        self.slots[slot as usize] = Some(cell);
        self.index.insert(key, slot);
        self.groups
            .entry((key.objective, key.cohort))
            .or_default()
            .push(slot);
        self.unbound.push(slot);
        slot
    }

    pub(super) fn find(&self, key: &CellKey) -> Option<u32> {
        self.index.get(key).copied()
    }

    /// Forgets a cell; returns its number in the store.
    pub(super) fn close(&mut self, slot: u32) -> Option<SeriesRef> {
        let cell = self.slots[slot as usize].take()?;
        self.index.remove(&cell.key);
        self.free.push(slot);
        let group = (cell.key.objective, cell.key.cohort);
        if let Some(slots) = self.groups.get_mut(&group) {
            slots.retain(|&s| s != slot);
            if slots.is_empty() {
                self.groups.remove(&group);
            }
        }
        cell.stored_as
    }

    /// Sums over [from, to) of one cohort's cells; cells without events in it are left out.
    pub(super) fn sums(
        &self,
        objective: ObjectiveId,
        cohort: CohortId,
        from: Bucket,
        to: Bucket,
    ) -> Vec<EvidenceSum> {
        let slots = self
            .groups
            .get(&(objective, cohort))
            .map_or(&[][..], Vec::as_slice);
        slots
            .iter()
            .filter_map(|&slot| self.slots[slot as usize].as_ref())
            .map(|cell| EvidenceSum {
                stratum: cell.key.stratum,
                source: cell.key.source,
                counts: cell.blocks.sum(from, to),
            })
            .filter(|sum: &EvidenceSum| sum.counts != Counts::ZERO)
            .collect()
    }
}
