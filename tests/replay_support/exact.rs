//! A replay held against a recount, and against a real Prometheus.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "test support"
)]

use crate::replay_support::{Minutes, recount, replay, seconds};
use crate::support::{has, need, shared};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A multiple of five minutes.
pub const START: u64 = 1_767_225_600;

/// A stream, and the same counted by hand.
pub struct Stream {
    pub files: Vec<PathBuf>,
    pub more: Vec<String>,
    pub policy: String,
    /// Whose series is compared: service, SLO, and of a cohort (flag, variant).
    pub series: (&'static str, &'static str, Option<(&'static str, &'static str)>),
    pub target: f64,
    pub minutes: Minutes,
}

pub fn policy(service: &str, target: f64, sli: &str) -> String {
    format!("service: {service}\nslos:\n  - {{ name: it, target: {target}%, sli: {sli} }}\n")
}

fn series_of<'v>(answer: &'v Value, stream: &Stream) -> Vec<&'v Value> {
    let (service, slo, cohort) = stream.series;
    let ours = |line: &&Value| {
        line["service"] == service
            && line["slo"] == slo
            && line["flag"].as_str() == cohort.map(|c| c.0)
            && line["variant"].as_str() == cohort.map(|c| c.1)
            && (cohort.is_some() || line["sha"].is_null())
            && line["route"].is_null()
            && seconds(&line["at"]).is_multiple_of(300)
    };
    answer["budgets"]
        .as_array()
        .unwrap()
        .iter()
        .filter(ours)
        .collect()
}

/// Holds every window at every fifth minute against the recount, and some of them against Prometheus.
fn check(folder: &Path, stream: &Stream) {
    let more: Vec<&str> = stream.more.iter().map(String::as_str).collect();
    let more = [&["--budgets-every", "5m", "--cohorts"], more.as_slice()].concat();
    let answer = replay(folder, &stream.files, &stream.policy, &more);
    assert_eq!(answer["input"]["left_out"], 0, "{}", answer["input"]);
    let lines = series_of(&answer, stream);
    assert!(lines.len() > 10, "{} lines", lines.len());
    let mut windows = 0;
    for line in &lines {
        let at = seconds(&line["at"]);
        for window in line["windows"].as_array().unwrap() {
            let secs = window["window_secs"].as_u64().unwrap();
            let (all, bad) = recount(&stream.minutes, at, secs);
            let counted = (window["good"].as_u64().unwrap(), window["bad"].as_u64().unwrap());
            assert_eq!(
                counted,
                (all - bad, bad),
                "{secs} s at {at} of {:?}",
                stream.series
            );
            windows += 1;
        }
    }
    let burns = against_prometheus(folder, stream, &lines);
    eprintln!(
        "{:?}: {windows} windows equal to the recount, {burns} burn rates to Prometheus",
        stream.series
    );
}

/// Compares burn rates at up to forty of the lines; 0 without a Prometheus here.
fn against_prometheus(folder: &Path, stream: &Stream, lines: &[&Value]) -> usize {
    let Some(shared) = shared() else { return 0 };
    if !need(
        has("prometheus") && has("promtool") && has("python3"),
        "prometheus, promtool or python3",
    ) {
        return 0;
    }
    let mut csv = String::from("timestamp,total,errors\n");
    for (minute, (all, bad)) in &stream.minutes {
        writeln!(csv, "{minute},{all},{bad}").unwrap();
    }
    std::fs::write(folder.join("oracle.csv"), csv).unwrap();
    let step = lines.len().div_ceil(40);
    let chosen: Vec<&&Value> = lines.iter().step_by(step).collect();
    let mut command = Command::new("python3");
    command
        .arg(shared.join("tools/oracle/oracle.py"))
        .arg(folder.join("oracle.csv"));
    command.args(["--mode", "exact", "--objective", &stream.target.to_string()]);
    for line in &chosen {
        command.args(["--at", &seconds(&line["at"]).to_string()]);
    }
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let oracle: Value = serde_json::from_slice(&out.stdout).unwrap();
    let names = [
        ("5m", 300),
        ("30m", 1_800),
        ("1h", 3_600),
        ("2h", 7_200),
        ("6h", 21_600),
        ("1d", 86_400),
    ];
    let mut compared = 0;
    for (line, result) in chosen.iter().zip(oracle["results"].as_array().unwrap()) {
        for (name, secs) in names {
            let window = line["windows"]
                .as_array()
                .unwrap()
                .iter()
                .find(|w| w["window_secs"] == secs)
                .unwrap();
            let exact = result["groups"]["{}"][name]["exact"].as_f64();
            let want = exact.map(|ratio| ratio / (1.0 - stream.target / 100.0));
            match (window["burn_rate"].as_f64(), want) {
                (Some(burn), Some(want)) => {
                    assert!(
                        (burn - want).abs() < 1e-9 * (1.0 + burn),
                        "{name} at {}: {burn}, {want}",
                        line["at"]
                    );
                    compared += 1;
                }
                (None, None) => {}
                other => panic!("{name} at {}: {other:?}", line["at"]),
            }
        }
    }
    assert!(compared > chosen.len(), "{compared} of {}", chosen.len());
    compared
}

/// Makes a stream in a folder of its own, and holds it against its recount.
pub fn generated(name: &str, make: impl FnOnce(&Path) -> Stream) {
    let folder = tempfile::tempdir().unwrap();
    eprintln!("{name}");
    check(folder.path(), &make(folder.path()));
}
