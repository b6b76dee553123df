//! Time slices and calendar days against a real Prometheus, on generated minutes replayed in simulated time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    missing_docs
)]

mod ledger_support;

use burngate::account::{Accounts, Spec};
use burngate::budget::{
    Calendar, CalendarUnit, EmptySlice, Method, Part, Period, RATIO_ONE, SliceRule, zone,
};
use burngate::cohort::CohortId;
use burngate::store::MemStore;
use burngate::time::UnixNanos;
use ledger_support::{House, OBJECTIVE, plan};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Midnight UTC.
const START: u64 = 1_774_483_200;
const DAY: u64 = 86_400;

fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/oracle/oracle.py")
}

fn missing() -> Option<String> {
    if !tool().exists() {
        return Some(format!("{} is not there", tool().display()));
    }
    let runs = |tool: &&str| {
        Command::new(tool)
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
    };
    ["python3", "prometheus", "promtool"]
        .into_iter()
        .find(|tool| !runs(tool))
        .map(|tool| format!("{tool} is not installed"))
}

/// The error ratio of one window at each instant, as Prometheus has it.
fn ratios(csv: &Path, window: &str, at: &[u64]) -> BTreeMap<u64, Option<f64>> {
    let mut command = Command::new("python3");
    command
        .arg(tool())
        .arg(csv)
        .args(["--mode", "exact", "--no-sloth", "--windows", window]);
    for t in at {
        command.args(["--at", &t.to_string()]);
    }
    let out = command.output().expect("python3");
    assert!(
        out.status.success(),
        "oracle: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    let answer: serde_json::Value = serde_json::from_slice(&out.stdout).expect("the oracle's answer");
    let results = answer["results"].as_array().unwrap();
    at.iter()
        .zip(results)
        .map(|(&t, result)| (t, result["groups"]["{}"][window]["exact"].as_f64()))
        .collect()
}

fn spec(rule: SliceRule, period: Period) -> Spec {
    Spec {
        members: vec![(OBJECTIVE, CohortId(0))],
        parts: vec![Part {
            slice_target: "97%".parse().unwrap(),
            weight: 1,
        }],
        rule,
        period,
        windows: vec![3_600, 6 * 3_600],
        excluded: Vec::new(),
    }
}

#[test]
fn slices_and_calendar_days_are_those_of_prometheus() {
    if let Some(why) = missing() {
        eprintln!("SKIPPED: slices_and_calendar_days_are_those_of_prometheus: {why}");
        return;
    }
    let mut random = fastrand::Rng::with_seed(97);
    let mut csv = String::from("timestamp,total,errors\n");
    let mut minutes = Vec::new();
    for minute in 0..3 * 1_440_u64 {
        // Every seventh quarter of an hour is silent.
        if minute / 15 % 7 == 3 {
            continue;
        }
        let total = random.u64(1..200);
        let errors = if minute / 5 % 4 == 1 {
            random.u64(0..=total / 10)
        } else {
            0
        };
        minutes.push((START + minute * 60, total, errors));
        writeln!(csv, "{},{total},{errors}", START + minute * 60).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("minutes.csv");
    std::fs::write(&path, csv).unwrap();

    let store = Arc::new(MemStore::new());
    let mut house = House::open(store, &plan(&[300, 3_600]), UnixNanos::from_secs(START));
    let mut accounts = Accounts::new(3);
    let rule = |method| SliceRule {
        method,
        slice_secs: 300,
        empty: EmptySlice::Exclude,
    };
    let slices = (OBJECTIVE, CohortId(1));
    let day = (OBJECTIVE, CohortId(2));
    let utc = Calendar::new(CalendarUnit::Day, zone("UTC").unwrap());
    accounts.open(
        slices,
        spec(rule(Method::Timeslices), Period::Rolling { secs: 2 * DAY }),
        &[],
    );
    accounts.open(day, spec(rule(Method::Occurrences), Period::Calendar(utc)), &[]);
    let mut days = BTreeMap::new();
    let mut next = minutes.iter().peekable();
    for end in (START + 60..=START + 3 * DAY).step_by(60) {
        // The last instant of the minute, so that midnight still belongs to its day.
        let now = UnixNanos(end * 1_000_000_000 - 1);
        while let Some(&(start, total, errors)) = next.next_if(|m| m.0 + 60 <= end) {
            house.absorb(now, 0, start / 10 + 2, total - errors, errors);
        }
        house.tick(now);
        let views = house.changed(now);
        accounts
            .update(now, &views, &house.ledger, &*house.store)
            .1
            .unwrap();
        if end % DAY == 0 {
            days.insert(end, accounts.figures(day).unwrap().period.unwrap());
        }
    }
    let now = UnixNanos::from_secs(START + 3 * DAY);
    house.tick(now);
    let views = house.changed(now);
    accounts
        .update(now, &views, &house.ledger, &*house.store)
        .1
        .unwrap();

    let ends: Vec<u64> = days.keys().copied().collect();
    for (end, want) in ratios(&path, "1d", &ends) {
        let got = days[&end].sum.kept;
        let ratio = got.bad as f64 / got.total() as f64;
        assert!(
            (ratio - want.unwrap()).abs() < 1e-9,
            "day up to {end}: {ratio} {want:?}"
        );
    }

    let end = START + 3 * DAY;
    let at: Vec<u64> = (end - 2 * DAY + 300..=end).step_by(300).collect();
    let truth = ratios(&path, "5m", &at);
    let full: Vec<f64> = truth.values().filter_map(|r| *r).collect();
    let figures = accounts.figures(slices).unwrap();
    let sum = figures.period.unwrap().sum;
    let bad = full.iter().filter(|&&r| r > 0.03).count() as u64;
    assert_eq!(
        (sum.bad, sum.counted(), sum.empty),
        (bad, full.len() as u64, (at.len() - full.len()) as u64)
    );
    let mean = full.iter().sum::<f64>() / full.len() as f64;
    let ours = sum.misses as f64 / RATIO_ONE as f64 / sum.counted() as f64;
    assert!((ours - mean).abs() < 1e-9, "{ours} {mean}");
    for window in &figures.windows {
        let within: Vec<f64> = truth
            .range(end - window.window_secs + 1..)
            .filter_map(|(_, r)| *r)
            .collect();
        let bad = within.iter().filter(|&&r| r > 0.03).count() as u64;
        assert_eq!((window.sum.bad, window.sum.counted()), (bad, within.len() as u64));
    }
    eprintln!(
        "3 days and {} slices, {bad} bad ones among them, as in Prometheus",
        full.len()
    );
    assert!(bad > 20);
}
