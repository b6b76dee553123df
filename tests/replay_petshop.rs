//! 26 incidents of a shop with little traffic (PetShop), replayed from its metrics: what pages, when,
//! and why the rest does not.
//!
//! tests/petshop/recount.py counts the same recording anew; every window and every edge must be the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod replay_support;
mod support;

use replay_support::{clock, documented, page, replay, seconds};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{has, need, shared};

/// Name, severity, windows in seconds, and tenths of the threshold of both.
type Pair = (&'static str, &'static str, [u64; 2], u64);

/// Its alerts, written down a second time for the recount.
const AVAILABILITY: [Pair; 4] = [
    ("critical_burn", "page", [300, 3_600], 144),
    ("fast_burn", "page", [1_800, 21_600], 60),
    ("slow_burn_24h", "ticket", [7_200, 86_400], 30),
    ("slow_burn_3d", "ticket", [21_600, 259_200], 10),
];
const LATENCY: [Pair; 2] = [
    ("p90_slow", "page", [300, 900], 20),
    ("p95_slow", "ticket", [300, 900], 10),
];

/// Seconds that an incident can still show after its last window, before the next point.
const AFTER: u64 = 300;
const TAIL: u64 = 7_200;

/// A part of the recording: the day of the incidents, and the two days without one.
const DAY: (u64, u64) = (1_681_838_000, 1_681_890_000);
const QUIET: (u64, u64) = (1_692_600_000, 1_692_790_000);

/// The policy that docs/incidents.md shows.
fn policy() -> String {
    let page = page();
    let block = page.split("```").find(|block| block.contains("service: PetSite"));
    block.expect("a policy").trim_start_matches("yaml").to_owned()
}

fn folder() -> Option<PathBuf> {
    let folder = shared()?.join("data/incidents/petshop-low-traffic");
    need(has("python3"), "python3").then_some(folder)
}

fn pairs(slo: &str) -> &'static [Pair] {
    if slo == "latency" { &LATENCY } else { &AVAILABILITY }
}

/// An alert that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    at: u64,
    slo: String,
    alert: String,
    begins: bool,
}

impl Edge {
    fn severity(&self) -> &'static str {
        let pair = pairs(&self.slo).iter().find(|pair| pair.0 == self.alert);
        pair.expect("a known alert").1
    }
}

/// What burngate said of a part of the recording, and the recount of what alerts do not say.
struct Told {
    edges: Vec<Edge>,
    incidents: Value,
    sums: Value,
}

fn tell(folder: &Path, (from, to): (u64, u64)) -> Told {
    let work = tempfile::tempdir().unwrap();
    let (from_text, to_text) = (from.to_string(), to.to_string());
    let tail = format!("{TAIL}s");
    let more = [
        "--from",
        &from_text,
        "--to",
        &to_text,
        "--tail",
        &tail,
        "--budgets-every",
        "5m",
    ];
    let recording = folder.join("metrics.otlp.jsonl.gz");
    let answer = replay(work.path(), std::slice::from_ref(&recording), &policy(), &more);
    assert_eq!(answer["input"]["left_out"], 0, "{}", answer["input"]);
    let recount = recount(work.path(), folder, (from, to));
    assert_eq!(
        answer["input"]["requests"], recount["points"],
        "a request a point"
    );
    same_windows(&answer, &recount["sums"]);
    let (said, counted) = (edges_of(&answer), recounted_edges(&recount));
    assert_eq!(said, counted, "every edge, to the second");
    Told {
        edges: said,
        incidents: recount["incidents"].clone(),
        sums: recount["sums"].clone(),
    }
}

fn recount(work: &Path, folder: &Path, (from, to): (u64, u64)) -> Value {
    let alerts = |pairs: &[Pair]| -> Value {
        let windows = |pair: &Pair| pair.2.map(|secs| json!([secs, [pair.3, 10]]));
        pairs
            .iter()
            .map(|pair| json!({ "name": pair.0, "windows": windows(pair) }))
            .collect()
    };
    let rules = json!({
        "from": from, "to": to, "tail": TAIL, "min_bad": 3, "period": 30 * 86_400,
        "slos": {
            "availability": { "budget": [1, 1_000], "slower_than": null, "alerts": alerts(&AVAILABILITY) },
            "latency": { "budget": [5, 100], "slower_than": 0.4, "alerts": alerts(&LATENCY) },
        },
    });
    let file = work.join("rules.json");
    std::fs::write(&file, rules.to_string()).unwrap();
    let out = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/petshop/recount.py"))
        .args([
            folder.join("metrics.otlp.jsonl.gz"),
            folder.join("truth.jsonl"),
            file,
        ])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Lines of the service itself.
fn totals<'a>(answer: &'a Value, what: &str) -> impl Iterator<Item = &'a Value> {
    let all = answer[what].as_array().unwrap().iter();
    all.filter(|line| line["sha"].is_null() && line["flag"].is_null())
}

