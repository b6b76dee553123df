//! Chaos with real parts: a service instrumented with the official Python SDK behind toxiproxy, which resets its connections to a
//! supplier and then slows them down. What the gateway says of budget and alerts is what the client's own record says.
//!
//! docs/incidents.md tells how to repeat it by hand. It takes three minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a real client in real time")]
#![allow(clippy::cast_precision_loss, reason = "small whole numbers")]

mod proof_support;
mod support;

use proof_support::free_port;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Gateway, Setup, block_on, client, eventually, need, python, tools};

/// A request is slow from here on; the toxic adds more than that, and a busy machine rarely as much.
const SLOW: Duration = Duration::from_secs(1);
/// Requests at once, and the pause between two of one client.
const CLIENTS: usize = 6;
const PAUSE: Duration = Duration::from_millis(250);

const POLICY: &str = "
service: shop
environment: test
window: 1h
slos:
  - name: availability
    target: 99%
    alerts:
      - { name: fast, windows: [ { window: 1m, burn_above: 10 }, { window: 20s, burn_above: 10 } ], severity: page }
  - name: latency
    target: 95%
    sli: { faster_than: 1s, failed: exclude }
    alerts:
      - { name: slow, windows: [ { window: 1m, burn_above: 2 }, { window: 20s, burn_above: 2 } ], severity: page }
";

/// Ends a process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// toxiproxy, by its API.
struct Toxiproxy {
    _server: Running,
    api: String,
}

