//! The rule by evidence from outside: who is switched, who is not, and what `why` says of both.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests wait in real time")]

mod kill_support;
mod support;

use kill_support::double::Double;
use kill_support::shop::{bad, good, send, send_of};
use kill_support::{House, assert_says_no, decided, decisions};
use std::time::Duration;
use support::{Gateway, Setup, block_on, client, eventually, sample};

const SOON: Duration = Duration::from_mins(1);

const POLICY: &str = "
service: checkout
environment: production
window: 30d
slos:
  - { name: availability, target: 99.9% }
kill_switches:
  - { flag: new-checkout, exporter: webhook, mode: auto, when: { burn_above: 7, window: 5m, for: 2s } }
  - { flag: dark-mode, exporter: webhook, mode: auto, when: { burn_above: 7, window: 5m, for: 2s } }
";

#[test]
fn the_flag_that_is_to_blame_is_switched_and_its_companion_is_told_why_not() {
    let double = Double::content();
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ], evidence: { alpha: 10% } }".into(),
        exporters: format!("  webhook: {{ url: \"{}\" }}", double.url("/flags/disable")),
        decisions: vec!["webhook".into()],
        ..Setup::default()
    };
    let house = House::new(&setup, POLICY);
    let gateway = house.start(&[]);
    let nothing = gateway.api("/api/v1/why?flag=nobody");
    assert!(
        nothing["told"][0]
            .as_str()
            .unwrap()
            .contains("no policy names the flag \"nobody\""),
        "{nothing}"
    );
    let unseen = gateway.api("/api/v1/why?flag=dark-mode");
    assert!(
        unseen["told"][0]
            .as_str()
            .unwrap()
            .contains("no request with a variant"),
        "{unseen}"
    );

    let elsewhere = gateway.api("/api/v1/why?flag=dark-mode&environment=staging");
    let words = "no policy names the flag \"dark-mode\" in the environment \"staging\"";
    assert!(
        elsewhere["told"][0].as_str().unwrap().contains(words),
        "{elsewhere}"
    );

    // Both burn; the bad requests are those with the one flag, and half of them have the other too.
    let traffic = [
        good(150, &[]),
        good(150, &["dark-mode"]),
        good(40, &["new-checkout"]),
        bad(10, &["new-checkout"]),
        good(40, &["new-checkout", "dark-mode"]),
        bad(10, &["new-checkout", "dark-mode"]),
    ];
    let began = std::time::Instant::now();
    let decision = loop {
        send(&gateway, &traffic);
        std::thread::sleep(Duration::from_secs(2));
        if !decisions(&gateway, "new-checkout").is_empty() {
            break decided(&gateway, "new-checkout", "confirmed", SOON);
        }
        assert!(
            began.elapsed() < SOON,
            "{}",
            gateway.api("/api/v1/why?flag=new-checkout")
        );
    };
    assert_eq!(double.calls().len(), 1);
    let proof = &decision["evidence"]["proof"];
    let number = |key: &str| proof[key].as_f64().unwrap();
    assert!(number("log_e") >= number("kill_bound"), "{proof}");
    assert_eq!(proof["class"], "concurrent");
    assert!(
        number("treated_bad") >= 20.0 && number("control_bad").abs() < 0.5,
        "{proof}"
    );

    let why = gateway.api("/api/v1/why?flag=dark-mode");
    let ruling = &why["rulings"][0];
    assert_eq!(
        (&ruling["verdict"], &ruling["variant"]),
        (&"hold".into(), &"on".into()),
        "{why}"
    );
    assert!(
        ruling["reasons"].as_array().unwrap().contains(&"evidence".into()),
        "{why}"
    );
    assert!(
        ruling["windows"][0]["bad"].as_u64().unwrap() >= 10,
        "it burns: {why}"
    );
    assert!(decisions(&gateway, "dark-mode").is_empty());
    eventually("the decision is told", SOON, || {
        let why = gateway.api("/api/v1/why?flag=new-checkout&service=checkout");
        let told = why["told"][0].as_str().unwrap_or_default().to_owned();
        (told.contains("was decided at") && told.contains("confirmed")).then_some(())
    });
    // It burns on, and the rule still holds: what is told is what keeps the next decision back.
    let kept = eventually("the rule holds again", SOON, || {
        send(&gateway, &traffic);
        std::thread::sleep(Duration::from_secs(1));
        let why = gateway.api("/api/v1/why?flag=new-checkout");
        (why["rulings"][0]["verdict"] == "kill").then_some(why)
    });
    let told = kept["told"].as_array().unwrap().last().unwrap().as_str().unwrap();
    assert!(
        told.contains("is not switched now (cooldown: decision "),
        "{kept}"
    );
    assert_eq!(
        kept["rulings"][0]["reasons"],
        serde_json::json!(["cooldown"]),
        "{kept}"
    );
}

