//! The real binary seen by those who run it: own metrics under the Collector's names, components at the probe, zpages,
//! profiles, lines of JSON, own spans at somebody else's door.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "the sender here is prost's")]

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::net::TcpListener;
use std::time::Duration;
use support::{Gateway, eventually, get, nobody, post, sample};

fn three_spans() -> Vec<u8> {
    let span = |nth: u8| Span {
        trace_id: vec![nth; 16],
        span_id: vec![nth; 8],
        name: "work".to_owned(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: (1..=3).map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec()
}

/// Forwards to `backend`; `telemetry` stands in the `service` block.
fn start(backend: &str, telemetry: &str) -> (tempfile::TempDir, Gateway) {
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: 127.0.0.1:0 }} }} }} }}
exporters: {{ otlp_http/apm: {{ endpoint: '{backend}', retry_on_failure: {{ initial_interval: 100ms }} }} }}
extensions:
  health_check: {{ endpoint: 127.0.0.1:0 }}
  pprof: {{ endpoint: 127.0.0.1:0 }}
  zpages: {{ endpoint: 127.0.0.1:0 }}
service:
  extensions: [ health_check, pprof, zpages ]
  pipelines: {{ traces: {{ receivers: [ otlp ], exporters: [ otlp_http/apm ] }} }}
{telemetry}"
    );
    std::fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    let gateway = Gateway::start_in(folder.path(), &["run", "--config", "gateway.yaml"], &[]);
    (folder, gateway)
}

const READER: &str = "  telemetry:
    logs: { encoding: json, output_paths: [ stderr, burngate.log ], initial_fields: { region: eu } }
    resource: { service.instance.id: i-1 }
    metrics: { readers: [ { pull: { exporter: { prometheus: { host: 127.0.0.1, port: 0 } } } } ] }
";

#[test]
fn operators_of_a_collector_find_what_they_look_for() {
    let (_held, away) = nobody();
    let (folder, mut gateway) = start(&format!("http://{away}"), READER);
    for _ in 0..2 {
        let (status, _) = post(
            &gateway.url("otlp/http", "/v1/traces"),
            "application/x-protobuf",
            three_spans(),
        );
        assert_eq!(status, 200);
    }
    let page = || get(&gateway.url("telemetry", "/metrics")).1;
    let accepted = [("receiver", "otlp"), ("transport", "http")];
    eventually("the spans on the page", Duration::from_secs(10), || {
        (sample(&page(), "otelcol_receiver_accepted_spans_total", &accepted) == Some(6.0)).then_some(())
    });
    let text = page();
    assert!(
        sample(
            &text,
            "otelcol_exporter_queue_capacity",
            &[("exporter", "otlp_http/apm")]
        ) > Some(0.0)
    );
    assert!(
        sample(&text, "otelcol_process_memory_rss_bytes", &[]) > Some(1e6),
        "{text}"
    );
    assert_eq!(
        sample(&text, "target_info", &[("service_instance_id", "i-1")]),
        Some(1.0)
    );

    let status = eventually("trouble at the probe", Duration::from_secs(20), || {
        let (code, body) = get(&gateway.url("health", "/status?verbose"));
        assert_eq!(code, 200, "the gateway itself is well: {body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let line = body["components"]["exporter otlp_http/apm"].clone();
        (line["status"] == "StatusRecoverableError").then_some(line)
    });
    assert!(
        status["error"].as_str().is_some_and(|it| !it.is_empty()),
        "{status}"
    );
    assert_eq!(get(&gateway.url("health", "/")).0, 200);

    let pipelines = get(&gateway.url("zpages", "/debug/pipelinez")).1;
    assert!(
        pipelines.contains("otlp_http/apm") && pipelines.contains("StatusRecoverableError"),
        "{pipelines}"
    );
    let traces = get(&gateway.url("zpages", "/debug/tracez")).1;
    assert!(traces.contains("receiver/otlp/TraceDataReceived"), "{traces}");
    let (code, stacks) = get(&gateway.url("pprof", "/debug/pprof/profile?seconds=1&format=folded"));
    assert_eq!(code, 200, "{stacks}");

    assert!(gateway.stop().success());
    let log = std::fs::read_to_string(folder.path().join("burngate.log")).unwrap();
    assert!(log.lines().count() > 1, "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(
            (&line["region"], &line["resource"]["service.instance.id"]),
            (&"eu".into(), &"i-1".into())
        );
        assert!(
            line["msg"].is_string() && line["level"].is_string() && line["ts"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_page_that_nobody_asked_for_is_no_reason_not_to_start() {
    // Taken by us, or by somebody else already.
    let _taken = TcpListener::bind("127.0.0.1:8888");
    let (_folder, mut gateway) = start("http://127.0.0.1:1", "");
    assert!(!gateway.addrs.contains_key("telemetry"), "{:?}", gateway.addrs);
    assert!(gateway.stderr().contains("8888"), "{}", gateway.stderr());
    assert!(gateway.stop().success());
}

#[test]
fn a_page_that_was_asked_for_is() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: 127.0.0.1:0 }} }} }} }}
exporters: {{ debug: }}
service:
  pipelines: {{ traces: {{ receivers: [ otlp ], exporters: [ debug ] }} }}
  telemetry: {{ metrics: {{ readers: [ {{ pull: {{ exporter: {{ prometheus: {{ port: {port} }} }} }} }} ] }} }}
"
    );
    std::fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    let said = Gateway::try_start_in(folder.path(), &["run", "--config", "gateway.yaml"], &[])
        .map(|_| ())
        .expect_err("its port is taken");
    assert!(
        said.contains(&format!("telemetry cannot listen on 127.0.0.1:{port}")),
        "{said}"
    );
}
