//! Budget metrics pushed by OTLP, over gRPC and over HTTP: the same names, attributes and values as `/metrics`, none folded away;
//! an endpoint that is down costs nothing but a count, and gets everything once it is back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]
#![allow(clippy::disallowed_methods, reason = "the receiving end here is prost's")]

mod proof_support;
mod support;

use axum::extract::State;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point};
use proof_support::{SeriesName, await_totals, group, same, samples, send};
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Gateway, Setup, eventually, sample};
use tokio::runtime::Runtime;

/// A push, and the key that it came with.
type Push = (ExportMetricsServiceRequest, Option<String>);

/// The newest push.
#[derive(Clone, Debug, Default)]
struct Latest(Arc<Mutex<Option<Push>>>);

#[tonic::async_trait]
impl MetricsService for Latest {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let key = request
            .metadata()
            .get("x-api-key")
            .map(|v| v.to_str().unwrap().to_owned());
        *self.0.lock().unwrap() = Some((request.into_inner(), key));
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn export_http(
    State(latest): State<Latest>,
    headers: http::HeaderMap,
    body: bytes::Bytes,
) -> &'static str {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let key = headers.get("x-api-key").map(|v| v.to_str().unwrap().to_owned());
    *latest.0.lock().unwrap() = Some((ExportMetricsServiceRequest::decode(body).unwrap(), key));
    ""
}

/// A receiving end of somebody else; dropping it closes its port.
struct Sink {
    latest: Latest,
    addr: SocketAddr,
    _runtime: Runtime,
}

impl Sink {
    fn grpc(addr: &str) -> Self {
        Self::start(addr, |listener, latest| async move {
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let service = MetricsServiceServer::new(latest).max_decoding_message_size(64 << 20);
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        })
    }

    fn http(addr: &str) -> Self {
        Self::start(addr, |listener, latest| async move {
            let limit = axum::extract::DefaultBodyLimit::max(64 << 20);
            let routes = axum::Router::new().route("/v1/metrics", axum::routing::post(export_http));
            axum::serve(listener, routes.layer(limit).with_state(latest))
                .await
                .unwrap();
        })
    }

    fn start<F: Future<Output = ()> + Send + 'static>(
        addr: &str,
        serve: impl FnOnce(tokio::net::TcpListener, Latest) -> F,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let latest = Latest::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(addr)).unwrap();
        let addr = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, latest.clone()));
        Self {
            latest,
            addr,
            _runtime: runtime,
        }
    }

    fn series(&self) -> BTreeMap<SeriesName, f64> {
        let latest = self.latest.0.lock().unwrap().clone();
        latest.map(|(request, _)| series(&request)).unwrap_or_default()
    }
}

/// A push as samples of a Prometheus page would be.
fn series(request: &ExportMetricsServiceRequest) -> BTreeMap<SeriesName, f64> {
    let mut out = BTreeMap::new();
    let scopes = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics);
    for metric in scopes.flat_map(|s| &s.metrics) {
        for point in points(metric.data.as_ref().unwrap()) {
            let value = match point.value.unwrap() {
                number_data_point::Value::AsDouble(v) => v,
                number_data_point::Value::AsInt(v) => v as f64,
            };
            let labels = point
                .attributes
                .iter()
                .map(|a| match &a.value.as_ref().unwrap().value {
                    Some(Value::StringValue(v)) => (a.key.clone(), v.clone()),
                    other => panic!("{}: {other:?}", a.key),
                });
            let known = out.insert((metric.name.clone(), labels.collect()), value);
            assert_eq!(known, None, "{}: a series twice", metric.name);
        }
    }
    out
}

fn points(data: &Data) -> &[NumberDataPoint] {
    match data {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => {
            assert!(
                sum.is_monotonic && sum.aggregation_temporality == 2,
                "a cumulative counter"
            );
            &sum.data_points
        }
        other => panic!("{other:?}"),
    }
}

fn gateway(exporters: &[String], names: &[&str]) -> Gateway {
    let mut budget_exporters = vec!["prometheus".to_owned()];
    budget_exporters.extend(names.iter().map(|&n| n.to_owned()));
    Gateway::start(&Setup {
        error_budget: "{ cohorts: { max_new_per_minute: 100000 } }".into(),
        exporters: exporters.concat(),
        budget_exporters,
        ..Setup::default()
    })
}

fn over_grpc(addr: SocketAddr) -> String {
    format!(
        "  otlp_grpc: {{ endpoint: '{addr}', tls: {{ insecure: true }}, headers: {{ x-api-key: k1 }}, interval: 1s }}\n"
    )
}

fn over_http(addr: SocketAddr) -> String {
    format!("  otlp_http: {{ endpoint: 'http://{addr}', headers: {{ x-api-key: k2 }}, interval: 1s }}\n")
}

