//! One objective over metrics, compiled.

use super::labels::Label;
use super::naming::{self, Measure, Threshold};
use super::source::{GaugeSource, MetricSource, PointSelector};
use crate::sli::SpanContext;
use crate::sli::judge::Failure;
use crate::sli::predicate::Predicate;
use crate::sli::spec::{Failed, Latency, SliSpec};
use crate::wire::{AnyValue, Attributes, KeyTableBuilder, Metric, Point, Slot, Span};

/// One objective's judgement of points.
#[derive(Debug)]
pub struct MetricJudge {
    kind: Kind,
    /// `error.type`, which by convention a failed request has and no other.
    error_type: Slot,
}

#[derive(Debug)]
enum Kind {
    Points {
        points: Term,
        failure: Failure,
        latency: Option<(Threshold, Failed)>,
    },
    Sides {
        good: Term,
        bad: Term,
    },
    OfTotal {
        part: Term,
        part_is_bad: bool,
        total: Term,
    },
    Gauge {
        points: Term,
        source: GaugeSource,
    },
}

/// A selector, compiled.
#[derive(Debug)]
struct Term {
    name: Box<str>,
    at_most: Option<f64>,
    labels: Box<[Label]>,
    conditions: Box<[Predicate]>,
}

/// What an objective measures of one metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Of the first term: all points, the good ones, the part, or the gauge.
    first: Option<Measure>,
    /// Of the second: the bad ones, or all.
    second: Option<Measure>,
    /// The threshold in the metric's unit.
    below: Option<f64>,
    /// The metric's unit is no time, so that a threshold of time says nothing.
    pub unit_is_no_time: bool,
}

/// How one point counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointUse {
    /// All of it is good, or bad.
    Side {
        /// How much.
        measure: Measure,
        /// Whether it is bad.
        is_bad: bool,
    },
    /// A part of it is one thing, and the rest another.
    Split {
        /// The part.
        part: Measure,
        /// All of it.
        whole: Measure,
        /// Whether the part is the bad one.
        part_is_bad: bool,
    },
    /// A part whose whole is counted by another metric.
    Part {
        /// How much.
        measure: Measure,
        /// Whether the part is the bad one.
        part_is_bad: bool,
    },
    /// A whole of which another metric counts the part.
    Whole {
        /// How much.
        measure: Measure,
        /// Whether the part is the bad one.
        part_is_bad: bool,
    },
    /// A value in a slice of time.
    Gauge,
}

impl MetricJudge {
    /// Compiles what a policy says; the error is a regular expression and what is wrong with it.
    pub(in crate::sli) fn compile(
        source: &MetricSource,
        sli: &SliSpec,
        keys: &mut KeyTableBuilder,
    ) -> Result<Self, (String, String)> {
        let kind = match source {
            MetricSource::Points(points) => {
                let native = points
                    .selector
                    .at_most
                    .map(|bound| (Threshold::Native(bound), Failed::Bad));
                let nanos = sli.latency.map(
                    |Latency {
                         faster_than_nanos,
                         failed,
                     }| { (Threshold::Nanos(faster_than_nanos), failed) },
                );
                Kind::Points {
                    points: Term::compile(points, keys)?,
                    failure: Failure::compile(&sli.outcome, keys)?,
                    latency: nanos.or(native),
                }
            }
            MetricSource::Sides { good, bad } => Kind::Sides {
                good: Term::compile(good, keys)?,
                bad: Term::compile(bad, keys)?,
            },
            MetricSource::OfTotal {
                part,
                part_is_bad,
                total,
            } => Kind::OfTotal {
                part: Term::compile(part, keys)?,
                part_is_bad: *part_is_bad,
                total: Term::compile(total, keys)?,
            },
            MetricSource::Gauge(source) => Kind::Gauge {
                points: Term::compile(&source.points, keys)?,
                source: source.clone(),
            },
        };
        Ok(Self {
            kind,
            error_type: keys.key("error.type"),
        })
    }

