//! One batch of metrics: what its points add, once their streams are known.
//!
//! The walk only takes notes: which objectives want a point, as what, and in which group it counts. A request
//! that turns out broken halfway has then touched no stream. In [`PointTally::finish`], with the streams
//! locked, every note becomes the difference between two readings, and the groups become rows as those of
//! spans do.

mod settle;

use super::{Settled, Tally};
use crate::ledger::points::{LevelAt, PointStats, Quality, StreamId};
use crate::ledger::tap::Compiled;
use crate::pipeline::Signal;
use crate::sli::{MetricJudge, ObjectiveName, PointUse, SpanContext, Verdict};
use crate::time::UnixNanos;
use crate::wire::{
    Attributes, Identity, Metric, MetricKind, MetricSink, NumberValue, Point, PointValue, Scope,
    TEMPORALITY_CUMULATIVE, TEMPORALITY_DELTA,
};
use hashbrown::HashMap;

/// An objective that wants the points of the metric at hand.
#[derive(Clone, Copy, Debug)]
struct Wanted<'c> {
    /// Its place among the candidates of the origin.
    lane: u32,
    judge: &'c MetricJudge,
    verdict: Verdict,
}

/// A point that somebody wants.
#[derive(Clone, Copy, Debug)]
struct Note<'a> {
    point: Point<'a>,
    id: StreamId,
    temporality: i32,
    group: u32,
    origin: u32,
    /// Its uses, in [`PointTally::uses`].
    uses: (u32, u32),
}

/// A value of a gauge that somebody wants.
#[derive(Clone, Copy, Debug)]
struct Level {
    lane: u32,
    origin: u32,
    group: u32,
    at: LevelAt,
}

/// See the module's words.
#[derive(Debug)]
pub(in crate::ledger) struct PointTally<'a, 'c> {
    tally: Tally<'a, 'c>,
    resource: Identity,
    scope: Identity,
    metric: Metric<'a>,
    metric_id: Identity,
    wanted: Vec<Wanted<'c>>,
    notes: Vec<Note<'a>>,
    uses: Vec<(u32, PointUse)>,
    levels: Vec<Level>,
    stats: PointStats,
    /// The worst that is known of each objective of each origin.
    quality: HashMap<(u32, u32), Quality>,
}

/// What a batch of metrics adds.
#[derive(Debug, Default)]
pub(in crate::ledger) struct PointsSettled {
    pub(in crate::ledger) settled: Settled,
    pub(in crate::ledger) stats: PointStats,
    pub(in crate::ledger) quality: Vec<(ObjectiveName, Quality)>,
}

impl<'c> PointTally<'_, 'c> {
    /// An empty tally of a batch that arrived at `now`.
    pub(in crate::ledger) fn new(compiled: &'c Compiled, now: UnixNanos) -> Self {
        Self {
            tally: Tally::new(compiled, Signal::Metrics, now),
            resource: Identity::default(),
            scope: Identity::default(),
            metric: Metric::default(),
            metric_id: Identity::default(),
            wanted: Vec::new(),
            notes: Vec::new(),
            uses: Vec::new(),
            levels: Vec::new(),
            stats: PointStats::default(),
            quality: HashMap::new(),
        }
    }
}

