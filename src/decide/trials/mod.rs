//! Evidence about every flag variant and every deployment that a policy's rule may act on.
//!
//! The problem: telemetry comes in any order and a little late, policies change, flags change and services
//! are deployed, and all the while each ten seconds must be taken in once. The property wanted: what is known
//! depends on the counts only, not on when somebody looked, and a restart loses half an hour of evidence at
//! most a little of. So each [`Case`] remembers the next block that it has not taken in; blocks that are
//! older than a minute are settled, and the newest ones are taken in anew at every look, on top of what is
//! settled. What comes later than that counts in budgets, and not as evidence. After a start the blocks of
//! the ledger's last thirty minutes are read again.
//!
//! Evidence starts anew when the flag itself was changed ([`Trials::note_change`]) and when a new version of
//! the service shows up; of two flags that travel together [`pairs`] tells which one it is. A flag that
//! everybody has is tried against its own [`past`].

mod arms;
mod case;
mod pairs;
mod past;
mod rollouts;
mod sources;

pub(super) use case::{Accused, Case, CaseKey};
pub(super) use past::Past;
pub(super) use sources::SourceFigures;

use crate::cohort::flags::Basis;
use crate::cohort::{ObjectiveId, Registry};
use crate::evidence::{
    Attribution, BLOCKS_A_YEAR, Dispersion, Epoch, EpochCause, Grid, change_bound, kill_bound, suspect_bound,
};
use crate::ledger::{BUCKET_SECS, EVIDENCE_SECS, Ledger, ShapeBook, SignatureBook};
use crate::policy::{Board, PolicySet};
use crate::time::UnixNanos;
use arms::Group;
use pairs::Pairs;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Blocks that are taken in anew at every look, since events for them may still come.
const OPEN_BLOCKS: u64 = 6;
/// Blocks that the ledger remembers.
const MEMORY_BLOCKS: u64 = EVIDENCE_SECS / BUCKET_SECS;
/// Cases at most; more flags and variants are not tried, and counted.
const CASES_MAX: usize = 5_000;

/// What evidence is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Counts.
    pub ledger: &'a Mutex<Ledger>,
    /// Which cohorts there are.
    pub board: &'a Board,
    /// Which of them matter.
    pub policies: &'a PolicySet,
    /// What handles mean.
    pub registry: &'a Registry,
    /// Traces of bad events.
    pub signatures: &'a SignatureBook,
    /// How flags came to have their variants.
    pub shapes: &'a ShapeBook,
}

/// How often the rule by evidence may be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRates {
    /// Chance that an epoch blames anybody wrongly, over all cases together.
    pub alpha: f64,
    /// Wrong blames a year by breakage long after a change, over all cases together.
    pub wrong_a_year: f64,
    /// How many times as often as its control an innocent variant may fail.
    pub innocent_ratio: f64,
}

impl Default for ErrorRates {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            wrong_a_year: 1.0,
            innocent_ratio: 1.0,
        }
    }
}

/// A service's objective in an environment: what is compared within.
type Place = (ObjectiveId, Arc<str>);

/// See the module.
#[derive(Debug)]
pub(super) struct Trials {
    rates: ErrorRates,
    grid: Grid,
    dispersion: Dispersion,
    /// Blocks before this one were measured for clusters.
    measured: u64,
    cases: BTreeMap<CaseKey, Case>,
    pairs: Pairs,
    /// Versions that are there, and when they were first seen; `None` if they were there at the first look.
    versions: BTreeMap<Place, BTreeMap<Arc<str>, Option<UnixNanos>>>,
    /// When flags were last changed, by environment and flag.
    changes: BTreeMap<(Arc<str>, Arc<str>), UnixNanos>,
    /// Flags whose variants are decided by dice alone, by service and flag.
    split: BTreeSet<(Arc<str>, Arc<str>)>,
    /// The cases with half of the evidence that is needed, or more.
    suspects: BTreeSet<CaseKey>,
    /// The same of trials against the past.
    past_suspects: BTreeSet<CaseKey>,
    looked_at: Option<u64>,
    refused: u64,
}

impl Default for Trials {
    fn default() -> Self {
        Self::new(ErrorRates::default())
    }
}

