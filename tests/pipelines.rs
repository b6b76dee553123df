//! Pipelines in the real binary, where only the whole shows whether it holds: samplers and the count, what is known of a client
//! on its way to a batch, a swap under load, and an end with a backend that never answers.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "these tests watch a real process in real time"
)]

mod interop_support;
mod proof_support;
mod support;

use interop_support::items::{decode, text};
use interop_support::{Door, Signal, items};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proof_support::{await_totals, group, request, send, write};
use prost::Message;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Gateway, block_on, client, eventually, sample};

const WITHIN: Duration = Duration::from_secs(30);

/// A gateway whose traces pass these processors to these exporters; one body may come many times, and counts each time.
fn yaml(http: &str, sections: &str, processors: &str, exporters: &str) -> String {
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: 127.0.0.1:0 }}
      http: {{ endpoint: 127.0.0.1:0{http} }}
connectors:
  error_budget: {{ evaluation_interval: 200ms, dedup: {{ bodies: false }} }}
{sections}
service:
  extensions: [ api, basicauth ]
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [ otlp ], processors: [ {processors} ], exporters: [ {exporters} ] }}
    metrics/budget: {{ receivers: [ error_budget ], exporters: [ prometheus ] }}
extensions:
  api: {{ endpoint: 127.0.0.1:0 }}
  basicauth: {{ htpasswd: {{ inline: \"ann:secret\" }} }}
"
    )
}

fn start(dir: &Path, yaml: &str) -> Gateway {
    write(dir, "gateway.yaml", yaml);
    Gateway::start_in(dir, &["run", "--config", "gateway.yaml"], &[])
}

fn spans(door: &Door) -> usize {
    let seen = door.seen();
    seen.iter()
        .filter(|it| it.signal == Signal::Traces)
        .map(|it| items(it).len())
        .sum()
}

#[test]
fn sampler_in_front_of_the_connector_changes_no_count() {
    let backend = Door::that_answers();
    let sections = format!(
        "processors:
  probabilistic_sampler: {{ sampling_percentage: 10 }}
  resource: {{ attributes: [ {{ action: upsert, key: deployment.sha, value: abc }} ] }}
exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  otlp_http: {{ endpoint: {} }}",
        backend.url()
    );
    let dir = tempfile::tempdir().unwrap();
    let gateway = start(
        dir.path(),
        &yaml(
            "",
            &sections,
            "probabilistic_sampler, resource",
            "otlp_http, error_budget",
        ),
    );
    send(&gateway, &[group("checkout", "", &[], 1800, 200)]);
    await_totals(&gateway, "checkout", (1800, 200));
    // 200 are expected, and 14 bits of a hash do not miss by half.
    let sampled = eventually("a share arrives", WITHIN, || {
        Some(spans(&backend)).filter(|&n| n > 0)
    });
    assert!((100..300).contains(&sampled), "{sampled} of 2000 spans passed");
}

/// One request as a user of a tenant.
fn send_as(gateway: &Gateway, tenant: &str, body: Vec<u8>) -> u16 {
    let post = client()
        .post(format!("{}/v1/traces", gateway.http()))
        .basic_auth("ann", Some("secret"))
        .header("content-type", "application/x-protobuf")
        .header("X-Tenant", tenant);
    block_on(async { post.body(body).send().await.unwrap().status().as_u16() })
}

#[test]
fn batches_hold_one_tenant_each_up_to_their_size_and_know_who_sent_them() {
    let backend = Door::that_answers();
    let sections = format!(
        "processors:
  resource:
    attributes:
      - {{ action: upsert, key: tenant, from_context: metadata.x-tenant }}
      - {{ action: upsert, key: sender, from_context: auth.subject }}
      - {{ action: insert, key: address, from_context: client.address }}
      - {{ action: insert, key: nothing, from_context: metadata.x-nothing }}
  batch: {{ timeout: 5s, send_batch_size: 40, send_batch_max_size: 50, metadata_keys: [ x-tenant ] }}
exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  otlp_http: {{ endpoint: {}, compression: none }}",
        backend.url()
    );
    let http = ", include_metadata: true, auth: { authenticator: basicauth }";
    let dir = tempfile::tempdir().unwrap();
    let gateway = start(
        dir.path(),
        &yaml(http, &sections, "resource, batch", "error_budget, otlp_http"),
    );
    let small = request(&[group("shop", "", &[], 7, 0)]).encode_to_vec();
    for nth in 0..60 {
        assert_eq!(send_as(&gateway, ["blue", "red"][nth % 2], small.clone()), 200);
    }
    let large = request(&[group("shop", "", &[], 180, 0)]).encode_to_vec();
    assert_eq!(send_as(&gateway, "blue", large), 200);
    eventually("everything arrives", WITHIN, || {
        (spans(&backend) == 60 * 7 + 180).then_some(())
    });
    let (mut blue, mut red) = (0, 0);
    let seen = backend.seen();
    for one in &seen {
        let size = items(one).len();
        assert!(size <= 50, "{size} spans in a batch");
        let resources = decode::<ExportTraceServiceRequest>(one).resource_spans;
        let of = |key: &str| {
            let all = resources.iter().map(|it| {
                let attributes = &it.resource.as_ref().unwrap().attributes;
                text(attributes, key).map(str::to_owned)
            });
            let mut all: Vec<Option<String>> = all.collect();
            all.dedup();
            all
        };
        assert_eq!(of("sender"), [Some("ann".to_owned())]);
        assert_eq!(of("address"), [Some("127.0.0.1".to_owned())]);
        assert_eq!(of("nothing"), [None]);
        match of("tenant").as_slice() {
            [Some(tenant)] if tenant == "blue" => blue += size,
            [Some(tenant)] if tenant == "red" => red += size,
            mixed => panic!("{mixed:?} in one batch"),
        }
    }
    assert_eq!((blue, red), (30 * 7 + 180, 30 * 7));
    assert!(seen.len() < 61, "nothing was merged: {} requests", seen.len());
}

/// One connection that says `POST` again and again.
struct Wire {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Wire {
    fn new(to: SocketAddr, body: &[u8]) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Self {
            stream,
            request: [head.as_bytes(), body].concat(),
        }
    }

    /// Sends once; the head of the answer, whose body is empty.
    fn send(&mut self) -> String {
        self.stream.write_all(&self.request).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = self.stream.read(&mut byte).unwrap();
            assert!(
                read == 1,
                "the connection was closed: {}",
                String::from_utf8_lossy(&head)
            );
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }
}

/// Every other configuration of the swap: processors, exporters and their settings change.
fn swapped(backend: &Door, round: u32) -> String {
    let timeout = 5 + round % 2;
    let sections = format!(
        "processors:
  resource: {{ attributes: [ {{ action: upsert, key: round, value: r{round} }} ] }}
  batch: {{ timeout: 100ms }}
exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  debug:
  otlp_grpc: {{ endpoint: {}, timeout: {timeout}s, compression: none }}",
        backend.url()
    );
    let (processors, exporters) = match round % 3 {
        0 => ("", "error_budget, otlp_grpc"),
        1 => ("resource, batch", "otlp_grpc, error_budget"),
        _ => ("resource", "error_budget, otlp_grpc, debug"),
    };
    yaml("", &sections, processors, exporters)
}

#[test]
fn pipelines_are_swapped_under_load_without_losing_a_connection_a_span_or_a_count() {
    let backend = Door::that_answers();
    let dir = tempfile::tempdir().unwrap();
    let gateway = start(dir.path(), &swapped(&backend, 0));
    let body = request(&[group("shop", "abc", &[], 4, 1)]).encode_to_vec();
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let wires = (0..3).map(|_| {
        let mut wire = Wire::new(gateway.addrs["otlp/http"], &body);
        let (stop, sent) = (stop.clone(), sent.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let head = wire.send();
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                sent.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let wires: Vec<_> = wires.collect();
    for round in 1..=9 {
        let before = sent.load(Ordering::Relaxed);
        write(dir.path(), "gateway.yaml", &swapped(&backend, round));
        let pid = gateway.pid().to_string();
        let kill = std::process::Command::new("kill").args(["-HUP", &pid]).status();
        assert!(kill.unwrap().success());
        eventually("the swap", WITHIN, || {
            let applied = sample(
                &gateway.metrics(),
                "burngate_config_reloads_total",
                &[("outcome", "applied")],
            );
            (applied == Some(f64::from(round))).then_some(())
        });
        eventually("every connection goes on", WITHIN, || {
            (sent.load(Ordering::Relaxed) > before + 20).then_some(())
        });
    }
    stop.store(true, Ordering::Relaxed);
    for wire in wires {
        wire.join().expect("a connection goes on over every swap");
    }
    let requests = sent.load(Ordering::Relaxed);
    await_totals(&gateway, "shop", (4 * requests, requests));
    let wanted = usize::try_from(requests).unwrap() * 5;
    eventually("every span arrives", WITHIN, || {
        (spans(&backend) >= wanted).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(spans(&backend), wanted, "and none twice");
}

#[test]
fn backend_that_never_answers_slows_neither_the_count_nor_the_end() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let sections = format!(
        "exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  otlp_grpc: {{ endpoint: 'http://{address}', timeout: 1m, sending_queue: {{ queue_size: 20, num_consumers: 2 }} }}
  otlp_http: {{ endpoint: 'http://{address}', timeout: 1m, sending_queue: {{ queue_size: 20, num_consumers: 2 }} }}"
    );
    let mut gateway = start(
        dir.path(),
        &yaml("", &sections, "", "error_budget, otlp_grpc, otlp_http"),
    );
    let body = request(&[group("shop", "abc", &[], 4, 1)]).encode_to_vec();
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let since = Instant::now();
        let stream = TcpStream::connect(gateway.addrs["otlp/http"]).unwrap();
        // Once the queues are full, an answer says so by a partial success: sent again they would count twice.
        let answer = exchange(stream, &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        slowest = slowest.max(since.elapsed());
    }
    await_totals(&gateway, "shop", (400, 100));
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let dropped = sample(
        &gateway.metrics(),
        "otelcol_exporter_enqueue_failed_spans",
        &[("exporter", "otlp_grpc")],
    );
    assert_eq!(dropped, Some(400.0), "20 of 100 requests are in the queue");
    // A client that is half way through its request does not hold the end up either.
    let mut halfway = Wire::new(gateway.addrs["otlp/http"], &body);
    halfway.request.truncate(halfway.request.len() / 2);
    halfway.stream.write_all(&halfway.request).unwrap();
    let since = Instant::now();
    assert!(gateway.stop().success(), "{}", gateway.stderr());
    let took = since.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?} from SIGTERM to the end");
}

#[test]
fn every_component_says_how_it_is() {
    let (_held, nobody) = support::nobody();
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: 127.0.0.1:0 }} }} }} }}
processors: {{ batch: , memory_limiter: {{ check_interval: 1s, limit_mib: 1000 }} }}
connectors: {{ count: }}
exporters:
  file: {{ path: out.jsonl }}
  debug:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  prometheus_remote_write: {{ endpoint: 'http://{nobody}/api/v1/write' }}
  otlp_http/apm: {{ endpoint: 'http://{nobody}' }}
  otlp_http/idle: {{ endpoint: 'http://{nobody}' }}
