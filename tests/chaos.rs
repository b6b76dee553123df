//! The backend goes away, the gateway is killed, the disk is full, files are damaged: what was acknowledged
//! arrives all the same, and the counts are those of a quiet day.
//!
//! Five kills of each kind in the everyday run, fifty with `BURNGATE_LONG=1`, and then the backend is away for a minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "these tests watch a real process in real time"
)]

mod forward_support;
mod proof_support;
mod support;

use forward_support::Sink;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use proof_support::{Group, await_totals, group, request, send_request, totals};
use prost::Message;
use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use support::{Gateway, block_on, client, eventually, long, need, sample};

/// A gateway with one exporter, whose queue is on disk.
fn yaml(exporter: &str, endpoint: &str, queue: &str) -> String {
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: 127.0.0.1:0 }}
      http: {{ endpoint: 127.0.0.1:0 }}
connectors:
  error_budget: {{}}
exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  {exporter}:
    endpoint: {endpoint}
    compression: none
    retry_on_failure: {{ initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0s }}
    sending_queue: {{ storage: file_storage, queue_size: 100000, {queue} }}
extensions:
  file_storage: {{ directory: data }}
  api: {{ endpoint: 127.0.0.1:0 }}
service:
  extensions: [ file_storage, api ]
  pipelines:
    traces: {{ receivers: [ otlp ], exporters: [ error_budget, {exporter} ] }}
    metrics/budget: {{ receivers: [ error_budget ], exporters: [ prometheus ] }}
"
    )
}

fn start(dir: &Path) -> Gateway {
    Gateway::start_in(dir, &["run", "--config", "gateway.yaml"], &[])
}

/// The backend, on a runtime of its own.
struct Backend {
    runtime: tokio::runtime::Runtime,
    sink: Sink,
}

