//! What interop tests share: a door that keeps every OTLP request as the bytes that came (and answers it, or passes it on as it
//! is), and requests taken apart into single items.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(
    clippy::disallowed_methods,
    reason = "prost is the oracle, and tests watch real time"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

pub mod door;
pub mod items;

pub use door::{Door, Seen};
pub use items::{Signal, items};

use crate::support::Gateway;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Doors (and SDKs in this process) live here.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Transports and codings of the way out: name, exporter, compression.
pub const EXITS: [(&str, &str, &str); 4] = [
    ("otlp_grpc/plain", "otlp_grpc", "none"),
    ("otlp_grpc/gzip", "otlp_grpc", "gzip"),
    ("otlp_http/plain", "otlp_http", "none"),
    ("otlp_http/gzip", "otlp_http", "gzip"),
];

/// A gateway between two kinds of doors: what an SDK sends is kept on its way in, and at every exit of a pipeline without a
/// processor (`as it came`) and of one that batches.
pub struct World {
    pub gateway: Gateway,
    pub entrance: Door,
    as_it_came: Vec<(&'static str, Door)>,
    batched: Vec<(&'static str, Door)>,
}

impl World {
    pub fn start() -> Self {
        let doors = || Vec::from(EXITS.map(|(name, ..)| (name, Door::that_answers())));
        let (as_it_came, batched) = (doors(), doors());
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("gateway.yaml"), yaml(&as_it_came, &batched)).unwrap();
        let gateway = Gateway::start_in(
            &directory.keep(),
            &["run", "--config", "gateway.yaml"],
            &[("RUST_LOG", "warn")],
        );
        let entrance = Door::that_passes_on(gateway.addrs["otlp/grpc"], gateway.addrs["otlp/http"]);
        Self {
            gateway,
            entrance,
            as_it_came,
            batched,
        }
    }

    /// How many items of each signal came in.
    pub fn came_in(&self) -> BTreeMap<Signal, usize> {
        let mut counts = BTreeMap::new();
        for seen in self.entrance.seen() {
            *counts.entry(seen.signal).or_default() += items(&seen).len();
        }
        counts
    }

    /// Waits until everything that came in is at every exit: byte for byte where nothing edits or merges it, item for item
    /// where it is batched or was translated from JSON; and that it stays so.
    pub fn assert_all_arrived(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(difference) = self.compare() {
            assert!(
                Instant::now() < deadline,
                "{what}: {difference}\n{}",
                self.gateway.stderr()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The same, and that nothing comes a second time.
    pub fn assert_all_arrived_once(&self, what: &str) {
        self.assert_all_arrived(what);
        std::thread::sleep(Duration::from_secs(1));
        if let Err(difference) = self.compare() {
            panic!("{what}, later: {difference}");
        }
        let came = self.entrance.seen();
        let protobuf = came.iter().filter(|it| !it.is_json);
        let ways: BTreeSet<_> = protobuf.map(|it| (it.is_grpc, it.coding.is_some())).collect();
        assert_eq!(ways.len(), 4, "{what} came over gRPC and HTTP, plain and gzip");
        for (name, door) in self.as_it_came.iter().chain(&self.batched) {
            let coding = door.seen().last().and_then(|seen| seen.coding.clone());
            let wanted = name.ends_with("gzip").then(|| "gzip".to_owned());
            assert_eq!(coding, wanted, "{what}: compression of {name}");
        }
    }

    fn compare(&self) -> Result<(), String> {
        let came = self.entrance.seen();
        let is_json = |seen: &&Seen| seen.is_json;
        let mut bodies: Vec<_> = came.iter().filter(|it| !is_json(it)).map(Seen::whole).collect();
        bodies.sort();
        let mut translated = all_items(came.iter().filter(is_json));
        translated.sort();
        for (name, door) in &self.as_it_came {
            let left = door.seen();
            let (mut same, mut others) = (Vec::new(), Vec::new());
            for seen in &left {
                match bodies.binary_search(&seen.whole()) {
                    Ok(_) => same.push(seen.whole()),
                    Err(_) => others.push(seen),
                }
            }
            same.sort();
            if same != bodies {
                return Err(format!(
                    "{name}: {} of {} bodies arrived byte for byte, and {} others",
                    same.len(),
                    bodies.len(),
                    others.len()
                ));
            }
            difference(name, &translated, all_items(others.into_iter()))?;
        }
        let wanted = sorted(all_items(came.iter()));
        for (name, door) in &self.batched {
            difference(name, &wanted, all_items(door.seen().iter()))?;
        }
        Ok(())
    }
}

fn all_items<'a>(seen: impl Iterator<Item = &'a Seen>) -> Vec<Vec<u8>> {
    seen.flat_map(items).collect()
}

fn sorted(mut items: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    items.sort();
    items
}

/// `wanted` is sorted.
fn difference(name: &str, wanted: &[Vec<u8>], arrived: Vec<Vec<u8>>) -> Result<(), String> {
    let arrived = sorted(arrived);
    if wanted == arrived {
        return Ok(());
    }
    let missing = wanted.iter().find(|it| arrived.binary_search(it).is_err());
    let extra = arrived.iter().find(|it| wanted.binary_search(it).is_err());
    Err(format!(
        "{name}: {} items arrived of {}\nmissing: {}\nunasked: {}",
        arrived.len(),
        wanted.len(),
        missing.map_or(String::new(), |it| items::describe(it)),
        extra.map_or(String::new(), |it| items::describe(it)),
    ))
}

fn yaml(as_it_came: &[(&str, Door)], batched: &[(&str, Door)]) -> String {
    let mut exporters = String::new();
    let (mut plain, mut merged) = (Vec::new(), Vec::new());
    for (suffix, doors, names) in [("", as_it_came, &mut plain), ("_batched", batched, &mut merged)] {
        for ((name, door), (_, kind, compression)) in doors.iter().zip(EXITS) {
            assert!(name.starts_with(kind));
            let url = door.url();
            let _ = write!(
                exporters,
                "  {name}{suffix}:
    endpoint: {url}
    compression: {compression}
    tls: {{ insecure: true }}
"
            );
            names.push(format!("{name}{suffix}"));
        }
    }
    let mut pipelines = String::new();
    for signal in ["traces", "metrics", "logs"] {
        let (plain, merged) = (plain.join(", "), merged.join(", "));
        let _ = write!(
            pipelines,
            "    {signal}: {{ receivers: [ otlp ], exporters: [ {plain} ] }}
    {signal}/batched: {{ receivers: [ otlp ], processors: [ batch ], exporters: [ {merged} ] }}
"
        );
    }
    format!(
        r"receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: 127.0.0.1:0 }}
      http: {{ endpoint: 127.0.0.1:0 }}
processors:
  batch: {{ timeout: 100ms, send_batch_size: 300 }}
exporters:
{exporters}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
{pipelines}"
    )
}

/// Runs an emitter to its end; it must say that all was taken.
pub fn emit(command: &mut Command) -> String {
    let output = command.output().expect("the emitter starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// A file of `tests/interop`.
pub fn program(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(path)
}
