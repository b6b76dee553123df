//! Burn rates against a real Prometheus, on real and generated minutes replayed in simulated time.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::enum_variant_names,
    clippy::type_complexity,
    clippy::too_many_lines,
    clippy::float_cmp,
    reason = "tables and generators of tests: small whole numbers, long lists"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod ledger_support;

use burngate::cohort::CohortId;
use burngate::store::MemStore;
use burngate::time::UnixNanos;
use ledger_support::{House, OBJECTIVE, WORKBOOK, plan};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const NAMES: [&str; 8] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"];
const BUDGET: f64 = 0.001;

struct Minute {
    start: u64,
    total: u64,
    errors: u64,
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared")
}

/// Why the test cannot run here, if it cannot.
fn missing() -> Option<String> {
    if !shared().join("tools/oracle/oracle.py").exists() {
        return Some(format!(
            "{} is not there",
            shared().join("tools/oracle/oracle.py").display()
        ));
    }
    ["python3", "prometheus", "promtool"]
        .into_iter()
        .find(|tool| {
            Command::new(tool)
                .arg("--version")
                .output()
                .map_or(true, |out| !out.status.success())
        })
        .map(|tool| format!("{tool} is not installed"))
}

fn oracle(csv: &Path, options: &[&str], at: &[u64]) -> serde_json::Value {
    let mut command = Command::new("python3");
    command
        .arg(shared().join("tools/oracle/oracle.py"))
        .arg(csv)
        .args(["--mode", "exact"])
        .args(options);
    for t in at {
        command.args(["--at", &t.to_string()]);
    }
    let out = command.output().expect("python3");
    assert!(
        out.status.success(),
        "oracle: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("the oracle's answer")
}

/// Replays the minutes, second by second where it matters, and holds every burn rate at each of `at` against the oracle's.
fn compare(minutes: &[Minute], at: &[u64], answer: &serde_json::Value) {
    let first = UnixNanos::from_secs(minutes[0].start);
    let mut house = House::open(Arc::new(MemStore::new()), &plan(&WORKBOOK), first);
    let mut next = minutes.iter().peekable();
    let (mut compared, mut nulls) = (0, 0);
    for (t, result) in at.iter().zip(answer["results"].as_array().unwrap()) {
        assert_eq!(result["at"].as_f64(), Some(*t as f64));
        while let Some(minute) = next.next_if(|m| m.start + 60 <= *t) {
            let now = UnixNanos::from_secs(minute.start + 60);
            // The minute's events, spread over its six buckets.
            let share = |n: u64, bucket: u64| n / 6 + u64::from(bucket < n % 6);
            for bucket in 0..6 {
                let good = share(minute.total - minute.errors, bucket);
                house.absorb(
                    now,
                    0,
                    minute.start / 10 + bucket,
                    good,
                    share(minute.errors, bucket),
                );
            }
            house.tick(now);
        }
        let now = UnixNanos::from_secs(*t);
        house.tick(now);
        house.changed(now);
        let view = house.view(0).expect("the series");
        for (sum, name) in view.windows.iter().zip(NAMES) {
            assert_eq!(sum.from, now.minus_secs(sum.window_secs), "{name} at {t}");
            let exact = &result["groups"]["{}"][name]["exact"];
            let on_demand =
                house
                    .ledger
                    .lock()
                    .unwrap()
                    .sum(OBJECTIVE, CohortId(0), now, sum.window_secs, &*house.store);
            assert_eq!(on_demand.unwrap().counts, sum.counts, "{name} at {t}");
            let total = sum.counts.total();
            if let Some(want) = exact.as_f64() {
                let burn = sum.counts.bad as f64 / total as f64 / BUDGET;
                assert!(
                    (burn - want / BUDGET).abs() < 1e-9 * (1.0 + burn),
                    "{name} at {t}: {burn}, {exact}"
                );
                compared += 1;
            } else {
                assert_eq!(total, 0, "{name} at {t}");
                nulls += 1;
            }
        }
    }
    eprintln!("{compared} burn rates equal to Prometheus, {nulls} without data in both");
    assert!(compared > at.len() * 4);
}

fn at_multiples(from: u64, to: u64, step: u64) -> Vec<u64> {
    (from.div_ceil(300) * 300..=to)
        .step_by(usize::try_from(step).unwrap())
        .collect()
}

#[test]
fn nezha_frontend_minutes_burn_as_in_prometheus() {
    if let Some(why) = missing() {
        eprintln!("SKIPPED: nezha_frontend_minutes_burn_as_in_prometheus: {why}");
        return;
    }
    let folder = shared().join("data/incidents/nezha-onlineboutique-2022-08-22");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| {
            let name = p.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("ob_frontend") && name.ends_with("_per_minute.csv")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let ignore = "success_rate_pct,p50_s,p90_s,p95_s,p99_s,fault_service,fault_type,total_known";
    for csv in files {
        let text = std::fs::read_to_string(&csv).unwrap();
        let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
        let (t, total, errors) = (column("timestamp"), column("total_est"), column("errors_est"));
        let number = |cell: &str| {
            if cell.is_empty() {
                0
            } else {
                cell.parse::<f64>().unwrap() as u64
            }
        };
        let minutes: Vec<Minute> = text
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect::<Vec<_>>())
            .map(|c| Minute {
                start: number(c[t]),
                total: number(c[total]),
                errors: number(c[errors]),
            })
            .collect();
        let (first, last) = (minutes[0].start, minutes[minutes.len() - 1].start);
        let at = at_multiples(first + 300, last + 3_600, 900);
        let options = [
            "--total-col",
            "total_est",
            "--errors-col",
            "errors_est",
            "--ignore",
            ignore,
        ];
        compare(&minutes, &at, &oracle(&csv, &options, &at));
    }
}

#[test]
fn generated_minutes_of_35_days_burn_as_in_prometheus() {
    if let Some(why) = missing() {
        eprintln!("SKIPPED: generated_minutes_of_35_days_burn_as_in_prometheus: {why}");
        return;
    }
    let mut random = fastrand::Rng::with_seed(35);
    let start = 1_767_225_600;
    let mut minutes = Vec::new();
    let mut csv = String::from("timestamp,total,errors\n");
    for i in 0..35 * 1_440u64 {
        // Nights are quiet, some hours are silent, some burn.
        let quiet = (i / 60) % 24 < 6;
        let silent = (i / 60) % 41 == 7;
        let total = if silent {
            continue;
        } else {
            random.u64(0..if quiet { 20 } else { 900 })
        };
        let burning = (i / 97) % 31 == 3;
        let errors = if burning {
            random.u64(0..=total)
        } else {
            random.u64(0..=total / 300 + 1).min(total)
        };
        minutes.push(Minute {
            start: start + i * 60,
            total,
            errors,
        });
        writeln!(csv, "{},{total},{errors}", start + i * 60).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("minutes.csv");
    std::fs::write(&path, csv).unwrap();
    let mut at = at_multiples(start + 600, start + 35 * 86_400, 6 * 3_600 + 300);
    at.extend(at_multiples(
        start + 30 * 86_400,
        start + 30 * 86_400 + 7_200,
        300,
    ));
    at.sort_unstable();
    at.dedup();
    compare(&minutes, &at, &oracle(&path, &[], &at));
}
