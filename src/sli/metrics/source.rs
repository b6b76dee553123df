//! `metrics:` of an SLI, as it is written.

use super::selector::Selector;
use crate::sli::duration::parse_nanos;
use crate::sli::expr::{Expr, Field};
use crate::sli::matcher::Matcher;
use crate::time::NANOS_PER_SEC;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The metrics that an SLI counts.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricSource {
    /// Points of one metric, each judged by its attributes, or (of a histogram) by its buckets.
    Points(PointSelector),
    /// One counter of good events and one of bad.
    Sides {
        /// Good events.
        good: PointSelector,
        /// Bad events.
        bad: PointSelector,
    },
    /// One counter of a part of the events and one of all.
    OfTotal {
        /// The part.
        part: PointSelector,
        /// Whether the part is the bad one.
        part_is_bad: bool,
        /// All events.
        total: PointSelector,
    },
    /// A gauge in slices of time.
    Gauge(GaugeSource),
}

/// Which points of which metric, with conditions in the language of `match:`.
#[derive(Clone, Debug, PartialEq)]
pub struct PointSelector {
    /// Name and labels.
    pub selector: Selector,
    /// What else must hold, all of it.
    pub conditions: Vec<Expr>,
}

/// A gauge, each slice of time one event.
#[derive(Clone, Debug, PartialEq)]
pub struct GaugeSource {
    /// Whose values.
    pub points: PointSelector,
    /// What a good slice keeps to.
    pub limit: GaugeLimit,
    /// Width of a slice, in seconds.
    pub slice_secs: u64,
    /// What a slice without data is.
    pub missing: Missing,
    /// How long a value stands for itself when no newer one comes, in seconds.
    pub stale_after_secs: u64,
}

/// What every value of a good slice keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum GaugeLimit {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// The value is a time, which may be so old at most, in nanoseconds.
    AgeAtMost(u64),
}

/// What a slice without data is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// A good one.
    Good,
    /// A bad one.
    Bad,
    /// Not counted.
    #[default]
    Excluded,
}

/// Width of a slice unless the policy says otherwise.
const SLICE_SECS: u64 = 60;
/// How long a value stands for itself unless the policy says otherwise: as in Prometheus.
const STALE_SECS: u64 = 300;
const SLICE_MIN_SECS: u64 = 10;
const SLICE_MAX_SECS: u64 = 86_400;

