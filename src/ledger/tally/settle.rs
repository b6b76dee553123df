//! From the groups of a batch to rows of cohorts.
//!
//! Groups are taken in the order of their keys, so that all of one origin, deployment and flags come
//! together: each cohort is looked up once for them. What they add is summed up by origin and cohort, and
//! becomes rows, merged, at the end.

mod emit;
mod routes;
mod weights;

use super::aside::Aside;
use super::cohorts::Cohorts;
use super::rows::Lanes;
use super::timed::Sums;
use super::{BEYOND, GroupCounts, GroupKey, Source, Tally, TallyStats};
use crate::cohort::flags::{FlagSet, Problems};
use crate::cohort::{
    Cap, CohortId, CohortRef, Deployment, Evidence, Interned, LevelRef, OVERFLOW_SERVICE, ObjectiveId,
    Registry, SourceId, StratumId, label_text,
};
use crate::ledger::join::{self, Base, Batch};
use crate::ledger::sender::Sender;
use crate::ledger::shapes::{ShapeDelta, ToldDelta};
use crate::ledger::signatures::SignatureDelta;
use crate::ledger::tail_watch::Signs;
use crate::ledger::{Counts, EvidenceDelta, JointDelta, LatencyDelta, SeriesDelta, WeightDelta};
use crate::time::UnixNanos;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use weights::Weighed;

/// A cohort and a bucket, under [`Home::lanes`].
type SeriesKey = (u32, CohortId, u64);
/// An evidence cell and its block, under [`Home::lanes`].
type CellKey = (u32, CohortId, StratumId, SourceId, u64);
/// Two flags of the same events and their block, under [`Home::lanes`].
type JointKey = (u32, [CohortId; 2], StratumId, u64);

/// What a batch adds.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Settled {
    pub(in crate::ledger) series: Vec<SeriesDelta>,
    pub(in crate::ledger) evidence: Vec<EvidenceDelta>,
    /// Flags of the same events, in pairs.
    pub(in crate::ledger) joint: Vec<JointDelta>,
    /// What sampled events stand for.
    pub(in crate::ledger) weights: Vec<WeightDelta>,
    /// Durations, for the objectives that want quantiles.
    pub(in crate::ledger) latencies: Vec<LatencyDelta>,
    /// What services show of a sampler that does not say so.
    pub(in crate::ledger) signs: Vec<(String, Signs)>,
    pub(in crate::ledger) stats: TallyStats,
    /// Events of which a cohort was refused, by the cap that refused it.
    pub(in crate::ledger) overflow: BTreeMap<&'static str, u64>,
    /// Pieces of flag evidence that could not be used, by what was wrong.
    pub(in crate::ledger) problems: BTreeMap<&'static str, u64>,
    /// What the join needs.
    pub(in crate::ledger) batch: Batch,
    /// What bad events had in common.
    pub(in crate::ledger) signatures: Vec<SignatureDelta>,
    /// The shapes in which flags came.
    pub(in crate::ledger) shapes: Vec<ShapeDelta>,
    /// Who told of flags.
    pub(in crate::ledger) told: Vec<ToldDelta>,
}

/// What is compared: cells, and flags of the same events in pairs.
#[derive(Default)]
struct Cells {
    cells: Lanes<CellKey>,
    joint: Lanes<JointKey>,
}

/// A resolved origin.
pub(super) struct Home<'t> {
    service: &'t str,
    environment: Option<&'t str>,
    /// The same, to be kept.
    pub(super) names: (Arc<str>, Option<Arc<str>>),
    pub(super) total: Interned,
    pub(super) objectives: Vec<ObjectiveId>,
    /// The first origin of the batch that has these objectives, which are the lanes of its sums: a service
    /// has many instances, and all of them add to the same rows.
    lanes: u32,
    pub(super) source: SourceId,
    /// Whether the sender may speak for it.
    pub(super) trusted: bool,
}

