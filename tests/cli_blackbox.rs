//! The binary from outside: exit codes, what goes to which stream.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

fn burngate(args: &[&str], env: &[(&str, &str)]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burngate"));
    for name in [
        "BURNGATE_CONFIG",
        "BURNGATE_DATA_DIR",
        "RUST_LOG",
        "UNLEASH_TOKEN",
    ] {
        command.env_remove(name);
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = command
        .args(args)
        .envs(env.iter().copied())
        .current_dir(dir)
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn help_teaches_the_first_steps() {
    let help = burngate(&["--help"], &[]);
    assert_eq!(help.code, Some(0));
    for expected in [
        "run",
        "validate",
        "demo",
        "--config",
        "--data-dir",
        "BURNGATE_CONFIG",
        "4317",
        "4318",
        "9464",
        "8055",
        "13133",
        "/api/v1/budgets",
        "/metrics",
        "Exit codes",
    ] {
        assert!(help.out.contains(expected), "{expected} is not in\n{}", help.out);
    }
    let version = burngate(&["--version"], &[]);
    assert_eq!(
        (version.code, version.out.trim()),
        (Some(0), concat!("burngate ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn validate_says_what_a_configuration_comes_to() {
    let built_in = burngate(&["validate"], &[]);
    assert_eq!(built_in.code, Some(0), "{}", built_in.err);
    assert!(
        built_in.out.starts_with("built-in gateway.yaml: ok\n"),
        "{}",
        built_in.out
    );
    for (name, expected) in [
        ("sidecar", "gRPC on 127.0.0.1:4317"),
        ("central-gateway", "1 (objectives: 2, kill switches: 1)"),
    ] {
        let path = format!("config/examples/{name}.yaml");
        let answer = burngate(&["validate", "--config", &path], &[("UNLEASH_TOKEN", "s3cret")]);
        assert_eq!(answer.code, Some(0), "{name}: {}", answer.err);
        assert!(answer.out.contains(expected), "{name}: {}", answer.out);
        assert!(
            !answer.out.contains("s3cret") && !answer.err.contains("s3cret"),
            "{name}"
        );
    }
}

#[test]
fn the_environment_names_the_file_too() {
    let answer = burngate(
        &["validate"],
        &[("BURNGATE_CONFIG", "config/examples/sidecar.yaml")],
    );
    assert!(
        answer.out.starts_with("config/examples/sidecar.yaml: ok\n"),
        "{}{}",
        answer.out,
        answer.err
    );
    let bare = burngate(
        &["--version"],
        &[("BURNGATE_CONFIG", "config/examples/sidecar.yaml")],
    );
    assert_eq!(bare.code, Some(0));
}

#[test]
fn a_wrong_file_exits_with_64_before_anything_starts() {
    let (_dir, path) = file("receivers:\n  otlp:\n    protocolls:\n      grpc:\nservice: {}\n");
    for command in [&["validate", "-c"][..], &["run", "-c"], &["--config"]] {
        let answer = burngate(&[command, &[path.as_str()]].concat(), &[]);
        assert_eq!(answer.code, Some(64), "{command:?}: {}", answer.err);
        let expected =
            format!("{path}:3:5: receivers.otlp.protocolls: unknown key; did you mean `protocols`?");
        assert!(answer.err.contains(&expected), "{}", answer.err);
        assert!(
            answer.err.contains("nothing was started") && answer.out.is_empty(),
            "{}",
            answer.err
        );
    }
    let unset = burngate(&["validate", "-c", "config/examples/central-gateway.yaml"], &[]);
    assert_eq!(unset.code, Some(64));
    assert!(
        unset
            .err
            .contains("the environment variable UNLEASH_TOKEN is not set"),
        "{}",
        unset.err
    );
    let missing = burngate(&["run", "-c", "/nope/gateway.yaml"], &[]);
    assert_eq!(missing.code, Some(64));
    assert!(
        missing.err.starts_with("/nope/gateway.yaml: cannot read it: "),
        "{}",
        missing.err
    );
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    for args in [
        &["rnu"][..],
        &["run", "--cfg", "x"],
        &["validate", "extra"],
        &["demo", "--seconds", "1"],
        &["run", "-c"],
    ] {
        let answer = burngate(args, &[]);
        assert_eq!(answer.code, Some(64), "{args:?}: {}{}", answer.out, answer.err);
        assert!(
            answer.err.contains("error:") && answer.out.is_empty(),
            "{args:?}: {}",
            answer.err
        );
    }
}

#[test]
fn a_policy_that_cannot_work_is_refused_with_64() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    let gateway = dir.path().join("gateway.yaml");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(root.join("config/gateway.yaml"), &gateway).unwrap();
    let policy = std::fs::read_to_string(root.join("config/examples/policies/checkout.yaml")).unwrap();
    let gateway = gateway.to_str().unwrap();
    let validate = |policy: &str| {
        std::fs::write(dir.path().join("policies/checkout.yaml"), policy).unwrap();
        burngate(&["validate", "--config", gateway], &[])
    };
    // gateway.yaml has no exporter for decisions, the policy's kill switch names one.
    let answer = validate(&policy);
    assert_eq!(answer.code, Some(64), "{}", answer.out);
    assert!(
        answer.err.contains("policies/checkout.yaml:") && answer.err.contains("unleash"),
        "{}",
        answer.err
    );
    let answer = validate(&policy.replace("target: 99%", "tarrget: 99%"));
    assert_eq!(answer.code, Some(64), "{}", answer.out);
    assert!(answer.err.contains("did you mean \"target\"?"), "{}", answer.err);
    let (slos, _) = policy.split_once("kill_switches:").unwrap();
    let answer = validate(slos);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(
        answer.out.contains("1 (objectives: 2, kill switches: 0)"),
        "{}",
        answer.out
    );
}
