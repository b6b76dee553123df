//! The API from outside: every route and every refusal as JSON, the same answers over gRPC from a generated client, reflection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod proof_support;
mod support;

use burngate::api::proto::budget_service_client::BudgetServiceClient;
use burngate::api::proto::{
    self, Budget, GetBudgetsRequest, ListBudgetsRequest, ListCohortsRequest, ListDecisionsRequest,
};
use burngate::time::UnixNanos;
use proof_support::{Group, await_totals, group, send};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Gateway, Setup, block_on, eventually, get, post};
use tonic::Code;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ListServiceResponse, ServerReflectionRequest};

const POLICY: &str = "
service: pay
environment: production
slos:
  - { name: availability, target: 99.9% }
  - { name: latency, target: 99%, sli: { faster_than: 250ms } }
kill_switches:
  - { flag: new-pay, exporter: webhook, slo: availability, attribution: off, mode: observe, when: { burn_above: 7, window: 5m, for: 0s } }
  - { flag: alone, exporter: webhook, slo: availability, attribution: off, mode: observe, when: { burn_above: 7, window: 5m, for: 0s } }
";

/// Two services; on one of them a flag burns (and its rule only observes), another burns with nothing to compare it with.
fn gateway() -> Gateway {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ], cohorts: { absent: ignore } }".into(),
        exporters: "  webhook: { url: 'http://127.0.0.1:9/flags', token: s3cret-token }\n".into(),
        decisions: vec!["webhook".into()],
        ..Setup::default()
    };
    let gateway = Gateway::start_with(&setup, &[("policies/pay.yaml", POLICY)]);
    let pay = |flags: &[&str], good, bad| Group {
        environment: Some("production".into()),
        ..group("pay", "abc", flags, good, bad)
    };
    send(
        &gateway,
        &[
            pay(&["new-pay"], 50, 50),
            pay(&["!new-pay"], 900, 0),
            pay(&["alone"], 0, 20),
        ],
    );
    send(
        &gateway,
        &[
            group("search", "s1", &[], 90, 10),
            group("search", "s2", &[], 100, 0),
        ],
    );
    eventually("both SLOs of pay are there", Duration::from_secs(15), || {
        let (status, body) = get(&gateway.url("api", "/api/v1/budgets/pay"));
        let body: Value = serde_json::from_str(&body).unwrap();
        (status == 200 && body["budgets"].as_array().unwrap().len() == 2).then_some(())
    });
    await_totals(&gateway, "search", (190, 10));
    eventually("a decision and a withheld one", Duration::from_secs(15), || {
        let all = gateway.api("/api/v1/decisions");
        let there = |key: &str| !all[key].as_array().unwrap().is_empty();
        (there("decisions") && there("withheld")).then_some(())
    });
    gateway
}

async fn connect(gateway: &Gateway) -> BudgetServiceClient<Channel> {
    BudgetServiceClient::connect(gateway.url("api", ""))
        .await
        .unwrap()
}

#[test]
fn budgets_say_where_every_objective_stands() {
    let gateway = gateway();
    let all = gateway.api("/api/v1/budgets")["budgets"].clone();
    let named: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|b| (&b["service"], &b["slo"], &b["environment"]))
        .collect();
    let production = json!("production");
    assert_eq!(
        named,
        [
            (&json!("pay"), &json!("availability"), &production),
            (&json!("pay"), &json!("latency"), &production),
            (&json!("search"), &json!("availability"), &Value::Null),
        ]
    );
    let search = &gateway.api("/api/v1/budgets/search")["budgets"][0];
    assert_eq!(search, &all[2]);
    for (key, want) in [
        ("objective", 0.999),
        ("budget_minutes", 43.2),
        ("budget_events", 0.2),
        ("time_to_exhaustion_secs", 0.0),
    ] {
        let got = search[key].as_f64().unwrap();
        assert!((got - want).abs() < 1e-9, "{key}: {got}");
    }
    assert!(
        (search["remaining"].as_f64().unwrap() - -49.0).abs() < 1e-9,
        "overspent is negative: {search}"
    );
    assert_eq!(
        (&search["good_total"], &search["bad_total"]),
        (&json!(190), &json!(10))
    );
    assert_eq!(
        (&search["state"], &search["period_secs"]),
        (&json!("budget_exhausted"), &json!(2_592_000))
    );
    let windows = search["windows"].as_array().unwrap();
    let secs: Vec<_> = windows
        .iter()
        .map(|w| w["window_secs"].as_u64().unwrap())
        .collect();
    assert_eq!(
        secs,
        [300, 1800, 3600, 7200, 21_600, 86_400, 259_200],
        "shortest first, the period apart"
    );
    for window in windows.iter().chain([&search["period"]]) {
        let time = |key: &str| window[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let secs = i64::try_from(window["window_secs"].as_u64().unwrap()).unwrap();
        let stated = time("to").as_second() - time("from").as_second();
        assert!(
            stated >= secs && stated <= secs + 600,
            "the interval it used, never less: {window}"
        );
        assert_eq!((&window["good"], &window["bad"]), (&json!(190), &json!(10)));
        assert!((window["burn_rate"].as_f64().unwrap() - 50.0).abs() < 1e-9);
    }
    let alerts: Vec<_> = search["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        alerts,
        ["critical_burn", "fast_burn", "slow_burn_24h", "slow_burn_3d"]
    );
}

