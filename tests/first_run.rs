//! The first minute with burngate: in an empty folder with nothing but the binary, and with the two example configurations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]
#![allow(
    clippy::disallowed_methods,
    reason = "how long the first budget takes is the subject"
)]

mod proof_support;
mod support;

use proof_support::now_nanos;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::{Gateway, block_on, client, eventually, get, need, post, sample};

/// Where its own metrics are; taken, they are left out with a warning.
const TELEMETRY: u16 = 8888;

const PORTS: [u16; 5] = [4317, 4318, 9464, 13133, 8055];

/// What `curl` with a body from the documentation would send.
fn one_span(service: &str) -> String {
    let (start, end) = (now_nanos() - 5_000_000, now_nanos());
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
        "scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /",
        "kind":2,"startTimeUnixNano":"{start}","endTimeUnixNano":"{end}",
        "attributes":[{{"key":"http.response.status_code","value":{{"intValue":"200"}}}}]}}]}}]}}]}}"#
    )
}

fn send_one(gateway: &Gateway, service: &str) -> Instant {
    let url = format!("{}/v1/traces", gateway.http());
    let (status, body) = post(&url, "application/json", one_span(service).into_bytes());
    assert_eq!((status, body.as_slice()), (200, b"{}".as_slice()));
    Instant::now()
}

fn shows(gateway: &Gateway, service: &str) -> bool {
    let labels = [("service", service), ("level", "total"), ("outcome", "good")];
    let (status, body) = get(&gateway.url("api", &format!("/api/v1/budgets/{service}")));
    let body: Value = serde_json::from_str(&body).unwrap();
    sample(&gateway.metrics(), "slo_events_total", &labels) == Some(1.0)
        && status == 200
        && body["budgets"][0]["good_total"] == 1
}

#[test]
fn without_arguments_it_serves_every_default_and_says_so() {
    let free = || {
        PORTS
            .iter()
            .chain([&TELEMETRY])
            .all(|&port| TcpListener::bind(("0.0.0.0", port)).is_ok())
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !free() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(500));
    }
    if !need(
        free(),
        "one of the ports 4317, 4318, 9464, 13133, 8055, 8888 is taken",
    ) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start_in(dir.path(), &[], &[]);
    let banner = gateway.banner.join("\n");
    for (name, address) in [
        ("otlp/grpc", "0.0.0.0:4317"),
        ("otlp/http", "0.0.0.0:4318"),
        ("prometheus", "0.0.0.0:9464"),
        ("health", "0.0.0.0:13133"),
        ("api", "127.0.0.1:8055"),
    ] {
        assert_eq!(gateway.addrs[name].to_string(), address, "{banner}");
        assert_eq!(
            banner.matches(&format!("listening on {address}")).count(),
            1,
            "one line a listener\n{banner}"
        );
    }
    assert!(
        banner.contains("every service that sends spans gets availability 99.9 % over 30d"),
        "{banner}"
    );
    assert!(
        banner.contains("http://127.0.0.1:9464/metrics")
            && banner.contains("http://127.0.0.1:8055/api/v1/budgets")
    );
    let answered = send_one(&gateway, "first");
    eventually("its budget", Duration::from_secs(10), || {
        shows(&gateway, "first").then_some(())
    });
    assert!(
        answered.elapsed() < Duration::from_millis(2500),
        "{:?}",
        answered.elapsed()
    );
    let budget = gateway.api("/api/v1/budgets/first")["budgets"][0].clone();
    assert_eq!(
        (&budget["slo"], &budget["objective"], &budget["period_secs"]),
        (&"availability".into(), &0.999.into(), &2_592_000.into())
    );
    assert!(
        dir.path().join("data/burngate.redb").is_file(),
        "the store is in ./data"
    );
    assert_eq!(
        gateway.stderr().matches("WARN").count(),
        0,
        "nothing to warn of\n{}",
        gateway.stderr()
    );
    assert!(gateway.stop().success());
    // The same folder again: it remembers.
    let again = Gateway::start_in(dir.path(), &[], &[]);
    eventually("yesterday's budget", Duration::from_secs(5), || {
        shows(&again, "first").then_some(())
    });
}

