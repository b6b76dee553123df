//! `error_budget` in a pipeline: a request is counted once, as its edits leave it, and before anything is
//! sampled.
//!
//! Pipelines that share a source also share the count, so what they count must be the same bytes: edits that
//! differ are refused. Samplers run behind the count wherever the file puts them; where that would change
//! what they pick, the file is refused too, because silently doing something else than it says is worse.

use super::components::Defined;
use super::pipelines::{Carries, Pipeline, Reference};
use super::wiring::Wiring;
use super::{ActionKind, AttributesProcessor, PipelineKind, ProbabilisticSampler, Processor};
use std::collections::{BTreeMap, BTreeSet};

/// What the sampler of spans looks at beside the trace id.
const SPAN_PRIORITY: &str = "sampling.priority";

impl Wiring<'_> {
    /// Everything above. The graph has no circle.
    pub(super) fn check_taps(&self) {
        let tapped: Vec<usize> = (0..self.pipelines.len())
            .filter(|&nth| self.is_tapped(&self.pipelines[nth]))
            .collect();
        let mut known = vec![None; self.pipelines.len()];
        for (place, &nth) in tapped.iter().enumerate() {
            let roots = self.roots(nth, &mut known);
            if let Some((root, ways)) = roots.iter().find(|(_, ways)| ways.len() > 1) {
                let ways: Vec<&str> = ways.iter().map(String::as_str).collect();
                let message = format!(
                    "what comes from `{root}` would be counted twice: it comes by {}",
                    ways.join(" and by ")
                );
                self.refuse(nth, "receivers", &message);
            }
            for &other in &tapped[..place] {
                if self.pipelines[other].carries == self.pipelines[nth].carries {
                    let others = self.roots(other, &mut known);
                    self.check_pair(other, nth, &others, &roots);
                }
            }
        }
        self.check_samplers_before(&tapped);
        for pipeline in self.pipelines {
            self.check_samplers(pipeline);
        }
    }

    fn refuse(&self, nth: usize, key: &str, message: &str) {
        let pipeline = &self.pipelines[nth];
        let path = format!("{}.{key}", pipeline.path);
        self.report.problem(Some(pipeline.at), &path, message);
    }

    fn is_tapped(&self, pipeline: &Pipeline) -> bool {
        let connectors = self.components.connectors.iter();
        let mut budgets = connectors.filter(|it| it.kind.name == "error_budget");
        matches!(pipeline.carries, Carries::Telemetry(_)) && budgets.any(|it| pipeline.feeds(&it.id))
    }

    /// Where a pipeline's telemetry begins, looking through `forward`; each with the ways by which it comes.
    fn roots(&self, nth: usize, known: &mut Vec<Option<Roots>>) -> Roots {
        if let Some(roots) = &known[nth] {
            return roots.clone();
        }
        let pipeline = &self.pipelines[nth];
        let mut roots = Roots::new();
        let mut add = |root: &str, way: String| {
            let ways = roots.entry(root.to_owned()).or_default();
            // A second one is refused; how many more there are does not matter.
            if ways.len() < 2 {
                ways.insert(way);
            }
        };
        for receiver in &pipeline.receivers {
            if !self.is_forward(&receiver.id) {
                add(&receiver.id, receiver.id.clone());
                continue;
            }
            for before in self.before(nth, &receiver.id) {
                let by = format!("{} -> {}", self.pipelines[before].id, receiver.id);
                for (root, ways) in self.roots(before, known) {
                    for way in ways {
                        add(
                            &root,
                            if way == root {
                                by.clone()
                            } else {
                                format!("{way} -> {by}")
                            },
                        );
                    }
                }
            }
        }
        known[nth] = Some(roots.clone());
        roots
    }

    /// The pipelines that hand to the pipeline `nth` by the connector `forward`.
    fn before(&self, nth: usize, forward: &str) -> impl Iterator<Item = usize> {
        let carries = self.pipelines[nth].carries;
        let all = self.pipelines.iter().enumerate();
        all.filter(move |(_, it)| it.feeds(forward) && it.carries == carries)
            .map(|(nth, _)| nth)
    }

    /// A sampler in a pipeline whose telemetry is counted only in a later one would run before the count.
    fn check_samplers_before(&self, tapped: &[usize]) {
        let mut waiting: Vec<(usize, usize)> = tapped.iter().map(|&nth| (nth, nth)).collect();
        let mut seen = BTreeSet::new();
        while let Some((nth, counts)) = waiting.pop() {
            for receiver in &self.pipelines[nth].receivers {
                if self.is_forward(&receiver.id) {
                    let all = self.before(nth, &receiver.id).filter(|&it| seen.insert(it));
                    waiting.extend(all.map(|before| (before, counts)));
                }
            }
            let samplers = self.pipelines[nth].processors.iter();
            for sampler in samplers.filter(|it| nth != counts && self.samples(it)) {
                let counts = &self.pipelines[counts].id;
                let message = format!(
                    "`{}` samples what `{counts}` hands to error_budget: objectives are counted before anything \
                     is sampled, so put it into `{counts}`, where it runs behind the count wherever it stands",
                    sampler.id
                );
                let path = format!("{}.processors", self.pipelines[nth].path);
                self.report.problem(Some(sampler.at), &path, message);
            }
        }
    }

    fn samples(&self, it: &Reference) -> bool {
        matches!(self.processor(it), Some(Processor::ProbabilisticSampler(_)))
    }

    fn check_pair(&self, first: usize, second: usize, firsts: &Roots, seconds: &Roots) {
        let shared = firsts.keys().find(|root| seconds.contains_key(*root));
        let Some(root) = shared else { return };
        let other = &self.pipelines[first].id;
        if firsts[root] != seconds[root] {
            let message = format!(
                "what comes from `{root}` would be counted twice: `{other}` hands it to error_budget as well"
            );
            return self.refuse(second, "exporters", &message);
        }
        let edits = |nth: usize| {
            let processors = self.pipelines[nth].processors.iter();
            processors
                .filter(|it| self.edits(it))
                .map(|it| it.id.as_str())
                .collect::<Vec<_>>()
        };
        if edits(first) != edits(second) {
            let named = |nth| match edits(nth).as_slice() {
                [] => "none".to_owned(),
                edits => edits.join(", "),
            };
            let message = format!(
                "`{other}` shares `{root}` and error_budget, but edits otherwise ({}; here {}): a request is counted \
                 once, so give both the same edits, or hand only one of them to error_budget",
                named(first),
                named(second)
            );
            self.refuse(second, "processors", &message);
        }
    }

    fn processor(&self, it: &Reference) -> Option<&Processor> {
        let mut all = self.components.processors.iter();
        all.find(|known: &&Defined<Processor>| known.id == it.id)?
            .component
            .as_ref()
    }

    /// Whether the processor changes what is counted.
    fn edits(&self, it: &Reference) -> bool {
        matches!(
            self.processor(it),
            Some(
                Processor::Resource(_)
                    | Processor::Attributes(_)
                    | Processor::Filter(_)
                    | Processor::Transform(_)
            )
        )
    }

    /// No edit behind a sampler may change what it samples by.
    fn check_samplers(&self, pipeline: &Pipeline) {
        let mut read: Vec<(&str, &str)> = Vec::new();
        for reference in &pipeline.processors {
            let Some(processor) = self.processor(reference) else {
                continue;
            };
            if let Processor::ProbabilisticSampler(sampler) = processor {
                read.extend(looks_at(sampler, pipeline.carries).map(|key| (reference.id.as_str(), key)));
            }
            if let Some((sampler, key)) = read.iter().find(|(_, key)| changes(processor, key)) {
                let message = format!(
                    "`{}` stands behind `{sampler}` and changes `{key}`, which that samples by. \
                     Objectives are \
                     counted before anything is sampled, so edits come first: put it before the sampler \
                     if that is meant, or leave `{key}` alone",
                    reference.id
                );
                let path = format!("{}.processors", pipeline.path);
                self.report.problem(Some(reference.at), &path, message);
            }
        }
    }
}

