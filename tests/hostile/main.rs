//! What an attacker, or a broken client, sends: each class by its name, against the real binary.
//!
//! For each: the right answer, no panic, memory below the limit, and a healthy client beside it that notices nothing.
//! A class is a row of a table: a name, what is done, and the outcomes that are right. All run at once, a few at a
//! time, while a healthy client of each protocol sends all along.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::too_many_lines,
    clippy::unnecessary_to_owned,
    missing_docs
)]

mod bodies;
mod frames;
mod lines;
#[path = "../receive_support/mod.rs"]
mod receive_support;
#[path = "../support/mod.rs"]
mod support;
mod tls;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use prost::Message;
use receive_support::{Authority, TRACES, call, framed, request};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Gateway, Setup, sample};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

/// Bytes that all requests together may hold.
const IN_FLIGHT_MIB: u64 = 64;
/// All else: the binary itself (a debug build), connections, buffers of the allocator.
const BESIDE_MIB: u64 = 256;
/// Attacks at once.
const AT_ONCE: usize = 6;

/// Where the binary listens.
#[derive(Clone, Copy)]
struct Target {
    grpc: SocketAddr,
    http: SocketAddr,
    tls: SocketAddr,
}

/// One class.
struct Class {
    name: String,
    attack: Box<dyn Fn(Target) -> BoxFuture<'static, String> + Send + Sync>,
    /// Beginnings of the outcomes that are right.
    right: &'static [&'static str],
}

/// A class of a name, what is done, and what must come of it.
fn class<F>(
    name: impl Into<String>,
    right: &'static [&'static str],
    attack: impl Fn(Target) -> F + Send + Sync + 'static,
) -> Class
where
    F: Future<Output = String> + Send + 'static,
{
    Class {
        name: name.into(),
        attack: Box::new(move |target| Box::pin(attack(target))),
        right,
    }
}

/// A body over HTTP/1.1: the status, or `closed`.
async fn post(target: Target, headers: &[(&str, &str)], body: Vec<u8>) -> String {
    let mut head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "Content-Type") {
        head.push_str("Content-Type: application/x-protobuf\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Connection: close\r\n\r\n");
    exchange(target.http, [head.into_bytes(), body].concat()).await
}

/// Writes and reads at once until the other side closes: the statuses of all answers, `closed` where there were none,
/// `open` when nothing comes for a while.
async fn exchange(to: SocketAddr, bytes: Vec<u8>) -> String {
    let Ok(stream) = TcpStream::connect(to).await else {
        return "no connection".to_owned();
    };
    let (mut read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&bytes).await;
        write
    });
    let (said, is_open) = read_all(&mut read, Duration::from_secs(12)).await;
    writing.abort();
    summary(&said, is_open)
}

/// Everything until the end or until nothing came for `patience`; the latter is `true`.
async fn read_all(read: &mut (impl AsyncReadExt + Unpin), patience: Duration) -> (Vec<u8>, bool) {
    let (mut said, mut buf) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match timeout(patience, read.read(&mut buf)).await {
            Err(_) => return (said, true),
            Ok(Ok(0) | Err(_)) => return (said, false),
            Ok(Ok(len)) => said.extend_from_slice(&buf[..len]),
        }
    }
}

fn summary(said: &[u8], is_open: bool) -> String {
    let text = String::from_utf8_lossy(said);
    let statuses: Vec<&str> = text
        .split("HTTP/1.")
        .skip(1)
        .filter_map(|rest| rest.get(2..5))
        .collect();
    match (statuses.is_empty(), is_open) {
        (true, true) => "open".to_owned(),
        (true, false) => "closed".to_owned(),
        (false, _) => statuses.join(" "),
    }
}

async fn channel(target: Target) -> Channel {
    let url = format!("http://{}", target.grpc);
    Endpoint::from_shared(url).unwrap().connect().await.unwrap()
}

/// A gRPC call whose whole body is given: `grpc <code>`.
async fn grpc(target: Target, headers: &[(&str, &str)], body: Vec<u8>) -> String {
    let answer = call(&channel(target).await, TRACES, headers, body).await;
    if answer.http == 200 {
        format!("grpc {}", answer.code() as i32)
    } else {
        format!("http {}", answer.http)
    }
}

/// Sends well-formed requests all along, over both protocols.
struct Healthy {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Duration>,
}