fn same_windows(answer: &Value, sums: &Value) {
    let mut compared = 0;
    for line in totals(answer, "budgets") {
        let at = seconds(&line["at"]);
        let slo = line["slo"].as_str().unwrap();
        let Some(want) = sums[slo][at.to_string()].as_object() else {
            continue;
        };
        for (secs, want) in want {
            let windows = line["windows"].as_array().unwrap();
            let got = windows
                .iter()
                .find(|w| w["window_secs"].as_u64() == secs.parse().ok())
                .unwrap();
            assert_eq!(json!([got["good"], got["bad"]]), *want, "{slo}: {secs} s at {at}");
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
    eprintln!("{compared} windows equal to the recount");
}

fn edges_of(answer: &Value) -> Vec<Edge> {
    let alerts = totals(answer, "alerts").filter(|line| line["alert"] != "budget");
    let mut edges: Vec<Edge> = alerts
        .map(|line| Edge {
            at: seconds(&line["at"]),
            slo: line["slo"].as_str().unwrap().to_owned(),
            alert: line["alert"].as_str().unwrap().to_owned(),
            begins: line["state"] == "firing",
        })
        .collect();
    edges.sort();
    edges
}

fn recounted_edges(recount: &Value) -> Vec<Edge> {
    let mut edges: Vec<Edge> = recount["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| Edge {
            at: edge[0].as_u64().unwrap(),
            slo: edge[1].as_str().unwrap().to_owned(),
            alert: edge[2].as_str().unwrap().to_owned(),
            begins: edge[3].as_bool().unwrap(),
        })
        .collect();
    edges.sort();
    edges
}

#[derive(Debug)]
struct Incident {
    id: String,
    at: u64,
    /// End of its last window.
    end: u64,
    change: String,
    cause: String,
    symptom: String,
}

fn incidents(folder: &Path) -> Vec<Incident> {
    let text = std::fs::read_to_string(folder.join("truth.jsonl")).unwrap();
    let mut all: Vec<Incident> = text
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let change = match row["flag"].as_str() {
                Some(flag) => format!(
                    "flag `{}` = {}",
                    flag.trim_start_matches("petstore."),
                    word("value")
                ),
                None => word("type"),
            };
            Incident {
                id: word("id"),
                at: row["inject_unix"].as_u64().unwrap(),
                end: row["windows"][4]["start"].as_u64().unwrap() + 300,
                change,
                cause: word("root_cause").split("_AWS").next().unwrap().to_owned(),
                symptom: word("symptom_metric"),
            }
        })
        .collect();
    all.sort_by_key(|incident| incident.at);
    assert_eq!(all.len(), 26);
    all
}

impl Incident {
    fn holds(&self, at: u64) -> bool {
        (self.at..self.end + AFTER).contains(&at)
    }

    fn name(&self) -> String {
        self.id.trim_start_matches("low_traffic/").replace("/issue_", " ")
    }

