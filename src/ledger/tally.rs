//! One batch's counts.
//!
//! Problem: a span belongs to a service's total, a deployment and several flag variants, for each of several
//! objectives; looking all of these up for each span would cost more than the walk. Property wanted: no
//! allocation, no lock and no parsing a span. So a span only finds its *group* (origin, deployment, flags,
//! endpoint, bucket, each a small number of this batch) and counts there; groups are resolved to cohorts
//! once, in [`Tally::finish`]. Spans come in runs, so the group of the last span is the first guess.
//!
//! Everything here ends with the batch, so an error in the walk leaves no trace. A batch has at most
//! [`GROUPS_MAX`] groups; spans beyond them count in one group for each origin and bucket, whose cohort is
//! the overflow: totals stay exact.

mod apart;
mod aside;
mod cohorts;
mod groups;
mod judging;
mod memo;
mod points;
mod records;
mod rows;
mod settle;
mod timed;
mod weigh;
mod work;

pub(super) use points::{PointTally, PointsSettled};
pub(super) use settle::Settled;

use super::BUCKET_SECS;
use super::join::{Join, id_of};
use super::spans::SpanSet;
use super::tail_watch::Signs;
use super::tap::Compiled;
use crate::cohort::{Inherited, Piece, RawOrigin, UNKNOWN_SERVICE};
use crate::indicate::{Collected, SpanCollector};
use crate::pipeline::Signal;
use crate::sli::{Judgement, ObjectiveIndex, ObjectiveSet, SpanContext};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use crate::wire::{AnyValue, Attributes, Event, Scope, Span, SpanSink};
use apart::{Apart, Counted};
use memo::{Memo, RunMemo};
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Groups of one batch; a thousand spans make a few dozen.
const GROUPS_MAX: usize = 4_096;

/// How long ago a span may have ended to count in the bucket of its end.
const EVENT_PAST_SECS: u64 = 300;

/// How far in the future a span may end to count in the bucket of its end.
const EVENT_FUTURE_SECS: u64 = 60;

const BUCKET_NANOS: u64 = BUCKET_SECS * NANOS_PER_SEC;

/// In a group's key: beyond [`GROUPS_MAX`].
const BEYOND: u32 = u32::MAX;

/// What a tally met, beside the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TallyStats {
    /// Spans that some objective counted.
    pub judged: u64,
    /// Of these, spans that ended too long ago: counted at their arrival.
    pub late: u64,
    /// Of these, spans that end in the future: counted at their arrival.
    pub future: u64,
    /// Spans that an objective would have counted, but that end before they start.
    pub invalid_durations: u64,
    /// Spans of resources without a usable `service.name`.
    pub unknown_service: u64,
    /// Spans and log records that are evaluations of flags, and so no requests.
    pub evaluation_spans: u64,
    /// Spans that a sampler kept, and that stand for more than themselves.
    pub sampled: u64,
    /// Spans that stand for none, by their tracestate: counted nowhere.
    pub weightless: u64,
    /// Tracestates that contradict themselves: their spans stand for themselves.
    pub inconsistent_weights: u64,
    /// Tracestates that claim more than is believed: their spans stand for the most.
    pub capped_weights: u64,
    /// Spans that an earlier request brought already, where that is watched.
    pub repeated_spans: u64,
}

/// The origin of spans.
#[derive(Debug)]
struct Source<'a, 'c> {
    service: Cow<'a, str>,
    environment: Option<Cow<'a, str>>,
    region: Option<Cow<'a, str>>,
    instance: Option<Cow<'a, str>>,
    candidates: &'c [ObjectiveIndex],
    named: Vec<Arc<str>>,
    /// What policies say of sampling, by candidate; empty when they say nothing.
    declared: Vec<Option<weigh::Declared>>,
    signs: Signs,
    /// The service, as the join knows it.
    id: u64,
    /// Its spans are noted, since flag evidence may come apart from them.
    watched: bool,
    details: timed::Details,
}

/// What spans of one group share, as numbers of this batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    origin: u32,
    deployment: u32,
    flags: u32,
    bucket: u64,
    endpoint: u32,
}

/// In whole words: a hasher takes a word as fast as a part of one.
impl Hash for GroupKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.flags) << 32 | u64::from(self.endpoint));
        state.write_u64(u64::from(self.origin) << 32 | u64::from(self.deployment));
        state.write_u64(self.bucket);
    }
}

impl GroupKey {
    /// All that decides which budget series the group adds to.
    fn without_endpoint(&self) -> (u32, u32, u32, u64) {
        (self.origin, self.deployment, self.flags, self.bucket)
    }
}

/// Good and bad events of one objective in one group.
#[derive(Clone, Copy, Debug, Default)]
struct GroupCounts {
    good: u64,
    bad: u64,
}