#[test]
fn cohorts_are_filtered_and_limited() {
    let gateway = gateway();
    let list = |query: &str| gateway.api(&format!("/api/v1/cohorts{query}"));
    let count = |query: &str| list(query)["cohorts"].as_array().unwrap().len();
    assert_eq!(count("?service=search"), 2);
    assert_eq!(count("?sha=s1"), 1);
    assert_eq!(count("?sha=s1&service=pay"), 0);
    assert_eq!(count("?service=nobody"), 0);
    let flags = list("?flag=new-pay&service=pay")["cohorts"].clone();
    let mut variants: Vec<_> = flags
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["slo"], &c["variant"]))
        .collect();
    variants.sort_by_key(|(slo, variant)| (slo.to_string(), variant.to_string()));
    let text = |s: &str| json!(s);
    let (off, on, a, l) = (text("off"), text("on"), text("availability"), text("latency"));
    assert_eq!(variants, [(&a, &off), (&a, &on), (&l, &off), (&l, &on)]);
    let all = count("");
    let cut = list("?limit=3");
    assert_eq!(
        (cut["cohorts"].as_array().unwrap().len(), &cut["truncated"]),
        (3, &json!(true))
    );
    assert_eq!(list(&format!("?limit={all}"))["truncated"], false);
    assert_eq!(
        count("?limit=4294967295"),
        all,
        "beyond the maximum is the maximum"
    );
    let cohort = &list("?sha=s1")["cohorts"][0];
    assert_eq!(
        cohort["remaining"],
        Value::Null,
        "a cohort has burn rates, and no budget of its own: {cohort}"
    );
    assert_eq!(
        (&cohort["good_total"], &cohort["bad_total"], &cohort["overflow"]),
        (&json!(90), &json!(10), &json!(false))
    );
}

