//! A tap with objectives over metrics, and requests to feed it with.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test support: a failed unwrap is a failed test"
)]

use burngate::cohort::{Level, NamedFlags, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::ledger::{Compiled, Streams, Tap, TapOutcome};
use burngate::sli::{ObjectiveName, ObjectiveSpec};
use burngate::time::UnixNanos;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const SECOND: u64 = 1_000_000_000;
pub const DELTA: i32 = 1;
pub const CUMULATIVE: i32 = 2;

/// (SLO, sha) -> (good, bad); the total has no sha.
pub type Counted = BTreeMap<(String, Option<String>), (u64, u64)>;

pub struct World {
    pub tap: Tap,
    pub counted: Counted,
}

/// A tap with one SLO for each `sli:` block, named by its place.
pub fn tap(slis: &[&str]) -> Tap {
    tap_for("shop", slis)
}

pub fn tap_for(service: &str, slis: &[&str]) -> Tap {
    let spec = |(at, yaml): (usize, &&str)| ObjectiveSpec {
        name: ObjectiveName {
            service: Arc::from(service),
            slo: Arc::from(format!("slo{at}")),
        },
        environment: None,
        sli: serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}")),
    };
    let specs: Vec<_> = slis.iter().enumerate().map(spec).collect();
    let cohorts = Cohorts::default();
    let limits = ReceiverLimits::default();
    let compiled = Compiled::compile(&specs, None, NamedFlags::new(), &cohorts, &limits).unwrap();
    Tap::new(compiled, Arc::new(Registry::new(&cohorts)))
}

impl World {
    pub fn new(slis: &[&str]) -> Self {
        Self {
            tap: tap(slis),
            counted: Counted::new(),
        }
    }

    /// Another process with the same store.
    pub fn restart(&mut self, slis: &[&str]) {
        let rows = self.tap.streams().lock().unwrap().changed_rows();
        self.restart_with(slis, &rows);
    }

    pub fn restart_with(&mut self, slis: &[&str], rows: &[(Vec<u8>, Option<Vec<u8>>)]) {
        let new = tap(slis);
        {
            let mut streams = new.streams().lock().unwrap();
            for (key, value) in rows {
                if let Some(value) = value {
                    assert!(streams.restore(key, value));
                }
            }
        }
        self.tap = new;
    }

    pub fn send(&mut self, request: &ExportMetricsServiceRequest, now_secs: u64) -> TapOutcome {
        self.send_bytes(&request.encode_to_vec(), now_secs)
    }

    pub fn send_bytes(&mut self, bytes: &[u8], now_secs: u64) -> TapOutcome {
        let now = UnixNanos(now_secs * SECOND);
        let outcome = self.tap.process_metrics(bytes, None, now, |_| {}).unwrap();
        self.take(&outcome);
        outcome
    }

    /// Adds up what a batch brought.
    pub fn take(&mut self, outcome: &TapOutcome) {
        let registry = self.tap.registry();
        for row in &outcome.series {
            let key = registry.key(row.cohort).unwrap();
            let sha = match &key.level {
                Level::Total => None,
                Level::Deployment { sha } => Some(sha.to_string()),
                _ => continue,
            };
            let slo = registry.objective(row.objective).unwrap().slo.to_string();
            let sum = self.counted.entry((slo, sha)).or_default();
            sum.0 += row.counts.good;
            sum.1 += row.counts.bad;
        }
    }

    /// Good and bad of an SLO in all.
    pub fn total(&self, slo: usize) -> (u64, u64) {
        self.counted
            .get(&(format!("slo{slo}"), None))
            .copied()
            .unwrap_or_default()
    }
}

/// Rows of what a tap's streams are now, as a store would have them after all ticks so far.
pub fn all_rows(streams: &mut Streams, store: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
    for (key, value) in streams.changed_rows() {
        match value {
            Some(value) => store.insert(key, value),
            None => store.remove(&key),
        };
    }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

pub fn int(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

pub fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub fn request(resource: Vec<KeyValue>, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let mut attributes = vec![text("service.name", "shop")];
    attributes.extend(resource);
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

pub fn counter(name: &str, temporality: i32, points: Vec<NumberDataPoint>) -> Metric {
    Metric {
        name: name.to_owned(),
        data: Some(Data::Sum(Sum {
            data_points: points,
            aggregation_temporality: temporality,
            is_monotonic: true,
        })),
        ..Metric::default()
    }
}

pub fn gauge(name: &str, unit: &str, points: Vec<NumberDataPoint>) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: points })),
        ..Metric::default()
    }
}

pub fn number(attributes: Vec<KeyValue>, (start, time): (u64, u64), value: i64) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        value: Some(Number::AsInt(value)),
        ..NumberDataPoint::default()
    }
}

pub fn histogram(name: &str, temporality: i32, points: Vec<HistogramDataPoint>) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(Histogram {
            data_points: points,
            aggregation_temporality: temporality,
        })),
        ..Metric::default()
    }
}

pub const BOUNDS: [f64; 3] = [0.1, 0.25, 0.5];

pub fn buckets(attributes: Vec<KeyValue>, (start, time): (u64, u64), counts: [u64; 4]) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        count: counts.iter().sum(),
        bucket_counts: counts.to_vec(),
        explicit_bounds: BOUNDS.to_vec(),
        ..HistogramDataPoint::default()
    }
}

/// A histogram with exponential buckets, by their index.
pub fn exponential(
    attributes: Vec<KeyValue>,
    (start, time): (u64, u64),
    scale: i32,
    counts: &BTreeMap<i32, u64>,
) -> ExponentialHistogramDataPoint {
    let offset = counts.keys().next().copied().unwrap_or(0);
    let last = counts.keys().next_back().copied().unwrap_or(offset - 1);
    let dense: Vec<u64> = (offset..=last)
        .map(|index| counts.get(&index).copied().unwrap_or(0))
        .collect();
    ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        count: dense.iter().sum(),
        scale,
        positive: Some(Buckets {
            offset,
            bucket_counts: dense,
        }),
        ..ExponentialHistogramDataPoint::default()
    }
}

pub fn exponential_histogram(
    name: &str,
    temporality: i32,
    points: Vec<ExponentialHistogramDataPoint>,
) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: points,
            aggregation_temporality: temporality,
        })),
        ..Metric::default()
    }
}