/// Waits until the push says exactly what the page says.
fn agrees(what: &str, gateway: &Gateway, sink: &Sink) {
    let mut difference = String::new();
    for _ in 0..60 {
        let (page, pushed) = (samples(&gateway.metrics(), "slo_"), sink.series());
        let missing = page
            .iter()
            .find(|(name, value)| !pushed.get(*name).is_some_and(|p| same(*p, **value)));
        match missing {
            None if pushed.len() == page.len() && !page.is_empty() => return,
            None => difference = format!("{} pushed, {} on the page", pushed.len(), page.len()),
            Some((name, value)) => difference = format!("{name:?} {value}: pushed {:?}", pushed.get(name)),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("{what}: {difference}");
}

#[test]
fn pushes_say_what_the_page_says() {
    let (grpc, http) = (Sink::grpc("127.0.0.1:0"), Sink::http("127.0.0.1:0"));
    let gateway = gateway(
        &[over_grpc(grpc.addr), over_http(http.addr)],
        &["otlp_grpc", "otlp_http"],
    );
    send(
        &gateway,
        &[
            group("checkout", "9fceb02", &["new-checkout"], 1900, 100),
            group("search", "", &[], 499, 1),
        ],
    );
    await_totals(&gateway, "checkout", (1900, 100));
    agrees("gRPC", &gateway, &grpc);
    agrees("HTTP", &gateway, &http);
    for (sink, key) in [(&grpc, "k1"), (&http, "k2")] {
        let (request, sent) = sink.latest.0.lock().unwrap().clone().unwrap();
        assert_eq!(sent.as_deref(), Some(key), "the header of the configuration");
        let resource = request.resource_metrics[0].resource.clone().unwrap();
        let name = resource
            .attributes
            .iter()
            .find(|a| a.key == "service.name")
            .unwrap()
            .value
            .clone()
            .unwrap();
        assert_eq!(name.value, Some(Value::StringValue("burngate".into())));
        let units: BTreeMap<&str, &str> = request.resource_metrics[0].scope_metrics[0]
            .metrics
            .iter()
            .map(|m| (m.name.as_str(), m.unit.as_str()))
            .collect();
        assert_eq!(
            (
                units["slo_time_to_exhaustion_seconds"],
                units["slo_error_budget_minutes"]
            ),
            ("s", "min")
        );
    }
    let outcome = |outcome| {
        let labels = [("exporter", "otlp_grpc"), ("outcome", outcome)];
        sample(&gateway.metrics(), "burngate_publish_otlp_pushes_total", &labels)
    };
    assert!(outcome("ok") >= Some(1.0) && outcome("failed").is_none());
}

#[test]
fn more_series_than_the_sdks_default_are_not_folded() {
    let (grpc, http) = (Sink::grpc("127.0.0.1:0"), Sink::http("127.0.0.1:0"));
    let gateway = gateway(
        &[over_grpc(grpc.addr), over_http(http.addr)],
        &["otlp_grpc", "otlp_http"],
    );
    let deployments: Vec<_> = (0..2500)
        .map(|i| group("svc", &format!("sha-{i}"), &[], 1, 1))
        .collect();
    send(&gateway, &deployments);
    await_totals(&gateway, "svc", (2500, 2500));
    for (what, sink) in [("gRPC", &grpc), ("HTTP", &http)] {
        agrees(what, &gateway, sink);
        let pushed = sink.series();
        assert!(
            pushed
                .keys()
                .all(|(_, labels)| !labels.contains_key("otel.metric.overflow")),
            "{what}: folded"
        );
        let events = pushed
            .keys()
            .filter(|(name, _)| name == "slo_events_total")
            .count();
        assert_eq!(events, 2 * 2501, "{what}");
    }
}

#[test]
fn an_endpoint_that_is_down_is_counted_and_gets_everything_once_it_is_back() {
    type Start = fn(&str) -> Sink;
    type Exporter = fn(SocketAddr) -> String;
    let kinds: [(&str, Start, Exporter); 2] = [
        ("otlp_grpc", Sink::grpc, over_grpc),
        ("otlp_http", Sink::http, over_http),
    ];
    for (name, start, exporter) in kinds {
        let sink = start("127.0.0.1:0");
        let addr = sink.addr;
        drop(sink);
        let gateway = gateway(&[exporter(addr)], &[name]);
        send(&gateway, &[group("svc", "abc", &[], 9, 1)]);
        let pushes = |outcome| {
            let labels = [("exporter", name), ("outcome", outcome)];
            sample(&gateway.metrics(), "burngate_publish_otlp_pushes_total", &labels).unwrap_or(0.0)
        };
        eventually("failures are counted", Duration::from_secs(20), || {
            (pushes("failed") >= 2.0).then_some(())
        });
        await_totals(&gateway, "svc", (9, 1));
        let sink = start(&addr.to_string());
        agrees(name, &gateway, &sink);
        assert!(pushes("ok") >= 1.0);
        let log = gateway.stderr();
        assert_eq!(
            log.matches("cannot push budget metrics").count(),
            1,
            "said once, not every second:\n{log}"
        );
        assert!(log.contains("pushes budget metrics again"), "{log}");
        assert!(!log.contains("k1") && !log.contains("k2"), "headers are secrets");
    }
}

#[test]
fn the_last_push_brings_the_last_counts() {
    let sink = Sink::grpc("127.0.0.1:0");
    let mut gateway = gateway(&[over_grpc(sink.addr)], &["otlp_grpc"]);
    send(&gateway, &[group("svc", "abc", &[], 9, 1)]);
    assert!(gateway.stop().success());
    let total = |outcome: &str| {
        let found = sink.series();
        let mut ours = found.iter().filter(|((name, labels), _)| {
            name == "slo_events_total" && labels["level"] == "total" && labels["outcome"] == outcome
        });
        ours.next().map(|(_, value)| *value)
    };
    assert_eq!((total("good"), total("bad")), (Some(9.0), Some(1.0)));
}
