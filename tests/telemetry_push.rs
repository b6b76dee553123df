//! Own metrics and own spans pushed by OTLP, over gRPC and HTTP, to a receiving end of somebody else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "the receiving end here is prost's")]

mod support;

use axum::extract::State;
use burngate::config::{
    OtlpProtocol, PushReader, PushTemporality, Secret, SelfOtlp, SelfResource, SelfTls, SelfTraces,
    SpanBatching, TelemetryConfig,
};
use burngate::pipeline::{Accepted, Refusal, Signal, exporter_span, receiver_span, traced};
use burngate::telemetry::{MetricsPush, OwnResource};
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use prost::Message;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::block_on;
use tokio::sync::oneshot;

/// What came, and with which key.
#[derive(Clone, Debug, Default)]
struct Received {
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    spans: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Received {
    fn note(&self, key: Option<&str>) {
        self.keys.lock().unwrap().extend(key.map(str::to_owned));
    }

    /// The value of an own counter in the newest push.
    fn newest(&self, name: &str) -> Option<i64> {
        let all = self.metrics.lock().unwrap();
        let metrics = all
            .last()?
            .resource_metrics
            .iter()
            .flat_map(|it| &it.scope_metrics)
            .flat_map(|it| &it.metrics);
        metrics
            .into_iter()
            .filter(|it| it.name == name)
            .find_map(|it| match it.data.as_ref()? {
                Data::Sum(sum) => match sum.data_points.first()?.value? {
                    number_data_point::Value::AsInt(count) => Some(count),
                    number_data_point::Value::AsDouble(_) => None,
                },
                _ => None,
            })
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.note(request.metadata().get("x-key").map(|it| it.to_str().unwrap()));
        self.metrics.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn plain(headers: &http::HeaderMap, body: &[u8]) -> Vec<u8> {
    assert_eq!(headers["content-encoding"], "gzip");
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body)
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

async fn take_metrics(State(received): State<Received>, headers: http::HeaderMap, body: bytes::Bytes) {
    received.note(headers.get("x-key").map(|it| it.to_str().unwrap()));
    let request = ExportMetricsServiceRequest::decode(&plain(&headers, &body)[..]).unwrap();
    received.metrics.lock().unwrap().push(request);
}

async fn take_spans(State(received): State<Received>, headers: http::HeaderMap, body: bytes::Bytes) {
    let request = ExportTraceServiceRequest::decode(&plain(&headers, &body)[..]).unwrap();
    received.spans.lock().unwrap().push(request);
}

async fn http_sink(received: Received) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let routes = axum::Router::new()
        .route("/v1/metrics", axum::routing::post(take_metrics))
        .route("/v1/traces", axum::routing::post(take_spans))
        .with_state(received);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    addr
}

async fn grpc_sink(received: Received) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service =
        MetricsServiceServer::new(received).accept_compressed(tonic::codec::CompressionEncoding::Gzip);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    addr
}

fn exporter(protocol: OtlpProtocol, endpoint: String) -> SelfOtlp {
    let _ = rustls::crypto::ring::default_provider().install_default();
    SelfOtlp {
        protocol,
        endpoint,
        headers: vec![("x-key".to_owned(), Secret::new("s3cret"))],
        gzip: true,
        timeout: Duration::from_secs(5),
        tls: SelfTls::default(),
        temporality: PushTemporality::Cumulative,
    }
}

/// Pushes, counts on, ends; the last push has what came in after the first.
fn pushed(protocol: OtlpProtocol) {
    block_on(async {
        let received = Received::default();
        let endpoint = match protocol {
            OtlpProtocol::Grpc => format!("http://{}", grpc_sink(received.clone()).await),
            OtlpProtocol::Http => format!("http://{}/v1/metrics", http_sink(received.clone()).await),
        };
        let config = PushReader {
            interval: Duration::from_hours(1),
            timeout: Duration::from_secs(5),
            exporter: exporter(protocol, endpoint),
        };
        let recorder = PrometheusBuilder::new().build_recorder();
        let count = |by: u64| {
            metrics::with_local_recorder(&recorder, || {
                metrics::counter!("otelcol_exporter_sent_spans", "exporter" => "otlp").increment(by);
            });
        };
        count(3);
        let resource = OwnResource::new(&SelfResource::default());
        let push = MetricsPush::new(&config, recorder.handle(), &resource).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(push.run(async {
            let _ = stopped.await;
        }));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while received.newest("otelcol_exporter_sent_spans") != Some(3) {
            assert!(tokio::time::Instant::now() < deadline, "no push");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        count(4);
        stop.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(received.newest("otelcol_exporter_sent_spans"), Some(7));
        assert_eq!(*received.keys.lock().unwrap(), ["s3cret", "s3cret"]);
        let all = received.metrics.lock().unwrap();
        let resource = all[0].resource_metrics[0].resource.as_ref().unwrap();
        let keys: Vec<_> = resource.attributes.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
        let names: Vec<_> = all[0].resource_metrics[0].scope_metrics[0]
            .metrics
            .iter()
            .map(|it| &it.name)
            .collect();
        assert!(
            names.iter().any(|it| *it == "otelcol_process_memory_rss"),
            "{names:?}"
        );
    });
}

#[test]
fn own_metrics_are_pushed_over_grpc() {
    pushed(OtlpProtocol::Grpc);
}

#[test]
fn own_metrics_are_pushed_over_http() {
    pushed(OtlpProtocol::Http);
}

/// One subscriber a process: all that own traces do is proved in one test.
#[test]
fn own_spans_arrive_by_the_end_and_say_what_became_of_requests() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let received = Received::default();
    let addr = runtime.block_on(http_sink(received.clone()));
    let config = TelemetryConfig {
        traces: SelfTraces {
            processors: vec![SpanBatching {
                schedule_delay: Duration::from_hours(1),
                export_timeout: Duration::from_secs(5),
                max_queue_size: 100,
                max_export_batch_size: 2,
                exporter: exporter(OtlpProtocol::Http, format!("http://{addr}/v1/traces")),
            }],
            sampling_ratio: 1.0,
        },
        ..TelemetryConfig::default()
    };
    let guard = burngate::telemetry::init(&config, true).unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            let work = async {
                let sent = traced(exporter_span("otlp_grpc/apm", Signal::Traces), async {
                    Ok(Accepted::all(9))
                });
                sent.await
            };
            assert!(
                traced(receiver_span("otlp", "grpc", Signal::Traces), work)
                    .await
                    .is_ok()
            );
        }
        let refused = async { Err(Refusal::Malformed("not a message".into())) };
        assert!(
            traced(receiver_span("otlp", "http", Signal::Logs), refused)
                .await
                .is_err()
        );
        tracing::info!("a line is no span");
    });
    drop(guard);
    let requests = received.spans.lock().unwrap();
    let spans: Vec<_> = requests
        .iter()
        .flat_map(|it| &it.resource_spans)
        .flat_map(|it| &it.scope_spans)
        .flat_map(|it| &it.spans)
        .collect();
    assert_eq!(spans.len(), 7);
    assert!(requests.len() >= 4, "at most two a push: {}", requests.len());
    let named = |name: &str| spans.iter().filter(|it| it.name == name).collect::<Vec<_>>();
    let (received_spans, sent) = (
        named("receiver/otlp/TraceDataReceived"),
        named("exporter/otlp_grpc/apm/traces"),
    );
    assert_eq!((received_spans.len(), sent.len()), (3, 3));
    for span in &sent {
        let parent = received_spans.iter().find(|it| it.span_id == span.parent_span_id);
        assert!(
            parent.is_some_and(|it| it.trace_id == span.trace_id),
            "an exporter's span is its receiver's child"
        );
        let items = span
            .attributes
            .iter()
            .find(|it| it.key == "accepted_items")
            .unwrap();
        assert!(format!("{items:?}").contains("IntValue(9)"), "{items:?}");
    }
    let [failed] = &named("receiver/otlp/LogsReceived")[..] else {
        panic!("one")
    };
    assert_eq!(failed.status.as_ref().unwrap().message, "not a message");
    let recent = burngate::telemetry::recent_spans().unwrap().snapshot();
    assert_eq!(recent["receiver/otlp/LogsReceived"].failed, 1);
}
