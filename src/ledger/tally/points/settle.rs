//! From notes to counts, with the streams locked: what every point adds to its group.

use super::super::work::{Added, Work};
use super::{Note, PointTally, PointsSettled};
use crate::cohort::{Registry, UNKNOWN_SERVICE};
use crate::ledger::Counts;
use crate::ledger::points::{Place, Quality, Skip, Step, Streams, Times};
use crate::ledger::sender::Sender;
use crate::ledger::tally::Tally;
use crate::ledger::tally::settle::{read_deployment, read_flags};
use crate::sli::{Measure, ObjectiveIndex, ObjectiveName, PointUse};
use crate::time::UnixNanos;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

impl<'a> PointTally<'a, '_> {
    /// The rows of the batch, and everything else that it says. `streams` must stay locked until the rows are
    /// in the ledger: a store that saw the one without the other would count twice or never.
    pub(in crate::ledger) fn finish(
        mut self,
        streams: &mut Streams,
        registry: &Registry,
        now: UnixNanos,
        from: &Sender<'_>,
    ) -> PointsSettled {
        let mut work = Work::default();
        let notes = std::mem::take(&mut self.notes);
        for note in &notes {
            self.settle_note(note, streams, &mut work, now);
        }
        self.settle_pairs(streams, &work, now);
        self.settle_levels(streams);
        let quality = self.named_quality();
        PointsSettled {
            stats: self.stats,
            quality,
            settled: self.tally.finish(registry, now, from),
        }
    }

    fn named_quality(&self) -> Vec<(ObjectiveName, Quality)> {
        let name = |(origin, lane): (u32, u32)| {
            let source = self.tally.sources.get(origin as usize)?;
            let objective = source.candidates.get(lane as usize)?;
            let service: Arc<str> = Arc::from(&*source.service);
            Some(
                self.tally
                    .compiled
                    .objectives
                    .objective_name(*objective, &service),
            )
        };
        let known = self.quality.iter().filter(|((origin, _), _)| {
            let source = self.tally.sources.get(*origin as usize);
            source.is_some_and(|source| source.service != UNKNOWN_SERVICE)
        });
        known
            .filter_map(|(key, quality)| Some((name(*key)?, *quality)))
            .collect()
    }

    fn settle_note(&mut self, note: &Note<'a>, streams: &mut Streams, work: &mut Work<'a>, now: UnixNanos) {
        if !work.read(&note.point.value) {
            return self.stats.unusable("broken", 1);
        }
        let times = Times {
            start: note.point.start_time_unix_nano,
            time: note.point.time_unix_nano,
            temporality: note.temporality,
        };
        let step = streams.observe(note.id, times, work.reading(&note.point.value), now);
        self.stats.gaps += u64::from(streams.has_gap());
        let mut is_lost = false;
        if let Step::Skip(skip) = step {
            self.stats.skip(skip);
            is_lost = matches!(skip, Skip::SeveralWriters | Skip::NoRoom);
        }
        let mut counted = false;
        for at in note.uses.0..note.uses.1 {
            let Some(&(lane, used)) = self.uses.get(at as usize) else {
                continue;
            };
            let is_young = match step {
                Step::Skip(_) => false,
                Step::WholeIfSince(start) => self
                    .watch_of(note.origin, lane)
                    .is_none_or(|watch| start >= streams.since(watch)),
                Step::Whole | Step::Grew => true,
            };
            let added = |measure, work: &mut Work<'a>| {
                let step = if is_young {
                    step
                } else {
                    Step::Skip(Skip::BaseLine)
                };
                work.added(&note.point.value, streams, step, measure)
            };
            counted |= is_young;
            if is_lost {
                self.quality
                    .entry((note.origin, lane))
                    .or_default()
                    .raise(Quality::Degraded);
            }
            self.settle_use(note, lane, used, work, &added);
        }
        if !counted && !matches!(step, Step::Skip(_)) {
            self.stats.skip(Skip::BaseLine);
        }
        self.stats.counted += u64::from(counted);
    }

    fn settle_use(
        &mut self,
        note: &Note<'a>,
        lane: u32,
        used: PointUse,
        work: &mut Work<'a>,
        added: &dyn Fn(Measure, &mut Work<'a>) -> Option<Added>,
    ) {
        let mut quality = Quality::Exact;
        let mut amount = |measure, work: &mut Work<'a>| {
            let added = added(measure, work)?;
            quality.raise(added.quality);
            Some(added.amount)
        };
        let counts = match used {
            PointUse::Side { measure, is_bad } => amount(measure, work).map(|all| sides(all, 0, is_bad)),
            PointUse::Split {
                part,
                whole,
                part_is_bad,
            } => amount(whole, work)
                .and_then(|whole| Some((amount(part, work)?.min(whole), whole)))
                .map(|(part, whole)| sides(part, whole - part, part_is_bad)),
            PointUse::Part { measure, part_is_bad } => amount(measure, work).map(|part| {
                let pair = self.pair_key(note, lane);
                work.bring(pair, note.group, lane, part_is_bad).part(part);
                Counts::default()
            }),
            PointUse::Whole { measure, part_is_bad } => amount(measure, work).map(|whole| {
                let pair = self.pair_key(note, lane);
                work.bring(pair, note.group, lane, part_is_bad)
                    .whole(whole, note.group);
                Counts::default()
            }),
            PointUse::Gauge => Some(Counts::default()),
        };
        self.quality
            .entry((note.origin, lane))
            .or_default()
            .raise(quality);
        if let Some(counts) = counts {
            self.tally.groups.add(note.group, lane, counts.good, counts.bad);
        } else {
            self.stats.unusable("no_buckets", 1);
            self.quality
                .entry((note.origin, lane))
                .or_default()
                .raise(Quality::Degraded);
        }
    }

    fn settle_pairs(&mut self, streams: &mut Streams, work: &Work<'a>, now: UnixNanos) {
        for pair in &work.pairs {
            let counts = streams.settle_pair(pair.key, pair.brought, pair.part_is_bad, now);
            self.tally
                .groups
                .add(pair.group, pair.lane, counts.good, counts.bad);
        }
    }

    fn settle_levels(&mut self, streams: &mut Streams) {
        for level in std::mem::take(&mut self.levels) {
            let Some(watch) = self.watch_of(level.origin, level.lane) else {
                continue;
            };
            let Some(objective) = self.objective_of(level.origin, level.lane) else {
                continue;
            };
            let Some(judge) = self.tally.compiled.objectives.of_metrics(objective) else {
                continue;
            };
            let Some(gauge) = judge.gauge() else { continue };
            let key = self.group_key(level.group, watch, false);
            let taken = streams.level(key, level.at, gauge.into(), watch, || {
                let (place, service) = self.tally.place_of(level.group);
                let slo = self
                    .tally
                    .compiled
                    .objectives
                    .objective_name(objective, &service)
                    .slo;
                (place, slo)
            });
            if taken {
                self.stats.counted += 1;
            } else {
                self.stats.late += 1;
            }
        }
    }

    fn objective_of(&self, origin: u32, lane: u32) -> Option<ObjectiveIndex> {
        let source = self.tally.sources.get(origin as usize)?;
        source.candidates.get(lane as usize).copied()
    }

    fn watch_of(&self, origin: u32, lane: u32) -> Option<u64> {
        self.tally.compiled.watch_of(self.objective_of(origin, lane)?)
    }

    fn pair_key(&self, note: &Note<'a>, lane: u32) -> u64 {
        let watch = self.watch_of(note.origin, lane).unwrap_or_default();
        self.group_key(note.group, watch, true)
    }

    /// What tells the cohort of a group (and the instance, on request) under an objective from every other,
    /// in every batch and process.
    fn group_key(&self, group: u32, watch: u64, by_instance: bool) -> u64 {
        let mut hash = Gathered(watch, Vec::new());
        let groups = &self.tally.groups;
        if let Some(key) = groups.keys.get(group) {
            if by_instance {
                self.tally.origins.get(key.origin).hash(&mut hash);
            } else if let Some(source) = self.tally.sources.get(key.origin as usize) {
                (&source.service, &source.environment).hash(&mut hash);
            }
            groups.deployments.get(key.deployment).hash(&mut hash);
            if let Some((context, item)) = groups.flags.get(key.flags) {
                item.hash(&mut hash);
                if let Some((resource, scope)) = self.tally.contexts.get(context) {
                    scope.hash(&mut hash);
                    self.tally
                        .resources
                        .get(resource)
                        .map(|(_, pieces)| pieces)
                        .hash(&mut hash);
                }
            }
        }
        hash.finish()
    }
}

