//! `burngate replay` from outside: formats, what is left out, what is refused, exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod replay_support;

use replay_support::run;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Output;

const POLICY: &str = "
service: batch
slos:
  - { name: availability, target: 99.9% }
  - { name: other, target: 99% }
kill_switches:
  - { flag: new-import, exporter: nowhere, slo: availability, attribution: off, mode: auto, when: { burn_above: 7, window: 5m, for: 3m } }
";

fn folder(rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    // A kill switch needs an environment.
    let policy = POLICY.replace("service: batch", "service: batch\nenvironment: production");
    std::fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    std::fs::write(folder.path().join("a.csv"), rows).unwrap();
    folder
}

fn replay(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    let Output {
        status,
        stdout,
        stderr,
    } = run(folder, &args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Twenty minutes; a flag's variant fails from the tenth on, the other does not.
fn rows() -> String {
    let mut rows = String::from("timestamp,total,errors,slo,environment,sha,flag,variant\n");
    for minute in 0..20 {
        let at = 1_700_000_040 + minute * 60;
        let bad = if minute >= 10 { 90 } else { 0 };
        for (variant, bad) in [("on", bad), ("off", 0)] {
            let row = format!("{at},100,{bad},availability,production,4f2c1e,new-import,{variant}\n");
            rows.push_str(&row);
        }
    }
    rows
}

#[test]
fn minutes_of_flags_page_and_would_switch_the_flag_off() {
    let folder = folder(&rows());
    let args = ["a.csv", "--policy", "policy.yaml", "--budgets-every", "5m"];
    let (code, table, told) = replay(folder.path(), &args);
    assert_eq!((code, told.as_str()), (0, ""), "{table}");
    for expected in [
        "40 minutes of counts, 0 records left out",
        "batch/availability production  ",
        "critical_burn  page",
        "auto  nowhere   off     batch/availability production sha=4f2c1e new-import=on",
    ] {
        assert!(table.contains(expected), "{expected}\n{table}");
    }
    let (_, json, _) = replay(
        folder.path(),
        &[&args[..], &["--format", "json", "--output", "out.json"]].concat(),
    );
    assert_eq!(json, "", "it went to the file");
    let answer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("out.json")).unwrap()).unwrap();
    let decision = &answer["decisions"][0];
    // Minute 10 is over at +660; three minutes above its threshold after that.
    assert_eq!(decision["at"], "2023-11-14T22:28:00.000Z");
    assert_eq!(
        (&decision["control_bad"], &decision["mode"]),
        (&0.into(), &"auto".into())
    );
    let (_, csv, _) = replay(folder.path(), &[&args[..], &["--format", "csv"]].concat());
    assert!(
        csv.starts_with("at,kind,service,slo,environment,sha,flag,variant,what,state,"),
        "{csv}"
    );
    assert!(
        csv.contains(",decision,batch,availability,production,4f2c1e,new-import,on,nowhere,auto,300,"),
        "{csv}"
    );
}

#[test]
fn bad_rows_are_told_and_strict_refuses() {
    let rows = rows().replace("1700000100,100,0", "1700000100,100,many");
    let folder = folder(&rows);
    let args = ["a.csv", "--policy", "policy.yaml"];
    let (code, table, told) = replay(folder.path(), &args);
    assert_eq!(code, 0, "{told}");
    assert!(
        table.contains("38 minutes of counts, 2 records left out"),
        "{table}"
    );
    assert!(
        told.contains("a.csv:4: errors \"many\" is no whole number of events"),
        "{told}"
    );
    let (code, table, told) = replay(folder.path(), &[&args[..], &["--strict"]].concat());
    assert_eq!((code, table.as_str()), (1, ""));
    assert!(
        told.contains("2 records cannot be used, and --strict was asked for"),
        "{told}"
    );
}

#[test]
fn rows_that_could_mean_two_things_are_not_guessed() {
    let folder = folder("timestamp,total,errors,region\n1700000040,10,1,eu\n");
    let production = ["a.csv", "--policy", "policy.yaml", "--environment", "production"];
    let (_, table, told) = replay(folder.path(), &production);
    assert!(
        told.contains("has the SLOs \"availability\", \"other\""),
        "{told}"
    );
    assert!(told.contains("rows are added up over them: region"), "{told}");
    assert!(
        table.contains("0 minutes of counts, 1 records left out"),
        "{table}"
    );
    let (_, table, told) = replay(
        folder.path(),
        &[&production[..], &["--slo", "other", "--ignore", "region"]].concat(),
    );
    assert_eq!(told, "");
    assert!(table.contains("batch/other production"), "{table}");
    let (_, _, told) = replay(
        folder.path(),
        &["a.csv", "--policy", "policy.yaml", "--slo", "other"],
    );
    assert!(told.contains("no policy covers service \"batch\""), "{told}");
    let (_, _, told) = replay(
        folder.path(),
        &[
            "a.csv",
            "--policy",
            "policy.yaml",
            "--service",
            "x",
            "--slo",
            "other",
        ],
    );
    assert!(told.contains("service \"x\""), "{told}");
}

#[test]
fn what_cannot_work_is_refused_with_its_code() {
    let folder = folder("timestamp,count,errors\n1700000040,10,1\n");
    std::fs::write(
        folder.path().join("wrong.yaml"),
        "service: a\nslos: [ { name: x, target: 101% } ]\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("a.txt"), "").unwrap();
    std::fs::write(folder.path().join("empty.jsonl"), "\n").unwrap();
    for (args, code, words) in [
        (&["a.txt"][..], 64, "the name says nothing of the format"),
        (&["missing.csv"], 1, "missing.csv: No such file"),
        (&["."], 64, "the name says nothing of the format"),
        (
            &["a.csv", "--policy", "policy.yaml"],
            1,
            "no column \"total\" among timestamp, count, errors; --total-col",
        ),
        (
            &["a.csv", "--total-col", "count", "--policy", "wrong.yaml"],
            64,
            "101%",
        ),
        (
            &["a.csv", "--total-col", "count", "--policy", "none.yaml"],
            64,
            "none.yaml",
        ),
        (
            &["empty.jsonl", "--policy", "policy.yaml"],
            1,
            "nothing to replay",
        ),
        (&[], 64, "required"),
        (&["a.csv", "--budgets-every", "often"], 64, "is no time"),
    ] {
        let (got, out, told) = replay(folder.path(), args);
        assert_eq!((got, out.as_str()), (code, ""), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
}
