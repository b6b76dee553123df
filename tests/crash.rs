//! `kill -9` under load, again and again: at most the last second of counts is gone, no bucket is torn, no decision is lost.
//! SIGTERM under load: nothing is lost. And a store that is damaged, in use or on a full disk.
//!
//! Six kills in the everyday run, thirty with `BURNGATE_LONG=1`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]
#![allow(
    clippy::disallowed_methods,
    reason = "what was acknowledged when is the subject of these tests"
)]

mod proof_support;
mod support;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use proof_support::{Group, await_totals, group, request, send, totals, write};
use prost::Message;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{Gateway, Setup, block_on, client, eventually, long, sample};

/// One tick of a second, and what its commit may take on a busy machine.
const LOST_AT_MOST: Duration = Duration::from_millis(1500);
const SERVICES: [&str; 2] = ["checkout", "search"];
const SHAS: [&str; 3] = ["aaa", "bbb", "ccc"];

/// A series: (service, what the cohort is).
type Name = (String, String);
/// (good, bad).
type Counts = (u64, u64);
type Tally = BTreeMap<Name, Counts>;

fn add(tally: &mut Tally, name: Name, counts: Counts) {
    let entry = tally.entry(name).or_default();
    *entry = (entry.0 + counts.0, entry.1 + counts.1);
}

/// Every series that `group` counts in.
fn names(group: &Group) -> Vec<Name> {
    let sha = group.sha.clone().unwrap();
    let mut names = vec![
        (group.service.clone(), "total".into()),
        (group.service.clone(), sha.clone()),
    ];
    names.extend(
        group
            .flags
            .iter()
            .map(|f| (group.service.clone(), format!("{sha}/{f}"))),
    );
    names
}

/// What one request carried, and when its answer came.
struct Sent {
    groups: Vec<Group>,
    acknowledged: Option<Instant>,
}

/// Three good ones for each bad one, always: a series whose counts are anything else was torn.
fn batch(random: &mut fastrand::Rng) -> Vec<Group> {
    let one = |random: &mut fastrand::Rng| {
        let bad = random.usize(1..4);
        let flags: &[&str] = if random.bool() { &["new-checkout"] } else { &[] };
        group(
            SERVICES[random.usize(..2)],
            SHAS[random.usize(..3)],
            flags,
            3 * bad,
            bad,
        )
    };
    (0..random.usize(1..4)).map(|_| one(random)).collect()
}

/// Sends until it is told to stop or the gateway is gone.
fn sender(gateway: &Gateway, over_grpc: bool, seed: u64, stop: Arc<AtomicBool>) -> JoinHandle<Vec<Sent>> {
    let (grpc, http) = (gateway.grpc(), format!("{}/v1/traces", gateway.http()));
    std::thread::spawn(move || {
        block_on(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut log = Vec::new();
            let http_client = client();
            let mut grpc_client = TraceServiceClient::connect(grpc).await.ok();
            while !stop.load(Ordering::Relaxed) {
                let groups = batch(&mut random);
                let message = request(&groups);
                let answered = match &mut grpc_client {
                    Some(client) if over_grpc => client.export(message).await.is_ok(),
                    _ => {
                        let post = http_client
                            .post(&http)
                            .header("content-type", "application/x-protobuf");
                        let answer = post.body(message.encode_to_vec()).send().await;
                        answer.is_ok_and(|a| a.status().is_success())
                    }
                };
                log.push(Sent {
                    groups,
                    acknowledged: answered.then(Instant::now),
                });
                if !answered {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            log
        })
    })
}

struct Load {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Vec<Sent>>>,
}

impl Load {
    fn on(gateway: &Gateway, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let senders =
            [true, false].map(|grpc| sender(gateway, grpc, seed * 2 + u64::from(grpc), stop.clone()));
        Self {
            stop,
            senders: senders.into(),
        }
    }

    /// Everything that was sent: (acknowledged before `until`, sent at all).
    fn end(self, until: Instant) -> (Tally, Tally) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut safe, mut sent) = (Tally::new(), Tally::new());
        for one in self.senders.into_iter().flat_map(|s| s.join().unwrap()) {
            for group in &one.groups {
                let counts = (group.good as u64, group.bad as u64);
                for name in names(group) {
                    add(&mut sent, name.clone(), counts);
                    if one.acknowledged.is_some_and(|at| at < until) {
                        add(&mut safe, name, counts);
                    }
                }
            }
        }
        (safe, sent)
    }
}

