//! Samples arrive once, in order, whatever the server does on the way.

use super::*;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const T0: u64 = 1_795_000_000 * SECOND;

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Written>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Written {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> UnixNanos {
        UnixNanos(T0)
    }
}

/// A server that answers as it is told, and then with success.
#[derive(Clone, Debug, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<u16>>>,
    requests: Arc<Mutex<Vec<(HeaderMap, WriteRequest)>>>,
}

#[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
async fn write(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let answer = server.answers.lock().unwrap().pop_front().unwrap_or(204);
    if answer == 204 {
        let bytes = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let request = WriteRequest::decode(&*bytes).unwrap();
        server.requests.lock().unwrap().push((headers, request));
    }
    StatusCode::from_u16(answer).unwrap()
}

impl Server {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/api/v1/write", axum::routing::post(write))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// Samples by series, in the order in which they came.
    fn samples(&self) -> BTreeMap<String, Vec<(f64, i64)>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for (_, request) in self.requests.lock().unwrap().iter() {
            for series in &request.timeseries {
                let names: Vec<_> = series.labels.iter().map(|label| &label.name).collect();
                assert!(names.is_sorted() && names[0] == "__name__", "{names:?}");
                let text = |label: &Label| format!("{}={}", label.name, label.value);
                let labels: Vec<_> = series.labels.iter().map(text).collect();
                let key = labels.join(" ").replace("__name__=", "");
                let samples = series.samples.iter().map(|it| (it.value, it.timestamp));
                all.entry(key).or_default().extend(samples);
            }
        }
        all
    }
}

fn config(url: &str) -> config::RemoteWriteExporter {
    let mut config = config::RemoteWriteExporter::new(url);
    config.naming.without_scope_info = true;
    config.headers = vec![("X-Scope-OrgID".into(), config::Secret::new("us"))];
    config
}

fn build(config: &config::RemoteWriteExporter) -> Arc<RemoteWrite> {
    RemoteWrite::build(
        "prometheusremotewrite",
        config,
        Arc::new(Still),
        &Memory::default(),
    )
    .unwrap()
}

fn batch(data: Vec<(&str, Data)>) -> Batch {
    let text = |key: &str, value: &str| KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.into())),
        }),
        key_strindex: 0,
    };
    let metric = |(name, data): (&str, Data)| Metric {
        name: name.into(),
        data: Some(data),
        ..Metric::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("service.name", "a"), text("host.name", "h")],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: data.into_iter().map(metric).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    Batch::new(Signal::Metrics, request.encode_to_vec().into())
}

fn calls(delta: bool, secs: u64, value: i64) -> (&'static str, Data) {
    let point = NumberDataPoint {
        start_time_unix_nano: T0,
        time_unix_nano: T0 + secs * SECOND,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    };
    let sum = Sum {
        data_points: vec![point],
        aggregation_temporality: if delta { 1 } else { 2 },
        is_monotonic: true,
    };
    ("calls", Data::Sum(sum))
}

fn millis(secs: u64) -> i64 {
    i64::try_from((T0 + secs * SECOND) / 1_000_000).unwrap()
}

#[tokio::test]
async fn deltas_arrive_as_totals_in_order_and_repetitions_do_not_arrive() {
    let server = Server::default();
    let exporter = build(&config(&server.start().await));
    for (secs, value) in [(1, 2), (2, 3), (2, 3), (1, 1), (3, 4)] {
        exporter
            .consume(batch(vec![calls(true, secs, value)]))
            .await
            .unwrap();
    }
    exporter.run(async {}).await;
    let samples = server.samples();
    let expected = vec![(2.0, millis(1)), (5.0, millis(2)), (9.0, millis(3))];
    assert_eq!(samples["calls_total job=a"], expected);
    assert_eq!(samples["target_info host_name=h job=a"].len(), 3);
    let (headers, _) = &server.requests.lock().unwrap()[0];
    assert_eq!(headers["x-prometheus-remote-write-version"], "0.1.0");
    assert_eq!(
        (&headers["content-encoding"], &headers["x-scope-orgid"]),
        (&"snappy".parse().unwrap(), &"us".parse().unwrap())
    );
}

#[tokio::test]
async fn histograms_are_buckets_sum_and_count() {
    let server = Server::default();
    let exporter = build(&config(&server.start().await));
    let point = HistogramDataPoint {
        time_unix_nano: T0,
        count: 6,
        sum: Some(1.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 1.0],
        ..HistogramDataPoint::default()
    };
    let data = Data::Histogram(Histogram {
        data_points: vec![point],
        aggregation_temporality: 2,
    });
    exporter.consume(batch(vec![("d", data)])).await.unwrap();
    exporter.run(async {}).await;
    let samples = server.samples();
    for (key, value) in [
        ("d_bucket job=a le=0.5", 1.0),
        ("d_bucket job=a le=1", 3.0),
        ("d_bucket job=a le=+Inf", 6.0),
        ("d_sum job=a", 1.5),
        ("d_count job=a", 6.0),
    ] {
        assert_eq!(samples[key], [(value, millis(0))], "{key}");
    }
}

#[tokio::test]
async fn what_fails_for_a_while_is_repeated_and_what_is_refused_is_not() {
    let server = Server::default();
    server.answers.lock().unwrap().extend([503, 429, 204, 400]);
    let mut config = config(&server.start().await);
    config.num_consumers = 1;
    config.naming.target_info = false;
    config.queue_enabled = false;
    let exporter = build(&config);
    let running = {
        let exporter = exporter.clone();
        tokio::spawn(async move { exporter.run(std::future::pending()).await })
    };
    exporter.consume(batch(vec![calls(false, 1, 1)])).await.unwrap();
    let refused = exporter
        .consume(batch(vec![calls(false, 2, 2)]))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Refusal::Downstream { message, .. } if message.contains("400")),
        "{refused:?}"
    );
    exporter.consume(batch(vec![calls(false, 3, 3)])).await.unwrap();
    assert_eq!(
        server.samples()["calls_total job=a"],
        [(1.0, millis(1)), (3.0, millis(3))]
    );
    running.abort();
}

#[tokio::test]
async fn a_full_queue_refuses_whole_batches_so_that_they_can_be_sent_again() {
    let server = Server::default();
    let mut config = config(&server.start().await);
    (config.queue_size, config.num_consumers) = (1, 1);
    let exporter = build(&config);
    exporter.consume(batch(vec![calls(true, 1, 1)])).await.unwrap();
    let refusal = exporter
        .consume(batch(vec![calls(true, 2, 2)]))
        .await
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Overloaded { .. }));
    let held = exporter.memory.held_bytes();
    assert!(held > 0);
    let running = {
        let exporter = exporter.clone();
        tokio::spawn(async move { exporter.run(std::future::pending()).await })
    };
    while exporter.consume(batch(vec![calls(true, 2, 2)])).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while server
        .samples()
        .get("calls_total job=a")
        .is_none_or(|all| all.len() < 2)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(
        server.samples()["calls_total job=a"],
        [(1.0, millis(1)), (3.0, millis(2))]
    );
    running.abort();
}

#[tokio::test]
async fn large_shares_leave_in_several_requests() {
    let server = Server::default();
    let mut config = config(&server.start().await);
    (config.max_batch_size_bytes, config.num_consumers) = (100, 1);
    let exporter = build(&config);
    for secs in 1..=9 {
        exporter
            .consume(batch(vec![calls(false, secs, 1)]))
            .await
            .unwrap();
    }
    exporter.run(async {}).await;
    assert_eq!(server.samples()["calls_total job=a"].len(), 9);
    assert!(server.requests.lock().unwrap().len() > 3);
}
