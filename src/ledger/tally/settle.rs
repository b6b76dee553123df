//! From the groups of a batch to rows of cohorts.
//!
//! Groups are taken in the order of their keys, so that all of one origin, deployment and flags come
//! together: each cohort is looked up once for them. Rows of equal (objective, cohort, bucket) are merged by
//! sorting.

use super::rows::Rows;
use super::{BEYOND, GroupKey, Source, Tally, TallyStats};
use crate::cohort::flags::{FlagSet, Problems};
use crate::cohort::{
    Cap, CohortId, CohortRef, Deployment, Evidence, Interned, LevelRef, OVERFLOW_SERVICE, ObjectiveId,
    Registry, SourceId, StratumId, label_text,
};
use crate::ledger::{Counts, EvidenceDelta, SeriesDelta};
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a batch adds.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Settled {
    pub(in crate::ledger) series: Vec<SeriesDelta>,
    pub(in crate::ledger) evidence: Vec<EvidenceDelta>,
    pub(in crate::ledger) stats: TallyStats,
    /// Events of which a cohort was refused, by the cap that refused it.
    pub(in crate::ledger) overflow: BTreeMap<&'static str, u64>,
    /// Pieces of flag evidence that could not be used, by what was wrong.
    pub(in crate::ledger) problems: BTreeMap<&'static str, u64>,
}

/// A resolved origin.
struct Home<'t> {
    service: &'t str,
    environment: Option<&'t str>,
    total: Interned,
    objectives: Vec<ObjectiveId>,
    source: SourceId,
}

/// The cohorts of one (origin, deployment, flags), and whether each has evidence cells.
#[derive(Default)]
struct Cohorts {
    /// What they are for: the first three numbers of a key.
    of: Option<(u32, u32, u32)>,
    ids: Vec<(CohortId, bool)>,
    refused: Option<Cap>,
    problems: Problems,
    invalid_deployment: bool,
}

struct Settling<'t, 'a, 'c> {
    tally: &'t Tally<'a, 'c>,
    registry: &'t Registry,
    now: UnixNanos,
    peer: Option<&'t str>,
    scratch: Vec<u8>,
    homes: Vec<Option<Home<'t>>>,
    deployments: Vec<Option<Deployment>>,
    flags: Vec<Option<FlagSet>>,
    out: Settled,
}

impl Tally<'_, '_> {
    /// The rows of the batch. `peer` is the source of resources that name no instance.
    pub(in crate::ledger) fn finish(
        self,
        registry: &Registry,
        now: UnixNanos,
        peer: Option<&str>,
    ) -> Settled {
        let mut order: Vec<(GroupKey, u32)> = (0u32..)
            .map_while(|number| Some((*self.groups.keys.get(number)?, number)))
            .collect();
        order.sort_unstable();
        let mut settling = Settling {
            tally: &self,
            registry,
            now,
            peer,
            scratch: Vec::new(),
            homes: (0..self.sources.len()).map(|_| None).collect(),
            deployments: vec![None; self.groups.deployments.len()],
            flags: vec![None; self.groups.flags.len()],
            out: Settled {
                stats: self.stats,
                ..Settled::default()
            },
        };
        settling.run(&order);
        settling.out
    }
}

