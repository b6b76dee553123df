//! One accused variant or version, and the evidence about it.

use super::past::{Past, Rollout};
use super::{BUCKET_SECS, SourceFigures};
use crate::cohort::ObjectiveId;
use crate::evidence::{Block, Discount, Epoch, Grid, MIN_TREATED_BAD, RatioInterval, RatioSequence, Trial};
use crate::ledger::Counts;
use crate::time::UnixNanos;
use std::sync::Arc;

/// Chance that the ratio ever lies outside of the limits that are shown.
const RATIO_ALPHA: f64 = 0.05;

/// Who is accused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::decide) enum Accused {
    /// A variant of a flag.
    Flag { flag: Arc<str>, variant: Arc<str> },
    /// A version of the service.
    Version { sha: Arc<str> },
}

impl Accused {
    pub(in crate::decide) fn flag(&self) -> Option<&str> {
        match self {
            Self::Flag { flag, .. } => Some(flag),
            Self::Version { .. } => None,
        }
    }
}

/// A case: by which objective, where, and who.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::decide) struct CaseKey {
    pub(in crate::decide) objective: ObjectiveId,
    pub(in crate::decide) environment: Arc<str>,
    pub(in crate::decide) accused: Accused,
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::decide) struct Case {
    settled: Trial,
    settled_counts: (Counts, Counts),
    /// How much worse it is, of settled blocks.
    ratios: RatioSequence,
    /// The first block that is not settled.
    pub(super) next: u64,
    /// With the blocks that are still open.
    pub(in crate::decide) trial: Trial,
    /// Events of the accused and of its control since the epoch began.
    pub(in crate::decide) counts: (Counts, Counts),
    /// Whether both ever had events in the same stratum and block.
    pub(in crate::decide) has_control: bool,
    /// End of the newest block with a bad event of the accused.
    pub(in crate::decide) last_bad: Option<UnixNanos>,
    /// End of the newest block with any event of either side.
    pub(in crate::decide) last_event: Option<UnixNanos>,
    pub(in crate::decide) suspect_since: Option<UnixNanos>,
    /// Who sent what, of a suspect.
    pub(in crate::decide) sources: Option<SourceFigures>,
    pub(super) rollout: Rollout,
    /// The trial against its own past, while everybody has it.
    pub(in crate::decide) past: Option<Box<Past>>,
}

impl Case {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            settled: Trial::new(epoch),
            settled_counts: (Counts::ZERO, Counts::ZERO),
            ratios: RatioSequence::default(),
            next: epoch.since.secs().div_ceil(BUCKET_SECS),
            trial: Trial::new(epoch),
            counts: (Counts::ZERO, Counts::ZERO),
            has_control: false,
            last_bad: None,
            last_event: None,
            suspect_since: None,
            sources: None,
            rollout: Rollout::default(),
            past: None,
        }
    }

    pub(super) fn restart(&mut self, epoch: Epoch) {
        *self = Self::new(epoch);
    }

    /// Takes in a block for good.
    pub(super) fn settle(&mut self, block: u64, strata: &[Block], grid: &Grid, discount: Discount) {
        let began = UnixNanos::from_secs(block * BUCKET_SECS);
        self.settled.absorb(began, strata, grid, discount);
        if began >= self.settled.epoch().since {
            self.ratios.absorb(strata, discount);
        }
        add(&mut self.settled_counts, strata);
        self.note(block, strata);
        self.rollout.note(block, strata);
        self.next = block + 1;
    }

    /// Between which limits the ratio to its control lies at all looks together, by the settled blocks;
    /// `None` while too few bad events were seen to say anything.
    pub(in crate::decide) fn ratio_interval(&self) -> Option<RatioInterval> {
        let (treated, control) = self.settled_counts;
        let is_seen = treated.bad + control.bad >= MIN_TREATED_BAD;
        is_seen.then(|| self.ratios.interval(RATIO_ALPHA))
    }

    /// Nothing before `settled_to` comes any more.
    pub(super) fn close_before(&mut self, settled_to: u64) {
        self.next = self.next.max(settled_to);
    }

    /// Forgets the open blocks, to look at them anew.
    pub(super) fn begin_look(&mut self) {
        self.trial = self.settled;
        self.counts = self.settled_counts;
    }

    /// Takes in a block that may still change.
    pub(super) fn look(&mut self, block: u64, strata: &[Block], grid: &Grid, discount: Discount) {
        let began = UnixNanos::from_secs(block * BUCKET_SECS);
        self.trial.absorb(began, strata, grid, discount);
        add(&mut self.counts, strata);
        self.note(block, strata);
    }

    fn note(&mut self, block: u64, strata: &[Block]) {
        let end = UnixNanos::from_secs((block + 1) * BUCKET_SECS);
        self.has_control |= strata
            .iter()
            .any(|block| block.treated.total() > 0 && block.control.total() > 0);
        let any = |counts: fn(&Block) -> u64| strata.iter().any(|block| counts(block) > 0);
        if any(|block| block.treated.bad) {
            self.last_bad = self.last_bad.max(Some(end));
        }
        if any(|block| block.treated.total() + block.control.total()) {
            self.last_event = self.last_event.max(Some(end));
        }
    }
}

fn add(sums: &mut (Counts, Counts), strata: &[Block]) {
    for block in strata {
        sums.0.add(block.treated);
        sums.1.add(block.control);
    }
}
