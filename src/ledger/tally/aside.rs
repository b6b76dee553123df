//! What a batch tells beside its counts, from numbers of the batch to names and handles.

use super::Tally;
use super::settle::Settling;
use super::{GroupKey, Source};
use crate::cohort::flags::{FlagSet, Shape, ToldBy};
use crate::cohort::{CohortId, Interned};
use crate::ledger::join::Telling;
use crate::ledger::join::{Batch, Group, NONE, Told};
use crate::ledger::shapes::{ShapeDelta, ToldDelta};
use crate::ledger::signatures::{Signature, SignatureDelta};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which groups somebody asks for later, and what was found of them.
#[derive(Default)]
pub(super) struct Aside {
    /// By group: whether the join needs it.
    joined: Vec<bool>,
    groups: Vec<Option<Arc<Group>>>,
    /// By group: its cohorts, the total included, where it has bad events with a signature.
    places: Vec<Option<Arc<[CohortId]>>>,
    has_bad: bool,
    shapes: BTreeMap<(u32, Shape), u64>,
    told: BTreeMap<(u32, ToldBy), u64>,
}

impl Aside {
    pub(super) fn new(tally: &Tally<'_, '_>) -> Self {
        let mut aside = Self {
            has_bad: !tally.apart.bad_rows.is_empty(),
            ..Self::default()
        };
        if tally.apart.seen.iter().any(|seen| seen.group != NONE) {
            aside.joined = vec![false; tally.groups.keys.len()];
            aside.groups = vec![None; tally.groups.keys.len()];
            for seen in &tally.apart.seen {
                if let Some(joined) = aside.joined.get_mut(seen.group as usize) {
                    *joined = true;
                }
            }
        }
        if aside.has_bad {
            aside.places = vec![None; tally.groups.keys.len()];
        }
        aside
    }
}

