//! Whether a metric is the one that a policy names, and what of its points is measured.

use crate::forward::prometheus_name;
use crate::wire::{Metric, MetricKind};

/// What of a point is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// The value of a sum.
    Value,
    /// The number of a histogram's or a summary's observations.
    Count,
    /// Their sum.
    Sum,
    /// How many of them are at most this, in the metric's unit.
    AtMost(f64),
    /// The value as it is.
    Level,
}

/// Up to where an observation is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Threshold {
    /// In the metric's unit.
    Native(f64),
    /// A duration, which the metric's unit makes a number of.
    Nanos(u64),
}

impl Threshold {
    /// The threshold in the unit of `metric`; `None` when the unit is no time.
    pub(super) fn native(self, metric: &Metric<'_>) -> Option<f64> {
        match self {
            Self::Native(value) => Some(value),
            Self::Nanos(nanos) => Some(nanos as f64 / nanos_of(metric)?),
        }
    }
}

/// Nanoseconds of the unit of a metric. A metric that came by way of Prometheus has its unit in its name.
pub(super) fn nanos_of(metric: &Metric<'_>) -> Option<f64> {
    let unit = if metric.unit.is_empty() {
        metric.name.rsplit(|byte| matches!(byte, b'_' | b'.')).next()?
    } else {
        metric.unit
    };
    Some(match unit {
        b"s" | b"seconds" => 1e9,
        b"ms" | b"milliseconds" => 1e6,
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" | b"microseconds" => 1e3,
        b"ns" | b"nanoseconds" => 1.0,
        b"min" | b"minutes" => 60e9,
        b"h" | b"hours" => 3600e9,
        _ => return None,
    })
}

/// What a policy's name measures of `metric`, if it names it at all: by OpenTelemetry's name, or by
/// Prometheus' with or without the suffixes for unit and kind.
pub(super) fn measure(name: &str, at_most: Option<f64>, metric: &Metric<'_>) -> Option<Measure> {
    let whole = whole(metric.kind);
    if name.as_bytes() == metric.name {
        return Some(at_most.map_or(whole, Measure::AtMost));
    }
    if !may_begin(name.as_bytes(), metric.name) {
        return None;
    }
    let (text, unit) = (
        std::str::from_utf8(metric.name).ok()?,
        std::str::from_utf8(metric.unit).ok()?,
    );
    let is_counter = metric.kind == MetricKind::Sum && metric.is_monotonic;
    let is_gauge = metric.kind == MetricKind::Gauge;
    [true, false].into_iter().find_map(|suffixes| {
        let family = prometheus_name(text, unit, is_counter, is_gauge, suffixes);
        let rest = name.strip_prefix(&family)?;
        let has_parts = !matches!(metric.kind, MetricKind::Sum | MetricKind::Gauge);
        match rest {
            "" => Some(at_most.map_or(whole, Measure::AtMost)),
            "_count" if has_parts => Some(Measure::Count),
            "_sum" if has_parts => Some(Measure::Sum),
            // Without `le` every observation is in some bucket.
            "_bucket" if has_parts => Some(at_most.map_or(Measure::Count, Measure::AtMost)),
            _ => None,
        }
    })
}

fn whole(kind: MetricKind) -> Measure {
    match kind {
        MetricKind::Gauge => Measure::Level,
        MetricKind::Sum => Measure::Value,
        MetricKind::Histogram | MetricKind::ExponentialHistogram | MetricKind::Summary => Measure::Count,
    }
}

/// A quick no for nearly all metrics: Prometheus' name begins with the words of OpenTelemetry's.
fn may_begin(name: &[u8], metric: &[u8]) -> bool {
    let word = |text: &[u8]| {
        text.iter()
            .position(|b| !b.is_ascii_alphanumeric())
            .unwrap_or(text.len())
    };
    let end = word(metric).min(word(name));
    end > 0 && name.get(..end) == metric.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric<'a>(name: &'a str, unit: &'a str, kind: MetricKind) -> Metric<'a> {
        Metric {
            name: name.as_bytes(),
            unit: unit.as_bytes(),
            kind,
            is_monotonic: true,
            ..Metric::default()
        }
    }

    #[test]
    fn both_worlds_names_find_the_metric() {
        let requests = metric("http.requests", "{request}", MetricKind::Sum);
        let received = metric("http_requests_total", "", MetricKind::Sum);
        let duration = metric("http.server.request.duration", "s", MetricKind::Histogram);
        let scraped = metric("http_request_duration_seconds", "", MetricKind::Histogram);
        for (name, metric, expected) in [
            ("http.requests", &requests, Some(Measure::Value)),
            ("http_requests_total", &requests, Some(Measure::Value)),
            ("http_requests", &requests, Some(Measure::Value)),
            ("http_requests_total", &received, Some(Measure::Value)),
            ("http_requests_count", &requests, None),
            ("http_request_total", &requests, None),
            ("http.server.request.duration", &duration, Some(Measure::Count)),
            (
                "http_server_request_duration_seconds",
                &duration,
                Some(Measure::Count),
            ),
            (
                "http_server_request_duration_seconds_count",
                &duration,
                Some(Measure::Count),
            ),
            (
                "http_server_request_duration_seconds_sum",
                &duration,
                Some(Measure::Sum),
            ),
            (
                "http_server_request_duration_seconds_bucket",
                &duration,
                Some(Measure::Count),
            ),
            (
                "http_server_request_duration_count",
                &duration,
                Some(Measure::Count),
            ),
            (
                "http_request_duration_seconds_count",
                &scraped,
                Some(Measure::Count),
            ),
            ("http_request_duration_seconds_count", &duration, None),
        ] {
            assert_eq!(measure(name, None, metric), expected, "{name}");
        }
        assert_eq!(
            measure("http_request_duration_seconds_bucket", Some(0.5), &scraped),
            Some(Measure::AtMost(0.5))
        );
    }

    #[test]
    fn a_duration_becomes_a_number_of_the_unit_exactly() {
        let quarter = Threshold::Nanos(250_000_000);
        for (unit, expected) in [("s", 0.25), ("ms", 250.0), ("us", 250_000.0), ("ns", 250e6)] {
            assert_eq!(
                quarter.native(&metric("x", unit, MetricKind::Histogram)),
                Some(expected)
            );
        }
        assert_eq!(
            quarter.native(&metric("x_seconds", "", MetricKind::Histogram)),
            Some(0.25)
        );
        assert_eq!(quarter.native(&metric("x", "By", MetricKind::Histogram)), None);
        assert_eq!(
            Threshold::Nanos(300_000_000).native(&metric("x", "s", MetricKind::Histogram)),
            Some(0.3)
        );
    }
}
