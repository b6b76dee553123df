//! Exporters against HTTP servers that answer as real ones do, and as none should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::duration_suboptimal_units,
    missing_docs
)]

mod act_support;

use act_support::http::{Double, Request, Said, bound_and_silent, endless, unleash_like};
use act_support::{StepClock, T0, World, decision, target};
use burngate::act::preflight::Readiness;
use burngate::act::webhook::signature;
use burngate::act::{Decisions, Delivery, Exporters, Pacing, Preflight};
use burngate::config::{DecisionExporter, Secret, UnleashExporter, WebhookExporter};
use burngate::decide::{Decision, DecisionState, FailureReason};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const TOKEN: &str = "user:canary-4711-token";

fn unleash(url: &str) -> UnleashExporter {
    UnleashExporter {
        timeout: Duration::from_millis(400),
        ..UnleashExporter::new("unleash", url, Secret::new(TOKEN))
    }
}

fn webhook(url: &str) -> WebhookExporter {
    WebhookExporter {
        token: Some(Secret::new(TOKEN)),
        timeout: Duration::from_millis(400),
        ..WebhookExporter::new("webhook", url)
    }
}

fn fast() -> Pacing {
    Pacing {
        first: Duration::from_millis(5),
        max_attempts: 3,
        ..Pacing::default()
    }
}

fn both(unleash_url: &str, webhook_url: &str) -> Arc<Exporters> {
    Arc::new(
        Exporters::build(
            &[
                DecisionExporter::from(unleash(unleash_url)),
                webhook(webhook_url).into(),
            ]
            .into(),
        )
        .unwrap(),
    )
}

fn of_unleash(url: &str) -> Arc<Exporters> {
    Arc::new(Exporters::build(&[unleash(url)].into()).unwrap())
}

fn of_webhook(config: WebhookExporter) -> Arc<Exporters> {
    Arc::new(Exporters::build(&[config].into()).unwrap())
}

