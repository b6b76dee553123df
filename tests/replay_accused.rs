//! Requests as the frontend of a shop with 24 faults (Nezha) counted them: flags that half of the requests have
//! by chance are never blamed, a flag that the failed ones have is.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod replay_support;
mod support;

use replay_support::{Minutes, clock, documented, minutes_of, replay, seconds};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use support::shared;

/// Flags that say nothing: each is on for half of the requests, independently.
const INNOCENT: [&str; 4] = ["aa-1", "aa-2", "aa-3", "aa-4"];
/// Of all requests, the percentage that has the guilty flag when nothing fails.
const GUILTY_PERCENT: usize = 25;

fn policy(flags: &[&str]) -> String {
    let mut text = String::from(
        "service: frontend\nenvironment: production\nslos: [ { name: availability, target: 99.9% } ]\n\
         kill_switches:\n",
    );
    for flag in flags {
        writeln!(text, "- {{ flag: {flag}, exporter: webhook, mode: auto }}").unwrap();
    }
    text
}

/// When the faults were injected, and which of them fail requests of the frontend.
fn faults(folder: &Path) -> Vec<(u64, bool)> {
    let text = std::fs::read_to_string(folder.join("ob_truth_2022-08-22.jsonl")).unwrap();
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let faults =
        rows.filter_map(|row| Some((row["inject_unix"].as_u64()?, row["visible"] == "availability")));
    faults.collect()
}

/// The requests of these minutes, an OTLP request every ten seconds. Which ones fail is chance, and so is who
/// has an innocent flag; the guilty one is on for a quarter of them, all that fail among these.
fn requests(minutes: &Minutes, (from, to): (u64, u64), guilty: bool, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut lines = String::new();
    for (&minute, &(all, bad)) in minutes.range(from..to) {
        let (all, bad) = (usize::try_from(all).unwrap(), usize::try_from(bad).unwrap());
        let mut kinds: Vec<(bool, bool)> = (0..all)
            .map(|n| (n < bad, guilty && (n < bad || n * 100 < all * GUILTY_PERCENT)))
            .collect();
        random.shuffle(&mut kinds);
        let mut spans: [Vec<Value>; 6] = Default::default();
        for (n, (failed, has_guilty)) in kinds.into_iter().enumerate() {
            let mut flags: Vec<&str> = INNOCENT.into_iter().filter(|_| random.bool()).collect();
            flags.extend(has_guilty.then_some("guilty"));
            let end = minute * 1_000_000_000 + (60_000_000_000 * n as u64) / all as u64;
            spans[n * 6 / all].push(span(&mut random, end, failed, &flags));
        }
        for spans in spans.iter().filter(|spans| !spans.is_empty()) {
            let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
            let resource = [
                text("service.name", "frontend"),
                text("deployment.environment.name", "production"),
                text("deployment.sha", "579b9bf"),
            ];
            let request = json!({ "resourceSpans": [
                { "resource": { "attributes": resource }, "scopeSpans": [ { "spans": spans } ] }
            ] });
            writeln!(lines, "{request}").unwrap();
        }
    }
    lines
}

fn span(random: &mut fastrand::Rng, end: u64, failed: bool, flags: &[&str]) -> Value {
    let values: Vec<Value> = flags.iter().map(|flag| json!({ "stringValue": flag })).collect();
    let status = if failed { "500" } else { "200" };
    json!({
        "traceId": format!("{:032x}", random.u128(1..)),
        "spanId": format!("{:016x}", random.u64(1..)),
        "name": "GET /", "kind": 2,
        "startTimeUnixNano": (end - 50_000_000).to_string(), "endTimeUnixNano": end.to_string(),
        "attributes": [
            { "key": "http.response.status_code", "value": { "intValue": status } },
            { "key": "feature.flags", "value": { "arrayValue": { "values": values } } },
        ],
    })
}

struct Shop {
    folder: PathBuf,
    minutes: Minutes,
    work: tempfile::TempDir,
}

