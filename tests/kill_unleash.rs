//! The kill switch with real parts: a real Unleash, its own SDK, the OpenTelemetry SDK, the binary.
//!
//! The first test is also the proof of docker-compose.yml's emitter: the same program, the same flags, the same failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod kill_support;
mod support;

use kill_support::double::{Double, unleash_like};
use kill_support::shop::{bad, good, send};
use kill_support::unleash::{Emitter, Unleash, free_port, now_secs, secs_between};
use kill_support::{CANARY, House, assert_only, assert_recomputes, assert_says_no, decided, decisions};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use support::{Gateway, Setup, block_on, client, eventually, get, python, sample};

const SOON: Duration = Duration::from_mins(1);
const GUILTY: &str = "new-checkout";
const NEIGHBOUR: &str = "fast-search";

fn setup(url: &str) -> Setup {
    Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        exporters: format!("  unleash: {{ endpoint: \"{url}\", token: \"${{env:UNLEASH_TOKEN}}\" }}"),
        decisions: vec!["unleash".into()],
        ..Setup::default()
    }
}

fn policy(hold: &str, flags: &[&str]) -> String {
    let switch = |flag: &&str| {
        let when = format!("{{ burn_above: 7, window: 5m, for: {hold}, contrast: 2 }}");
        format!("  - {{ flag: {flag}, exporter: unleash, attribution: off, mode: auto, when: {when} }}\n")
    };
    let switches: String = flags.iter().map(switch).collect();
    let head = "service: checkout\nenvironment: production\nwindow: 30d\n\
                slos:\n  - { name: availability, target: 99.9% }\nkill_switches:\n";
    format!("{head}{switches}")
}

#[test]
fn the_guilty_flag_goes_off_in_unleash_and_nothing_else() {
    let (Some(python), Some(unleash)) = (python(), Unleash::start()) else {
        return;
    };
    let token = unleash.var("UNLEASH_ADMIN_TOKEN").to_owned();
    let env = [("UNLEASH_TOKEN", token.as_str())];
    let house = House::new(&setup(unleash.url()), &policy("5s", &[NEIGHBOUR, GUILTY]));
    let mut gateway = house.start(&env);
    // Many requests a second: chance must not make the neighbour look guilty within its five seconds.
    let pace = [
        ("RATE", "250"),
        ("FAIL_AFTER_SECS", "15"),
        ("STATUS_SECS", "2"),
        ("RUN_SECS", "600"),
    ];
    let mut emitter = Emitter::start(&python, &unleash, &gateway.grpc(), &pace);

    let first = eventually("the first failure", SOON, || emitter.said("first failure").pop());
    let off = eventually("an off in the audit log", SOON, || {
        unleash.off_events(GUILTY).pop()
    });
    let took = secs_between(&first, &off);
    eprintln!("from the first bad request to the flag off: {took:.2} s, 5 s of them the rule's `for`");
    assert!((5.0..30.0).contains(&took), "{took} s");

    let decision = decided(&gateway, GUILTY, "confirmed", SOON);
    assert_the_record(&decision, &off, &unleash, &gateway);
    assert_only_that_flag(&unleash, &python);
    the_failures_end(&mut emitter, &gateway);
    assert!(decisions(&gateway, NEIGHBOUR).is_empty());
    let page = gateway.metrics();
    let confirmed = [("exporter", "unleash"), ("state", "confirmed")];
    assert_eq!(sample(&page, "burngate_decisions_total", &confirmed), Some(1.0));
    assert_says_no(&gateway, &token);
    drop(emitter);

    // The five minutes still burn when it comes back, in order or not: the flag was dealt with.
    assert!(gateway.stop().success());
    drop(gateway);
    gateway = house.start(&env);
    std::thread::sleep(Duration::from_secs(9));
    assert_only(&gateway, GUILTY, &decision);
    gateway.kill9();
    // Not even against somebody who has switched it on again meanwhile.
    unleash.switch_on(GUILTY, "production");
    let gateway = house.start(&env);
    std::thread::sleep(Duration::from_secs(9));
    assert_only(&gateway, GUILTY, &decision);
    assert!(unleash.is_on(GUILTY, "production"), "a human's word holds");
    assert_eq!(
        unleash.off_events(GUILTY).len(),
        1,
        "switched once, over two restarts"
    );
    house.assert_holds_no(&token);
    drop(gateway);

    a_wrong_token_has_its_own_record(&unleash);
    an_unknown_flag_has_its_own_record(&unleash);
}

