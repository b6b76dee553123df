//! The ledger: every live series and evidence cell, by handle.
//!
//! Absorbing is the data plane's only shared step: a hash, an addition, two flags. Everything that walks over
//! series (advancing, folding, forgetting) does so in slices whose size the caller sets, so that no hold of
//! the lock grows with the number of cohorts.

use super::evidence::Cells;
use super::fold::FoldState;
use super::joint::Joint;
use super::moment::{Bucket, Phase, bucket_of};
use super::series::{Advanced, Series};
use super::{
    Counts, EvidenceDelta, EvidenceRow, EvidenceSum, FUTURE_SECS, JointDelta, LATE_SECS, Lane, LedgerLimits,
    SeriesDelta, SeriesRef, SeriesView, WindowPlan,
};
use crate::cohort::{CohortId, ObjectiveId};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What the ledger must know of a cohort: totals reach 400 days, everything else 3.
pub trait Kinds: Send + Sync + fmt::Debug {
    /// Whether `cohort` is a service's total.
    fn is_total(&self, cohort: CohortId) -> bool;
}

/// What a ledger holds and what it had to count instead of keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerStats {
    /// Live budget series, lanes of sampled ones included.
    pub series: usize,
    /// Live evidence cells, lanes of sampled ones included.
    pub evidence_cells: usize,
    /// Rows of joint counts that wait to be read.
    pub joint_rows: usize,
    /// Events of joint counts that were not kept because of [`LedgerLimits::max_joint_rows`].
    pub refused_joint_events: u64,
    /// Events whose bucket lay outside the allowed range, counted at arrival instead.
    pub moved_events: u64,
    /// Events of series that were not opened because of [`LedgerLimits::max_series`].
    pub refused_series_events: u64,
    /// Events of evidence cells that were not opened because of [`LedgerLimits::max_evidence_cells`].
    pub refused_evidence_events: u64,
    /// Events that left memory without reaching a store, because none took them for hours.
    pub unstored_events: u64,
    /// Events that could not be taken out of a series again ([`Ledger::retract`]): too late, or gone.
    pub unretracted_events: u64,
    /// Times that `now` lay more than a second before ledger time.
    pub clock_steps_back: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    pub(super) limits: LedgerLimits,
    default_plan: WindowPlan,
    plans: HashMap<ObjectiveId, WindowPlan, foldhash::fast::RandomState>,
    kinds: Arc<dyn Kinds>,
    pub(super) now: UnixNanos,
    pub(super) phase: Phase,
    stepped_back: bool,
    index: HashMap<(ObjectiveId, CohortId, Lane), u32, foldhash::fast::RandomState>,
    pub(super) series: Vec<Option<Series>>,
    free: Vec<u32>,
    /// Live series of each cohort.
    cohorts: HashMap<CohortId, u32, foldhash::fast::RandomState>,
    pub(super) marked: VecDeque<u32>,
    pub(super) dirty: Vec<u32>,
    pub(super) needy: VecDeque<u32>,
    pub(super) unbound: VecDeque<u32>,
    /// Marked series that this pass of `changed` still owes, and the next series to advance.
    pub(super) pass: Option<usize>,
    pub(super) sweep: usize,
    pub(super) idle_cursor: usize,
    pub(super) fold: FoldState,
    pub(super) cells: Cells,
    joint: Joint,
    /// Numbers in the store of what is live.
    pub(super) bound: HashSet<SeriesRef, foldhash::fast::RandomState>,
    pub(super) stats: LedgerStats,
}

impl Ledger {
    /// An empty ledger. A cohort stays at least three hours, so that what returns has nothing left in the
    /// ring.
    pub fn new(limits: LedgerLimits, default_plan: WindowPlan, kinds: Arc<dyn Kinds>) -> Self {
        let limits = LedgerLimits {
            idle_timeout_secs: limits.idle_timeout_secs.max(10_800),
            ..limits
        };
        Self {
            limits,
            default_plan,
            plans: HashMap::default(),
            kinds,
            now: UnixNanos::default(),
            phase: Phase::default(),
            stepped_back: false,
            index: HashMap::default(),
            series: Vec::new(),
            free: Vec::new(),
            cohorts: HashMap::default(),
            marked: VecDeque::new(),
            dirty: Vec::new(),
            needy: VecDeque::new(),
            unbound: VecDeque::new(),
            pass: None,
            sweep: 0,
            idle_cursor: 0,
            fold: FoldState::default(),
            cells: Cells::default(),
            joint: Joint::default(),
            bound: HashSet::default(),
            stats: LedgerStats::default(),
        }
    }

    /// Sets the windows of one objective. Sums of windows that stay are kept; new ones begin where memory
    /// does, say so, and are completed from the store within the next ticks.
    pub fn set_plan(&mut self, objective: ObjectiveId, plan: WindowPlan) {
        for slot in 0..self.series.len() {
            let Some(series) = self.series[slot].as_mut().filter(|s| s.objective == objective) else {
                continue;
            };
            series.set_windows(if series.total {
                plan.totals()
            } else {
                plan.cohorts()
            });
            let slot = slot_number(slot);
            self.advance(slot);
            self.mark(slot);
        }
        self.plans.insert(objective, plan);
    }

