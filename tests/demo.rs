//! `burngate demo` from outside: it passes, it says so, it leaves nothing behind, and it can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a real process in real time")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Starts the demo with its temporary folders in `tmp`.
fn start(tmp: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_burngate"))
        .arg("demo")
        .args(args)
        .env("TMPDIR", tmp)
        // What a user's terminal may have set for other services must not reach the shop.
        .env("OTEL_TRACES_SAMPLER", "always_off")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=other")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn leftovers(tmp: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(tmp).unwrap();
    entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn the_guilty_flag_and_no_other_is_switched_off_within_90_seconds() {
    let tmp = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = start(tmp.path(), &["--plain"]).wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(began.elapsed() < Duration::from_secs(90), "{said}");
    assert!(
        said.contains("PASSED: new-checkout alone was switched off"),
        "{said}"
    );
    for innocent in ["express-pay", "fast-search", "dark-mode"] {
        assert!(said.contains(&format!("left on   {innocent}")), "{said}");
    }
    assert_eq!(leftovers(tmp.path()), Vec::<String>::new());
}

#[test]
fn without_time_for_a_kill_it_fails_and_says_why() {
    let tmp = tempfile::tempdir().unwrap();
    let output = start(tmp.path(), &["--plain", "--seconds", "20"])
        .wait_with_output()
        .unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED: no flag was switched off"), "{said}");
    assert_eq!(leftovers(tmp.path()), Vec::<String>::new());
}

#[test]
fn an_interrupted_demo_cleans_up_and_does_not_pass() {
    let tmp = tempfile::tempdir().unwrap();
    let child = start(tmp.path(), &[]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(leftovers(tmp.path()).len(), 1, "it works in one folder");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAILED: it was interrupted"), "{said}");
    assert_eq!(leftovers(tmp.path()), Vec::<String>::new());
}

#[test]
fn its_configuration_is_an_example_that_validates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_burngate"))
        .args(["validate", "--config", "config/demo/gateway.yaml"])
        .env("DEMO_FLAG_SERVICE", "http://127.0.0.1:8080/flags/disable")
        .env("DEMO_FLAG_TOKEN", "secret-1")
        .env("DEMO_DATA_DIR", "data")
        .current_dir(root)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!said(&output).contains("secret-1"));
}
