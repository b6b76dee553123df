//! What tests of connectors share: a clock that is stepped, a sink that keeps what it gets, and metrics as a flat list.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

use burngate::config::Connector;
use burngate::connect::{Built, Context, build};
use burngate::pipeline::{Accepted, Batch, Consume, Consumed, Refusal, Signal};
use burngate::time::{Clock, UnixNanos};
use burngate::wire::WalkLimits;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub const T0: u64 = 1_795_000_000_000_000_000;
pub const SECOND: u64 = 1_000_000_000;

pub const LIMITS: WalkLimits = WalkLimits {
    spans_max: 100_000,
    attributes_max: 256,
    events_max: 128,
    nesting_max: 16,
};

/// A clock that a test steps.
#[derive(Debug)]
pub struct Hand(pub AtomicU64);

impl Clock for Hand {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::Relaxed))
    }
}

/// Keeps what it gets, or refuses it.
#[derive(Default)]
pub struct Kept {
    pub batches: Mutex<Vec<Batch>>,
    pub refuses: AtomicBool,
}

impl Consume for Kept {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let refused = self.refuses.load(Ordering::Relaxed);
        if !refused {
            self.batches.lock().unwrap().push(batch.clone());
        }
        Box::pin(async move {
            if refused {
                return Err(Refusal::Overloaded {
                    message: "full".into(),
                    retry_after_secs: 1,
                });
            }
            Ok(Accepted::all(batch.items.unwrap_or(0)))
        })
    }
}

/// A connector with its surroundings.
pub struct World {
    pub clock: Arc<Hand>,
    pub sink: Arc<Kept>,
    pub built: Built,
}

impl World {
    pub fn new(connector: &Connector, storage: Option<&Path>) -> Self {
        Self::at(connector, storage, T0)
    }

    pub fn at(connector: &Connector, storage: Option<&Path>, now: u64) -> Self {
        let clock = Arc::new(Hand(AtomicU64::new(now)));
        let sink = Arc::new(Kept::default());
        let context = Context {
            clock: clock.clone(),
            storage: storage.map(Path::to_path_buf),
            limits: LIMITS,
        };
        let built = build("span_metrics/a", connector, sink.clone(), &context).unwrap();
        Self { clock, sink, built }
    }

    pub fn step(&self, nanos: u64) {
        self.clock.0.fetch_add(nanos, Ordering::Relaxed);
    }

    pub async fn send(&self, request: &ExportTraceServiceRequest) -> Result<Accepted, Refusal> {
        let batch = Batch::new(Signal::Traces, request.encode_to_vec().into());
        self.built.consume(batch).await
    }

    /// Flushes, and takes all points that were told.
    pub async fn flush(&self) -> Vec<Point> {
        self.built.flush().await;
        self.points()
    }

    pub fn points(&self) -> Vec<Point> {
        let batches = std::mem::take(&mut *self.sink.batches.lock().unwrap());
        let mut all = Vec::new();
        for batch in batches {
            let of_batch = points(&batch.bytes);
            assert_eq!(batch.signal, Signal::Metrics);
            assert_eq!(batch.items, Some(of_batch.len() as u64));
            all.extend(of_batch);
        }
        all
    }
}

/// One data point, whatever its kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    pub metric: String,
    pub unit: String,
    pub scope: String,
    pub resource: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub start: u64,
    pub time: u64,
    pub delta: bool,
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub bounds: Vec<f64>,
    pub buckets: Vec<u64>,
    pub scale: i32,
    pub offset: i32,
    pub zero: u64,
    pub exemplars: Vec<Exemplar>,
}

/// Attributes as text, with the kind of what is not text.
pub fn flat(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |any: &AnyValue| match any.value.as_ref() {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(yes)) => format!("bool {yes}"),
        Some(Value::IntValue(number)) => format!("int {number}"),
        Some(Value::DoubleValue(number)) => format!("double {number}"),
        other => format!("{other:?}"),
    };
    let all = attributes
        .iter()
        .map(|pair| (pair.key.clone(), text(pair.value.as_ref().unwrap())));
    let flat: BTreeMap<_, _> = all.collect();
    assert_eq!(
        flat.len(),
        attributes.len(),
        "an attribute comes twice: {attributes:?}"
    );
    flat
}