/// Where the spans that come next belong.
#[derive(Debug, Default)]
struct Place<'a> {
    resource: Attributes<'a>,
    scope: Attributes<'a>,
    scope_name: &'a [u8],
    scope_version: &'a [u8],
    origin: u32,
    /// Number of (origin, evidence of the resource, evidence of the scope).
    context: u32,
    inherited: Inherited<'a>,
    /// Number of the deployment that is inherited.
    deployment: u32,
    unknown_service: bool,
}

impl<'a> Place<'a> {
    #[inline]
    fn scope(&self) -> Scope<'a, '_> {
        Scope {
            name: self.scope_name,
            version: self.scope_version,
            attributes: &self.scope,
        }
    }

    /// A span here; `scope` is [`Self::scope`].
    #[inline]
    fn context<'p>(
        &'p self,
        span: &'p Span<'a>,
        attributes: &'p Attributes<'a>,
        scope: &'p Scope<'a, 'p>,
    ) -> SpanContext<'p, 'a> {
        SpanContext {
            span,
            attributes,
            scope,
            resource: &self.resource,
        }
    }
}

/// See the module's words.
#[derive(Debug)]
pub struct Tally<'a, 'c> {
    compiled: &'c Compiled,
    signal: Signal,
    place: Place<'a>,
    origins: Memo<RawOrigin<'a>>,
    /// Evidence of resources, by origin.
    resources: RunMemo<u32, Piece<'a>>,
    /// Evidence of scopes, by number in `resources`: the contexts.
    contexts: RunMemo<u32, Piece<'a>>,
    resource_number: u32,
    sources: Vec<Source<'a, 'c>>,
    groups: Groups<'a>,
    weigher: weigh::Reader<'a>,
    apart: Apart<'a, 'c>,
    stats: TallyStats,
    /// What spans say for leading indicators.
    watched: SpanCollector<'a, 'c>,
    now: UnixNanos,
}

/// The groups of a batch, and the numbers in their keys.
#[derive(Debug, Default)]
struct Groups<'a> {
    /// Evidence of spans, by context.
    flags: RunMemo<u32, Piece<'a>>,
    deployments: Memo<Option<AnyValue<'a>>>,
    endpoints: Memo<&'a [u8]>,
    keys: Memo<GroupKey>,
    /// For each group the place of its first count in `counts`, and its spans.
    spans: Vec<(usize, u32)>,
    counts: Vec<GroupCounts>,
    weights: weigh::GroupWeights,
    timed: Vec<timed::Seen>,
    pieces: Vec<Piece<'a>>,
}

impl<'c> Tally<'_, 'c> {
    /// An empty tally of a batch of `signal` that arrived at `now`.
    pub fn new(compiled: &'c Compiled, signal: Signal, now: UnixNanos) -> Self {
        Self {
            compiled,
            signal,
            place: Place::default(),
            origins: Memo::default(),
            resources: RunMemo::default(),
            contexts: RunMemo::default(),
            resource_number: 0,
            sources: Vec::new(),
            groups: Groups::default(),
            weigher: weigh::Reader::new(compiled.weight_max),
            apart: Apart::default(),
            stats: TallyStats::default(),
            watched: SpanCollector::new(&compiled.watches, now),
            now,
        }
    }
}

impl<'c> Tally<'_, 'c> {
    /// The same, with a memory for flag evidence that comes apart from its request, and one for spans that
    /// must not count twice.
    pub(super) fn remembering(mut self, join: Option<&'c Join>, span_set: Option<&'c SpanSet>) -> Self {
        self.apart.join = join;
        self.apart.span_set = span_set;
        self
    }

    /// What it was compiled with.
    pub(super) fn compiled(&self) -> &'c Compiled {
        self.compiled
    }

    /// The batch is not to be counted: what it noted elsewhere is forgotten.
    pub(super) fn abandon(&mut self) {
        if let Some(set) = self.apart.span_set {
            set.remove(&self.apart.fresh);
        }
        let (join, span_set) = (self.apart.join, self.apart.span_set);
        *self = Tally::new(self.compiled, self.signal, self.now).remembering(join, span_set);
    }

    /// What the spans said for leading indicators.
    pub(super) fn take_watched(&mut self) -> Collected {
        let empty = SpanCollector::new(&self.compiled.watches, self.now);
        std::mem::replace(&mut self.watched, empty).finish()
    }
}

impl TallyStats {
    /// The bucket of an event that ended at `end`: its own if it is near, else that of its arrival.
    #[inline]
    fn bucket(&mut self, end: u64, now: UnixNanos) -> u64 {
        let end = if end < now.minus_secs(EVENT_PAST_SECS).0 {
            self.late += 1;
            now.0
        } else if end > now.plus_secs(EVENT_FUTURE_SECS).0 {
            self.future += 1;
            now.0
        } else {
            end
        };
        end / BUCKET_NANOS
    }

    /// The bucket of `events` events of one moment, by the rule for spans.
    pub(super) fn bucket_of(&mut self, events: u64, at: u64, now: UnixNanos) -> u64 {
        let mut one = Self::default();
        let bucket = one.bucket(at, now);
        self.late += one.late * events;
        self.future += one.future * events;
        bucket
    }