    /// Counts one batch. Hot: one call a request, under the ledger's lock.
    pub fn absorb(&mut self, now: UnixNanos, series: &[SeriesDelta], evidence: &[EvidenceDelta]) {
        self.reach(now);
        let (oldest, newest) = self.allowed();
        for delta in series {
            if delta.counts.is_zero() {
                continue;
            }
            let bucket = self.place(delta.bucket, delta.counts, oldest, newest);
            let known = self.slot(delta.objective, delta.cohort);
            let Some(slot) = known.or_else(|| self.open(delta.objective, delta.cohort, Lane::Seen)) else {
                self.stats.refused_series_events += delta.counts.total();
                continue;
            };
            self.count(slot, bucket, delta.counts);
        }
        for delta in evidence {
            let bucket = self.place(delta.bucket, delta.counts, oldest, newest);
            if !self.cells.absorb(delta, bucket, self.limits.max_evidence_cells) {
                self.stats.refused_evidence_events += delta.counts.total();
            }
        }
    }

    /// Counts what one batch brings of pairs of flags.
    pub fn absorb_joint(&mut self, now: UnixNanos, joint: &[JointDelta]) {
        self.reach(now);
        for delta in joint {
            let bucket = self.bucket_within(delta.bucket);
            if !self.joint.absorb(delta, bucket, self.limits.max_joint_rows) {
                self.stats.refused_joint_events += delta.counts.total();
            }
        }
    }

    /// Joint counts of the blocks in [from, to).
    pub fn joint(&self, from: u64, to: u64) -> Vec<JointDelta> {
        let clamp = |bucket| Bucket::try_from(bucket).unwrap_or(Bucket::MAX);
        self.joint.rows(clamp(from), clamp(to))
    }

    /// Forgets the joint counts of blocks before `before`.
    pub fn drop_joint_before(&mut self, before: u64) {
        let before = Bucket::try_from(before).unwrap_or(Bucket::MAX);
        self.joint.drop_before(before, bucket_of(self.now.secs()));
    }