#[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
pub fn points(bytes: &[u8]) -> Vec<Point> {
    let request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    let mut all = Vec::new();
    for of_resource in request.resource_metrics {
        let resource = flat(&of_resource.resource.unwrap_or_default().attributes);
        for of_scope in of_resource.scope_metrics {
            let scope = of_scope.scope.unwrap_or_default().name;
            for metric in of_scope.metrics {
                let base = Point {
                    metric: metric.name,
                    unit: metric.unit,
                    scope: scope.clone(),
                    resource: resource.clone(),
                    ..Point::default()
                };
                all.extend(of_data(&base, metric.data.unwrap()));
            }
        }
    }
    all
}

fn of_data(base: &Point, data: Data) -> Vec<Point> {
    match data {
        Data::Sum(sum) => {
            assert!(sum.is_monotonic);
            let delta = sum.aggregation_temporality == 1;
            let point = |it: opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| Point {
                attributes: flat(&it.attributes),
                start: it.start_time_unix_nano,
                time: it.time_unix_nano,
                count: match it.value {
                    Some(number_data_point::Value::AsInt(count)) => u64::try_from(count).unwrap(),
                    other => panic!("{other:?}"),
                },
                exemplars: it.exemplars,
                delta,
                ..base.clone()
            };
            sum.data_points.into_iter().map(point).collect()
        }
        Data::Histogram(it) => {
            let delta = it.aggregation_temporality == 1;
            let point = |it: opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint| Point {
                attributes: flat(&it.attributes),
                start: it.start_time_unix_nano,
                time: it.time_unix_nano,
                count: it.count,
                sum: it.sum.unwrap(),
                min: it.min.unwrap(),
                max: it.max.unwrap(),
                bounds: it.explicit_bounds,
                buckets: it.bucket_counts,
                exemplars: it.exemplars,
                delta,
                ..base.clone()
            };
            it.data_points.into_iter().map(point).collect()
        }
        Data::ExponentialHistogram(it) => {
            let delta = it.aggregation_temporality == 1;
            let point = |it: opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint| {
                let positive = it.positive.unwrap_or_default();
                Point {
                    attributes: flat(&it.attributes),
                    start: it.start_time_unix_nano,
                    time: it.time_unix_nano,
                    count: it.count,
                    sum: it.sum.unwrap(),
                    min: it.min.unwrap(),
                    max: it.max.unwrap(),
                    scale: it.scale,
                    offset: positive.offset,
                    buckets: positive.bucket_counts,
                    zero: it.zero_count,
                    exemplars: it.exemplars,
                    delta,
                    ..base.clone()
                }
            };
            it.data_points.into_iter().map(point).collect()
        }
        other => panic!("{other:?}"),
    }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    any(key, Value::StringValue(value.to_owned()))
}

pub fn any(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        key_strindex: 0,
    }
}

pub fn span(name: &str, millis: u64, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: T0,
        end_time_unix_nano: T0 + millis * 1_000_000,
        attributes,
        ..Span::default()
    }
}

pub fn request(resource: Vec<KeyValue>, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: resource,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    version: "1.2".into(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

pub fn checkout(spans: Vec<Span>) -> ExportTraceServiceRequest {
    request(vec![text("service.name", "checkout")], spans)
}

/// The points of a metric whose attributes have all of `with`.
pub fn find<'a>(points: &'a [Point], metric: &str, with: &[(&str, &str)]) -> Vec<&'a Point> {
    let matches = |point: &&Point| {
        point.metric.ends_with(metric)
            && with
                .iter()
                .all(|(key, value)| point.attributes.get(*key).is_some_and(|found| found == value))
    };
    points.iter().filter(matches).collect()
}
