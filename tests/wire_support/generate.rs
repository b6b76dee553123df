//! Requests of any shape, made from a string of random bytes (so that a failing case shrinks with the
//! string).

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// Random bytes, consumed from the front; zeros when they are used up.
#[derive(Debug)]
pub struct Entropy<'e>(pub &'e [u8]);

impl Entropy<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    /// Small, middling and huge numbers alike.
    pub fn number(&mut self) -> u64 {
        let mask = [0x7f, 0xff, 0xffff, 0xffff_ffff, u64::MAX][usize::from(self.below(5))];
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())) & mask
    }

    fn bytes(&mut self, length: u8) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    /// Up to `most` things; fewer are likelier.
    fn some<T>(&mut self, most: u8, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1).min(self.below(most + 1));
        (0..count).map(|_| make(self)).collect()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.below(4) == 0 {
            None
        } else {
            Some(make(self))
        }
    }
}

fn text(entropy: &mut Entropy<'_>) -> String {
    const TEXTS: [&str; 7] = [
        "",
        "GET",
        "checkout",
        "d\u{e9}ploy",
        "feature_flag.evaluation",
        "feature_flag",
        "exception",
    ];
    TEXTS[usize::from(entropy.below(7))].to_owned()
}

fn key(entropy: &mut Entropy<'_>) -> String {
    const OTHERS: [&str; 8] = [
        "",
        "service.nama",
        "Service.name",
        "exception.type",
        "feature_flag.flag_key",
        "feature_flag.",
        "http.method",
        "an.attribute.key.that.is.longer.than.any.key.that.somebody.wants.of.us",
    ];
    let all = super::KEYS.len() + OTHERS.len();
    let index = usize::from(entropy.below(u8::try_from(all).unwrap()));
    super::KEYS
        .get(index)
        .unwrap_or_else(|| &OTHERS[index - super::KEYS.len()])
        .to_string()
}

fn any_value(entropy: &mut Entropy<'_>, levels: u8) -> AnyValue {
    let kinds = if levels == 0 { 7 } else { 9 };
    let value = match entropy.below(kinds) {
        0 => None,
        1 | 2 => Some(Value::StringValue(text(entropy))),
        3 => Some(Value::BoolValue(entropy.byte() & 1 == 1)),
        4 => Some(Value::IntValue(entropy.number().cast_signed())),
        5 => Some(Value::DoubleValue(f64::from_bits(entropy.number()))),
        6 => {
            let length = entropy.below(4);
            Some(Value::BytesValue(entropy.bytes(length)))
        }
        7 => Some(Value::ArrayValue(ArrayValue {
            values: entropy.some(3, |entropy| any_value(entropy, levels - 1)),
        })),
        _ => Some(Value::KvlistValue(KeyValueList {
            values: entropy.some(3, |entropy| key_value(entropy, levels - 1)),
        })),
    };
    AnyValue { value }
}

fn key_value(entropy: &mut Entropy<'_>, levels: u8) -> KeyValue {
    KeyValue {
        key: key(entropy),
        value: entropy.maybe(|entropy| any_value(entropy, levels)),
        key_strindex: i32::from(entropy.byte() == 7),
    }
}

fn attributes(entropy: &mut Entropy<'_>) -> Vec<KeyValue> {
    entropy.some(5, |entropy| key_value(entropy, 3))
}

fn id(entropy: &mut Entropy<'_>, length: u8) -> Vec<u8> {
    let length = match entropy.below(16) {
        0 => 0,
        1 => length - 1,
        2 => length + 1,
        _ => length,
    };
    entropy.bytes(length)
}

fn event(entropy: &mut Entropy<'_>) -> Event {
    Event {
        time_unix_nano: entropy.number(),
        name: text(entropy),
        attributes: attributes(entropy),
        dropped_attributes_count: u32::from(entropy.below(2)),
    }
}

fn link(entropy: &mut Entropy<'_>) -> Link {
    Link {
        trace_id: id(entropy, 16),
        attributes: attributes(entropy),
        ..Link::default()
    }
}

fn span(entropy: &mut Entropy<'_>) -> Span {
    Span {
        trace_id: id(entropy, 16),
        span_id: id(entropy, 8),
        parent_span_id: id(entropy, 8),
        trace_state: text(entropy),
        flags: u32::from(entropy.byte()),
        name: text(entropy),
        kind: i32::from(entropy.byte().cast_signed()),
        start_time_unix_nano: entropy.number(),
        end_time_unix_nano: entropy.number(),
        attributes: attributes(entropy),
        dropped_attributes_count: u32::from(entropy.below(2)),
        events: entropy.some(3, event),
        dropped_events_count: u32::from(entropy.below(2)),
        links: entropy.some(2, link),
        dropped_links_count: u32::from(entropy.below(2)),
        status: entropy.maybe(|entropy| Status {
            message: text(entropy),
            code: i32::from(entropy.byte().cast_signed()),
        }),
    }
}

fn scope(entropy: &mut Entropy<'_>) -> InstrumentationScope {
    InstrumentationScope {
        name: text(entropy),
        version: text(entropy),
        attributes: attributes(entropy),
        dropped_attributes_count: u32::from(entropy.below(2)),
    }
}

fn resource(entropy: &mut Entropy<'_>) -> Resource {
    Resource {
        attributes: attributes(entropy),
        dropped_attributes_count: u32::from(entropy.below(2)),
        entity_refs: entropy.some(1, |entropy| EntityRef {
            schema_url: text(entropy),
            ..EntityRef::default()
        }),
    }
}

fn scope_spans(entropy: &mut Entropy<'_>) -> ScopeSpans {
    ScopeSpans {
        scope: entropy.maybe(scope),
        spans: entropy.some(4, span),
        schema_url: text(entropy),
    }
}

