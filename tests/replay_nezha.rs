//! 24 labelled faults of a shop (Nezha, 22 August 2022), replayed: what pages, when, and what does not.
//!
//! Availability comes from the frontend's minutes, against an exact recount of the workbook's two page pairs at 99.9 %;
//! latency from the spans of the frontend, against the spans themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "the recount reads requests with the official structs"
)]

mod replay_support;
mod support;

use replay_support::{Minutes, clock, documented, minutes_of, recount, replay, run, seconds};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use support::shared;

const MINUTES: &str = "ob_frontend_2022-08-22_per_minute.csv";
const IGNORED: &str = "success_rate_pct,p50_s,p90_s,p95_s,p99_s,fault_service,fault_type,total_known";
const COLUMNS: [&str; 6] = [
    "--total-col",
    "total_est",
    "--errors-col",
    "errors_est",
    "--ignore",
    IGNORED,
];

const AVAILABILITY: &str = "
service: frontend
slos:
  - { name: availability, target: 99.9% }
";

/// P95 below 1.5 s; a page when more than 6 % of five minutes and more than 5 % of ten were slower.
const LATENCY: &str = "
service: frontend
slos:
  - name: p95
    target: 95%
    sli: { faster_than: 1500ms }
    alerts:
      - { name: slow, windows: [ { window: 5m, burn_above: 1.2 }, { window: 10m, burn_above: 1 } ], severity: page }
";

fn folder() -> Option<PathBuf> {
    Some(shared()?.join("data/incidents/nezha-onlineboutique-2022-08-22"))
}

#[derive(Debug)]
struct Fault {
    at: u64,
    service: String,
    kind: String,
    visible: String,
    /// The frontend's P95 in its worst minute, in usual ones.
    p95_rise: f64,
}

fn faults(folder: &Path) -> (Vec<Fault>, Vec<u64>) {
    let text = std::fs::read_to_string(folder.join("ob_truth_2022-08-22.jsonl")).unwrap();
    let (mut faults, mut unlabelled) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let word = |key: &str| row[key].as_str().unwrap().to_owned();
        if let Some(at) = row["inject_unix"].as_u64() {
            let (service, kind, visible) = (word("service"), word("type"), word("visible"));
            faults.push(Fault {
                at,
                service,
                kind,
                visible,
                p95_rise: row["p95_x_baseline"].as_f64().unwrap(),
            });
        } else {
            unlabelled.push(row["unlabelled_dip_unix"].as_u64().unwrap());
        }
    }
    assert_eq!((faults.len(), unlabelled.len()), (24, 7));
    (faults, unlabelled)
}

/// Starts of the minutes in which the frontend's file names a fault, and those that everybody forgot to.
fn explained(folder: &Path, unlabelled: &[u64]) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join(MINUTES)).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let fault = header.iter().position(|h| *h == "fault_service").unwrap();
    let labelled = text.lines().skip(1).filter_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        (!cells[fault].is_empty()).then(|| cells[0].parse().unwrap())
    });
    labelled.chain(unlabelled.iter().map(|at| at / 60 * 60)).collect()
}

/// The workbook's page pairs at 99.9 %: name, long and short window, tenths of the threshold.
const PAIRS: [(&str, u64, u64, u64); 2] = [
    ("critical_burn", 3_600, 300, 144),
    ("fast_burn", 21_600, 1_800, 60),
];

/// When each pair begins and ends to be above, counted anew for every minute.
fn recounted_edges(minutes: &Minutes) -> Vec<(u64, String, bool)> {
    let (first, last) = (minutes.keys().next().unwrap(), minutes.keys().last().unwrap());
    let mut edges = Vec::new();
    let mut above = BTreeMap::new();
    for at in (first + 60..=last + 60).step_by(60) {
        for (name, long, short, tenths) in PAIRS {
            let exceeds = |window| {
                let (all, bad) = recount(minutes, at, window);
                bad * 1_000 * 10 > tenths * all
            };
            let now = exceeds(long) && exceeds(short);
            if above.insert(name, now).unwrap_or(false) != now {
                edges.push((at, name.to_owned(), now));
            }
        }
    }
    edges
}