pub(super) struct Settling<'t, 'a, 'c> {
    pub(super) tally: &'t Tally<'a, 'c>,
    registry: &'t Registry,
    now: UnixNanos,
    peer: Option<String>,
    identity: Option<&'t str>,
    scratch: Vec<u8>,
    pub(super) homes: Vec<Option<Home<'t>>>,
    /// The first origin with these objectives.
    lanes: HashMap<Vec<ObjectiveId>, u32, foldhash::fast::RandomState>,
    deployments: Vec<Option<Deployment>>,
    flags: Vec<Option<FlagSet>>,
    /// Of the groups that are being settled.
    pub(super) cohorts: Cohorts,
    /// By origin and endpoint: an endpoint comes back in many groups.
    strata: HashMap<(u32, u32), StratumId, foldhash::fast::RandomState>,
    /// The cohorts of endpoints, by origin and endpoint.
    routes: HashMap<(u32, u32), Option<CohortId>, foldhash::fast::RandomState>,
    pub(super) apart: Aside,
    pub(super) out: Settled,
}

impl Tally<'_, '_> {
    /// The rows of the batch.
    pub(in crate::ledger) fn finish(self, registry: &Registry, now: UnixNanos, from: &Sender<'_>) -> Settled {
        let mut order: Vec<(GroupKey, u32)> = (0u32..)
            .map_while(|number| Some((*self.groups.keys.get(number)?, number)))
            .collect();
        order.sort_unstable();
        let mut settling = Settling {
            tally: &self,
            registry,
            now,
            peer: from.source(),
            identity: from.identity,
            scratch: Vec::new(),
            homes: (0..self.sources.len()).map(|_| None).collect(),
            lanes: HashMap::default(),
            deployments: vec![None; self.groups.deployments.len()],
            flags: vec![None; self.groups.flags.len()],
            cohorts: Cohorts::default(),
            strata: HashMap::default(),
            routes: HashMap::default(),
            apart: Aside::new(&self),
            out: Settled {
                stats: self.stats,
                ..Settled::default()
            },
        };
        settling.run(&order);
        settling.set_aside();
        let mut out = settling.out;
        let seen = self
            .sources
            .iter()
            .filter(|source| source.signs.spans > 0 || source.signs.marked);
        out.signs = seen
            .map(|source| (source.service.to_string(), source.signs))
            .collect();
        out
    }
}

impl<'t> Settling<'t, '_, '_> {
    fn run(&mut self, order: &[(GroupKey, u32)]) {
        let mut series: Lanes<SeriesKey> = Lanes::default();
        let mut evidence = Cells::default();
        let mut weighed = Weighed::default();
        let mut sums: Vec<Counts> = Vec::new();
        let tally = self.tally;
        let mut timed = Sums::new(&tally.groups.timed, order);
        let mut rank = 0;
        // Groups that differ in the endpoint alone make the same rows: they are added up first.
        for alike in order.chunk_by(|(a, _), (b, _)| a.without_endpoint() == b.without_endpoint()) {
            let first = rank;
            rank += alike.len();
            let Some((key, _)) = alike.first() else { continue };
            // Points may have said that there is nothing new; no cohort lives of that.
            let items = |number: &u32| {
                tally
                    .groups
                    .spans
                    .get(*number as usize)
                    .map_or(0, |(_, items)| *items)
            };
            if alike.iter().all(|(_, number)| items(number) == 0) {
                continue;
            }
            let origin = key.origin as usize;
            let Some(source) = tally.sources.get(origin) else {
                continue;
            };
            self.settle_home(key.origin, source);
            if self.cohorts.of != Some((key.origin, key.deployment, key.flags)) {
                self.cohorts = self.cohorts(source, key);
            }
            let has_cells = self.cohorts.ids.iter().any(|(_, cells)| *cells);
            sums.clear();
            sums.resize(source.candidates.len(), Counts::default());
            for (key, number) in alike {
                let Some((begin, spans)) = tally.groups.spans.get(*number as usize) else {
                    continue;
                };
                let counts = tally.groups.counts.get(*begin..).unwrap_or_default();
                for (sum, counts) in sums.iter_mut().zip(counts) {
                    sum.good = sum.good.saturating_add(counts.good);
                    sum.bad = sum.bad.saturating_add(counts.bad);
                }
                if has_cells {
                    self.add_cells(source, key, counts, &mut evidence);
                }
                self.add_route(source, key, (counts, *spans), &mut series);
                self.note(source, key, *number, u64::from(*spans));
                let Some(Some(home)) = self.homes.get(origin) else {
                    continue;
                };
                count_trouble(&mut self.out, home, &self.cohorts, u64::from(*spans));
            }
            let Some(Some(home)) = self.homes.get(origin) else {
                continue;
            };
            series.add((home.lanes, home.total.id(), key.bucket), sums.iter().copied());
            for (cohort, _) in &self.cohorts.ids {
                series.add((home.lanes, *cohort, key.bucket), sums.iter().copied());
            }
            if !tally.groups.weights.is_empty() {
                self.weigh(source, alike, &mut weighed);
            }
            self.time(source, alike, first, timed.until(rank));
        }
        self.emit(&series, &evidence.cells);
        self.emit_joint(&evidence.joint);
        self.emit_weights(&weighed);
    }

