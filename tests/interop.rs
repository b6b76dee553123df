//! Between an official SDK and a backend burngate changes nothing: whatever Python, JavaScript, Go, Java, Rust and `telemetrygen`
//! send, of all signals, over gRPC and HTTP, plain and gzip, arrives at backends of all four kinds. A witness on the way in keeps
//! what was sent, so that the bodies at the far end can be compared byte for byte; what was batched or came as JSON is compared
//! item for item.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod interop_support;
mod support;

use interop_support::{Door, Signal, World, emit, program};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use support::ports::free_port;
use support::{eventually, has, javascript, need, python, shared, tools};

/// Protocol and compression of a run.
const RUNS: [(&str, bool); 4] = [("grpc", false), ("grpc", true), ("http", false), ("http", true)];

/// Items came in of every signal: spans and records as counted, and some points.
fn assert_came_in(world: &World, spans: usize, records: usize) {
    let came = world.came_in();
    let count = |signal| came.get(&signal).copied().unwrap_or(0);
    assert_eq!((count(Signal::Traces), count(Signal::Logs)), (spans, records));
    assert!(count(Signal::Metrics) > 0, "no metrics came");
}

#[test]
fn python_sdk_arrives_byte_for_byte() {
    let (Some(python), Some(shared)) = (python(), shared()) else {
        return;
    };
    let world = World::start();
    for (nth, (protocol, gzip)) in (1..).zip(RUNS) {
        let mut command = Command::new(&python);
        command.arg(shared.join("tools/clients/emit_py.py"));
        command.args(["--endpoint", &world.entrance.url(), "--protocol", protocol]);
        command.args([
            "--signals",
            "traces,metrics,logs",
            "--n",
            "150",
            "--error-ratio",
            "0.1",
        ]);
        command.args(gzip.then_some("--gzip"));
        // Every kind of histogram and both temporalities, over the four runs.
        command.args((nth % 2 == 0).then_some("--exponential"));
        command.args(["--temporality", if nth > 2 { "delta" } else { "cumulative" }]);
        emit(&mut command);
        assert_came_in(&world, nth * 300, nth * 150);
        world.assert_all_arrived(&format!("python {protocol} gzip {gzip}"));
    }
    world.assert_all_arrived_once("python");
}

#[test]
fn javascript_sdk_arrives_byte_for_byte_and_its_json_item_for_item() {
    let Some(folder) = javascript() else { return };
    let there = folder
        .join("node_modules/@opentelemetry/exporter-logs-otlp-proto")
        .is_dir();
    if !need(there, "no JavaScript log exporters (tests/all.sh installs them)") {
        return;
    }
    // Beside its modules, which node looks for from there.
    let logs = folder.join("emit_logs.mjs");
    std::fs::copy(program("js/emit_logs.mjs"), &logs).unwrap();
    let world = World::start();
    let url = world.entrance.url();
    for (nth, (protocol, gzip)) in (1..).zip(RUNS.into_iter().chain([("json", false), ("json", true)])) {
        let mut command = Command::new("node");
        command.current_dir(&folder).arg("emit_js.mjs");
        command.args([
            "--endpoint",
            &url,
            "--protocol",
            protocol,
            "--n",
            "100",
            "--error-ratio",
            "0.1",
        ]);
        emit(command.args(gzip.then_some("--gzip")));
        let coding = if gzip { "gzip" } else { "none" };
        emit(
            Command::new("node")
                .arg(&logs)
                .args([&url, protocol, coding, "100", "shop"]),
        );
        assert_came_in(&world, nth * 200, nth * 100);
        world.assert_all_arrived(&format!("javascript {protocol} {coding}"));
    }
    assert!(world.entrance.seen().iter().any(|seen| seen.is_json));
    world.assert_all_arrived_once("javascript");
}

#[test]
fn go_sdk_arrives_byte_for_byte() {
    let binary = tools().join("bin/emit_go");
    if !need(
        binary.is_file(),
        "no emitter on the Go SDK (tests/all.sh builds it)",
    ) {
        return;
    }
    let world = World::start();
    for (nth, (protocol, gzip)) in (1..).zip(RUNS) {
        let mut command = Command::new(&binary);
        command.args([
            "-endpoint",
            &world.entrance.url(),
            "-protocol",
            protocol,
            "-n",
            "150",
        ]);
        emit(command.args(gzip.then_some("-gzip")));
        assert_came_in(&world, nth * 300, nth * 150);
        world.assert_all_arrived(&format!("go {protocol} gzip {gzip}"));
    }
    world.assert_all_arrived_once("go");
}

#[test]
fn java_sdk_arrives_byte_for_byte() {
    let jars = tools().join("java");
    if !need(jars.is_dir(), "no Java SDK (tests/all.sh fetches it)") || !has("java") {
        return;
    }
    let world = World::start();
    for (nth, (protocol, gzip)) in (1..).zip(RUNS) {
        let mut command = Command::new("java");
        command
            .arg("-cp")
            .arg(jars.join("*"))
            .arg(program("java/Emit.java"));
        let coding = if gzip { "gzip" } else { "none" };
        emit(command.args([&world.entrance.url(), protocol, coding, "150", "shop"]));
        assert_came_in(&world, nth * 300, nth * 150);
        world.assert_all_arrived(&format!("java {protocol} {coding}"));
    }
    world.assert_all_arrived_once("java");
}