fn edges(answer: &Value, severity: &str) -> Vec<(u64, String, bool)> {
    let all = answer["alerts"].as_array().unwrap().iter();
    all.filter(|edge| edge["severity"] == severity)
        .map(|edge| {
            let name = edge["alert"].as_str().unwrap().to_owned();
            (seconds(&edge["at"]), name, edge["state"] == "firing")
        })
        .collect()
}

#[test]
fn availability_pages_in_the_minute_in_which_the_recount_exceeds_and_at_no_other_time() {
    let Some(folder) = folder() else { return };
    let work = tempfile::tempdir().unwrap();
    let csv = folder.join(MINUTES);
    let answer = replay(work.path(), std::slice::from_ref(&csv), AVAILABILITY, &COLUMNS);
    assert_eq!(
        answer["input"]["minutes"].as_u64().unwrap() + answer["input"]["empty"].as_u64().unwrap(),
        1_209
    );
    let minutes = minutes_of(&csv, "total_est", "errors_est");
    let (paged, want) = (edges(&answer, "page"), recounted_edges(&minutes));
    let sorted = |mut edges: Vec<(u64, String, bool)>| {
        edges.sort();
        edges
    };
    assert_eq!(
        sorted(paged.clone()),
        sorted(want.clone()),
        "every edge of both pairs, to the second"
    );

    let (faults, unlabelled) = faults(&folder);
    let explained = explained(&folder, &unlabelled);
    for (at, name, _) in paged.iter().filter(|edge| edge.2) {
        assert!(
            explained.contains(&(at - 60)),
            "{name} starts at {} for no fault",
            clock(*at)
        );
    }
    let mut rows = Vec::new();
    for fault in faults.iter().filter(|fault| fault.visible == "availability") {
        let within = |edge: &&(u64, String, bool)| edge.2 && (fault.at..fault.at + 480).contains(&edge.0);
        let exceeded = want
            .iter()
            .find(within)
            .unwrap_or_else(|| panic!("{fault:?} exceeds nothing"));
        let page = paged
            .iter()
            .find(within)
            .unwrap_or_else(|| panic!("{fault:?} does not page"));
        assert!(page.0.abs_diff(exceeded.0) <= 120, "{fault:?}");
        rows.push(format!(
            "| {} | {} | {} | {} | {} | `{}` |",
            clock(fault.at),
            fault.service,
            fault.kind,
            clock(exceeded.0),
            clock(page.0),
            page.1
        ));
    }
    assert_eq!(rows.len(), 5);
    let quiet = faults.iter().filter(|fault| fault.visible != "availability");
    assert_eq!(quiet.count(), 19);
    documented(&rows);
}

/// When the frontend's spans arrive and whether each was slow, in order: those of one request that end in the same
/// ten seconds come with the last of them.
fn spans(folder: &Path) -> Vec<(u64, bool)> {
    let file = std::fs::File::open(folder.join("ob_2022-08-22_roots.jsonl.gz")).unwrap();
    let mut spans = Vec::new();
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let mut tens: BTreeMap<u64, (u64, Vec<bool>)> = BTreeMap::new();
        let scopes = request["resourceSpans"].as_array().unwrap().iter();
        for scope in scopes.flat_map(|resource| resource["scopeSpans"].as_array().unwrap()) {
            for span in scope["spans"].as_array().unwrap() {
                let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
                let (start, end) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
                let ten = tens.entry(end / 10_000_000_000).or_default();
                ten.0 = ten.0.max(end);
                ten.1.push(end - start >= 1_500_000_000);
            }
        }
        let arrived = |(end, slow): (u64, Vec<bool>)| slow.into_iter().map(move |slow| (end, slow));
        spans.extend(tens.into_values().flat_map(arrived));
    }
    spans.sort_unstable();
    spans
}

