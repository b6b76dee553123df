//! Three configurations that people run a Collector with, as they are but for ports and the addresses of backends: the
//! OpenTelemetry demo's two layers, Jaeger's monitoring example, and what the Helm chart renders. What is not here (receivers
//! other than OTLP, mostly) is refused by name, or left out with a warning each; the rest does its work.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod interop_support;
mod proof_support;
mod support;

use interop_support::{Door, Signal, items};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Status;
use proof_support::{free_port, group, request, send_request};
use std::path::Path;
use std::time::Duration;
use support::{Gateway, eventually, get, sample};

/// Runs `files` of tests/configs with these values on top.
fn try_run(files: &[&str], sets: &[String], more: &[&str], env: &[(&str, &str)]) -> Result<Gateway, String> {
    let folder = tempfile::tempdir().unwrap().keep();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let mut args = vec!["run".to_owned()];
    for file in files {
        args.extend(["--config".to_owned(), configs.join(file).display().to_string()]);
    }
    for set in sets {
        args.extend(["--set".to_owned(), set.clone()]);
    }
    args.extend(more.iter().map(|&it| it.to_owned()));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Gateway::try_start_in(&folder, &args, env)
}

fn run(files: &[&str], sets: &[String], env: &[(&str, &str)]) -> Gateway {
    let refused = try_run(files, sets, &[], env).err();
    let refused = refused.unwrap_or_else(|| panic!("{files:?} is refused unless asked otherwise"));
    assert!(refused.contains("exit status: 64"), "{refused}");
    try_run(files, sets, &["--unsupported=warn"], env).unwrap_or_else(|said| panic!("{files:?}:\n{said}"))
}

/// Each is named by a warning.
fn assert_left_out(gateway: &Gateway, components: &[&str]) {
    let said = gateway.stderr();
    for component in components {
        let named = said
            .lines()
            .any(|line| line.contains("WARN") && line.contains(component));
        assert!(named, "{component} is not named:\n{said}");
    }
}

fn otlp(protocol: &str) -> String {
    format!("receivers.otlp.protocols.{protocol}.endpoint=127.0.0.1:0")
}

/// Requests with an error status where they are bad: 40 to checkout, 10 of them bad, and 8 to cart.
fn traffic() -> ExportTraceServiceRequest {
    let mut request = request(&[
        group("checkout", "9fceb02", &[], 30, 10),
        group("cart", "", &[], 8, 0),
    ]);
    let scopes = request
        .resource_spans
        .iter_mut()
        .flat_map(|it| &mut it.scope_spans);
    for (nth, span) in scopes.flat_map(|it| &mut it.spans).enumerate() {
        let code = i32::from(nth < 10) * 2;
        span.status = Some(Status {
            code,
            ..Status::default()
        });
    }
    request
}

fn count(door: &Door, signal: Signal) -> usize {
    let seen = door.seen();
    seen.iter()
        .filter(|it| it.signal == signal)
        .map(|it| items(it).len())
        .sum()
}

fn await_count(door: &Door, signal: Signal, wanted: usize) {
    eventually(
        &format!("{wanted} of {signal:?}"),
        Duration::from_secs(20),
        || (count(door, signal) == wanted).then_some(()),
    );
}

#[test]
fn jaeger_monitor_example_shows_calls_and_durations() {
    let jaeger = Door::that_answers();
    let sets = [
        otlp("grpc"),
        otlp("http"),
        "exporters.prometheus.endpoint=127.0.0.1:0".to_owned(),
        format!("exporters.otlp.endpoint={}", jaeger.address),
        // Sooner than its minute, which is the only change beside addresses.
        "connectors.spanmetrics.metrics_flush_interval=500ms".to_owned(),
    ];
    let gateway = run(&["jaeger-monitor.yaml"], &sets, &[]);
    assert_left_out(&gateway, &["jaeger"]);
    for _ in 0..2 {
        send_request(&gateway, &traffic());
    }
    await_count(&jaeger, Signal::Traces, 96);
    let series = |page: &str, name: &str, service: &str, status: &str| {
        let labels = [
            ("service_name", service),
            ("span_name", "POST /buy"),
            ("span_kind", "SPAN_KIND_SERVER"),
            ("status_code", status),
        ];
        sample(page, &format!("traces_span_metrics_{name}"), &labels)
    };
    let page = eventually("the calls", Duration::from_secs(20), || {
        let page = gateway.metrics();
        (series(&page, "calls_total", "checkout", "STATUS_CODE_UNSET") == Some(60.0)).then_some(page)
    });
    for (service, status, calls) in [
        ("checkout", "STATUS_CODE_UNSET", 60.0),
        ("checkout", "STATUS_CODE_ERROR", 20.0),
        ("cart", "STATUS_CODE_UNSET", 16.0),
    ] {
        let of = |name: &str| series(&page, name, service, status);
        assert_eq!(of("calls_total"), Some(calls), "{page}");
        assert_eq!(of("duration_milliseconds_count"), Some(calls), "{page}");
        // Each took 20 ms.
        assert_eq!(of("duration_milliseconds_sum"), Some(calls * 20.0), "{page}");
    }
    assert_eq!(series(&page, "calls_total", "cart", "STATUS_CODE_ERROR"), None);
}

