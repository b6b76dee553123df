//! The exact bytes of official SDKs, counted per deployment and flag variant.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cohort_support;
mod support;

use burngate::cohort::Level;
use burngate::config::Cohorts;
use cohort_support::{NOW, by_cohort, tap};

/// `(level, good, bad)` of every cohort of a recorded request.
fn counts(file: &str, named: &[&str]) -> Option<Vec<(String, u64, u64)>> {
    let bytes = std::fs::read(support::shared()?.join("data/otlp/sdk_recorded").join(file)).unwrap();
    let tap = tap(&Cohorts::default(), named);
    let outcome = tap.process(&bytes, None, NOW).unwrap();
    assert_eq!(
        outcome.stats.late + outcome.stats.future,
        outcome.stats.judged,
        "recorded at another time"
    );
    let rows = by_cohort(&tap, &outcome).into_iter().map(|(key, counts)| {
        assert_eq!(&*key.service, "checkout");
        let level = match key.level {
            Level::Total => "total".to_owned(),
            Level::Route { route } => format!("route {route}"),
            Level::Overflow => "overflow".to_owned(),
            Level::Deployment { sha } => sha.to_string(),
            Level::Flag { sha, flag, variant } => format!("{} {flag}={variant}", sha.unwrap()),
        };
        (level, counts.good, counts.bad)
    });
    Some(rows.collect())
}

fn row(level: &str, good: u64, bad: u64) -> (String, u64, u64) {
    (level.to_owned(), good, bad)
}

#[test]
fn openfeature_events_of_the_python_sdk_split_the_variants() {
    let Some(rows) = counts("py_openfeature_traces.pb", &["new-checkout"]) else {
        return;
    };
    let (on, off) = (
        row("of1 new-checkout=on", 7, 7),
        row("of1 new-checkout=off", 6, 0),
    );
    assert_eq!(rows, [row("total", 13, 7), row("of1", 13, 7), off, on]);
}

#[test]
fn a_list_on_the_resource_counts_for_all_its_spans() {
    let Some(rows) = counts("py_http_traces.pb", &["z"]) else {
        return;
    };
    let flags = ["a=on", "b=on", "z=off"].map(|flag| row(&format!("pyhttp {flag}"), 24, 6));
    let expected: Vec<_> = [row("total", 24, 6), row("pyhttp", 24, 6)]
        .into_iter()
        .chain(flags)
        .collect();
    assert_eq!(
        rows, expected,
        "client spans are no requests, exception events no evaluations"
    );
}

#[test]
fn the_js_sdk_counts_the_same() {
    let Some(rows) = counts("js_grpc_traces.pb", &[]) else {
        return;
    };
    let flag = row("jsgrpc new-checkout=on", 90, 30);
    assert_eq!(rows, [row("total", 90, 30), row("jsgrpc", 90, 30), flag]);
}