extensions: {{ health_check: {{ endpoint: 127.0.0.1:0 }} }}
service:
  extensions: [ health_check ]
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [ otlp ], processors: [ memory_limiter, batch ], exporters: [ count, file, otlp_http/apm ] }}
    metrics: {{ receivers: [ count ], exporters: [ prometheus_remote_write, prometheus ] }}
    logs: {{ receivers: [ otlp ], exporters: [ debug, otlp_http/idle ] }}
"
    );
    let gateway = start(dir.path(), &text);
    let state = || {
        let (code, body) = support::get(&gateway.url("health", "/status?verbose"));
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let components = answer["components"].as_object().unwrap();
        let state = |it: &serde_json::Value| it["status"].as_str().unwrap().to_owned();
        let all = components.iter().map(|(name, it)| (name.clone(), state(it)));
        (code, all.collect::<std::collections::BTreeMap<_, _>>())
    };
    let names = [
        "connector count",
        "exporter debug",
        "exporter file",
        "exporter otlp_http/apm",
        "exporter otlp_http/idle",
        "exporter prometheus",
        "exporter prometheus_remote_write",
        "extension health_check",
        "processor batch",
        "processor memory_limiter",
        "receiver otlp",
    ];
    let (code, before) = state();
    assert_eq!(code, 200);
    let well = names.map(|name| (name.to_owned(), "StatusOK".to_owned()));
    assert_eq!(before, std::collections::BTreeMap::from(well));
    send(&gateway, &[group("shop", "", &[], 9, 1)]);
    let in_trouble = ["exporter otlp_http/apm", "exporter prometheus_remote_write"];
    let (code, after) = eventually("those whose backend is away say so", WITHIN, || {
        let (code, after) = state();
        let ails = |name: &str| after[name] == "StatusRecoverableError";
        in_trouble.into_iter().all(ails).then_some((code, after))
    });
    assert_eq!(code, 200, "a restart would not bring the backend back");
    for name in names.iter().filter(|it| !in_trouble.contains(it)) {
        assert_eq!(after[*name], "StatusOK", "{name}");
    }
}

