//! The kill switch from outside, through a webhook: what leaves, when, how often, and what holds it back.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod kill_support;
mod support;

use hmac::{Hmac, KeyInit as _, Mac as _};
use kill_support::double::{Answer, Call, Double, unleash_like};
use kill_support::shop::{Requests, bad, good, send, slow};
use kill_support::unleash::now_secs;
use kill_support::{
    CANARY, House, assert_only, assert_recomputes, assert_says_no, decided, decisions, withheld,
};
use sha2::Sha256;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::{Gateway, Setup, eventually, sample};

/// A minute would be wrong by far; a loaded machine is not.
const SOON: Duration = Duration::from_secs(20);
const TOKEN: (&str, &str) = ("FLAGS_TOKEN", "canary-5f2e9-webhook");

/// The gateway of these tests: one exporter, `for: 2s`.
fn setup(exporter: &str) -> Setup {
    let id = exporter.split_once(": {").unwrap().0.to_owned();
    Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        exporters: format!("  {exporter}"),
        decisions: vec![id],
        ..Setup::default()
    }
}

fn webhook(double: &Double) -> Setup {
    setup(&format!(
        "webhook: {{ url: \"{}\", token: \"${{env:FLAGS_TOKEN}}\" }}",
        double.url("/flags/disable")
    ))
}

fn policy(switches: &[&str]) -> String {
    let slos = "slos:\n  - { name: availability, target: 99.9% }\n";
    policy_of(slos, switches)
}

fn policy_of(slos: &str, switches: &[&str]) -> String {
    let switches: Vec<String> = switches.iter().map(|s| format!("  - {{ {s} }}\n")).collect();
    let switches = switches.concat();
    format!("service: checkout\nenvironment: production\nwindow: 30d\n{slos}kill_switches:\n{switches}")
}

const RULE: &str = "exporter: webhook, attribution: off, mode: auto, when: { burn_above: 7, window: 5m, for: 2s, contrast: 2 }";

fn switch(flag: &str) -> String {
    format!("flag: {flag}, {RULE}")
}

/// Requests with the flag fail one time in four, the others never.
fn guilty<'a>() -> [Requests<'a>; 3] {
    [
        good(300, &[]),
        good(75, &["new-checkout"]),
        bad(25, &["new-checkout"]),
    ]
}

