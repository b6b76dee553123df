//! What goes to the store: a frame a tick, and, series by series, the chunks that the frames amount to.
//!
//! Folding walks all series once in about thirty ticks. A visit writes the ten-second chunks that changed,
//! seals the hours that no late event can reach any more as minutes (and, for totals, as five-minute buckets
//! of their day), and lets go of blocks that every window of the ring has passed. When a whole walk has been
//! committed, the frames from before it began are needed no longer. Rejected: folding everything every 30 s,
//! which holds the lock and the disk for a burst.

use super::frame::FrameBuilder;
use super::history::{Chunk, Tier};
use super::moment::{Bucket, FINE_REACH_SECS, FIVE_MINUTES, HOUR, Phase, Window, start_secs};
use super::series::Series;
use super::table::{lead, slot_number};
use super::{Counts, EVIDENCE_SECS, Lane, Ledger, SeriesRef, SeriesState};
use crate::time::UnixNanos;

/// Ticks that one walk over all series takes.
const WALK_TICKS: usize = 30;
/// Series visited a tick at least.
const MIN_SHARE: usize = 64;
/// Time from the start of one walk to that of the next, in seconds, at least: a small installation folds no
/// more often.
const WALK_EVERY_SECS: u64 = 30;

/// A chunk to write. Chunks hold absolute counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// Its tier.
    pub tier: Tier,
    /// Start of the chunk, in seconds.
    pub start_secs: u64,
    /// The series or cell.
    pub series: SeriesRef,
    /// Its buckets. Of [`Tier::Days`] these are merged into what the store has of that day; others replace
    /// it.
    pub chunk: Chunk,
}

/// What one tick folds.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    /// Chunks to write.
    pub chunks: Vec<ChunkRow>,
    /// States of series to write.
    pub states: Vec<(SeriesRef, SeriesState)>,
    /// Set when a walk over all series has ended. Frames below the number are folded; the time is that of its
    /// start.
    pub walked: Option<(u64, UnixNanos)>,
}

/// Where the walk stands.
#[derive(Debug, Default)]
pub(super) struct FoldState {
    began: Option<(u64, UnixNanos)>,
    next_walk: UnixNanos,
    series: usize,
    cells: usize,
    /// The series and cells of the frame that is being written.
    frame_series: Vec<u32>,
    frame_cells: Vec<u32>,
}

impl Ledger {
    /// Starts a frame of everything that changed until now.
    pub fn begin_frame(&mut self, now: UnixNanos) -> FrameBuilder {
        self.reach(now);
        self.fold.frame_series.append(&mut self.dirty);
        self.fold.frame_cells.append(&mut self.cells.dirty);
        FrameBuilder::new(self.now)
    }

    /// Writes at most `limit` series and cells into the frame; true when more remain of those that it began
    /// with.
    pub fn drain_frame(&mut self, frame: &mut FrameBuilder, limit: usize) -> bool {
        for _ in 0..limit {
            if let Some(slot) = self.fold.frame_series.pop() {
                self.frame_series(slot, frame);
            } else if let Some(slot) = self.fold.frame_cells.pop() {
                self.frame_cell(slot, frame);
            } else {
                return false;
            }
        }
        !(self.fold.frame_series.is_empty() && self.fold.frame_cells.is_empty())
    }

    fn frame_series(&mut self, slot: u32, frame: &mut FrameBuilder) {
        let Some(series) = self.series[slot as usize].as_mut().filter(|s| s.dirty) else {
            return;
        };
        let Some(id) = series.stored_as else {
            // It has no number yet: its slots stay marked, and come with the first frame after it got one.
            self.dirty.push(slot);
            return;
        };
        series.dirty = false;
        let (lifetime, last, blocks) = (series.lifetime, series.last, &mut series.blocks);
        frame.series(id, lifetime, last, |each| blocks.take_changed(each));
    }

    fn frame_cell(&mut self, slot: u32, frame: &mut FrameBuilder) {
        let Some(cell) = self.cells.slots[slot as usize].as_mut().filter(|c| c.dirty) else {
            return;
        };
        let Some(id) = cell.stored_as else {
            self.cells.dirty.push(slot);
            return;
        };
        cell.dirty = false;
        frame.cell(id, |each| cell.blocks.take_changed(each));
    }

    /// How many series and cells this tick should visit.
    pub fn fold_share(&self) -> usize {
        (self.series.len() + self.cells.slots.len())
            .div_ceil(WALK_TICKS)
            .max(MIN_SHARE)
    }

