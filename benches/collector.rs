//! OTLP/gRPC in, `batch`, OTLP/gRPC out: burngate beside the Go Collector, in one run, from one configuration file.
//!
//!     bash benches/collector/build.sh                    builds the Collector (needs Go)
//!     cargo bench --bench collector                      3 rounds of every case, the two in turn
//!     cargo bench --bench collector -- --rounds 5 --spans 500000 --only burngate
//!
//! This process is the client and the backend; each gateway is a child, started anew for each case. CPU is what the kernel
//! accounts to the child (utime + stime of /proc/PID/stat), memory is its peak (VmHWM). Every span is checked: the backend
//! must receive as many as were acknowledged.

#![allow(
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a program that measures"
)]

mod common;
#[path = "collector/sink.rs"]
mod sink;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sink::Sink;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What is measured: spans a request, and whether requests are packed on both sides.
#[derive(Clone, Copy)]
struct Case {
    spans: usize,
    gzip: bool,
}

struct Args {
    rounds: usize,
    spans: usize,
    in_flight: usize,
    only: Option<String>,
}

fn args() -> Args {
    let mut parsed = Args {
        rounds: 3,
        spans: 1_000_000,
        in_flight: 16,
        only: None,
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
            "--rounds" => parsed.rounds = number(),
            "--spans" => parsed.spans = number(),
            "--in-flight" => parsed.in_flight = number(),
            "--only" => parsed.only = words.next(),
            "--test" => (parsed.spans, parsed.rounds) = (20_000, 1),
            _ => {}
        }
    }
    parsed
}

/// One gateway under test, running.
struct Peer {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The configuration that both read.
fn configuration(port: u16, sink: u16, gzip: bool) -> String {
    let compression = if gzip { "gzip" } else { "none" };
    format!(
        "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: \"127.0.0.1:{port}\", max_recv_msg_size_mib: 16 }} }} }} }}\n\
         processors: {{ batch: {{}} }}\n\
         exporters: {{ otlp: {{ endpoint: \"127.0.0.1:{sink}\", tls: {{ insecure: true }}, compression: {compression} }} }}\n\
         service:\n  \
           telemetry: {{ metrics: {{ level: none }}, logs: {{ level: warn }} }}\n  \
           pipelines: {{ traces: {{ receivers: [otlp], processors: [batch], exporters: [otlp] }} }}\n"
    )
}

impl Peer {
    fn start(binary: &Path, args: &[&str], sink: u16, gzip: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        std::fs::write(folder.path().join("config.yaml"), configuration(port, sink, gzip)).unwrap();
        let child = Command::new(binary)
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .expect("the gateway starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "it does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            child,
            port,
            _folder: folder,
        }
    }

    /// Seconds of CPU so far.
    fn cpu_secs(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .expect("a stat line")
            .1
            .split(' ')
            .collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// Peak resident memory in MiB.
    fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|l| l.starts_with("VmHWM")).expect("VmHWM");
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

/// gRPC frames, packed beforehand: what the client costs is not the question.
fn frames(case: Case) -> Vec<Bytes> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = u64::try_from(now.as_nanos()).unwrap();
    let frame = |seed| {
        let message: Vec<u8> = common::request(seed, case.spans as u64, now);
        let body = if case.gzip {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            gz.write_all(&message).unwrap();
            gz.finish().unwrap()
        } else {
            message
        };
        let mut frame = BytesMut::with_capacity(body.len() + 5);
        frame.put_u8(u8::from(case.gzip));
        frame.put_u32(u32::try_from(body.len()).unwrap());
        frame.put_slice(&body);
        frame.freeze()
    };
    (0..16).map(frame).collect()
}

async fn send_all(port: u16, case: Case, requests: usize, in_flight: usize, frames: Arc<Vec<Bytes>>) {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (client, next, frames) = (client.clone(), next.clone(), frames.clone());
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= requests {
                        return;
                    }
                    let mut request = http::Request::post(format!("http://127.0.0.1:{port}{PATH}"))
                        .header("content-type", "application/grpc")
                        .header("te", "trailers");
                    if case.gzip {
                        request = request.header("grpc-encoding", "gzip");
                    }
                    let request = request
                        .body(Full::new(frames[index % frames.len()].clone()))
                        .unwrap();
                    let answer = client.request(request).await.expect("an answer");
                    let head = answer.headers().get("grpc-status").cloned();
                    let body = answer.into_body().collect().await.expect("a whole answer");
                    let status = body
                        .trailers()
                        .and_then(|t| t.get("grpc-status").cloned())
                        .or(head);
                    assert_eq!(status.expect("a status"), "0", "an acknowledgement");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker ends well");
    }
}

