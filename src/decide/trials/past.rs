//! A flag that everybody has is tried against its own past.
//!
//! It has no control at the same time. What there is: the ten minutes in which nobody had it and soon
//! everybody did (or the moment at which its service says that it was changed), what was counted in the same
//! places before that, and what goes on elsewhere: in endpoints that it does not touch, and in services of
//! the same environment that do not have it. [`TemporalTrial`] says what that is worth.
//!
//! The property wanted: a deploy, a slow ramp or a day with more errors is no change of the flag. Past and
//! present are compared within a version, endpoint class and region, so a new version has no past; a ramp
//! has controls at the same time, and is left to them; and each ten seconds of the past are used once, so
//! that a trial is over when they are.

use super::Sources;
use super::arms::{Group, Member};
use crate::cohort::{CohortId, Level, ObjectiveId, StratumId};
use crate::evidence::{Block, Discount, RatioSequence, TemporalLack, TemporalTrial};
use crate::ledger::Counts;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError};

/// Events of the variant alone that make it worth to look into its past.
const EVENTS_MIN: u64 = 30;
/// From hardly anybody to nearly everybody within so many blocks is a change: ten minutes. What takes longer
/// has had a control.
const SHIFT_BLOCKS: u64 = 60;
/// Hardly anybody had it in so many blocks before: five minutes.
const WITHOUT_BLOCKS: u64 = 30;
/// Blocks of the past that are kept: what the ledger remembers.
const PAST_BLOCKS: u64 = super::MEMORY_BLOCKS;
/// A trial ends so many blocks after the change, an hour: what comes later is not of it.
pub(super) const TRIAL_BLOCKS: u64 = 360;
/// Endpoint classes, regions and versions of a trial at most.
const STRATA_MAX: usize = 64;
/// Versions of other services that are looked at beside it, at most.
const PEERS_MAX: usize = 64;

/// A version, if it is known, and an endpoint class in a region.
type StratumKey = (Option<Arc<str>>, StratumId);
/// By block and stratum.
type Cells = BTreeMap<u64, BTreeMap<StratumKey, Counts>>;

/// Whether nearly everybody has the variant, as far as blocks are settled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rollout {
    /// The first block of those, up to now, in which nobody had another variant.
    full_since: Option<u64>,
    /// Its events since.
    events: u64,
    /// Whether its past was looked into.
    examined: bool,
}

impl Rollout {
    /// A settled block.
    pub(super) fn note(&mut self, block: u64, strata: &[Block]) {
        let sum = |side: fn(&Block) -> Counts| strata.iter().map(|b| side(b).total()).sum::<u64>();
        let (treated, control) = (sum(|b| b.treated), sum(|b| b.control));
        if treated + control == 0 {
            return;
        }
        if is_nearly_all(treated, treated + control) {
            self.full_since.get_or_insert(block);
            self.events = self.events.saturating_add(treated);
        } else {
            *self = Self::default();
        }
    }

    /// The first block with the variant alone, once, when there is enough of it.
    pub(super) fn examination(&mut self) -> Option<u64> {
        let is_due = self.events >= EVENTS_MIN && !self.examined;
        self.examined |= is_due;
        self.full_since.filter(|_| is_due)
    }
}

const fn is_nearly_all(part: u64, all: u64) -> bool {
    part.saturating_mul(100) >= all.saturating_mul(99)
}

const fn is_hardly_any(part: u64, all: u64) -> bool {
    part.saturating_mul(100) <= all
}

/// What was counted where: of the variant, its flag, its service, and of services without the flag.
struct Seen {
    treated: Cells,
    flag: Cells,
    service: Cells,
    peers: Cells,
}

impl Seen {
    fn read(from: &Sources<'_>, group: &Group, (flag, variant): (&str, &str), span: (u64, u64)) -> Self {
        let of_member = |m: &Member| (group.objective, m.cohort, m.sha.clone());
        let treated = group.members.iter().filter(|m| *m.arm == *variant).map(of_member);
        let [service, peers] = beside(from, group, flag);
        Self {
            treated: read(from, treated, span),
            flag: read(from, group.members.iter().map(of_member), span),
            service: read(from, service.into_iter(), span),
            peers: read(from, peers.into_iter(), span),
        }
    }

    /// Everything that was counted in one stratum of a block, whatever the variant.
    fn all(&self, block: u64, stratum: &StratumKey) -> Counts {
        let of = |cells: &Cells| cells.get(&block).and_then(|b| b.get(stratum)).copied();
        of(&self.service).or(of(&self.flag)).unwrap_or(Counts::ZERO)
    }

