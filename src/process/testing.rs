//! Batches for tests, made and read by prost.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test support; prost is the oracle"
)]

use crate::pipeline::{Batch, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// A value, of what stands in tests.
pub(super) trait IntoValue {
    fn value(self) -> Value;
}

impl IntoValue for i64 {
    fn value(self) -> Value {
        Value::IntValue(self)
    }
}

impl IntoValue for f64 {
    fn value(self) -> Value {
        Value::DoubleValue(self)
    }
}

impl IntoValue for bool {
    fn value(self) -> Value {
        Value::BoolValue(self)
    }
}

impl IntoValue for &str {
    fn value(self) -> Value {
        Value::StringValue(self.to_owned())
    }
}

pub(super) fn attribute(key: &str, value: impl IntoValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(value.value()),
        }),
        ..KeyValue::default()
    }
}

/// The resource around all of them: `service.name: checkout`.
#[allow(clippy::unnecessary_wraps, reason = "as the field wants it")]
fn resource() -> Option<Resource> {
    Some(Resource {
        attributes: vec![attribute("service.name", "checkout")],
        ..Resource::default()
    })
}

pub(super) fn batch_of_spans(spans: Vec<Span>) -> Batch {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(),
            scope_spans,
            ..ResourceSpans::default()
        }],
    };
    Batch::new(Signal::Traces, request.encode_to_vec().into())
}

pub(super) fn batch_of_records(log_records: Vec<LogRecord>) -> Batch {
    let scope_logs = vec![ScopeLogs {
        log_records,
        ..ScopeLogs::default()
    }];
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(),
            scope_logs,
            ..ResourceLogs::default()
        }],
    };
    Batch::new(Signal::Logs, request.encode_to_vec().into())
}

pub(super) fn batch_of_metrics(metrics: Vec<Metric>) -> Batch {
    let scope_metrics = vec![ScopeMetrics {
        metrics,
        ..ScopeMetrics::default()
    }];
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(),
            scope_metrics,
            ..ResourceMetrics::default()
        }],
    };
    Batch::new(Signal::Metrics, request.encode_to_vec().into())
}

pub(super) fn traces(batch: &Batch) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(batch.bytes.clone()).unwrap()
}

pub(super) fn spans(batch: &Batch) -> Vec<Span> {
    let scopes = traces(batch)
        .resource_spans
        .into_iter()
        .flat_map(|it| it.scope_spans);
    scopes.flat_map(|it| it.spans).collect()
}

pub(super) fn records(batch: &Batch) -> Vec<LogRecord> {
    let request = ExportLogsServiceRequest::decode(batch.bytes.clone()).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|it| it.scope_logs);
    scopes.flat_map(|it| it.log_records).collect()
}

pub(super) fn metrics(batch: &Batch) -> Vec<Metric> {
    let request = ExportMetricsServiceRequest::decode(batch.bytes.clone()).unwrap();
    let scopes = request
        .resource_metrics
        .into_iter()
        .flat_map(|it| it.scope_metrics);
    scopes.flat_map(|it| it.metrics).collect()
}
