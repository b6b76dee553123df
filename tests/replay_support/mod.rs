//! What the tests of `burngate replay` share: the real binary, its answers, and minutes counted by hand.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `burngate replay` in `folder`.
pub fn run(folder: &Path, args: &[&OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_burngate"))
        .arg("replay")
        .args(args)
        .current_dir(folder)
        .output()
        .expect("the binary starts")
}

/// The JSON answer about `files` by `policy`.
pub fn replay(folder: &Path, files: &[PathBuf], policy: &str, more: &[&str]) -> Value {
    std::fs::write(folder.join("policy.yaml"), policy).unwrap();
    let mut args: Vec<&OsStr> = files.iter().map(|path| path.as_os_str()).collect();
    args.extend(["--policy", "policy.yaml", "--format", "json"].map(OsStr::new));
    args.extend(more.iter().map(OsStr::new));
    let out = run(folder, &args);
    assert!(
        out.status.success(),
        "{}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// Seconds of an instant in an answer.
pub fn seconds(at: &Value) -> u64 {
    let stamp: jiff::Timestamp = at.as_str().unwrap().parse().unwrap();
    u64::try_from(stamp.as_second()).unwrap()
}

/// Events by the start of their minute: (all, bad).
pub type Minutes = BTreeMap<u64, (u64, u64)>;

/// What ended in (at - window, at]; both on whole minutes.
pub fn recount(minutes: &Minutes, at: u64, window_secs: u64) -> (u64, u64) {
    let range = at.saturating_sub(window_secs)..at;
    let sums = minutes.range(range).map(|(_, counts)| *counts);
    sums.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// The rows of a per-minute file; an empty cell is 0.
pub fn minutes_of(csv: &Path, total: &str, errors: &str) -> Minutes {
    let text = std::fs::read_to_string(csv).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let places = [column("timestamp"), column(total), column(errors)];
    let mut minutes = Minutes::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [at, all, bad] = places.map(|place| whole(cells[place]));
        let sum = minutes.entry(at / 60 * 60).or_default();
        *sum = (sum.0 + all, sum.1 + bad);
    }
    minutes
}

fn whole(cell: &str) -> u64 {
    if cell.is_empty() {
        return 0;
    }
    let dotless = cell.strip_suffix(".0").unwrap_or(cell);
    dotless
        .parse()
        .unwrap_or_else(|_| panic!("{cell} is no whole number"))
}

/// Time of the day, in UTC.
pub fn clock(at: u64) -> String {
    let stamp = jiff::Timestamp::from_second(i64::try_from(at).unwrap()).unwrap();
    stamp.strftime("%H:%M:%S").to_string()
}

/// docs/incidents.md.
pub fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/incidents.md")).unwrap()
}

/// Lines of the tables in docs/incidents.md; the page must have them.
pub fn documented(rows: &[String]) {
    let page = page();
    for row in rows {
        eprintln!("{row}");
    }
    let missing: Vec<_> = rows.iter().filter(|row| !page.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "docs/incidents.md lacks: {missing:#?}");
}
