//! From the bytes of a request to the counts that it adds.
//!
//! [`Compiled`] is everything that policies and configuration say about counting, compiled for one walk over
//! the bytes. [`Tap`] holds the current one, which a reload swaps as a whole, and the registry, which
//! outlives it. Nothing here waits: the only lock guards the pointer to the compiled state and is held while
//! that is copied, once a batch.

use super::tail_watch::TailWatch;
use super::tally::{Settled, Tally, TallyStats};
use super::{EvidenceDelta, Kinds, SeriesDelta, WEIGHT_MAX, WeightDelta};
use crate::cohort::{CohortId, Extractor, Level, NamedFlags, OriginSlots, Registry};
use crate::config::{Cohorts, ReceiverLimits};
use crate::indicate::{Indicators, MetricWatches, Plan, SpanWatches};
use crate::pipeline::Signal;
use crate::sli::{DefaultObjective, EndpointSlots, ObjectiveSet, ObjectiveSpec, SliError};
use crate::time::UnixNanos;
use crate::wire::{KeyTable, KeyTableBuilder, Slot, WalkError, WalkLimits, WalkSummary, walk_traces};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// See [`Compiled::tail_marks`].
const TAIL_MARKS: [&str; 2] = ["tailsampling.policy", "tailsampling.composite_policy"];

/// What one request adds, and what it had that could not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOutcome {
    /// Budget series, a row for each (objective, cohort, bucket), in that order.
    pub series: Vec<SeriesDelta>,
    /// Evidence cells, each once.
    pub evidence: Vec<EvidenceDelta>,
    /// What sampled events stand for beyond themselves: a row for each series and cell that saw any.
    pub weights: Vec<WeightDelta>,
    /// What the walk saw.
    pub summary: WalkSummary,
    /// What the tally saw: spans judged, late, in the future, without a duration ...
    pub stats: TallyStats,
    /// Events of which a cohort lay beyond a cap, by cap.
    pub overflow: BTreeMap<&'static str, u64>,
    /// Pieces of cohort evidence that could not be used, by what was wrong.
    pub problems: BTreeMap<&'static str, u64>,
}

impl TapOutcome {
    /// Counts what is unusual in the gateway's own metrics.
    fn publish(&self) {
        let count = |name: &'static str, n: u64| {
            if n > 0 {
                metrics::counter!(name).increment(n);
            }
        };
        count("burngate_spans_judged_total", self.stats.judged);
        count("burngate_spans_late_total", self.stats.late);
        count("burngate_spans_future_total", self.stats.future);
        count(
            "burngate_spans_invalid_duration_total",
            self.stats.invalid_durations,
        );
        count("burngate_spans_unknown_service_total", self.stats.unknown_service);
        count(
            "burngate_spans_flag_evaluation_total",
            self.stats.evaluation_spans,
        );
        count("burngate_walk_excess_total", self.summary.excess);
        count("burngate_spans_sampled_total", self.stats.sampled);
        for (kind, times) in [
            ("inconsistent", self.stats.inconsistent_weights),
            ("capped", self.stats.capped_weights),
            ("weightless", self.stats.weightless),
        ] {
            if times > 0 {
                metrics::counter!("burngate_spans_sampling_problems_total", "kind" => kind).increment(times);
            }
        }
        for (cap, events) in &self.overflow {
            metrics::counter!("burngate_cohort_overflow_events_total", "cap" => *cap).increment(*events);
        }
        for (kind, times) in &self.problems {
            metrics::counter!("burngate_cohort_problems_total", "kind" => *kind).increment(*times);
        }
    }
}

impl Kinds for Registry {
    fn is_total(&self, cohort: CohortId) -> bool {
        self.key(cohort).is_some_and(|key| key.level == Level::Total)
    }
}

/// Everything that a policy file and a configuration say about counting, compiled; immutable.
#[derive(Debug)]
pub struct Compiled {
    keys: KeyTable,
    limits: WalkLimits,
    pub(super) objectives: ObjectiveSet,
    pub(super) extractor: Extractor,
    pub(super) origin: OriginSlots,
    pub(super) endpoint: EndpointSlots,
    /// Attributes of scopes by which the Collector's tail sampler marks what it kept.
    pub(super) tail_marks: [Slot; 2],
    /// Largest weight that is believed.
    pub(super) weight_max: u32,
    /// Indicators over spans.
    pub(super) watches: SpanWatches,
    /// Indicators over metrics.
    points: MetricWatches,
    /// Services that a policy names.
    services: Vec<Arc<str>>,
}