/// Every series of the two services; those of a kill switch's own traffic are apart.
fn counted(gateway: &Gateway) -> Tally {
    let mut tally = Tally::new();
    let budgets = gateway.api("/api/v1/budgets")["budgets"].clone();
    let cohorts = gateway.api("/api/v1/cohorts?limit=10000")["cohorts"].clone();
    for one in budgets
        .as_array()
        .unwrap()
        .iter()
        .chain(cohorts.as_array().unwrap())
    {
        let service = one["service"].as_str().unwrap();
        if !SERVICES.contains(&service) {
            continue;
        }
        let what = match (one["sha"].as_str(), one["flag"].as_str()) {
            (None, _) => "total".to_owned(),
            (Some(sha), None) => sha.to_owned(),
            (Some(sha), Some(flag)) => format!("{sha}/{flag}"),
        };
        let counts = (
            one["good_total"].as_u64().unwrap(),
            one["bad_total"].as_u64().unwrap(),
        );
        // All of it is younger than an hour: the sums of buckets and the lifetime are the same events.
        let hour = one["windows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|w| w["window_secs"] == 3600)
            .unwrap();
        assert_eq!(
            (hour["good"].as_u64(), hour["bad"].as_u64()),
            (Some(counts.0), Some(counts.1)),
            "{one}"
        );
        assert_eq!(counts.0, 3 * counts.1, "torn: {one}");
        add(&mut tally, (service.to_owned(), what), counts);
    }
    tally
}

/// Between `least` and `most`, series by series; and each total is the sum of its deployments.
fn assert_between(what: &str, got: &Tally, least: &Tally, most: &Tally) {
    let of = |tally: &Tally, name: &Name| tally.get(name).copied().unwrap_or_default();
    let all: BTreeSet<&Name> = got.keys().chain(least.keys()).collect();
    for name in all {
        let (got, least, most) = (of(got, name), of(least, name), of(most, name));
        assert!(
            got.0 >= least.0 && got.1 >= least.1,
            "{what}: {name:?}: {got:?} restored, {least:?} acknowledged"
        );
        assert!(
            got.0 <= most.0 && got.1 <= most.1,
            "{what}: {name:?}: {got:?} restored, {most:?} sent"
        );
    }
    for service in SERVICES {
        let parts = SHAS
            .iter()
            .map(|sha| of(got, &(service.to_owned(), (*sha).to_owned())));
        let sum = parts.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        assert_eq!(
            of(got, &(service.to_owned(), "total".to_owned())),
            sum,
            "{what}: {service}"
        );
    }
}

fn plus(a: &Tally, b: &Tally) -> Tally {
    let mut sum = a.clone();
    for (name, counts) in b {
        add(&mut sum, name.clone(), *counts);
    }
    sum
}

/// A flag service that says yes, and remembers what it was asked.
struct FlagService {
    url: String,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl FlagService {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/flags", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut length, mut line) = (0, String::new());
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    let lower = line.to_ascii_lowercase();
                    if let Some(value) = lower.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_ok() && length > 0 {
                    seen.lock().unwrap().push(String::from_utf8(body).unwrap());
                }
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
            }
        });
        Self { url, bodies }
    }
}

/// A gateway with one kill switch for each cycle, on a service of its own.
fn prepare(dir: &Path, cycles: usize, flag_service: &FlagService) {
    let mut switches = String::new();
    for i in 0..cycles {
        let when = "when: { burn_above: 7, window: 1m, for: 0s }";
        writeln!(
            switches,
            "  - {{ flag: flag-{i}, exporter: webhook, attribution: off, mode: auto, {when} }}"
        )
        .unwrap();
    }
    let policy = format!(
        "service: pay\nenvironment: production\nslos: [ {{ name: availability, target: 99.9% }} ]\nkill_switches:\n{switches}"
    );
    write(dir, "policies/pay.yaml", &policy);
    let setup = Setup {
        // Every cycle switches a flag of the same service.
        error_budget:
            "{ policies: [ policies/*.yaml ], kill: { max_per_service: 100, max_per_hour: 100, max_per_day: 100 } }"
                .into(),
        exporters: format!("  webhook: {{ url: '{}' }}\n", flag_service.url),
        decisions: vec!["webhook".into()],
        ..Setup::default()
    };
    write(dir, "gateway.yaml", &setup.yaml());
}

fn start(dir: &Path) -> Gateway {
    Gateway::start_in(dir, &["run", "--config", "gateway.yaml"], &[])
}

