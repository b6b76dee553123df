//! The walk over an ExportMetricsServiceRequest.
//!
//! A metric says what it is on both sides of its points: its name before them, the temporality of a sum or a
//! histogram behind them. So a metric is hopped over once, which also counts its points; the points of a
//! metric that nobody wants are never looked into.
#![allow(clippy::inline_always, reason = "measured: see `reader`")]

use super::envelope::{self, Items};
use super::identity::Identity;
use super::metric::{Metric, MetricKind, MetricSink, Point};
use super::reader::{Reader, len, varint};
use super::{Attributes, KeyTable, Malformed, Scope, WalkError, WalkLimits, WalkSummary};

mod metric {
    use super::len;
    pub(super) const NAME: u64 = len(1);
    pub(super) const DESCRIPTION: u64 = len(2);
    pub(super) const UNIT: u64 = len(3);
    pub(super) const GAUGE: u64 = len(5);
    pub(super) const SUM: u64 = len(7);
    pub(super) const HISTOGRAM: u64 = len(9);
    pub(super) const EXPONENTIAL_HISTOGRAM: u64 = len(10);
    pub(super) const SUMMARY: u64 = len(11);
    pub(super) const METADATA: u64 = len(12);
    pub(super) const KNOWN: u32 = 0b1_1110_1010_1110;
}
mod data {
    use super::{len, varint};
    pub(super) const POINTS: u64 = len(1);
    pub(super) const TEMPORALITY: u64 = varint(2);
    pub(super) const IS_MONOTONIC: u64 = varint(3);
}

/// Walks the request and hands the points of every wanted metric to `sink`.
pub fn walk_metrics<'a>(
    request: &'a [u8],
    keys: &KeyTable,
    limits: &WalkLimits,
    sink: &mut impl MetricSink<'a>,
) -> Result<WalkSummary, WalkError> {
    let mut metrics = Metrics {
        sink,
        attributes: Attributes::new(keys),
        resource: Identity::default(),
        scope: Identity::default(),
        summary: WalkSummary::default(),
    };
    let excess = envelope::walk(request, keys, limits, &mut metrics)?;
    metrics.summary.excess += excess;
    Ok(metrics.summary)
}

struct Metrics<'w, 'a, S> {
    sink: &'w mut S,
    attributes: Attributes<'a>,
    resource: Identity,
    scope: Identity,
    summary: WalkSummary,
}

/// A metric that was hopped over: what it is, and the data behind the name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hopped<'a> {
    metric: Metric<'a>,
    /// The tag of its data.
    tag: u64,
    /// The metric's bytes from the first data of that kind on.
    data: &'a [u8],
}

impl<'a, S: MetricSink<'a>> Items<'a> for Metrics<'_, 'a, S> {
    type Item = Hopped<'a>;

    fn forget(&mut self) {
        self.summary = WalkSummary::default();
        self.sink.forget();
    }

    fn begin_resource(&mut self) {
        self.resource = Identity::default();
    }

    fn resource_bytes(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.resource.add_resource(message)
    }

    fn begin_scope(&mut self) {
        self.scope = Identity::default();
    }

    fn scope_bytes(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        self.scope.add_scope(message)
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.sink.resource(attributes, self.resource);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.sink.scope(scope, self.scope);
    }

    fn read(
        &mut self,
        message: &'a [u8],
        _: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<Option<Hopped<'a>>, WalkError> {
        let hopped = hop(message)?;
        self.summary.spans = self.summary.spans.saturating_add(hopped.metric.points);
        if self.summary.spans > u64::from(limits.spans_max) {
            let limit = limits.spans_max;
            return Err(WalkError::TooManyItems { limit });
        }
        Ok((hopped.metric.points > 0).then_some(hopped))
    }

    fn tell(&mut self, hopped: &Hopped<'a>, keys: &KeyTable, limits: &WalkLimits) -> Result<(), WalkError> {
        if !self.sink.metric(&hopped.metric) {
            return Ok(());
        }
        let mut fields = Reader::new(hopped.data);
        while let Some(tag) = fields.tag()? {
            if tag != hopped.tag {
                fields.skip(tag)?;
                continue;
            }
            let mut data = Reader::new(fields.bytes()?);
            while let Some(tag) = data.tag()? {
                match tag {
                    data::POINTS => self.point(data.bytes()?, hopped.metric.kind, keys, limits)?,
                    _ => data.skip(tag)?,
                }
            }
        }
        Ok(())
    }
}

impl<'a, S: MetricSink<'a>> Metrics<'_, 'a, S> {
    #[inline(always)]
    fn point(
        &mut self,
        message: &'a [u8],
        kind: MetricKind,
        keys: &KeyTable,
        limits: &WalkLimits,
    ) -> Result<(), Malformed> {
        self.attributes.clear();
        let point = Point::read(message, kind, &mut self.attributes, keys, limits)?;
        self.summary.excess += u64::from(self.attributes.excess());
        self.sink.point(&point, &self.attributes);
        Ok(())
    }
}

/// Reads what a metric is and counts its points. Its data is a oneof: the same kind again merges, another
/// kind replaces.
fn hop(message: &[u8]) -> Result<Hopped<'_>, Malformed> {
    let mut hopped = Hopped {
        metric: Metric::default(),
        tag: 0,
        data: &[],
    };
    let mut fields = Reader::new(message);
    loop {
        let here = fields.rest();
        let Some(tag) = fields.tag()? else {
            return Ok(hopped);
        };
        let kind = match tag {
            metric::NAME => {
                hopped.metric.name = fields.bytes()?;
                continue;
            }
            metric::UNIT => {
                hopped.metric.unit = fields.bytes()?;
                continue;
            }
            metric::DESCRIPTION | metric::METADATA => {
                fields.skip(tag)?;
                continue;
            }
            metric::GAUGE => MetricKind::Gauge,
            metric::SUM => MetricKind::Sum,
            metric::HISTOGRAM => MetricKind::Histogram,
            metric::EXPONENTIAL_HISTOGRAM => MetricKind::ExponentialHistogram,
            metric::SUMMARY => MetricKind::Summary,
            _ => {
                fields.skip_unless_known(tag, metric::KNOWN)?;
                continue;
            }
        };
        if hopped.tag != tag {
            let Metric { name, unit, .. } = hopped.metric;
            hopped = Hopped {
                metric: Metric {
                    name,
                    unit,
                    kind,
                    ..Metric::default()
                },
                tag,
                data: here,
            };
        }
        hop_data(fields.bytes()?, &mut hopped.metric)?;
    }
}

fn hop_data(message: &[u8], metric: &mut Metric<'_>) -> Result<(), Malformed> {
    let known = match metric.kind {
        MetricKind::Gauge | MetricKind::Summary => 0b10,
        MetricKind::Sum => 0b1110,
        MetricKind::Histogram | MetricKind::ExponentialHistogram => 0b110,
    };
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        match tag {
            data::POINTS => {
                fields.bytes()?;
                metric.points += 1;
            }
            data::TEMPORALITY if known & 0b100 != 0 => metric.temporality = fields.int32()?,
            data::IS_MONOTONIC if known & 0b1000 != 0 => metric.is_monotonic = fields.varint()? != 0,
            _ => fields.skip_unless_known(tag, known)?,
        }
    }
    Ok(())
}
