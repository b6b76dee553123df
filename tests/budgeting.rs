//! Budgets by calendar, slices and journeys, and corrections, from outside: the real binary, its API and its metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod proof_support;
mod support;

use burngate::api::proto::budget_service_client::BudgetServiceClient;
use burngate::api::proto::{CreateCorrectionRequest, ListCorrectionsRequest, WithdrawCorrectionRequest};
use proof_support::{group, send};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use support::{Gateway, Setup, block_on, client, eventually, sample};
use tonic::Code;

const POLICY: &str = "
service: shop
window: { calendar: month, timezone: Europe/Berlin }
slos:
  - name: availability
    target: 99%
    targets: [ { name: stretch, target: 99.9% } ]
dependencies: [ { callee: payments } ]
peaks: [ { name: always, every: day, from: \"00:00\", to: \"00:00\", burn_factor: 3, approved_by: cto } ]
corrections: [ { from: \"2026-01-01T00:00:00Z\", to: \"2026-01-01T00:05:00Z\", author: eve, reason: drill } ]
---
service: stock
slos: [ { name: availability, target: 99% } ]
---
service: sliced
slos: [ { name: availability, target: 99%, budgeting: { method: timeslices } } ]
---
journey: buy
owner: { team: shop }
slos:
  - name: availability
    target: 90%
    of: [ { service: shop, slo: availability, weight: 3 }, { service: stock, slo: availability } ]
";

fn write(dir: &Path) {
    let setup = Setup {
        error_budget: "{ policies: [ policy.yaml ] }".into(),
        ..Setup::default()
    };
    let api = "api: { endpoint: 127.0.0.1:0";
    let yaml = setup.yaml().replace(api, &format!("{api}, token: s3cret"));
    std::fs::write(dir.join("gateway.yaml"), yaml).unwrap();
    std::fs::write(dir.join("policy.yaml"), POLICY).unwrap();
}

fn start(dir: &Path) -> Gateway {
    Gateway::start_in(dir, &["run", "--config", "gateway.yaml"], &[])
}

fn budget(gateway: &Gateway, service: &str) -> Value {
    let all = gateway.api("/api/v1/budgets")["budgets"].clone();
    let found = all
        .as_array()
        .unwrap()
        .iter()
        .find(|b| b["service"] == service && b["slo"] == "availability");
    found.cloned().unwrap_or(Value::Null)
}

fn call(gateway: &Gateway, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let url = gateway.url("api", path);
    block_on(async {
        let mut request = client().post(url).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    })
}

fn around_now() -> (String, String) {
    let now = i64::try_from(proof_support::now_nanos() / 1_000_000_000).unwrap();
    let at = |secs| jiff::Timestamp::from_second(secs).unwrap().to_string();
    (at(now - 900), at(now + 900))
}

#[test]
fn budgets_are_counted_as_their_policies_say_and_corrected_with_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let gateway = start(dir.path());
    send(
        &gateway,
        &[
            group("shop", "a1", &[], 60, 40),
            group("stock", "b1", &[], 100, 0),
            group("sliced", "c1", &[], 10, 0),
        ],
    );
    let journey = eventually("the journey has both parts", Duration::from_secs(30), || {
        let journey = budget(&gateway, "buy");
        let whole = journey["good_total"] == 160 && journey["bad_total"] == 40;
        whole.then_some(journey)
    });
    assert_eq!(journey["accounting"]["kind"], "journey");
    assert_eq!(journey["owner"]["team"], "shop");
    // (3 * 0.4 + 0) / 4 is 0.3, of a budget of 0.1.
    let consumed = journey["consumed"].as_f64().unwrap();
    assert!((consumed - 3.0).abs() < 1e-9, "{journey}");

    let shop = eventually("the month of shop", Duration::from_secs(30), || {
        Some(budget(&gateway, "shop")).filter(|b| b["consumed"].is_number())
    });
    let accounting = &shop["accounting"];
    assert_eq!(
        (
            &accounting["calendar"],
            &accounting["timezone"],
            &accounting["method"]
        ),
        (&json!("month"), &json!("Europe/Berlin"), &json!("occurrences"))
    );
    assert!(accounting["period_ends"].is_string(), "{accounting}");
    assert_eq!(
        (&accounting["peak"]["burn_factor"], &accounting["confidence"]),
        (&json!(3.0), &json!("high"))
    );
    assert_eq!(accounting["targets"][0]["name"], "stretch");
    assert_eq!(
        (&shop["period"]["good"], &shop["period"]["bad"]),
        (&json!(60), &json!(40))
    );

    // The gateway's own clock decides when its first slice is over: at most five minutes; here it must not be known yet,
    // or be known as good.
    let sliced = budget(&gateway, "sliced");
    assert_eq!(sliced["accounting"]["method"], "timeslices");
    assert_eq!(sliced["accounting"]["slice_secs"], 300);

    corrections(&gateway);
    let page = gateway.metrics();
    let of_shop = [("service", "shop"), ("slo", "availability")];
    let with = |label: (&'static str, &'static str)| [of_shop[0], of_shop[1], label];
    assert_eq!(sample(&page, "slo_peak_burn_factor", &of_shop), Some(3.0));
    assert_eq!(
        sample(&page, "slo_period_excluded_events", &with(("outcome", "bad"))),
        Some(40.0)
    );
    assert!(sample(&page, "slo_period_end_timestamp_seconds", &of_shop).unwrap() > 1.7e9);
    assert!(
        sample(
            &page,
            "slo_burn_rate",
            &[("service", "buy"), ("level", "journey"), ("window", "5m")]
        )
        .is_some()
    );

    let mut gateway = gateway;
    gateway.stop();
    drop(gateway);
    let again = start(dir.path());
    let shop = eventually("what was corrected stays so", Duration::from_secs(30), || {
        Some(budget(&again, "shop")).filter(|b| b["accounting"]["excluded_bad"] == 40)
    });
    assert_eq!(
        (&shop["period"]["bad"], &shop["consumed"]),
        (&json!(40), &Value::Null)
    );
    let listed = again.api("/api/v1/corrections?service=shop")["corrections"].clone();
    let listed = listed.as_array().unwrap().clone();
    assert_eq!(listed.len(), 3, "{listed:?}");
    let withdrawn = listed.iter().find(|c| c["withdrawn"].is_object()).unwrap();
    assert_eq!(withdrawn["withdrawn"]["author"], "anna");
}

/// Over HTTP and gRPC: refused without the token, made, taken back, made again.
fn corrections(gateway: &Gateway) {
    let (from, to) = around_now();
    let body = json!({ "service": "shop", "from": from, "to": to, "author": "ben", "reason": "load test" });
    let path = "/api/v1/corrections";
    assert_eq!(call(gateway, path, None, &body).0, 401);
    assert_eq!(call(gateway, path, Some("wrong"), &body).0, 401);
    let (status, refused) = call(gateway, path, Some("s3cret"), &json!({ "service": "shop" }));
    assert_eq!(status, 400, "{refused}");
    let mut nobody = body.clone();
    nobody["author"] = json!(" ");
    let (status, refused) = call(gateway, path, Some("s3cret"), &nobody);
    assert_eq!(
        (status, &refused["error"]["message"]),
        (
            400,
            &json!("author is missing: it is read when somebody asks why")
        )
    );
    let (status, made) = call(gateway, path, Some("s3cret"), &body);
    assert_eq!(
        (status, &made["author"], &made["reason"]),
        (201, &json!("ben"), &json!("load test"))
    );
    let excluded = |bad: u64| {
        eventually("the budget follows", Duration::from_secs(30), || {
            let shop = budget(gateway, "shop");
            (shop["accounting"]["excluded_bad"] == bad).then_some(shop)
        })
    };
    let shop = excluded(40);
    assert_eq!(
        (&shop["period"]["good"], &shop["consumed"]),
        (&json!(60), &Value::Null),
        "raw counts stay"
    );

    let id = made["id"].as_str().unwrap();
    let why = json!({ "author": "anna", "reason": "it was an outage" });
    let back = format!("{path}/{id}/withdraw");
    assert_eq!(call(gateway, &back, Some("s3cret"), &why).0, 200);
    assert_eq!(call(gateway, &back, Some("s3cret"), &why).0, 409);
    assert_eq!(
        call(
            gateway,
            &format!("{path}/policy:shop-0/withdraw"),
            Some("s3cret"),
            &why
        )
        .0,
        409
    );
    assert_eq!(
        call(gateway, &format!("{path}/nothing/withdraw"), Some("s3cret"), &why).0,
        404
    );
    let shop = excluded(0);
    assert!((shop["consumed"].as_f64().unwrap() - 40.0).abs() < 1e-9);

    block_on(over_grpc(gateway));
    excluded(40);
}

async fn over_grpc(gateway: &Gateway) {
    let mut api = BudgetServiceClient::connect(gateway.url("api", ""))
        .await
        .unwrap();
    let now = i64::try_from(proof_support::now_nanos() / 1_000_000_000).unwrap();
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let new = CreateCorrectionRequest {
        service: "shop".into(),
        from: at(now - 900),
        to: at(now + 900),
        author: "ben".into(),
        reason: "load test".into(),
        ..CreateCorrectionRequest::default()
    };
    let refused = api.create_correction(new.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut request = tonic::Request::new(new);
    request
        .metadata_mut()
        .insert("authorization", "Bearer s3cret".parse().unwrap());
    let made = api.create_correction(request).await.unwrap().into_inner();
    assert_eq!(made.from.unwrap().seconds % 300, 0, "whole five minutes");
    let listed = api
        .list_corrections(ListCorrectionsRequest {
            service: "shop".into(),
        })
        .await
        .unwrap()
        .into_inner()
        .corrections;
    assert!(listed.iter().any(|c| c.id == made.id) && listed.iter().any(|c| c.author == "eve"));
    let mut unknown = tonic::Request::new(WithdrawCorrectionRequest {
        id: "nothing".into(),
        author: "a".into(),
        reason: "b".into(),
    });
    unknown
        .metadata_mut()
        .insert("authorization", "Bearer s3cret".parse().unwrap());
    assert_eq!(
        api.withdraw_correction(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
}

/// Long before a count leaves a window: nothing but the correction itself makes the budget change.
#[test]
fn a_correction_shows_at_once_in_a_budget_to_which_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let gateway = start(dir.path());
    send(&gateway, &[group("stock", "b1", &[], 60, 40)]);
    let burnt = eventually("the burn of stock", Duration::from_secs(30), || {
        Some(budget(&gateway, "stock")).filter(|b| b["bad_total"] == 40)
    });
    assert!(
        (burnt["consumed"].as_f64().unwrap() - 40.0).abs() < 1e-9,
        "{burnt}"
    );
    let (from, to) = around_now();
    let body = json!({ "service": "stock", "from": from, "to": to, "author": "ben", "reason": "load test" });
    let path = "/api/v1/corrections";
    let (status, made) = call(&gateway, path, Some("s3cret"), &body);
    assert_eq!(status, 201, "{made}");
    // Ticks come every second; far less than the five minutes after which a window loses the events.
    let follows = |bad: u64| {
        eventually("the budget follows", Duration::from_mins(1), || {
            Some(budget(&gateway, "stock")).filter(|b| b["accounting"]["excluded_bad"] == bad)
        })
    };
    let left_out = follows(40);
    assert_eq!(
        (&left_out["period"]["bad"], &left_out["consumed"]),
        (&json!(40), &Value::Null),
        "raw counts stay"
    );
    let five = |b: &Value| b["windows"][0]["burn_rate"].clone();
    assert_eq!(five(&left_out), Value::Null);
    let id = made["id"].as_str().unwrap();
    let why = json!({ "author": "anna", "reason": "it was an outage" });
    assert_eq!(
        call(&gateway, &format!("{path}/{id}/withdraw"), Some("s3cret"), &why).0,
        200
    );
    let back = follows(0);
    assert!((back["consumed"].as_f64().unwrap() - 40.0).abs() < 1e-9, "{back}");
    assert_eq!(five(&back), five(&burnt));
}

#[test]
fn without_a_token_nobody_corrects_anything() {
    let gateway = Gateway::start(&Setup::default());
    let (from, to) = around_now();
    let body = json!({ "service": "shop", "from": from, "to": to, "author": "ben", "reason": "load test" });
    let (status, said) = call(&gateway, "/api/v1/corrections", Some("anything"), &body);
    assert_eq!(status, 403);
    assert!(
        said["error"]["message"]
            .as_str()
            .unwrap()
            .contains("extensions.api.token"),
        "{said}"
    );
    assert_eq!(gateway.api("/api/v1/corrections"), json!({ "corrections": [] }));
}