    /// The first alert of `severity` that begins in it.
    fn first<'e>(&self, edges: &'e [Edge], severity: &str) -> Option<&'e Edge> {
        edges
            .iter()
            .find(|edge| edge.begins && self.holds(edge.at) && edge.severity() == severity)
    }

    fn row(&self, edges: &[Edge]) -> String {
        let cell = |severity: &str| {
            self.first(edges, severity).map_or("-".to_owned(), |edge| {
                format!("{} `{}`", length(edge.at - self.at), edge.alert)
            })
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            clock(self.at),
            self.name(),
            self.change,
            self.cause,
            self.symptom,
            cell("ticket"),
            cell("page")
        )
    }

    /// Why nothing began: of each alert of what it should have shown in, the window that did not rise enough.
    fn miss(&self, told: &Told) -> String {
        let figures = &told.incidents[&self.id][&self.symptom];
        let own = figures["burn"].as_f64().unwrap();
        let mut why = if self.symptom == "latency" {
            let p95 = figures["p95"].as_f64().unwrap() * 1e3;
            let (over, points) = (&figures["over"], &figures["points"]);
            format!("P95 above 400 ms in {over} of {points} points, at most {p95:.0} ms, a burn of {own:.2}")
        } else {
            format!(
                "{} of {} requests failed, a burn of {own:.2}",
                figures["bad"], figures["all"]
            )
        };
        for (alert, _, windows, tenths) in pairs(&self.symptom) {
            let up = told
                .edges
                .iter()
                .rfind(|edge| edge.alert == *alert && edge.at <= self.at);
            let threshold = *tenths as f64 / 10.0;
            let low = windows.iter().find_map(|secs| {
                let worst = figures["worst"][secs.to_string()].as_f64().unwrap();
                (worst <= threshold)
                    .then(|| format!("{} burned at most {worst:.2} of {threshold}", length(*secs)))
            });
            let reason = match (up, low) {
                (Some(edge), _) if edge.begins => "was up from before".to_owned(),
                (_, Some(low)) => low,
                (_, None) => panic!("{self:?} misses {alert} for no reason: {figures}"),
            };
            why = format!("{why}; `{alert}`: {reason}");
        }
        format!(
            "| {} | {} | {} | {why} |",
            clock(self.at),
            self.name(),
            self.change
        )
    }
}

/// `7m25s`, `1h`.
fn length(secs: u64) -> String {
    let parts = [(secs / 3_600, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
    let shown = parts.iter().filter(|part| part.0 > 0);
    shown.fold(String::new(), |told, (n, unit)| told + &format!("{n}{unit}"))
}

#[test]
fn incidents_page_when_the_recount_says_and_every_miss_has_a_reason_in_the_data() {
    let Some(folder) = folder() else { return };
    let told = tell(&folder, DAY);
    let incidents = incidents(&folder);
    for edge in told.edges.iter().filter(|edge| edge.begins) {
        let explained = incidents.iter().any(|incident| incident.holds(edge.at));
        assert!(explained, "{edge:?} at {} is of no incident", clock(edge.at));
    }
    let (mut rows, mut paged, mut detected) = (Vec::new(), 0, 0);
    for incident in &incidents {
        let [page, ticket] = ["page", "ticket"].map(|severity| incident.first(&told.edges, severity));
        paged += u32::from(page.is_some());
        detected += u32::from(page.or(ticket).is_some());
        rows.push(incident.row(&told.edges));
        for edge in page.iter().chain(&ticket) {
            assert_eq!(
                edge.slo, incident.symptom,
                "{incident:?} shows where it was said to"
            );
        }
        if page.or(ticket).is_none() {
            rows.push(incident.miss(&told));
        }
    }
    rows.push(format!(
        "{detected} of 26 incidents are detected, {paged} of them by a page"
    ));
    documented(&rows);
}

#[test]
fn two_days_without_incidents_page_for_their_two_outages_only() {
    let Some(folder) = folder() else { return };
    let told = tell(&folder, QUIET);
    let mut rows = Vec::new();
    for edge in told
        .edges
        .iter()
        .filter(|edge| edge.begins && edge.severity() == "page")
    {
        // The point of this very moment: all of the last five minutes.
        let last = &told.sums[&edge.slo][edge.at.to_string()]["300"];
        let [good, bad] = [0, 1].map(|at| last[at].as_u64().unwrap());
        let share = bad as f64 / (good + bad) as f64;
        assert!(share > 0.0144, "{edge:?} for {bad} of {}", good + bad);
        rows.push(format!(
            "| {} | `{}` | {bad} of {} |",
            clock(edge.at),
            edge.alert,
            good + bad
        ));
    }
    let tickets = told
        .edges
        .iter()
        .filter(|edge| edge.begins && edge.severity() == "ticket");
    let many = |slo: &str| tickets.clone().filter(|edge| edge.slo == slo).count();
    rows.push(format!(
        "{} tickets for availability and {} for latency",
        many("availability"),
        many("latency")
    ));
    documented(&rows);
}
