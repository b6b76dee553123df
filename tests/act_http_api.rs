//! The generic HTTP exporter: each preset against a double that answers as its service's documentation says, and what a description
//! may say beyond.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod act_support;

use act_support::http::{Double, Request, Said};
use act_support::{T0, decision, target};
use burngate::act::{Actuator, Exporter, Exporters, FlagState, Outcome, Trouble};
use burngate::config::{Config, ConfigSource, HTTP_PRESETS};
use burngate::decide::{Action, Decision, FailureReason};
use burngate::policy::SafeState;
use serde_json::{Value, json};
use std::sync::Mutex;

const FLAG: &str = "new checkout/v2";

/// The exporter of a file with this block below `exporters: http:`.
fn load(block: &str) -> Result<Exporters, String> {
    let text = format!(
        "receivers: {{ otlp: {{ protocols: {{ grpc: }} }} }}\nconnectors: {{ error_budget: }}\nservice:\n  pipelines:\n    \
         traces: {{ receivers: [otlp], exporters: [error_budget] }}\n    decisions: {{ receivers: [error_budget], exporters: \
         [http] }}\nexporters:\n  http:\n{block}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&ConfigSource::File(file)).map_err(|e| e.to_string())?;
    Exporters::build(&config.decision_exporters).map_err(|e| e.to_string())
}

fn preset(name: &str, double: &Double, more: &str) -> Exporters {
    let block = format!(
        "    preset: {name}\n    endpoint: {}\n    token: canary-t0ken\n    environments: {{ production: prod/1 }}\n    \
         timeout: 2s\n{more}",
        double.url
    );
    load(&block).unwrap()
}

fn off() -> Decision {
    let mut d = decision("http", FLAG);
    "d1".clone_into(&mut d.id);
    d
}

fn the(exporters: &Exporters) -> &Exporter {
    exporters.get("http").unwrap()
}

fn permanent(outcome: Outcome) -> (FailureReason, String) {
    match outcome {
        Err(Trouble::Permanent { reason, detail }) => (reason, detail),
        other => panic!("{other:?}"),
    }
}

/// A service of one document, which `change` changes when a write comes.
async fn service(
    document: Value,
    change: impl Fn(&Request, &mut Value) -> (u16, Value) + Send + Sync + 'static,
) -> Double {
    let document = Mutex::new(document);
    Double::start(move |r| {
        let mut document = document.lock().unwrap();
        if r.method == "GET" {
            return Said::new(200, &document.to_string());
        }
        let (status, answer) = change(r, &mut document);
        let text = if answer.is_null() {
            String::new()
        } else {
            answer.to_string()
        };
        Said::new(status, &text)
    })
    .await
}

/// Probes, finds it exposed, switches it off, and finds it safe; returns the write.
async fn kill(exporters: &Exporters, double: &Double) -> Request {
    let it = the(exporters);
    assert_eq!(it.preflight(&target("http", FLAG), T0).await.unwrap(), []);
    let read = it.read_back(&off(), T0).await.unwrap().unwrap();
    assert_eq!(read.state, FlagState::Exposed);
    it.carry_out(&off(), None, T0).await.unwrap();
    let read = it.read_back(&off(), T0).await.unwrap().unwrap();
    assert_eq!(read.state, FlagState::Safe);
    let writes: Vec<Request> = double
        .requests()
        .into_iter()
        .filter(|r| r.method != "GET")
        .collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    writes[0].clone()
}

fn line(request: &Request) -> String {
    format!("{} {}", request.method, request.path)
}

fn body(request: &Request) -> Value {
    serde_json::from_str(&request.body).unwrap()
}

fn reads(double: &Double) -> Vec<String> {
    let all = double.requests();
    let mut paths: Vec<String> = all
        .iter()
        .filter(|r| r.method == "GET")
        .map(|r| r.path.clone())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

#[tokio::test]
async fn flagsmith() {
    let double = service(json!({ "results": [{ "id": 7, "enabled": true }] }), |_, it| {
        it["results"][0]["enabled"] = json!(false);
        (204, Value::Null)
    })
    .await;
    let write = kill(&preset("flagsmith", &double, ""), &double).await;
    assert_eq!(
        line(&write),
        "POST /api/experiments/environments/prod%2F1/update-flag-v1/"
    );
    assert_eq!(write.header("authorization"), "Api-Key canary-t0ken");
    assert_eq!(write.header("content-type"), "application/json");
    assert_eq!(
        body(&write),
        json!({ "feature": { "name": FLAG }, "enabled": false, "value": { "type": "boolean", "value": "false" } })
    );
    assert_eq!(
        reads(&double),
        ["/api/v1/environments/prod%2F1/featurestates/?feature_name=new%20checkout%2Fv2"]
    );
}

#[tokio::test]
async fn growthbook() {
    let feature = json!({ "feature": { "environments": { "prod/1": { "enabled": true } } } });
    let double = service(feature, |_, it| {
        it["feature"]["environments"]["prod/1"]["enabled"] = json!(false);
        (200, it.clone())
    })
    .await;
    let write = kill(&preset("growthbook", &double, ""), &double).await;
    assert_eq!(line(&write), "POST /api/v2/features/new%20checkout%2Fv2/toggle");
    assert_eq!(write.header("authorization"), "Bearer canary-t0ken");
    assert_eq!(
        body(&write),
        json!({ "reason": "burngate d1: burn-rate>7x/5m", "environments": { "prod/1": false } })
    );
    assert_eq!(reads(&double), ["/api/v1/features/new%20checkout%2Fv2"]);
    let refuses = service(json!({}), |_, _| {
        (
            403,
            json!({ "message": "This feature requires approval before changes can be published" }),
        )
    })
    .await;
    let outcome = the(&preset("growthbook", &refuses, ""))
        .carry_out(&off(), None, T0)
        .await;
    assert_eq!(permanent(outcome).0, FailureReason::NeedsApproval);
}

#[tokio::test]
async fn flipt_is_read_edited_and_sent_back_with_its_revision() {
    let flag =
        json!({ "@type": "flipt.core.Flag", "key": FLAG, "name": "New", "enabled": true, "rules": [1, 2] });
    let document = json!({ "resource": { "key": FLAG, "payload": flag }, "revision": "rev-9" });
    let double = service(document, |r, it| {
        let sent: Value = serde_json::from_str(&r.body).unwrap();
        it["resource"]["payload"] = sent["payload"].clone();
        // Protobuf leaves out what is false.
        it["resource"]["payload"]
            .as_object_mut()
            .unwrap()
            .remove("enabled");
        (200, it.clone())
    })
    .await;
    let exporters = preset("flipt-v2", &double, "");
    let write = kill(&exporters, &double).await;
    assert_eq!(
        line(&write),
        "PUT /api/v2/environments/prod%2F1/namespaces/default/resources"
    );
    assert_eq!(
        body(&write),
        json!({ "key": FLAG, "revision": "rev-9", "payload": { "@type": "flipt.core.Flag", "key": FLAG, "name": "New",
            "enabled": false, "rules": [1, 2] } })
    );
    assert_eq!(
        reads(&double),
        ["/api/v2/environments/prod%2F1/namespaces/default/resources/flipt.core.Flag/new%20checkout%2Fv2"]
    );
}

#[tokio::test]
async fn what_is_so_already_is_not_sent() {
    let flag = json!({ "resource": { "payload": { "enabled": false } }, "revision": "r" });
    let double = service(flag, |_, _| (500, Value::Null)).await;
    the(&preset("flipt-v2", &double, ""))
        .carry_out(&off(), None, T0)
        .await
        .unwrap();
    assert!(double.requests().iter().all(|r| r.method == "GET"));
}

#[tokio::test]
async fn configcat() {
    let setting = json!({ "value": true, "rolloutRules": [{}], "rolloutPercentageItems": [] });
    let double = service(setting, |r, it| {
        for operation in serde_json::from_str::<Vec<Value>>(&r.body).unwrap() {
            let path = operation["path"].as_str().unwrap();
            *it.pointer_mut(path).unwrap() = operation["value"].clone();
        }
        (200, it.clone())
    })
    .await;
    let write = kill(&preset("configcat", &double, ""), &double).await;
    assert_eq!(line(&write), "PATCH /v1/settings/new%20checkout%2Fv2/value");
    assert_eq!(write.header("authorization"), "Basic Y2FuYXJ5LXQwa2Vu");
    assert_eq!(write.header("x-configcat-sdkkey"), "prod/1");
    assert_eq!(
        body(&write)[0],
        json!({ "op": "replace", "path": "/value", "value": false })
    );
    let unchanged = service(json!({}), |_, _| (204, Value::Null)).await;
    the(&preset("configcat", &unchanged, ""))
        .carry_out(&off(), None, T0)
        .await
        .unwrap();
}

#[tokio::test]
async fn split_harness() {
    let double = service(json!({ "killed": false }), |_, it| {
        it["killed"] = json!(true);
        (200, it.clone())
    })
    .await;
    let exporters = preset("split-harness", &double, "    vars: { workspace: ws-1 }\n");
    let write = kill(&exporters, &double).await;
    let flag = "/internal/api/v2/splits/ws/ws-1/new%20checkout%2Fv2/environments/prod%2F1";
    assert_eq!(line(&write), format!("PUT {flag}/kill"));
    assert_eq!(
        body(&write),
        json!({ "title": "burngate d1", "comment": "burn-rate>7x/5m" })
    );
    assert_eq!(reads(&double), [flag]);
    let on = Action::Switch { to: SafeState::On };
    let refusal = exporters.refusal("http", &on).unwrap();
    assert!(
        refusal.contains("cannot do `on`; it can do off; describe it"),
        "{refusal}"
    );
    let refuses = service(json!({}), |_, _| {
        (
            403,
            json!({ "code": 403, "message": "Approvals are required. Please submit a change request" }),
        )
    })
    .await;
    let exporters = preset("split-harness", &refuses, "    vars: { workspace: ws-1 }\n");
    let outcome = the(&exporters).carry_out(&off(), None, T0).await;
    assert_eq!(permanent(outcome).0, FailureReason::NeedsApproval);
}

#[tokio::test]
async fn posthog_is_asked_for_the_number_of_the_flag() {
    let active = Mutex::new(true);
    let double = Double::start(move |r| {
        let mut active = active.lock().unwrap();
        if r.path.contains("search=") {
            let all =
                json!({ "results": [{ "id": 1, "key": "new checkout/v22" }, { "id": 42, "key": FLAG }] });
            return Said::new(200, &all.to_string());
        }
        if r.method == "PATCH" {
            *active = false;
        }
        Said::new(200, &json!({ "id": 42, "active": *active }).to_string())
    })
    .await;
    let exporters = preset("posthog", &double, "");
    let write = kill(&exporters, &double).await;
    assert_eq!(line(&write), "PATCH /api/projects/prod%2F1/feature_flags/42/");
    assert_eq!(body(&write), json!({ "active": false }));
    let want = [
        "/api/projects/prod%2F1/feature_flags/42/",
        "/api/projects/prod%2F1/feature_flags/?search=new%20checkout%2Fv2",
    ];
    assert_eq!(reads(&double), want);
    let mut unknown = off();
    unknown.flag = "nope".to_owned();
    let outcome = the(&exporters).carry_out(&unknown, None, T0).await;
    assert_eq!(permanent(outcome).0, FailureReason::NotFound);
}

#[tokio::test]
async fn statsig() {
    let double = service(json!({ "data": { "isEnabled": true } }), |_, it| {
        it["data"]["isEnabled"] = json!(false);
        (200, it.clone())
    })
    .await;
    let write = kill(&preset("statsig", &double, ""), &double).await;
    assert_eq!(line(&write), "PUT /console/v1/gates/new%20checkout%2Fv2/disable");
    assert_eq!(write.header("statsig-api-key"), "canary-t0ken");
    assert_eq!(write.header("statsig-api-version"), "20240601");
    assert_eq!(write.body, "");
    let lies = service(json!({}), |_, _| (200, json!({ "data": { "isEnabled": true } }))).await;
    let (reason, detail) = permanent(
        the(&preset("statsig", &lies, ""))
            .carry_out(&off(), None, T0)
            .await,
    );
    assert_eq!(reason, FailureReason::Rejected);
    assert!(detail.contains("does not say what `expect` says"), "{detail}");
}

#[tokio::test]
async fn optimizely() {
    let double = service(json!({ "enabled": true }), |_, it| {
        it["enabled"] = json!(false);
        (200, it.clone())
    })
    .await;
    let write = kill(
        &preset("optimizely", &double, "    vars: { project: \"77\" }\n"),
        &double,
    )
    .await;
    let ruleset = "/flags/v1/projects/77/flags/new%20checkout%2Fv2/environments/prod%2F1/ruleset";
    assert_eq!(line(&write), format!("POST {ruleset}/disabled"));
    assert_eq!(reads(&double), [ruleset]);
}

#[tokio::test]
async fn answers_are_judged_in_their_order_and_never_show_the_token() {
    let own = "    actions:\n      rollout:\n        url: \"{{endpoint}}/f/{{flag}}?e={{environment}}\"\n        body: \
               '{\"percent\":{{percent}}}'\n        success: [201]\n        already: { /code: same }\n        safe: { \
               /percent: \"{{percent}}\" }\n    read_back: { url: \"{{endpoint}}/f/{{flag}}\" }\n    headers: { \
               x-key: \"{{token}}\" }\n";
    let answers = Mutex::new(vec![
        (503, "canary-t0ken"),
        (429, "canary-t0ken"),
        (404, "canary-t0ken"),
        (202, "canary-t0ken"),
        (409, "{\"code\":\"same\"}"),
        (201, ""),
    ]);
    let double = Double::start(move |r| {
        if r.method.as_str() == "GET" {
            Said::new(200, "{\"percent\":5}")
        } else {
            let (status, body) = answers.lock().unwrap().remove(0);
            Said::new(status, body).header("retry-after", "3")
        }
    })
    .await;
    let block = format!(
        "    endpoint: {}/base/\n    token: canary-t0ken\n{own}",
        double.url
    );
    let exporters = load(&block).unwrap();
    let mut d = off();
    d.action = Action::Switch {
        to: SafeState::Rollout { percent: 5 },
    };
    let it = the(&exporters);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let outcome = it.carry_out(&d, None, T0).await;
        assert!(!format!("{outcome:?} {exporters:?}").contains("canary"));
        seen.push(match outcome {
            Ok(()) => "done".to_owned(),
            Err(Trouble::Retry { down, after, .. }) => {
                format!("down {down} after {}", after.unwrap().as_secs())
            }
            Err(Trouble::Permanent { reason, .. }) => format!("{reason:?}"),
        });
    }
    let want = [
        "down true after 3",
        "down false after 3",
        "NotFound",
        "Rejected",
        "done",
        "done",
    ];
    assert_eq!(seen, want);
    assert_eq!(
        it.read_back(&d, T0).await.unwrap().unwrap().state,
        FlagState::Safe
    );
    let first = &double.requests()[0];
    assert_eq!(line(first), "POST /base/f/new%20checkout%2Fv2?e=production");
    assert_eq!(first.body, "{\"percent\":5}");
}

#[test]
fn a_description_that_cannot_work_is_refused_with_its_place() {
    let endpoint = "    endpoint: http://h\n";
    let action =
        |url: &str, more: &str| format!("{endpoint}    actions: {{ off: {{ url: \"{url}\"{more} }} }}\n");
    for (block, want) in [
        (
            "    preset: growthbok\n    token: t\n".to_owned(),
            "did you mean `growthbook`?",
        ),
        (
            "    preset: growthbook\n".to_owned(),
            "exporters.http.token: required; a template uses it",
        ),
        (
            "    preset: optimizely\n    token: t\n".to_owned(),
            "exporters.http.vars: lacks `project`, which a template uses",
        ),
        (
            "    preset: flipt-v2\n    token: t\n".to_owned(),
            "exporters.http.endpoint: required",
        ),
        (
            endpoint.to_owned(),
            "exporters.http.actions: describe one at least",
        ),
        (
            action("http://elsewhere/x", ""),
            "actions.off.url: must begin with `{{endpoint}}/`",
        ),
        (
            action("{{endpoint}}.evil.com/x", ""),
            "actions.off.url: must begin with `{{endpoint}}/`",
        ),
        (action("{{endpoint}}/{{falg}}", ""), "did you mean `flag`?"),
        (
            action("{{endpoint}}/x", ", body: '{\"f\":{{flag}}}'"),
            "actions.off.body: with sample values",
        ),
        (
            action("{{endpoint}}/x", ", success: [ok]"),
            "exporters.http.actions.off.success: expected a list",
        ),
        (
            action("{{endpoint}}/x", ", safe: { enabled: false }"),
            "expected a JSON pointer",
        ),
        (action("{{endpoint}}/x", ", methd: PUT"), "did you mean `method`?"),
        (
            action("{{endpoint}}/x", ", edit: { take: /a }"),
            "actions.off.edit.set: required",
        ),
    ] {
        let error = load(&block).unwrap_err();
        assert!(error.contains(want), "{want}\n{error}");
    }
}

#[test]
fn every_preset_loads_and_each_key_may_be_overridden() {
    for (name, yaml) in HTTP_PRESETS {
        assert!(
            yaml.contains("not tried against"),
            "{name} says what was not tried"
        );
        let more = "    vars: { workspace: w, project: p }\n    endpoint: http://h\n    token: t\n    read_back: null\n";
        let exporters = load(&format!("    preset: {name}\n{more}")).unwrap();
        assert_eq!(exporters.refusal("http", &Action::default()), None, "{name}");
    }
}