#[test]
fn demo_of_opentelemetry_runs_in_its_two_layers() {
    let (jaeger, prometheus) = (Door::that_answers(), Door::that_answers());
    let (grpc, http) = (free_port().to_string(), free_port().to_string());
    let env = [
        ("OTEL_COLLECTOR_HOST", "127.0.0.1"),
        ("OTEL_COLLECTOR_PORT_GRPC", grpc.as_str()),
        ("OTEL_COLLECTOR_PORT_HTTP", http.as_str()),
        ("FRONTEND_PROXY_ADDR", "frontend-proxy:8080"),
        ("IMAGE_PROVIDER_HOST", "image-provider"),
        ("IMAGE_PROVIDER_PORT", "8081"),
        ("POSTGRES_HOST", "postgresql"),
        ("POSTGRES_PORT", "5432"),
        ("POSTGRES_PASSWORD", "otel"),
    ];
    let sets = [
        format!("exporters.otlp_grpc/jaeger.endpoint={}", jaeger.address),
        format!(
            "exporters.otlp_http/prometheus.endpoint={}/api/v1/otlp",
            prometheus.url()
        ),
        "connectors.span_metrics.metrics_flush_interval=500ms".to_owned(),
    ];
    let gateway = run(&["demo.yaml", "demo-observability.yaml"], &sets, &env);
    let left_out = [
        "receivers.httpcheck/frontend-proxy",
        "receivers.nginx",
        "receivers.docker_stats",
        "receivers.postgresql",
        "receivers.redis",
        "receivers.hostmetrics",
        "processors.resource_detection",
        "replace_pattern",
        "exporters.opensearch",
        "pipelines.profiles",
        "pipelines.metrics/postgresql",
        "service.telemetry.logs.processors",
    ];
    assert_left_out(&gateway, &left_out);
    assert_eq!(gateway.http(), format!("http://127.0.0.1:{http}"));
    send_request(&gateway, &traffic());
    await_count(&jaeger, Signal::Traces, 48);
    // What span_metrics makes of them goes where the metrics go, below the path that this backend has.
    eventually("calls at Prometheus", Duration::from_secs(20), || {
        let seen = prometheus.seen();
        let ours = seen.iter().find(|it| it.path == "/api/v1/otlp/v1/metrics")?;
        (String::from_utf8_lossy(&ours.message).contains("traces.span.metrics.calls")).then_some(())
    });
    // A browser's page may send.
    let preflight = support::block_on(async {
        let url = format!("{}/v1/traces", gateway.http());
        let request = support::client().request(reqwest::Method::OPTIONS, url);
        let request = request.header("origin", "https://shop.example");
        let request = request.header("access-control-request-method", "POST");
        request.send().await.unwrap().headers().clone()
    });
    assert_eq!(preflight["access-control-allow-origin"], "https://shop.example");
}

#[test]
fn helm_deployment_runs_and_shows_its_own_metrics() {
    let env = [
        ("MY_POD_IP", "127.0.0.1"),
        ("OTEL_K8S_NAMESPACE", "shop"),
        ("OTEL_K8S_NODE_NAME", "node-1"),
        ("OTEL_K8S_POD_IP", "10.0.0.7"),
        ("OTEL_K8S_POD_NAME", "collector-0"),
    ];
    let own = free_port();
    let reader = format!(
        "{{host: 127.0.0.1, port: {own}, without_scope_info: true, without_type_suffix: true, without_units: true}}"
    );
    let sets = [
        otlp("grpc"),
        otlp("http"),
        "extensions.health_check.endpoint=127.0.0.1:0".to_owned(),
        format!("service.telemetry.metrics.readers=[{{pull: {{exporter: {{prometheus: {reader}}}}}}}]"),
    ];
    let gateway = run(&["helm-deployment.yaml"], &sets, &env);
    assert_left_out(
        &gateway,
        &["receivers.jaeger", "receivers.zipkin", "receivers.prometheus"],
    );
    assert_eq!(get(&gateway.url("health", "/")).0, 200);
    send_request(&gateway, &traffic());
    let page = eventually("own metrics", Duration::from_secs(20), || {
        let (status, page) = get(&format!("http://127.0.0.1:{own}/metrics"));
        assert_eq!(status, 200);
        let labels = [("receiver", "otlp"), ("transport", "http")];
        let accepted = sample(&page, "otelcol_receiver_accepted_spans", &labels);
        (accepted == Some(48.0)).then_some(page)
    });
    assert!(page.contains("k8s_pod_name=\"collector-0\""), "{page}");
    // The debug exporter tells what came.
    eventually("a line about the spans", Duration::from_secs(20), || {
        gateway
            .stderr()
            .lines()
            .any(|line| line.contains("debug") && line.contains("48"))
            .then_some(())
    });
}
