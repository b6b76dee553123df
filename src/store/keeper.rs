//! The tick's way to the store and back.
//!
//! The order of steps is what makes counts durable and sums exact, so it lives here and nowhere else: names
//! first, then the frame, then the folding (which must see at least what the frame saw), then one commit, and
//! only then the reads (which may need what was just committed). The ledger's lock is held for slices of a
//! thousand series, and never over a read or a write of the store. A commit that fails is kept and tried
//! again before anything else is taken from the ledger.

use super::{Commit, NameKind, Names, Store, StoreError, in_lane};
use crate::ledger::{Fold, Lane, Ledger, Nameless, SeriesRef, SeriesState, Streams, Tier, resolve};
use crate::time::UnixNanos;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Series a hold of the ledger's lock.
const SLICE: usize = 1_000;
/// Rounds of reads a tick: a window that steps over several chunks at once asks again.
const READ_ROUNDS: usize = 8;
/// Dictionary rows that the sweep looks at a tick.
const SWEEP_ROWS: usize = 256;
/// Time from the end of one sweep to the start of the next, in seconds.
const SWEEP_EVERY_SECS: u64 = 600;

/// What a tick wrote and read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Bytes of the frame.
    pub frame_bytes: usize,
    /// Chunk rows folded.
    pub chunk_rows: usize,
    /// Windows that got something from the store.
    pub supplied: usize,
    /// Events of series whose cohort was retired while they were counted: they are in the totals, and nowhere
    /// else.
    pub orphaned_events: u64,
}