impl Settling<'_, '_, '_> {
    /// Notes what will be asked of the group later; `self.cohorts` are its cohorts.
    pub(super) fn note(&mut self, source: &Source<'_, '_>, key: &GroupKey, number: u32, spans: u64) {
        for (shape, pieces) in &self.cohorts.shapes {
            *self.apart.shapes.entry((key.origin, *shape)).or_default() += u64::from(*pieces) * spans;
        }
        for told in &self.cohorts.told_by {
            match self.apart.told.get_mut(&(key.origin, told.clone())) {
                Some(count) => *count += spans,
                None => drop(self.apart.told.insert((key.origin, told.clone()), spans)),
            }
        }
        let at = number as usize;
        let stratum = self.apart.joined.get(at).copied().unwrap_or(false);
        let stratum = stratum.then(|| self.stratum(source, key));
        let Some(Some(home)) = self.homes.get(key.origin as usize) else {
            return;
        };
        if self.apart.has_bad
            && let Some(place) = self.apart.places.get_mut(at)
        {
            let ids = self.cohorts.ids.iter().map(|(id, _)| *id);
            *place = Some([home.total.id()].into_iter().chain(ids).collect());
        }
        if let Some(stratum) = stratum
            && let Some(group) = self.apart.groups.get_mut(at)
            && matches!(home.total, Interned::Live(_))
        {
            *group = Some(Arc::new(Group {
                service: Arc::clone(&home.names.0),
                environment: home.names.1.clone(),
                sha: self.cohorts.sha.clone(),
                objectives: home.objectives.clone(),
                declared: source
                    .declared
                    .iter()
                    .map(|declared| declared.map(super::weigh::Declared::pair))
                    .collect(),
                bucket: key.bucket,
                stratum,
                source: home.source,
                flags: self.cohorts.bases.clone(),
                trusted: home.trusted,
                overflown: self
                    .cohorts
                    .bases
                    .iter()
                    .any(|base| base.place.is_some_and(|place| !place.live))
                    || key.flags == super::BEYOND,
            }));
        }
    }

    /// Everything that was noted, under its names.
    pub(super) fn set_aside(&mut self) {
        let tally = self.tally;
        let signatures: Vec<Arc<Signature>> = (0u32..)
            .map_while(|number| tally.apart.signatures.get(number))
            .map(|raw| {
                let source = tally.sources.get(raw.origin() as usize);
                Arc::new(raw.named(source.map_or("", |source| &source.service)))
            })
            .collect();
        self.signature_rows(&signatures);
        let told = self.told_sets();
        self.out.shapes = self
            .apart
            .shapes
            .iter()
            .map(|((origin, shape), count)| ShapeDelta {
                service: service_of(tally, *origin),
                attribute: tally.compiled.extractor.name_of(shape.name),
                shape: *shape,
                count: *count,
            })
            .collect();
        self.out.told = std::mem::take(&mut self.apart.told)
            .into_iter()
            .map(|((origin, told_by), count)| ToldDelta {
                service: service_of(tally, origin),
                told_by,
                count,
            })
            .collect();
        self.out.batch = Batch {
            seen: tally.apart.seen.clone(),
            tellings: self.believed_tellings(),
            services: tally.sources.iter().map(|source| source.id).collect(),
            groups: std::mem::take(&mut self.apart.groups),
            told,
            signatures,
            without_context: tally.apart.without_context,
        };
    }

    /// What was told by those who may speak for the service that they tell of: what others say must not even
    /// move a request from one variant to another.
    fn believed_tellings(&self) -> Vec<Telling> {
        let tally = self.tally;
        let believed = |telling: &&Telling| {
            let told = tally.apart.told.get(telling.told);
            let source = told.and_then(|((origin, _), _)| tally.sources.get(origin as usize));
            source.is_some_and(|source| self.trusts(source))
        };
        tally.apart.tellings.iter().filter(believed).copied().collect()
    }

    /// What was told, read once for each that differs; its shapes count once a telling.
    fn told_sets(&mut self) -> Vec<Arc<[Told]>> {
        let tally = self.tally;
        let mut times = vec![0u64; tally.apart.told.len()];
        for telling in &tally.apart.tellings {
            if let Some(times) = times.get_mut(telling.told as usize) {
                *times += 1;
            }
        }
        let mut sets = Vec::with_capacity(times.len());
        for (number, times) in (0u32..).zip(times) {
            let Some(((origin, place), pieces)) = tally.apart.told.get(number) else {
                continue;
            };
            let source = tally.sources.get(origin as usize);
            let named = source.map_or(&[][..], |source| &source.named);
            let set: FlagSet = tally.compiled.extractor.read_told(pieces, place, named);
            for (shape, pieces) in &set.shapes {
                *self.apart.shapes.entry((origin, *shape)).or_default() += u64::from(*pieces) * times;
            }
            for told in &set.told_by {
                *self.apart.told.entry((origin, told.clone())).or_default() += times;
            }
            sets.push(Told::of(&set));
        }
        sets
    }

    /// What bad events have in common, for each of their cohorts and objectives.
    fn signature_rows(&mut self, signatures: &[Arc<Signature>]) {
        let tally = self.tally;
        for (number, row) in (0u32..).zip(&tally.apart.bad_rows) {
            let Some(&(group, signature, bits)) = tally.apart.bads.get(number) else {
                continue;
            };
            let origin = tally.groups.keys.get(group).map_or(NONE, |key| key.origin);
            let (Some(Some(home)), Some(Some(places)), Some(signature)) = (
                self.homes.get(origin as usize),
                self.apart.places.get(group as usize),
                signatures.get(signature as usize),
            ) else {
                continue;
            };
            for (bit, objective) in home.objectives.iter().enumerate().take(64) {
                if bits >> bit & 1 == 0 {
                    continue;
                }
                self.out
                    .signatures
                    .extend(places.iter().map(|cohort| SignatureDelta {
                        objective: *objective,
                        cohort: *cohort,
                        signature: Arc::clone(signature),
                        count: row.count,
                        leaves: false,
                        traces: row.traces,
                    }));
            }
        }
    }
}

fn service_of(tally: &Tally<'_, '_>, origin: u32) -> Arc<str> {
    let source = tally.sources.get(origin as usize);
    Arc::from(source.map_or("", |source| &source.service))
}
