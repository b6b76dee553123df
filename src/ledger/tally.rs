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

mod memo;
mod rows;
mod settle;
mod weigh;

pub(super) use settle::Settled;

use super::BUCKET_SECS;
use super::tail_watch::Signs;
use super::tap::Compiled;
use crate::cohort::{Inherited, Piece, RawOrigin, UNKNOWN_SERVICE};
use crate::indicate::{Collected, SpanCollector};
use crate::pipeline::Signal;
use crate::sli::{Judgement, ObjectiveIndex, ObjectiveSet, SpanContext};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use crate::wire::{AnyValue, Attributes, Event, Scope, Span, SpanSink};
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
    /// Spans that are evaluations of flags, and so no requests.
    pub evaluation_spans: u64,
    /// Spans that a sampler kept, and that stand for more than themselves.
    pub sampled: u64,
    /// Spans that stand for none, by their tracestate: counted nowhere.
    pub weightless: u64,
    /// Tracestates that contradict themselves: their spans stand for themselves.
    pub inconsistent_weights: u64,
    /// Tracestates that claim more than is believed: their spans stand for the most.
    pub capped_weights: u64,
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
    good: u32,
    bad: u32,
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
            stats: TallyStats::default(),
            watched: SpanCollector::new(&compiled.watches, now),
            now,
        }
    }
}

impl Tally<'_, '_> {
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

impl<'a> Groups<'a> {
    /// The number of the span's group.
    #[inline]
    fn number(
        &mut self,
        compiled: &Compiled,
        place: &Place<'a>,
        span: &SpanContext<'_, 'a>,
        events: &[Event<'a>],
        bucket: u64,
    ) -> Option<u32> {
        let Place { origin, context, .. } = *place;
        self.pieces.clear();
        compiled
            .extractor
            .collect_item(span.attributes, events, &mut self.pieces);
        let room = self.keys.len() < GROUPS_MAX;
        let deployment = match compiled
            .extractor
            .own_deployment(span.attributes, &place.inherited)
        {
            None => Some(place.deployment),
            own => self.deployments.number(own, room),
        };
        let flags = self.flags.number(context, &self.pieces, room);
        let endpoint = self.endpoints.number(compiled.endpoint.endpoint(span), room);
        let own = match (deployment, flags, endpoint) {
            (Some(deployment), Some(flags), Some(endpoint)) => self.keys.number(
                GroupKey {
                    origin,
                    deployment,
                    flags,
                    bucket,
                    endpoint,
                },
                room,
            ),
            _ => None,
        };
        let beyond = GroupKey {
            origin,
            deployment: BEYOND,
            flags: BEYOND,
            bucket,
            endpoint: BEYOND,
        };
        own.or_else(|| self.keys.number(beyond, true))
    }

    /// Adds a span to a group of `objectives` objectives.
    #[inline]
    fn count(&mut self, group: u32, objectives: usize, good: u64, bad: u64) {
        let at = group as usize;
        if at == self.spans.len() {
            self.spans.push((self.counts.len(), 0));
            self.counts
                .resize(self.counts.len() + objectives, GroupCounts::default());
        }
        let Some((begin, spans)) = self.spans.get_mut(at) else {
            return;
        };
        *spans += 1;
        let Some(counts) = self.counts.get_mut(*begin..*begin + objectives) else {
            return;
        };
        for_each_bit(good, |bit| {
            if let Some(count) = counts.get_mut(bit) {
                count.good += 1;
            }
        });
        for_each_bit(bad, |bit| {
            if let Some(count) = counts.get_mut(bit) {
                count.bad += 1;
            }
        });
    }
}

impl Groups<'_> {
    /// Adds what a span of a group stands for.
    fn weigh(
        &mut self,
        group: u32,
        said: weigh::Said,
        declared: &[Option<weigh::Declared>],
        judged: (u64, u64),
    ) {
        if let Some((begin, _)) = self.spans.get(group as usize) {
            self.weights.add(*begin, said, declared, judged);
        }
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
            self.sources.push(Source {
                service,
                environment,
                region,
                instance,
                candidates,
                named,
                declared: weigh::Declared::of_all(&compiled.objectives, candidates),
                signs: Signs::default(),
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
        *self = Tally::new(self.compiled, self.signal, self.now);
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.enter_resource(attributes);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.enter_scope(scope);
    }

    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]) {
        self.stats.unknown_service += u64::from(self.place.unknown_service);
        let Some(source) = self.sources.get_mut(self.place.origin as usize) else {
            return;
        };
        let candidates = source.candidates;
        if candidates.is_empty() && !self.watched.is_watching() {
            return;
        }
        if self.compiled.extractor.is_evaluation(span, attributes) {
            self.stats.evaluation_spans += 1;
            return;
        }
        let Self {
            compiled,
            place,
            groups,
            weigher,
            stats,
            watched,
            now,
            ..
        } = self;
        let scope = Scope {
            name: place.scope_name,
            version: place.scope_version,
            attributes: &place.scope,
        };
        let context = SpanContext {
            span,
            attributes,
            scope: &scope,
            resource: &place.resource,
        };
        if watched.is_watching() {
            watched.span(&context);
        }
        let (good, bad) = stats.judge(&compiled.objectives, &context, candidates);
        if good | bad == 0 {
            return;
        }
        let said = weigher.read(span.trace_state, stats);
        if said == weigh::Said::None {
            return;
        }
        stats.judged += 1;
        let bucket = stats.bucket(span.end_time_unix_nano, *now);
        let Some(group) = groups.number(compiled, place, &context, events, bucket) else {
            return;
        };
        groups.count(group, candidates.len(), good, bad);
        if said == weigh::Said::Nothing && source.declared.is_empty() {
            source.signs.see(span.end_time_unix_nano, *now);
        } else {
            groups.weigh(group, said, &source.declared, (good, bad));
        }
    }
}