    fn all_in(&self, block: u64, strata: &BTreeSet<StratumKey>) -> Counts {
        sum(strata.iter().map(|stratum| self.all(block, stratum)))
    }

    fn treated_in(&self, block: u64, strata: &BTreeSet<StratumKey>) -> Counts {
        let cells = self.treated.get(&block);
        sum(strata.iter().filter_map(|stratum| cells?.get(stratum).copied()))
    }

    /// What went on elsewhere: endpoints of the service that no variant of the flag was seen in, and peers.
    fn aside(&self, block: u64, flagged: &BTreeSet<StratumKey>) -> Counts {
        let service = self.service.get(&block).into_iter().flatten();
        let untouched = service.filter(|(stratum, _)| !flagged.contains(*stratum));
        let peers = self.peers.get(&block).into_iter().flatten();
        sum(untouched.chain(peers).map(|(_, counts)| *counts))
    }

    fn strata_of_flag(&self) -> BTreeSet<StratumKey> {
        self.flag
            .values()
            .flat_map(|block| block.keys().cloned())
            .collect()
    }
}

fn sum(counts: impl Iterator<Item = Counts>) -> Counts {
    counts.fold(Counts::ZERO, |mut sum, counts| {
        sum.add(counts);
        sum
    })
}

type Cohort = (ObjectiveId, CohortId, Option<Arc<str>>);

/// The versions of the flag's service, and those of services that do not have it, by the same SLO.
fn beside(from: &Sources<'_>, group: &Group, flag: &str) -> [Vec<Cohort>; 2] {
    let Some(name) = from.registry.objective(group.objective) else {
        return [Vec::new(), Vec::new()];
    };
    let flagged = from.board.of_flag(flag);
    let has_it: BTreeSet<&str> = flagged.iter().map(|s| &*s.objective.service).collect();
    let (mut own, mut peers) = (Vec::new(), Vec::new());
    for status in from.board.deployments() {
        let Level::Deployment { sha } = &status.cohort.level else {
            continue;
        };
        if status.cohort.environment.as_deref() != Some(&*group.environment) {
            continue;
        }
        let cohort = (status.objective_id, status.cohort_id, Some(Arc::clone(sha)));
        if status.objective_id == group.objective {
            own.push(cohort);
        } else if status.objective.slo == name.slo && !has_it.contains(&*status.objective.service) {
            peers.push(cohort);
        }
    }
    peers.sort_by_key(|(objective, cohort, _)| (*objective, *cohort));
    peers.truncate(PEERS_MAX);
    [own, peers]
}

fn read(from: &Sources<'_>, cohorts: impl Iterator<Item = Cohort>, (first, end): (u64, u64)) -> Cells {
    let mut cells = Cells::new();
    for (objective, cohort, sha) in cohorts {
        // A hold of the lock a cohort: a batch waits no longer than that takes.
        let rows = from
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .evidence_rows(objective, cohort, first, end);
        for row in rows {
            let block = cells.entry(row.bucket).or_default();
            block
                .entry((sha.clone(), row.stratum))
                .or_insert(Counts::ZERO)
                .add(row.counts);
        }
    }
    cells
}

/// The trial of one variant after one change.
#[derive(Clone, Debug)]
pub(in crate::decide) struct Past {
    trial: TemporalTrial,
    /// Where the flag is.
    touched: BTreeSet<StratumKey>,
    /// What was counted there before the change, the latest first; what was used is gone.
    before: BTreeMap<StratumKey, VecDeque<Counts>>,
    /// The first block with everybody.
    pub(super) changed: u64,
    /// The first block that was not taken in.
    next: u64,
    /// Events that were compared: after the change, before it, and of the negative controls.
    pub(in crate::decide) counts: PastCounts,
    had_any: bool,
    /// Events of the variant, and of all, where the flag is; the older, the less.
    lately: (u64, u64),
}

/// Events of a trial against the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::decide) struct PastCounts {
    pub(in crate::decide) after: Counts,
    pub(in crate::decide) before: Counts,
    pub(in crate::decide) aside: Counts,
}

