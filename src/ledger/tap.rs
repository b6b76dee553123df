//! From the bytes of a request to the counts that it adds.

use super::{EvidenceDelta, Kinds, SeriesDelta};
use crate::cohort::{CohortId, NamedFlags, Registry};
use crate::config::{Cohorts, ReceiverLimits};
use crate::time::UnixNanos;
use crate::wire::{WalkError, WalkSummary};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// What one request adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOutcome {
    /// Budget series, a row for each (objective, cohort, bucket).
    pub series: Vec<SeriesDelta>,
    /// Evidence cells.
    pub evidence: Vec<EvidenceDelta>,
    /// What the walk saw.
    pub summary: WalkSummary,
    /// Spans that ended too long ago: counted at their arrival.
    pub late: u64,
    /// Spans that end in the future: counted at their arrival.
    pub future: u64,
    /// Spans that end before they start.
    pub invalid_durations: u64,
}

impl Kinds for Registry {
    fn is_total(&self, cohort: CohortId) -> bool {
        self.key(cohort)
            .is_some_and(|key| key.level == crate::cohort::Level::Total)
    }
}

/// Why a tap cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapError {}

/// Everything that a policy file and a configuration say about counting, compiled; immutable.
#[derive(Debug)]
pub struct Compiled {}

impl Compiled {
    /// Compiles flags, cohorts and limits.
    pub fn compile(
        _named: NamedFlags,
        _cohorts: &Cohorts,
        _limits: &ReceiverLimits,
    ) -> Result<Self, TapError> {
        Ok(Self {})
    }
}

/// The tap: a compiled state that a reload swaps, and the registry that outlives it.
#[derive(Debug)]
pub struct Tap {
    compiled: RwLock<Arc<Compiled>>,
    registry: Arc<Registry>,
}

impl Tap {
    /// A tap on `registry`.
    pub fn new(compiled: Compiled, registry: Arc<Registry>) -> Self {
        Self {
            compiled: RwLock::new(Arc::new(compiled)),
            registry,
        }
    }

    /// Puts a newly compiled state in place; batches under way finish with the old one.
    pub fn swap(&self, compiled: Compiled) {
        *self.compiled.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(compiled);
    }

    /// The registry that resolves the handles of the outcome.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Counts one ExportTraceServiceRequest. Nothing is kept of a request that is refused.
    pub fn process(
        &self,
        _bytes: &[u8],
        _peer: Option<SocketAddr>,
        _now: UnixNanos,
    ) -> Result<TapOutcome, WalkError> {
        Ok(TapOutcome::default())
    }
}
