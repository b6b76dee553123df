//! CPU of the whole gateway for each span, under OTLP/gRPC load from another process.
//!
//!     cargo bench --bench gateway                      5 rounds of 2000 requests of 1000 spans, 16 in flight
//!     cargo bench --bench gateway -- --requests 500 --spans 100 --in-flight 4
//!     cargo bench --bench gateway -- --pid 4242 --endpoint http://127.0.0.1:4317    a peer that already runs
//!
//! This process is the client; the gateway is the release binary as a child. CPU is what the kernel accounts to the child
//! (utime + stime of /proc/PID/stat), so the client costs nothing here. Every span is checked: what /metrics counted must
//! equal what was acknowledged. `--pid` measures any other OTLP/gRPC server with the same load, for a comparison in one
//! sitting; counts are then not checked.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::enum_variant_names,
    clippy::type_complexity,
    clippy::too_many_lines,
    clippy::float_cmp,
    reason = "tables and generators of tests: small whole numbers, long lists"
)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs
)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use bytes::{Buf, BufMut, Bytes};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

/// A codec that sends bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

struct Args {
    requests: usize,
    spans: usize,
    in_flight: usize,
    rounds: usize,
    pid: Option<u32>,
    endpoint: Option<String>,
}

fn args() -> Args {
    let mut parsed = Args {
        requests: 2000,
        spans: 1000,
        in_flight: 16,
        rounds: 5,
        pid: None,
        endpoint: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            words
                .next()
                .and_then(|w| w.parse().ok())
                .expect("a number behind the option")
        };
        match word.as_str() {
            "--requests" => parsed.requests = number(),
            "--spans" => parsed.spans = number(),
            "--in-flight" => parsed.in_flight = number(),
            "--rounds" => parsed.rounds = number(),
            "--pid" => parsed.pid = Some(u32::try_from(number()).expect("a process id")),
            "--endpoint" => parsed.endpoint = words.next(),
            // `cargo bench -- --test` asks every bench for one quick round.
            "--test" => (parsed.requests, parsed.rounds) = (20, 1),
            _ => {}
        }
    }
    parsed
}

/// Seconds of CPU that the process has used, from /proc.
fn cpu_secs(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the gateway runs");
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .expect("a stat line")
        .1
        .split(' ')
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Resident memory in MiB, from /proc.
fn rss_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the gateway runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS")).expect("VmRSS");
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

async fn send_all(endpoint: String, requests: usize, in_flight: usize, payloads: Arc<Vec<Bytes>>) {
    let channel = tonic::transport::Endpoint::from_shared(endpoint)
        .unwrap()
        .connect()
        .await
        .expect("it listens");
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (channel, next, payloads) = (channel.clone(), next.clone(), payloads.clone());
            tokio::spawn(async move {
                let mut client = tonic::client::Grpc::new(channel);
                let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= requests {
                        return;
                    }
                    let body = payloads[index % payloads.len()].clone();
                    client.ready().await.expect("a live connection");
                    let path = http::uri::PathAndQuery::from_static(path);
                    client
                        .unary(Request::new(body), path, Raw)
                        .await
                        .expect("an acknowledgement");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker ends well");
    }
}

/// Sixteen different requests whose spans end now: their counts fall into open buckets.
fn fresh_requests(spans: usize) -> Vec<Bytes> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = u64::try_from(now.as_nanos()).unwrap();
    (0..16)
        .map(|seed| common::request(seed, spans as u64, now).into())
        .collect()
}

fn accepted(gateway: &support::Gateway) -> f64 {
    let exposition = gateway.metrics();
    let labels = [("signal", "traces"), ("transport", "grpc")];
    support::sample(&exposition, "burngate_receiver_accepted_items_total", &labels).unwrap_or(0.0)
}

fn main() {
    let args = args();
    let gateway = args.pid.is_none().then(|| {
        // The same bodies leave again and again, and each must count.
        support::Gateway::start(&support::Setup {
            error_budget: "{ dedup: { bodies: false } }".into(),
            ..support::Setup::default()
        })
    });
    let pid = args
        .pid
        .unwrap_or_else(|| gateway.as_ref().expect("one of the two").pid());
    let endpoint = args
        .endpoint
        .clone()
        .unwrap_or_else(|| gateway.as_ref().expect("one of the two").grpc());
    let payloads: Arc<Vec<Bytes>> = Arc::new(fresh_requests(args.spans));
    let bytes: usize = payloads.iter().map(Bytes::len).sum::<usize>() / payloads.len();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    println!(
        "{} requests of {} spans ({bytes} B), {} in flight, one connection; at rest {:.1} MiB",
        args.requests,
        args.spans,
        args.in_flight,
        rss_mib(pid)
    );
    runtime.block_on(send_all(
        endpoint.clone(),
        args.requests.min(100),
        args.in_flight,
        payloads.clone(),
    ));
    let mut per_span: Vec<f64> = Vec::new();
    for round in 1..=args.rounds {
        let before = gateway.as_ref().map(accepted);
        let (cpu, wall) = (cpu_secs(pid), Instant::now());
        runtime.block_on(send_all(
            endpoint.clone(),
            args.requests,
            args.in_flight,
            payloads.clone(),
        ));
        let (cpu, wall) = (cpu_secs(pid) - cpu, wall.elapsed().as_secs_f64());
        let spans = (args.requests * args.spans) as f64;
        if let (Some(gateway), Some(before)) = (&gateway, before) {
            assert_eq!(
                accepted(gateway) - before,
                spans,
                "every acknowledged span is counted, and none twice"
            );
        }
        per_span.push(cpu / spans * 1e6);
        println!(
            "round {round}: {:.3} us CPU a span, {:.2} M spans/s, {:.1} MiB",
            cpu / spans * 1e6,
            spans / wall / 1e6,
            rss_mib(pid)
        );
    }
    per_span.sort_by(f64::total_cmp);
    println!(
        "median {:.3} us CPU a span (min {:.3})",
        per_span[per_span.len() / 2],
        per_span[0]
    );
}