    /// Adds one group to the evidence cells of its cohorts.
    fn add_cells(
        &mut self,
        source: &Source<'_, '_>,
        key: &GroupKey,
        counts: &[GroupCounts],
        evidence: &mut Cells,
    ) {
        let stratum = self.stratum(source, key);
        let Some(Some(home)) = self.homes.get(key.origin as usize) else {
            return;
        };
        let lanes = counts.iter().take(home.objectives.len()).map(|counts| Counts {
            good: counts.good,
            bad: counts.bad,
        });
        for (cohort, _) in self.cohorts.ids.iter().filter(|(_, cells)| *cells) {
            evidence.cells.add(
                (home.lanes, *cohort, stratum, home.source, key.bucket),
                lanes.clone(),
            );
        }
        for (at, first) in self.cohorts.armed.iter().enumerate() {
            for second in self.cohorts.armed.iter().skip(at + 1) {
                let pair = (home.lanes, [*first, *second], stratum, key.bucket);
                evidence.joint.add(pair, lanes.clone());
            }
        }
    }

    /// Whether what the sender says of this origin is evidence.
    pub(super) fn trusts(&self, source: &Source<'_, '_>) -> bool {
        let trust = &self.tally.compiled.trust;
        trust.has(self.identity, &source.service, source.environment.as_deref())
    }

    /// Looks up total and objectives of an origin, once.
    fn settle_home(&mut self, origin: u32, source: &'t Source<'_, '_>) {
        if self.homes.get(origin as usize).is_none_or(Option::is_some) {
            return;
        }
        let (mut service, mut environment) = (&*source.service, source.environment.as_deref());
        let total = CohortRef {
            service,
            environment,
            level: LevelRef::Total,
        };
        let total = self.registry.intern(&total, self.now, &mut self.scratch);
        if matches!(total, Interned::Overflow(..)) {
            (service, environment) = (OVERFLOW_SERVICE, None);
        }
        let shared = Arc::from(service);
        let objectives = source.candidates.iter().map(|objective| {
            let name = self.tally.compiled.objectives.objective_name(*objective, &shared);
            self.registry.objective_id(service, &name.slo, &mut self.scratch)
        });
        let objectives: Vec<_> = objectives.collect();
        let lanes = *self.lanes.entry(objectives.clone()).or_insert(origin);
        let trusted = self.trusts(source);
        let instance = source.instance.as_deref().or(self.peer.as_deref());
        let source = instance.map_or(SourceId::OVERFLOW, |name| self.registry.source_id(name, self.now));
        if let Some(home) = self.homes.get_mut(origin as usize) {
            *home = Some(Home {
                names: (Arc::from(service), environment.map(Arc::from)),
                service,
                environment,
                total,
                objectives,
                lanes,
                source,
                trusted,
            });
        }
    }

    pub(super) fn stratum(&mut self, source: &Source<'_, '_>, key: &GroupKey) -> StratumId {
        if let Some(known) = self.strata.get(&(key.origin, key.endpoint)) {
            return *known;
        }
        let Some(endpoint) = self.tally.groups.endpoints.get(key.endpoint) else {
            return StratumId::OVERFLOW;
        };
        let endpoint = label_text(endpoint).unwrap_or_default();
        let region = source.region.as_deref();
        let stratum = self
            .registry
            .stratum_id(&endpoint, region, self.now, &mut self.scratch);
        self.strata.insert((key.origin, key.endpoint), stratum);
        stratum
    }