impl Compiled {
    /// Compiles objectives (and the `default` of services without a policy), the flags that policies name,
    /// and the rules of cohorts into one table of attribute keys.
    pub fn compile(
        objectives: &[ObjectiveSpec],
        default: Option<&DefaultObjective>,
        named: NamedFlags,
        cohorts: &Cohorts,
        limits: &ReceiverLimits,
    ) -> Result<Self, SliError> {
        Self::with_indicators(objectives, default, named, cohorts, limits, &Arc::default())
    }

    /// The same with leading indicators.
    pub fn with_indicators(
        objectives: &[ObjectiveSpec],
        default: Option<&DefaultObjective>,
        named: NamedFlags,
        cohorts: &Cohorts,
        limits: &ReceiverLimits,
        indicators: &Arc<Plan>,
    ) -> Result<Self, SliError> {
        let mut keys = KeyTableBuilder::default();
        let services = objectives.iter().map(|spec| spec.name.service.clone()).collect();
        let objectives = ObjectiveSet::compile(objectives, default, &mut keys)?;
        let limits = WalkLimits {
            spans_max: limits.max_items,
            attributes_max: limits.max_attributes,
            events_max: limits.max_events,
            nesting_max: limits.max_nesting,
        };
        Ok(Self {
            objectives,
            extractor: Extractor::compile(cohorts, named, &mut keys),
            origin: OriginSlots::compile(cohorts, &mut keys),
            endpoint: EndpointSlots::compile(&mut keys),
            tail_marks: TAIL_MARKS.map(|name| keys.key(name)),
            weight_max: cohorts.max_weight.min(WEIGHT_MAX),
            watches: SpanWatches::compile(indicators, &mut keys),
            points: MetricWatches::compile(indicators, cohorts, limits),
            limits,
            keys: keys.build(),
            services,
        })
    }
}

/// See the module's words.
#[derive(Debug)]
pub struct Tap {
    compiled: RwLock<Arc<Compiled>>,
    registry: Arc<Registry>,
    tail_watch: TailWatch,
    indicators: Option<Arc<Indicators>>,
}

impl Tap {
    /// A tap on `registry`.
    pub fn new(compiled: Compiled, registry: Arc<Registry>) -> Self {
        let tap = Self {
            compiled: RwLock::new(Arc::new(compiled)),
            registry,
            tail_watch: TailWatch::default(),
            indicators: None,
        };
        tap.keep_places(&tap.compiled());
        tap
    }

    /// Hands what spans say for leading indicators to `indicators`.
    #[must_use]
    pub fn telling(mut self, indicators: Arc<Indicators>) -> Self {
        self.indicators = Some(indicators);
        self
    }

    /// Puts a newly compiled state in place; batches under way finish with the old one.
    pub fn swap(&self, compiled: Compiled) {
        self.keep_places(&compiled);
        *self.compiled.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(compiled);
    }

    fn keep_places(&self, compiled: &Compiled) {
        compiled
            .services
            .iter()
            .for_each(|service| self.registry.keep_place(service));
    }

    /// The state in use.
    pub fn compiled(&self) -> Arc<Compiled> {
        Arc::clone(&self.compiled.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The registry that resolves the handles of the outcome.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Takes what one ExportMetricsServiceRequest says for leading indicators.
    pub fn watch_metrics(&self, bytes: &[u8], now: UnixNanos) -> Result<(), WalkError> {
        if let Some(indicators) = &self.indicators {
            indicators.absorb(now, self.compiled().points.walk(bytes)?);
        }
        Ok(())
    }

    /// Counts one ExportTraceServiceRequest. Of a request that is refused nothing is kept.
    pub fn process(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
    ) -> Result<TapOutcome, WalkError> {
        let compiled = self.compiled();
        let mut tally = Tally::new(&compiled, Signal::Traces, now);
        let summary = walk_traces(bytes, &compiled.keys, &compiled.limits, &mut tally)?;
        if let Some(indicators) = &self.indicators {
            indicators.absorb(now, tally.take_watched());
        }
        Ok(self.settle(tally, summary, peer, now))
    }

    /// From a tally to what the batch adds, which the gateway's own metrics also tell of; the same for every
    /// signal.
    fn settle(
        &self,
        tally: Tally<'_, '_>,
        summary: WalkSummary,
        peer: Option<SocketAddr>,
        now: UnixNanos,
    ) -> TapOutcome {
        // A port is new with each connection and would make every one a source of its own.
        let peer = peer.map(|peer| peer.ip().to_string());
        let Settled {
            series,
            evidence,
            weights,
            signs,
            stats,
            overflow,
            problems,
        } = tally.finish(&self.registry, now, peer.as_deref());
        let outcome = TapOutcome {
            series,
            evidence,
            weights,
            summary,
            stats,
            overflow,
            problems,
        };
        outcome.publish();
        if !signs.is_empty() {
            let signs = signs.iter().map(|(service, signs)| (service.as_str(), *signs));
            self.tail_watch.note(now, signs);
        }
        outcome
    }
}
