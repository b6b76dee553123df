//! The rule by evidence from outside: who is switched, who is not, and what `why` says of both.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests wait in real time")]

mod kill_support;
mod support;

use kill_support::double::Double;
use kill_support::shop::{bad, good, send, send_of};
use kill_support::{House, decided, decisions};
use std::time::Duration;
use support::{Setup, eventually};

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
