//! From the bytes of a request to the counts that it adds.
//!
//! [`Compiled`] is everything that policies and configuration say about counting, compiled for one walk over
//! the bytes. [`Tap`] holds the current one, which a reload swaps as a whole, and the registry, which
//! outlives it. Nothing here waits: the only lock guards the pointer to the compiled state and is held while
//! that is copied, once a batch.

mod outcome;

pub use outcome::TapOutcome;

use super::join::{self, Join, Shift};
use super::shapes::ShapeBook;
use super::signatures::{SignatureBook, SignatureSlots};
use super::spans::SpanSet;
use super::tail_watch::TailWatch;
use super::tally::{Settled, Tally};
use super::{Kinds, Ledger, WEIGHT_MAX};
use crate::cohort::{CohortId, Extractor, Level, NamedFlags, OriginSlots, Registry};
use crate::config::{Cohorts, Dedup, Join as JoinConfig, ReceiverLimits, Signatures};
use crate::pipeline::Signal;
use crate::sli::{DefaultObjective, EndpointSlots, ObjectiveSet, ObjectiveSpec, SliError};
use crate::time::UnixNanos;
use crate::wire::{
    KeyTable, KeyTableBuilder, Slot, WalkError, WalkLimits, WalkSummary, walk_logs, walk_traces,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

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
            signatures: SignatureSlots::compile(&mut keys),
            join: cohorts.join.clone(),
            sketches: cohorts.signatures.clone(),
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
        };
        tap.keep_places(&tap.compiled());
        tap
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

    /// What one ExportTraceServiceRequest adds. Of a request that is refused nothing is kept.
    pub fn process(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
    ) -> Result<TapOutcome, WalkError> {
        self.process_with(bytes, peer, now, |_| ())
    }

    /// Counts one ExportTraceServiceRequest.
    pub fn count(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
        ledger: &Mutex<Ledger>,
    ) -> Result<TapOutcome, WalkError> {
        self.process_with(bytes, peer, now, |outcome| commit(outcome, ledger, now))
    }

    fn process_with(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
        commit: impl FnOnce(&TapOutcome),
    ) -> Result<TapOutcome, WalkError> {
        let compiled = self.compiled();
        let spans = self.span_set(now);
        let mut tally =
            Tally::new(&compiled, Signal::Traces, now).remembering(self.join_of(&compiled), spans.as_deref());
        match walk_traces(bytes, &compiled.keys, &compiled.limits, &mut tally) {
            Ok(summary) => Ok(self.settle(tally, Signal::Traces, summary, peer, now, commit)),
            Err(refused) => {
                tally.abandon();
                Err(refused)
            }
        }
    }

    /// What one ExportLogsServiceRequest adds: its records as events of SLIs, and what they tell of flags.
    pub fn process_logs(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
    ) -> Result<TapOutcome, WalkError> {
        self.process_logs_with(bytes, peer, now, |_| ())
    }

    /// Counts one ExportLogsServiceRequest.
    pub fn count_logs(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
        ledger: &Mutex<Ledger>,
    ) -> Result<TapOutcome, WalkError> {
        self.process_logs_with(bytes, peer, now, |outcome| commit(outcome, ledger, now))
    }

    fn process_logs_with(
        &self,
        bytes: &[u8],
        peer: Option<SocketAddr>,
        now: UnixNanos,
        commit: impl FnOnce(&TapOutcome),
    ) -> Result<TapOutcome, WalkError> {
        let compiled = self.compiled();
        let mut tally = Tally::new(&compiled, Signal::Logs, now).remembering(self.join_of(&compiled), None);
        let summary = walk_logs(bytes, &compiled.keys, &compiled.limits, &mut tally)?;
        Ok(self.settle(tally, Signal::Logs, summary, peer, now, commit))
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

    /// From a tally to what the batch adds, which the gateway's own metrics also tell of; the same for every
    /// signal. `commit` puts it where it counts.
    fn settle(
        &self,
        tally: Tally<'_, '_>,
        signal: Signal,
        summary: WalkSummary,
        peer: Option<SocketAddr>,
        now: UnixNanos,
        commit: impl FnOnce(&TapOutcome),
    ) -> TapOutcome {
        // A port is new with each connection and would make every one a source of its own.
        let peer = peer.map(|peer| peer.ip().to_string());
        let compiled = tally.compiled();
        let Settled {
            series,
            evidence,
            weights,
            signs,
            stats,
            overflow,
            problems,
            batch,
            signatures,
            shapes,
            told,
        } = tally.finish(&self.registry, now, peer.as_deref());
        let mut outcome = TapOutcome {
            series,
            evidence,
            weights,
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