impl Trials {
    pub(super) fn new(rates: ErrorRates) -> Self {
        Self {
            rates,
            grid: Grid::new(rates.innocent_ratio).unwrap_or_default(),
            dispersion: Dispersion::default(),
            measured: 0,
            cases: BTreeMap::new(),
            pairs: Pairs::default(),
            versions: BTreeMap::new(),
            changes: BTreeMap::new(),
            split: BTreeSet::new(),
            suspects: BTreeSet::new(),
            past_suspects: BTreeSet::new(),
            looked_at: None,
            refused: 0,
        }
    }

    /// From now on, other error rates; another innocent ratio begins everything anew.
    pub(super) fn set_rates(&mut self, rates: ErrorRates) {
        if rates.innocent_ratio.to_bits() != self.rates.innocent_ratio.to_bits() {
            self.grid = Grid::new(rates.innocent_ratio).unwrap_or_default();
            self.cases.clear();
            self.pairs = Pairs::default();
        }
        self.rates = rates;
    }

    /// The flag was changed at its service: what was seen before says nothing of it now.
    pub(super) fn note_change(&mut self, environment: &str, flag: &str, at: UnixNanos) {
        let key = (Arc::from(environment), Arc::from(flag));
        if self.changes.get(&key).is_some_and(|known| *known >= at) {
            return;
        }
        self.changes.insert(key, at);
        let epoch = Epoch {
            since: at,
            cause: EpochCause::Changed,
        };
        for (case_key, case) in &mut self.cases {
            if &*case_key.environment == environment && case_key.accused.flag() == Some(flag) {
                case.restart(epoch);
            }
        }
        self.pairs.forget_flag(environment, flag);
    }

    /// When the flag was last changed, as far as anybody has said.
    pub(super) fn changed_at(&self, environment: &str, flag: &str) -> Option<UnixNanos> {
        self.changes
            .get(&(Arc::from(environment), Arc::from(flag)))
            .copied()
    }

    /// Takes in what was counted until `now`.
    pub(super) fn hear(&mut self, now: UnixNanos, from: &Sources<'_>) {
        let current = now.secs() / BUCKET_SECS;
        let is_new_block = self.looked_at != Some(current);
        self.looked_at = Some(current);
        if is_new_block {
            self.learn_reasons(from);
            self.dispersion.forget(now);
        }
        let groups = arms::groups(from);
        self.note_versions(now, &groups);
        let settle_to = current.saturating_sub(OPEN_BLOCKS);
        for group in &groups {
            self.hear_group(now, group, from, (settle_to, current + 1));
        }
        let mut flags: BTreeMap<Place, usize> = BTreeMap::new();
        for group in groups
            .iter()
            .filter(|group| group.keys().any(|key| key.accused.flag().is_some()))
        {
            *flags
                .entry((group.objective, Arc::clone(&group.environment)))
                .or_default() += 1;
        }
        for (place, count) in flags {
            self.pairs.note_crowded(place, count);
        }
        let live: BTreeSet<&CaseKey> = groups.iter().flat_map(Group::keys).collect();
        self.cases.retain(|key, _| live.contains(key));
        self.pairs.hear(
            from,
            &self.grid,
            self.dispersion.discount(),
            (settle_to, current + 1),
        );
        self.measured = self.measured.max(settle_to);
        if is_new_block {
            self.hear_pasts(from, &groups, settle_to);
        }
        self.note_suspects(now);
        if is_new_block {
            self.question_sources(from, &groups, current + 1);
            self.tell();
        }
    }

