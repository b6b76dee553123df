//! One budget series: its ring, its running sums, and where its past lies.

use super::block::Blocks;
use super::moment::{Bucket, HOUR, Phase, Window, start_of};
use super::running::{Extent, Need, Running};
use super::{Counts, Lane, SeriesRef, SeriesView, Tier, WindowSum};
use crate::cohort::{CohortId, ObjectiveId};
use crate::time::UnixNanos;

/// Six hours of blocks that no store took are kept; what is older is given up, and counted.
const MAX_UNSEALED: Bucket = 6 * HOUR;

/// See the module.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent flags: which lists it is in"
)]
pub(super) struct Series {
    pub(super) objective: ObjectiveId,
    pub(super) cohort: CohortId,
    pub(super) lane: Lane,
    /// It has lanes beside it.
    pub(super) sampled: bool,
    /// A service's total: reaches 400 days, keeps five-minute buckets.
    pub(super) total: bool,
    /// In the list of series whose sums changed.
    pub(super) marked: bool,
    /// In the list of series whose slots changed since the last frame.
    pub(super) dirty: bool,
    /// In the list of series that need something from the store.
    pub(super) needy: bool,
    /// Sealed or restored since its row was last written.
    pub(super) row_changed: bool,
    /// Its number in the store, once it has one.
    pub(super) stored_as: Option<SeriesRef>,
    pub(super) extent: Extent,
    phase: Phase,
    /// Shortest window in use: an event that is not older cannot have left any window.
    shortest: Bucket,
    /// Everything that was ever counted, future buckets included.
    pub(super) lifetime: Counts,
    /// Everything in buckets that are not in the future.
    entered: Counts,
    /// The newest bucket that holds an event.
    pub(super) last: Bucket,
    pub(super) blocks: Blocks,
    windows: Box<[Running]>,
}

/// What advancing a series brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Advanced {
    pub(super) changed: bool,
    pub(super) needy: bool,
}

impl Series {
    /// A series without events, of which nothing older than `oldest` can still arrive.
    pub(super) fn new(
        (objective, cohort, lane): (ObjectiveId, CohortId, Lane),
        total: bool,
        windows: &[u64],
        phase: Phase,
        oldest: Bucket,
    ) -> Self {
        let first = oldest - oldest % HOUR;
        let mut series = Self {
            objective,
            cohort,
            lane,
            sampled: false,
            total,
            marked: false,
            dirty: false,
            needy: false,
            row_changed: true,
            stored_as: None,
            extent: Extent {
                first,
                floor: first,
                sealed: first,
            },
            phase,
            shortest: 0,
            lifetime: Counts::ZERO,
            entered: Counts::ZERO,
            last: 0,
            blocks: Blocks::default(),
            windows: Box::default(),
        };
        series.set_windows(windows);
        series
    }

    /// Sets the windows in use. Sums that are kept already stay; new ones start where the ring does and are
    /// completed from the store.
    pub(super) fn set_windows(&mut self, windows: &[u64]) {
        let mut old = std::mem::take(&mut self.windows).into_vec();
        let fresh = |secs: u64| {
            let window = Window::new(secs);
            let target = window.edge(self.phase);
            // Before its floor the ring has nothing for a window of two hours.
            let fine = window.tier == Tier::Fine;
            let from = if fine {
                target
            } else {
                target.max(self.extent.floor.min(self.phase.end()))
            };
            let sum = self.blocks.sum(from, self.phase.end());
            let mut running = Running::new(window, from, self.entered.without(sum));
            if from > target && self.extent.first < from {
                running.forget();
            }
            running
        };
        self.windows = windows
            .iter()
            .map(|&secs| match old.iter().position(|r| r.window.secs == secs) {
                Some(at) => old.swap_remove(at),
                None => fresh(secs),
            })
            .collect();
        self.shortest = self
            .windows
            .iter()
            .map(|r| r.window.buckets)
            .min()
            .unwrap_or(Bucket::MAX / 4);
        if self.stored_as.is_some() {
            self.windows
                .iter_mut()
                .for_each(|r| r.reach_back(self.phase, self.extent.first));
        }
    }

    /// Counts events of one bucket. The series must stand at the ledger's phase.
    #[inline]
    pub(super) fn absorb(&mut self, bucket: Bucket, counts: Counts) {
        self.blocks.add(bucket, counts);
        self.lifetime.add(counts);
        self.last = self.last.max(bucket);
        let end = self.phase.end();
        if bucket < end {
            self.entered.add(counts);
            if bucket + self.shortest < end {
                self.windows
                    .iter_mut()
                    .for_each(|r| r.absorb_late(bucket, counts));
            }
        }
    }

    /// Takes events of one bucket out again, as many as it holds; how many that were. The series must stand
    /// at the ledger's phase.
    pub(super) fn take(&mut self, bucket: Bucket, counts: Counts) -> Counts {
        let taken = self.blocks.take(bucket, counts);
        let end = self.phase.end();
        self.lifetime = self.lifetime.without(taken);
        if bucket < end {
            self.entered = self.entered.without(taken);
            self.windows.iter_mut().for_each(|r| r.take_late(bucket, taken));
        }
        taken
    }

    #[inline]
    pub(super) fn stands_at(&self, phase: Phase) -> bool {
        self.phase == phase
    }

