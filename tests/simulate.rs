//! The kill rule's error rates, through the library and the command line; `BURNGATE_LONG=1` plays every claim of
//! docs/evidence.md 4,000 times.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

use burngate::simulate::{Campaign, Cell, Claim, DiscountSource, Scenario, Settings, acceptance};
use serde_json::Value;
use std::num::NonZeroUsize;
use std::process::{Command, Output};

fn campaign(runs: u64, hours: u64) -> Campaign {
    let mut settings = Settings::of("99.95%".parse().unwrap());
    settings.runs = runs;
    settings.hours = hours;
    Campaign {
        settings,
        jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    }
}

fn cell(scenario: Scenario, ratio: f64) -> Cell {
    Cell {
        scenario,
        rate: 100.0,
        share: 0.1,
        ratio,
        base_rate: 0.0002,
        cluster: 1.0,
        discount: DiscountSource::Default,
    }
}

/// Some runs of every kind of claim; all of all of them with `BURNGATE_LONG`.
#[test]
fn every_claim_holds() {
    let long = std::env::var_os("BURNGATE_LONG").is_some();
    let mut missed = Vec::new();
    let mut kinds = [0; 3];
    for (n, (claim, cell)) in acceptance().into_iter().enumerate() {
        // Nulls by the dozen: every 13th meets every scenario, cluster size, rate and share.
        if !long && claim == Claim::NoKill && n % 13 > 0 {
            continue;
        }
        let runs = if long { 4000 } else { runs(claim, &cell) };
        let proof = campaign(runs, 24).prove(claim, &cell, &());
        kinds[match claim {
            Claim::NoKill => 0,
            Claim::InTime { .. } => 1,
            Claim::Right { .. } => 2,
        }] += 1;
        if !proof.holds {
            missed.push(format!("{claim:?}: {:?}", proof.row));
        }
    }
    assert!(kinds[0] >= 20 && kinds[1] >= 6 && kinds[2] >= 3, "{kinds:?}");
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}

/// Seconds in debug: a day of an innocent flag is as long as a hundred kills.
fn runs(claim: Claim, cell: &Cell) -> u64 {
    match claim {
        // Played a tenth as often as is said.
        Claim::NoKill if cell.scenario.is_rollout() => 20,
        _ if cell.scenario.is_rollout() => 300,
        Claim::NoKill => 2,
        Claim::Right { .. } if cell.scenario == Scenario::Fleet => 30,
        Claim::InTime { .. } | Claim::Right { .. } => 150,
    }
}

/// The plain rule is what these are compared with: it is quick, and blames the innocent.
#[test]
fn the_plain_rule_blames_the_innocent_in_the_same_runs() {
    let mut innocent = cell(Scenario::Steady, 1.0);
    innocent.rate = 1.0;
    let row = campaign(20, 24).row(&innocent, &());
    assert!(row.wrong == 0 && row.plain_wrong >= 10, "{row:?}");
}

/// Clusters that nobody has measured are not covered by the claims, and the same clusters are once they are.
#[test]
fn clusters_that_were_not_measured_do_harm() {
    let mut clustered = cell(Scenario::Steady, 1.0);
    (clustered.cluster, clustered.share) = (10.0, 0.5);
    let row = campaign(20, 24).row(&clustered, &());
    assert!(row.crossed > 0, "{row:?}");
    clustered.discount = DiscountSource::Measured;
    let row = campaign(20, 24).row(&clustered, &());
    assert!(row.crossed == 0, "{row:?}");
}

#[test]
fn runs_do_not_depend_on_the_number_of_threads() {
    let guilty = cell(Scenario::Alias, 100.0);
    let mut one = campaign(21, 2);
    one.jobs = NonZeroUsize::MIN;
    let mut three = one;
    three.jobs = NonZeroUsize::new(3).unwrap();
    let row = one.row(&guilty, &());
    assert!(row.killed > 15, "{row:?}");
    assert_eq!(row, three.row(&guilty, &()));
    let mut other = one;
    other.settings.seed = 2;
    assert_ne!(row, other.row(&guilty, &()));
}

fn burngate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burngate"));
    command.arg("simulate").args(args).output().unwrap()
}

#[test]
fn the_command_prints_tables_curves_csv_and_json() {
    let small = ["--ratio", "1,100", "--runs", "20", "--hours", "1"];
    let with = |more: &[&str]| {
        let output = burngate(&[&small, more].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stderr.is_empty(), "no bar where nobody looks");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = with(&["--plot"]);
    assert!(
        table.lines().filter(|line| line.starts_with("steady ")).count() == 2,
        "{table}"
    );
    assert!(
        table.contains("share of runs in which the guilty flag is off"),
        "{table}"
    );
    let csv = with(&["--format", "csv"]);
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(
        columns.len() == 3 && columns.iter().all(|n| *n == columns[0]),
        "{csv}"
    );
    let json: Value = serde_json::from_str(&with(&["--format", "json", "--jobs", "2"])).unwrap();
    assert_eq!(json["settings"]["target"], "99.95%");
    assert_eq!(json["rows"][0]["wrong"], 0);
    assert_eq!(json["rows"][1]["killed"], 20);
    assert!(json["rows"][1]["delay"]["median_secs"].as_u64().unwrap() >= 180);
}

#[test]
fn nonsense_is_refused_with_what_was_expected() {
    for (args, told) in [
        (&["--scenario", "storm"][..], "deploy_overlap"),
        (&["--share", "1.5"], "expected a number"),
        (&["--cluster", "0"], "expected a number"),
        (&["--onset", "90000"], "nothing would happen"),
        (&["--acceptance", "--rate", "5"], "cannot be used with"),
    ] {
        let output = burngate(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {stderr}");
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    }
}
