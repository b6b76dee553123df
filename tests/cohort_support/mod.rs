//! What the cohort tests share: OTLP built with opentelemetry-proto, and the tap around it.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is its own crate and uses a part of this"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use burngate::cohort::{CohortKey, NamedFlags, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::ledger::{Compiled, Counts, Tap, TapOutcome};
use burngate::sli::{DefaultObjective, SliSpec};
use burngate::time::UnixNanos;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const NOW: UnixNanos = UnixNanos::from_secs(1_790_000_000);

pub fn s(text: &str) -> Value {
    Value::StringValue(text.into())
}

pub fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub fn kv(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

pub fn array<const N: usize>(items: [Value; N]) -> Value {
    Value::ArrayValue(ArrayValue {
        values: items.map(any).into(),
    })
}

pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::KvlistValue(KeyValueList {
        values: pairs.map(|(key, value)| kv(key, value)).into(),
    })
}

pub fn request(resource: Vec<KeyValue>, scope: Vec<KeyValue>, spans: Vec<Span>) -> Vec<u8> {
    let scope = InstrumentationScope {
        attributes: scope,
        ..InstrumentationScope::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
    .encode_to_vec()
}

/// A tap with the default objective; policies of `checkout` name `named`.
pub fn tap(cohorts: &Cohorts, named: &[&str]) -> Tap {
    Tap::new(compiled(cohorts, named), Arc::new(Registry::new(cohorts)))
}

/// What such a tap is compiled with.
pub fn compiled(cohorts: &Cohorts, named: &[&str]) -> Compiled {
    let mut flags = NamedFlags::new();
    flags.name("checkout", named.iter().copied()).unwrap();
    let default = DefaultObjective {
        slo: "availability".into(),
        sli: SliSpec::default(),
    };
    Compiled::compile(&[], Some(&default), flags, cohorts, &ReceiverLimits::default()).unwrap()
}

/// A request of log records, as [`request`] is one of spans.
pub fn logs(resource: Vec<KeyValue>, records: Vec<LogRecord>) -> Vec<u8> {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: resource,
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
    .encode_to_vec()
}

/// Counts by cohort, all objectives and buckets together.
pub fn by_cohort(tap: &Tap, outcome: &TapOutcome) -> BTreeMap<CohortKey, Counts> {
    let mut sums: BTreeMap<CohortKey, Counts> = BTreeMap::new();
    for row in &outcome.series {
        let sum = sums
            .entry((*tap.registry().key(row.cohort).unwrap()).clone())
            .or_default();
        sum.good += row.counts.good;
        sum.bad += row.counts.bad;
    }
    sums
}
