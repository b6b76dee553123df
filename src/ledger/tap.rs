//! From the bytes of a request to the counts that it adds.
//!
//! [`Compiled`] is everything that policies and configuration say about counting, compiled for one walk over
//! the bytes. [`Tap`] holds the current one, which a reload swaps as a whole, and the registry, which
//! outlives it. Nothing here waits: the only lock guards the pointer to the compiled state and is held while
//! that is copied, once a batch.

mod outcome;

pub use outcome::TapOutcome;

use super::join::{self, Join, Shift};
use super::points::{Qualities, StreamLimits, Streams, slice_rows};
use super::sender::Sender;
use super::shapes::ShapeBook;
use super::signatures::{SignatureBook, SignatureSlots};
use super::spans::SpanSet;
use super::tail_watch::TailWatch;
use super::tally::{PointTally, PointsSettled, Settled, Tally};
use super::{Kinds, Ledger, SeriesDelta, WEIGHT_MAX};
use crate::cohort::{CohortId, Extractor, Level, NamedFlags, OriginSlots, Registry, Trust};
use crate::config::{Cohorts, Dedup, Join as JoinConfig, ReceiverLimits, Signatures};
use crate::indicate::{Indicators, MetricWatches, Plan, SpanWatches};
use crate::pipeline::Signal;
use crate::sli::{DefaultObjective, EndpointSlots, ObjectiveIndex, ObjectiveSet, ObjectiveSpec, SliError};
use crate::time::UnixNanos;
use crate::wire::{
    Attributes, KeyTable, KeyTableBuilder, Slot, Value, WalkError, WalkLimits, WalkSummary, walk_logs,
    walk_metrics, walk_traces,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// See [`Compiled::tail_marks`].
const TAIL_MARKS: [&str; 2] = ["tailsampling.policy", "tailsampling.composite_policy"];

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
    pub(super) signatures: SignatureSlots,
    join: JoinConfig,
    sketches: Signatures,
    /// `otel.metric.overflow`.
    overflow: Slot,
    /// `event.name`, where a record's event name stood before it had a field of its own.
    pub(super) event_name: Slot,
    /// Indicators over spans.
    pub(super) watches: SpanWatches,
    /// Indicators over metrics.
    points: MetricWatches,
    /// Services that a policy names.
    services: Vec<Arc<str>>,
    /// Whose word is evidence.
    pub(super) trust: Trust,
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
            signatures: SignatureSlots::compile(&mut keys),
            join: cohorts.join.clone(),
            sketches: cohorts.signatures.clone(),
            overflow: keys.key("otel.metric.overflow"),
            event_name: keys.key("event.name"),
            watches: SpanWatches::compile(indicators, &mut keys),
            points: MetricWatches::compile(indicators, cohorts, limits),
            limits,
            keys: keys.build(),
            services,
            trust: Trust::default(),
        })
    }

    /// The same, believing these.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
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
    join: Join,
    signatures: Arc<SignatureBook>,
    shapes: Arc<ShapeBook>,
    span_set: RwLock<Option<Arc<SpanSet>>>,
    streams: Arc<Mutex<Streams>>,
    qualities: Arc<Qualities>,
    indicators: Option<Arc<Indicators>>,
}

impl Tap {
    /// A tap on `registry`.
    pub fn new(compiled: Compiled, registry: Arc<Registry>) -> Self {
        Self::started_at(UnixNanos(0), compiled, registry)
    }

