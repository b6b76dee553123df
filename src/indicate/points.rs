//! Indicators over metrics: from data points to samples.
//!
//! A metric is matched once, by its name ([`super::name`]); a metric that no indicator of its service wants
//! costs two look-ups. What of a point is kept depends on what formulas ask of it: the growth of a counter,
//! the level of a gauge, the buckets of a histogram. A gauge may be asked for its growth, as if it were a
//! counter, because exporters send untyped counters so; a histogram is counted, or summed up by its `_sum`.

use super::collect::{Collected, Matcher, Part, part_of};
use super::formula::{Origin, Shape};
use super::grid::{Buckets, Grid, ZERO, rescaled};
use super::name::{Part as Of, stem_into, unit_word};
use super::plan::{Plan, ScopePlan, SelectorIndex};
use super::sample::{Reading, Sample};
use crate::sli::SpanContext;
use crate::wire::KeyTableBuilder;
use std::sync::Arc;

/// The selectors of metrics, compiled for one table of attribute keys.
#[derive(Debug, Default)]
pub struct PointWatches {
    plan: Arc<Plan>,
    /// By selector; None for those of spans.
    matchers: Box<[Option<Matcher>]>,
}

impl PointWatches {
    /// Compiles what `plan` has of metrics; the attribute keys go to `keys`.
    pub fn compile(plan: &Arc<Plan>, keys: &mut KeyTableBuilder) -> Self {
        let matcher = |(index, selector): (SelectorIndex, &super::plan::Selector)| {
            let is_metric = selector.origin != Origin::Spans;
            is_metric.then(|| Matcher::compile(plan, index, keys)).flatten()
        };
        Self {
            matchers: (0..).zip(&plan.selectors).map(matcher).collect(),
            plan: plan.clone(),
        }
    }

    /// Whether nobody wants any metric.
    pub fn is_empty(&self) -> bool {
        self.plan.names.is_empty()
    }
}

/// What one data point says.
#[derive(Clone, Copy, Debug)]
pub struct Point<'p> {
    /// What tells its stream from every other.
    pub stream: u128,
    /// `start_time_unix_nano`.
    pub start: u64,
    /// `time_unix_nano`.
    pub time: u64,
    /// Its value.
    pub value: PointValue<'p>,
}

/// The value of a data point, by the kind of its metric.
#[derive(Clone, Copy, Debug)]
pub enum PointValue<'p> {
    /// Of a gauge, or a sum that may fall: where it stands.
    Level(f64),
    /// Of a sum that only grows: its total.
    Total(f64),
    /// Of a sum with delta temporality: what it grew by.
    Growth(f64),
    /// Of a histogram.
    Histogram {
        /// Whether it has delta temporality.
        is_delta: bool,
        /// How many measurements.
        count: f64,
        /// Their sum, if the point has one.
        sum: Option<f64>,
        /// Where the buckets end.
        bounds: &'p [f64],
        /// One more than bounds.
        counts: &'p [u64],
    },
    /// Of an exponential histogram.
    Exponential {
        /// Whether it has delta temporality.
        is_delta: bool,
        /// How many measurements.
        count: f64,
        /// Their sum, if the point has one.
        sum: Option<f64>,
        /// Its scale.
        scale: i32,
        /// Measurements that are zero or below.
        zero: u64,
        /// The index of the first positive bucket.
        offset: i32,
        /// The positive buckets.
        counts: &'p [u64],
    },
    /// Of a summary.
    Summary {
        /// How many measurements.
        count: f64,
        /// Their sum.
        sum: f64,
    },
}

/// Collects the points of one request for indicators.
#[derive(Debug)]
pub struct PointCollector<'c> {
    watches: &'c PointWatches,
    parts: Vec<Part>,
    /// The service of the metrics that come next, if it has indicators over metrics.
    current: Option<usize>,
    /// Who wants the points that come next, and which part of them.
    wanted: Vec<(SelectorIndex, Of)>,
    stem: String,
}

impl<'c> PointCollector<'c> {
    /// Of a new request.
    pub fn new(watches: &'c PointWatches) -> Self {
        Self {
            watches,
            parts: Vec::new(),
            current: None,
            wanted: Vec::new(),
            stem: String::new(),
        }
    }

    /// The metrics that come next are of this service.
    pub fn resource(&mut self, service: &str, environment: Option<&str>) {
        self.wanted.clear();
        let wanted = |scope: &ScopePlan| !scope.metrics.is_empty();
        self.current = part_of(&self.watches.plan, &mut self.parts, service, environment, wanted);
    }

