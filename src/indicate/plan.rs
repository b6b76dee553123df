//! Everything that is declared, compiled: which service has which indicators, and what they read.
//!
//! Problem: hundreds of services with dozens of indicators read largely the same metrics. Property wanted: a
//! metric is matched by one look-up of its name, and what several indicators read alike is kept once. So
//! sources become *selectors*, interned by what they select; formulas are trees over numbers of selectors;
//! and what a service has is worked out once, when it is first seen.

use super::formula::{Formula, Measure, Operator, Origin, Shape, Source, Trend};
use super::name::{Part, stems};
use super::spec::{IndicatorSpec, Layer};
use crate::sli::expr::{Expr, Field};
use crate::sli::is_pattern;
use hashbrown::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Number of a selector in its [`Plan`].
pub(super) type SelectorIndex = u16;
/// Number of a definition in its [`Plan`].
pub(super) type DefinitionIndex = u16;

/// Selectors that a plan may have: what lies beyond is refused, see [`PlanError`].
const SELECTORS_MAX: usize = 16_384;
/// A service and its environment.
pub(super) type ScopeKey = (Arc<str>, Option<Arc<str>>);

/// Services and environments whose indicators are remembered; more are worked out each time.
const SCOPES_MAX: usize = 10_000;

/// What is measured, of which items, and what of it is kept.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) origin: Origin,
    /// All must hold.
    pub(super) conditions: Vec<Expr>,
    pub(super) shape: Shape,
    /// Of [`Shape::Keyed`]: the attribute.
    pub(super) key: Option<Field>,
    pub(super) by: Vec<Field>,
    /// How far back samples are needed.
    pub(super) reach_secs: u64,
    /// What tells it from every other, also over a reload.
    pub(super) identity: Arc<str>,
    /// For people.
    pub(super) shown: Arc<str>,
}

/// A formula over selectors.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Number(f64),
    Negative(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    First(Vec<Node>),
    /// A rate if `per_second`, else an increase.
    Flow {
        of: SelectorIndex,
        secs: u64,
        per_second: bool,
    },
    Level {
        of: SelectorIndex,
        measure: Measure,
        secs: Option<u64>,
    },
    Quantile {
        q: f64,
        of: SelectorIndex,
        secs: u64,
        at_least: f64,
    },
    Share {
        part: SelectorIndex,
        whole: SelectorIndex,
        secs: u64,
        at_least: f64,
    },
    Top {
        of: SelectorIndex,
        secs: u64,
        at_least: f64,
    },
    Trend(Trend, Box<Node>, u64),
}

/// One indicator, compiled.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub(super) spec: Arc<IndicatorSpec>,
    pub(super) node: Node,
    /// What it reads, each once.
    pub(super) selectors: Vec<SelectorIndex>,
    pub(super) built_in: bool,
}

/// What one service has in one environment.
#[derive(Debug, Default)]
pub(super) struct ScopePlan {
    pub(super) definitions: Vec<DefinitionIndex>,
    /// What of it reads metrics; sorted.
    pub(super) metrics: Vec<SelectorIndex>,
    /// What of it reads spans; sorted.
    pub(super) spans: Vec<SelectorIndex>,
}

/// See the module's words. Immutable; a reload puts another in its place.
#[derive(Debug)]
pub struct Plan {
    pub(super) definitions: Box<[Definition]>,
    pub(super) selectors: Box<[Selector]>,
    /// Selectors of metrics by what is left of a name when suffixes are taken off.
    pub(super) names: HashMap<String, Vec<(SelectorIndex, Part)>>,
    /// Built-ins that every service has.
    everywhere: Vec<DefinitionIndex>,
    layers: Vec<CompiledLayer>,
    scopes: RwLock<HashMap<ScopeKey, Arc<ScopePlan>>>,
}

#[derive(Debug)]
struct CompiledLayer {
    service: Arc<str>,
    pattern: Option<globset::GlobMatcher>,
    environment: Option<Arc<str>>,
    definitions: Vec<DefinitionIndex>,
    off: Vec<Arc<str>>,
}

/// Why indicators cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than can be numbered.
    #[error(
        "{count} different metrics and span selections in indicators, at most {SELECTORS_MAX} are possible"
    )]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A service's glob.
    #[error("the service {service:?} of an indicator is no glob: {problem}")]
    Glob {
        /// As written.
        service: Arc<str>,
        /// What is wrong.
        problem: String,
    },
}

impl Default for Plan {
    fn default() -> Self {
        Builder::default().finish(Vec::new(), Vec::new())
    }
}

