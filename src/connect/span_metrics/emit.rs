//! Series as OTLP metrics: `calls`, `duration` and `events` of the scope `spanmetricsconnector`.

use super::super::proto;
use super::key::Parts;
use super::plan::{Family, INSTANCE, Plan, Shape};
use super::series::{Durations, Exemplar, Histogram, Series};
use crate::time::UnixNanos;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::collections::HashMap;

/// Bytes of a request after which another begins: below the 4 MiB that many a backend takes.
const REQUEST_BYTES: usize = 1 << 20;

/// Points of one resource, by metric.
#[derive(Debug, Default)]
struct Points {
    calls: Vec<u8>,
    durations: Vec<u8>,
    events: Vec<u8>,
    count: u64,
}

/// A request and its points.
pub(super) type Request = (Bytes, u64);

/// Collects points, and closes a request when it is large.
#[derive(Debug)]
pub(super) struct Emitter<'p> {
    plan: &'p Plan,
    instance: &'p str,
    resources: HashMap<u32, Vec<u8>>,
    now: UnixNanos,
    open: BTreeMap<u32, Points>,
    request: Vec<u8>,
    points: u64,
    done: Vec<Request>,
}

impl<'p> Emitter<'p> {
    pub(super) fn new(
        plan: &'p Plan,
        instance: &'p str,
        resources: HashMap<u32, Vec<u8>>,
        now: UnixNanos,
    ) -> Self {
        Self {
            plan,
            instance,
            resources,
            now,
            open: BTreeMap::new(),
            request: Vec::new(),
            points: 0,
            done: Vec::new(),
        }
    }

    /// The points of one series. `parts` are the dimensions of its key; none is an overflow.
    pub(super) fn series(&mut self, (resource, family): (u32, u8), parts: Option<&[u8]>, series: &Series) {
        let Some(family) = self.plan.families.get(usize::from(family)) else {
            return;
        };
        let attributes = |number: u32| attributes(self.plan, family, self.instance, parts, number);
        let points = self.open.entry(resource).or_default();
        if family.calls {
            sum_point(&mut points.calls, self.plan, self.now, series, &attributes(7));
            points.count += 1;
        }
        if family.events {
            sum_point(&mut points.events, self.plan, self.now, series, &attributes(7));
            points.count += 1;
        }
        if let Some(durations) = series.durations.as_deref().filter(|_| family.duration) {
            let number = match durations.histogram {
                Histogram::Explicit(_) => 9,
                Histogram::Exponential(_) => 1,
            };
            let attributes = attributes(number);
            histogram(
                &mut points.durations,
                self.plan,
                self.now,
                series,
                durations,
                &attributes,
            );
            points.count += 1;
        }
        if points.calls.len() + points.durations.len() + points.events.len() >= REQUEST_BYTES {
            let points = std::mem::take(points);
            self.close(resource, &points);
        }
    }

    /// All requests.
    pub(super) fn finish(mut self) -> Vec<Request> {
        for (resource, points) in std::mem::take(&mut self.open) {
            self.close(resource, &points);
        }
        self.seal();
        self.done
    }

    /// The points of one resource become a ResourceMetrics.
    fn close(&mut self, resource: u32, points: &Points) {
        if points.count == 0 {
            return;
        }
        let (plan, temporality) = (self.plan, if self.plan.delta { 1 } else { 2 });
        let about = self
            .resources
            .get(&resource)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let sum = |out: &mut Vec<u8>, name: &str, data_points: &[u8]| {
            if data_points.is_empty() {
                return;
            }
            proto::message(out, 2, |out| {
                proto::bytes(out, 1, name.as_bytes());
                proto::message(out, 7, |out| {
                    out.extend_from_slice(data_points);
                    proto::varint(out, 2, temporality);
                    proto::varint(out, 3, 1);
                });
            });
        };
        proto::message(&mut self.request, 1, |out| {
            proto::bytes(out, 1, about);
            proto::message(out, 2, |out| {
                proto::message(out, 1, |out| proto::bytes(out, 1, b"spanmetricsconnector"));
                sum(out, &plan.names.calls, &points.calls);
                if !points.durations.is_empty() {
                    let exponential = matches!(plan.shape, Shape::Exponential { .. });
                    proto::message(out, 2, |out| {
                        proto::bytes(out, 1, plan.names.duration.as_bytes());
                        proto::bytes(out, 3, plan.unit.as_bytes());
                        proto::message(out, if exponential { 10 } else { 9 }, |out| {
                            out.extend_from_slice(&points.durations);
                            proto::varint(out, 2, temporality);
                        });
                    });
                }
                sum(out, &plan.names.events, &points.events);
            });
        });
        self.points += points.count;
        if self.request.len() >= REQUEST_BYTES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if !self.request.is_empty() {
            let bytes = Bytes::from(std::mem::take(&mut self.request));
            self.done.push((bytes, std::mem::take(&mut self.points)));
        }
    }
}