/// Holds that for some evaluations beyond the rule's `for` nothing was decided.
fn stays_quiet(gateway: &Gateway, double: &Double) {
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(
        gateway.api("/api/v1/decisions")["decisions"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert!(double.calls().is_empty(), "{:?}", double.calls());
}

#[test]
fn the_call_is_the_published_one_and_leaves_once() {
    let double = Double::content();
    let house = House::new(&webhook(&double), &policy(&[&switch("new-checkout")]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    let decision = decided(&gateway, "new-checkout", "confirmed", SOON);
    let calls = double.calls();
    let call = calls.first().unwrap();
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("POST", "/flags/disable")
    );
    assert_eq!(call.header("authorization"), "Bearer canary-5f2e9-webhook");
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(call.body, r#"{"flag":"new-checkout","reason":"burn-rate>7x/5m"}"#);
    assert_eq!(call.header("idempotency-key"), decision["id"].as_str().unwrap());
    assert_eq!(call.header("x-burngate-signature"), "", "no key, no signature");

    assert_recomputes(&decision, 0.001, 300);
    let evidence = &decision["evidence"];
    assert_eq!(
        (&evidence["window"]["good"], &evidence["window"]["bad"]),
        (&75.into(), &25.into())
    );
    assert_eq!(
        (&evidence["control_good"], &evidence["control_bad"]),
        (&300.into(), &0.into())
    );
    assert_eq!(
        (&evidence["sha"], &evidence["variant"]),
        (&"9fceb02".into(), &"on".into())
    );
    assert_eq!(
        (&evidence["service"], &evidence["slo"]),
        (&"checkout".into(), &"availability".into())
    );
    assert_eq!(decision["environment"], "production");
    assert_eq!(decision["verified"], false, "a webhook cannot be read back");

    // It burns on, in the window and in fact: still no second call.
    send(&gateway, &guilty());
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(double.calls().len(), 1);
    assert_eq!(decisions(&gateway, "new-checkout").len(), 1);
    assert!(withheld(&gateway, "new-checkout")[0].starts_with("cooldown: "));
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}

#[test]
fn the_signature_is_that_of_time_and_body() {
    let double = Double::content();
    let exporter = format!(
        "webhook/signed: {{ url: \"{}\", method: PUT, signing_key: \"${{env:FLAGS_TOKEN}}\", \
         headers: {{ x-team: \"${{env:FLAGS_TOKEN}}\" }}, body: '{{\"off\":\"{{{{flag}}}}\",\"burn\":{{{{burn}}}}}}' }}",
        double.url("/x")
    );
    let rule = switch("new-checkout").replace("webhook", "webhook/signed");
    let house = House::new(&setup(&exporter), &policy(&[&rule]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    decided(&gateway, "new-checkout", "confirmed", SOON);
    let call = &double.calls()[0];
    assert_eq!((call.method.as_str(), call.header("x-team")), ("PUT", TOKEN.1));
    assert_eq!(call.header("authorization"), "", "no token, no header");
    assert!(
        call.body.starts_with(r#"{"off":"new-checkout","burn":250"#),
        "{}",
        call.body
    );
    let (t, mac) = call.header("x-burngate-signature").split_once(",v1=").unwrap();
    let t = t.strip_prefix("t=").unwrap();
    assert!(
        (now_secs() - t.parse::<f64>().unwrap()).abs() < 60.0,
        "{t} is now"
    );
    let mut expected = Hmac::<Sha256>::new_from_slice(TOKEN.1.as_bytes()).unwrap();
    expected.update(format!("{t}.{}", call.body).as_bytes());
    assert_eq!(mac, hex::encode(expected.finalize().into_bytes()));
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}

#[test]
fn a_server_in_trouble_is_asked_again_with_the_same_key() {
    let asked = AtomicUsize::new(0);
    let double = Double::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::Say(503, format!(r#"{{"seen":"{}"}}"#, TOKEN.1)),
        1 => Answer::Say(429, String::new()),
        _ => Answer::Say(200, String::new()),
    });
    let house = House::new(&webhook(&double), &policy(&[&switch("new-checkout")]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    let decision = decided(&gateway, "new-checkout", "confirmed", SOON);
    std::thread::sleep(Duration::from_secs(3));
    let calls = double.calls();
    assert_eq!(calls.len(), 3, "503, 429, 200, and no more");
    let same = |call: &Call| (call.body.clone(), call.header("idempotency-key").to_owned());
    assert!(calls.iter().all(|call| same(call) == same(&calls[0])));
    let history = decision["history"].to_string();
    assert!(history.contains("503") && history.contains("429"), "{history}");
    // The server has said the token back to us; it stops here.
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}

#[test]
fn the_configuration_says_how_often_a_server_in_trouble_is_asked() {
    let double = Double::start(|_| Answer::Say(503, String::new()));
    let setup = Setup {
        error_budget:
            "{ policies: [ policies/*.yaml ], delivery: { initial_interval: 20ms, max_interval: 50ms, \
                       max_attempts: 3, breaker_failures: 100 } }"
                .into(),
        ..webhook(&double)
    };
    let house = House::new(&setup, &policy(&[&switch("new-checkout")]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    let decision = decided(&gateway, "new-checkout", "failed", SOON);
    assert_eq!(decision["failure"], "unreachable", "{decision}");
    assert_eq!(double.calls().len(), 3, "three attempts, and no more");
    let page = gateway.metrics();
    for metric in ["burngate_journal_rows", "burngate_decisions_known"] {
        assert_eq!(sample(&page, metric, &[]), Some(1.0), "{metric}");
    }
}

#[test]
fn observe_records_and_never_sends() {
    let double = Double::content();
    let rule = switch("new-checkout").replace("mode: auto, ", "");
    let house = House::new(&webhook(&double), &policy(&[&rule]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    let decision = decided(&gateway, "new-checkout", "observed", SOON);
    assert_recomputes(&decision, 0.001, 300);
    std::thread::sleep(Duration::from_secs(4));
    assert!(
        double.calls().is_empty(),
        "observe is the default, and sends nothing"
    );
    assert_eq!(
        decisions(&gateway, "new-checkout").len(),
        1,
        "one record, not one a second"
    );
}

#[test]
fn mode_off_records_nothing() {
    let double = Double::content();
    let rule = switch("new-checkout").replace("mode: auto", "mode: off");
    let house = House::new(&webhook(&double), &policy(&[&rule]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    stays_quiet(&gateway, &double);
    assert!(withheld(&gateway, "new-checkout").is_empty());
}

#[test]
fn a_slow_variant_is_switched_off_by_a_latency_slo() {
    let double = Double::content();
    let slos = "slos:\n  - { name: availability, target: 99.9% }\n  - name: latency\n    target: 99%\n    \
                sli: { spans: { kind: [ server ] }, faster_than: 250ms }\n";
    let house = House::new(&webhook(&double), &policy_of(slos, &[&switch("new-checkout")]));
    let gateway = house.start(&[TOKEN]);
    send(
        &gateway,
        &[
            good(300, &[]),
            good(75, &["new-checkout"]),
            slow(25, &["new-checkout"]),
        ],
    );
    let decision = decided(&gateway, "new-checkout", "confirmed", SOON);
    assert_eq!(decision["evidence"]["slo"], "latency");
    assert_recomputes(&decision, 0.01, 300);
    assert_eq!(double.calls().len(), 1);
}

#[test]
fn a_rule_that_names_another_slo_is_not_moved() {
    let double = Double::content();
    let slos = "slos:\n  - { name: availability, target: 99.9% }\n  - name: latency\n    target: 99%\n    \
                sli: { spans: { kind: [ server ] }, faster_than: 250ms }\n";
    let rule = switch("new-checkout").replace("mode: auto", "slo: availability, mode: auto");
    let house = House::new(&webhook(&double), &policy_of(slos, &[&rule]));
    let gateway = house.start(&[TOKEN]);
    send(
        &gateway,
        &[
            good(300, &[]),
            good(75, &["new-checkout"]),
            slow(25, &["new-checkout"]),
        ],
    );
    stays_quiet(&gateway, &double);
}

#[test]
fn a_neighbour_that_shares_the_failing_requests_stays() {
    let double = Double::content();
    let switches = [switch("fast-search"), switch("new-checkout")];
    let house = House::new(&webhook(&double), &policy(&[&switches[0], &switches[1]]));
    let gateway = house.start(&[TOKEN]);
    let both = ["fast-search", "new-checkout"];
    let (guilty, innocent) = (["new-checkout"], ["fast-search"]);
    send(
        &gateway,
        &[
            good(150, &[]),
            good(150, &innocent),
            good(120, &guilty),
            good(120, &both),
            bad(30, &guilty),
            bad(30, &both),
        ],
    );
    decided(&gateway, "new-checkout", "confirmed", SOON);
    let reason = eventually("the neighbour is held", SOON, || {
        withheld(&gateway, "fast-search").into_iter().next()
    });
    assert!(
        reason.starts_with("contrast: ") && reason.contains("1.00 times"),
        "{reason}"
    );
    std::thread::sleep(Duration::from_secs(3));
    assert!(decisions(&gateway, "fast-search").is_empty());
    assert_eq!(double.calls().len(), 1);
    let page = gateway.metrics();
    let confirmed = [("exporter", "webhook"), ("state", "confirmed")];
    assert_eq!(sample(&page, "burngate_decisions_total", &confirmed), Some(1.0));
}

#[test]
fn without_a_control_nothing_is_decided_and_the_record_says_so() {
    let double = Double::content();
    let rules = [
        switch("everywhere"),
        switch("for-all").replace("contrast: 2", "contrast: 1"),
    ];
    let house = House::new(&webhook(&double), &policy(&[&rules[0], &rules[1]]));
    let gateway = house.start(&[TOKEN]);
    let all = ["everywhere", "for-all"];
    send(&gateway, &[good(75, &all), bad(25, &all)]);
    let decision = decided(&gateway, "for-all", "confirmed", SOON);
    assert_eq!(
        decision["evidence"]["control_good"], 0,
        "contrast 1 asks for none"
    );
    let reason = eventually("the reason", SOON, || {
        withheld(&gateway, "everywhere").into_iter().next()
    });
    assert!(reason.starts_with("no_control: "), "{reason}");
    std::thread::sleep(Duration::from_secs(3));
    assert!(decisions(&gateway, "everywhere").is_empty());
    assert_eq!(double.calls().len(), 1);
    assert!(
        gateway.stderr().contains("decision withheld"),
        "{}",
        gateway.stderr()
    );
}

#[test]
fn the_variant_off_is_never_switched() {
    let double = Double::content();
    let house = House::new(&webhook(&double), &policy(&[&switch("new-checkout")]));
    let gateway = house.start(&[TOKEN]);
    // Who has not got the flag fails: the flag is the cure.
    send(
        &gateway,
        &[good(300, &["new-checkout"]), good(75, &[]), bad(25, &[])],
    );
    stays_quiet(&gateway, &double);
    let cohorts = gateway.api("/api/v1/cohorts?service=checkout&flag=new-checkout");
    let cohorts = cohorts["cohorts"].as_array().unwrap();
    let off = cohorts.iter().find(|c| c["variant"] == "off").unwrap();
    assert_eq!((&off["good_total"], &off["bad_total"]), (&75.into(), &25.into()));
}

#[test]
fn another_environment_and_another_service_are_not_the_policys() {
    let double = Double::content();
    let elsewhere =
        policy(&[&switch("new-checkout")]).replace("environment: production", "environment: staging");
    let house = House::new(&webhook(&double), &elsewhere);
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    stays_quiet(&gateway, &double);
}

#[test]
fn killed_before_the_answer_a_webhook_is_called_again_with_the_same_key() {
    let hang = AtomicBool::new(true);
    let double = Double::start(move |_| {
        if hang.swap(false, Ordering::Relaxed) {
            Answer::Hang
        } else {
            Answer::Say(200, String::new())
        }
    });
    let house = House::new(&webhook(&double), &policy(&[&switch("new-checkout")]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    eventually("the call", SOON, || (double.calls().len() == 1).then_some(()));
    gateway.kill9();
    let gateway = house.start(&[TOKEN]);
    let decision = decided(&gateway, "new-checkout", "confirmed", SOON);
    std::thread::sleep(Duration::from_secs(4));
    let calls = double.calls();
    assert_eq!(calls.len(), 2, "nobody can tell whether the first arrived");
    let same = |call: &Call| (call.body.clone(), call.header("idempotency-key").to_owned());
    assert_eq!(
        same(&calls[0]),
        same(&calls[1]),
        "the receiver can tell that it is one decision"
    );
    assert_eq!(decision["id"], calls[0].header("idempotency-key"));
    assert_eq!(decisions(&gateway, "new-checkout").len(), 1);
    // And once it is answered, a crash changes nothing.
    gateway.kill9();
    let gateway = house.start(&[TOKEN]);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(double.calls().len(), 2);
    assert_only(&gateway, "new-checkout", &decision);
}

#[test]
fn killed_before_the_answer_a_flag_that_is_off_is_not_switched_again() {
    // It takes effect, and the answer is never heard.
    let hang = AtomicBool::new(true);
    let double = Double::start(unleash_like(move |call| {
        (call.is_off() && hang.swap(false, Ordering::Relaxed)).then_some(Answer::Hang)
    }));
    let decision = crash_during_the_off(&double);
    assert_eq!(double.calls().iter().filter(|c| c.is_off()).count(), 1);
    assert_eq!(
        (&decision["verified"], &decision["already_off"]),
        (&true.into(), &false.into()),
        "{decision}"
    );
}

#[test]
fn killed_before_the_call_took_effect_the_flag_is_switched_after_the_restart() {
    // Nothing of the first call remains: the tag before it hangs, and it is the tag that the crash meets.
    let hang = AtomicBool::new(true);
    let double = Double::start(unleash_like(move |call| {
        (call.path.ends_with("/tags") && hang.swap(false, Ordering::Relaxed)).then_some(Answer::Hang)
    }));
    let decision = crash_during_the_off(&double);
    assert_eq!(double.calls().iter().filter(|c| c.is_off()).count(), 1);
    assert_eq!(
        (&decision["verified"], &decision["already_off"]),
        (&true.into(), &false.into()),
        "{decision}"
    );
}

/// kill -9 while a call hangs, restart, and the decision as it ended.
fn crash_during_the_off(double: &Double) -> serde_json::Value {
    let exporter = format!(
        "unleash: {{ endpoint: \"{}\", token: \"${{env:FLAGS_TOKEN}}\" }}",
        double.url("")
    );
    let rule = switch("new-checkout").replace("webhook", "unleash");
    let house = House::new(&setup(&exporter), &policy(&[&rule]));
    let gateway = house.start(&[TOKEN]);
    send(&gateway, &guilty());
    eventually("the call", SOON, || {
        double.calls().iter().any(|c| c.method == "POST").then_some(())
    });
    gateway.kill9();
    let gateway = house.start(&[TOKEN]);
    let decision = decided(&gateway, "new-checkout", "confirmed", SOON);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(decisions(&gateway, "new-checkout").len(), 1);
    assert!(
        gateway.stderr().contains("left unfinished"),
        "{}",
        gateway.stderr()
    );
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
    decided(&gateway, "new-checkout", "confirmed", SOON);
    decision
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_64() {
    let double = Double::content();
    let rule = switch("new-checkout");
    let refused = |setup: &Setup, policy: &str, env: &[(&str, &str)], wanted: &[&str]| {
        let said = House::new(setup, policy).try_start(env).map(|_| ()).unwrap_err();
        assert!(said.starts_with("exit status: 64"), "{said}");
        for part in wanted {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert!(
            !said.contains(" listening on ") && !said.contains(CANARY),
            "{said}"
        );
    };
    let good = policy(&[&rule]);
    let misspelt = good.replace("exporter: webhook", "exporter: webhok");
    refused(
        &webhook(&double),
        &misspelt,
        &[TOKEN],
        &["policies/checkout.yaml:", "webhok", "did you mean", "webhook"],
    );
    let nobody = Setup {
        exporters: String::new(),
        decisions: Vec::new(),
        ..webhook(&double)
    };
    refused(&nobody, &good, &[TOKEN], &["policies/checkout.yaml:", "webhook"]);
    for (value, words) in [("", "empty"), ("  ", "empty"), ("canary-5f2e9\nx", "line break")] {
        refused(
            &webhook(&double),
            &good,
            &[("FLAGS_TOKEN", value)],
            &["gateway.yaml:", "exporters.webhook.token", words],
        );
        let unleash = "unleash: { endpoint: \"http://127.0.0.1:1\", token: \"${env:FLAGS_TOKEN}\" }";
        let rule = policy(&[&rule.replace("webhook", "unleash")]);
        refused(
            &setup(unleash),
            &rule,
            &[("FLAGS_TOKEN", value)],
            &["gateway.yaml:", "exporters.unleash.token", words],
        );
    }
    refused(
        &webhook(&double),
        &good,
        &[],
        &["gateway.yaml:", "FLAGS_TOKEN is not set"],
    );
    let empty_file = House::new(&webhook(&double), &good);
    std::fs::write(empty_file.dir.path().join("token"), "\n").unwrap();
    let from_file = setup(&format!(
        "webhook: {{ url: \"{}\", token: \"${{file:token}}\" }}",
        double.url("/")
    ));
    std::fs::write(empty_file.dir.path().join("gateway.yaml"), from_file.yaml()).unwrap();
    let said = empty_file.try_start(&[]).map(|_| ()).unwrap_err();
    assert!(
        said.starts_with("exit status: 64") && said.contains("exporters.webhook.token"),
        "{said}"
    );
    assert!(double.calls().is_empty());
}

#[test]
fn a_token_may_come_from_a_file() {
    let double = Double::content();
    let from_file = setup(&format!(
        "webhook: {{ url: \"{}\", token: \"${{file:token}}\" }}",
        double.url("/")
    ));
    let house = House::new(&from_file, &policy(&[&switch("new-checkout")]));
    let secret = house
        .dir
        .path()
        .parent()
        .unwrap()
        .join(format!("burngate-token-{}", std::process::id()));
    std::fs::write(&secret, format!("{}\n", TOKEN.1)).unwrap();
    let yaml = from_file
        .yaml()
        .replace("${file:token}", &format!("${{file:{}}}", secret.display()));
    std::fs::write(house.dir.path().join("gateway.yaml"), yaml).unwrap();
    let gateway = house.start(&[]);
    send(&gateway, &guilty());
    decided(&gateway, "new-checkout", "confirmed", SOON);
    std::fs::remove_file(&secret).unwrap();
    assert_eq!(
        double.calls()[0].header("authorization"),
        "Bearer canary-5f2e9-webhook"
    );
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}