fn resource_spans(entropy: &mut Entropy<'_>) -> ResourceSpans {
    ResourceSpans {
        resource: entropy.maybe(resource),
        scope_spans: entropy.some(3, scope_spans),
        schema_url: text(entropy),
    }
}

pub fn traces(entropy: &mut Entropy<'_>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: entropy.some(4, resource_spans),
    }
}

fn log_record(entropy: &mut Entropy<'_>) -> LogRecord {
    LogRecord {
        time_unix_nano: entropy.number(),
        severity_number: i32::from(entropy.byte()),
        body: entropy.maybe(|entropy| any_value(entropy, 2)),
        attributes: attributes(entropy),
        trace_id: id(entropy, 16),
        span_id: id(entropy, 8),
        event_name: text(entropy),
        severity_text: text(entropy),
        observed_time_unix_nano: entropy.number(),
        flags: u32::from(entropy.byte()),
        dropped_attributes_count: u32::from(entropy.below(2)),
    }
}

pub fn logs(entropy: &mut Entropy<'_>) -> ExportLogsServiceRequest {
    let scope_logs = |entropy: &mut Entropy<'_>| ScopeLogs {
        scope: entropy.maybe(scope),
        log_records: entropy.some(5, log_record),
        schema_url: text(entropy),
    };
    let resource_logs = |entropy: &mut Entropy<'_>| ResourceLogs {
        resource: entropy.maybe(resource),
        scope_logs: entropy.some(3, scope_logs),
        schema_url: text(entropy),
    };
    ExportLogsServiceRequest {
        resource_logs: entropy.some(4, resource_logs),
    }
}

fn double(entropy: &mut Entropy<'_>) -> f64 {
    f64::from_bits(entropy.number())
}

fn number_point(entropy: &mut Entropy<'_>) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(entropy),
        start_time_unix_nano: entropy.number(),
        time_unix_nano: entropy.number(),
        flags: u32::from(entropy.below(2)),
        value: entropy.maybe(|entropy| {
            if entropy.below(2) == 0 {
                Number::AsInt(entropy.number().cast_signed())
            } else {
                Number::AsDouble(double(entropy))
            }
        }),
        exemplars: entropy.some(1, |entropy| Exemplar {
            time_unix_nano: entropy.number(),
            ..Exemplar::default()
        }),
    }
}

fn histogram_point(entropy: &mut Entropy<'_>) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(entropy),
        start_time_unix_nano: entropy.number(),
        time_unix_nano: entropy.number(),
        count: entropy.number(),
        sum: entropy.maybe(double),
        bucket_counts: entropy.some(4, Entropy::number),
        explicit_bounds: entropy.some(3, double),
        flags: u32::from(entropy.below(2)),
        min: entropy.maybe(double),
        max: entropy.maybe(double),
        ..HistogramDataPoint::default()
    }
}

fn exponential_point(entropy: &mut Entropy<'_>) -> ExponentialHistogramDataPoint {
    let buckets = |entropy: &mut Entropy<'_>| Buckets {
        offset: i32::from(entropy.byte()) - 128,
        bucket_counts: entropy.some(4, Entropy::number),
    };
    ExponentialHistogramDataPoint {
        attributes: attributes(entropy),
        start_time_unix_nano: entropy.number(),
        time_unix_nano: entropy.number(),
        count: entropy.number(),
        sum: entropy.maybe(double),
        scale: i32::from(entropy.byte()) - 128,
        zero_count: entropy.number(),
        positive: entropy.maybe(buckets),
        negative: entropy.maybe(buckets),
        flags: u32::from(entropy.below(2)),
        min: entropy.maybe(double),
        max: entropy.maybe(double),
        zero_threshold: double(entropy),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn summary_point(entropy: &mut Entropy<'_>) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(entropy),
        start_time_unix_nano: entropy.number(),
        time_unix_nano: entropy.number(),
        count: entropy.number(),
        sum: double(entropy),
        quantile_values: entropy.some(3, |entropy| ValueAtQuantile {
            quantile: double(entropy),
            value: double(entropy),
        }),
        flags: u32::from(entropy.below(2)),
    }
}

fn metric(entropy: &mut Entropy<'_>) -> Metric {
    let temporality = i32::from(entropy.below(3));
    let data = match entropy.below(6) {
        0 => None,
        1 => Some(Data::Gauge(Gauge {
            data_points: entropy.some(4, number_point),
        })),
        2 => Some(Data::Sum(Sum {
            data_points: entropy.some(4, number_point),
            aggregation_temporality: temporality,
            is_monotonic: true,
        })),
        3 => Some(Data::Histogram(Histogram {
            data_points: entropy.some(4, histogram_point),
            aggregation_temporality: temporality,
        })),
        4 => Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: entropy.some(4, exponential_point),
            aggregation_temporality: temporality,
        })),
        _ => Some(Data::Summary(Summary {
            data_points: entropy.some(4, summary_point),
        })),
    };
    Metric {
        name: text(entropy),
        unit: text(entropy),
        data,
        metadata: attributes(entropy),
        ..Metric::default()
    }
}

pub fn metrics(entropy: &mut Entropy<'_>) -> ExportMetricsServiceRequest {
    let scope_metrics = |entropy: &mut Entropy<'_>| ScopeMetrics {
        scope: entropy.maybe(scope),
        metrics: entropy.some(4, metric),
        schema_url: text(entropy),
    };
    let resource_metrics = |entropy: &mut Entropy<'_>| ResourceMetrics {
        resource: entropy.maybe(resource),
        scope_metrics: entropy.some(3, scope_metrics),
        schema_url: text(entropy),
    };
    ExportMetricsServiceRequest {
        resource_metrics: entropy.some(4, resource_metrics),
    }
}