/// A hasher that is the same in every process: it gathers what it is told, and hashes that.
struct Gathered(u64, Vec<u8>);

impl Hasher for Gathered {
    fn finish(&self) -> u64 {
        twox_hash::XxHash3_64::oneshot_with_seed(self.0, &self.1)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.1.extend_from_slice(bytes);
    }
}

/// Good and bad of a part and the rest.
fn sides(part: u64, rest: u64, part_is_bad: bool) -> Counts {
    let (good, bad) = if part_is_bad { (rest, part) } else { (part, rest) };
    Counts { good, bad }
}

impl Tally<'_, '_> {
    /// The names of a group's cohort, and its service.
    fn place_of(&self, group: u32) -> (Place, Arc<str>) {
        let Some((key, source)) = self
            .groups
            .keys
            .get(group)
            .and_then(|key| Some((key, self.sources.get(key.origin as usize)?)))
        else {
            return (Place::default(), Arc::from(""));
        };
        let service: Arc<str> = Arc::from(&*source.service);
        let flags = read_flags(self, source, key.flags).flags;
        let place = Place {
            service: service.clone(),
            environment: source.environment.as_deref().map(Arc::from),
            sha: read_deployment(self, key.deployment).sha().map(Arc::from),
            flags: flags
                .iter()
                .map(|f| (Arc::from(&*f.flag), Arc::from(&*f.variant)))
                .collect(),
        };
        (place, service)
    }
}