/// The decision says what happened, its figures agree, and Unleash holds the reason.
fn assert_the_record(decision: &Value, off: &Value, unleash: &Unleash, gateway: &Gateway) {
    assert_eq!(
        (&decision["verified"], &decision["already_off"]),
        (&true.into(), &false.into()),
        "{decision}"
    );
    assert_recomputes(decision, 0.001, 300);
    let evidence = &decision["evidence"];
    assert!(evidence["control_good"].as_u64().unwrap() > 100, "{decision}");
    assert_eq!(
        evidence["control_bad"], 0,
        "who has not got the flag does not fail"
    );
    assert!(evidence["held_secs"].as_u64().unwrap() >= 5, "{decision}");
    let place = |key: &str| evidence[key].as_str().unwrap().to_owned();
    let places = ["service", "slo", "environment", "sha", "flag", "variant"].map(place);
    assert_eq!(
        places,
        ["checkout", "availability", "production", "9fceb02", GUILTY, "on"]
    );
    assert_eq!(off["environment"], "production");
    assert_eq!(unleash.off_events(GUILTY).len(), 1, "one off in the audit log");
    assert!(unleash.off_events(NEIGHBOUR).is_empty());
    let burn = evidence["window"]["burn_rate"].as_f64().unwrap();
    let reasons = unleash.reasons(GUILTY);
    if reasons.is_empty() && gateway.stderr().contains("no answer in time") {
        eprintln!(
            "the machine is busy: Unleash did not take the reason in time, and the off does not wait for it"
        );
    } else {
        assert!(
            reasons.len() == 1 && reasons[0].starts_with(&format!("off: burn {burn:.1}x 20")),
            "{reasons:?}"
        );
    }
    assert!(unleash.reasons(NEIGHBOUR).is_empty());
}

fn assert_only_that_flag(unleash: &Unleash, python: &Path) {
    let states = [
        (GUILTY, "production"),
        (GUILTY, "development"),
        (NEIGHBOUR, "production"),
        (NEIGHBOUR, "development"),
    ];
    assert_eq!(
        states.map(|(flag, environment)| unleash.is_on(flag, environment)),
        [false, true, true, true]
    );
    // The server hands SDKs a cached state for a second or more after a change; an SDK itself refreshes every 15 s.
    let production = eventually("the SDK says off to everybody", SOON, || {
        let said = unleash.asked_by_sdk(python, "production", &[GUILTY, NEIGHBOUR]);
        (said[GUILTY] == 0).then_some(said)
    });
    let development = unleash.asked_by_sdk(python, "development", &[GUILTY, NEIGHBOUR]);
    let half = 60..140;
    for on in [production[NEIGHBOUR], development[GUILTY], development[NEIGHBOUR]] {
        assert!(
            half.contains(&on),
            "half of 200 users: {production:?} {development:?}"
        );
    }
}

/// Nobody told the shop: its own SDK did.
fn the_failures_end(emitter: &mut Emitter, gateway: &Gateway) {
    let asked = now_secs();
    let calm = |line: &Value| {
        line["failures"] == 0 && line["on"][GUILTY] == 0 && line["on"][NEIGHBOUR].as_u64() > Some(0)
    };
    eventually("a calm shop", SOON, || {
        let lines = emitter.said("status");
        let last = lines.last()?;
        (last["at"].as_f64()? > asked + 2.0 && calm(last)).then_some(())
    });
    let totals = || {
        let budgets = gateway.api("/api/v1/budgets/checkout");
        let total = &budgets["budgets"][0];
        (
            total["good_total"].as_u64().unwrap(),
            total["bad_total"].as_u64().unwrap(),
        )
    };
    // What was under way has arrived.
    std::thread::sleep(Duration::from_secs(3));
    let before = totals();
    eventually("more requests", SOON, || {
        (totals().0 > before.0 + 500).then_some(())
    });
    assert_eq!(totals().1, before.1, "no request fails any more");
}

fn a_wrong_token_has_its_own_record(unleash: &Unleash) {
    const WRONG: &str = "*:*.canary-5f2e9-0000000000000000000000000000000000000000";
    let house = House::new(&setup(unleash.url()), &policy("1s", &[NEIGHBOUR]));
    let gateway = house.start(&[("UNLEASH_TOKEN", WRONG)]);
    not_ready(&gateway, "the token is wrong or has expired");
    let decision = fails_with(&gateway, NEIGHBOUR, "unauthorized");
    assert!(decision["detail"].as_str().unwrap().contains("401"), "{decision}");
    assert!(unleash.is_on(NEIGHBOUR, "production"));
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}