impl Toxiproxy {
    fn start() -> Self {
        let port = free_port();
        let server = Command::new(tools().join("bin/toxiproxy-server"))
            .args(["-host", "127.0.0.1", "-port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("toxiproxy");
        let it = Self {
            _server: Running(server),
            api: format!("http://127.0.0.1:{port}"),
        };
        eventually("toxiproxy answers", Duration::from_secs(30), || {
            let version = client().get(format!("{}/version", it.api));
            block_on(async { version.send().await.ok() }).filter(|a| a.status().is_success())
        });
        it
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        block_on(async {
            let url = format!("{}{path}", self.api);
            let request = client().request(method.parse().unwrap(), url).json(body);
            let answer = request.send().await.unwrap();
            assert!(
                answer.status().is_success(),
                "{method} {path}: {}",
                answer.status()
            );
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
        })
    }

    /// A way to `upstream`; where it begins.
    fn proxy(&self, upstream: &str) -> String {
        let wanted =
            json!({ "name": "supplier", "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true });
        self.call("POST", "/proxies", &wanted)["listen"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn poison(&self, toxic: &Value) {
        self.call("POST", "/proxies/supplier/toxics", toxic);
    }

    fn heal(&self) {
        self.call("POST", "/reset", &json!({}));
    }
}

/// Answers everything with 204.
fn supplier() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        block_on(async {
            let router = axum::Router::new().fallback(|| async { http::StatusCode::NO_CONTENT });
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    address
}

fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// One request, as its client saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    end_nanos: u64,
    took: Duration,
    failed: bool,
}

/// Clients that buy until they are told to stop, and what they saw.
struct Customers {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Customers {
    fn at(shop: &str) -> Self {
        let mut it = Self {
            stop: Arc::default(),
            seen: Arc::default(),
            threads: Vec::new(),
        };
        for _ in 0..CLIENTS {
            let (stop, seen, url) = (it.stop.clone(), it.seen.clone(), shop.to_owned());
            it.threads.push(std::thread::spawn(move || {
                block_on(async {
                    let client = client();
                    while !stop.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        let answer = client.get(&url).send().await.expect("the shop answers");
                        let failed = answer.status().is_server_error();
                        let one = Seen {
                            end_nanos: now_nanos(),
                            took: began.elapsed(),
                            failed,
                        };
                        seen.lock().unwrap().push(one);
                        tokio::time::sleep(PAUSE).await;
                    }
                });
            }));
        }
        it
    }

    fn leave(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort_by_key(|one| one.end_nanos);
        seen
    }
}

/// When both windows of an alert begin and end to be above, by the record, at every second.
fn edges(seen: &[Seen], bad: impl Fn(&Seen) -> Option<bool>, budget: f64, burn: f64) -> Vec<(u64, bool)> {
    let bucket = |nanos: u64| nanos / 10_000_000_000;
    let judged: Vec<(u64, bool)> = seen
        .iter()
        .filter_map(|one| Some((one.end_nanos, bad(one)?)))
        .collect();
    let (first, last) = (
        judged[0].0 / 1_000_000_000,
        judged[judged.len() - 1].0 / 1_000_000_000,
    );
    let mut edges = Vec::new();
    let mut above = false;
    for at in first..=last + 70 {
        let burns = |window: u64| {
            let inside = |end: u64| end <= at * 1_000_000_000 && bucket(end) >= (at - window) / 10;
            let (mut all, mut lost) = (0u64, 0u64);
            for (_, bad) in judged.iter().filter(|one| inside(one.0)) {
                all += 1;
                lost += u64::from(*bad);
            }
            all > 0 && lost as f64 / all as f64 / budget > burn
        };
        let now = burns(60) && burns(20);
        if now != above {
            edges.push((at, now));
            above = now;
        }
    }
    edges
}

/// Writes down what the gateway says of its alerts, until told to stop.
fn watch(gateway: &Gateway, stop: &AtomicBool) -> BTreeMap<String, Vec<(u64, bool)>> {
    let mut edges: BTreeMap<String, Vec<(u64, bool)>> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        for budget in gateway.api("/api/v1/budgets")["budgets"].as_array().unwrap() {
            for alert in budget["alerts"].as_array().unwrap() {
                let name = alert["name"].as_str().unwrap().to_owned();
                let fires = !matches!(alert["state"].as_str().unwrap(), "healthy" | "no_data");
                let since: jiff::Timestamp = alert["since"].as_str().unwrap().parse().unwrap();
                let known = edges.entry(name).or_default();
                if known.last().map_or(fires, |last| last.1 != fires) {
                    known.push((u64::try_from(since.as_second()).unwrap(), fires));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    edges
}

#[test]
fn budget_and_alerts_are_those_of_the_clients_own_record() {
    let Some(python) = python() else { return };
    if !need(
        tools().join("bin/toxiproxy-server").is_file(),
        "no toxiproxy (tests/all.sh builds it)",
    ) {
        return;
    }
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let gateway = Gateway::start_with(&setup, &[("policies/shop.yaml", POLICY)]);
    let toxiproxy = Toxiproxy::start();
    let supplier = toxiproxy.proxy(&supplier());
    let mut shop = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/toxiproxy/shop.py"))
        .args([
            "--otlp",
            &gateway.grpc(),
            "--supplier",
            &format!("http://{supplier}/"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(shop.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    let mut shop = Running(shop);
    let customers = Customers::at(&format!("http://127.0.0.1:{}/buy", port.trim()));
    let stop = AtomicBool::new(false);
    let (seen, said) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(&gateway, &stop));
        let secs = |secs| std::thread::sleep(Duration::from_secs(secs));
        secs(20);
        toxiproxy.poison(&json!({ "name": "cut", "type": "reset_peer", "attributes": { "timeout": 0 } }));
        secs(20);
        toxiproxy.heal();
        secs(35);
        toxiproxy.poison(&json!({ "name": "slow", "type": "latency", "attributes": { "latency": 1700 } }));
        secs(40);
        toxiproxy.heal();
        secs(45);
        let seen = customers.leave();
        // The shop sends its last spans when its stdin ends.
        drop(shop.0.stdin.take());
        assert!(shop.0.wait().unwrap().success());
        secs(5);
        stop.store(true, Ordering::Relaxed);
        (seen, watching.join().unwrap())
    });

    let failed = seen.iter().filter(|one| one.failed).count();
    let slow = seen.iter().filter(|one| !one.failed && one.took >= SLOW).count();
    eprintln!(
        "{} requests, {failed} failed, {slow} slow; edges {said:?}",
        seen.len()
    );
    assert!(failed > 50 && slow > 20, "the toxics worked");

    let budgets = gateway.api("/api/v1/budgets")["budgets"].clone();
    let budget = |slo: &str| {
        budgets
            .as_array()
            .unwrap()
            .iter()
            .find(|b| b["slo"] == slo)
            .unwrap()
            .clone()
    };
    let availability = budget("availability");
    let counted = (
        availability["good_total"].as_u64().unwrap(),
        availability["bad_total"].as_u64().unwrap(),
    );
    assert_eq!(
        counted,
        ((seen.len() - failed) as u64, failed as u64),
        "every request once"
    );
    let consumed = failed as f64 / seen.len() as f64 / 0.01;
    let told = availability["consumed"].as_f64().unwrap();
    assert!(
        (told - consumed).abs() < 1e-9 * consumed,
        "budget consumed: {told}, {consumed}"
    );
    let latency = budget("latency");
    let late = latency["bad_total"].as_u64().unwrap();
    // A client waits for the shop's answer too, which on a busy machine may take a request over the threshold.
    assert!(
        late.abs_diff(slow as u64) <= 2 + seen.len() as u64 / 20,
        "{late} slow spans, {slow} slow requests"
    );

    let by_record = [
        ("fast", edges(&seen, |one| Some(one.failed), 0.01, 10.0)),
        (
            "slow",
            edges(&seen, |one| (!one.failed).then_some(one.took >= SLOW), 0.05, 2.0),
        ),
    ];
    for (alert, want) in by_record {
        let got = &said[alert];
        eprintln!("{alert}: by the record {want:?}, by the gateway {got:?}");
        assert_eq!(want.len(), 2, "it begins and ends: {want:?}");
        assert_eq!(got.len(), want.len(), "{alert}");
        for (got, want) in got.iter().zip(&want) {
            // Spans leave the shop every quarter of a second; the rest is a machine that does something else.
            assert!(
                got.1 == want.1 && got.0.abs_diff(want.0) <= 10,
                "{alert}: {got:?}, {want:?}"
            );
        }
    }
}
