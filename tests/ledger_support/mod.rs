//! What the ledger's tests share: handles that are their own names, and a gateway's tick in simulated time.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use burngate::cohort::{CohortId, ObjectiveId, SourceId, StratumId};
use burngate::ledger::{
    CellKey, Counts, Kinds, Ledger, LedgerLimits, Nameless, SeriesDelta, SeriesView, WeightDelta, Weights,
    WindowPlan,
};
use burngate::store::{Keeper, NameKind, Names, Restored, Store, TickReport, in_lane, join, lane_of, split};
use burngate::time::UnixNanos;
use std::sync::{Arc, Mutex};

pub const OBJECTIVE: ObjectiveId = ObjectiveId(0);

/// Cohorts below this are totals.
pub const TOTALS: u32 = 10;

pub const WORKBOOK: [u64; 8] = [300, 1_800, 3_600, 7_200, 21_600, 86_400, 259_200, 2_592_000];

/// A handle's name is its number.
#[derive(Debug)]
pub struct Numbers;

impl Kinds for Numbers {
    fn is_total(&self, cohort: CohortId) -> bool {
        cohort.0 < TOTALS
    }
}

fn number(part: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

impl Names for Numbers {
    fn encode(&self, what: Nameless) -> Option<Vec<u8>> {
        let name = match what {
            Nameless::Series(o, c) | Nameless::SeriesLane(o, c, _) => {
                let kind = if self.is_total(c) {
                    NameKind::Total
                } else {
                    NameKind::Cohort
                };
                join(kind, &[&o.0.to_le_bytes(), &c.0.to_le_bytes()])
            }
            Nameless::Cell(key) | Nameless::CellLane(key, _) => {
                let parts =
                    [key.objective.0, key.cohort.0, key.stratum.0, key.source.0].map(u32::to_le_bytes);
                join(NameKind::Cell, &[&parts[0], &parts[1], &parts[2], &parts[3]])
            }
        };
        Some(in_lane(name?, what.lane()))
    }

    fn objective(&self, name: &[u8]) -> Option<ObjectiveId> {
        Some(ObjectiveId(number(split(name)?.1.first()?)?))
    }

    fn restore(&self, name: &[u8], _now: UnixNanos) -> Option<Nameless> {
        let (kind, parts) = split(name)?;
        let numbers: Vec<u32> = parts.into_iter().filter_map(number).collect();
        let plain = match (kind, numbers.as_slice()) {
            (NameKind::Cell, &[o, c, st, so]) => Some(Nameless::Cell(CellKey {
                objective: ObjectiveId(o),
                cohort: CohortId(c),
                stratum: StratumId(st),
                source: SourceId(so),
            })),
            (_, &[o, c]) => Some(Nameless::Series(ObjectiveId(o), CohortId(c))),
            _ => None,
        };
        plain.map(|plain| plain.in_lane(lane_of(name)))
    }
}

pub fn plan(totals: &[u64]) -> WindowPlan {
    let cohorts: Vec<u64> = totals.iter().copied().filter(|&w| w <= 259_200).collect();
    WindowPlan::new(totals, &cohorts).unwrap()
}

/// A ledger, its store, and the tick between them.
#[derive(Debug)]
pub struct House {
    pub ledger: Mutex<Ledger>,
    pub keeper: Keeper,
    pub restored: Restored,
    pub store: Arc<dyn Store>,
}

impl House {
    pub fn open(store: Arc<dyn Store>, plan: &WindowPlan, now: UnixNanos) -> Self {
        let mut ledger = Ledger::new(LedgerLimits::default(), plan.clone(), Arc::new(Numbers));
        let (keeper, restored) =
            Keeper::restore(Arc::clone(&store), Arc::new(Numbers), &mut ledger, now).expect("restore");
        Self {
            ledger: Mutex::new(ledger),
            keeper,
            restored,
            store,
        }
    }

    pub fn absorb(&self, now: UnixNanos, cohort: u32, bucket: u64, good: u64, bad: u64) {
        let delta = SeriesDelta {
            objective: OBJECTIVE,
            cohort: CohortId(cohort),
            bucket,
            counts: Counts { good, bad },
        };
        self.ledger.lock().unwrap().absorb(now, &[delta], &[]);
    }

    /// Sampled events: what was seen, and what it stands for.
    pub fn absorb_sampled(&self, now: UnixNanos, cohort: u32, bucket: u64, counts: Counts, weights: Weights) {
        let delta = SeriesDelta {
            objective: OBJECTIVE,
            cohort: CohortId(cohort),
            bucket,
            counts,
        };
        let row = WeightDelta {
            objective: OBJECTIVE,
            cohort: CohortId(cohort),
            cell: None,
            bucket,
            weights,
        };
        let mut ledger = self.ledger.lock().unwrap();
        ledger.absorb(now, &[delta], &[]);
        ledger.absorb_weights(now, &[row]);
    }

    pub fn retract(&self, now: UnixNanos, cohort: u32, bucket: u64, counts: Counts) {
        let delta = SeriesDelta {
            objective: OBJECTIVE,
            cohort: CohortId(cohort),
            bucket,
            counts,
        };
        self.ledger.lock().unwrap().retract(now, &[delta], &[]);
    }

    pub fn tick(&mut self, now: UnixNanos) -> TickReport {
        self.keeper.tick(now, &self.ledger).expect("tick")
    }

    /// Everything that changed, as the tick reads it.
    pub fn changed(&self, now: UnixNanos) -> Vec<SeriesView> {
        let mut out = Vec::new();
        while self.ledger.lock().unwrap().changed(now, 1_000, &mut out) {}
        out
    }

    pub fn view(&self, cohort: u32) -> Option<SeriesView> {
        self.ledger.lock().unwrap().view(OBJECTIVE, CohortId(cohort))
    }
}