    /// Lets future buckets enter and old ones leave. `lead` spreads the reads of chunks over time.
    pub(super) fn advance(&mut self, phase: Phase, lead: Bucket) -> Advanced {
        let mut advanced = Advanced::default();
        if phase > self.phase {
            let came = self.blocks.sum(self.phase.end(), phase.end());
            self.phase = phase;
            self.entered.add(came);
            advanced.changed = !came.is_zero();
            for running in &mut self.windows {
                advanced.changed |= running.advance(phase, &self.blocks, self.extent);
            }
        }
        advanced.needy = self.needs(lead).next().is_some();
        advanced
    }

    /// What its windows need from the store.
    pub(super) fn needs(&self, lead: Bucket) -> impl Iterator<Item = (u64, Need)> + '_ {
        let bound = self.stored_as.is_some();
        self.windows.iter().filter(move |_| bound).filter_map(move |r| {
            r.need(self.phase, self.extent, lead)
                .map(|need| (r.window.secs, need))
        })
    }

    /// The store's number for it is known. `past` is what the store holds of it from before: first bucket and
    /// lifetime.
    pub(super) fn bind(&mut self, stored_as: SeriesRef, past: Option<(Bucket, Counts)>) {
        self.stored_as = Some(stored_as);
        match past {
            None => self
                .windows
                .iter_mut()
                .for_each(|r| r.reach_back(self.phase, self.extent.first)),
            Some((first, lifetime)) => {
                self.extent.first = self.extent.first.min(first);
                self.lifetime.add(lifetime);
                self.entered.add(lifetime);
                self.windows
                    .iter_mut()
                    .for_each(|r| r.bind_past(self.phase, lifetime));
            }
        }
    }

    /// Takes what the store holds of it as a restart finds it; the ring has been filled already.
    pub(super) fn restored(&mut self, extent: Extent, lifetime: Counts, last: Bucket) {
        let end = self.phase.end();
        // Less than the ring holds is said by a damaged row.
        let lifetime = lifetime.at_least(self.blocks.sum(Bucket::MIN, Bucket::MAX));
        (self.extent, self.lifetime, self.last) = (extent, lifetime, last);
        self.entered = lifetime.without(self.blocks.sum(end, Bucket::MAX));
        let secs: Vec<u64> = self.windows.iter().map(|r| r.window.secs).collect();
        self.windows = Box::default();
        self.set_windows(&secs);
    }

    /// Hands a chunk to a window.
    pub(super) fn supply(&mut self, window_secs: u64, start: Bucket, chunk: Option<&super::Chunk>) -> bool {
        let (blocks, extent, phase) = (&self.blocks, self.extent, self.phase);
        self.windows
            .iter_mut()
            .filter(|r| r.window.secs == window_secs)
            .fold(false, |changed, running| {
                running.supply(start, chunk);
                running.advance(phase, blocks, extent) || changed
            })
    }

    /// Hands a window what the store holds from `from` to the ring, which then began at `floor`.
    pub(super) fn supply_whole(
        &mut self,
        window_secs: u64,
        from: Bucket,
        floor: Bucket,
        stored: Counts,
    ) -> bool {
        if floor != self.extent.floor {
            return false;
        }
        let mut sum = stored;
        sum.add(self.blocks.sum(from.max(floor), self.phase.end()));
        for running in self.windows.iter_mut().filter(|r| r.window.secs == window_secs) {
            running.supply_whole(from, sum, self.entered);
            running.advance(self.phase, &self.blocks, self.extent);
            running.reach_back(self.phase, self.extent.first);
        }
        true
    }

    /// Everything before `floor` is in the store and leaves memory.
    pub(super) fn drop_before(&mut self, floor: Bucket) {
        if floor > self.extent.floor {
            self.blocks.drop_before(floor);
            self.extent.floor = floor;
        }
    }

    /// Gives up blocks that no store took for too long; how many events that were.
    pub(super) fn give_up_unsealed(&mut self) -> u64 {
        let Some(first) = self.blocks.first_start() else {
            return 0;
        };
        let limit = self.phase.end().saturating_sub(MAX_UNSEALED);
        let limit = limit - limit % HOUR;
        if first >= limit || self.extent.sealed >= limit {
            return 0;
        }
        let lost = self.blocks.sum(self.extent.sealed, limit).total();
        self.extent.sealed = limit;
        self.drop_before(limit);
        for running in self.windows.iter_mut().filter(|r| r.edge() < limit) {
            running.forget();
        }
        lost
    }

    /// The series at `now`, which its phase stands for.
    pub(super) fn view(&self, now: UnixNanos) -> SeriesView {
        let windows = self
            .windows
            .iter()
            .map(|r| WindowSum {
                window_secs: r.window.secs,
                from: start_of(r.edge()),
                to: now,
                counts: r.sum(self.entered),
                sampled: None,
            })
            .collect();
        SeriesView {
            objective: self.objective,
            cohort: self.cohort,
            windows,
            lifetime: self.lifetime,
            last_event: start_of(self.last),
        }
    }

    /// The sum of one window; nothing if it is not in use.
    pub(super) fn window(&self, window_secs: u64) -> Counts {
        let mut windows = self.windows.iter();
        let found = windows.find(|r| r.window.secs == window_secs);
        found.map_or(Counts::ZERO, |r| r.sum(self.entered))
    }

    /// Longest window in use, in seconds.
    pub(super) fn longest_secs(&self) -> u64 {
        self.windows.iter().map(|r| r.window.secs).max().unwrap_or(0)
    }

    /// Memory of the series, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.blocks.bytes()
            + self
                .windows
                .iter()
                .map(|r| size_of::<Running>() + r.bytes())
                .sum::<usize>()
    }
}