impl MetricSource {
    /// Whether the source says itself what is good, so that nothing beside it may.
    pub fn says_what_is_good(&self) -> bool {
        !matches!(self, Self::Points(PointSelector { selector, .. }) if selector.at_most.is_none())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMetrics {
    #[serde(alias = "counter", alias = "histogram")]
    metric: Option<Selector>,
    r#match: Option<BTreeMap<String, Matcher>>,
    scope: Option<Matcher>,
    le: Option<f64>,
    good: Option<Selector>,
    bad: Option<Selector>,
    total: Option<Selector>,
    gauge: Option<Selector>,
    at_most: Option<f64>,
    at_least: Option<f64>,
    age_at_most: Option<String>,
    slice: Option<String>,
    missing: Option<Missing>,
    stale_after: Option<String>,
}

impl RawMetrics {
    /// `match:` and `scope:`, which speak of every selector beside them.
    fn conditions(&mut self) -> Result<Vec<Expr>, String> {
        let mut conditions = Vec::new();
        if let Some(matcher) = self.scope.take() {
            conditions.push(matcher.into_expr(&Field::ScopeName)?);
        }
        for (name, matcher) in self.r#match.take().unwrap_or_default() {
            if name.is_empty() {
                return Err("match names an empty attribute".to_owned());
            }
            let condition = matcher
                .into_expr(&Field::from_name(&name))
                .map_err(|problem| format!("match {name:?}: {problem}"))?;
            conditions.push(condition);
        }
        conditions.iter().try_for_each(of_points)?;
        Ok(conditions)
    }

    fn has_gauge_keys(&self) -> bool {
        self.at_most.is_some()
            || self.at_least.is_some()
            || self.age_at_most.is_some()
            || self.slice.is_some()
            || self.missing.is_some()
            || self.stale_after.is_some()
    }

    fn read(mut self) -> Result<MetricSource, String> {
        let conditions = self.conditions()?;
        let points = |selector| PointSelector {
            selector,
            conditions: conditions.clone(),
        };
        if self.gauge.is_none() && self.has_gauge_keys() {
            let keys = "at_most, at_least, age_at_most, slice, missing and stale_after";
            return Err(format!("{keys} belong to a gauge; name one with gauge"));
        }
        if self.metric.is_none() && self.le.is_some() {
            return Err("le belongs to a histogram; name one with metric".to_owned());
        }
        match (
            self.metric.take(),
            self.good.take(),
            self.bad.take(),
            self.total.take(),
            self.gauge.take(),
        ) {
            (Some(mut metric), None, None, None, None) => {
                if let Some(le) = self.le
                    && (!le.is_finite() || metric.at_most.replace(le).is_some())
                {
                    return Err("le takes one finite number, once".to_owned());
                }
                Ok(MetricSource::Points(points(metric)))
            }
            (None, Some(good), Some(bad), None, None) => Ok(MetricSource::Sides {
                good: points(good),
                bad: points(bad),
            }),
            (None, Some(part), None, Some(total), None) => Ok(MetricSource::OfTotal {
                part: points(part),
                part_is_bad: false,
                total: points(total),
            }),
            (None, None, Some(part), Some(total), None) => Ok(MetricSource::OfTotal {
                part: points(part),
                part_is_bad: true,
                total: points(total),
            }),
            (None, None, None, None, Some(gauge)) => Ok(MetricSource::Gauge(self.gauge(points(gauge))?)),
            _ => Err(
                "metrics takes one of: metric; good and bad; good and total; bad and total; gauge".to_owned(),
            ),
        }
    }

    fn gauge(&self, points: PointSelector) -> Result<GaugeSource, String> {
        if points.selector.at_most.is_some() {
            return Err("a gauge has no le".to_owned());
        }
        let finite = |value: f64| {
            value
                .is_finite()
                .then_some(value)
                .ok_or("a limit is a finite number")
        };
        let limit = match (self.at_most, self.at_least, &self.age_at_most) {
            (Some(value), None, None) => GaugeLimit::AtMost(finite(value)?),
            (None, Some(value), None) => GaugeLimit::AtLeast(finite(value)?),
            (None, None, Some(age)) => GaugeLimit::AgeAtMost(nanos("age_at_most", age)?),
            _ => return Err("a gauge takes one of at_most, at_least and age_at_most".to_owned()),
        };
        let secs = |key: &str, text: &Option<String>, default: u64| -> Result<u64, String> {
            let Some(text) = text else { return Ok(default) };
            let nanos = nanos(key, text)?;
            let secs = nanos / NANOS_PER_SEC;
            let fits =
                nanos.is_multiple_of(10 * NANOS_PER_SEC) && (SLICE_MIN_SECS..=SLICE_MAX_SECS).contains(&secs);
            fits.then_some(secs)
                .ok_or_else(|| format!("{key} of {text}: must be a multiple of 10s, from 10s to 24h"))
        };
        Ok(GaugeSource {
            points,
            limit,
            slice_secs: secs("slice", &self.slice, SLICE_SECS)?,
            missing: self.missing.unwrap_or_default(),
            stale_after_secs: secs("stale_after", &self.stale_after, STALE_SECS)?,
        })
    }
}

fn nanos(key: &str, text: &str) -> Result<u64, String> {
    parse_nanos(text.trim())
        .ok_or_else(|| format!("{key} of {text:?} is no duration; write a number and a unit, such as 10m"))
}

/// Refuses expressions that look at what only spans have.
pub(in crate::sli) fn of_points(expr: &Expr) -> Result<(), String> {
    match expr {
        Expr::And(terms) | Expr::Or(terms) => terms.iter().try_for_each(of_points),
        Expr::Not(inner) => of_points(inner),
        Expr::Test(test) => match &test.field {
            Field::Kind | Field::Name | Field::Status | Field::StatusMessage | Field::Duration => {
                Err(format!(
                    "{} is a span's; points of metrics have attributes (put a key in backticks to mean one)",
                    test.field
                ))
            }
            Field::ScopeName | Field::ScopeVersion | Field::Attribute { .. } => Ok(()),
        },
    }
}

impl<'de> Deserialize<'de> for MetricSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = MetricSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a metric, or a map with metric, good, bad, total or gauge")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MetricSource, E> {
                let selector = text.parse().map_err(E::custom)?;
                Ok(MetricSource::Points(PointSelector {
                    selector,
                    conditions: Vec::new(),
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MetricSource, A::Error> {
                let raw = RawMetrics::deserialize(MapAccessDeserializer::new(map))?;
                raw.read().map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(SourceVisitor)
    }
}

#[cfg(test)]
mod tests {
    use crate::sli::SliSpec;
    use crate::sli::metrics::{GaugeLimit, MetricSource, Missing};
    use crate::sli::spec::Source;

    fn read(yaml: &str) -> Result<SliSpec, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_of_the_documentation_is_read() {
        for yaml in [
            "{ metrics: http.server.request.duration }",
            "{ metrics: rpc.server.duration, faster_than: 250ms, failed: exclude }",
            "{ metrics: 'http_requests_total{job=\"shop\"}', bad: 'code =~ \"5..\"' }",
            "{ metrics: { metric: http_request_duration_seconds_bucket, le: 0.5 } }",
            "{ metrics: { histogram: http.server.request.duration, match: { http.route: [ /pay ] } }, faster_than: 1s }",
            "{ metrics: { bad: 'http_requests_total{code=~\"5..\"}', total: http_requests_total } }",
            "{ metrics: { good: 'x_bucket{le=\"0.5\"}', total: x_count } }",
            "{ metrics: { good: jobs.done, bad: jobs.failed } }",
        ] {
            let spec = read(yaml).unwrap_or_else(|problem| panic!("{yaml}: {problem}"));
            assert!(matches!(spec.source, Source::Metrics(_)), "{yaml}");
        }
        let gauge = read("{ metrics: { gauge: lag, age_at_most: 10m, slice: 5m, missing: bad } }").unwrap();
        let Source::Metrics(MetricSource::Gauge(gauge)) = gauge.source else {
            panic!("no gauge");
        };
        assert_eq!(gauge.limit, GaugeLimit::AgeAtMost(600_000_000_000));
        assert_eq!(
            (gauge.slice_secs, gauge.missing, gauge.stale_after_secs),
            (300, Missing::Bad, 300)
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_reason() {
        for (yaml, why) in [
            ("{ metrics: x, spans: {} }", "one signal"),
            ("{ metrics: { good: x } }", "takes one of"),
            ("{ metrics: { metric: x, total: y } }", "takes one of"),
            ("{ metrics: { gauge: x } }", "one of at_most"),
            (
                "{ metrics: { gauge: x, at_most: 1, slice: 7s } }",
                "multiple of 10s",
            ),
            ("{ metrics: { metric: x, at_most: 1 } }", "belong to a gauge"),
            ("{ metrics: { good: x, bad: y }, bad: 'a == 1' }", "says itself"),
            ("{ metrics: x, bad: 'status == error' }", "a span's"),
            ("{ metrics: { metric: x, match: { duration: 5 } } }", "duration"),
            (
                "{ metrics: { metric: x, le: 1 }, faster_than: 1s }",
                "says itself",
            ),
        ] {
            let problem = read(yaml).unwrap_err();
            assert!(problem.contains(why), "{yaml}: {problem}");
        }
    }
}