    /// The series changed: for the tick, and for the next frame.
    #[inline]
    fn touched(&mut self, slot: u32) {
        let Some(series) = self.series[slot as usize].as_mut() else {
            return;
        };
        if !series.marked {
            series.marked = true;
            self.marked.push_back(slot);
        }
        if !series.dirty {
            series.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Ledger time: the latest `now` it was given.
    pub fn now(&self) -> UnixNanos {
        self.now
    }

    /// One series as it stands at ledger time.
    pub fn view(&mut self, objective: ObjectiveId, cohort: CohortId) -> Option<SeriesView> {
        let slot = self.slot(objective, cohort)?;
        self.advance_all(slot);
        self.view_of(slot)
    }

    /// Evidence of one cohort over the last `window_secs` (at most 30 min), a row a cell.
    pub fn evidence(&self, objective: ObjectiveId, cohort: CohortId, window_secs: u64) -> Vec<EvidenceSum> {
        let window = super::moment::Window::new(window_secs.min(super::EVIDENCE_SECS));
        self.cells
            .sums(objective, cohort, window.edge(self.phase), self.phase.end())
    }

    /// Evidence of one cohort in the blocks in [from, to), a row a cell and block; at most the last 30
    /// minutes are there.
    pub fn evidence_rows(
        &self,
        objective: ObjectiveId,
        cohort: CohortId,
        from: u64,
        to: u64,
    ) -> Vec<EvidenceRow> {
        let oldest = u64::from(self.phase.end()).saturating_sub(super::EVIDENCE_SECS / super::BUCKET_SECS);
        let newest = u64::from(self.phase.end()) + FUTURE_SECS / super::BUCKET_SECS;
        let clamp = |bucket: u64| Bucket::try_from(bucket.clamp(oldest, newest)).unwrap_or(Bucket::MAX);
        self.cells.rows(objective, cohort, clamp(from), clamp(to))
    }

    /// What it holds.
    pub fn stats(&self) -> LedgerStats {
        LedgerStats {
            series: self.index.len(),
            evidence_cells: self.cells.len(),
            joint_rows: self.joint.len(),
            ..self.stats
        }
    }

    /// Memory of one series, in bytes.
    pub fn series_bytes(&self, objective: ObjectiveId, cohort: CohortId) -> Option<usize> {
        self.series[self.slot(objective, cohort)? as usize]
            .as_ref()
            .map(Series::bytes)
    }

    /// Moves ledger time on. A step back is ignored.
    pub(super) fn reach(&mut self, now: UnixNanos) {
        if now > self.now {
            self.now = now;
            self.stepped_back = false;
            let phase = Phase::at(now);
            if phase != self.phase {
                self.phase = phase;
                self.sweep = 0;
            }
        } else if self.now.0 - now.0 > NANOS_PER_SEC && !self.stepped_back {
            self.stepped_back = true;
            self.stats.clock_steps_back += 1;
        }
    }

    /// The buckets that may still receive events.
    pub(super) fn allowed(&self) -> (Bucket, Bucket) {
        let now = self.now.secs();
        (
            bucket_of(now.saturating_sub(LATE_SECS)),
            bucket_of(now.saturating_add(FUTURE_SECS)),
        )
    }

    /// The bucket that an event counts in: its own, or that of its arrival.
    fn place(&mut self, bucket: u64, counts: Counts, oldest: Bucket, newest: Bucket) -> Bucket {
        match Bucket::try_from(bucket) {
            Ok(bucket) if bucket >= oldest && bucket <= newest => bucket,
            _ => {
                self.stats.moved_events += counts.total();
                bucket_of(self.now.secs())
            }
        }
    }

    /// The same without a record of those that were moved.
    pub(super) fn bucket_within(&self, bucket: u64) -> Bucket {
        let (oldest, newest) = self.allowed();
        match Bucket::try_from(bucket) {
            Ok(bucket) if bucket >= oldest && bucket <= newest => bucket,
            _ => bucket_of(self.now.secs()),
        }
    }

    #[inline]
    pub(super) fn count(&mut self, slot: u32, bucket: Bucket, counts: Counts) {
        let stands = self.series[slot as usize]
            .as_ref()
            .is_some_and(|s| s.stands_at(self.phase));
        if !stands {
            self.advance(slot);
        }
        let Some(series) = self.series[slot as usize].as_mut() else {
            return;
        };
        series.absorb(bucket, counts);
        if series.lane != Lane::Seen {
            if !series.dirty {
                series.dirty = true;
                self.dirty.push(slot);
            }
            return self.mark(slot);
        }
        self.touched(slot);
    }

    /// Longest window of an objective's totals, in seconds.
    pub(super) fn longest_total_secs(&self, objective: ObjectiveId) -> u64 {
        let plan = self.plans.get(&objective).unwrap_or(&self.default_plan);
        plan.totals().last().copied().unwrap_or(0)
    }

    /// A new series; `None` beyond the cap.
    pub(super) fn open(&mut self, objective: ObjectiveId, cohort: CohortId, lane: Lane) -> Option<u32> {
        if self.index.len() >= self.limits.max_series {
            return None;
        }
        let total = self.kinds.is_total(cohort);
        let plan = self.plans.get(&objective).unwrap_or(&self.default_plan);
        let windows = if total { plan.totals() } else { plan.cohorts() };
        let (oldest, _) = self.allowed();
        let series = Series::new((objective, cohort, lane), total, windows, self.phase, oldest);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.series.push(None);
            slot_number(self.series.len() - 1)
        });
        self.series[slot as usize] = Some(series);
        self.index.insert((objective, cohort, lane), slot);
        self.tie(objective, cohort, lane);
        *self.cohorts.entry(cohort).or_default() += 1;
        self.unbound.push_back(slot);
        Some(slot)
    }

    /// Forgets a series; its cohort when this was the last of it.
    pub(super) fn close(&mut self, slot: u32) -> Option<CohortId> {
        let series = self.series[slot as usize].take()?;
        self.index.remove(&(series.objective, series.cohort, series.lane));
        self.free.push(slot);
        series.stored_as.map(|id| self.bound.remove(&id));
        let live = self.cohorts.get_mut(&series.cohort)?;
        *live -= 1;
        if *live > 0 {
            return None;
        }
        self.cohorts.remove(&series.cohort);
        Some(series.cohort)
    }

    pub(super) fn slot(&self, objective: ObjectiveId, cohort: CohortId) -> Option<u32> {
        self.slot_of(objective, cohort, Lane::Seen)
    }

    pub(super) fn slot_of(&self, objective: ObjectiveId, cohort: CohortId, lane: Lane) -> Option<u32> {
        self.index.get(&(objective, cohort, lane)).copied()
    }

    /// Brings one series to ledger time.
    pub(super) fn advance(&mut self, slot: u32) -> Advanced {
        let Some(series) = self.series[slot as usize].as_mut() else {
            return Advanced::default();
        };
        let advanced = series.advance(self.phase, lead(slot));
        if advanced.needy && !series.needy {
            series.needy = true;
            self.needy.push_back(slot);
        }
        if advanced.changed {
            self.mark(slot);
        }
        advanced
    }

    /// Puts a series, or the one whose lane it is, on the list of what changed.
    pub(super) fn mark(&mut self, slot: u32) {
        let Some(slot) = self.base_of(slot) else {
            return;
        };
        if let Some(series) = self.series[slot as usize].as_mut()
            && !series.marked
        {
            series.marked = true;
            self.marked.push_back(slot);
        }
    }
}

/// How long before its need a chunk is asked for, in buckets: 10 to 50 minutes, so that the reads of an
/// hour's turn spread.
pub(super) fn lead(slot: u32) -> Bucket {
    60 + slot.wrapping_mul(37) % 240
}

/// Slots are 32 bits; [`LedgerLimits::max_series`] keeps them there.
pub(super) fn slot_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