/// Traffic that makes the switch of this cycle speak.
fn burn_flag(gateway: &Gateway, cycle: usize) {
    let flag = format!("flag-{cycle}");
    let of = |flags: &[&str], good, bad| Group {
        environment: Some("production".into()),
        ..group("pay", "aaa", flags, good, bad)
    };
    // The other list lacks the flag: those requests are its variant `off`, and the control.
    send(gateway, &[of(&[&flag], 10, 10), of(&["other"], 100, 0)]);
}

/// Decisions by id: (flag, state).
fn decisions(gateway: &Gateway) -> BTreeMap<String, (String, String)> {
    let list = gateway.api("/api/v1/decisions?limit=1000")["decisions"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.as_array()
        .unwrap()
        .iter()
        .map(|d| (text(&d["id"]), (text(&d["flag"]), text(&d["state"]))))
        .collect()
}

#[test]
fn kill_9_loses_at_most_the_last_second_and_no_decision() {
    let cycles = if long() { 30 } else { 6 };
    let dir = tempfile::tempdir().unwrap();
    let flag_service = FlagService::start();
    prepare(dir.path(), cycles, &flag_service);
    let mut random = fastrand::Rng::with_seed(0x5106);
    let (mut least, mut most) = (Tally::new(), Tally::new());
    let mut known = BTreeMap::new();
    let (began, mut starts) = (Instant::now(), Duration::ZERO);
    for cycle in 0..cycles {
        let starting = Instant::now();
        let gateway = start(dir.path());
        starts += starting.elapsed();
        let found = restored(&gateway, &least);
        assert_between(&format!("cycle {cycle}"), &found, &least, &most);
        assert_decisions(cycle, &decisions(&gateway), &known);
        let load = Load::on(&gateway, cycle as u64);
        burn_flag(&gateway, cycle);
        let until = Instant::now() + Duration::from_millis(random.u64(200..2600));
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
            known = decisions(&gateway);
        }
        let killed = Instant::now();
        gateway.kill9();
        let (safe, sent) = load.end(killed.checked_sub(LOST_AT_MOST).unwrap());
        (least, most) = (plus(&found, &safe), plus(&found, &sent));
    }
    let gateway = start(dir.path());
    let found = restored(&gateway, &least);
    assert_between("the end", &found, &least, &most);
    assert_decisions(cycles, &decisions(&gateway), &known);
    every_switch_spoke_once(&gateway, cycles, &flag_service);
    let total: u64 = SERVICES
        .iter()
        .map(|&s| totals(&gateway, s))
        .map(|(good, bad)| good + bad)
        .sum();
    println!(
        "{cycles} kills in {:.1} s, {total} events, {:.0} ms a start",
        began.elapsed().as_secs_f64(),
        starts.as_secs_f64() * 1000.0 / cycles as f64
    );
    assert!(total > 0);
}

/// What the store brought back, once the first evaluation shows it.
fn restored(gateway: &Gateway, least: &Tally) -> Tally {
    let mut found = Tally::new();
    for _ in 0..40 {
        found = counted(gateway);
        if least.keys().all(|name| found.contains_key(name)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    found
}

fn assert_decisions(
    cycle: usize,
    now: &BTreeMap<String, (String, String)>,
    known: &BTreeMap<String, (String, String)>,
) {
    for (id, (flag, state)) in known {
        let (_, found) = now
            .get(id)
            .unwrap_or_else(|| panic!("cycle {cycle}: decision {id} on {flag} is lost"));
        // Where it had come to an end it stays there; where it was under way it may have gone on.
        assert!(
            state != "confirmed" || found == "confirmed",
            "cycle {cycle}: {id} was {state}, is {found}"
        );
    }
}

/// One decision a flag, carried out; a flag whose cycle ended too early has burned long enough by now.
fn every_switch_spoke_once(gateway: &Gateway, cycles: usize, flag_service: &FlagService) {
    let confirmed = eventually("decisions come to an end", Duration::from_secs(20), || {
        let all = decisions(gateway);
        all.values().all(|(_, state)| state == "confirmed").then_some(all)
    });
    let flags: BTreeSet<&String> = confirmed.values().map(|(flag, _)| flag).collect();
    assert_eq!(
        flags.len(),
        confirmed.len(),
        "a flag was decided on twice: {confirmed:?}"
    );
    assert!(
        flags.len() * 2 >= cycles,
        "hardly any switch spoke: {confirmed:?}"
    );
    let bodies = flag_service.bodies.lock().unwrap();
    for flag in flags {
        let calls = bodies
            .iter()
            .filter(|b| b.contains(&format!("\"{flag}\"")))
            .count();
        // A kill between the call and its record makes it be sent once more, never more often.
        assert!((1..=2).contains(&calls), "{flag}: {calls} calls");
    }
}

#[test]
fn sigterm_under_load_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "gateway.yaml", &Setup::default().yaml());
    let (mut least, mut most) = (Tally::new(), Tally::new());
    for cycle in 0..3 {
        let mut gateway = start(dir.path());
        let found = restored(&gateway, &least);
        assert_between(&format!("stop {cycle}"), &found, &least, &most);
        let load = Load::on(&gateway, 100 + cycle);
        std::thread::sleep(Duration::from_millis(700 + 300 * cycle));
        let asked = Instant::now();
        let status = gateway.stop();
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        assert_eq!(status.code(), Some(0), "{}", gateway.stderr());
        let (acknowledged, sent) = load.end(Instant::now());
        assert!(!acknowledged.is_empty());
        (least, most) = (plus(&found, &acknowledged), plus(&found, &sent));
    }
    let gateway = start(dir.path());
    assert_between("the end", &restored(&gateway, &least), &least, &most);
}