fn an_unknown_flag_has_its_own_record(unleash: &Unleash) {
    let token = unleash.var("UNLEASH_ADMIN_TOKEN");
    let house = House::new(&setup(unleash.url()), &policy("1s", &["no-such-flag", NEIGHBOUR]));
    let gateway = house.start(&[("UNLEASH_TOKEN", token)]);
    eventually("the other flag is ready", SOON, || {
        let page = gateway.metrics();
        let ready = |flag| sample(&page, "burngate_flag_ready", &[("flag", flag)]);
        (ready("no-such-flag") == Some(0.0) && ready(NEIGHBOUR) == Some(1.0)).then_some(())
    });
    assert_eq!(
        sample(&gateway.metrics(), "burngate_exporter_ready", &[]),
        Some(1.0),
        "the exporter itself works"
    );
    assert!(
        gateway.stderr().contains("no such flag, project or environment"),
        "{}",
        gateway.stderr()
    );
    let decision = fails_with(&gateway, "no-such-flag", "not_found");
    assert!(
        decision["detail"].as_str().unwrap().contains("no-such-flag"),
        "{decision}"
    );
    assert_says_no(&gateway, token);
    house.assert_holds_no(token);
}

/// The exporter is reported as not ready, in words that say what to do, and the gateway serves.
fn not_ready(gateway: &Gateway, words: &str) {
    eventually("reported", SOON, || {
        (sample(
            &gateway.metrics(),
            "burngate_exporter_ready",
            &[("exporter", "unleash")],
        ) == Some(0.0))
        .then_some(())
    });
    let log = gateway.stderr();
    assert!(
        log.contains("a kill switch would not work now") && log.contains(words),
        "{log}"
    );
    assert_eq!(get(&gateway.url("health", "/")).0, 200);
}

fn burn(gateway: &Gateway, flag: &str) {
    send(gateway, &[good(300, &[]), good(75, &[flag]), bad(25, &[flag])]);
}

/// A decision about `flag` is made and fails for this reason; the gateway goes on.
fn fails_with(gateway: &Gateway, flag: &str, failure: &str) -> Value {
    burn(gateway, flag);
    let decision = decided(gateway, flag, "failed", Duration::from_mins(3));
    assert_eq!(decision["failure"], failure, "{decision}");
    assert_recomputes(&decision, 0.001, 300);
    let log = gateway.stderr();
    assert!(
        log.contains("the flag was NOT switched off; a human must look") && log.contains(flag),
        "{log}"
    );
    let failed = [("exporter", "unleash"), ("state", "failed")];
    assert_eq!(
        sample(&gateway.metrics(), "burngate_decisions_total", &failed),
        Some(1.0)
    );
    burn(gateway, flag);
    assert_eq!(get(&gateway.url("health", "/")).0, 200);
    decision
}

/// Traffic of a shop that does as Unleash says: whoever has the flag fails one time in four.
fn shop(gateway: &Gateway, unleash: &Unleash) {
    if unleash.is_on(GUILTY, "production") {
        burn(gateway, GUILTY);
    } else {
        send(gateway, &[good(400, &[])]);
    }
}

/// Waits with traffic.
fn while_shopping<T>(
    what: &str,
    (gateway, unleash): (&Gateway, &Unleash),
    mut check: impl FnMut() -> Option<T>,
) -> T {
    eventually(what, SOON, || {
        shop(gateway, unleash);
        check()
    })
}

