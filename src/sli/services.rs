//! Which objectives a service has in an environment.

use super::glob::Glob;
use super::{ObjectiveIndex, ObjectiveSpec};
use crate::pipeline::Signal;
use hashbrown::HashMap;

/// Behind every signal.
const BY_HAND: u8 = u8::MAX;

/// Objectives that are candidates together: those of traces, then of metrics, then of logs, then of nothing
/// but counts by hand.
#[derive(Debug, Default)]
struct List {
    all: Box<[ObjectiveIndex]>,
    /// Where those of metrics begin, those of logs, and the rest.
    begins: [usize; 3],
}

impl List {
    fn new<'s>(objectives: impl Iterator<Item = (ObjectiveIndex, &'s ObjectiveSpec)>) -> Self {
        let mut all: Vec<_> = objectives
            .map(|(index, spec)| {
                (
                    spec.sli.source.signal().map_or(BY_HAND, |signal| signal as u8),
                    index,
                )
            })
            .collect();
        // Stable: within a signal the order of the files stays.
        all.sort_by_key(|(rank, _)| *rank);
        let before = |rank| all.partition_point(|(other, _)| *other < rank);
        Self {
            begins: [
                before(Signal::Metrics as u8),
                before(Signal::Logs as u8),
                before(BY_HAND),
            ],
            all: all.into_iter().map(|(_, index)| index).collect(),
        }
    }

    fn of(&self, signal: Signal) -> &[ObjectiveIndex] {
        let [metrics, logs, by_hand] = self.begins;
        let range = match signal {
            Signal::Traces => 0..metrics,
            Signal::Metrics => metrics..logs,
            Signal::Logs => logs..by_hand,
        };
        self.all.get(range).unwrap_or_default()
    }
}

/// The objectives of services, by name and by pattern.
#[derive(Debug, Default)]
pub(super) struct Services {
    named: HashMap<Box<[u8]>, Environments, foldhash::fast::RandomState>,
    /// Most specific first.
    patterns: Box<[(Glob, Environments)]>,
    default: Option<(Option<Signal>, [ObjectiveIndex; 1])>,
}

/// The objectives of one service or pattern, by environment.
#[derive(Debug, Default)]
struct Environments {
    /// Those of every environment.
    everywhere: List,
    /// Those of the environments that a policy names, with those of every environment.
    named: Box<[(Box<[u8]>, List)]>,
}

impl Environments {
    fn new(objectives: &[(ObjectiveIndex, &ObjectiveSpec)]) -> Self {
        let everywhere = || {
            objectives
                .iter()
                .filter(|(_, spec)| spec.environment.is_none())
                .copied()
        };
        let mut names: Vec<_> = objectives
            .iter()
            .filter_map(|(_, spec)| spec.environment.as_deref())
            .collect();
        names.sort_unstable();
        names.dedup();
        let of = |name: &str| {
            let here = objectives
                .iter()
                .filter(|(_, spec)| spec.environment.as_deref() == Some(name));
            List::new(here.copied().chain(everywhere()))
        };
        Self {
            everywhere: List::new(everywhere()),
            named: names
                .into_iter()
                .map(|name| (name.as_bytes().into(), of(name)))
                .collect(),
        }
    }

    fn get(&self, environment: Option<&[u8]>) -> &List {
        environment
            .and_then(|wanted| self.named.iter().find(|(name, _)| **name == *wanted))
            .map_or(&self.everywhere, |(_, objectives)| objectives)
    }

    fn lists(&self) -> impl Iterator<Item = &[ObjectiveIndex]> {
        self.named
            .iter()
            .map(|(_, list)| &*list.all)
            .chain([&*self.everywhere.all])
    }
}

impl Services {
    /// Builds the index.
    pub(super) fn new(
        objectives: &[(ObjectiveIndex, &ObjectiveSpec)],
        default: Option<(ObjectiveIndex, Option<Signal>)>,
    ) -> Self {
        let mut by_service: Vec<(&str, Vec<_>)> = Vec::new();
        let mut sorted = objectives.to_vec();
        sorted.sort_by(|(_, a), (_, b)| a.name.service.cmp(&b.name.service));
        for (index, spec) in sorted {
            let service = &*spec.name.service;
            match by_service.last_mut() {
                Some((last, list)) if *last == service => list.push((index, spec)),
                _ => by_service.push((service, vec![(index, spec)])),
            }
        }
        let (patterns, named): (Vec<_>, Vec<_>) = by_service
            .into_iter()
            .partition(|(service, _)| is_pattern(service));
        let mut patterns: Vec<_> = patterns
            .into_iter()
            .map(|(service, list)| (Glob::new(service), Environments::new(&list)))
            .collect();
        // Stable: equally specific patterns stay in the order of their texts, whatever the order of the
        // files.
        patterns.sort_by_key(|(glob, _)| std::cmp::Reverse(glob.literal_len()));
        Self {
            named: named
                .into_iter()
                .map(|(service, list)| (service.as_bytes().into(), Environments::new(&list)))
                .collect(),
            patterns: patterns.into(),
            default: default.map(|(index, signal)| (signal, [index])),
        }
    }

    /// The objectives of `service` in `environment` that count items of `signal`.
    pub(super) fn get(
        &self,
        signal: Signal,
        service: &[u8],
        environment: Option<&[u8]>,
    ) -> &[ObjectiveIndex] {
        match self.list(service, environment) {
            Ok(list) => list.of(signal),
            Err(false) => self
                .default
                .as_ref()
                .filter(|(of, _)| *of == Some(signal))
                .map_or(&[], |(_, it)| it),
            Err(true) => &[],
        }
    }

    /// All objectives of `service` in `environment`.
    pub(super) fn all(&self, service: &[u8], environment: Option<&[u8]>) -> &[ObjectiveIndex] {
        match self.list(service, environment) {
            Ok(list) => &list.all,
            Err(false) => self.default.as_ref().map_or(&[], |(_, it)| it),
            Err(true) => &[],
        }
    }

    /// The objectives that hold; without any, whether some policy names the service elsewhere.
    fn list(&self, service: &[u8], environment: Option<&[u8]>) -> Result<&List, bool> {
        let named = self.named.get(service);
        let patterns = self
            .patterns
            .iter()
            .filter(|(glob, _)| glob.matches(service))
            .map(|(_, list)| list);
        let mut has_policy = false;
        for environments in named.into_iter().chain(patterns) {
            has_policy = true;
            let objectives = environments.get(environment);
            if !objectives.all.is_empty() {
                return Ok(objectives);
            }
        }
        Err(has_policy)
    }

    /// Every list that [`Services::get`] can answer with, the default apart.
    pub(super) fn lists(&self) -> impl Iterator<Item = &[ObjectiveIndex]> {
        self.named
            .values()
            .chain(self.patterns.iter().map(|(_, list)| list))
            .flat_map(Environments::lists)
    }
}

/// Whether a policy's service is a pattern.
pub fn is_pattern(service: &str) -> bool {
    super::expr::GlobPattern::has_wildcard(service)
}