    /// A tap of a process that started at `now`: evidence from before is told apart.
    pub fn started_at(now: UnixNanos, compiled: Compiled, registry: Arc<Registry>) -> Self {
        let tap = Self {
            compiled: RwLock::new(Arc::new(compiled)),
            registry,
            tail_watch: TailWatch::default(),
            join: Join::new(now),
            signatures: Arc::default(),
            shapes: Arc::default(),
            span_set: RwLock::default(),
            streams: Arc::new(Mutex::new(Streams::new(StreamLimits::default()))),
            qualities: Arc::default(),
            indicators: None,
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
    /// Until this is called every stream counts from its own beginning.
    pub fn watch(&self, now: UnixNanos) {
        let watches = self.compiled().objectives.metric_watches();
        self.lock_streams().watch(&watches, now);
    }

    /// From now on at most so many streams of metrics, for so long.
    pub fn limit_streams(&self, limits: StreamLimits) {
        self.lock_streams().set_limits(limits);
    }

    /// Watches the same objectives, but since `then`.
    pub fn watch_since(&self, then: UnixNanos) {
        let watches = self.compiled().objectives.metric_watches();
        let mut streams = self.lock_streams();
        streams.watch(&[], then);
        streams.watch(&watches, then);
    }

    fn lock_streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// What bad events have in common.
    pub fn signatures(&self) -> &Arc<SignatureBook> {
        &self.signatures
    }

    /// The shapes in which flags came.
    pub fn shapes(&self) -> &Arc<ShapeBook> {
        &self.shapes
    }

    /// Says whether spans that come again count again. A set that is there goes on with what it knows.
    pub fn set_dedup(&self, dedup: &Dedup) {
        let mut set = self.span_set.write().unwrap_or_else(PoisonError::into_inner);
        *set = match set.take() {
            _ if !dedup.spans => None,
            Some(same) if same.holds(dedup.max_spans, dedup.keep_secs) => Some(same),
            _ => Some(Arc::new(SpanSet::new(dedup.max_spans, dedup.keep_secs))),
        };
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

    /// What one ExportTraceServiceRequest adds. Of a request that is refused nothing is kept.
    pub fn process<'f>(
        &self,
        bytes: &[u8],
        from: impl Into<Sender<'f>>,
        now: UnixNanos,
    ) -> Result<TapOutcome, WalkError> {
        self.process_with(bytes, from.into(), now, |_| ())
    }

    /// Counts one ExportTraceServiceRequest.
    pub fn count<'f>(
        &self,
        bytes: &[u8],
        from: impl Into<Sender<'f>>,
        now: UnixNanos,
        ledger: &Mutex<Ledger>,
    ) -> Result<TapOutcome, WalkError> {
        self.process_with(bytes, from.into(), now, |outcome| commit(outcome, ledger, now))
    }

    fn process_with(
        &self,
        bytes: &[u8],
        from: Sender<'_>,
        now: UnixNanos,
        commit: impl FnOnce(&TapOutcome),
    ) -> Result<TapOutcome, WalkError> {
        let compiled = self.compiled();
        let spans = self.span_set(now);
        let mut tally =
            Tally::new(&compiled, Signal::Traces, now).remembering(self.join_of(&compiled), spans.as_deref());
        match walk_traces(bytes, &compiled.keys, &compiled.limits, &mut tally) {
            Ok(summary) => {
                if let Some(indicators) = &self.indicators {
                    indicators.absorb(now, tally.take_watched());
                }
                Ok(self.settle(tally, Signal::Traces, summary, from, now, commit))
            }
            Err(refused) => {
                tally.abandon();
                Err(refused)
            }
        }
    }

    /// What one ExportLogsServiceRequest adds: its records as events of SLIs, and what they tell of flags.
    pub fn process_logs<'f>(
        &self,
        bytes: &[u8],
        from: impl Into<Sender<'f>>,
        now: UnixNanos,
    ) -> Result<TapOutcome, WalkError> {
        self.process_logs_with(bytes, from.into(), now, |_| ())
    }