impl Past {
    /// Looks into the past of a variant that everybody has since `full_since`. `told`: the block in which
    /// its service says that it was changed. `None` if it did not change then, as far as anybody can tell.
    pub(super) fn examine(
        from: &Sources<'_>,
        group: &Group,
        names: (&str, &str),
        (full_since, told, end): (u64, Option<u64>, u64),
        (null, discount): (f64, Discount),
    ) -> Option<Self> {
        let seen = Seen::read(from, group, names, (full_since.saturating_sub(PAST_BLOCKS), end));
        let after = seen.treated.range(full_since..);
        let touched: BTreeSet<StratumKey> = after
            .flat_map(|(_, block)| block.keys().cloned())
            .take(STRATA_MAX)
            .collect();
        let (mut with, mut all) = (0, 0);
        for block in full_since..end {
            with += seen.treated_in(block, &touched).total();
            all += seen.all_in(block, &touched).total();
        }
        if !is_nearly_all(with, all.max(with)) {
            return None;
        }
        let boundary = boundary(&seen, &touched, full_since, told)?;
        let flagged = seen.strata_of_flag();
        let (mut before, mut former) = (BTreeMap::<_, VecDeque<Counts>>::new(), RatioSequence::default());
        for block in full_since.saturating_sub(PAST_BLOCKS)..=boundary {
            let had = seen.treated_in(block, &touched).total();
            let all = seen.all_in(block, &touched);
            if told.is_none() && !is_hardly_any(had, all.total()) {
                continue;
            }
            for stratum in &touched {
                let counts = seen.all(block, stratum);
                if counts.total() > 0 {
                    before.entry(stratum.clone()).or_default().push_front(counts);
                }
            }
            former.absorb(&[Block::new(all, seen.aside(block, &flagged))], discount);
        }
        Some(Self {
            trial: TemporalTrial::new(null, &former).ok()?,
            touched,
            had_any: !before.is_empty(),
            before,
            changed: full_since,
            next: full_since,
            counts: PastCounts::default(),
            lately: (0, 0),
        })
    }

    /// Takes in the settled blocks until `end`. Whether there is still no control at the same time.
    pub(super) fn hear(
        &mut self,
        from: &Sources<'_>,
        group: &Group,
        names: (&str, &str),
        end: u64,
        discount: Discount,
    ) -> bool {
        if self.next >= end {
            return true;
        }
        let seen = Seen::read(from, group, names, (self.next, end));
        let mut flagged = seen.strata_of_flag();
        flagged.extend(self.touched.iter().cloned());
        for block in self.next..end {
            self.note_share(block, &seen);
            let Some(strata) = seen.treated.get(&block) else {
                continue;
            };
            let mut risen = Vec::new();
            for (stratum, counts) in strata
                .iter()
                .filter(|(stratum, _)| self.touched.contains(*stratum))
            {
                let queue = self.before.get_mut(stratum);
                let former = queue.and_then(VecDeque::pop_front).unwrap_or(Counts::ZERO);
                self.counts.before.add(former);
                risen.push(Block::new(*counts, former));
            }
            let after = seen.treated_in(block, &self.touched);
            let aside = seen.aside(block, &flagged);
            self.counts.after.add(after);
            self.counts.aside.add(aside);
            self.trial.absorb(&risen, &[Block::new(after, aside)], discount);
        }
        self.next = end;
        let (with, all) = self.lately;
        all < EVENTS_MIN || with.saturating_mul(20) >= all.saturating_mul(19)
    }

    fn note_share(&mut self, block: u64, seen: &Seen) {
        if block.is_multiple_of(WITHOUT_BLOCKS) {
            self.lately = (self.lately.0 / 2, self.lately.1 / 2);
        }
        let with = seen.treated_in(block, &self.touched).total();
        self.lately.0 += with;
        self.lately.1 += with.max(seen.all_in(block, &self.touched).total());
    }

    pub(in crate::decide) fn trial(&self) -> &TemporalTrial {
        &self.trial
    }

    /// What it has not, and therefore cannot say anything.
    pub(in crate::decide) fn lack(&self) -> Option<TemporalLack> {
        if !self.had_any {
            Some(TemporalLack::Past)
        } else if self.counts.aside.total() == 0 {
            Some(TemporalLack::NegativeControl)
        } else {
            None
        }
    }
}

/// The last block before the change: after five minutes in which hardly anybody had it, or told.
fn boundary(seen: &Seen, touched: &BTreeSet<StratumKey>, full_since: u64, told: Option<u64>) -> Option<u64> {
    let oldest = full_since.saturating_sub(SHIFT_BLOCKS);
    let counts = |block| {
        let with = seen.treated_in(block, touched).total();
        (with, with.max(seen.all_in(block, touched).total()))
    };
    let is_last_without = |last: &u64| {
        let blocks = (last.saturating_sub(WITHOUT_BLOCKS - 1)..=*last).map(counts);
        let (with, all) = blocks.fold((0, 0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
        counts(*last).1 > 0 && all >= EVENTS_MIN && is_hardly_any(with, all)
    };
    let shifted = (oldest..full_since).rev().find(is_last_without);
    let told = told.filter(|told| *told <= full_since);
    shifted.or_else(|| told?.checked_sub(1))
}