    /// Visits at most `limit` series and cells on the walk. Frames below `frames_before` have been drained,
    /// this tick's included. A walk ends with a visit; the next one begins with a later call.
    pub fn fold(&mut self, now: UnixNanos, frames_before: u64, limit: usize, out: &mut Fold) {
        self.reach(now);
        let began = match self.fold.began {
            Some(began) => began,
            None if self.now < self.fold.next_walk => return,
            None => (frames_before, self.now),
        };
        self.fold.began = Some(began);
        let (sealable, _) = self.allowed();
        for _ in 0..limit {
            if self.fold.series < self.series.len() {
                let slot = slot_number(self.fold.series);
                self.fold.series += 1;
                self.fold_series(slot, sealable, out);
            } else if self.fold.cells < self.cells.slots.len() {
                let slot = slot_number(self.fold.cells);
                self.fold.cells += 1;
                self.fold_cell(slot, out);
            }
            if self.fold.series >= self.series.len() && self.fold.cells >= self.cells.slots.len() {
                out.walked = Some(began);
                self.fold.next_walk = began.1.plus_secs(WALK_EVERY_SECS);
                (self.fold.began, self.fold.series, self.fold.cells) = (None, 0, 0);
                return;
            }
        }
    }

    fn fold_series(&mut self, slot: u32, sealable: Bucket, out: &mut Fold) {
        self.advance(slot);
        let phase = self.phase;
        let Some(series) = self.series[slot as usize].as_mut() else {
            return;
        };
        let Some(id) = series.stored_as else {
            let lost = series.give_up_unsealed();
            if series.lane == Lane::Seen {
                self.stats.unstored_events += lost;
            }
            return;
        };
        // In this order: blocks leave only by what an earlier tick sealed and committed.
        series.drop_before(ring_floor(phase).min(series.extent.sealed));
        let before = out.chunks.len();
        series
            .blocks
            .take_unfolded(|block| out.chunks.push(fine_row(id, Tier::Fine, block)));
        let hours = sealable - sealable % HOUR;
        if hours > series.extent.sealed {
            seal(series, id, hours, out);
            series.row_changed = true;
        }
        if series.row_changed || out.chunks.len() > before {
            series.row_changed = false;
            out.states.push((id, series.state()));
        }
        if series.needs(lead(slot)).next().is_some() && !series.needy {
            series.needy = true;
            self.needy.push_back(slot);
        }
    }

    fn fold_cell(&mut self, slot: u32, out: &mut Fold) {
        let floor = Window::new(EVIDENCE_SECS).edge(self.phase);
        let Some(cell) = self.cells.slots[slot as usize].as_mut() else {
            return;
        };
        cell.blocks.drop_before(floor - floor % FIVE_MINUTES);
        if let Some(id) = cell.stored_as {
            let before = out.chunks.len();
            cell.blocks
                .take_unfolded(|block| out.chunks.push(fine_row(id, Tier::Evidence, block)));
            if out.chunks.len() > before {
                out.states.push((
                    id,
                    SeriesState {
                        last: cell.last,
                        ..SeriesState::default()
                    },
                ));
            }
        }
        if cell.blocks.is_empty() && !cell.dirty {
            self.cells.close(slot).map(|id| self.bound.remove(&id));
        }
    }
}

/// First bucket that the ring must hold at `phase`, on a block.
pub(super) fn ring_floor(phase: Phase) -> Bucket {
    let edge = Window::new(FINE_REACH_SECS).edge(phase);
    edge - edge % FIVE_MINUTES
}

fn fine_row(series: SeriesRef, tier: Tier, block: &super::block::Block) -> ChunkRow {
    let buckets = block
        .filled()
        .map(|(at, counts)| (offset(at - block.start()), counts))
        .collect();
    ChunkRow {
        tier,
        start_secs: start_secs(block.start()),
        series,
        chunk: Chunk { buckets },
    }
}

/// Writes the hours up to `until` as minutes, and for totals as five-minute buckets of their day.
fn seal(series: &mut Series, id: SeriesRef, until: Bucket, out: &mut Fold) {
    let from = series.extent.sealed;
    seal_tier(series, id, Tier::Minutes, (from, until), out);
    if series.total {
        seal_tier(series, id, Tier::Days, (from, until), out);
    }
    series.extent.sealed = until;
}

fn seal_tier(series: &Series, id: SeriesRef, tier: Tier, (from, until): (Bucket, Bucket), out: &mut Fold) {
    let mut open: Option<ChunkRow> = None;
    let blocks = series
        .blocks
        .iter()
        .filter(|b| b.start() >= from && b.start() < until);
    for (at, counts) in blocks.flat_map(super::block::Block::filled) {
        let start = tier.chunk_of(at);
        let fresh = || ChunkRow {
            tier,
            start_secs: start_secs(start),
            series: id,
            chunk: Chunk::default(),
        };
        let row = match open.take() {
            Some(row) if row.start_secs == start_secs(start) => row,
            Some(row) => {
                out.chunks.push(row);
                fresh()
            }
            None => fresh(),
        };
        open = Some(with_bucket(row, offset((at - start) / tier.width()), counts));
    }
    out.chunks.extend(open);
}

fn with_bucket(mut row: ChunkRow, offset: u16, counts: Counts) -> ChunkRow {
    match row.chunk.buckets.last_mut() {
        Some((last, sum)) if *last == offset => sum.add(counts),
        _ => row.chunk.buckets.push((offset, counts)),
    }
    row
}

/// Offsets within a chunk are below 300.
fn offset(buckets: Bucket) -> u16 {
    u16::try_from(buckets).unwrap_or(u16::MAX)
}