#[test]
fn decisions_carry_their_evidence_and_others_why_not() {
    let gateway = gateway();
    let all = gateway.api("/api/v1/decisions");
    let decision = &all["decisions"][0];
    assert_eq!(all["decisions"].as_array().unwrap().len(), 1, "{all}");
    assert_eq!(
        (&decision["flag"], &decision["state"]),
        (&json!("new-pay"), &json!("observed"))
    );
    assert_eq!(
        (&decision["exporter"], &decision["environment"]),
        (&json!("webhook"), &json!("production"))
    );
    let evidence = &decision["evidence"];
    assert_eq!(
        (&evidence["service"], &evidence["slo"], &evidence["sha"]),
        (&json!("pay"), &json!("availability"), &json!("abc"))
    );
    assert_eq!(
        (&evidence["window"]["good"], &evidence["window"]["bad"]),
        (&json!(50), &json!(50))
    );
    assert_eq!(evidence["window"]["burn_rate"], json!(500.0));
    assert_eq!(
        (&evidence["control_good"], &evidence["control_bad"]),
        (&json!(900), &json!(0))
    );
    assert!(!decision["history"].as_array().unwrap().is_empty());
    let withheld = &all["withheld"][0];
    assert_eq!(withheld["flag"], "alone");
    assert!(
        withheld["reason"].as_str().unwrap().starts_with("no_control: "),
        "{withheld}"
    );
    assert_eq!(
        gateway.api("/api/v1/decisions?service=search"),
        json!({ "decisions": [], "withheld": [] })
    );
    assert_eq!(
        gateway.api("/api/v1/decisions?service=pay&limit=1")["decisions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let said = [all.to_string(), gateway.metrics(), gateway.stderr()].concat();
    assert!(!said.contains("s3cret"), "a token appears nowhere");
}

#[test]
fn what_is_wrong_is_said_in_json() {
    let gateway = gateway();
    for (path, code, word) in [
        ("/api/v1/budgets/nobody", 404, "nothing was counted for service"),
        ("/api/v2/budgets", 404, "/api/v1/budgets"),
        ("/", 404, "no such path: /"),
        ("/api/v1/budgets/", 404, "no such path"),
        ("/api/v1/cohorts?limit=many", 400, "limit"),
        ("/api/v1/cohorts?limit=-1", 400, "limit"),
        ("/api/v1/cohorts?flags=new-pay", 400, "flags"),
        ("/api/v1/decisions?limit=1e3", 400, "limit"),
        ("/api/v1/decisions?flag=x", 400, "flag"),
        ("/api/v1/budgets/%FF", 400, "UTF-8"),
        ("/api/v1/budgets?service=pay", 400, "/api/v1/budgets/{service}"),
    ] {
        let (status, body) = get(&gateway.url("api", path));
        assert_refused(path, code, word, status, &body);
    }
    for path in [
        "/api/v1/budgets",
        "/api/v1/budgets/pay",
        "/api/v1/cohorts",
        "/api/v1/decisions",
    ] {
        let (status, body) = post(&gateway.url("api", path), "application/json", b"{}".to_vec());
        assert_refused(path, 405, "GET", status, &String::from_utf8(body).unwrap());
    }
}

fn assert_refused(path: &str, code: u16, word: &str, status: u16, body: &str) {
    assert_eq!(status, code, "{path}: {body}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"));
    assert_eq!(body["error"]["code"], code, "{path}");
    assert!(
        body["error"]["message"].as_str().unwrap().contains(word),
        "{path}: {body}"
    );
}

/// Field by field, by hand: what serde derives is not its own witness.
fn as_json(budget: &Budget) -> Value {
    let at = |t: &Option<prost_types::Timestamp>| {
        let t = t.as_ref().unwrap();
        let nanos = u64::try_from(t.seconds).unwrap() * 1_000_000_000 + u64::try_from(t.nanos).unwrap();
        UnixNanos(nanos).to_string()
    };
    let sampling = |s: &proto::Sampling| {
        json!({ "seen_good": s.seen_good, "seen_bad": s.seen_bad, "good_error": s.good_error,
            "bad_error": s.bad_error, "effective_events": s.effective_events })
    };
    let window = |w: &proto::Window| {
        json!({ "window_secs": w.window_secs, "from": at(&w.from), "to": at(&w.to), "good": w.good, "bad": w.bad,
            "burn_rate": w.burn_rate, "excluded_good": w.excluded_good, "excluded_bad": w.excluded_bad,
            "burn_low": w.burn_low, "burn_high": w.burn_high, "confidence": w.confidence, "slices": w.slices,
            "sampling": w.sampling.as_ref().map(sampling) })
    };
    let state = |state: proto::AlertState| match state {
        proto::AlertState::Unspecified => "unspecified",
        proto::AlertState::NoData => "no_data",
        proto::AlertState::Healthy => "healthy",
        proto::AlertState::SlowBurn => "slow_burn",
        proto::AlertState::FastBurn => "fast_burn",
        proto::AlertState::CriticalBurn => "critical_burn",
        proto::AlertState::BudgetExhausted => "budget_exhausted",
    };
    let alert = |a: &proto::Alert| json!({ "name": a.name, "severity": a.severity, "state": state(a.state()), "since": at(&a.since), "held_back": a.held_back });
    json!({
        "service": budget.service, "slo": budget.slo, "environment": budget.environment, "sha": budget.sha,
        "flag": budget.flag, "variant": budget.variant, "overflow": budget.overflow, "objective": budget.objective,
        "period_secs": budget.period_secs, "evaluated_at": at(&budget.evaluated_at),
        "windows": budget.windows.iter().map(window).collect::<Vec<_>>(),
        "remaining": budget.remaining, "consumed": budget.consumed,
        "time_to_exhaustion_secs": budget.time_to_exhaustion_secs, "budget_events": budget.budget_events,
        "budget_minutes": budget.budget_minutes, "good_total": budget.good_total, "bad_total": budget.bad_total,
        "state": state(budget.state()), "alerts": budget.alerts.iter().map(alert).collect::<Vec<_>>(),
        "period": budget.period.as_ref().map(window),
        "tier": budget.tier, "owner": budget.owner,
        "accounting": serde_json::to_value(&budget.accounting).unwrap(),
        "route": budget.route, "latency": serde_json::to_value(&budget.latency).unwrap(),
        "watched_routes": budget.watched_routes,
        "comparisons": serde_json::to_value(&budget.comparisons).unwrap(), "sli_quality": budget.sli_quality,
    })
}

/// Asks both until they speak of the same evaluation.
fn both(gateway: &Gateway, path: &str, over_grpc: impl Fn() -> Value) {
    let mut last = (Value::Null, Value::Null);
    for _ in 0..20 {
        last = (gateway.api(path), over_grpc());
        if last.0 == last.1 {
            return;
        }
    }
    assert_eq!(last.0, last.1, "{path}");
}

#[test]
fn grpc_answers_what_http_answers() {
    let gateway = gateway();
    let list = |budgets: &[Budget]| Value::Array(budgets.iter().map(as_json).collect());
    both(&gateway, "/api/v1/budgets", || {
        let answer = block_on(async { connect(&gateway).await.list_budgets(ListBudgetsRequest {}).await });
        json!({ "budgets": list(&answer.unwrap().into_inner().budgets) })
    });
    both(&gateway, "/api/v1/budgets/pay", || {
        let request = GetBudgetsRequest {
            service: "pay".into(),
        };
        let answer = block_on(async { connect(&gateway).await.get_budgets(request).await });
        json!({ "budgets": list(&answer.unwrap().into_inner().budgets) })
    });
    for (path, service, flag, limit) in [
        ("/api/v1/cohorts", "", "", 0),
        ("/api/v1/cohorts?service=pay&flag=new-pay", "pay", "new-pay", 0),
        ("/api/v1/cohorts?limit=2", "", "", 2),
    ] {
        both(&gateway, path, || {
            let request = ListCohortsRequest {
                service: service.into(),
                flag: flag.into(),
                limit,
                ..Default::default()
            };
            let answer = block_on(async { connect(&gateway).await.list_cohorts(request).await });
            let answer = answer.unwrap().into_inner();
            json!({ "cohorts": list(&answer.cohorts), "truncated": answer.truncated })
        });
    }
    both(&gateway, "/api/v1/decisions", || {
        let request = ListDecisionsRequest::default();
        let answer = block_on(async { connect(&gateway).await.list_decisions(request).await });
        serde_json::to_value(answer.unwrap().into_inner()).unwrap()
    });
}

#[test]
fn grpc_refuses_with_codes() {
    let gateway = gateway();
    for (service, code, word) in [
        ("", Code::InvalidArgument, "ListBudgets"),
        ("nobody", Code::NotFound, "nobody"),
    ] {
        let request = GetBudgetsRequest {
            service: service.into(),
        };
        let status = block_on(async { connect(&gateway).await.get_budgets(request).await }).unwrap_err();
        assert_eq!(status.code(), code);
        assert!(status.message().contains(word), "{status:?}");
    }
}

#[test]
fn reflection_lists_the_service() {
    let gateway = gateway();
    let services = block_on(async {
        let channel = Channel::from_shared(gateway.url("api", ""))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let mut client = ServerReflectionClient::new(channel);
        let ask = |message| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        };
        let asked = vec![
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol(
                "burngate.v1.BudgetService".into(),
            )),
        ];
        let mut answers = client
            .server_reflection_info(tokio_stream::iter(asked))
            .await
            .unwrap()
            .into_inner();
        let listed = answers.message().await.unwrap().unwrap().message_response;
        let described = answers.message().await.unwrap().unwrap().message_response;
        assert!(
            matches!(described, Some(MessageResponse::FileDescriptorResponse(_))),
            "{described:?}"
        );
        match listed {
            Some(MessageResponse::ListServicesResponse(ListServiceResponse { service })) => service,
            other => panic!("{other:?}"),
        }
    });
    let names: Vec<&str> = services.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"burngate.v1.BudgetService"), "{names:?}");
    assert!(
        names.contains(&"grpc.reflection.v1.ServerReflection"),
        "{names:?}"
    );
}