    /// Takes in one group's blocks.
    fn hear_group(
        &mut self,
        now: UnixNanos,
        group: &Group,
        from: &Sources<'_>,
        (settle_to, end): (u64, u64),
    ) {
        let oldest = end.saturating_sub(MEMORY_BLOCKS);
        for key in group.keys() {
            if self.cases.contains_key(key) {
                continue;
            }
            if self.cases.len() >= CASES_MAX {
                self.refused += 1;
                continue;
            }
            self.cases.insert(key.clone(), self.new_case(key, oldest));
        }
        let next = group
            .keys()
            .filter_map(|key| self.cases.get(key))
            .map(|case| case.next);
        let Some(first) = next.min() else { return };
        let rows = arms::rows(group, from.ledger, first.max(oldest), end);
        for key in group.keys() {
            let Some(case) = self.cases.get_mut(key) else {
                continue;
            };
            let discount = self.dispersion.discount();
            case.begin_look();
            for (block, strata) in rows.blocks(key, case.next, None) {
                if block < settle_to {
                    case.settle(block, &strata, &self.grid, discount);
                    if block >= self.measured {
                        self.dispersion.observe(now, &strata);
                    }
                    case.begin_look();
                } else {
                    case.look(block, &strata, &self.grid, discount);
                }
            }
            case.close_before(settle_to);
        }
    }

    fn new_case(&self, key: &CaseKey, oldest: u64) -> Case {
        let flag = key.accused.flag();
        let changed = flag.and_then(|flag| self.changed_at(&key.environment, flag));
        let oldest_at = UnixNanos::from_secs(oldest * BUCKET_SECS);
        let epoch = match changed.filter(|at| *at > oldest_at) {
            Some(since) => Epoch {
                since,
                cause: EpochCause::Changed,
            },
            None => Epoch {
                since: oldest_at,
                cause: EpochCause::Seen,
            },
        };
        Case::new(epoch)
    }

    /// A version that was not there before starts the evidence about the service's flags anew.
    fn note_versions(&mut self, now: UnixNanos, groups: &[Group]) {
        let mut seen: BTreeMap<Place, BTreeSet<&Arc<str>>> = BTreeMap::new();
        for group in groups {
            let place = (group.objective, Arc::clone(&group.environment));
            seen.entry(place).or_default().extend(group.versions());
        }
        let mut deployed: BTreeSet<Place> = BTreeSet::new();
        for (place, shas) in &seen {
            let first_look = !self.versions.contains_key(place);
            let known = self.versions.entry(place.clone()).or_default();
            known.retain(|sha, _| shas.contains(sha));
            for &sha in shas {
                if !known.contains_key(sha) {
                    known.insert(Arc::clone(sha), (!first_look).then_some(now));
                    if !first_look {
                        deployed.insert(place.clone());
                    }
                }
            }
        }
        self.versions.retain(|place, _| seen.contains_key(place));
        if !deployed.is_empty() {
            self.begin_anew(now, &deployed);
        }
    }

    fn begin_anew(&mut self, now: UnixNanos, deployed: &BTreeSet<Place>) {
        let epoch = Epoch {
            since: UnixNanos::from_secs(now.secs() / BUCKET_SECS * BUCKET_SECS),
            cause: EpochCause::Deployed,
        };
        for (key, case) in &mut self.cases {
            let place = (key.objective, Arc::clone(&key.environment));
            if key.accused.flag().is_some() && deployed.contains(&place) {
                case.restart(epoch);
            }
        }
        for (objective, environment) in deployed {
            self.pairs.forget_place(*objective, environment);
        }
    }

    /// When a version was first seen here; `None` if it was there at the first look, or is not there.
    pub(super) fn version_since(
        &self,
        objective: ObjectiveId,
        environment: &str,
        sha: &str,
    ) -> Option<UnixNanos> {
        let place = (objective, Arc::from(environment));
        self.versions.get(&place)?.get(sha).copied().flatten()
    }

    /// Which flags are decided by dice alone.
    fn learn_reasons(&mut self, from: &Sources<'_>) {
        let (mut split, mut other) = (BTreeSet::new(), BTreeSet::new());
        for (service, told, _) in from.shapes.told(None) {
            let key = (service, Arc::from(&*told.flag));
            if told.basis == Basis::Split {
                split.insert(key);
            } else if told.basis == Basis::Unknown {
                other.insert(key);
            }
        }
        self.split = split.difference(&other).cloned().collect();
    }

    pub(super) fn is_split(&self, service: &Arc<str>, flag: &Arc<str>) -> bool {
        self.split.contains(&(Arc::clone(service), Arc::clone(flag)))
    }