/// CPU microseconds a span, and peak MiB.
fn measure(who: &Who, case: Case, args: &Args, runtime: &tokio::runtime::Runtime) -> (f64, f64) {
    let sink = runtime.block_on(Sink::start());
    let peer = Peer::start(&who.binary, &who.args, sink.port, case.gzip);
    let frames = Arc::new(frames(case));
    let requests = args.spans / case.spans;
    let run = |requests| {
        let before = sink.spans();
        runtime.block_on(send_all(
            peer.port,
            case,
            requests,
            args.in_flight,
            frames.clone(),
        ));
        let wanted = before + (requests * case.spans) as u64;
        let deadline = Instant::now() + Duration::from_mins(1);
        while sink.spans() < wanted {
            assert!(
                Instant::now() < deadline,
                "{} of {wanted} spans arrived",
                sink.spans()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(
            sink.spans(),
            wanted,
            "every acknowledged span arrives, and none twice"
        );
    };
    run(requests / 10 + 1);
    let before = peer.cpu_secs();
    run(requests);
    let cpu = peer.cpu_secs() - before;
    (cpu / (requests * case.spans) as f64 * 1e6, peer.peak_mib())
}

struct Who {
    name: &'static str,
    binary: PathBuf,
    args: Vec<&'static str>,
}

fn peers(args: &Args) -> Vec<Who> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let collector = std::env::var_os("BURNGATE_COLLECTOR")
        .map_or_else(|| root.join("target/tools/otelcol/otelcol-bench"), PathBuf::from);
    let mut peers = vec![Who {
        name: "burngate",
        binary: env!("CARGO_BIN_EXE_burngate").into(),
        args: vec!["run", "--config", "config.yaml"],
    }];
    if collector.is_file() {
        peers.push(Who {
            name: "collector",
            binary: collector,
            args: vec!["--config", "config.yaml"],
        });
    } else {
        println!(
            "no Collector at {}: bash benches/collector/build.sh builds it",
            collector.display()
        );
    }
    peers.retain(|who| args.only.as_deref().is_none_or(|only| only == who.name));
    peers
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let args = args();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let peers = peers(&args);
    println!(
        "{} spans a round, {} rounds in turn, {} requests in flight",
        args.spans, args.rounds, args.in_flight
    );
    for (spans, gzip) in [(1000, false), (100, false), (1000, true), (100, true)] {
        let case = Case { spans, gzip };
        let mut cpu = vec![Vec::new(); peers.len()];
        let mut memory = vec![Vec::new(); peers.len()];
        for _ in 0..args.rounds {
            for (nth, who) in peers.iter().enumerate() {
                let (us, mib) = measure(who, case, &args, &runtime);
                cpu[nth].push(us);
                memory[nth].push(mib);
            }
        }
        let mut line = format!(
            "{spans:>5} spans a request, {:<5}",
            if gzip { "gzip" } else { "plain" }
        );
        let cpu: Vec<f64> = cpu.iter_mut().map(|all| median(all)).collect();
        let memory: Vec<f64> = memory.iter_mut().map(|all| median(all)).collect();
        for (nth, who) in peers.iter().enumerate() {
            line += &format!(
                "  {}: {:.2} CPU-s a million spans, peak {:.0} MiB",
                who.name, cpu[nth], memory[nth]
            );
        }
        if let ([ours, theirs], [our_mib, their_mib]) = (&cpu[..], &memory[..]) {
            line += &format!(
                "  ratio 1/{:.1} CPU, 1/{:.1} memory",
                theirs / ours,
                their_mib / our_mib
            );
        }
        println!("{line}");
    }
}