    /// The points that come next are of this metric. False when nobody wants them.
    pub fn metric(&mut self, name: &str, unit: &str) -> bool {
        self.wanted.clear();
        let Some(part) = self.current.and_then(|at| self.parts.get(at)) else {
            return false;
        };
        stem_into(name, &mut self.stem);
        let names = &self.watches.plan.names;
        let mut add = |stem: &str| {
            for (selector, of) in names.get(stem).into_iter().flatten() {
                if part.plan.metrics.binary_search(selector).is_ok()
                    && !self.wanted.contains(&(*selector, *of))
                {
                    self.wanted.push((*selector, *of));
                }
            }
        };
        add(&self.stem);
        if let Some(word) = unit_word(unit)
            && !self.stem.ends_with(word)
        {
            self.stem.push('_');
            self.stem.push_str(word);
            add(&self.stem);
        }
        !self.wanted.is_empty()
    }

    /// Takes a point of the current metric; `item` is its attributes, scope and resource. `stream` must tell
    /// the metric as well.
    pub fn point(&mut self, item: &SpanContext<'_, '_>, point: &Point<'_>) {
        let Some(part) = self.current.and_then(|at| self.parts.get_mut(at)) else {
            return;
        };
        for (selector, of) in &self.wanted {
            let index = usize::from(*selector);
            let (Some(Some(matcher)), Some(shape)) = (
                self.watches.matchers.get(index),
                self.watches.plan.selectors.get(index).map(|it| it.shape),
            ) else {
                continue;
            };
            if !matcher.holds(item) {
                continue;
            }
            let Some(reading) = point.value.reading(shape, *of) else {
                continue;
            };
            part.samples.push(Sample {
                selector: *selector,
                group: matcher.group(&matcher.labels(item)),
                key: matcher.key(item).map(Into::into),
                stream: point.stream,
                start: point.start,
                time: point.time,
                reading,
            });
        }
    }

    /// What the request brings.
    pub fn finish(self) -> Collected {
        Collected {
            plan: self.watches.plan.clone(),
            parts: self.parts,
            excess: 0,
        }
    }
}

impl PointValue<'_> {
    /// What of the value is kept for a shape; None when the point lacks it.
    fn reading(&self, shape: Shape, of: Of) -> Option<Reading> {
        if shape == Shape::Distribution {
            return Some(self.buckets());
        }
        let (number, is_delta) = match (*self, of) {
            (Self::Level(value) | Self::Total(value), Of::Whole) => (value, false),
            (Self::Growth(value), Of::Whole) => (value, true),
            (Self::Level(_) | Self::Total(_) | Self::Growth(_), _) => return None,
            (Self::Histogram { is_delta, sum, .. } | Self::Exponential { is_delta, sum, .. }, Of::Sum) => {
                (sum?, is_delta)
            }
            (Self::Histogram { is_delta, count, .. } | Self::Exponential { is_delta, count, .. }, _) => {
                (count, is_delta)
            }
            (Self::Summary { sum, .. }, Of::Sum) => (sum, false),
            (Self::Summary { count, .. }, _) => (count, false),
        };
        if !number.is_finite() {
            return None;
        }
        Some(match (shape, is_delta, self) {
            (Shape::Level, false, Self::Level(_) | Self::Total(_)) => Reading::Level(number),
            (Shape::Level, true, _) => Reading::Unusable("a sum with delta temporality"),
            (Shape::Level, ..) => Reading::Unusable("a histogram or summary"),
            (_, true, _) => Reading::Growth(number),
            (_, false, _) => Reading::Total(number),
        })
    }

    fn buckets(&self) -> Reading {
        let mut buckets = Buckets::default();
        let (grid, is_delta) = match *self {
            Self::Histogram {
                is_delta,
                bounds,
                counts,
                ..
            } => {
                if bounds.is_empty() || counts.len() != bounds.len() + 1 {
                    return Reading::Unusable("a histogram without buckets");
                }
                for (bucket, count) in (0..).zip(counts).filter(|(_, count)| **count > 0) {
                    buckets.add(bucket, *count as f64);
                }
                (Grid::Explicit(bounds.into()), is_delta)
            }
            Self::Exponential {
                is_delta,
                scale,
                zero,
                offset,
                counts,
                ..
            } => {
                if zero > 0 {
                    buckets.add(ZERO, zero as f64);
                }
                for (index, count) in (offset..).zip(counts).filter(|(_, count)| **count > 0) {
                    rescaled(scale, index, *count as f64, &mut buckets);
                }
                (Grid::Exponential, is_delta)
            }
            Self::Summary { .. } => {
                return Reading::Unusable("a summary, whose quantiles cannot be added up");
            }
            _ => return Reading::Unusable("no histogram"),
        };
        if is_delta {
            Reading::Measured(grid, buckets)
        } else {
            Reading::Totals(grid, buckets)
        }
    }
}