#[test]
fn a_damaged_store_is_set_aside_and_counting_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "gateway.yaml", &Setup::default().yaml());
    let mut gateway = start(dir.path());
    send(&gateway, &[group("svc", "abc", &[], 9, 1)]);
    await_totals(&gateway, "svc", (9, 1));
    assert!(gateway.stop().success());
    drop(gateway);
    let file = dir.path().join("data/burngate.redb");
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0xA5; usize::try_from(length).unwrap()]).unwrap();

    let gateway = start(dir.path());
    assert_eq!(totals(&gateway, "svc"), (0, 0));
    let aside: Vec<String> = std::fs::read_dir(dir.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("burngate.redb.corrupt-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(
        gateway
            .stderr()
            .contains("the store was damaged; it was set aside"),
        "{}",
        gateway.stderr()
    );
    assert_eq!(
        sample(&gateway.metrics(), "burngate_store_quarantined_total", &[]),
        Some(1.0)
    );
    send(&gateway, &[group("svc", "abc", &[], 4, 1)]);
    await_totals(&gateway, "svc", (4, 1));
}

#[test]
fn a_second_gateway_on_the_same_store_is_refused_with_1() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "gateway.yaml", &Setup::default().yaml());
    let first = start(dir.path());
    let second = Command::new(env!("CARGO_BIN_EXE_burngate"))
        .args(["run", "--config", "gateway.yaml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("is in use by another process") && said.contains("data/burngate.redb"),
        "{said}"
    );
    assert!(
        !String::from_utf8_lossy(&second.stdout).contains("ready"),
        "it must not say ready"
    );
    send(&first, &[group("svc", "abc", &[], 9, 1)]);
    await_totals(&first, "svc", (9, 1));
}

/// A small disk of its own; unmounted at the end.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(at)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: a full disk (mounting a tmpfs is not permitted here)");
        }
        mounted.then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_stops_writing_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let Some(_disk) = SmallDisk::mount(&data) else {
        return;
    };
    write(dir.path(), "gateway.yaml", &Setup::default().yaml());
    let gateway = start(dir.path());
    send(&gateway, &[group("svc", "abc", &[], 9, 1)]);
    await_totals(&gateway, "svc", (9, 1));
    let filler = data.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    // Enough new series that the store must grow.
    let mut sent = (9, 1);
    let failing = |gateway: &Gateway| sample(&gateway.metrics(), "burngate_store_errors_total", &[]);
    for round in 0..200 {
        let new: Vec<_> = (0..50)
            .map(|i| group("svc", &format!("sha-{round}-{i}"), &["f"], 3, 1))
            .collect();
        send(&gateway, &new);
        sent = (sent.0 + 150, sent.1 + 50);
        std::thread::sleep(Duration::from_millis(100));
        if failing(&gateway).is_some() {
            break;
        }
    }
    assert!(failing(&gateway) >= Some(1.0), "the disk never filled");
    await_totals(&gateway, "svc", sent);
    assert!(
        gateway.stderr().contains("the store cannot be written"),
        "{}",
        gateway.stderr()
    );
    std::fs::remove_file(&filler).unwrap();
    eventually("the store can be written again", Duration::from_secs(20), || {
        gateway
            .stderr()
            .contains("the store can be written again")
            .then_some(())
    });
    std::thread::sleep(Duration::from_millis(1500));
    gateway.kill9();
    let again = start(dir.path());
    await_totals(&again, "svc", sent);
    assert!(!again.stderr().contains("set aside"));
}
