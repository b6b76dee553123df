//! A hand on a flag from outside: kill, release, approve, reject; and what becomes of a kill afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod kill_support;
mod support;

use kill_support::double::Double;
use kill_support::shop::{Requests, bad, good, send};
use kill_support::{CANARY, House, assert_says_no, decided, decisions};
use std::process::{Command, Output};
use std::time::Duration;
use support::{Gateway, Setup, eventually};

const SOON: Duration = Duration::from_secs(20);
const ENV: [(&str, &str); 3] = [
    ("FLAGS_TOKEN", "canary-5f2e9-webhook"),
    ("ANN_TOKEN", "canary-5f2e9-ann"),
    ("PLAIN_TOKEN", "canary-5f2e9-plain"),
];

fn house(double: &Double, kill: &str, mode: &str) -> House {
    let setup = Setup {
        error_budget: format!(
            "{{ policies: [ policies/*.yaml ], kill: {{ {kill} }}, guards: {{ never_kill: [ sec-* ] }} }}"
        ),
        exporters: format!(
            "  webhook: {{ url: \"{}\", token: \"${{env:FLAGS_TOKEN}}\" }}",
            double.url("/flags/disable")
        ),
        decisions: vec!["webhook".into()],
        ..Setup::default()
    };
    let rule = format!(
        "exporter: webhook, attribution: off, mode: {mode}, when: {{ burn_above: 7, window: 5m, for: 2s, contrast: 2 }}"
    );
    let policy = format!(
        "service: checkout\nenvironment: production\nwindow: 30d\nslos:\n  - {{ name: availability, target: 99.9% }}\n\
         kill_switches:\n  - {{ flag: new-checkout, {rule} }}\n  - {{ flag: other, {rule} }}\n  - {{ flag: sec-login, {rule} }}\n"
    );
    let house = House::new(&setup, &policy);
    let file = house.dir.path().join("gateway.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let api = "api: { endpoint: 127.0.0.1:0, token: \"${env:PLAIN_TOKEN}\", admins: { ann: \"${env:ANN_TOKEN}\" } }";
    let with_admins = yaml.replace("api: { endpoint: 127.0.0.1:0 }", api);
    assert_ne!(yaml, with_admins);
    std::fs::write(file, with_admins).unwrap();
    house
}

/// Runs a command against the gateway with this token.
fn hand(gateway: &Gateway, token: &str, args: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_burngate"))
        .args(args)
        .args(["--api", &gateway.url("api", "")])
        .env("BURNGATE_ADMIN_TOKEN", token)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(!told.contains(CANARY), "{told}");
    (status.code().unwrap(), told)
}

const ANN: &str = "canary-5f2e9-ann";

/// Requests with the flag fail one time in four, the others never.
fn guilty<'a>() -> [Requests<'a>; 3] {
    [
        good(300, &[]),
        good(75, &["new-checkout"]),
        bad(25, &["new-checkout"]),
    ]
}

#[test]
fn a_flag_of_a_policy_goes_off_by_hand_and_is_released_and_everything_is_on_record() {
    let double = Double::content();
    let house = house(&double, "enabled: false", "observe");
    let gateway = house.start(&ENV);
    let kill = ["kill", "--flag", "new-checkout", "--reason", "it hurts"];
    for (token, args, code, words) in [
        ("", &kill[..], 64, "no token"),
        ("canary-5f2e9-guess", &kill, 1, "401"),
        ("canary-5f2e9-plain", &kill, 1, "403"),
        (
            ANN,
            &["kill", "--flag", "security", "--reason", "x"],
            64,
            "no policy has a kill switch",
        ),
        (
            ANN,
            &["kill", "--flag", "sec-login", "--reason", "it hurts"],
            1,
            "403 Forbidden: flag sec-login is held by guards.never_kill",
        ),
        (
            ANN,
            &["kill", "--flag", "new-checkout", "--reason", " "],
            64,
            "reason is empty",
        ),
        (
            ANN,
            &["release", "--flag", "new-checkout", "--reason", "x"],
            64,
            "no decision about flag",
        ),
        (ANN, &["approve", "no/../such"], 64, "is no id"),
    ] {
        let (exit, told) = hand(&gateway, token, args);
        assert_eq!(exit, code, "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
    assert!(double.calls().is_empty(), "{:?}", double.calls());

    let (exit, told) = hand(&gateway, ANN, &kill);
    assert_eq!(exit, 0, "{told}");
    assert!(
        told.contains("new-checkout at webhook in production: off"),
        "{told}"
    );
    assert_eq!(double.calls().len(), 1, "no rule may, and a person may");
    let decision = decisions(&gateway, "new-checkout").remove(0);
    assert_eq!(
        (
            &decision["state"],
            &decision["by"],
            &decision["by_reason"],
            &decision["action"]
        ),
        (
            &"confirmed".into(),
            &"ann".into(),
            &"it hurts".into(),
            &"off".into()
        )
    );
    // What is over is not approved of, and not twice released.
    let id = decision["id"].as_str().unwrap();
    let (exit, told) = hand(&gateway, ANN, &["approve", id]);
    assert_eq!(exit, 1, "{told}");
    assert!(told.contains("not a proposal"), "{told}");
    let release = ["release", "--flag", "new-checkout", "--reason", "fixed"];
    assert_eq!(hand(&gateway, ANN, &release).0, 0);
    let (exit, told) = hand(&gateway, ANN, &release);
    assert!(exit == 1 && told.contains("nothing to release"), "{told}");

    // After a crash it is still known, and a second kill is a second decision.
    gateway.kill9();
    let gateway = house.start(&ENV);
    let decision = decisions(&gateway, "new-checkout").remove(0);
    assert_eq!(decision["phase"], "closed");
    assert!(decision["history"].to_string().contains("released by ann: fixed"));
    let (exit, told) = hand(&gateway, ANN, &kill);
    assert_eq!(exit, 0, "{told}");
    assert_eq!(
        (double.calls().len(), decisions(&gateway, "new-checkout").len()),
        (2, 2)
    );
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}

#[test]
fn a_proposal_leaves_when_somebody_approves_and_not_before() {
    let double = Double::content();
    let house = house(&double, "", "propose");
    let gateway = house.start(&ENV);
    send(&gateway, &guilty());
    let proposed = decided(&gateway, "new-checkout", "proposed", SOON);
    assert!(proposed["expires_at"].is_string(), "{proposed}");
    std::thread::sleep(Duration::from_secs(2));
    assert!(double.calls().is_empty());
    let id = proposed["id"].as_str().unwrap();
    let (exit, told) = hand(&gateway, ANN, &["reject", id]);
    assert!(
        exit == 64 && told.contains("reason is empty"),
        "who says no says why: {told}"
    );
    let (exit, told) = hand(&gateway, ANN, &["approve", id]);
    assert_eq!(exit, 0, "{told}");
    assert_eq!(double.calls().len(), 1);
    let decision = decisions(&gateway, "new-checkout").remove(0);
    assert!(
        decision["history"].to_string().contains("approved by ann"),
        "{decision}"
    );
    assert_eq!(decision["id"], *id);
}

#[test]
fn a_switch_that_keeps_nobody_from_the_variant_is_escalated_and_nothing_else_is_switched() {
    let double = Double::content();
    let house = house(&double, "propagation: 2s, max_per_service: 10", "auto");
    let gateway = house.start(&ENV);
    send(&gateway, &guilty());
    decided(&gateway, "new-checkout", "confirmed", SOON);
    // The service goes on to serve it, and another flag begins to burn.
    let escalated = eventually("the escalation", Duration::from_secs(40), || {
        send(
            &gateway,
            &[
                good(300, &[]),
                good(75, &["new-checkout"]),
                bad(25, &["new-checkout"]),
                good(75, &["other"]),
                bad(25, &["other"]),
            ],
        );
        let decision = decisions(&gateway, "new-checkout").remove(0);
        (decision["phase"] == "escalated").then_some(decision)
    });
    assert_eq!(escalated["state"], "confirmed");
    let history = escalated["history"].to_string();
    assert!(
        history.contains("no effect: the variant is still served"),
        "{history}"
    );
    assert!(
        gateway.stderr().contains("a kill switch had no effect"),
        "{}",
        gateway.stderr()
    );
}