    /// Counts one ExportLogsServiceRequest.
    pub fn count_logs<'f>(
        &self,
        bytes: &[u8],
        from: impl Into<Sender<'f>>,
        now: UnixNanos,
        ledger: &Mutex<Ledger>,
    ) -> Result<TapOutcome, WalkError> {
        self.process_logs_with(bytes, from.into(), now, |outcome| commit(outcome, ledger, now))
    }

    fn process_logs_with(
        &self,
        bytes: &[u8],
        from: Sender<'_>,
        now: UnixNanos,
        commit: impl FnOnce(&TapOutcome),
    ) -> Result<TapOutcome, WalkError> {
        let compiled = self.compiled();
        let mut tally = Tally::new(&compiled, Signal::Logs, now).remembering(self.join_of(&compiled), None);
        let summary = walk_logs(bytes, &compiled.keys, &compiled.limits, &mut tally)?;
        Ok(self.settle(tally, Signal::Logs, summary, from, now, commit))
    }

    fn join_of(&self, compiled: &Compiled) -> Option<&Join> {
        join::is_on(&compiled.join).then_some(&self.join)
    }

    fn span_set(&self, now: UnixNanos) -> Option<Arc<SpanSet>> {
        let set = self
            .span_set
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        set.turn(now);
        Some(set)
    }

    /// Counts one ExportMetricsServiceRequest. `absorb` takes what it adds into the ledger while the streams
    /// are still locked, so that a store never sees one without the other. Of a request that is refused
    /// nothing is kept.
    pub fn process_metrics<'f>(
        &self,
        bytes: &[u8],
        from: impl Into<Sender<'f>>,
        now: UnixNanos,
        absorb: impl FnOnce(&TapOutcome),
    ) -> Result<TapOutcome, WalkError> {
        let compiled = self.compiled();
        let mut tally = PointTally::new(&compiled, now);
        let summary = walk_metrics(bytes, &compiled.keys, &compiled.limits, &mut tally)?;
        let from: Sender<'_> = from.into();
        let mut streams = self.lock_streams();
        let PointsSettled {
            settled,
            stats,
            quality,
        } = tally.finish(&mut streams, &self.registry, now, &from);
        let outcome = TapOutcome {
            series: settled.series,
            evidence: settled.evidence,
            joint: settled.joint,
            summary,
            stats: settled.stats,
            overflow: settled.overflow,
            problems: settled.problems,
            points: stats,
            ..TapOutcome::default()
        };
        absorb(&outcome);
        drop(streams);
        self.qualities.note(quality, now);
        self.shapes.absorb(now, &settled.shapes, &settled.told);
        outcome.publish(Signal::Metrics);
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
    /// signal. `commit` puts it where it counts.
    fn settle(
        &self,
        tally: Tally<'_, '_>,
        signal: Signal,
        summary: WalkSummary,
        from: Sender<'_>,
        now: UnixNanos,
        commit: impl FnOnce(&TapOutcome),
    ) -> TapOutcome {
        let compiled = tally.compiled();
        let Settled {
            series,
            evidence,
            joint,
            weights,
            latencies,
            signs,
            stats,
            overflow,
            problems,
            batch,
            signatures,
            shapes,
            told,
        } = tally.finish(&self.registry, now, &from);
        let mut outcome = TapOutcome {
            series,
            evidence,
            joint,
            weights,
            latencies,
            summary,
            stats,
            overflow,
            problems,
            signatures,
            ..TapOutcome::default()
        };
        if batch.is_empty() {
            commit(&outcome);
        } else {
            let mut ring = self.join.hold(&batch, now);
            let mut shift = Shift::new(&self.registry, now);
            ring.absorb(&batch, &compiled.join, &mut shift);
            outcome.joined = shift.joined();
            outcome.join = shift.stats;
            outcome.signatures.append(&mut shift.signatures);
            for (cap, events) in shift.overflow {
                *outcome.overflow.entry(cap).or_default() += events;
            }
            commit(&outcome);
            drop(ring);
        }
        self.signatures
            .absorb(now, &outcome.signatures, &compiled.sketches);
        self.shapes.absorb(now, &shapes, &told);
        outcome.publish(signal);
        if !signs.is_empty() {
            let signs = signs.iter().map(|(service, signs)| (service.as_str(), *signs));
            self.tail_watch.note(now, signs);
        }
        outcome
    }
}

fn commit(outcome: &TapOutcome, ledger: &Mutex<Ledger>, now: UnixNanos) {
    if outcome.changes_counts() {
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.absorb_into(&mut ledger, now);
    }
}