    /// The cohorts below the total.
    fn cohorts(&mut self, source: &Source<'_, '_>, key: &GroupKey) -> Cohorts {
        let mut cohorts = Cohorts {
            of: Some((key.origin, key.deployment, key.flags)),
            ..Cohorts::default()
        };
        let Some(Some(home)) = self.homes.get(key.origin as usize) else {
            return cohorts;
        };
        let (service, environment, trusted) = (home.service, home.environment, home.trusted);
        let at = |level| CohortRef {
            service,
            environment,
            level,
        };
        if key.flags == BEYOND || matches!(home.total, Interned::Overflow(..)) {
            let rest = self
                .registry
                .intern(&at(LevelRef::Overflow), self.now, &mut self.scratch);
            cohorts.refused = refused(home.total).or(Some(Cap::Batch));
            cohorts.ids.push((rest.id(), false));
            return cohorts;
        }
        let Self {
            tally,
            registry,
            now,
            scratch,
            deployments,
            flags,
            ..
        } = self;
        let deployment = deployments
            .get_mut(key.deployment as usize)
            .map(|slot| &*slot.get_or_insert_with(|| read_deployment(tally, key.deployment)));
        let flags = flags
            .get_mut(key.flags as usize)
            .map(|slot| &*slot.get_or_insert_with(|| read_flags(tally, source, key.flags)));
        let sha = deployment.as_ref().and_then(|deployment| deployment.sha());
        cohorts.invalid_deployment = deployment == Some(&Deployment::Invalid);
        let mut intern = |level| registry.intern(&at(level), *now, scratch);
        if let Some(sha) = sha {
            cohorts.add(intern(LevelRef::Deployment(sha)), trusted);
            cohorts.sha = Some(sha.into());
        }
        let Some(set) = flags else { return cohorts };
        for flag in &set.flags {
            let place = intern(LevelRef::Flag {
                sha,
                flag: &flag.flag,
                variant: &flag.variant,
            });
            let place = cohorts.add(place, trusted && flag.named && flag.basis.is_causal());
            cohorts.arm(place);
            cohorts.bases.push(Base {
                id: join::id_of(&flag.flag),
                rank: flag.rank,
                place: Some(place),
            });
        }
        cohorts.take(set);
        cohorts
    }
}

/// The cap that a place was refused for.
fn refused(place: Interned) -> Option<Cap> {
    match place {
        Interned::Overflow(_, cap) => Some(cap),
        Interned::Live(_) => None,
    }
}

pub(super) fn read_deployment(tally: &Tally<'_, '_>, number: u32) -> Deployment {
    let raw = tally.groups.deployments.get(number);
    Deployment::read(raw.copied().flatten())
}

pub(super) fn read_flags(tally: &Tally<'_, '_>, source: &Source<'_, '_>, number: u32) -> FlagSet {
    let Some((context, item)) = tally.groups.flags.get(number) else {
        return FlagSet::default();
    };
    let Some((resource, scope)) = tally.contexts.get(context) else {
        return FlagSet::default();
    };
    let resource = tally
        .resources
        .get(resource)
        .map_or(&[][..], |(_, pieces)| pieces);
    tally.compiled.extractor.read(
        &Evidence {
            item,
            scope,
            resource,
        },
        &source.named,
    )
}

/// Counts what went wrong for the `spans` of a group.
fn count_trouble(out: &mut Settled, home: &Home<'_>, cohorts: &Cohorts, spans: u64) {
    if let Some(cap) = cohorts.refused.or(refused(home.total)) {
        *out.overflow.entry(cap.as_str()).or_default() += spans;
    }
    let Problems {
        rejected_lists,
        truncated_lists,
        invalid_items,
        without_result,
        excess_flags,
    } = cohorts.problems;
    for (kind, times) in [
        ("rejected_list", rejected_lists),
        ("truncated_list", truncated_lists),
        ("invalid_item", invalid_items),
        ("without_result", without_result),
        ("excess_flag", excess_flags),
        ("invalid_deployment", u32::from(cohorts.invalid_deployment)),
        ("untrusted_sender", u32::from(!home.trusted)),
    ] {
        if times > 0 {
            *out.problems.entry(kind).or_default() += u64::from(times) * spans;
        }
    }
}