impl Plan {
    /// Compiles built-ins for every service, and what policies say: `layers`, the closest service text first.
    pub fn compile(everywhere: &[Arc<IndicatorSpec>], layers: &[Layer]) -> Result<Self, PlanError> {
        let mut builder = Builder::default();
        let common = everywhere.iter().map(|spec| builder.define(spec, true)).collect();
        let mut compiled = Vec::new();
        for layer in layers {
            let pattern = if is_pattern(&layer.service) {
                let glob = globset::Glob::new(&layer.service).map_err(|error| PlanError::Glob {
                    service: layer.service.clone(),
                    problem: error.kind().to_string(),
                })?;
                Some(glob.compile_matcher())
            } else {
                None
            };
            compiled.push(CompiledLayer {
                service: layer.service.clone(),
                pattern,
                environment: layer.environment.clone(),
                definitions: layer
                    .indicators
                    .iter()
                    .map(|spec| builder.define(spec, false))
                    .collect(),
                off: layer.off.clone(),
            });
        }
        let count = builder.selectors.len().max(builder.definitions.len());
        if count > SELECTORS_MAX {
            return Err(PlanError::TooMany { count });
        }
        Ok(builder.finish(common, compiled))
    }

    /// Whether nobody has any indicator.
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// Whether some indicator reads spans.
    pub(super) fn reads_spans(&self) -> bool {
        self.selectors
            .iter()
            .any(|selector| selector.origin == Origin::Spans)
    }

    /// Services that policies name exactly, with their environments: their indicators are shown before any
    /// telemetry came.
    pub(super) fn declared(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, &Option<Arc<str>>, &[DefinitionIndex])> {
        let exact = self.layers.iter().filter(|layer| layer.pattern.is_none());
        exact.map(|layer| (&layer.service, &layer.environment, &*layer.definitions))
    }

    /// What a service has in an environment.
    pub(super) fn scope(&self, service: &str, environment: Option<&str>) -> Arc<ScopePlan> {
        let key: ScopeKey = (service.into(), environment.map(Into::into));
        if let Some(known) = self
            .scopes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return known.clone();
        }
        let plan = Arc::new(self.work_out(service, environment));
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        if scopes.len() < SCOPES_MAX {
            scopes.insert(key, plan.clone());
        }
        plan
    }

    /// As with objectives: the closest service text with a policy for the environment decides alone.
    fn work_out(&self, service: &str, environment: Option<&str>) -> ScopePlan {
        let matching = |layer: &&CompiledLayer| {
            let named = match &layer.pattern {
                None => &*layer.service == service,
                Some(glob) => glob.is_match(service),
            };
            named
                && layer
                    .environment
                    .as_deref()
                    .is_none_or(|own| environment == Some(own))
        };
        let closest = self.layers.iter().find(matching).map(|layer| &layer.service);
        let ours = |layer: &&CompiledLayer| Some(&layer.service) == closest && matching(layer);
        let mut definitions: Vec<DefinitionIndex> = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for layer in self.layers.iter().filter(ours) {
            names.extend(layer.off.iter().map(|name| &**name));
            for index in &layer.definitions {
                let name = self.name(*index);
                if !names.contains(&name) {
                    names.push(name);
                    definitions.push(*index);
                }
            }
        }
        definitions.extend(
            self.everywhere
                .iter()
                .filter(|index| !names.contains(&self.name(**index))),
        );
        let mut all: Vec<SelectorIndex> = definitions
            .iter()
            .filter_map(|index| self.definitions.get(usize::from(*index)))
            .flat_map(|definition| definition.selectors.iter().copied())
            .collect();
        all.sort_unstable();
        all.dedup();
        let is_spans = |index: &SelectorIndex| {
            let selector = self.selectors.get(usize::from(*index));
            selector.is_some_and(|it| it.origin == Origin::Spans)
        };
        let (spans, metrics) = all.into_iter().partition(is_spans);
        ScopePlan {
            definitions,
            metrics,
            spans,
        }
    }

    fn name(&self, index: DefinitionIndex) -> &str {
        self.definitions
            .get(usize::from(index))
            .map_or("", |it| &it.spec.name)
    }
}

#[derive(Default)]
struct Builder {
    definitions: Vec<Definition>,
    selectors: Vec<Selector>,
    known: HashMap<Arc<str>, SelectorIndex>,
}