impl Shop {
    fn open() -> Option<Self> {
        let folder = shared()?.join("data/incidents/nezha-onlineboutique-2022-08-22");
        let csv = folder.join("ob_frontend_2022-08-22_per_minute.csv");
        let work = tempfile::tempdir().unwrap();
        // A block of evidence is ten seconds long; so is the time between two evaluations here.
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gateway.yaml");
        let config = std::fs::read_to_string(config).unwrap();
        let slow = config.replace("evaluation_interval: 1s", "evaluation_interval: 10s");
        assert_ne!(slow, config);
        std::fs::write(work.path().join("config.yaml"), slow).unwrap();
        Some(Self {
            minutes: minutes_of(&csv, "total_est", "errors_est"),
            folder,
            work,
        })
    }

    fn replay(&self, span: (u64, u64), guilty: bool, flags: &[&str]) -> Value {
        let file = self.work.path().join("requests.jsonl");
        std::fs::write(&file, requests(&self.minutes, span, guilty, 7)).unwrap();
        let answer = replay(
            self.work.path(),
            &[file],
            &policy(flags),
            &["--config", "config.yaml"],
        );
        let all: u64 = self
            .minutes
            .range(span.0..span.1)
            .map(|(_, counts)| counts.0)
            .sum();
        assert_eq!(answer["input"]["items"], all, "{}", answer["input"]);
        answer
    }
}

fn strongest<'a>(answer: &'a Value, flag: &str) -> &'a Value {
    let tried = answer["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| t["flag"] == *flag);
    let log_e = |tried: &&Value| tried["proof"]["log_e"].as_f64().unwrap();
    tried
        .max_by(|a, b| log_e(a).total_cmp(&log_e(b)))
        .expect("the flag is tried")
}

#[test]
fn flags_of_half_of_the_requests_are_never_blamed_through_24_faults() {
    let Some(shop) = Shop::open() else { return };
    let faults = faults(&shop.folder);
    assert_eq!(faults.len(), 24);
    let (first, last) = (faults[0].0, faults[23].0);
    let answer = shop.replay((first / 60 * 60 - 600, last + 1_800), false, &INNOCENT);
    assert_eq!(answer["decisions"], json!([]), "nobody is to blame");
    let mut rows = Vec::new();
    for flag in INNOCENT {
        let tried = strongest(&answer, flag);
        let proof = &tried["proof"];
        let (log_e, bound) = (
            proof["log_e"].as_f64().unwrap(),
            proof["kill_bound"].as_f64().unwrap(),
        );
        assert_eq!(proof["class"], "concurrent", "{tried}");
        assert!(log_e < bound, "{tried}");
        let last = &tried["at_last"];
        let of = |side: &str| {
            let count = |what: &str| last[format!("{side}_{what}")].as_u64().unwrap();
            format!("{} of {}", count("bad"), count("bad") + count("good"))
        };
        rows.push(format!(
            "| `{flag}` | {} | {} | {log_e:.1} of {bound:.1} |",
            of("treated"),
            of("control")
        ));
    }
    documented(&rows);
}

#[test]
fn the_flag_of_the_failed_requests_is_blamed_in_each_fault_that_fails_any() {
    let Some(shop) = Shop::open() else { return };
    let mut rows = Vec::new();
    let visible = faults(&shop.folder).into_iter().filter(|(_, visible)| *visible);
    for (at, _) in visible {
        // From after the fault before.
        let minute = at / 60 * 60;
        let flags = [&INNOCENT[..], &["guilty"]].concat();
        let answer = shop.replay((minute - 240, minute + 900), true, &flags);
        let decisions = answer["decisions"].as_array().unwrap();
        let [decision] = &decisions[..] else {
            panic!("{}: {decisions:?} {}", clock(at), strongest(&answer, "guilty"))
        };
        assert_eq!(
            (&decision["flag"], &decision["mode"]),
            (&json!("guilty"), &json!("auto"))
        );
        let decided = seconds(&decision["at"]);
        assert!((at..minute + 900).contains(&decided), "{decision}");
        let first_bad = shop.minutes.range(minute..).find(|(_, counts)| counts.1 > 0);
        let first_bad = *first_bad.expect("it fails requests").0;
        rows.push(format!(
            "| {} | {} | {} | {} of {} | {:.1} of {:.1} |",
            clock(at),
            clock(first_bad),
            clock(decided),
            decision["bad"],
            decision["good"].as_u64().unwrap() + decision["bad"].as_u64().unwrap(),
            decision["proof"]["log_e"].as_f64().unwrap(),
            decision["proof"]["kill_bound"].as_f64().unwrap()
        ));
    }
    assert_eq!(rows.len(), 5);
    documented(&rows);
}