/// Sources by the receivers and connectors through which they come.
type Roots = BTreeMap<String, BTreeSet<String>>;

/// The attributes that the sampler looks at.
fn looks_at(sampler: &ProbabilisticSampler, carries: Carries) -> impl Iterator<Item = &str> {
    let keys = match carries {
        Carries::Telemetry(PipelineKind::Traces) => [SPAN_PRIORITY, ""],
        _ => [
            sampler.sampling_priority.as_str(),
            sampler.from_attribute.as_str(),
        ],
    };
    keys.into_iter().filter(|key| !key.is_empty())
}

/// Whether the processor may change the attribute `key` of an item.
fn changes(processor: &Processor, key: &str) -> bool {
    match processor {
        Processor::Attributes(it) => acts_on(it, key),
        Processor::Transform(it) => {
            let mut texts = it.groups.iter().flat_map(|group| &group.statements);
            texts.any(|statement| statement.text.contains(key))
        }
        _ => false,
    }
}

fn acts_on(processor: &AttributesProcessor, key: &str) -> bool {
    let matches = |pattern: &str| regex::Regex::new(pattern).is_ok_and(|it| it.is_match(key));
    let names = |pattern: &str| {
        regex::Regex::new(pattern).is_ok_and(|it| it.capture_names().flatten().any(|name| name == key))
    };
    processor.actions.iter().any(|action| match &action.kind {
        ActionKind::Insert { key: own, .. }
        | ActionKind::Update { key: own, .. }
        | ActionKind::Upsert { key: own, .. }
        | ActionKind::Convert { key: own, .. } => own == key,
        ActionKind::Delete { key: own, pattern } | ActionKind::Hash { key: own, pattern } => {
            own.as_deref() == Some(key) || pattern.as_deref().is_some_and(matches)
        }
        ActionKind::Extract { pattern, .. } => names(pattern),
    })
}