    fn note_suspects(&mut self, now: UnixNanos) {
        let bound = suspect_bound(self.watched(), self.rates.alpha);
        let later = self.change_bound() / 2.0;
        self.suspects.clear();
        for (key, case) in &mut self.cases {
            let suspect = case.trial.log_e() >= bound || case.trial.log_d() >= later;
            case.suspect_since = suspect.then(|| case.suspect_since.unwrap_or(now));
            if suspect {
                self.suspects.insert(key.clone());
            }
        }
        self.note_past_suspects(bound);
    }

    /// Who sent what of the suspects.
    fn question_sources(&mut self, from: &Sources<'_>, groups: &[Group], end: u64) {
        let discount = self.dispersion.discount();
        for group in groups {
            // By every SLI of who is suspect by one.
            let is_suspect = |key: &&CaseKey| {
                let mut suspects = self.suspects.iter().chain(&self.past_suspects);
                suspects.any(|s| s.accused == key.accused && s.environment == key.environment)
            };
            let suspects: Vec<CaseKey> = group.keys().filter(is_suspect).cloned().collect();
            if suspects.is_empty() {
                continue;
            }
            let rows = arms::rows(group, from.ledger, end.saturating_sub(MEMORY_BLOCKS), end);
            for key in suspects {
                let Some(case) = self.cases.get_mut(&key) else {
                    continue;
                };
                let roots = sources::roots(group, &key, from.signatures);
                case.sources = Some(sources::figures(&rows, &key, case, roots, &self.grid, discount));
            }
        }
    }

    fn tell(&self) {
        metrics::gauge!("burngate_kill_cases").set(self.cases.len() as f64);
        metrics::gauge!("burngate_kill_pairs").set(self.pairs.len() as f64);
        metrics::counter!("burngate_kill_cases_refused_total").absolute(self.refused);
        metrics::gauge!("burngate_kill_overdispersion").set(self.dispersion.phi().unwrap_or(f64::NAN));
    }

    pub(super) fn case(&self, key: &CaseKey) -> Option<&Case> {
        self.cases.get(key)
    }

    /// What ln E must reach.
    pub(super) fn kill_bound(&self) -> f64 {
        kill_bound(self.watched(), self.rates.alpha)
    }

    /// What ln D must reach.
    pub(super) fn change_bound(&self) -> f64 {
        change_bound(self.watched(), BLOCKS_A_YEAR, self.rates.wrong_a_year)
    }

    /// How much bad events cluster, once that is known.
    pub(super) fn phi(&self) -> Option<f64> {
        self.dispersion.phi()
    }

    /// Whether the accused flag is to blame, and not another one that is suspect at the same time.
    pub(super) fn attribution(&self, now: UnixNanos, key: &CaseKey, latest_decides: bool) -> Attribution {
        let Accused::Flag { flag, variant } = &key.accused else {
            return Attribution::Alone;
        };
        let Some(own) = self.cases.get(key) else {
            return Attribution::Alone;
        };
        let others = self.suspects.iter().filter(|other| {
            other.objective == key.objective
                && other.environment == key.environment
                && other.accused.flag().is_some_and(|name| *name != **flag)
        });
        let own_since = own.suspect_since.unwrap_or(now);
        let others = others.filter_map(|other_key| {
            let case = self.cases.get(other_key)?;
            let Accused::Flag {
                flag: other,
                variant: other_variant,
            } = &other_key.accused
            else {
                return None;
            };
            let both = own_since.max(case.suspect_since.unwrap_or(now));
            let finding =
                self.pairs
                    .finding(key, (flag, variant), (other, other_variant), now.secs_since(both))?;
            Some(crate::evidence::OtherSuspect {
                flag: Arc::clone(other),
                finding,
                recency: crate::evidence::Recency {
                    own: self.changed_at(&key.environment, flag),
                    other: self.changed_at(&key.environment, other),
                },
            })
        });
        let others: Vec<_> = others.collect();
        crate::evidence::attribute(&others, latest_decides)
    }

    /// The flags that are suspect in the same place.
    pub(super) fn suspects(&self, objective: ObjectiveId, environment: &str) -> Vec<&CaseKey> {
        let here = |key: &&CaseKey| {
            key.objective == objective && &*key.environment == environment && key.accused.flag().is_some()
        };
        self.suspects.iter().filter(here).collect()
    }
}