/// Why no objective can use a metric that it names, if that is so.
fn unusable(metric: &Metric<'_>, is_gauge: bool) -> Option<&'static str> {
    let has_temporality = matches!(metric.temporality, TEMPORALITY_DELTA | TEMPORALITY_CUMULATIVE);
    match metric.kind {
        MetricKind::Gauge if is_gauge => None,
        MetricKind::Gauge => Some("gauge"),
        MetricKind::Sum if is_gauge => {
            (metric.temporality != TEMPORALITY_CUMULATIVE).then_some("delta_gauge")
        }
        MetricKind::Sum if !metric.is_monotonic => Some("not_monotonic"),
        _ if is_gauge => Some("no_gauge"),
        MetricKind::Summary => None,
        _ => (!has_temporality).then_some("no_temporality"),
    }
}

impl<'a> MetricSink<'a> for PointTally<'a, '_> {
    fn forget(&mut self) {
        *self = Self::new(self.tally.compiled, self.tally.now);
    }

    fn resource(&mut self, attributes: &Attributes<'a>, identity: Identity) {
        self.tally.enter_resource(attributes);
        self.resource = identity;
    }

    fn scope(&mut self, scope: &Scope<'a, '_>, identity: Identity) {
        self.tally.enter_scope(scope);
        self.scope = self.resource.then(identity);
    }

    fn metric(&mut self, metric: &Metric<'a>) -> bool {
        self.wanted.clear();
        let compiled = self.tally.compiled;
        let origin = self.tally.place.origin;
        let Some(source) = self.tally.sources.get(origin as usize) else {
            return false;
        };
        for (lane, objective) in (0u32..).zip(source.candidates) {
            let Some(judge) = compiled.objectives.of_metrics(*objective) else {
                continue;
            };
            let Some(verdict) = judge.verdict(metric) else {
                continue;
            };
            let problem =
                unusable(metric, judge.gauge().is_some()).or(verdict.unit_is_no_time.then_some("unit"));
            let quality = self.quality.entry((origin, lane)).or_default();
            if let Some(problem) = problem {
                self.stats.unusable(problem, metric.points);
                quality.raise(Quality::Degraded);
                continue;
            }
            self.wanted.push(Wanted { lane, judge, verdict });
        }
        if self.wanted.is_empty() {
            return false;
        }
        self.metric = *metric;
        let mut id = Identity::default();
        id.add(1, metric.name);
        id.add(2, metric.unit);
        let temporality = metric.temporality.to_le_bytes()[0];
        id.add(
            3,
            &[metric.kind as u8, temporality, u8::from(metric.is_monotonic)],
        );
        self.metric_id = self.scope.then(id);
        true
    }

    fn point(&mut self, point: &Point<'a>, attributes: &Attributes<'a>) {
        if point.has_no_value() {
            self.stats.no_value += 1;
            return;
        }
        if point.value == PointValue::Number(NumberValue::Missing)
            || (point.time_unix_nano != 0 && point.start_time_unix_nano > point.time_unix_nano)
        {
            return self.stats.unusable("broken", 1);
        }
        self.take(point, attributes);
    }
}

impl<'a> PointTally<'a, '_> {
    /// Asks every objective that wants the metric, and notes what they say.
    fn take(&mut self, point: &Point<'a>, attributes: &Attributes<'a>) {
        let Self {
            tally,
            metric,
            wanted,
            uses,
            ..
        } = self;
        let Some(first) = wanted.first() else { return };
        let span = first.judge.context_span(metric, attributes);
        let scope = Scope {
            name: tally.place.scope_name,
            version: tally.place.scope_version,
            attributes: &tally.place.scope,
        };
        let context = SpanContext {
            span: &span,
            attributes,
            scope: &scope,
            resource: &tally.place.resource,
        };
        let begin = uses.len();
        for Wanted { lane, judge, verdict } in &*wanted {
            judge.judge(verdict, point, &context, |used| uses.push((*lane, used)));
        }
        if uses.len() == begin {
            return;
        }
        let origin = tally.place.origin;
        let Some(source) = tally.sources.get(origin as usize) else {
            return;
        };
        let time = if point.time_unix_nano == 0 {
            tally.now.0
        } else {
            point.time_unix_nano
        };
        // A point speaks of what came up to its time: at the end of a bucket it belongs to that one.
        let bucket = tally.stats.bucket(time.saturating_sub(1), tally.now);
        let group = tally
            .groups
            .number(tally.compiled, &tally.place, &context, &[], bucket);
        let Some(group) = group else { return };
        tally.groups.touch(group, source.candidates.len());
        if tally.compiled.is_overflow(attributes) {
            for (lane, _) in uses.iter().skip(begin) {
                self.quality
                    .entry((origin, *lane))
                    .or_default()
                    .raise(Quality::Degraded);
            }
            self.stats.overflow += 1;
        }
        if let PointValue::Number(value) = point.value {
            self.take_levels(begin, value, (time, group, origin));
        }
        if self.uses.len() > begin {
            self.note(point.at(time), begin, group, origin);
        }
    }

    fn note(&mut self, point: Point<'a>, begin: usize, group: u32, origin: u32) {
        let family = {
            let mut start = Identity::default();
            start.add(4, &point.start_time_unix_nano.to_le_bytes());
            self.metric_id.then(start)
        };
        #[allow(
            clippy::cast_possible_truncation,
            reason = "half of a hash is a hash; uses are few"
        )]
        self.notes.push(Note {
            point,
            id: StreamId {
                stream: self.metric_id.then(point.identity()).0,
                family: family.0 as u64,
            },
            temporality: self.metric.temporality,
            group,
            origin,
            uses: (begin as u32, self.uses.len() as u32),
        });
    }

    /// Moves what is a value of a gauge from the uses to the levels.
    fn take_levels(&mut self, begin: usize, value: NumberValue, (time, group, origin): (u64, u32, u32)) {
        let value = match value {
            NumberValue::Int(number) => number as f64,
            NumberValue::Double(number) => number,
            NumberValue::Missing => return,
        };
        let Self {
            uses,
            levels,
            wanted,
            metric,
            tally,
            ..
        } = self;
        // A time ahead of the clock by more than a minute is no time of a slice.
        let time = time.min(tally.now.plus_secs(60).0);
        for at in (begin..uses.len()).rev() {
            let Some(&(lane, PointUse::Gauge)) = uses.get(at) else {
                continue;
            };
            uses.remove(at);
            let judge = wanted
                .iter()
                .find(|wanted| wanted.lane == lane)
                .map(|wanted| wanted.judge);
            let value = if judge.is_some_and(MetricJudge::is_age) {
                value * MetricJudge::age_unit_nanos(metric)
            } else {
                value
            };
            levels.push(Level {
                lane,
                origin,
                group,
                at: LevelAt { value, time },
            });
        }
    }
}