#[test]
fn telemetrygen_arrives_byte_for_byte() {
    let binary = tools().join("bin/telemetrygen");
    if !need(binary.is_file(), "no telemetrygen (tests/all.sh installs it)") {
        return;
    }
    let world = World::start();
    let endpoint = world.entrance.address.to_string();
    let run = |protocol: &str, gzip: bool, args: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(args);
        command.args([
            "--otlp-insecure",
            "--otlp-endpoint",
            &endpoint,
            "--rate",
            "0",
            "--workers",
            "2",
        ]);
        command.args(["--otlp-attributes", "feature.flags=[\"new-checkout\"]"]);
        command.args((protocol == "http").then_some("--otlp-http"));
        command.env(
            "OTEL_EXPORTER_OTLP_COMPRESSION",
            if gzip { "gzip" } else { "none" },
        );
        emit(&mut command);
    };
    for (nth, (protocol, gzip)) in (1..).zip(RUNS) {
        run(
            protocol,
            gzip,
            &[
                "traces",
                "--traces",
                "50",
                "--child-spans",
                "3",
                "--span-links",
                "1",
            ],
        );
        for kind in ["Gauge", "Sum", "Histogram", "ExponentialHistogram"] {
            run(
                protocol,
                gzip,
                &["metrics", "--metrics", "20", "--metric-type", kind],
            );
        }
        run(protocol, gzip, &["logs", "--logs", "100"]);
        let points = nth * 2 * 4 * 20;
        let wanted = [
            (Signal::Traces, nth * 400),
            (Signal::Metrics, points),
            (Signal::Logs, nth * 200),
        ];
        assert_eq!(world.came_in(), BTreeMap::from(wanted));
        world.assert_all_arrived(&format!("telemetrygen {protocol} gzip {gzip}"));
    }
    world.assert_all_arrived_once("telemetrygen");
}

/// The reference sink on Python's gRPC server, and what it saved.
struct PythonSink {
    process: Child,
    saved: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for PythonSink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl PythonSink {
    fn start(python: &PathBuf, shared: &std::path::Path, grpc: u16, http: u16) -> Self {
        use std::io::BufRead;
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved");
        let mut process = Command::new(python)
            .arg(shared.join("tools/clients/sink.py"))
            .args([grpc.to_string(), http.to_string()])
            .arg("--save")
            .arg(&saved)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        std::io::BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Self {
            process,
            saved,
            _folder: folder,
        }
    }

    /// The bodies, by signal.
    fn bodies(&self) -> Vec<(Signal, Vec<u8>)> {
        let mut bodies = Vec::new();
        for file in std::fs::read_dir(&self.saved).into_iter().flatten() {
            let path = file.unwrap().path();
            let signal = match path.file_stem().unwrap().to_str().unwrap() {
                name if name.ends_with("_traces") => Signal::Traces,
                name if name.ends_with("_metrics") => Signal::Metrics,
                name if name.ends_with("_logs") => Signal::Logs,
                other => panic!("{other}"),
            };
            bodies.push((signal, std::fs::read(&path).unwrap()));
        }
        bodies.sort();
        bodies
    }
}

#[test]
fn reference_sink_saves_the_very_bytes_that_an_sdk_sent() {
    let (Some(python), Some(shared)) = (python(), shared()) else {
        return;
    };
    for (exporter, compression) in [
        ("otlp_grpc", "none"),
        ("otlp_http", "none"),
        ("otlp_http", "gzip"),
    ] {
        let (grpc, http) = (free_port(), free_port());
        let sink = PythonSink::start(&python, &shared, grpc, http);
        let port = if exporter == "otlp_grpc" { grpc } else { http };
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!(
            r"receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: 127.0.0.1:0 }}, http: {{ endpoint: 127.0.0.1:0 }} }} }} }}
exporters: {{ {exporter}: {{ endpoint: 'http://127.0.0.1:{port}', compression: {compression}, tls: {{ insecure: true }} }} }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    traces: {{ receivers: [ otlp ], exporters: [ {exporter} ] }}
    metrics: {{ receivers: [ otlp ], exporters: [ {exporter} ] }}
    logs: {{ receivers: [ otlp ], exporters: [ {exporter} ] }}
"
        );
        std::fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
        let args = ["run", "--config", "gateway.yaml"];
        let gateway = support::Gateway::start_in(folder.path(), &args, &[]);
        let witness = Door::that_passes_on(gateway.addrs["otlp/grpc"], gateway.addrs["otlp/http"]);
        for protocol in ["grpc", "http"] {
            let mut command = Command::new(&python);
            command.arg(shared.join("tools/clients/emit_py.py"));
            command.args(["--endpoint", &witness.url(), "--protocol", protocol, "--n", "60"]);
            emit(command.args(["--signals", "traces,metrics,logs"]));
        }
        let mut sent: Vec<_> = witness
            .seen()
            .iter()
            .map(|it| (it.signal, it.message.to_vec()))
            .collect();
        sent.sort();
        assert!(sent.len() >= 6);
        let what = format!("the very bytes, by {exporter}, compression {compression}");
        eventually(&what, std::time::Duration::from_secs(20), || {
            (sink.bodies() == sent).then_some(())
        });
    }
}
