//! A flag that was killed comes back a little at a time, in a real Unleash, and goes off again when it burns:
//! the real binary, real requests, and a restart between two steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs
)]

mod kill_support;
mod support;

use kill_support::shop::{bad, good, send};
use kill_support::unleash::Unleash;
use kill_support::{House, decisions};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Gateway, Setup, eventually};

const SOON: Duration = Duration::from_secs(90);
const FLAG: &str = "new-checkout";

const POLICY: &str = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.9% }]
kill_switches:
  - flag: new-checkout
    exporter: unleash
    attribution: off
    mode: auto
    when: { burn_above: 7, window: 10s, for: 1s, contrast: 2 }
    probation: { steps: [1%, 5%, 25%], every: 5s, after: 5s }
";

/// On in production for everybody, by one strategy that has a share.
fn make_flag(unleash: &Unleash) {
    let features = "/projects/default/features";
    unleash.admin("POST", features, Some(json!({ "name": FLAG, "type": "release" })));
    let parameters = json!({ "rollout": "100", "stickiness": "default", "groupId": FLAG });
    let strategy = json!({ "name": "flexibleRollout", "parameters": parameters });
    let strategies = format!("{features}/{FLAG}/environments/production/strategies");
    unleash.admin("POST", &strategies, Some(strategy));
    unleash.switch_on(FLAG, "production");
}

/// On, and the share of its one strategy.
fn stands(unleash: &Unleash) -> (bool, String) {
    let at = format!("/projects/default/features/{FLAG}/environments/production");
    let view = unleash.admin("GET", &at, None);
    let strategies = view["strategies"].as_array().unwrap();
    assert_eq!(strategies.len(), 1, "Unleash has added one by itself: {view}");
    let share = strategies[0]["parameters"]["rollout"].as_str().unwrap();
    (view["enabled"].as_bool().unwrap(), share.to_owned())
}

/// Requests of a shop that has the flag where Unleash says so; of those with it so many in a hundred fail.
fn shop(gateway: &Gateway, unleash: &Unleash, failing: usize) {
    let with = if unleash.is_on(FLAG, "production") { 100 } else { 0 };
    let fail = failing.min(with);
    send(
        gateway,
        &[good(200, &[]), good(with - fail, &[FLAG]), bad(fail, &[FLAG])],
    );
}

fn newest(gateway: &Gateway) -> Value {
    decisions(gateway, FLAG).into_iter().next().unwrap_or_default()
}

/// Waits for a decision that does `action` and has come to `phase`, with traffic meanwhile.
fn until(gateway: &Gateway, unleash: &Unleash, (action, phase): (&str, &str), failing: usize) -> Value {
    eventually(&format!("`{action}` in {phase}"), SOON, || {
        shop(gateway, unleash, failing);
        let all = decisions(gateway, FLAG);
        all.into_iter()
            .find(|d| d["action"] == action && d["phase"] == phase)
    })
}

#[test]
fn a_killed_flag_comes_back_in_steps_over_a_restart_and_goes_off_when_it_burns() {
    let Some(unleash) = Unleash::start() else { return };
    let error_budget = "{ policies: [ policies/*.yaml ], decision_cooldown: 1s, \
                        kill: { propagation: 3s, watch_interval: 1s } }";
    let setup = Setup {
        error_budget: error_budget.into(),
        exporters: format!(
            "  unleash: {{ endpoint: \"{}\", token: \"${{env:UNLEASH_TOKEN}}\" }}",
            unleash.url()
        ),
        decisions: vec!["unleash".into()],
        ..Setup::default()
    };
    make_flag(&unleash);
    let token = unleash.var("UNLEASH_ADMIN_TOKEN").to_owned();
    let env = [("UNLEASH_TOKEN", token.as_str())];
    let house = House::new(&setup, POLICY);
    let mut gateway = house.start(&env);
    let killed = until(&gateway, &unleash, ("off", "closed"), 25);
    assert_eq!(
        (killed["by"].as_str(), killed["state"].as_str()),
        (Some(""), Some("confirmed"))
    );
    assert_eq!(stands(&unleash), (false, "100".to_owned()));

    let first = until(&gateway, &unleash, ("on for 1 %, on probation", "probation"), 0);
    assert_eq!(stands(&unleash), (true, "1".to_owned()));
    assert_eq!(first["by"], "probation");
    let of = first["by_reason"].as_str().unwrap();
    assert!(of.contains(killed["id"].as_str().unwrap()), "{first}");
    // A restart on probation begins the watch anew, and forgets nothing else.
    assert!(gateway.stop().success());
    drop(gateway);
    let gateway = house.start(&env);
    until(&gateway, &unleash, ("on for 5 %, on probation", "probation"), 0);
    assert_eq!(stands(&unleash), (true, "5".to_owned()));

    // The variant fails again: off, at once, and nothing is tried after that.
    let back = eventually("the flag is taken back", SOON, || {
        shop(&gateway, &unleash, 40);
        Some(newest(&gateway)).filter(|d| d["action"] == "off" && d["state"] == "confirmed")
    });
    assert_eq!(back["by"], "probation", "{back}");
    assert!(!stands(&unleash).0);
    let all = decisions(&gateway, FLAG);
    let withdrawn = all
        .iter()
        .find(|d| d["action"] == "on for 5 %, on probation")
        .unwrap();
    assert!(
        withdrawn["history"].to_string().contains("the variant burns at"),
        "{withdrawn}"
    );
    eventually("the end of it", SOON, || {
        shop(&gateway, &unleash, 0);
        (newest(&gateway)["phase"] == "closed").then_some(())
    });
    let calm = std::time::Instant::now();
    while calm.elapsed() < Duration::from_secs(7) {
        shop(&gateway, &unleash, 0);
        std::thread::sleep(Duration::from_millis(200));
    }
    let actions: Vec<String> = decisions(&gateway, FLAG)
        .iter()
        .rev()
        .map(|d| d["action"].as_str().unwrap().to_owned())
        .collect();
    let steps = [
        "off",
        "on for 1 %, on probation",
        "on for 5 %, on probation",
        "off",
    ];
    assert_eq!(actions, steps, "one try");
    assert_eq!(unleash.off_events(FLAG).len(), 2);
}