    /// Judges a span by every candidate: the bits of those that call it good, and of those that call it bad.
    #[inline]
    fn judge(&mut self, by: &ObjectiveSet, span: &SpanContext<'_, '_>, all: &[ObjectiveIndex]) -> (u64, u64) {
        let (mut good, mut bad, mut invalid) = (0u64, 0u64, false);
        let mut bit = 1u64;
        by.judge_all(&all[..all.len().min(64)], span, |judgement| {
            match judgement {
                Judgement::Good => good |= bit,
                Judgement::Bad => bad |= bit,
                Judgement::Invalid => invalid = true,
                Judgement::NotOurs => {}
            }
            bit = bit.wrapping_shl(1);
        });
        let backwards = span.span.end_time_unix_nano < span.span.start_time_unix_nano;
        self.invalid_durations += u64::from(invalid || (backwards && good | bad != 0));
        (good, bad)
    }
}

#[inline]
fn for_each_bit(mut bits: u64, mut f: impl FnMut(usize)) {
    while bits != 0 {
        f(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

impl<'a> Tally<'a, '_> {
    /// Where the items that come next belong: their resource.
    fn enter_resource(&mut self, attributes: &Attributes<'a>) {
        let compiled = self.compiled;
        let raw = compiled.origin.find(attributes);
        self.place.resource.clone_from(attributes);
        self.place.origin = self.origins.number(raw, true).unwrap_or(BEYOND);
        if self.place.origin as usize == self.sources.len() {
            let origin = raw.read();
            let service = origin.service.unwrap_or(Cow::Borrowed(UNKNOWN_SERVICE));
            let environment = origin.environment;
            let candidates = compiled.objectives.candidates(
                self.signal,
                service.as_bytes(),
                environment.as_deref().map(str::as_bytes),
            );
            let named = compiled.extractor.named_flags(&service);
            let (region, instance) = (origin.region, origin.instance);
            let id = id_of(&service);
            let is_watched = |join: &Join| join.is_watched(id, !named.is_empty(), self.now);
            let watched = self.apart.join.is_some_and(is_watched);
            self.sources.push(Source {
                service,
                environment,
                region,
                instance,
                candidates,
                named,
                declared: weigh::Declared::of_all(&compiled.objectives, candidates),
                signs: Signs::default(),
                id,
                watched,
                details: timed::Details::of_all(&compiled.objectives, candidates),
            });
        }
        let source = self.sources.get(self.place.origin as usize);
        if let Some(source) = source {
            self.watched
                .resource(&source.service, source.environment.as_deref());
        }
        self.place.unknown_service = source.is_none_or(|source| source.service == UNKNOWN_SERVICE);
        let pieces = &mut self.groups.pieces;
        pieces.clear();
        compiled.extractor.collect(attributes, pieces);
        let number = self.resources.number(self.place.origin, pieces, true);
        self.resource_number = number.unwrap_or(BEYOND);
    }

    /// Where the items that come next belong: their scope.
    fn enter_scope(&mut self, scope: &Scope<'a, '_>) {
        self.place.scope.clone_from(scope.attributes);
        self.place.scope_name = scope.name;
        self.place.scope_version = scope.version;
        let pieces = &mut self.groups.pieces;
        pieces.clear();
        self.compiled.extractor.collect(scope.attributes, pieces);
        let context = self.contexts.number(self.resource_number, pieces, true);
        self.place.context = context.unwrap_or(BEYOND);
        self.place.inherited = self
            .compiled
            .extractor
            .inherit(scope.attributes, &self.place.resource);
        let deployment = self.groups.deployments.number(self.place.inherited.value(), true);
        self.place.deployment = deployment.unwrap_or(BEYOND);
        if self
            .compiled
            .tail_marks
            .iter()
            .any(|mark| scope.attributes.get(*mark).is_some())
            && let Some(source) = self.sources.get_mut(self.place.origin as usize)
        {
            source.signs.marked = true;
        }
    }
}

impl<'a> SpanSink<'a> for Tally<'a, '_> {
    fn forget(&mut self) {
        self.abandon();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.enter_resource(attributes);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.enter_scope(scope);
    }

    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]) {
        self.stats.unknown_service += u64::from(self.place.unknown_service);
        let candidates = self
            .sources
            .get(self.place.origin as usize)
            .map_or(&[][..], |source| source.candidates);
        if candidates.is_empty() && !self.watched.is_watching() {
            return;
        }
        let is_evaluation = self.compiled.extractor.is_evaluation(span, attributes);
        let repeated = self.stats.repeated_spans;
        let counted = if is_evaluation {
            self.stats.evaluation_spans += 1;
            Counted::NOT
        } else {
            self.count(span, attributes, events, candidates)
        };
        if self.apart.join.is_some()
            // A repeated span is remembered as what it counted as.
            && repeated == self.stats.repeated_spans
            && (self.is_watched() || self.compiled.extractor.may_tell(attributes, events))
        {
            self.sight(span, attributes, events, is_evaluation, counted);
        }
    }
}