impl Backend {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let sink = runtime.block_on(Sink::start());
        Self { runtime, sink }
    }

    fn stop(&mut self) {
        self.runtime.block_on(self.sink.stop());
    }

    fn come_back(&mut self) {
        self.runtime.block_on(self.sink.come_back());
    }

    fn await_all(&self, acknowledged: &HashSet<Vec<u8>>, stderr: impl Fn() -> String) {
        let begun = std::time::Instant::now();
        loop {
            let missing = acknowledged.iter().filter(|id| !self.sink.has(id)).count();
            if missing == 0 {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{missing} of {} acknowledged spans never arrived\n{}",
                acknowledged.len(),
                stderr()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Three good spans and a bad one, each with an id that no other has.
fn spans(next: &AtomicU64) -> ExportTraceServiceRequest {
    let mut message = request(&[group("checkout", "aaa", &[], 3, 1)]);
    for resource in &mut message.resource_spans {
        for span in resource.scope_spans.iter_mut().flat_map(|it| &mut it.spans) {
            let id = next.fetch_add(1, Ordering::Relaxed) + 1;
            span.span_id = id.to_be_bytes().to_vec();
        }
    }
    message
}

/// Sends one request; whether all of it was acknowledged.
async fn send(client: &reqwest::Client, url: &str, message: &ExportTraceServiceRequest) -> bool {
    let post = client.post(url).header("content-type", "application/x-protobuf");
    let Ok(answer) = post.body(message.encode_to_vec()).send().await else {
        return false;
    };
    if !answer.status().is_success() {
        return false;
    }
    let Ok(body) = answer.bytes().await else {
        return false;
    };
    let response = ExportTraceServiceResponse::decode(body).unwrap();
    response.partial_success.is_none_or(|it| it.rejected_spans == 0)
}

fn ids(message: &ExportTraceServiceRequest) -> impl Iterator<Item = Vec<u8>> + '_ {
    let scopes = message.resource_spans.iter().flat_map(|it| &it.scope_spans);
    scopes.flat_map(|it| &it.spans).map(|span| span.span_id.clone())
}

/// Load until it is told to stop, or the gateway is gone.
struct Load {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<HashSet<Vec<u8>>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn new() -> Self {
        Self {
            stop: Arc::default(),
            next: Arc::default(),
            acknowledged: Arc::default(),
            threads: Vec::new(),
        }
    }

    fn on(&mut self, gateway: &Gateway) {
        self.stop.store(false, Ordering::Relaxed);
        for _ in 0..2 {
            let url = format!("{}/v1/traces", gateway.http());
            let (stop, next, acknowledged) =
                (self.stop.clone(), self.next.clone(), self.acknowledged.clone());
            self.threads.push(std::thread::spawn(move || {
                block_on(async move {
                    let client = client();
                    while !stop.load(Ordering::Relaxed) {
                        let message = spans(&next);
                        if send(&client, &url, &message).await {
                            acknowledged.lock().unwrap().extend(ids(&message));
                        }
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                });
            }));
        }
    }

    fn off(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|it| it.join().unwrap());
    }

    fn acknowledged(&self) -> HashSet<Vec<u8>> {
        self.acknowledged.lock().unwrap().clone()
    }
}

/// An end by SIGTERM, in order.
fn stops(gateway: &mut Gateway) {
    let status = gateway.stop();
    assert!(status.success(), "{status}\n{}", gateway.stderr());
}

fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn backend_that_is_away_costs_nothing_acknowledged_and_no_count() {
    for exporter in ["otlp_grpc", "otlp_http"] {
        let mut backend = Backend::start();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("gateway.yaml"),
            yaml(exporter, &backend.sink.url(), "num_consumers: 4"),
        )
        .unwrap();
        let mut gateway = start(dir.path());
        let mut load = Load::new();
        load.on(&gateway);
        sleep_ms(500);
        backend.stop();
        sleep_ms(if long() { 60_000 } else { 2000 });
        eventually("a queue that grows", Duration::from_secs(30), || {
            let labels = [("exporter", exporter)];
            let waiting = sample(&gateway.metrics(), "otelcol_exporter_queue_size", &labels);
            waiting.is_some_and(|n| n > 10.0).then_some(())
        });
        backend.come_back();
        sleep_ms(500);
        load.off();
        let acknowledged = load.acknowledged();
        backend.await_all(&acknowledged, || gateway.stderr());
        // A healthy backend would have seen the same counts: three good ones for a bad one, each once.
        let sent = load.next.load(Ordering::Relaxed);
        assert_eq!(acknowledged.len() as u64, sent, "nobody was refused");
        eventually("every span was counted once", Duration::from_secs(10), || {
            (totals(&gateway, "checkout") == (sent / 4 * 3, sent / 4)).then_some(())
        });
        eventually("the queue is empty", Duration::from_secs(10), || {
            let page = gateway.metrics();
            let left = sample(&page, "otelcol_exporter_queue_size", &[("exporter", exporter)]);
            (left == Some(0.0)).then_some(())
        });
        stops(&mut gateway);
    }
}

#[test]
fn kill_nine_in_the_middle_loses_nothing_acknowledged() {
    let mut backend = Backend::start();
    let dir = tempfile::tempdir().unwrap();
    let batch = "batch: { min_size: 40, max_size: 60, flush_timeout: 50ms }";
    std::fs::write(
        dir.path().join("gateway.yaml"),
        yaml("otlp_grpc", &backend.sink.url(), batch),
    )
    .unwrap();
    let mut load = Load::new();
    let mut random = fastrand::Rng::with_seed(7);
    for kill in 0..if long() { 50 } else { 5 } {
        let gateway = start(dir.path());
        load.on(&gateway);
        sleep_ms(random.u64(150..500));
        if kill % 2 == 0 {
            backend.stop();
        } else {
            backend.come_back();
        }
        sleep_ms(random.u64(50..400));
        gateway.kill9();
        load.off();
    }
    backend.stop();
    backend.come_back();
    let mut gateway = start(dir.path());
    let acknowledged = load.acknowledged();
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    backend.await_all(&acknowledged, || gateway.stderr());
    let log = gateway.stderr();
    assert!(log.contains("batches that were on disk are sent now"), "{log}");
    let again = backend.sink.arrivals() - backend.sink.spans() as u64;
    eprintln!(
        "{} spans acknowledged, {again} arrived more than once",
        acknowledged.len()
    );
    stops(&mut gateway);
    let left = files_of(dir.path());
    assert!(
        left.iter().all(|it| it.extension().is_none_or(|e| e != "log")),
        "{left:?}"
    );
}

/// What each round of the traffic below sends: services, deployments and flags in turn.
fn round(random: &mut fastrand::Rng) -> Vec<Group> {
    let one = |random: &mut fastrand::Rng| {
        let flags: &[&str] = if random.bool() { &["new-checkout"] } else { &[] };
        let service = ["checkout", "search"][random.usize(..2)];
        let sha = ["aaa", "bbb", "ccc"][random.usize(..3)];
        group(service, sha, flags, random.usize(..20), random.usize(..5))
    };
    (0..random.usize(1..6)).map(|_| one(random)).collect()
}

/// Every series of the API with its counts.
fn counted(gateway: &Gateway) -> BTreeMap<String, (u64, u64)> {
    let budgets = gateway.api("/api/v1/budgets")["budgets"].clone();
    let cohorts = gateway.api("/api/v1/cohorts?limit=10000")["cohorts"].clone();
    let all = [budgets, cohorts]
        .into_iter()
        .flat_map(|list| list.as_array().unwrap().clone());
    all.map(|one| {
        let name = ["service", "slo", "sha", "flag", "variant"]
            .map(|key| one[key].as_str().unwrap_or("-").to_owned());
        let counts = (
            one["good_total"].as_u64().unwrap(),
            one["bad_total"].as_u64().unwrap(),
        );
        (name.join(" "), counts)
    })
    .collect()
}

/// Sends a round; returns once it is counted, shown and written down.
fn count_round(gateway: &Gateway, groups: &[Group], expected: &mut BTreeMap<String, (u64, u64)>) {
    send_request(gateway, &request(groups));
    for one in groups {
        let entry = expected.entry(one.service.clone()).or_default();
        *entry = (entry.0 + one.good as u64, entry.1 + one.bad as u64);
    }
    for (service, counts) in expected.iter() {
        await_totals(gateway, service, *counts);
    }
    let evaluated = || {
        sample(
            &gateway.metrics(),
            "burngate_evaluation_last_timestamp_seconds",
            &[],
        )
    };
    let seen = evaluated();
    // An evaluation begins by writing down what the one before has shown.
    eventually("another evaluation", Duration::from_secs(10), || {
        (evaluated() > seen).then_some(())
    });
}

#[test]
fn counts_under_kills_and_a_backend_that_comes_and_goes_are_those_of_a_quiet_day() {
    let rounds = if long() { 50 } else { 5 };
    let (mut quiet_backend, mut backend) = (Backend::start(), Backend::start());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (dir, backend) in folders.iter().zip([&quiet_backend, &backend]) {
        let text = yaml("otlp_grpc", &backend.sink.url(), "num_consumers: 4");
        let text = text.replace("error_budget: {}", "error_budget: { evaluation_interval: 100ms }");
        std::fs::write(dir.path().join("gateway.yaml"), text).unwrap();
    }
    let mut quiet = start(folders[0].path());
    let (mut expected, mut random) = (BTreeMap::new(), fastrand::Rng::with_seed(11));
    for _ in 0..rounds {
        count_round(&quiet, &round(&mut random), &mut expected);
    }
    let wanted = counted(&quiet);
    assert!(wanted.len() >= 8, "{wanted:?}");
    stops(&mut quiet);
    quiet_backend.stop();

    let (mut expected, mut random) = (BTreeMap::new(), fastrand::Rng::with_seed(11));
    for kill in 0..rounds {
        let gateway = start(folders[1].path());
        if kill % 2 == 0 {
            backend.stop();
        } else {
            backend.come_back();
        }
        count_round(&gateway, &round(&mut random), &mut expected);
        gateway.kill9();
    }
    let mut gateway = start(folders[1].path());
    for (service, counts) in &expected {
        await_totals(&gateway, service, *counts);
    }
    assert_eq!(counted(&gateway), wanted, "after {rounds} kills");
    stops(&mut gateway);
}

/// The files of the only queue under `dir`.
fn files_of(dir: &Path) -> Vec<PathBuf> {
    let queue = std::fs::read_dir(dir.join("data/queue"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let files = std::fs::read_dir(queue.path()).unwrap();
    files.map(|it| it.unwrap().path()).collect()
}

#[test]
fn damaged_file_costs_what_it_held_there_and_says_so() {
    let mut backend = Backend::start();
    backend.stop();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("gateway.yaml"),
        yaml("otlp_grpc", &backend.sink.url(), ""),
    )
    .unwrap();
    let gateway = start(dir.path());
    let mut load = Load::new();
    load.on(&gateway);
    eventually("a queue worth damaging", Duration::from_secs(30), || {
        (load.acknowledged().len() > 100).then_some(())
    });
    gateway.kill9();
    load.off();
    let files = files_of(dir.path());
    let log = files
        .iter()
        .find(|it| it.extension().is_some_and(|e| e == "log"))
        .unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&[0xff; 100], length / 2).unwrap();
    backend.come_back();
    let mut gateway = start(dir.path());
    let acknowledged = load.acknowledged();
    // The damage touches two batches of four spans at most.
    eventually("the rest arrives", Duration::from_secs(30), || {
        let there = acknowledged.iter().filter(|id| backend.sink.has(id)).count();
        (there + 8 >= acknowledged.len()).then_some(())
    });
    let corrupt = sample(
        &gateway.metrics(),
        "burngate_queue_corrupt_records_total",
        &[("exporter", "otlp_grpc")],
    );
    assert!(corrupt.is_some_and(|n| n >= 1.0), "{corrupt:?}");
    let recovered = sample(
        &gateway.metrics(),
        "burngate_queue_recovered_batches_total",
        &[("exporter", "otlp_grpc")],
    );
    assert!(recovered.is_some_and(|n| n >= 1.0), "{recovered:?}");
    assert!(gateway.stderr().contains("damaged"), "{}", gateway.stderr());
    stops(&mut gateway);
}

#[test]
fn full_queue_refuses_what_is_new_keeps_what_it_has_and_opens_again() {
    let mut backend = Backend::start();
    backend.stop();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("gateway.yaml"),
        yaml("otlp_grpc", &backend.sink.url(), "queue_size_mib: 1"),
    )
    .unwrap();
    let mut gateway = start(dir.path());
    let acknowledged = fill(&gateway);
    let page = gateway.metrics();
    let refused = |reason| {
        let labels = [("exporter", "otlp_grpc"), ("reason", reason)];
        sample(&page, "burngate_queue_errors_total", &labels).unwrap_or(0.0)
    };
    assert!(refused("limit") >= 1.0);
    backend.come_back();
    backend.await_all(&acknowledged, || gateway.stderr());
    let next = AtomicU64::new(1 << 40);
    let message = spans(&next);
    assert!(block_on(send(
        &client(),
        &format!("{}/v1/traces", gateway.http()),
        &message
    )));
    backend.await_all(&ids(&message).collect(), || gateway.stderr());
    stops(&mut gateway);
}

