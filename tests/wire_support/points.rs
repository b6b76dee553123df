//! The walk over metrics and prost side by side: both write every point as the same line of text.

use super::{NO_CAPS, may_be_let_through, prost_wanted, table, wanted};
use burngate::wire::{
    Attributes, Buckets, Identity, Malformed, Metric, MetricSink, NumberValue, Point, PointValue, Reader,
    Repeated, Scope, WalkError, WalkSummary, walk_metrics,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as ProstNumber;
use opentelemetry_proto::tonic::metrics::v1::{Metric as ProstMetric, exponential_histogram_data_point};
use prost::Message;

#[derive(Default)]
struct Lines {
    resource: String,
    scope: String,
    metric: String,
    written: Vec<String>,
}

fn repeated(numbers: &Repeated<'_>) -> Vec<u64> {
    let mut all = Vec::new();
    numbers.for_each(|number| all.push(number));
    assert_eq!(numbers.is_empty(), all.is_empty());
    all
}

fn buckets(side: &Buckets<'_>) -> (i32, Vec<u64>) {
    let mut all = Vec::new();
    side.for_each(|number| all.push(number));
    (side.offset, all)
}

fn bits(number: Option<f64>) -> Option<u64> {
    number.map(f64::to_bits)
}

fn value(value: &PointValue<'_>) -> String {
    match value {
        PointValue::Number(NumberValue::Missing) => "none".to_owned(),
        PointValue::Number(NumberValue::Int(number)) => format!("int {number}"),
        PointValue::Number(NumberValue::Double(number)) => format!("double {}", number.to_bits()),
        PointValue::Histogram(h) => format!(
            "histogram {} {:?} {:?} {:?}",
            h.count,
            (bits(h.sum), bits(h.min), bits(h.max)),
            repeated(&h.bucket_counts),
            repeated(&h.explicit_bounds)
        ),
        PointValue::Exponential(h) => format!(
            "exponential {} {:?} {} {} {} {:?} {:?}",
            h.count,
            (bits(h.sum), bits(h.min), bits(h.max)),
            h.scale,
            h.zero_count,
            h.zero_threshold.to_bits(),
            buckets(&h.positive),
            buckets(&h.negative)
        ),
        PointValue::Summary(s) => {
            let mut quantiles = Vec::new();
            s.for_each(|quantile, value| quantiles.push((quantile.to_bits(), value.to_bits())));
            format!("summary {} {} {quantiles:?}", s.count, s.sum.to_bits())
        }
    }
}

impl<'a> MetricSink<'a> for Lines {
    fn forget(&mut self) {
        *self = Self::default();
    }

    fn resource(&mut self, attributes: &Attributes<'a>, _: Identity) {
        self.resource = format!("{:?}", wanted(attributes));
    }

    fn scope(&mut self, scope: &Scope<'a, '_>, _: Identity) {
        self.scope = format!(
            "{:?} {:?} {:?}",
            scope.name,
            scope.version,
            wanted(scope.attributes)
        );
    }

    fn metric(&mut self, metric: &Metric<'a>) -> bool {
        let Metric {
            name,
            unit,
            kind,
            temporality,
            is_monotonic,
            points,
        } = metric;
        self.metric = format!("{name:?} {unit:?} {kind:?} {temporality} {is_monotonic} {points}");
        true
    }

    fn point(&mut self, point: &Point<'a>, attributes: &Attributes<'a>) {
        let times = (point.start_time_unix_nano, point.time_unix_nano, point.flags);
        let mut keys = Vec::new();
        point.for_each_attribute(|key, _| keys.push(key.to_vec()));
        let line = (times, value(&point.value), wanted(attributes), keys);
        let place = (&self.resource, &self.scope, &self.metric);
        self.written.push(format!("{place:?} {line:?}"));
    }
}

/// What the walk says of the request.
pub fn walked_points(request: &[u8]) -> Result<(WalkSummary, Vec<String>), WalkError> {
    let mut lines = Lines::default();
    let summary = walk_metrics(request, &table(), &NO_CAPS, &mut lines)?;
    Ok((summary, lines.written))
}

type ProstPoint<'p> = ((u64, u64, u32), String, &'p [KeyValue]);

