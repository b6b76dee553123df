//! What a batch changes of counts through the join, added up.

use super::batch::{Group, Place, Told};
use crate::cohort::{
    Cap, CohortId, CohortRef, Interned, LevelRef, ObjectiveId, Registry, SourceId, StratumId,
};
use crate::ledger::signatures::{Signature, SignatureDelta};
use crate::ledger::{Counts, EventWeight, EvidenceDelta, SeriesDelta, WeightDelta, Weights};
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What became of evidence that came apart from its request, and how full the ring is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinStats {
    /// Pieces that counted for a request.
    pub joined: u64,
    /// Pieces whose way ended at the local root without a span that an objective counted.
    pub no_request: u64,
    /// Pieces that came when the bucket of their request was closed.
    pub late: u64,
    /// Pieces whose span never came.
    pub expired: u64,
    /// The same, of pieces from before this process started: their request was counted by the former one.
    pub before_start: u64,
    /// Pieces for which there was no room to wait.
    pub refused: u64,
    /// Pieces that name no span.
    pub without_context: u64,
    /// Requests that had to make room before their time.
    pub evicted: u64,
    /// Spans that are remembered.
    pub spans: usize,
    /// Pieces that wait.
    pub waiting: usize,
}

/// What a batch changes through the join: rows that come on top of its own, and rows to be taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Events that enter a series.
    pub entered: Vec<SeriesDelta>,
    /// Events that leave one.
    pub left: Vec<SeriesDelta>,
    /// Events that enter an evidence cell.
    pub entered_cells: Vec<EvidenceDelta>,
    /// Events that leave one.
    pub left_cells: Vec<EvidenceDelta>,
    /// What sampled ones of those that enter stand for.
    pub entered_weights: Vec<WeightDelta>,
    /// What sampled ones of those that leave stand for.
    pub left_weights: Vec<WeightDelta>,
}

type SeriesKey = (ObjectiveId, CohortId, u64);
type CellKey = (ObjectiveId, CohortId, StratumId, SourceId, u64);
type WeightKey = (ObjectiveId, CohortId, Option<(StratumId, SourceId)>, u64);
/// Excess of good and bad events, then their variance.
type WeightSums = [i64; 4];

/// One counted span, as much of it as the join counts with.
pub(super) struct Request<'g> {
    pub(super) group: &'g Arc<Group>,
    pub(super) good: u64,
    pub(super) bad: u64,
    pub(super) weight: Option<EventWeight>,
    pub(super) trace: [u64; 2],
    pub(super) signature: Option<Arc<Signature>>,
}

/// See the module's words.
pub(in crate::ledger) struct Shift<'r> {
    registry: &'r Registry,
    pub(super) now: UnixNanos,
    scratch: Vec<u8>,
    series: BTreeMap<SeriesKey, [i64; 2]>,
    cells: BTreeMap<CellKey, [i64; 2]>,
    weights: BTreeMap<WeightKey, WeightSums>,
    pub(in crate::ledger) signatures: Vec<SignatureDelta>,
    pub(in crate::ledger) overflow: BTreeMap<&'static str, u64>,
    pub(in crate::ledger) stats: JoinStats,
}

impl Request<'_> {
    /// What it stands for under one objective.
    fn weight_of(&self, objective: usize, is_bad: bool) -> EventWeight {
        let declared = || self.group.declared.get(objective).copied().flatten();
        let by_policy = || declared().map(|[good, bad]| if is_bad { bad } else { good });
        self.weight.or_else(by_policy).unwrap_or(EventWeight::ONE)
    }
}

impl<'r> Shift<'r> {
    pub(in crate::ledger) fn new(registry: &'r Registry, now: UnixNanos) -> Self {
        Self {
            registry,
            now,
            scratch: Vec::new(),
            series: BTreeMap::new(),
            cells: BTreeMap::new(),
            weights: BTreeMap::new(),
            signatures: Vec::new(),
            overflow: BTreeMap::new(),
            stats: JoinStats::default(),
        }
    }

    /// The request leaves a cohort.
    pub(super) fn leave(&mut self, request: &Request<'_>, place: Place) {
        self.count(request, place, -1);
    }