/// Sends large requests until one is refused; what was acknowledged before.
fn fill(gateway: &Gateway) -> HashSet<Vec<u8>> {
    let url = format!("{}/v1/traces", gateway.http());
    let next = AtomicU64::new(0);
    let mut acknowledged = HashSet::new();
    for _ in 0..1000 {
        let mut message = spans(&next);
        for span in message
            .resource_spans
            .iter_mut()
            .flat_map(|it| &mut it.scope_spans[0].spans)
        {
            span.name = "x".repeat(10_000);
        }
        if !block_on(send(&client(), &url, &message)) {
            assert!(!acknowledged.is_empty());
            return acknowledged;
        }
        acknowledged.extend(ids(&message));
    }
    panic!("it is never full")
}

#[test]
fn full_disk_is_told_apart_and_sending_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    // The ledger's store lives elsewhere: only the queue meets the full disk.
    let data = dir.path().join("data");
    let queue = data.join("queue");
    std::fs::create_dir_all(&queue).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(&queue)
        .stderr(std::process::Stdio::null())
        .status();
    if !need(
        mounted.is_ok_and(|it| it.success()),
        "the right to mount a tmpfs of 1 MiB",
    ) {
        return;
    }
    let mount = Mounted(queue);
    let mut backend = Backend::start();
    backend.stop();
    std::fs::write(
        dir.path().join("gateway.yaml"),
        yaml("otlp_grpc", &backend.sink.url(), "queue_size_mib: 100"),
    )
    .unwrap();
    let mut gateway = start(dir.path());
    let acknowledged = fill(&gateway);
    let labels = [("exporter", "otlp_grpc"), ("reason", "disk_full")];
    let refused = sample(&gateway.metrics(), "burngate_queue_errors_total", &labels);
    assert!(refused.is_some_and(|n| n >= 1.0), "{refused:?}");
    assert!(
        gateway.stderr().contains("the disk is full"),
        "{}",
        gateway.stderr()
    );
    backend.come_back();
    backend.await_all(&acknowledged, || gateway.stderr());
    let message = spans(&AtomicU64::new(1 << 40));
    let url = format!("{}/v1/traces", gateway.http());
    eventually("there is room again", Duration::from_secs(10), || {
        block_on(send(&client(), &url, &message)).then_some(())
    });
    stops(&mut gateway);
    drop(gateway);
    drop(mount);
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
