//! Flags that travel together: the evidence about each, given the other.

use super::{CaseKey, Sources};
use crate::cohort::flags::is_reserved;
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId, StratumId};
use crate::evidence::{Discount, Finding, Grid, JointCounts, PairTrial, finding};
use crate::ledger::{Counts, JOINT_FLAGS, JointDelta};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

/// Pairs at most; flags of more are not told apart.
const PAIRS_MAX: usize = 5_000;

/// Pairs that nobody has any more are forgotten after so many blocks: six hours.
const IDLE_BLOCKS: u64 = 2_160;

/// A flag and one of its variants.
type Side = (Arc<str>, Arc<str>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PairKey {
    objective: ObjectiveId,
    environment: Arc<str>,
    /// The lesser flag first.
    sides: [Side; 2],
}

#[derive(Clone, Debug, Default)]
struct Pair {
    settled: PairTrial,
    trial: PairTrial,
    /// The newest block in which anybody had either.
    heard: u64,
}

/// Counts of two flags in one block of time: by version and stratum, and the variants of both.
type Strata = BTreeMap<(Option<Arc<str>>, StratumId), Vec<([Arc<str>; 2], Counts)>>;
/// Two flags in one place.
type FlagsKey = (ObjectiveId, Arc<str>, [Arc<str>; 2]);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    known: BTreeMap<PairKey, Pair>,
    /// The first block that is not settled.
    next: u64,
    /// Places that have more flags than are counted in pairs, or than there was room for.
    crowded: BTreeSet<(ObjectiveId, Arc<str>)>,
}

impl Pairs {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Takes in the blocks until `end`, those before `settle_to` for good.
    pub(super) fn hear(
        &mut self,
        from: &Sources<'_>,
        grid: &Grid,
        discount: Discount,
        (settle_to, end): (u64, u64),
    ) {
        let rows = {
            let mut ledger = from.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let rows = ledger.joint(self.next, end);
            ledger.drop_joint_before(settle_to);
            rows
        };
        self.next = self.next.max(settle_to);
        for pair in self.known.values_mut() {
            pair.trial = pair.settled;
        }
        for (flags, blocks) in by_flags(&rows, from) {
            for (block, strata) in blocks {
                self.absorb(&flags, (block, &strata), grid, discount, block < settle_to);
            }
        }
        self.known.retain(|_, pair| pair.heard + IDLE_BLOCKS > end);
    }

    fn absorb(
        &mut self,
        flags: &FlagsKey,
        (block, strata): (u64, &Strata),
        grid: &Grid,
        discount: Discount,
        settled: bool,
    ) {
        let (objective, environment, [first, second]) = flags;
        let rows = || strata.values().flatten();
        let firsts: BTreeSet<&Arc<str>> = rows().map(|([variant, _], _)| variant).collect();
        let seconds: BTreeSet<&Arc<str>> = rows().map(|([_, variant], _)| variant).collect();
        for (one, other) in firsts
            .iter()
            .flat_map(|one| seconds.iter().map(move |other| (*one, *other)))
        {
            let key = PairKey {
                objective: *objective,
                environment: Arc::clone(environment),
                sides: [
                    (Arc::clone(first), Arc::clone(one)),
                    (Arc::clone(second), Arc::clone(other)),
                ],
            };
            if !self.known.contains_key(&key) && self.known.len() >= PAIRS_MAX {
                self.crowded.insert((*objective, Arc::clone(environment)));
                continue;
            }
            let joint: Vec<JointCounts> = strata.values().map(|rows| joint(rows, one, other)).collect();
            let pair = self.known.entry(key).or_default();
            pair.heard = pair.heard.max(block);
            if settled {
                pair.settled.absorb(&joint, grid, discount);
                pair.trial = pair.settled;
            } else {
                pair.trial.absorb(&joint, grid, discount);
            }
        }
    }

    /// What is known of two suspects: the accused first. `None` if nobody ever has both, so that neither
    /// explains the other.
    pub(super) fn finding(
        &self,
        place: &CaseKey,
        own: (&Arc<str>, &Arc<str>),
        other: (&Arc<str>, &Arc<str>),
        open_secs: u64,
    ) -> Option<Finding> {
        let side = |(flag, variant): (&Arc<str>, &Arc<str>)| (Arc::clone(flag), Arc::clone(variant));
        let swapped = own.0 > other.0;
        let sides = if swapped {
            [side(other), side(own)]
        } else {
            [side(own), side(other)]
        };
        let key = PairKey {
            objective: place.objective,
            environment: Arc::clone(&place.environment),
            sides,
        };
        let Some(pair) = self.known.get(&key) else {
            let place = (place.objective, Arc::clone(&place.environment));
            return self.crowded.contains(&place).then_some(Finding::Inseparable);
        };
        let found = finding(&pair.trial, open_secs);
        Some(if swapped {
            found.seen_from_the_other()
        } else {
            found
        })
    }

    pub(super) fn forget_flag(&mut self, environment: &str, flag: &str) {
        self.known.retain(|key, _| {
            &*key.environment != environment || key.sides.iter().all(|(name, _)| &**name != flag)
        });
    }

    pub(super) fn forget_place(&mut self, objective: ObjectiveId, environment: &str) {
        self.known
            .retain(|key, _| key.objective != objective || &*key.environment != environment);
    }

    /// Says in which places a request may carry more flags than are counted in pairs.
    pub(super) fn note_crowded(&mut self, place: (ObjectiveId, Arc<str>), flags: usize) {
        if flags > JOINT_FLAGS {
            self.crowded.insert(place);
        }
    }
}

/// With and without both.
fn joint(rows: &[([Arc<str>; 2], Counts)], first: &Arc<str>, second: &Arc<str>) -> JointCounts {
    let mut joint = JointCounts::default();
    for ([one, other], counts) in rows {
        let (row, column) = (usize::from(one == first), usize::from(other == second));
        if let Some(sum) = joint.0.get_mut(row).and_then(|row| row.get_mut(column)) {
            sum.add(*counts);
        }
    }
    joint
}

/// The rows by place and flags, and by block.
fn by_flags(rows: &[JointDelta], from: &Sources<'_>) -> BTreeMap<FlagsKey, BTreeMap<u64, Strata>> {
    let mut keys: HashMap<CohortId, Option<Arc<CohortKey>>> = HashMap::new();
    let mut sorted: BTreeMap<FlagsKey, BTreeMap<u64, Strata>> = BTreeMap::new();
    for row in rows {
        let [first, second] = row.pair.map(|cohort| {
            let key = keys.entry(cohort).or_insert_with(|| from.registry.key(cohort));
            key.clone()
        });
        let (Some(first), Some(second)) = (first, second) else {
            continue;
        };
        let (
            Level::Flag {
                sha,
                flag: one,
                variant: v,
            },
            Level::Flag {
                flag: other,
                variant: w,
                ..
            },
        ) = (&first.level, &second.level)
        else {
            continue;
        };
        let Some(environment) = &first.environment else {
            continue;
        };
        if is_reserved(v) || is_reserved(w) {
            continue;
        }
        let (flags, variants) = if one <= other {
            ([one, other], [v, w])
        } else {
            ([other, one], [w, v])
        };
        let flags = (row.objective, Arc::clone(environment), flags.map(Arc::clone));
        let strata = sorted.entry(flags).or_default().entry(row.bucket).or_default();
        let cell = strata.entry((sha.clone(), row.stratum)).or_default();
        cell.push((variants.map(Arc::clone), row.counts));
    }
    sorted
}
