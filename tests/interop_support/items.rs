//! Requests taken apart: each item with its resource and scope, as the encoding of a request that holds nothing else. What two
//! requests hold is equal when these are equal as multisets, however they were split and merged on the way.

use super::door::Seen;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use prost::Message;
use serde::de::DeserializeOwned;

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub fn of_path(path: &str) -> Self {
        let ends = |last: &str, service: &str| path.ends_with(last) || path.ends_with(service);
        if ends("/v1/traces", "collector.trace.v1.TraceService/Export") {
            Self::Traces
        } else if ends("/v1/metrics", "collector.metrics.v1.MetricsService/Export") {
            Self::Metrics
        } else if ends("/v1/logs", "collector.logs.v1.LogsService/Export") {
            Self::Logs
        } else {
            panic!("no OTLP at {path}")
        }
    }
}

pub fn decode<M: Message + Default + DeserializeOwned>(seen: &Seen) -> M {
    if seen.is_json {
        let text = String::from_utf8_lossy(&seen.message);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    } else {
        M::decode(seen.message.clone()).unwrap()
    }
}

/// The items of a request; of metrics the data points.
pub fn items(seen: &Seen) -> Vec<Vec<u8>> {
    match seen.signal {
        Signal::Traces => spans(decode(seen)),
        Signal::Metrics => points(decode(seen)),
        Signal::Logs => records(decode(seen)),
    }
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for mut resource in request.resource_spans {
        for mut scope in std::mem::take(&mut resource.scope_spans) {
            for span in std::mem::take(&mut scope.spans) {
                let (mut resource, mut scope) = (resource.clone(), scope.clone());
                scope.spans.push(span);
                resource.scope_spans.push(scope);
                let resource_spans = vec![resource];
                out.push(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
            }
        }
    }
    out
}

fn records(request: ExportLogsServiceRequest) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for mut resource in request.resource_logs {
        for mut scope in std::mem::take(&mut resource.scope_logs) {
            for record in std::mem::take(&mut scope.log_records) {
                let (mut resource, mut scope) = (resource.clone(), scope.clone());
                scope.log_records.push(record);
                resource.scope_logs.push(scope);
                let resource_logs = vec![resource];
                out.push(ExportLogsServiceRequest { resource_logs }.encode_to_vec());
            }
        }
    }
    out
}

fn points(request: ExportMetricsServiceRequest) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for mut resource in request.resource_metrics {
        for mut scope in std::mem::take(&mut resource.scope_metrics) {
            for metric in std::mem::take(&mut scope.metrics) {
                for single in split(metric) {
                    out.push(one_point(resource.clone(), scope.clone(), single));
                }
            }
        }
    }
    out
}

fn one_point(mut resource: ResourceMetrics, mut scope: ScopeMetrics, metric: Metric) -> Vec<u8> {
    scope.metrics.push(metric);
    resource.scope_metrics.push(scope);
    let resource_metrics = vec![resource];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

/// The metric, once for each of its points.
fn split(mut metric: Metric) -> Vec<Metric> {
    macro_rules! each {
        ($data:ident, $kind:path) => {{
            let points = std::mem::take(&mut $data.data_points);
            let single = |point| {
                let mut data = $data.clone();
                data.data_points.push(point);
                Metric {
                    data: Some($kind(data)),
                    ..metric.clone()
                }
            };
            points.into_iter().map(single).collect()
        }};
    }
    match metric.data.take() {
        None => vec![metric],
        Some(Data::Gauge(mut it)) => each!(it, Data::Gauge),
        Some(Data::Sum(mut it)) => each!(it, Data::Sum),
        Some(Data::Histogram(mut it)) => each!(it, Data::Histogram),
        Some(Data::ExponentialHistogram(mut it)) => each!(it, Data::ExponentialHistogram),
        Some(Data::Summary(mut it)) => each!(it, Data::Summary),
    }
}

/// An item as text, for messages: of which signal it is, its bytes do not say, and most decode as one only.
pub fn describe(item: &[u8]) -> String {
    let traces = ExportTraceServiceRequest::decode(item).map(|it| format!("{it:?}"));
    let metrics = || ExportMetricsServiceRequest::decode(item).map(|it| format!("{it:?}"));
    let logs = || ExportLogsServiceRequest::decode(item).map(|it| format!("{it:?}"));
    traces
        .or_else(|_| metrics())
        .or_else(|_| logs())
        .unwrap_or_default()
}

/// The text of an attribute.
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|it| it.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}