/// The example with every endpoint on an ephemeral port of loopback and its store in the test's folder; nothing else changed.
fn example(name: &str, dir: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
    let mut out = String::new();
    for line in text.lines() {
        let port = PORTS
            .iter()
            .find(|port| line.trim_end().ends_with(&format!(":{port}")));
        match port {
            Some(_) => {
                let (key, _) = line.split_once("endpoint:").unwrap();
                writeln!(out, "{key}endpoint: 127.0.0.1:0").unwrap();
            }
            // With its default endpoint, which is a fixed port too.
            None if line == "  health_check:" && name == "central-gateway" => {
                out.push_str("  health_check:\n    endpoint: 127.0.0.1:0\n");
            }
            None => writeln!(out, "{line}").unwrap(),
        }
    }
    proof_support::write(dir, "gateway.yaml", &out);
    let policies = std::fs::read_to_string(folder.join("policies/checkout.yaml")).unwrap();
    proof_support::write(dir, "policies/checkout.yaml", &policies);
}

#[test]
fn both_ways_to_deploy_really_run() {
    for name in ["central-gateway", "sidecar"] {
        let dir = tempfile::tempdir().unwrap();
        example(name, dir.path());
        // Nobody answers there: a flag service that is down at start is reported, never fatal.
        let env = [
            ("UNLEASH_TOKEN", "t0ken-of-example"),
            ("UNLEASH_URL", "http://127.0.0.1:9"),
        ];
        let checked = Command::new(env!("CARGO_BIN_EXE_burngate"))
            .args(["validate", "--config", "gateway.yaml"])
            .current_dir(dir.path())
            .envs(env)
            .output()
            .unwrap();
        assert!(
            checked.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
        let args = ["run", "--config", "gateway.yaml", "--data-dir", "store"];
        let mut gateway = Gateway::start_in(dir.path(), &args, &env);
        assert_eq!(gateway.addrs.len(), 5, "{name}: {:?}", gateway.banner);
        send_one(&gateway, "beside");
        eventually("its budget", Duration::from_secs(10), || {
            shows(&gateway, "beside").then_some(())
        });
        assert!(dir.path().join("store/burngate.redb").is_file());
        assert_eq!(get(&gateway.url("health", "/")).0, 200);
        assert!(gateway.stop().success(), "{name}: {}", gateway.stderr());
        assert!(!gateway.stderr().contains("t0ken-of-example"), "{name}");
    }
}

#[test]
fn health_is_200_and_then_503_while_stopping() {
    let dir = tempfile::tempdir().unwrap();
    proof_support::write(dir.path(), "gateway.yaml", &support::Setup::default().yaml());
    let mut gateway = Gateway::start_in(dir.path(), &["run", "--config", "gateway.yaml"], &[]);
    let (status, body) = get(&gateway.url("health", "/"));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["status"].as_str()), (200, Some("Server available")));
    // A request under way holds the end open: its headers are there, its body is not.
    let (url, traces) = (
        gateway.url("health", "/"),
        format!("{}/v1/traces", gateway.http()),
    );
    let watched = std::thread::spawn(move || {
        block_on(async move {
            let (send_body, body) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
            let body = reqwest::Body::wrap(http_body_util::StreamBody::new(futures_of(body)));
            let request = client()
                .post(traces)
                .header("content-type", "application/json")
                .body(body)
                .send();
            let slow = tokio::spawn(request);
            let mut seen = Vec::new();
            for _ in 0..150 {
                match client().get(&url).send().await {
                    Ok(answer) => seen.push(answer.status().as_u16()),
                    Err(_) => break,
                }
                if seen.last() == Some(&503) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            send_body.send(Ok(one_span("slow").into_bytes())).await.unwrap();
            drop(send_body);
            (seen, slow.await.unwrap().unwrap().status().as_u16())
        })
    });
    std::thread::sleep(Duration::from_millis(700));
    assert!(gateway.stop().success(), "{}", gateway.stderr());
    let (seen, slow) = watched.join().unwrap();
    assert_eq!((seen.first(), seen.last()), (Some(&200), Some(&503)), "{seen:?}");
    assert_eq!(slow, 200, "what is under way is finished");
    let again = Gateway::start_in(dir.path(), &["run", "--config", "gateway.yaml"], &[]);
    eventually("and counted", Duration::from_secs(5), || {
        shows(&again, "slow").then_some(())
    });
}

/// The pieces of a body, as they come.
fn futures_of(
    pieces: tokio::sync::mpsc::Receiver<Result<Vec<u8>, std::io::Error>>,
) -> impl tokio_stream::Stream<Item = Result<http_body::Frame<bytes::Bytes>, std::io::Error>> {
    use tokio_stream::StreamExt as _;
    tokio_stream::wrappers::ReceiverStream::new(pieces)
        .map(|piece| piece.map(|p| http_body::Frame::data(p.into())))
}
