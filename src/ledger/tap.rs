//! From the bytes of a request to the counts that it adds.
//!
//! [`Compiled`] is everything that policies and configuration say about counting, compiled for one walk over
//! the bytes. [`Tap`] holds the current one, which a reload swaps as a whole, and the registry, which
//! outlives it. Nothing here waits: the only lock guards the pointer to the compiled state and is held while
//! that is copied, once a batch.

use super::points::{PointStats, Qualities, StreamLimits, Streams, slice_rows};
use super::tail_watch::TailWatch;
use super::tally::{PointTally, PointsSettled, Settled, Tally, TallyStats};
use super::{EvidenceDelta, Kinds, SeriesDelta, WEIGHT_MAX, WeightDelta};
use crate::cohort::{CohortId, Extractor, Level, NamedFlags, OriginSlots, Registry};
use crate::config::{Cohorts, ReceiverLimits};
use crate::pipeline::Signal;
use crate::sli::{DefaultObjective, EndpointSlots, ObjectiveIndex, ObjectiveSet, ObjectiveSpec, SliError};
use crate::time::UnixNanos;
use crate::wire::{
    Attributes, KeyTable, KeyTableBuilder, Slot, Value, WalkError, WalkLimits, WalkSummary, walk_metrics,
    walk_traces,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

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
    /// What became of points of metrics.
    pub points: PointStats,
}

impl TapOutcome {
    fn of(settled: Settled, summary: WalkSummary) -> Self {
        let Settled {
            series,
            evidence,
            weights,
            signs: _,
            stats,
            overflow,
            problems,
        } = settled;
        Self {
            series,
            evidence,
            weights,
            summary,
            stats,
            overflow,
            problems,
            points: PointStats::default(),
        }
    }

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
        self.points.publish();
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
    /// `otel.metric.overflow`.
    overflow: Slot,
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
        let mut keys = KeyTableBuilder::default();
        let services = objectives.iter().map(|spec| spec.name.service.clone()).collect();
        let objectives = ObjectiveSet::compile(objectives, default, &mut keys)?;
        Ok(Self {
            objectives,
            extractor: Extractor::compile(cohorts, named, &mut keys),
            origin: OriginSlots::compile(cohorts, &mut keys),
            endpoint: EndpointSlots::compile(&mut keys),
            tail_marks: TAIL_MARKS.map(|name| keys.key(name)),
            weight_max: cohorts.max_weight.min(WEIGHT_MAX),
            overflow: keys.key("otel.metric.overflow"),
            limits: WalkLimits {
                spans_max: limits.max_items,
                attributes_max: limits.max_attributes,
                events_max: limits.max_events,
                nesting_max: limits.max_nesting,
            },
            keys: keys.build(),
            services,
        })
    }

    /// Whether a point holds what an SDK had no room to tell apart.
    pub(super) fn is_overflow(&self, attributes: &Attributes<'_>) -> bool {
        let value = attributes.get(self.overflow).and_then(|value| value.value().ok());
        value.is_some_and(|value| matches!(value, Value::Bool(true) | Value::Str(b"true")))
    }

    /// See [`ObjectiveSet::watch_of`].
    pub(super) fn watch_of(&self, objective: ObjectiveIndex) -> Option<u64> {
        self.objectives.watch_of(objective)
    }
}

/// See the module's words.
#[derive(Debug)]
pub struct Tap {
    compiled: RwLock<Arc<Compiled>>,
    registry: Arc<Registry>,
    tail_watch: TailWatch,
    streams: Arc<Mutex<Streams>>,
    qualities: Arc<Qualities>,
}

impl Tap {
    /// A tap on `registry`.
    pub fn new(compiled: Compiled, registry: Arc<Registry>) -> Self {
        let tap = Self {
            compiled: RwLock::new(Arc::new(compiled)),
            registry,
            tail_watch: TailWatch::default(),
            streams: Arc::new(Mutex::new(Streams::new(StreamLimits::default()))),
            qualities: Arc::default(),
        };
        tap.keep_places(&tap.compiled());
        tap
    }

    /// The streams of metrics, which a store keeps with the counts: it must lock them before the ledger, and
    /// until it has taken what it writes of both.
    pub fn streams(&self) -> &Arc<Mutex<Streams>> {
        &self.streams
    }

    /// How exactly SLIs from metrics are known.
    pub fn qualities(&self) -> &Arc<Qualities> {
        &self.qualities
    }

    /// Watches the objectives of the state in use from `now` on; those that were watched before stay so.
    /// Until this is called every stream counts from its own beginning, as a replay wants it.
    pub fn watch(&self, now: UnixNanos) {
        let watches = self.compiled().objectives.metric_watches();
        self.lock_streams().watch(&watches, now);
    }

    fn lock_streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
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
        Ok(self.settle(tally, summary, peer, now))
    }

    /// Counts one ExportMetricsServiceRequest. `absorb` takes what it adds into the ledger while the streams
    /// are still locked, so that a store never sees one without the other. Of a request that is refused
    /// nothing is kept.
    pub fn process_metrics(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
        absorb: impl FnOnce(&TapOutcome),
    ) -> Result<TapOutcome, WalkError> {
        let compiled = self.compiled();
        let mut tally = PointTally::new(&compiled, now);
        let summary = walk_metrics(bytes, &compiled.keys, &compiled.limits, &mut tally)?;
        let peer = peer.map(|peer| peer.ip().to_string());
        let mut streams = self.lock_streams();
        let PointsSettled {
            settled,
            stats,
            quality,
        } = tally.finish(&mut streams, &self.registry, now, peer.as_deref());
        let outcome = TapOutcome {
            points: stats,
            ..TapOutcome::of(settled, summary)
        };
        absorb(&outcome);
        drop(streams);
        self.qualities.note(quality, now);
        outcome.publish();
        Ok(outcome)
    }

    /// Closes the slices of time whose end has come, and forgets streams that nobody sends. `absorb` is as in
    /// [`Tap::process_metrics`].
    pub fn tick(&self, now: UnixNanos, absorb: impl FnOnce(&[SeriesDelta])) {
        let mut streams = self.lock_streams();
        let events = streams.close_slices(now);
        if !events.is_empty() {
            absorb(&slice_rows(&events, &self.registry, now));
        }
        streams.sweep(now);
        metrics::gauge!("burngate_metric_streams").set(streams.len() as f64);
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
        let mut settled = tally.finish(&self.registry, now, peer.as_deref());
        let signs = std::mem::take(&mut settled.signs);
        let outcome = TapOutcome::of(settled, summary);
        outcome.publish();
        if !signs.is_empty() {
            let signs = signs.iter().map(|(service, signs)| (service.as_str(), *signs));
            self.tail_watch.note(now, signs);
        }
        outcome
    }
}