/// Kind, temporality, monotonicity and points of a metric.
fn data(metric: &ProstMetric) -> (&'static str, i32, bool, Vec<ProstPoint<'_>>) {
    let side = |side: &Option<exponential_histogram_data_point::Buckets>| {
        let side = side.clone().unwrap_or_default();
        (side.offset, side.bucket_counts)
    };
    let number = |value: &Option<ProstNumber>| match value {
        None => "none".to_owned(),
        Some(ProstNumber::AsInt(number)) => format!("int {number}"),
        Some(ProstNumber::AsDouble(number)) => format!("double {}", number.to_bits()),
    };
    let of_bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
    macro_rules! points {
        ($data:expr, $value:expr) => {
            $data
                .data_points
                .iter()
                .map(|p| {
                    let times = (p.start_time_unix_nano, p.time_unix_nano, p.flags);
                    (times, $value(p), &p.attributes[..])
                })
                .collect()
        };
    }
    match &metric.data {
        None => ("Gauge", 0, false, Vec::new()),
        Some(Data::Gauge(d)) => (
            "Gauge",
            0,
            false,
            points!(
                d,
                |p: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| number(&p.value)
            ),
        ),
        Some(Data::Sum(d)) => (
            "Sum",
            d.aggregation_temporality,
            d.is_monotonic,
            points!(
                d,
                |p: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| number(&p.value)
            ),
        ),
        Some(Data::Histogram(d)) => (
            "Histogram",
            d.aggregation_temporality,
            false,
            points!(
                d,
                |p: &opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint| format!(
                    "histogram {} {:?} {:?} {:?}",
                    p.count,
                    (bits(p.sum), bits(p.min), bits(p.max)),
                    p.bucket_counts,
                    of_bits(&p.explicit_bounds)
                )
            ),
        ),
        Some(Data::ExponentialHistogram(d)) => (
            "ExponentialHistogram",
            d.aggregation_temporality,
            false,
            points!(
                d,
                |p: &opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint| format!(
                    "exponential {} {:?} {} {} {} {:?} {:?}",
                    p.count,
                    (bits(p.sum), bits(p.min), bits(p.max)),
                    p.scale,
                    p.zero_count,
                    p.zero_threshold.to_bits(),
                    side(&p.positive),
                    side(&p.negative)
                )
            ),
        ),
        Some(Data::Summary(d)) => (
            "Summary",
            0,
            false,
            points!(
                d,
                |p: &opentelemetry_proto::tonic::metrics::v1::SummaryDataPoint| {
                    let of =
                        |q: &opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile| {
                            (q.quantile.to_bits(), q.value.to_bits())
                        };
                    let quantiles: Vec<_> = p.quantile_values.iter().map(of).collect();
                    format!("summary {} {} {quantiles:?}", p.count, p.sum.to_bits())
                }
            ),
        ),
    }
}

fn from_prost(request: &ExportMetricsServiceRequest) -> Vec<String> {
    let mut lines = Vec::new();
    for resource_metrics in &request.resource_metrics {
        let resource = resource_metrics.resource.clone().unwrap_or_default();
        let resource = format!("{:?}", prost_wanted(&resource.attributes));
        for scope_metrics in &resource_metrics.scope_metrics {
            let scope = scope_metrics.scope.clone().unwrap_or_default();
            let scope = format!(
                "{:?} {:?} {:?}",
                scope.name.as_bytes(),
                scope.version.as_bytes(),
                prost_wanted(&scope.attributes)
            );
            for metric in &scope_metrics.metrics {
                let (kind, temporality, is_monotonic, points) = data(metric);
                let count = points.len();
                let (name, unit) = (metric.name.as_bytes(), metric.unit.as_bytes());
                let metric = format!("{name:?} {unit:?} {kind} {temporality} {is_monotonic} {count}");
                for (times, value, attributes) in points {
                    let keys: Vec<_> = attributes
                        .iter()
                        .map(|pair| pair.key.as_bytes().to_vec())
                        .collect();
                    let line = (times, value, prost_wanted(attributes), keys);
                    lines.push(format!("{:?} {line:?}", (&resource, &scope, &metric)));
                }
            }
        }
    }
    lines
}

/// Compares the two readings of `request`. Says whether prost accepted.
#[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
pub fn same_points_as_prost(request: &[u8]) -> Result<bool, String> {
    match (
        ExportMetricsServiceRequest::decode(request),
        walked_points(request),
    ) {
        (Ok(message), Ok((summary, lines))) => {
            let expected = from_prost(&message);
            if lines != expected {
                return Err(format!("the walk reads {lines:#?}\nprost reads {expected:#?}"));
            }
            if (summary.spans, summary.rejected, summary.excess) != (expected.len() as u64, 0, 0) {
                return Err(format!("the walk counts {summary:?} of {}", expected.len()));
            }
            Ok(true)
        }
        (Ok(_), Err(refusal)) => Err(format!("prost accepts, the walk refuses: {refusal}")),
        (Err(refusal), Ok(_)) if !may_be_hopped_over(&refusal, request) => {
            Err(format!("the walk accepts, prost refuses: {refusal}"))
        }
        (Err(_), _) => Ok(false),
    }
}

/// Beside what spans let through: insides of exemplars and of metadata, and of data that other data replaces.
fn may_be_hopped_over(refusal: &prost::DecodeError, request: &[u8]) -> bool {
    let text = refusal.to_string();
    let hopped = [".exemplars", "Exemplar.", "Metric.metadata"];
    may_be_let_through(refusal)
        || hopped.iter().any(|field| text.contains(field))
        || (text.contains("Metric.data") && has_replaced_data(request).unwrap_or(true))
}

/// Whether some metric has data of two kinds.
fn has_replaced_data(request: &[u8]) -> Result<bool, Malformed> {
    let mut messages = vec![request];
    for field in [1, 2, 2] {
        let mut inner = Vec::new();
        for message in messages {
            let mut fields = Reader::new(message);
            while let Some(tag) = fields.tag()? {
                if tag == field << 3 | 2 {
                    inner.push(fields.bytes()?);
                } else {
                    fields.skip(tag)?;
                }
            }
        }
        messages = inner;
    }
    for metric in messages {
        let mut kinds = std::collections::BTreeSet::new();
        let mut fields = Reader::new(metric);
        while let Some(tag) = fields.tag()? {
            if [5, 7, 9, 10, 11].contains(&(tag >> 3)) {
                kinds.insert(tag >> 3);
            }
            fields.skip(tag)?;
        }
        if kinds.len() > 1 {
            return Ok(true);
        }
    }
    Ok(false)
}