/// Tells of a change; the status and the answer.
fn tell(gateway: &Gateway, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    block_on(async {
        let mut request = client().post(gateway.url("api", "/api/v1/flags/changes"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

const KEYS: [(&str, &str); 2] = [("CHANGES", "canary-5f2e9-changes"), ("KEY", "canary-5f2e9-key")];
const TOKEN: [(&str, &str); 1] = [("authorization", "Bearer canary-5f2e9-changes")];

/// A gateway that watches only, and that may be told of changes.
fn with_door() -> House {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        exporters: "  webhook: { url: 'http://127.0.0.1:9/flags' }".into(),
        decisions: vec!["webhook".into()],
        ..Setup::default()
    };
    let house = House::new(&setup, &POLICY.replace("mode: auto", "mode: observe"));
    let file = house.dir.path().join("gateway.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let door = "api: { endpoint: 127.0.0.1:0, flag_changes: { token: \"${env:CHANGES}\", signing_key: \"${env:KEY}\" } }";
    std::fs::write(&file, yaml.replace("api: { endpoint: 127.0.0.1:0 }", door)).unwrap();
    house
}

#[test]
fn a_webhook_of_a_flag_service_begins_evidence_anew() {
    let house = with_door();
    let gateway = house.start(&KEYS);
    send(
        &gateway,
        &[
            good(150, &[]),
            good(45, &["new-checkout"]),
            bad(5, &["new-checkout"]),
        ],
    );
    let proof = |flag: &str| {
        let why = gateway.api(&format!("/api/v1/why?flag={flag}"));
        why["rulings"][0]["proof"].clone()
    };
    eventually("evidence", SOON, || {
        (proof("new-checkout")["epoch_cause"] == "seen").then_some(())
    });
    let token = TOKEN;
    for (headers, body, status, words) in [
        (&[][..], "{}", 401, "expected the header"),
        (
            &[("authorization", "Bearer canary-5f2e9-guess")],
            "{}",
            401,
            "expected the header",
        ),
        (&[("x-ld-signature", "00")], "{}", 401, "expected the header"),
        (&token, "{", 400, "no JSON"),
        (&token, "{}", 400, "expected a webhook of LaunchDarkly"),
        (
            &token,
            r#"{"flag":"unknown","environment":"production"}"#,
            202,
            r#""noted":[]"#,
        ),
        (
            &token,
            r#"{"flag":"new-checkout","environment":"development"}"#,
            202,
            r#""noted":[]"#,
        ),
        (&token, &"x".repeat((1 << 20) + 1), 413, "length limit"),
    ] {
        let (got, said) = tell(&gateway, headers, body);
        assert_eq!(got, status, "{body:.80}: {said}");
        assert!(said.contains(words), "{body:.80}: {said}");
    }
    assert_eq!(
        proof("new-checkout")["epoch_cause"],
        "seen",
        "none of these changed anything"
    );
    let unleash = r#"{"id":7,"type":"feature-environment-enabled","createdBy":"ann","createdAt":"2026-01-01T00:00:00Z","data":null,
        "featureName":"new-checkout","project":"default","environment":"production"}"#;
    assert_eq!(tell(&gateway, &token, unleash).0, 202);
    let now = tell(
        &gateway,
        &token,
        r#"{"flag":"new-checkout","environment":"production","at":"2999-01-01T00:00:00Z"}"#,
    );
    assert_eq!(now.0, 202, "{}", now.1);
    assert!(!now.1.contains("2999"), "what is still to come is now: {}", now.1);
    eventually("another epoch", SOON, || {
        send(&gateway, &[good(30, &[]), good(10, &["new-checkout"])]);
        let proof = proof("new-checkout");
        (proof["epoch_cause"] == "changed").then_some(())
    });
    let page = gateway.metrics();
    for (sender, outcome, want) in [
        ("unleash", "noted", 1.0),
        ("plain", "noted", 1.0),
        ("plain", "ignored", 2.0),
        ("none", "refused", 6.0),
    ] {
        let labels = [("sender", sender), ("outcome", outcome)];
        assert_eq!(
            sample(&page, "burngate_flag_changes_total", &labels),
            Some(want),
            "{labels:?}"
        );
    }
    assert_says_no(&gateway, "canary-5f2e9");
}

#[test]
fn a_change_that_only_a_webhook_told_of_outlives_a_crash() {
    let house = with_door();
    let gateway = house.start(&KEYS);
    let traffic = [
        good(150, &[]),
        good(45, &["new-checkout"]),
        bad(5, &["new-checkout"]),
    ];
    send(&gateway, &traffic);
    let proof = |gateway: &Gateway| {
        let why = gateway.api("/api/v1/why?flag=new-checkout");
        why["rulings"][0]["proof"].clone()
    };
    eventually("evidence", SOON, || {
        (proof(&gateway)["epoch_cause"] == "seen").then_some(())
    });
    // The answer is the promise: nothing is waited for between it and the crash.
    let change = r#"{"flag":"new-checkout","environment":"production"}"#;
    let (status, said) = tell(&gateway, &TOKEN, change);
    assert_eq!(status, 202, "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let changed_at = said["noted"][0]["at"].as_str().unwrap();
    let kept = sample(&gateway.metrics(), "burngate_flag_changes_kept", &[]);
    assert_eq!(kept, Some(1.0));
    gateway.kill9();

    let gateway = house.start(&KEYS);
    let proof = eventually("evidence after the crash", SOON, || {
        send(&gateway, &traffic);
        let proof = proof(&gateway);
        (proof["treated_bad"].as_u64()? > 0).then_some(proof)
    });
    assert_eq!(
        (&proof["epoch_cause"], proof["epoch_since"].as_str()),
        (&"changed".into(), Some(changed_at)),
        "{proof}"
    );
}

const ROLLBACK: &str = "
service: checkout
environment: production
window: 30d
slos:
  - { name: availability, target: 99.9% }
deployments:
  - { exporter: webhook, action: rollback, mode: auto, when: { burn_above: 7, window: 5m, for: 2s } }
";

#[test]
fn a_bad_version_among_healthy_ones_is_called_out_once_for_a_rollback() {
    let double = Double::content();
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        exporters: format!("  webhook: {{ url: \"{}\" }}", double.url("/deployments")),
        decisions: vec!["webhook".into()],
        ..Setup::default()
    };
    let house = House::new(&setup, ROLLBACK);
    let gateway = house.start(&[]);
    // The oldest version is never blamed, so it must have been seen first.
    send_of(&gateway, "stable", &[good(300, &[])]);
    eventually("the version is counted", SOON, || {
        let budgets = gateway.api("/api/v1/budgets").to_string();
        budgets.contains("checkout").then_some(())
    });
    let began = std::time::Instant::now();
    while double.calls().is_empty() {
        send_of(&gateway, "stable", &[good(300, &[])]);
        send_of(&gateway, "healthy", &[good(40, &[])]);
        send_of(&gateway, "broken", &[good(30, &[]), bad(10, &[])]);
        std::thread::sleep(Duration::from_secs(2));
        assert!(began.elapsed() < SOON, "{}", gateway.api("/api/v1/why"));
    }
    let call = double.calls().remove(0);
    let told = call.body;
    assert!(told.contains("rollback") && told.contains("broken"), "{told}");
    assert!(!told.contains("healthy"), "{told}");
    eventually("it is on record", SOON, || {
        let all = gateway.api("/api/v1/decisions");
        let first = all["decisions"].as_array()?.first()?.clone();
        (first["state"] == "confirmed" && first["action"] == "rollback").then_some(())
    });
    assert_eq!(double.calls().len(), 1);
}
