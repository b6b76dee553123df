//! The data points of a request, matched and read.
//!
//! Only points of metrics that some indicator of their service wants are read; of all others the walk sees
//! the name of their metric. Attributes are found through a table of keys of their own.

use super::collect::Collected;
use super::plan::Plan;
use super::points::{Point, PointCollector, PointValue, PointWatches};
use crate::cohort::{OriginSlots, UNKNOWN_SERVICE};
use crate::config::Cohorts;
use crate::forward::fields::each_in;
use crate::forward::prom::{Head, Kind, Scratch, walk_points};
use crate::sli::SpanContext;
use crate::wire::{Attributes, KeyTable, KeyTableBuilder, Malformed, Scope, Span, WalkLimits};
use std::borrow::Cow;
use std::hash::BuildHasher as _;
use std::sync::{Arc, LazyLock};

/// Fields of `Resource` and `InstrumentationScope`.
const RESOURCE_ATTRIBUTES: u32 = 1;
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;
const SCOPE_ATTRIBUTES: u32 = 3;

/// Two hashers make what tells streams apart; of this process alone, so that nobody can choose streams that
/// are taken for one.
static HASHERS: LazyLock<[foldhash::quality::RandomState; 2]> = LazyLock::new(Default::default);

/// Everything that a plan says of metrics, compiled for one walk.
#[derive(Debug)]
pub struct MetricWatches {
    watches: PointWatches,
    keys: KeyTable,
    origin: OriginSlots,
    limits: WalkLimits,
}

impl MetricWatches {
    /// Compiles what `plan` has of metrics.
    pub fn compile(plan: &Arc<Plan>, cohorts: &Cohorts, limits: WalkLimits) -> Self {
        let mut keys = KeyTableBuilder::default();
        Self {
            watches: PointWatches::compile(plan, &mut keys),
            origin: OriginSlots::compile(cohorts, &mut keys),
            keys: keys.build(),
            limits,
        }
    }

    /// What an ExportMetricsServiceRequest says for indicators.
    pub fn walk(&self, request: &[u8]) -> Result<Collected, Malformed> {
        let mut walk = Walk {
            by: self,
            collector: PointCollector::new(&self.watches),
            resource_message: None,
            scope_message: None,
            metric: None,
            is_wanted: false,
            resource: Attributes::new(&self.keys),
            scope: Attributes::new(&self.keys),
            scope_name: &[],
            scope_version: &[],
            attributes: Attributes::new(&self.keys),
            scratch: Scratch::default(),
        };
        if !self.watches.is_empty() {
            walk_points(request, |head| walk.point(head))?;
        }
        Ok(walk.collector.finish())
    }
}

/// Where a message stands in the request: equal bytes at another place are another message.
type Place = (*const u8, usize);

fn place(message: &[u8]) -> Place {
    (message.as_ptr(), message.len())
}

struct Walk<'a, 'c> {
    by: &'c MetricWatches,
    collector: PointCollector<'c>,
    /// The messages that were read last.
    resource_message: Option<Place>,
    scope_message: Option<Place>,
    metric: Option<(Place, Kind)>,
    is_wanted: bool,
    resource: Attributes<'a>,
    scope: Attributes<'a>,
    scope_name: &'a [u8],
    scope_version: &'a [u8],
    attributes: Attributes<'a>,
    scratch: Scratch,
}

impl<'a> Walk<'a, '_> {
    fn point(&mut self, head: &Head<'a>) -> Result<(), Malformed> {
        self.enter(head)?;
        if !self.is_wanted {
            return Ok(());
        }
        let MetricWatches { keys, limits, .. } = self.by;
        self.scratch.read(head, false)?;
        if self.scratch.is_absent {
            return Ok(());
        }
        self.attributes
            .read(head.point, head.attributes(), keys, limits)?;
        let item = SpanContext {
            span: &Span::default(),
            attributes: &self.attributes,
            scope: &Scope {
                name: self.scope_name,
                version: self.scope_version,
                attributes: &self.scope,
            },
            resource: &self.resource,
        };
        let point = Point {
            stream: stream(head)?,
            start: self.scratch.start,
            time: self.scratch.time,
            value: value(head, &self.scratch),
        };
        self.collector.point(&item, &point);
        Ok(())
    }

    /// Reads the resource, scope and metric of a point, unless they were read for the one before.
    fn enter(&mut self, head: &Head<'a>) -> Result<(), Malformed> {
        let MetricWatches {
            keys, limits, origin, ..
        } = self.by;
        let mut is_new = false;
        if self.resource_message != Some(place(head.resource)) {
            self.resource_message = Some(place(head.resource));
            is_new = true;
            self.resource
                .read(head.resource, RESOURCE_ATTRIBUTES, keys, limits)?;
            let origin = origin.find(&self.resource).read();
            let service = origin.service.unwrap_or(Cow::Borrowed(UNKNOWN_SERVICE));
            self.collector.resource(&service, origin.environment.as_deref());
        }
        if is_new || self.scope_message != Some(place(head.scope)) {
            self.scope_message = Some(place(head.scope));
            self.scope.read(head.scope, SCOPE_ATTRIBUTES, keys, limits)?;
            self.scope_name = last(head.scope, SCOPE_NAME)?;
            self.scope_version = last(head.scope, SCOPE_VERSION)?;
        }
        let metric = (place(head.name), head.kind);
        if is_new || self.metric != Some(metric) {
            self.metric = Some(metric);
            let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).unwrap_or_default();
            self.is_wanted = self.collector.metric(text(head.name), text(head.unit));
        }
        Ok(())
    }
}

fn last(message: &[u8], number: u32) -> Result<&[u8], Malformed> {
    let mut last: &[u8] = &[];
    each_in(message, number, |text| {
        last = text;
        Ok(())
    })?;
    Ok(last)
}

/// What tells a stream from every other. Attributes may stand in any order.
fn stream(head: &Head<'_>) -> Result<u128, Malformed> {
    let mut attributes = [0_u64; 2];
    each_in(head.point, head.attributes(), |pair| {
        for (sum, hasher) in attributes.iter_mut().zip(HASHERS.iter()) {
            *sum = sum.wrapping_add(hasher.hash_one(pair));
        }
        Ok(())
    })?;
    let whole = |nth: usize| {
        let identity = (head.resource, head.scope, head.name, attributes.get(nth));
        HASHERS.get(nth).map_or(0, |hasher| hasher.hash_one(identity))
    };
    Ok(u128::from(whole(0)) << 64 | u128::from(whole(1)))
}

fn value<'p>(head: &Head<'_>, point: &'p Scratch) -> PointValue<'p> {
    let count = point.count as f64;
    match head.kind {
        Kind::Sum if head.is_delta => PointValue::Growth(point.value),
        Kind::Sum if head.is_monotonic => PointValue::Total(point.value),
        Kind::Gauge | Kind::Sum => PointValue::Level(point.value),
        Kind::Histogram => PointValue::Histogram {
            is_delta: head.is_delta,
            count,
            sum: point.sum,
            bounds: &point.bounds,
            counts: &point.counts,
        },
        Kind::Exponential => PointValue::Exponential {
            is_delta: head.is_delta,
            count,
            sum: point.sum,
            scale: point.scale,
            // What lies below zero is no latency; it is no more than zero.
            zero: point.zero.saturating_add(point.negative.counts.iter().sum()),
            offset: point.positive.offset,
            counts: &point.positive.counts,
        },
        Kind::Summary => PointValue::Summary {
            count,
            sum: point.sum.unwrap_or(0.0),
        },
    }
}
