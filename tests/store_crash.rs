//! `kill -9` at any time: what was acknowledged is there, exactly.
//!
//! The child is this very binary, told by its environment to count into a store and to print every tick that was durable. The
//! parent kills it, opens the store, and compares with what the child said.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::enum_variant_names,
    clippy::type_complexity,
    clippy::too_many_lines,
    clippy::float_cmp,
    reason = "tables and generators of tests: small whole numbers, long lists"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod ledger_support;

use burngate::ledger::Counts;
use burngate::store::{Journal as _, RedbStore};
use burngate::time::UnixNanos;
use ledger_support::{House, TOTALS, WORKBOOK, plan};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const START: u64 = 1_767_225_600;
const SERIES: u32 = 200;

/// Tick `n` adds these to every series; so after tick `n` every count is known.
fn added(n: u64) -> Counts {
    Counts {
        good: n % 7 + 1,
        bad: u64::from(n.is_multiple_of(5)),
    }
}

fn after(n: u64) -> Counts {
    (1..=n).map(added).fold(Counts::default(), |sum, c| Counts {
        good: sum.good + c.good,
        bad: sum.bad + c.bad,
    })
}

fn cohort(series: u32) -> u32 {
    if series < 3 { series } else { TOTALS + series }
}

/// Counts for ever, from where the store stands.
fn child(folder: &Path, from: u64) -> ! {
    let store = Arc::new(RedbStore::open(folder).unwrap());
    let journal = Arc::clone(&store);
    let mut house = House::open(store, &plan(&WORKBOOK), UnixNanos::from_secs(START));
    let mut out = std::io::stdout().lock();
    for n in from.. {
        // Seven seconds a tick: buckets, chunks and hours turn while it runs.
        let now = UnixNanos::from_secs(START + n * 7);
        for series in 0..SERIES {
            house.absorb(now, cohort(series), now.secs() / 10, added(n).good, added(n).bad);
        }
        if n % 10 == 0 {
            journal
                .put(&format!("decision-{n:08}"), &n.to_le_bytes())
                .unwrap();
        }
        house.tick(now);
        writeln!(out, "ACK {n}").unwrap();
        out.flush().unwrap();
    }
    unreachable!("counts for ever");
}

/// Not a test of its own: what the parent starts.
#[test]
fn child_of_the_crash_test() {
    if let Some(folder) = std::env::var_os("BURNGATE_CRASH_CHILD") {
        let from = std::env::var("BURNGATE_CRASH_FROM").unwrap().parse().unwrap();
        child(Path::new(&folder), from);
    }
}

fn run_until_killed(folder: &Path, from: u64, acks: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_of_the_crash_test", "--nocapture"])
        .env("BURNGATE_CRASH_CHILD", folder)
        .env("BURNGATE_CRASH_FROM", from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ack = |line: &str| {
        line.split("ACK ")
            .nth(1)
            .and_then(|n| n.trim().parse::<u64>().ok())
    };
    let mut last = from - 1;
    while last < from - 1 + acks {
        let line = lines.next().expect("the child died on its own").unwrap();
        last = ack(&line).unwrap_or(last);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said between the decision to kill it and its death counts too.
    lines
        .map_while(Result::ok)
        .filter_map(|line| ack(&line))
        .fold(last, u64::max)
}

#[test]
fn killed_at_any_time_nothing_acknowledged_is_lost() {
    let long = std::env::var_os("BURNGATE_LONG").is_some();
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::new();
    let mut ticks = 0;
    for cycle in 0..if long { 60 } else { 10 } {
        let acked = run_until_killed(folder.path(), ticks + 1, random.u64(5..120));
        let store = Arc::new(RedbStore::open(folder.path()).unwrap());
        let mut house = House::open(
            Arc::clone(&store) as Arc<_>,
            &plan(&WORKBOOK),
            UnixNanos::from_secs(START),
        );
        assert_eq!(house.restored.damaged_frames, 0);
        // The tick under way may have become durable without having been acknowledged: all of it, or nothing.
        let durable = house.view(0).expect("the series").lifetime;
        ticks = if durable == after(acked) { acked } else { acked + 1 };
        for series in 0..SERIES {
            let view = house.view(cohort(series)).expect("the series");
            assert_eq!(
                view.lifetime,
                after(ticks),
                "cycle {cycle}, series {series}, acknowledged {acked}"
            );
            for sum in &view.windows {
                // A bucket that starts at the very end of the window belongs to the next.
                let within = sum.from.secs()..sum.to.secs();
                let want = (1..=ticks)
                    .filter(|n| within.contains(&((START + n * 7) / 10 * 10)))
                    .map(added)
                    .fold(Counts::default(), |s, c| Counts {
                        good: s.good + c.good,
                        bad: s.bad + c.bad,
                    });
                assert_eq!(sum.counts, want, "cycle {cycle}, series {series}, {sum:?}");
            }
        }
        let decisions = store.all().unwrap();
        for n in (10..=acked).step_by(10) {
            assert!(
                decisions.iter().any(|(id, _)| *id == format!("decision-{n:08}")),
                "decision {n} is lost"
            );
        }
        house.tick(UnixNanos::from_secs(START + ticks * 7));
    }
    eprintln!("{ticks} ticks, the last {SERIES} series each exact after every kill");
}