async fn end_of(decisions: &Decisions, id: &str) -> Decision {
    let mut changes = decisions.watch();
    let found = async {
        loop {
            if let Some(d) = decisions.get(id).filter(|d| d.state.is_final()) {
                return d;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found)
        .await
        .expect("the decision never ended")
}

async fn carried_out(exporters: Arc<Exporters>, d: Decision) -> Decision {
    let log = Arc::new(Arc::new(World::default()).process());
    let delivery = Delivery::new(exporters, log, StepClock::at(T0), fast()).unwrap();
    let decisions = delivery.decisions();
    let task = tokio::spawn(delivery.run(std::future::pending()));
    decisions.submit(d.clone()).unwrap();
    let d = end_of(&decisions, &d.id).await;
    task.abort();
    d
}

fn failed(d: &Decision) -> (FailureReason, String) {
    match &d.state {
        DecisionState::Failed { reason, detail } => (*reason, detail.clone()),
        other => panic!("{other:?}"),
    }
}

const CONFIRMED: DecisionState = DecisionState::Confirmed {
    verified: true,
    already_off: false,
};
const DONE: DecisionState = DecisionState::Confirmed {
    verified: false,
    already_off: false,
};

fn calls(double: &Double) -> Vec<String> {
    double
        .requests()
        .iter()
        .map(|r| format!("{} {}", r.method, r.path))
        .collect()
}

#[tokio::test]
async fn unleash_is_read_tagged_switched_and_read_again() {
    let double = unleash_like(|_| None).await;
    let d = carried_out(of_unleash(&double.url), decision("unleash", "new-checkout")).await;
    assert_eq!(d.state, CONFIRMED);
    let environment = "/api/admin/projects/default/features/new-checkout/environments/production";
    assert_eq!(
        calls(&double),
        [
            format!("GET {environment}"),
            "POST /api/admin/features/new-checkout/tags".to_owned(),
            format!("POST {environment}/off"),
            format!("GET {environment}"),
        ]
    );
    assert!(
        double
            .requests()
            .iter()
            .all(|r| r.header("authorization") == TOKEN)
    );
    let tag: serde_json::Value = serde_json::from_str(&double.requests()[1].body).unwrap();
    assert_eq!(
        tag,
        serde_json::json!({"type": "error-budget", "value": "off: burn 14.4x 2026-11-21T22:34Z"})
    );
}

#[tokio::test]
async fn unleash_flags_that_are_off_are_only_read() {
    let double = unleash_like(|_| None).await;
    let exporters = of_unleash(&double.url);
    carried_out(Arc::clone(&exporters), decision("unleash", "f")).await;
    let before = double.requests().len();
    let d = carried_out(exporters, decision("unleash", "f")).await;
    assert_eq!(
        d.state,
        DecisionState::Confirmed {
            verified: true,
            already_off: true
        }
    );
    assert_eq!(double.requests().len(), before + 1);
    assert_eq!(double.requests()[before].method, "GET");
}

#[tokio::test]
async fn every_answer_of_unleash_has_its_own_record() {
    let approval =
        r#"{"name":"PermissionError","message":"you need the \"SKIP_CHANGE_REQUEST\" permission."}"#;
    let elsewhere = r#"{"message":"There's no feature named \"f\", but there's one in project \"shop\""}"#;
    let right = r#"{"name":"PermissionError","message":"no","permissions":["UPDATE_FEATURE_ENVIRONMENT"]}"#;
    let rows = [
        (
            400,
            r#"{"message":"Cannot perform this operation on archived features"}"#,
            FailureReason::Rejected,
            "archived",
            1,
        ),
        (
            401,
            r#"{"message":"You must log in to use Unleash."}"#,
            FailureReason::Unauthorized,
            "log in",
            1,
        ),
        (
            403,
            r#"{"message":"invalid token: expected a different token type"}"#,
            FailureReason::Forbidden,
            "token type",
            1,
        ),
        (403, right, FailureReason::Forbidden, "403", 1),
        (
            403,
            approval,
            FailureReason::NeedsApproval,
            "SKIP_CHANGE_REQUEST",
            1,
        ),
        (404, elsewhere, FailureReason::NotFound, "in project \"shop\"", 1),
        (
            404,
            r#"{"message":"Could not find environment staging"}"#,
            FailureReason::NotFound,
            "environment",
            1,
        ),
        (405, "", FailureReason::Rejected, "405", 1),
        (409, "", FailureReason::Unreachable, "409", 3),
        (429, "", FailureReason::Unreachable, "429", 3),
        (
            500,
            r#"{"message":"Knex: Timeout acquiring a connection"}"#,
            FailureReason::Unreachable,
            "Knex",
            3,
        ),
        (503, "<html>", FailureReason::Unreachable, "503", 3),
    ];
    for (status, body, reason, words, times) in rows {
        let double = unleash_like(move |r| r.is_off().then(|| Said::new(status, body))).await;
        let (got, detail) = failed(&carried_out(of_unleash(&double.url), decision("unleash", "f")).await);
        assert_eq!(got, reason, "{status} {body}");
        assert!(detail.contains(words), "{status}: {detail}");
        assert_eq!(
            double.requests().iter().filter(|r| r.is_off()).count(),
            times,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_refused_read_sends_nothing() {
    for (status, reason) in [(401, FailureReason::Unauthorized), (404, FailureReason::NotFound)] {
        let double = unleash_like(move |_| Some(Said::new(status, "{}"))).await;
        let (got, _) = failed(&carried_out(of_unleash(&double.url), decision("unleash", "f")).await);
        assert_eq!(got, reason);
        assert_eq!(double.requests().len(), 1);
    }
}

#[tokio::test]
async fn trouble_with_the_tag_never_prevents_the_off() {
    let tag_answers: [fn() -> Said; 4] = [
        || Said::new(500, "no"),
        || Said::new(400, "no"),
        || Said::new(401, "no"),
        || Said::new(200, "").late(60_000),
    ];
    for answer in tag_answers {
        let double = unleash_like(move |r| r.path.contains("/tag").then(answer)).await;
        let d = carried_out(of_unleash(&double.url), decision("unleash", "f")).await;
        assert_eq!(d.state, CONFIRMED);
    }
}

#[tokio::test]
async fn the_tag_type_is_made_when_the_server_does_not_know_it() {
    let known = Arc::new(Mutex::new(false));
    let double = unleash_like(move |r| {
        if r.path.ends_with("/tag-types") {
            *known.lock().unwrap() = true;
            return Some(Said::new(201, "{}"));
        }
        (r.path.ends_with("/tags") && !*known.lock().unwrap()).then(|| Said::new(400, "unknown type"))
    })
    .await;
    let exporters = of_unleash(&double.url);
    for flag in ["f", "g"] {
        assert_eq!(
            carried_out(Arc::clone(&exporters), decision("unleash", flag))
                .await
                .state,
            CONFIRMED
        );
    }
    assert_eq!(
        double
            .requests()
            .iter()
            .filter(|r| r.path.ends_with("/tag-types"))
            .count(),
        1
    );
    assert_eq!(
        double
            .requests()
            .iter()
            .filter(|r| r.path.ends_with("/tags"))
            .count(),
        3
    );
}

#[tokio::test]
async fn names_cannot_leave_their_place_in_the_url() {
    let double = unleash_like(|_| None).await;
    carried_out(of_unleash(&double.url), decision("unleash", "a/../b c?d#e")).await;
    for call in calls(&double) {
        assert!(call.contains("/features/a%2F..%2Fb%20c%3Fd%23e/"), "{call}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Double::start(|_| Said::new(200, r#"{"enabled":false}"#)).await;
    let location = elsewhere.url.clone();
    let double = Double::start(move |_| Said::new(302, "").header("location", &location)).await;
    for name in ["unleash", "webhook"] {
        let d = carried_out(both(&double.url, &double.url), decision(name, "f")).await;
        let (reason, detail) = failed(&d);
        assert_eq!(reason, FailureReason::Rejected);
        assert!(detail.contains("redirects are not followed"), "{detail}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let url = endless().await;
    let began = Instant::now();
    let generous = UnleashExporter {
        timeout: Duration::from_secs(20),
        ..unleash(&url)
    };
    let exporters = Arc::new(Exporters::build(&[generous].into()).unwrap());
    let (reason, detail) = failed(&carried_out(exporters, decision("unleash", "f")).await);
    assert_eq!(reason, FailureReason::Unreachable);
    assert!(detail.contains("cut off, 1048576 bytes"), "{detail}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let (url, _listener) = bound_and_silent().await;
    for name in ["unleash", "webhook"] {
        let began = Instant::now();
        let (reason, detail) = failed(&carried_out(both(&url, &url), decision(name, "f")).await);
        assert_eq!(reason, FailureReason::Unreachable);
        assert!(detail.contains("no answer in time"), "{detail}");
        let took = began.elapsed();
        assert!(
            took > Duration::from_millis(1_150) && took < Duration::from_secs(6),
            "3 x 400 ms, took {took:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_said_to_be_gone() {
    let (url, listener) = bound_and_silent().await;
    drop(listener);
    for name in ["unleash", "webhook"] {
        let (reason, detail) = failed(&carried_out(both(&url, &url), decision(name, "f")).await);
        assert_eq!(reason, FailureReason::Unreachable);
        assert!(
            detail.contains("cannot connect") && detail.contains("refused"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_not_unleash_is_never_taken_for_off() {
    for page in [
        "<html>please log in</html>",
        "{}",
        "[]",
        r#"{"enabled":"false"}"#,
        "",
    ] {
        let double = Double::start(move |_| Said::new(200, page)).await;
        let (reason, detail) = failed(&carried_out(of_unleash(&double.url), decision("unleash", "f")).await);
        assert_eq!(reason, FailureReason::Unreachable);
        assert!(detail.contains("is `endpoint` right?"), "{detail}");
        assert!(double.requests().iter().all(|r| r.method == "GET"));
    }
}

#[tokio::test]
async fn the_default_webhook_is_the_call_that_guides_show() {
    let double = Double::start(|_| Said::new(204, "")).await;
    let d = carried_out(
        of_webhook(webhook(&double.url)),
        decision("webhook", "new-checkout"),
    )
    .await;
    assert_eq!(d.state, DONE);
    let requests = double.requests();
    assert_eq!(requests.len(), 1);
    let r = &requests[0];
    assert_eq!(
        (r.method.as_str(), r.body.as_str()),
        ("POST", r#"{"flag":"new-checkout","reason":"burn-rate>7x/5m"}"#)
    );
    assert_eq!(r.header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(r.header("content-type"), "application/json");
    assert_eq!(r.header("idempotency-key"), d.id);
    assert_eq!(r.header("x-burngate-signature"), "");
}

#[tokio::test]
async fn a_webhook_is_what_its_configuration_says() {
    let double = Double::start(|_| Said::new(200, "")).await;
    let config = WebhookExporter {
        method: "PATCH".to_owned(),
        headers: vec![("X-Api-Key".to_owned(), Secret::new("canary-key"))],
        token: None,
        signing_key: Some(Secret::new("canary-signing")),
        body: Some(r#"{"off":["{{flag}}"],"burn":{{burn}},"sha":"{{ sha }}","bad":{{bad}}}"#.to_owned()),
        ..webhook(&format!("{}/kill?a=1", double.url))
    };
    assert_eq!(
        carried_out(of_webhook(config), decision("webhook", "f"))
            .await
            .state,
        DONE
    );
    let r = double.requests().remove(0);
    assert_eq!((r.method.as_str(), r.path.as_str()), ("PATCH", "/kill?a=1"));
    assert_eq!(r.body, r#"{"off":["f"],"burn":14.4,"sha":"4f2c1e","bad":144}"#);
    assert_eq!(
        (r.header("x-api-key"), r.header("authorization")),
        ("canary-key".to_owned(), String::new())
    );
    let want = signature(&Secret::new("canary-signing"), T0, &r.body);
    assert_eq!(r.header("x-burngate-signature"), want);
    assert!(
        want.starts_with(&format!("t={},v1=", T0.secs())) && want.len() == 16 + 64,
        "{want}"
    );
}

#[tokio::test]
async fn every_attempt_of_a_webhook_carries_the_same_key_and_body() {
    let left = Mutex::new(2);
    let double = Double::start(move |_| {
        let mut left = left.lock().unwrap();
        if *left == 0 {
            return Said::new(200, "");
        }
        *left -= 1;
        Said::new(503, "busy")
    })
    .await;
    assert_eq!(
        carried_out(of_webhook(webhook(&double.url)), decision("webhook", "f"))
            .await
            .state,
        DONE
    );
    let seen: Vec<(String, String)> = double
        .requests()
        .iter()
        .map(|r| (r.header("idempotency-key"), r.body.clone()))
        .collect();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|s| s == &seen[0]), "{seen:?}");
}

#[tokio::test]
async fn retry_after_of_a_real_answer_is_waited_for() {
    let double = unleash_like({
        let first = Mutex::new(true);
        move |r| {
            let again = r.is_off() && std::mem::take(&mut *first.lock().unwrap());
            again.then(|| Said::new(429, "slow down").header("retry-after", "1"))
        }
    })
    .await;
    let began = Instant::now();
    assert_eq!(
        carried_out(of_unleash(&double.url), decision("unleash", "f"))
            .await
            .state,
        CONFIRMED
    );
    assert!(began.elapsed() >= Duration::from_secs(1));
}

async fn ready(exporters: Arc<Exporters>, flag: &str) -> Readiness {
    let rule = target("unleash", flag);
    let mut preflight = Preflight::new(exporters, std::slice::from_ref(&rule), StepClock::at(T0));
    preflight.round().await;
    preflight.readiness()[&rule].clone()
}

#[tokio::test]
async fn preflight_tells_token_name_and_server_apart_and_writes_nothing() {
    let rows = [
        (401, "the token is wrong or has expired"),
        (403, "the token may not do this"),
        (404, "no such flag, project or environment"),
        (500, "the service does not answer"),
    ];
    for (status, words) in rows {
        let double = unleash_like(move |_| Some(Said::new(status, "{}"))).await;
        let Readiness::NotReady { problem, .. } = ready(of_unleash(&double.url), "f").await else {
            panic!()
        };
        assert!(problem.contains(words), "{problem}");
        assert!(double.requests().iter().all(|r| r.method == "GET"));
    }
    let (url, listener) = bound_and_silent().await;
    drop(listener);
    let Readiness::NotReady {
        problem,
        exporter_wide,
    } = ready(of_unleash(&url), "f").await
    else {
        panic!()
    };
    assert!(problem.contains("cannot connect") && exporter_wide, "{problem}");
}

#[tokio::test]
async fn preflight_warns_of_inverted_and_parent_flags() {
    let feature = r#"{"name":"f","type":"kill-switch","archived":false,"children":["g"]}"#;
    let double =
        unleash_like(move |r| r.path.ends_with("/features/f").then(|| Said::new(200, feature))).await;
    let Readiness::Ready(warnings) = ready(of_unleash(&double.url), "f").await else {
        panic!()
    };
    let names: Vec<&str> = warnings.iter().map(|w| w.as_str()).collect();
    assert_eq!(names, ["kill_switch_type", "has_children"]);
}

#[tokio::test]
async fn a_dead_exporter_is_asked_once_a_round_however_many_flags_it_has() {
    let double = unleash_like(|_| Some(Said::new(503, "{}"))).await;
    let rules: Vec<_> = (0..20).map(|n| target("unleash", &format!("f{n}"))).collect();
    let mut preflight = Preflight::new(of_unleash(&double.url), &rules, StepClock::at(T0));
    preflight.round().await;
    assert_eq!(double.requests().len(), 1);
    assert!(
        preflight
            .readiness()
            .values()
            .all(|r| matches!(r, Readiness::NotReady { .. }))
    );
}

#[tokio::test]
async fn preflight_says_what_changed_and_only_then() {
    let lines = act_support::http::Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let status = Arc::new(Mutex::new(401));
    let answer = Arc::clone(&status);
    let double = unleash_like(move |_| {
        let status = *answer.lock().unwrap();
        (status != 200).then(|| Said::new(status, "{}"))
    })
    .await;
    let rules = ["f", "g"].map(|flag| target("unleash", flag));
    let mut preflight = Preflight::new(of_unleash(&double.url), &rules, StepClock::at(T0));
    let said = |words: &str| lines.text().matches(words).count();
    for (now, times) in [(401, 3), (503, 2), (200, 3)] {
        *status.lock().unwrap() = now;
        for _ in 0..times {
            preflight.round().await;
        }
    }
    assert_eq!(said("the token is wrong"), 1, "{}", lines.text());
    assert_eq!(said("does not answer"), 1, "{}", lines.text());
    assert_eq!(said("a kill switch works again"), 2, "{}", lines.text());
}

/// A server that echoes every header in the body and in headers, as error pages and proxies do.
fn echo(r: &Request, status: u16) -> Said {
    let secret = format!(
        "{} {} {}",
        r.header("authorization"),
        r.header("x-api-key"),
        r.path
    );
    let body = serde_json::json!({ "message": format!("you sent {secret}"), "raw": r.headers }).to_string();
    Said::new(status, &body)
        .header("x-echo", &secret)
        .header("retry-after", &secret)
}

#[tokio::test]
async fn no_secret_appears_in_any_log_record_or_debug_print() {
    let lines = act_support::http::Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut seen = String::new();
    for status in [200, 302, 400, 401, 403, 404, 409, 429, 500, 503] {
        let double = unleash_like(move |r| (r.method == "POST").then(|| echo(r, status))).await;
        let hostile = Double::start(move |r| echo(r, status)).await;
        let mut hook = webhook(&format!("{}/hooks/canary-path-8812", hostile.url));
        hook.headers = vec![("X-Api-Key".to_owned(), Secret::new("canary-key-5521"))];
        hook.signing_key = Some(Secret::new("canary-signing-99"));
        for url in [&double.url, &hostile.url] {
            let exporters = Arc::new(
                Exporters::build(&[DecisionExporter::from(unleash(url)), hook.clone().into()].into())
                    .unwrap(),
            );
            write!(seen, "{exporters:?} {:?}", unleash(url)).unwrap();
            let world = Arc::new(World::default());
            let log = Arc::new(world.process());
            let delivery = Delivery::new(Arc::clone(&exporters), log, StepClock::at(T0), fast()).unwrap();
            let decisions = delivery.decisions();
            write!(seen, "{delivery:?}").unwrap();
            let task = tokio::spawn(delivery.run(std::future::pending()));
            for name in ["unleash", "webhook"] {
                decisions.submit(decision(name, "f")).unwrap();
                write!(seen, "{:?}", end_of(&decisions, &decision(name, "f").id).await).unwrap();
            }
            task.abort();
            let rules = [target("unleash", "f"), target("webhook", "f")];
            let mut preflight = Preflight::new(exporters, &rules, StepClock::at(T0));
            preflight.round().await;
            write!(
                seen,
                "{preflight:?} {:?} {:?}",
                preflight.readiness(),
                decisions.snapshot(100)
            )
            .unwrap();
            for row in world.rows.lock().unwrap().values() {
                seen += &String::from_utf8_lossy(row);
            }
        }
        assert!(
            hostile
                .requests()
                .iter()
                .any(|r| r.header("authorization").contains("canary")),
            "it was sent"
        );
    }
    let logged = lines.text();
    assert!(
        logged.contains("a human must look") && logged.contains("[redacted]"),
        "the log was captured"
    );
    for (place, text) in [("records", &seen), ("log", &logged)] {
        let at = text.find("canary");
        assert!(
            at.is_none(),
            "{place}: ...{}",
            &text[at.unwrap_or(0).saturating_sub(300)..at.unwrap_or(0) + 40]
        );
    }
}