    /// The gauge, if it is one.
    pub fn gauge(&self) -> Option<&GaugeSource> {
        match &self.kind {
            Kind::Gauge { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether it is a gauge that tells times.
    pub fn is_age(&self) -> bool {
        self.gauge()
            .is_some_and(|gauge| matches!(gauge.limit, super::GaugeLimit::AgeAtMost(_)))
    }

    /// Nanoseconds of the unit of a gauge that tells times: seconds, unless it says otherwise.
    pub fn age_unit_nanos(metric: &Metric<'_>) -> f64 {
        naming::nanos_of(metric).unwrap_or(1e9)
    }

    /// What it measures of `metric`; `None` when the metric is none of its own.
    pub fn verdict(&self, metric: &Metric<'_>) -> Option<Verdict> {
        let mut verdict = Verdict::default();
        let (first, second) = match &self.kind {
            Kind::Points { points, latency, .. } => {
                // The threshold is the objective's; the name says only which metric.
                verdict.first = naming::measure(&points.name, None, metric);
                if let (Some(_), Some((threshold, _))) = (verdict.first, latency) {
                    verdict.below = threshold.native(metric);
                    verdict.unit_is_no_time = verdict.below.is_none();
                }
                return verdict.first.map(|_| verdict);
            }
            Kind::Sides { good, bad } => (good, bad),
            Kind::OfTotal { part, total, .. } => (part, total),
            Kind::Gauge { points, source } => {
                verdict.first = naming::measure(&points.name, None, metric);
                let is_age = matches!(source.limit, super::GaugeLimit::AgeAtMost(_));
                verdict.unit_is_no_time =
                    is_age && !metric.unit.is_empty() && naming::nanos_of(metric).is_none();
                return verdict.first.map(|_| verdict);
            }
        };
        verdict.first = naming::measure(&first.name, first.at_most, metric);
        verdict.second = naming::measure(&second.name, second.at_most, metric);
        (verdict.first.is_some() || verdict.second.is_some()).then_some(verdict)
    }

    /// Judges one point of the metric that `verdict` was made for. `context` is [`Self::context_span`]'s.
    pub fn judge(
        &self,
        verdict: &Verdict,
        point: &Point<'_>,
        context: &SpanContext<'_, '_>,
        mut each: impl FnMut(PointUse),
    ) {
        let passes = |term: &Term, measure: Option<Measure>| measure.filter(|_| term.holds(point, context));
        match &self.kind {
            Kind::Points {
                points,
                failure,
                latency,
            } => {
                let Some(measure) = passes(points, verdict.first) else {
                    return;
                };
                let is_bad = failure.is_failed(context, &mut None);
                match latency {
                    Some((_, Failed::Exclude)) if is_bad => {}
                    Some(_) if !is_bad => {
                        let Some(below) = verdict.below else { return };
                        each(PointUse::Split {
                            part: Measure::AtMost(below),
                            whole: measure,
                            part_is_bad: false,
                        });
                    }
                    _ => each(PointUse::Side { measure, is_bad }),
                }
            }
            Kind::Sides { good, bad } => {
                for (term, measure, is_bad) in [(good, verdict.first, false), (bad, verdict.second, true)] {
                    if let Some(measure) = passes(term, measure) {
                        each(PointUse::Side { measure, is_bad });
                    }
                }
            }
            Kind::OfTotal {
                part,
                part_is_bad,
                total,
            } => self.of_total(
                verdict,
                (passes(part, verdict.first), passes(total, verdict.second)),
                *part_is_bad,
                each,
            ),
            Kind::Gauge { points, .. } => {
                if passes(points, verdict.first).is_some() {
                    each(PointUse::Gauge);
                }
            }
        }
    }

    /// Where one metric counts both the part and the whole, the point says by itself how it divides.
    #[allow(clippy::unused_self, reason = "reads as what it is: a part of `judge`")]
    fn of_total(
        &self,
        verdict: &Verdict,
        passed: (Option<Measure>, Option<Measure>),
        part_is_bad: bool,
        mut each: impl FnMut(PointUse),
    ) {
        let both = verdict.first.is_some() && verdict.second.is_some();
        match passed {
            (Some(part), Some(whole)) => each(PointUse::Split {
                part,
                whole,
                part_is_bad,
            }),
            (None, Some(measure)) if both => each(PointUse::Side {
                measure,
                is_bad: !part_is_bad,
            }),
            (None, Some(measure)) => each(PointUse::Whole { measure, part_is_bad }),
            (Some(measure), None) => each(PointUse::Part { measure, part_is_bad }),
            (None, None) => {}
        }
    }

    /// The span that stands for a point where conventions ask for one: served or called, failed if the point
    /// names an error.
    pub fn context_span<'a>(&self, metric: &Metric<'a>, attributes: &Attributes<'a>) -> Span<'a> {
        const SERVER: i32 = 2;
        const CLIENT: i32 = 3;
        const ERROR: i32 = 2;
        let is_client = [&b".client."[..], b"_client_"]
            .iter()
            .any(|word| memchr::memmem::find(metric.name, word).is_some());
        let failed = attributes
            .get(self.error_type)
            .and_then(AnyValue::as_str)
            .is_some_and(|text| !text.is_empty());
        Span {
            kind: if is_client { CLIENT } else { SERVER },
            status_code: if failed { ERROR } else { 0 },
            ..Span::default()
        }
    }
}

impl Term {
    fn compile(points: &PointSelector, keys: &mut KeyTableBuilder) -> Result<Self, (String, String)> {
        let labels = &points.selector.labels;
        Ok(Self {
            name: points.selector.name.as_str().into(),
            at_most: points.selector.at_most,
            labels: labels
                .iter()
                .map(|label| Label::compile(label, keys))
                .collect::<Result<_, _>>()?,
            conditions: Predicate::compile_all(&points.conditions, keys)?,
        })
    }

    fn holds(&self, point: &Point<'_>, context: &SpanContext<'_, '_>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(context))
            && self.labels.iter().all(|label| label.holds(point, context))
    }
}