/// Moves counts between a ledger and a store; owned by the tick.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<dyn Store>,
    names: Arc<dyn Names>,
    next_series: u32,
    next_frame: u64,
    /// Names and states that the next commit brings.
    new_names: Vec<(SeriesRef, Vec<u8>)>,
    new_states: Vec<(SeriesRef, SeriesState)>,
    /// What the ledger handed over and the store has not answered for.
    unnamed: Vec<Nameless>,
    /// A commit that failed.
    pending: Option<Commit>,
    frames_before: u64,
    committed_frames_before: u64,
    /// Ledger time at the start of the last walk over all series that has ended.
    walked_at: UnixNanos,
    sweep_from: u32,
    sweep_after: UnixNanos,
    forget: Vec<SeriesRef>,
    /// Streams of metrics, where they are kept.
    streams: Option<Arc<Mutex<Streams>>>,
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(super) fn new(
        store: Arc<dyn Store>,
        names: Arc<dyn Names>,
        next_series: u32,
        next_frame: u64,
    ) -> Self {
        Self {
            store,
            names,
            next_series,
            next_frame,
            new_names: Vec::new(),
            new_states: Vec::new(),
            unnamed: Vec::new(),
            pending: None,
            frames_before: 0,
            committed_frames_before: 0,
            walked_at: UnixNanos::default(),
            sweep_from: 0,
            sweep_after: UnixNanos::default(),
            forget: Vec::new(),
            streams: None,
        }
    }

    /// Fills `streams` with what the store holds; answers with the rows that could not be read.
    pub fn restore_streams(&self, streams: &mut Streams) -> Result<u64, StoreError> {
        let mut unread = 0;
        self.store.streams(&mut |key, value| {
            unread += u64::from(!streams.restore(key, value));
        })?;
        Ok(unread)
    }

    /// Writes changes of `streams` with the counts from now on.
    pub fn keep_streams(&mut self, streams: Arc<Mutex<Streams>>) {
        self.streams = Some(streams);
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// One durable write of everything that changed since the last, then whatever the ledger wants to read.
    /// Call it once a tick, before [`Ledger::changed`]. After an error nothing is lost: the next call writes
    /// the same again.
    pub fn tick(&mut self, now: UnixNanos, ledger: &Mutex<Ledger>) -> Result<TickReport, StoreError> {
        self.tick_with(now, ledger, Vec::new())
    }

    /// The same, with rows of the journal in the same transaction. After an error they may or may not be
    /// among what the next call writes again, so hand them over again.
    pub fn tick_with(
        &mut self,
        now: UnixNanos,
        ledger: &Mutex<Ledger>,
        journal: Vec<(String, Vec<u8>)>,
    ) -> Result<TickReport, StoreError> {
        self.retry()?;
        let mut report = TickReport::default();
        // Streams and the counts that their points led to must be of one moment: no batch of metrics comes
        // between.
        let streams = self.streams.clone();
        let mut streams = streams
            .as_ref()
            .map(|streams| streams.lock().unwrap_or_else(PoisonError::into_inner));
        self.name_new(ledger, &mut report)?;
        let mut commit = Commit {
            journal,
            ..self.collect(now, ledger)
        };
        if let Some(streams) = &mut streams {
            commit.streams = streams.changed_rows();
        }
        drop(streams);
        report.frame_bytes = commit.frame.as_ref().map_or(0, |(_, bytes)| bytes.len());
        report.chunk_rows = commit.fold.chunks.len();
        if self.worth_writing(&commit) {
            self.pending = Some(commit);
            self.retry()?;
        }
        self.sweep(now, ledger)?;
        report.supplied = self.supply(ledger)?;
        Ok(report)
    }

    /// Writes what failed before.
    fn retry(&mut self) -> Result<(), StoreError> {
        if let Some(commit) = &self.pending {
            self.store.commit(commit)?;
            self.committed_frames_before = commit.frames_before;
            self.pending = None;
        }
        Ok(())
    }

    /// Gives every new series and cell a number.
    fn name_new(&mut self, ledger: &Mutex<Ledger>, report: &mut TickReport) -> Result<(), StoreError> {
        loop {
            if self.unnamed.is_empty() {
                self.unnamed = lock(ledger).nameless(SLICE);
            }
            if self.unnamed.is_empty() {
                return Ok(());
            }
            while let Some(&what) = self.unnamed.last() {
                match self.names.encode(what) {
                    Some(name) => self.bind(what, name, ledger)?,
                    None => report.orphaned_events += lock(ledger).unbind(what).total(),
                }
                self.unnamed.pop();
            }
        }
    }

    fn bind(&mut self, what: Nameless, name: Vec<u8>, ledger: &Mutex<Ledger>) -> Result<(), StoreError> {
        let known = self.store.find(&name)?;
        let returns = known.is_some();
        let id = known.as_ref().map_or(SeriesRef(self.next_series), |row| row.id);
        self.forget.retain(|&gone| gone != id);
        if let Some(state) = lock(ledger).bind(what, id, known.map(|row| row.state)) {
            self.new_states.push((id, state));
        }
        if !returns {
            self.next_series += 1;
            self.new_names.push((id, name));
            return Ok(());
        }
        // What a series that returns was estimated by before returns with it.
        for lane in Lane::SIDES.into_iter().filter(|_| what.lane() == Lane::Seen) {
            if let Some(row) = self.store.find(&in_lane(name.clone(), lane))? {
                self.forget.retain(|&gone| gone != row.id);
                lock(ledger).bring_back(what.in_lane(lane), row.id, row.state);
            }
        }
        Ok(())
    }

    fn collect(&mut self, now: UnixNanos, ledger: &Mutex<Ledger>) -> Commit {
        let mut frame = lock(ledger).begin_frame(now);
        while lock(ledger).drain_frame(&mut frame, SLICE) {}
        let number = self.next_frame;
        let frame = (!frame.is_empty()).then(|| (number, frame.finish()));
        self.next_frame += u64::from(frame.is_some());
        let mut fold = Fold {
            states: std::mem::take(&mut self.new_states),
            ..Fold::default()
        };
        let mut share = lock(ledger).fold_share();
        while share > 0 && fold.walked.is_none() {
            lock(ledger).fold(now, self.next_frame, share.min(SLICE), &mut fold);
            share = share.saturating_sub(SLICE);
        }
        if let Some((frames_before, at)) = fold.walked {
            self.frames_before = frames_before;
            self.walked_at = at;
        }
        Commit {
            now: lock(ledger).now(),
            next_series: self.next_series,
            names: std::mem::take(&mut self.new_names),
            fold,
            frame,
            frames_before: self.frames_before,
            expire: self.expire(now),
            forget: std::mem::take(&mut self.forget),
            streams: Vec::new(),
            journal: Vec::new(),
        }
    }

    /// What each tier may let go of. Ten-second chunks go by the last walk that ended: until then they may
    /// not be sealed.
    fn expire(&self, now: UnixNanos) -> Vec<(Tier, u64)> {
        let before = |tier: Tier, at: UnixNanos, kept_secs: u64| {
            (tier, at.secs().saturating_sub(kept_secs + tier.chunk_secs()))
        };
        vec![
            before(Tier::Fine, self.walked_at, 7_200),
            before(Tier::Evidence, self.walked_at, crate::ledger::EVIDENCE_SECS),
            before(Tier::Minutes, now, crate::ledger::COHORT_REACH_SECS),
            before(Tier::Days, now, crate::ledger::TOTAL_REACH_SECS),
        ]
    }

    /// A gateway at rest writes nothing.
    fn worth_writing(&self, commit: &Commit) -> bool {
        commit.frame.is_some()
            || !commit.streams.is_empty()
            || !commit.names.is_empty()
            || !commit.fold.chunks.is_empty()
            || !commit.fold.states.is_empty()
            || !commit.forget.is_empty()
            || !commit.journal.is_empty()
            || commit.frames_before > self.committed_frames_before
    }

    /// Finds series of which the store holds only the name.
    fn sweep(&mut self, now: UnixNanos, ledger: &Mutex<Ledger>) -> Result<(), StoreError> {
        if now < self.sweep_after {
            return Ok(());
        }
        let rows = self.store.names(SeriesRef(self.sweep_from), SWEEP_ROWS)?;
        if let Some(last) = rows.last() {
            self.sweep_from = last.id.0.saturating_add(1);
        } else {
            (self.sweep_from, self.sweep_after) = (0, now.plus_secs(SWEEP_EVERY_SECS));
        }
        let gone = |kind: NameKind| match kind {
            NameKind::Total => crate::ledger::TOTAL_REACH_SECS + 2 * Tier::Days.chunk_secs(),
            NameKind::Cohort => crate::ledger::COHORT_REACH_SECS + 4 * Tier::Minutes.chunk_secs(),
            NameKind::Cell => 2 * Tier::Minutes.chunk_secs(),
        };
        let ledger = lock(ledger);
        let old = rows.into_iter().filter(|row| {
            let kept_secs = NameKind::of(&row.name).map_or(0, gone);
            now.secs_since(row.state.last_event()) > kept_secs && !ledger.is_bound(row.id)
        });
        self.forget.extend(old.map(|row| row.id));
        Ok(())
    }

    fn supply(&self, ledger: &Mutex<Ledger>) -> Result<usize, StoreError> {
        let mut supplied = 0;
        for _ in 0..READ_ROUNDS {
            let wants = lock(ledger).wanted(SLICE);
            if wants.is_empty() {
                break;
            }
            let supplies = resolve(wants, &*self.store)?;
            supplied += supplies.len();
            lock(ledger).supply(supplies);
        }
        Ok(supplied)
    }
}