/// Writes one request into a stream; everything that comes back.
fn exchange(mut stream: impl Read + Write, body: &[u8]) -> String {
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn unix_socket_takes_telemetry_with_its_mode_and_leaves_no_file() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("otlp.sock");
    let text = yaml(
        "",
        "exporters: { prometheus: { endpoint: 127.0.0.1:0 } }",
        "",
        "error_budget",
    )
    .replace(
        "http: { endpoint: 127.0.0.1:0 }",
        &format!(
            "http: {{ endpoint: {}, transport: unix, socket_mode: \"0600\" }}",
            path.display()
        ),
    );
    // What a killed process left behind is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut gateway = start(dir.path(), &text);
    assert_eq!(gateway.sockets["otlp/http"], path, "the start says where");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let body = request(&[group("shop", "", &[], 3, 1)]).encode_to_vec();
    let answer = exchange(UnixStream::connect(&path).unwrap(), &body);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    await_totals(&gateway, "shop", (3, 1));
    assert!(gateway.stop().success());
    assert!(!path.exists(), "the file goes with its listener");
}

#[test]
fn gateway_that_only_forwards_says_so_and_asks_for_no_policy() {
    let dir = tempfile::tempdir().unwrap();
    let text = "receivers: { otlp: { protocols: { http: { endpoint: 127.0.0.1:0 } } } }
exporters: { debug: }
service:
  telemetry: { metrics: { level: none } }
  pipelines: { traces: { receivers: [ otlp ], exporters: [ debug ] } }
";
    let gateway = start(dir.path(), text);
    let printed = gateway.banner.join("\n");
    assert!(
        printed.contains("objectives none: no pipeline hands telemetry to error_budget"),
        "{printed}"
    );
    assert!(!printed.contains("budgets are at"), "{printed}");
    assert!(!gateway.stderr().contains("policy"), "{}", gateway.stderr());
}

#[test]
fn rejected_spans_are_cut_out_and_the_rest_goes_on_byte_for_byte() {
    let backend = Door::that_answers();
    let dir = tempfile::tempdir().unwrap();
    let sections = format!(
        "exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  otlp_grpc: {{ endpoint: {}, compression: none }}",
        backend.url()
    );
    let gateway = start(dir.path(), &yaml("", &sections, "", "error_budget, otlp_grpc"));
    let mut whole = request(&[group("shop", "abc", &[], 5, 2), group("cart", "", &[], 3, 0)]);
    let wanted = whole.encode_to_vec();
    let mut broken = whole.resource_spans[0].scope_spans[0].spans[3].clone();
    broken.trace_id.truncate(3);
    whole.resource_spans[0].scope_spans[0].spans.insert(4, broken);
    let answer = proof_support::send_request(&gateway, &whole);
    let partial = answer.partial_success.expect("a partial success");
    assert_eq!(partial.rejected_spans, 1, "{}", partial.error_message);
    let seen = eventually("the rest arrives", WITHIN, || backend.seen().pop());
    assert_eq!(seen.message, wanted);
    await_totals(&gateway, "shop", (5, 2));
    await_totals(&gateway, "cart", (3, 0));
}