#[test]
fn a_human_who_switches_it_on_again_is_left_alone_until_somebody_releases_it() {
    const ANN: &str = "canary-5f2e9-ann";
    let Some(unleash) = Unleash::start() else {
        return;
    };
    unleash.make_flag(GUILTY);
    let token = unleash.editor_token("burngate");
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ], kill: { watch_interval: 1s, propagation: 5s, \
                       max_per_service: 10 } }"
            .into(),
        ..setup(unleash.url())
    };
    let house = House::new(&setup, &policy("2s", &[GUILTY]));
    let file = house.dir.path().join("gateway.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let admins = "api: { endpoint: 127.0.0.1:0, admins: { ann: \"${env:ANN_TOKEN}\" } }";
    std::fs::write(&file, yaml.replace("api: { endpoint: 127.0.0.1:0 }", admins)).unwrap();
    let gateway = house.start(&[("UNLEASH_TOKEN", token.as_str()), ("ANN_TOKEN", ANN)]);
    let both = (&gateway, &unleash);
    let newest = || decisions(&gateway, GUILTY).into_iter().next();
    let ours = || {
        let offs = unleash.off_events(GUILTY);
        let count = offs.iter().filter(|off| off["createdBy"] == "burngate").count();
        assert_eq!(count, offs.len(), "nobody else switches it off: {offs:?}");
        count
    };

    let first = while_shopping("the first off", both, || {
        newest().filter(|d| d["state"] == "confirmed")
    });
    assert_eq!((ours(), unleash.is_on(GUILTY, "production")), (1, false));
    while_shopping("an eye on its effect", both, || {
        newest().filter(|d| d["phase"] == "effect_check" || d["phase"] == "cooldown")
    });

    unleash.switch_on(GUILTY, "production");
    let held = while_shopping("the hold", both, || {
        newest().filter(|d| d["phase"] == "human_hold")
    });
    assert_eq!(held["id"], first["id"]);
    let history = held["history"].to_string();
    assert!(history.contains("admin has exposed the flag again"), "{history}");
    // It burns on, the rule is due again, and at every evaluation of five seconds it is the hold that keeps it.
    let kept = while_shopping("a rule that is held back", both, || {
        let all = gateway.api("/api/v1/decisions");
        let ours = all["withheld"].as_array()?.first()?.clone();
        let since: jiff::Timestamp = ours["since"].as_str()?.parse().ok()?;
        let held_secs = now_secs() - since.as_millisecond() as f64 / 1e3;
        let is_hold = ours["reason"]
            .as_str()?
            .contains("admin switched it back after decision");
        (is_hold && held_secs >= 5.0).then_some(ours)
    });
    assert_eq!(kept["flag"], GUILTY, "{kept}");
    let why = gateway.api(&format!("/api/v1/why?flag={GUILTY}"));
    assert!(why["told"].to_string().contains("human_hold"), "{why}");
    assert_eq!((ours(), unleash.is_on(GUILTY, "production")), (1, true));
    assert_eq!(decisions(&gateway, GUILTY).len(), 1);

    let path = gateway.url("api", "/api/v1/release");
    let body = serde_json::json!({ "flag": GUILTY, "reason": "burn was seen, switch it off" });
    let released = block_on(async {
        let request = client().post(path).bearer_auth(ANN).json(&body);
        request.send().await.unwrap().status()
    });
    assert!(released.is_success(), "{released}");
    let second = while_shopping("the second off", both, || {
        newest().filter(|d| d["id"] != first["id"] && d["state"] == "confirmed")
    });
    assert_eq!(second["verified"], true, "{second}");
    assert_eq!((ours(), unleash.is_on(GUILTY, "production")), (2, false));
    let of_first = decisions(&gateway, GUILTY).pop().unwrap();
    assert_eq!(of_first["phase"], "closed", "{of_first}");
    assert!(of_first["history"].to_string().contains("released by ann"));
    assert_says_no(&gateway, &token);
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(&token);
}

const TOKEN: (&str, &str) = ("UNLEASH_TOKEN", "*:*.canary-5f2e9-token");

#[test]
fn a_dead_server_is_tried_again_and_then_reported() {
    // Bound and never listening: who connects is refused, and nobody else gets the port in the meantime.
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let url = format!("http://{}", dead.local_addr().unwrap());
    let house = House::new(&setup(&url), &policy("1s", &[GUILTY]));
    let gateway = house.start(&[TOKEN]);
    not_ready(&gateway, "the service does not answer, trying again every minute");
    let decision = fails_with(&gateway, GUILTY, "unreachable");
    let history = decision["history"].as_array().unwrap();
    let tried = history
        .iter()
        .filter(|step| step["what"].as_str().unwrap().starts_with("read failed: "))
        .count();
    assert!(tried >= 5, "tried again before it was given up: {decision}");
    assert!(
        decision["detail"].as_str().unwrap().contains("cannot connect"),
        "{decision}"
    );
    assert!(gateway.stderr().contains("it will be tried again"));
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}

#[test]
fn a_server_that_comes_up_later_is_found_and_used() {
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let house = House::new(&setup(&format!("http://{addr}")), &policy("1s", &[GUILTY]));
    let gateway = house.start(&[TOKEN]);
    not_ready(&gateway, "the service does not answer");
    burn(&gateway, GUILTY);
    eventually("a first attempt", SOON, || {
        decisions(&gateway, GUILTY)
            .pop()
            .filter(|d| d["history"].to_string().contains("read failed: "))
    });
    let double = Double::start_at(addr, unleash_like(|_| None));
    let decision = decided(&gateway, GUILTY, "confirmed", Duration::from_secs(90));
    assert_eq!(
        (&decision["verified"], &decision["already_off"]),
        (&true.into(), &false.into()),
        "{decision}"
    );
    let calls = double.calls();
    assert_eq!(calls.iter().filter(|c| c.is_off()).count(), 1);
    assert!(calls.iter().all(|c| c.header("authorization") == TOKEN.1));
    // The probe finds it within its minute.
    eventually("ready", Duration::from_secs(90), || {
        (sample(
            &gateway.metrics(),
            "burngate_exporter_ready",
            &[("exporter", "unleash")],
        ) == Some(1.0))
        .then_some(())
    });
    assert!(
        gateway.stderr().contains("a kill switch works again"),
        "{}",
        gateway.stderr()
    );
    assert_says_no(&gateway, CANARY);
    house.assert_holds_no(CANARY);
}
