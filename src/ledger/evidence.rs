//! Evidence cells: ten-second counts of one (objective, cohort, stratum, source) for thirty minutes.

use super::block::Blocks;
use super::moment::Bucket;
use super::sampled::weights_of;
use super::{Counts, EvidenceDelta, EvidenceRow, EvidenceSum, Lane, SeriesRef, Weights};
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
    pub(super) lane: Lane,
    pub(super) stored_as: Option<SeriesRef>,
    pub(super) dirty: bool,
    pub(super) last: Bucket,
    pub(super) blocks: Blocks,
}

/// All cells.
#[derive(Debug, Default)]
pub(super) struct Cells {
    index: HashMap<(CellKey, Lane), u32, foldhash::fast::RandomState>,
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
        let key = CellKey {
            objective,
            cohort,
            stratum,
            source,
        };
        self.absorb_lane(key, Lane::Seen, counts, bucket, max)
    }

    /// The same for one lane.
    pub(super) fn absorb_lane(
        &mut self,
        key: CellKey,
        lane: Lane,
        counts: Counts,
        bucket: Bucket,
        max: usize,
    ) -> bool {
        if counts.is_zero() {
            return true;
        }
        let slot = match self.find(&key, lane) {
            Some(slot) => slot,
            None if self.index.len() >= max => return false,
            None => self.open(key, lane),
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

    /// Takes out again what the cell holds of it.
    pub(super) fn take(&mut self, key: &CellKey, lane: Lane, counts: Counts, bucket: Bucket) {
        let slot = self.find(key, lane);
        let Some((slot, cell)) =
            slot.and_then(|slot| Some((slot, self.slots.get_mut(slot as usize)?.as_mut()?)))
        else {
            return;
        };
        if !cell.blocks.take(bucket, counts).is_zero() && !cell.dirty {
            cell.dirty = true;
            self.dirty.push(slot);
        }
    }

    pub(super) fn open(&mut self, key: CellKey, lane: Lane) -> u32 {
        let cell = Cell {
            key,
            lane,
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
        self.index.insert((key, lane), slot);
        self.groups
            .entry((key.objective, key.cohort))
            .or_default()
            .push(slot);
        self.unbound.push(slot);
        slot
    }

    pub(super) fn find(&self, key: &CellKey, lane: Lane) -> Option<u32> {
        self.index.get(&(*key, lane)).copied()
    }

    /// Forgets a cell; returns its number in the store.
    pub(super) fn close(&mut self, slot: u32) -> Option<SeriesRef> {
        let cell = self.slots[slot as usize].take()?;
        self.index.remove(&(cell.key, cell.lane));
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
        let cells = slots
            .iter()
            .filter_map(|&slot| self.slots[slot as usize].as_ref());
        cells
            .filter(|cell| cell.lane == Lane::Seen)
            .map(|cell| EvidenceSum {
                stratum: cell.key.stratum,
                source: cell.key.source,
                counts: cell.blocks.sum(from, to),
                weights: self.weights(&cell.key, from, to),
            })
            .filter(|sum: &EvidenceSum| sum.counts != Counts::ZERO)
            .collect()
    }

    /// The blocks of one cohort's cells in [from, to), those without an event left out.
    pub(super) fn rows(
        &self,
        objective: ObjectiveId,
        cohort: CohortId,
        from: Bucket,
        to: Bucket,
    ) -> Vec<EvidenceRow> {
        let slots = self
            .groups
            .get(&(objective, cohort))
            .map_or(&[][..], Vec::as_slice);
        let cells = slots
            .iter()
            .filter_map(|&slot| self.slots[slot as usize].as_ref());
        let seen = cells.filter(|cell| cell.lane == Lane::Seen && cell.last >= from);
        let row = |cell: &Cell, bucket: Bucket| EvidenceRow {
            stratum: cell.key.stratum,
            source: cell.key.source,
            bucket: bucket.into(),
            counts: cell.blocks.sum(bucket, bucket + 1),
        };
        seen.flat_map(|cell| (from..to).map(move |bucket| row(cell, bucket)))
            .filter(|row| row.counts != Counts::ZERO)
            .collect()
    }

    fn weights(&self, key: &CellKey, from: Bucket, to: Bucket) -> Weights {
        weights_of(Lane::SIDES.into_iter().filter_map(|lane| {
            let slot = self.find(key, lane)?;
            let side = self.slots[slot as usize].as_ref()?;
            Some((lane, side.blocks.sum(from, to)))
        }))
    }
}