    /// The request enters the cohort of what is told; where that is. `overflown` says that it counts in an
    /// overflow cohort already, where it must count once.
    pub(super) fn enter(
        &mut self,
        request: &Request<'_>,
        told: &Told,
        variant: &str,
        overflown: bool,
    ) -> Place {
        let group = request.group;
        let cohort = CohortRef {
            service: &group.service,
            environment: group.environment.as_deref(),
            level: LevelRef::Flag {
                sha: group.sha.as_deref(),
                flag: &told.flag,
                variant,
            },
        };
        let place = match self.registry.intern(&cohort, self.now, &mut self.scratch) {
            Interned::Live(cohort) => Place {
                cohort,
                cells: told.named && group.trusted,
                live: true,
            },
            Interned::Overflow(cohort, cap) => {
                self.refused(cap);
                Place {
                    cohort,
                    cells: false,
                    live: false,
                }
            }
        };
        if place.live || !overflown {
            self.count(request, place, 1);
        }
        place
    }

    fn refused(&mut self, cap: Cap) {
        *self.overflow.entry(cap.as_str()).or_default() += 1;
    }

    fn count(&mut self, request: &Request<'_>, place: Place, sign: i64) {
        let group = request.group;
        for (bit, objective) in group.objectives.iter().enumerate().take(64) {
            let judged = [request.good >> bit & 1, request.bad >> bit & 1];
            if judged == [0, 0] {
                continue;
            }
            let add = |sums: &mut [i64; 2]| {
                for (sum, one) in sums.iter_mut().zip(judged) {
                    *sum += sign * i64::from(one == 1);
                }
            };
            add(self
                .series
                .entry((*objective, place.cohort, group.bucket))
                .or_default());
            if place.cells {
                let key = (
                    *objective,
                    place.cohort,
                    group.stratum,
                    group.source,
                    group.bucket,
                );
                add(self.cells.entry(key).or_default());
            }
            let is_bad = judged[1] == 1;
            let weight = request.weight_of(bit, is_bad);
            if !weight.is_one() {
                let mut weigh = |cell| {
                    let key = (*objective, place.cohort, cell, group.bucket);
                    let sums = self.weights.entry(key).or_default();
                    let parts = [
                        (usize::from(is_bad), weight.excess),
                        (2 + usize::from(is_bad), weight.variance),
                    ];
                    for (at, part) in parts {
                        if let Some(sum) = sums.get_mut(at) {
                            *sum += sign * i64::try_from(part).unwrap_or(i64::MAX / 2);
                        }
                    }
                };
                weigh(None);
                if place.cells {
                    weigh(Some((group.stratum, group.source)));
                }
            }
            if let Some(signature) = request.signature.as_ref().filter(|_| is_bad) {
                self.signatures.push(SignatureDelta {
                    objective: *objective,
                    cohort: place.cohort,
                    signature: Arc::clone(signature),
                    count: 1,
                    leaves: sign < 0,
                    traces: [request.trace, [0; 2], [0; 2]],
                });
            }
        }
    }

    /// The rows.
    pub(in crate::ledger) fn joined(&self) -> Joined {
        let part = |sums: &[i64; 2], sign: i64| {
            let [good, bad] = sums.map(|sum| u64::try_from(sum * sign).unwrap_or(0));
            Counts { good, bad }
        };
        let series = |sign: i64| {
            let rows = self.series.iter().map(move |(key, sums)| SeriesDelta {
                objective: key.0,
                cohort: key.1,
                bucket: key.2,
                counts: part(sums, sign),
            });
            rows.filter(|row| row.counts != Counts::default()).collect()
        };
        let cells = |sign: i64| {
            let rows = self.cells.iter().map(move |(key, sums)| EvidenceDelta {
                objective: key.0,
                cohort: key.1,
                stratum: key.2,
                source: key.3,
                bucket: key.4,
                counts: part(sums, sign),
            });
            rows.filter(|row| row.counts != Counts::default()).collect()
        };
        let weights = |sign: i64| {
            let rows = self
                .weights
                .iter()
                .map(move |(key, [eg, eb, vg, vb])| WeightDelta {
                    objective: key.0,
                    cohort: key.1,
                    cell: key.2,
                    bucket: key.3,
                    weights: Weights {
                        excess: part(&[*eg, *eb], sign),
                        variance: part(&[*vg, *vb], sign),
                    },
                });
            rows.filter(|row| !row.weights.is_zero()).collect()
        };
        Joined {
            entered_weights: weights(1),
            left_weights: weights(-1),
            entered: series(1),
            left: series(-1),
            entered_cells: cells(1),
            left_cells: cells(-1),
        }
    }
}
