//! The ledger: every live series and evidence cell.

use super::{
    EvidenceDelta, EvidenceSum, History, HistoryError, LedgerLimits, SeriesDelta, SeriesView, WindowPlan,
    WindowSum,
};
use crate::cohort::{CohortId, ObjectiveId};
use crate::time::UnixNanos;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// What the ledger must know of a cohort: totals reach 400 days, everything else 3.
pub trait Kinds: Send + Sync + fmt::Debug {
    /// Whether `cohort` is a service's total.
    fn is_total(&self, cohort: CohortId) -> bool;
}

/// Why a sum cannot be given.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SumError {
    #[error("no such series is live")]
    Unknown,
    #[error("a window of {window_secs} s: must be from 10 s to 400 d")]
    Window { window_secs: u64 },
    #[error("the window reaches back to {from}, beyond what is kept of this cohort ({kept_secs} s)")]
    OutOfReach { from: UnixNanos, kept_secs: u64 },
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What a ledger holds and what it had to count instead of keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerStats {
    /// Live budget series.
    pub series: usize,
    /// Live evidence cells.
    pub evidence_cells: usize,
    /// Events whose bucket lay outside the allowed range, counted at arrival instead.
    pub moved_events: u64,
    /// Events of series that were not opened because of [`LedgerLimits::max_series`].
    pub refused_series_events: u64,
    /// Events of evidence cells that were not opened because of [`LedgerLimits::max_evidence_cells`].
    pub refused_evidence_events: u64,
    /// Times that `now` lay before ledger time.
    pub clock_steps_back: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    _limits: LedgerLimits,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(limits: LedgerLimits, _default_plan: WindowPlan, _kinds: Arc<dyn Kinds>) -> Self {
        Self { _limits: limits }
    }

    /// Sets the windows of one objective; its series' sums are worked out anew.
    pub fn set_plan(&mut self, _objective: ObjectiveId, _plan: WindowPlan) {}

    /// Counts one batch. Hot: one call a request, under the ledger's lock.
    pub fn absorb(&mut self, _now: UnixNanos, _series: &[SeriesDelta], _evidence: &[EvidenceDelta]) {}

    /// Advances to `now` and drains at most `limit` series whose sums changed into `out`; true when more remain.
    pub fn changed(&mut self, _now: UnixNanos, _limit: usize, _out: &mut Vec<SeriesView>) -> bool {
        false
    }

    /// One series as it stands at ledger time.
    pub fn view(&mut self, _objective: ObjectiveId, _cohort: CohortId) -> Option<SeriesView> {
        None
    }

    /// The sum over (t - w, t], exact for the interval it states, across tiers.
    pub fn sum(
        &self,
        _objective: ObjectiveId,
        _cohort: CohortId,
        _t: UnixNanos,
        _window_secs: u64,
        _history: &dyn History,
    ) -> Result<WindowSum, SumError> {
        Err(SumError::Unknown)
    }

    /// Drops cohorts that have been idle for the limit and returns them, so that the registry can retire them.
    pub fn idle(&mut self, _now: UnixNanos) -> Vec<CohortId> {
        Vec::new()
    }

    /// Evidence of one cohort over the last `window_secs` (at most 30 min), a row a cell.
    pub fn evidence(
        &self,
        _objective: ObjectiveId,
        _cohort: CohortId,
        _window_secs: u64,
    ) -> Vec<EvidenceSum> {
        Vec::new()
    }

    /// What it holds.
    pub fn stats(&self) -> LedgerStats {
        LedgerStats::default()
    }
}