impl<'t> Settling<'t, '_, '_> {
    fn run(&mut self, order: &[(GroupKey, u32)]) {
        let mut series = Rows::default();
        let mut evidence = Rows::default();
        let mut cohorts = Cohorts::default();
        let tally = self.tally;
        for (key, number) in order {
            let origin = key.origin as usize;
            let Some(source) = tally.sources.get(origin) else {
                continue;
            };
            self.settle_home(origin, source);
            let of = (key.origin, key.deployment, key.flags);
            if cohorts.of != Some(of) {
                cohorts = self.cohorts(source, key);
            }
            let Some(Some(home)) = self.homes.get(origin) else {
                continue;
            };
            let Some((begin, spans)) = tally.groups.spans.get(*number as usize) else {
                continue;
            };
            count_trouble(&mut self.out, home, &cohorts, u64::from(*spans));
            let has_cells = cohorts.ids.iter().any(|(_, cells)| *cells);
            let stratum = if has_cells {
                self.stratum(source, key.endpoint)
            } else {
                StratumId::OVERFLOW
            };
            let Some(Some(home)) = self.homes.get(origin) else {
                continue;
            };
            let counts = tally.groups.counts.iter().skip(*begin);
            for (objective, counts) in home.objectives.iter().zip(counts) {
                let counts = Counts {
                    good: counts.good.into(),
                    bad: counts.bad.into(),
                };
                if counts == Counts::default() {
                    continue;
                }
                series.add((*objective, home.total.id(), key.bucket), counts);
                for (cohort, cells) in &cohorts.ids {
                    series.add((*objective, *cohort, key.bucket), counts);
                    if *cells {
                        evidence.add((*objective, *cohort, stratum, home.source, key.bucket), counts);
                    }
                }
            }
        }
        let row = |((objective, cohort, bucket), counts)| SeriesDelta {
            objective,
            cohort,
            bucket,
            counts,
        };
        self.out.series = series.merged().map(row).collect();
        let cell = |((objective, cohort, stratum, source, bucket), counts)| EvidenceDelta {
            objective,
            cohort,
            stratum,
            source,
            bucket,
            counts,
        };
        self.out.evidence = evidence.merged().map(cell).collect();
    }

    /// Looks up total and objectives of an origin, once.
    fn settle_home(&mut self, origin: usize, source: &'t Source<'_, '_>) {
        if self.homes.get(origin).is_none_or(Option::is_some) {
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
        let objectives = objectives.collect();
        let instance = source.instance.as_deref().or(self.peer);
        let source = instance.map_or(SourceId::OVERFLOW, |name| self.registry.source_id(name, self.now));
        if let Some(home) = self.homes.get_mut(origin) {
            *home = Some(Home {
                service,
                environment,
                total,
                objectives,
                source,
            });
        }
    }

    fn stratum(&mut self, source: &Source<'_, '_>, endpoint: u32) -> StratumId {
        let Some(endpoint) = self.tally.groups.endpoints.get(endpoint) else {
            return StratumId::OVERFLOW;
        };
        let endpoint = label_text(endpoint).unwrap_or_default();
        self.registry
            .stratum_id(&endpoint, source.region.as_deref(), self.now, &mut self.scratch)
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
        let (service, environment) = (home.service, home.environment);
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
        let mut add = |level, cells| {
            let place = registry.intern(&at(level), *now, scratch);
            let id = match place {
                Interned::Live(id) => (id, cells),
                Interned::Overflow(id, cap) => {
                    cohorts.refused.get_or_insert(cap);
                    (id, false)
                }
            };
            // An event counts once in the overflow, however many of its cohorts were refused.
            if !cohorts.ids.contains(&id) {
                cohorts.ids.push(id);
            }
        };
        if let Some(sha) = sha {
            add(LevelRef::Deployment(sha), true);
        }
        for flag in flags.map_or(&[][..], |set| &set.flags) {
            add(
                LevelRef::Flag {
                    sha,
                    flag: &flag.flag,
                    variant: &flag.variant,
                },
                flag.named,
            );
        }
        cohorts.problems = flags.map(|set| set.problems).unwrap_or_default();
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

fn read_deployment(tally: &Tally<'_, '_>, number: u32) -> Deployment {
    let raw = tally.groups.deployments.get(number);
    Deployment::read(raw.copied().flatten())
}

fn read_flags(tally: &Tally<'_, '_>, source: &Source<'_, '_>, number: u32) -> FlagSet {
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
    ] {
        if times > 0 {
            *out.problems.entry(kind).or_default() += u64::from(times) * spans;
        }
    }
}