#[test]
fn latency_faults_that_p95_shows_page_by_a_latency_objective_and_no_other_fault_does() {
    let Some(folder) = folder() else { return };
    let work = tempfile::tempdir().unwrap();
    let roots = folder.join("ob_2022-08-22_roots.jsonl.gz");
    let answer = replay(work.path(), &[roots], LATENCY, &["--tail", "10m"]);
    let spans = spans(&folder);
    assert_eq!(answer["input"]["items"], spans.len());
    let starts: Vec<u64> = edges(&answer, "page")
        .iter()
        .filter(|edge| edge.2)
        .map(|edge| edge.0)
        .collect();

    // The same condition from the spans alone, at every second: the far edge of a window lies on ten seconds.
    let above = |now: u64| {
        let until = |nanos: u64| spans.partition_point(|span| span.0 < nanos);
        let exceeds = |secs: u64, percent: usize| {
            let edge = (now - secs) / 10 * 10;
            let window = &spans[until(edge * 1_000_000_000)..until(now * 1_000_000_000 + 1)];
            let slow = window.iter().filter(|span| span.1).count();
            slow * 100 > percent * window.len()
        };
        exceeds(300, 6) && exceeds(600, 5)
    };
    let last = spans.last().unwrap().0 / 1_000_000_000;
    let recounted: Vec<u64> = (spans[0].0 / 1_000_000_000 + 1..=last + 600)
        .filter(|&at| above(at) && !above(at - 1))
        .collect();
    assert_eq!(starts, recounted, "every start, to the second");

    let (faults, _) = faults(&folder);
    let (mut rows, mut explained) = (Vec::new(), Vec::new());
    for fault in faults.iter().filter(|fault| fault.visible == "latency") {
        // The load on the shop begins up to two minutes before the time that was written down.
        let within = |at: &&u64| (fault.at - 120..fault.at + 480).contains(*at);
        let page = starts
            .iter()
            .find(within)
            .unwrap_or_else(|| panic!("{fault:?} does not page: {starts:?}"));
        explained.extend(starts.iter().filter(within));
        rows.push(format!(
            "| {} | {} | {} | {} |",
            clock(fault.at),
            fault.service,
            fault.kind,
            clock(*page)
        ));
    }
    assert_eq!(rows.len(), 6);
    let strangers: Vec<_> = starts
        .iter()
        .filter(|at| !explained.contains(at))
        .map(|at| clock(*at))
        .collect();
    assert!(strangers.is_empty(), "pages for nothing: {strangers:?}");
    let rises = |visible| {
        let these = faults
            .iter()
            .filter(move |fault: &&Fault| fault.visible == visible);
        these.map(|fault| fault.p95_rise)
    };
    let weakest = rises("latency").fold(f64::MAX, f64::min);
    let noise = rises("none/weak").fold(0.0, f64::max);
    rows.push(format!(
        "at most {noise} times its usual P95 (the six above: at least {weakest} times)"
    ));
    documented(&rows);
}

#[test]
fn two_replays_give_the_same_bytes() {
    let Some(folder) = folder() else { return };
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("policy.yaml"), LATENCY).unwrap();
    let roots = folder.join("ob_2022-08-22_roots.jsonl.gz");
    for format in ["json", "csv", "table"] {
        let args = [
            roots.as_os_str(),
            OsStr::new("--policy"),
            OsStr::new("policy.yaml"),
            OsStr::new("--cohorts"),
        ];
        let more = ["--budgets-every", "5m", "--format", format].map(OsStr::new);
        let args = [&args[..], &more].concat();
        let (first, second) = (run(work.path(), &args), run(work.path(), &args));
        assert!(first.status.success() && !first.stdout.is_empty());
        assert!(first.stdout == second.stdout, "{format} differs");
        assert!(
            first.stderr.is_empty(),
            "no bar without a terminal: {}",
            String::from_utf8_lossy(&first.stderr)
        );
    }
}