impl Builder {
    fn define(&mut self, spec: &Arc<IndicatorSpec>, built_in: bool) -> DefinitionIndex {
        let mut reader = Reader {
            builder: self,
            by: &spec.by,
            read: Vec::new(),
        };
        let node = reader.node(&spec.value, 0);
        let mut selectors = reader.read;
        selectors.sort_unstable();
        selectors.dedup();
        let index = u16::try_from(self.definitions.len()).unwrap_or(u16::MAX);
        self.definitions.push(Definition {
            spec: spec.clone(),
            node,
            selectors,
            built_in,
        });
        index
    }

    fn finish(self, everywhere: Vec<DefinitionIndex>, layers: Vec<CompiledLayer>) -> Plan {
        let mut names: HashMap<String, Vec<(SelectorIndex, Part)>> = HashMap::new();
        for (index, selector) in (0..).zip(&self.selectors) {
            if let Origin::Metric(name) = &selector.origin {
                for (stem, part) in stems(name, selector.shape) {
                    names.entry(stem).or_default().push((index, part));
                }
            }
        }
        Plan {
            definitions: self.definitions.into(),
            selectors: self.selectors.into(),
            names,
            everywhere,
            layers,
            scopes: RwLock::default(),
        }
    }
}

/// Compiles the formula of one indicator.
struct Reader<'b> {
    builder: &'b mut Builder,
    by: &'b [Field],
    read: Vec<SelectorIndex>,
}

impl Reader<'_> {
    fn node(&mut self, formula: &Formula, outer: u64) -> Node {
        let secs = |source: &Source| source.window_secs.unwrap_or(0);
        match formula {
            Formula::Number(number) => Node::Number(*number),
            Formula::Negative(inner) => Node::Negative(Box::new(self.node(inner, outer))),
            Formula::Binary(operator, left, right) => Node::Binary(
                *operator,
                Box::new(self.node(left, outer)),
                Box::new(self.node(right, outer)),
            ),
            Formula::First(all) => Node::First(all.iter().map(|one| self.node(one, outer)).collect()),
            Formula::Measure(measure, source) => {
                let of = self.select(source, measure.shape(), None, None, outer);
                match measure {
                    Measure::Rate | Measure::Increase => Node::Flow {
                        of,
                        secs: secs(source),
                        per_second: *measure == Measure::Rate,
                    },
                    _ => Node::Level {
                        of,
                        measure: *measure,
                        secs: source.window_secs,
                    },
                }
            }
            Formula::Quantile { q, source, at_least } => Node::Quantile {
                q: *q,
                of: self.select(source, Shape::Distribution, None, None, outer),
                secs: secs(source),
                at_least: *at_least,
            },
            Formula::Share { of, source, at_least } => Node::Share {
                part: self.select(source, Shape::Flow, Some(of), None, outer),
                whole: self.select(source, Shape::Flow, None, None, outer),
                secs: secs(source),
                at_least: *at_least,
            },
            Formula::TopShare {
                key,
                source,
                at_least,
            } => Node::Top {
                of: self.select(source, Shape::Keyed, None, Some(key), outer),
                secs: secs(source),
                at_least: *at_least,
            },
            Formula::Trend(trend, inner, secs) => {
                Node::Trend(*trend, Box::new(self.node(inner, outer + secs)), *secs)
            }
        }
    }

    /// The number of a selector; equal ones share it, and the longest reach.
    fn select(
        &mut self,
        source: &Source,
        shape: Shape,
        also: Option<&Expr>,
        key: Option<&Field>,
        outer: u64,
    ) -> SelectorIndex {
        let conditions: Vec<Expr> = source.condition.iter().chain(also).cloned().collect();
        let reach_secs = source.window_secs.unwrap_or(0) + outer;
        let shown = match conditions.as_slice() {
            [] => source.origin.to_string(),
            all => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                format!("{}{{{}}}", source.origin, all.join(", "))
            }
        };
        let by: Vec<String> = self.by.iter().map(ToString::to_string).collect();
        let key_text = key.map(ToString::to_string).unwrap_or_default();
        let identity: Arc<str> = format!("{shape:?} {shown} key {key_text:?} by {by:?}").into();
        let next = u16::try_from(self.builder.selectors.len()).unwrap_or(u16::MAX);
        let index = *self.builder.known.entry(identity.clone()).or_insert(next);
        if let Some(known) = self.builder.selectors.get_mut(usize::from(index)) {
            known.reach_secs = known.reach_secs.max(reach_secs);
        } else {
            self.builder.selectors.push(Selector {
                origin: source.origin.clone(),
                conditions,
                shape,
                key: key.cloned(),
                by: self.by.to_vec(),
                reach_secs,
                identity,
                shown: shown.into(),
            });
        }
        self.read.push(index);
        index
    }
}