impl Healthy {
    fn start(target: Target) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let (client, channel) = (support::client(), channel(target).await);
            let body = request(10).encode_to_vec();
            let url = format!("http://{}/v1/traces", target.http);
            let mut worst = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let since = Instant::now();
                let post = client.post(&url).header("content-type", "application/x-protobuf");
                let answer = post
                    .body(body.clone())
                    .send()
                    .await
                    .expect("a healthy client is served");
                assert_eq!(answer.status(), 200, "a healthy client over HTTP");
                let answer = call(&channel, TRACES, &[], framed(0, &body)).await;
                assert_eq!(
                    answer.code(),
                    tonic::Code::Ok,
                    "a healthy client over gRPC: {answer:?}"
                );
                worst = worst.max(since.elapsed());
                counted.fetch_add(2, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            worst
        });
        Self { stop, sent, task }
    }

    async fn finish(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let worst = self.task.await.expect("the healthy client was served all along");
        (self.sent.load(Ordering::Relaxed), worst)
    }
}

fn gateway() -> (Gateway, Target) {
    let (certificate, key) = Authority::default().sign("localhost");
    let receiver = format!(
        "    limits: {{ max_in_flight_mib: {IN_FLIGHT_MIB}, admission_wait: 10s }}
  otlp/tls:
    protocols:
      http:
        endpoint: 127.0.0.1:0
        tls: {{ cert_file: server.crt, key_file: server.key, handshake_timeout: 2s }}
"
    );
    let setup = Setup {
        receiver,
        ..Setup::default()
    };
    let yaml = setup
        .yaml()
        .replacen(
            "http: { endpoint: 127.0.0.1:0 }",
            "http: { endpoint: 127.0.0.1:0, read_header_timeout: 2s, read_timeout: 3s, write_timeout: 2s, idle_timeout: 5s }",
            1,
        )
        .replace("traces: { receivers: [ otlp ]", "traces: { receivers: [ otlp, otlp/tls ]");
    let dir = tempfile::tempdir().unwrap().keep();
    for (name, text) in [
        ("gateway.yaml", &yaml),
        ("server.crt", &certificate),
        ("server.key", &key),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let gateway = Gateway::start_in(&dir, &["run", "--config", "gateway.yaml"], &[]);
    let target = Target {
        grpc: gateway.addrs["otlp/grpc"],
        http: gateway.addrs["otlp/http"],
        tls: gateway.addrs["otlp/tls/http"],
    };
    (gateway, target)
}

/// Peak resident memory.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_class_gets_its_answer_and_nobody_else_notices() {
    let (gateway, target) = tokio::task::spawn_blocking(gateway).await.unwrap();
    let mut classes = Vec::new();
    classes.extend(bodies::classes());
    classes.extend(lines::classes());
    classes.extend(frames::classes());
    classes.extend(tls::classes());
    assert!(classes.len() >= 60, "{} classes", classes.len());
    let names: std::collections::BTreeSet<_> = classes.iter().map(|c| &c.name).collect();
    assert_eq!(names.len(), classes.len(), "every class has a name of its own");
    let rounds = if support::long() { 20 } else { 1 };

    let healthy = Healthy::start(target);
    let mut wrong = Vec::new();
    for _ in 0..rounds {
        let attacks = stream::iter(&classes).map(|class| async move {
            let since = Instant::now();
            let outcome = timeout(Duration::from_secs(40), (class.attack)(target)).await;
            (
                class,
                outcome.unwrap_or_else(|_| "no end".to_owned()),
                since.elapsed(),
            )
        });
        let mut attacks = attacks.buffer_unordered(AT_ONCE);
        while let Some((class, outcome, took)) = attacks.next().await {
            let is_right = class.right.iter().any(|right| outcome.starts_with(right));
            println!(
                "{:>7.1?}  {:<55} {outcome:.40}{}",
                took,
                class.name,
                if is_right { "" } else { "  WRONG" }
            );
            if !is_right {
                wrong.push(format!(
                    "{}: {outcome:.200}, expected one of {:?}",
                    class.name, class.right
                ));
            }
        }
    }
    let (sent, worst) = healthy.finish().await;
    let peak = peak_mib(gateway.pid());
    println!(
        "{} classes; {sent} healthy requests, the slowest pair {worst:?}; peak {peak} MiB",
        classes.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {} wrong:\n{}",
        wrong.len(),
        classes.len(),
        wrong.join("\n")
    );
    assert!(sent > 20 && worst < Duration::from_secs(15), "{sent} {worst:?}");
    assert!(peak < IN_FLIGHT_MIB + BESIDE_MIB, "{peak} MiB");
    tokio::task::spawn_blocking(move || aftermath(gateway))
        .await
        .unwrap();
}

/// The process is well, holds nothing, and leaves in order.
fn aftermath(mut gateway: Gateway) {
    support::eventually("nothing is in flight any more", Duration::from_secs(20), || {
        let page = gateway.metrics();
        (sample(&page, "burngate_receiver_in_flight_bytes", &[])? == 0.0).then_some(())
    });
    let log = gateway.stderr();
    assert!(!log.contains("panicked"), "{log}");
    let lines = log.lines().count();
    assert!(lines < 2000, "{lines} lines of log");
    assert!(gateway.stop().success());
}