/// The attributes of a point, as fields `number`.
fn attributes(plan: &Plan, family: &Family, instance: &str, parts: Option<&[u8]>, number: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let Some(parts) = parts else {
        proto::attribute(&mut out, number, b"otel.metric.overflow", &[0x10, 1]);
        return out;
    };
    let (mut parts, mut any) = (Parts(parts), Vec::new());
    let names = plan.own.iter().map(|(_, name)| *name);
    for name in names.chain(family.named.iter().map(|named| &*named.name)) {
        if parts.any(&mut any) == Some(true) {
            proto::attribute(&mut out, number, name.as_bytes(), &any);
        }
    }
    while let Some(name) = parts.text() {
        if parts.any(&mut any) == Some(true) {
            proto::attribute(&mut out, number, name, &any);
        }
    }
    if plan.with_instance {
        proto::text_attribute(&mut out, number, INSTANCE.as_bytes(), instance.as_bytes());
    }
    out
}

fn times(out: &mut Vec<u8>, series: &Series, now: UnixNanos) {
    proto::fixed64(out, 2, series.start.0);
    // A clock that went back must not turn the interval around.
    proto::fixed64(out, 3, now.0.max(series.start.0));
}

fn exemplars(out: &mut Vec<u8>, number: u32, all: &[Exemplar], unit_nanos: f64) {
    for exemplar in all {
        proto::message(out, number, |out| {
            proto::fixed64(out, 2, exemplar.at);
            proto::double(out, 3, exemplar.nanos as f64 / unit_nanos);
            proto::bytes(out, 4, &exemplar.span_id);
            proto::bytes(out, 5, &exemplar.trace_id);
        });
    }
}

/// A point of `calls` or `events`.
fn sum_point(out: &mut Vec<u8>, plan: &Plan, now: UnixNanos, series: &Series, attributes: &[u8]) {
    proto::message(out, 1, |out| {
        times(out, series, now);
        proto::fixed64(out, 6, series.calls.whole.min(i64::MAX.unsigned_abs()));
        exemplars(out, 5, &series.exemplars, plan.unit_nanos);
        out.extend_from_slice(attributes);
    });
}

/// A point of `duration`.
fn histogram(
    out: &mut Vec<u8>,
    plan: &Plan,
    now: UnixNanos,
    series: &Series,
    durations: &Durations,
    attributes: &[u8],
) {
    let in_units = |nanos: u64| nanos as f64 / plan.unit_nanos;
    proto::message(out, 1, |out| {
        times(out, series, now);
        proto::fixed64(out, 4, durations.count());
        proto::double(out, 5, durations.sum.in_units_of(plan.unit_nanos));
        match (&durations.histogram, &plan.shape) {
            (Histogram::Explicit(counts), Shape::Explicit(bounds)) => {
                proto::packed_fixed64(out, 6, counts.whole.iter().copied());
                proto::packed_fixed64(out, 7, bounds.iter().map(|bound| in_units(*bound).to_bits()));
                exemplars(out, 8, &series.exemplars, plan.unit_nanos);
                proto::double(out, 11, in_units(durations.min));
                proto::double(out, 12, in_units(durations.max));
            }
            (Histogram::Exponential(it), _) => {
                proto::sint32(out, 6, it.scale);
                proto::fixed64(out, 7, it.zero.whole);
                if !it.counts.whole.is_empty() {
                    proto::message(out, 8, |out| {
                        proto::sint32(out, 1, it.offset);
                        let mut packed = Vec::new();
                        for count in &it.counts.whole {
                            prost::encoding::encode_varint(*count, &mut packed);
                        }
                        proto::bytes(out, 2, &packed);
                    });
                }
                exemplars(out, 11, &series.exemplars, plan.unit_nanos);
                proto::double(out, 12, in_units(durations.min));
                proto::double(out, 13, in_units(durations.max));
            }
            _ => {}
        }
        out.extend_from_slice(attributes);
    });
}
