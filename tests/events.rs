//! Counts by hand from outside: HTTP, gRPC and `burngate record` to the real binary, over restarts and crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod proof_support;
mod support;

use burngate::api::proto::event_service_client::EventServiceClient;
use burngate::api::proto::{Event, RecordEventsRequest};
use proof_support::{await_totals, counts, free_port};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::{Gateway, Setup, block_on, client, eventually, get};
use tonic::{Code, Request};

const POLICY: &str = "
service: import
environment: production
slos:
  - { name: rows, target: 99.9% }
  - { name: other, target: 99%, sli: { events: {} } }
";

fn gateway() -> Gateway {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ], default_slo: null }".into(),
        ..Setup::default()
    };
    Gateway::start_with(&setup, &[("policies/import.yaml", POLICY)])
}

fn send(gateway: &Gateway, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    block_on(async {
        let mut request = client()
            .post(gateway.url("api", "/api/v1/events"))
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    })
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn event(good: u64, bad: u64) -> Value {
    json!({ "service": "import", "slo": "rows", "environment": "production", "good": good, "bad": bad })
}

fn recorded(gateway: &Gateway, slo: &str) -> (u64, u64) {
    counts(&gateway.api("/api/v1/budgets")["budgets"], |b| b["slo"] == slo)
}

fn record(args: &[&str], envs: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_burngate"))
        .args([
            "record",
            "--service",
            "import",
            "--slo",
            "rows",
            "--environment",
            "production",
        ])
        .args(args)
        .envs(envs.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn events_count_in_the_total_and_in_the_cohorts_that_they_name() {
    let gateway = gateway();
    let mut one = event(90, 10);
    one["sha"] = "4f2c1e".into();
    one["flags"] = json!(["fast-path", "!old", "mode=bulk"]);
    assert_eq!(
        send(&gateway, &[JSON], &one.to_string()),
        (
            200,
            json!({ "good": 90, "bad": 10, "moved": 0, "duplicate": false, "durable": true })
        )
    );
    let mut late = event(0, 3);
    late["time"] = "2020-01-01T00:00:00Z".into();
    let mut other = event(5, 0);
    other["slo"] = "other".into();
    let batch = json!({ "events": [event(7, 0), late, other] });
    let (status, answer) = send(&gateway, &[JSON], &batch.to_string());
    assert_eq!(
        (status, &answer["good"], &answer["bad"], &answer["moved"]),
        (200, &12.into(), &3.into(), &3.into())
    );
    await_totals(&gateway, "import", (102, 13));
    assert_eq!(
        (recorded(&gateway, "rows"), recorded(&gateway, "other")),
        ((97, 13), (5, 0))
    );
    let cohorts = eventually("four cohorts", Duration::from_secs(15), || {
        let all = gateway.api("/api/v1/cohorts?service=import")["cohorts"].clone();
        (all.as_array().unwrap().len() == 4).then_some(all)
    });
    for (flag, variant) in [("fast-path", "on"), ("old", "off"), ("mode", "bulk")] {
        let found = counts(&cohorts, |c| {
            c["flag"] == flag && c["variant"] == variant && c["sha"] == "4f2c1e"
        });
        assert_eq!(found, (90, 10), "{flag}");
    }
    let page = gateway.metrics();
    assert!(
        page.contains("burngate_recorded_events_total{outcome=\"bad\"} 13"),
        "{page}"
    );
}

#[test]
fn what_cannot_be_taken_is_refused_whole_and_said() {
    let gateway = gateway();
    let batch = |second: Value| json!({ "events": [event(1, 0), second] }).to_string();
    let with = |key: &str, value: Value| {
        let mut it = event(1, 0);
        it[key] = value;
        it
    };
    let many = json!({ "events": vec![event(1, 0); 1001] }).to_string();
    for (headers, body, status, words) in [
        (
            &[JSON][..],
            batch(with("slo", "lines".into())),
            400,
            "event 2: service \"import\" has no SLO \"lines\" in environment \"production\"; it has \"rows\", \"other\"",
        ),
        (
            &[JSON],
            batch(with("service", "nobody".into())),
            400,
            "event 2: no policy covers service \"nobody\"",
        ),
        (
            &[JSON],
            batch(with("environment", "staging".into())),
            400,
            "no policy covers service \"import\" in environment \"staging\"",
        ),
        (
            &[JSON],
            batch(with("flags", json!(["=on"]))),
            400,
            "flags: \"=on\" cannot be read",
        ),
        (&[JSON], batch(with("good", (-1).into())), 400, "invalid value"),
        (
            &[JSON],
            batch(with("colour", "red".into())),
            400,
            "unknown field `colour`",
        ),
        (
            &[JSON],
            batch(with("time", "noon".into())),
            400,
            "event 2: time is neither RFC 3339 nor Unix seconds",
        ),
        (&[JSON], batch(with("sha", "a\nb".into())), 400, "sha is no name"),
        (&[JSON], "[]".to_owned(), 400, "invalid type"),
        (&[JSON], "{\"events\": []}".to_owned(), 400, "no events"),
        (&[JSON], many, 400, "1001 events, at most 1000"),
        (&[JSON], "x".repeat(2 << 20), 413, "length limit exceeded"),
        (
            &[("content-type", "text/plain")],
            event(1, 0).to_string(),
            415,
            "Content-Type: application/json",
        ),
        (
            &[JSON, ("idempotency-key", &"k".repeat(257))],
            event(1, 0).to_string(),
            400,
            "longer than 256 bytes",
        ),
    ] {
        let (got, answer) = send(&gateway, headers, &body);
        let told = answer["error"]["message"].as_str().unwrap();
        assert_eq!(
            (got, &answer["error"]["code"]),
            (status, &status.into()),
            "{told}"
        );
        assert!(told.contains(words), "{words}: {told}");
    }
    let (status, body) = get(&gateway.url("api", "/api/v1/events"));
    assert_eq!((status, body.contains("only POST is answered here")), (405, true));
    send(&gateway, &[JSON], &event(2, 0).to_string());
    await_totals(&gateway, "import", (2, 0));
}

#[test]
fn a_key_counts_once_and_stands_for_one_batch() {
    let gateway = gateway();
    let key = [JSON, ("idempotency-key", "night-1")];
    let first = send(&gateway, &key, &event(10, 1).to_string()).1;
    let second = send(&gateway, &key, &event(10, 1).to_string()).1;
    assert_eq!((&first["duplicate"], &first["good"]), (&false.into(), &10.into()));
    assert_eq!((&second["duplicate"], &second["good"]), (&true.into(), &0.into()));
    let (status, other) = send(&gateway, &key, &event(11, 1).to_string());
    assert_eq!(status, 409, "{other}");
    let in_body = json!({ "events": [event(1, 0)], "idempotency_key": "night-2" }).to_string();
    assert_eq!(send(&gateway, &[JSON], &in_body).1["duplicate"], false);
    assert_eq!(send(&gateway, &[JSON], &in_body).1["duplicate"], true);
    assert_eq!(
        send(&gateway, &[JSON, ("idempotency-key", "night-3")], &in_body).0,
        400
    );
    await_totals(&gateway, "import", (11, 1));
}

#[test]
fn an_answered_batch_survives_kill_9_with_its_key() {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let mut gateway = Gateway::start_with(&setup, &[("policies/import.yaml", POLICY)]);
    for round in 1..=3_u64 {
        let key = format!("round-{round}");
        let headers = [JSON, ("idempotency-key", key.as_str())];
        let (status, answer) = send(&gateway, &headers, &event(100, round).to_string());
        assert_eq!((status, &answer["durable"]), (200, &true.into()));
        let folder = gateway.kill9().unwrap();
        gateway = Gateway::start_in(folder.path(), &["run", "--config", "gateway.yaml"], &[]);
        let again = send(&gateway, &headers, &event(100, round).to_string());
        assert_eq!((again.0, &again.1["duplicate"]), (200, &true.into()));
        await_totals(&gateway, "import", (100 * round, (1..=round).sum()));
        gateway = gateway.keep(folder);
    }
}

#[test]
fn a_script_that_runs_again_with_its_key_is_told_so_and_counts_nothing() {
    let gateway = gateway();
    let api = gateway.url("api", "");
    let run = |more: &[&str]| {
        let args = [
            "--good",
            "99",
            "--bad",
            "1",
            "--api",
            &api,
            "--idempotency-key",
            "night-1",
        ];
        let done = record(&[&args[..], more].concat(), &[]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        (done.status.code(), said)
    };
    assert_eq!(
        run(&[]),
        (Some(0), "recorded 99 good and 1 bad events\n".to_owned())
    );
    for _ in 0..2 {
        assert_eq!(
            run(&[]),
            (
                Some(0),
                "recorded already, nothing was counted again\n".to_owned()
            )
        );
    }
    assert_eq!(
        run(&["--flag", "fast-path"]).0,
        Some(64),
        "other events under the same key"
    );
    await_totals(&gateway, "import", (99, 1));
}

#[test]
fn a_token_keeps_strangers_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    std::fs::write(folder.path().join("policies/import.yaml"), POLICY).unwrap();
    std::fs::write(folder.path().join("token"), "open-sesame\n").unwrap();
    let yaml = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let yaml = yaml.yaml().replace(
        "api: { endpoint: 127.0.0.1:0 }",
        "api: { endpoint: 127.0.0.1:0, token: '${env:API_TOKEN}' }",
    );
    std::fs::write(folder.path().join("gateway.yaml"), yaml).unwrap();
    let run = ["run", "--config", "gateway.yaml"];
    let gateway = Gateway::start_in(folder.path(), &run, &[("API_TOKEN", "open-sesame")]);
    let body = event(1, 0).to_string();
    assert_eq!(send(&gateway, &[JSON], &body).0, 401);
    assert_eq!(
        send(&gateway, &[JSON, ("authorization", "Bearer open")], &body).0,
        401
    );
    assert_eq!(
        send(&gateway, &[JSON, ("authorization", "bearer open-sesame")], &body).0,
        200
    );
    let api = gateway.url("api", "");
    let none = record(&["--good", "1", "--api", &api], &[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("401"), "{none:?}");
    let token = folder.path().join("token");
    let by_file = record(
        &[
            "--good",
            "1",
            "--api",
            &api,
            "--token-file",
            token.to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!(by_file.status.code(), Some(0), "{by_file:?}");
    let by_env = record(
        &["--good", "1", "--api", &api],
        &[("BURNGATE_API_TOKEN", "open-sesame")],
    );
    assert_eq!(by_env.status.code(), Some(0), "{by_env:?}");
    await_totals(&gateway, "import", (3, 0));
    assert_eq!(
        get(&gateway.url("api", "/api/v1/budgets")).0,
        200,
        "reading asks for nothing"
    );
    assert!(!gateway.stderr().contains("open-sesame"));
}

#[test]
fn grpc_says_the_same() {
    let gateway = gateway();
    block_on(async {
        let mut client = EventServiceClient::connect(gateway.url("api", "")).await.unwrap();
        let event = |slo: &str| Event {
            service: "import".to_owned(),
            slo: slo.to_owned(),
            good: 4,
            bad: 2,
            environment: Some("production".to_owned()),
            ..Event::default()
        };
        let request = |slo: &str| {
            Request::new(RecordEventsRequest {
                events: vec![event(slo)],
                idempotency_key: "k".to_owned(),
            })
        };
        let answer = client.record_events(request("rows")).await.unwrap().into_inner();
        assert_eq!(
            (answer.good, answer.bad, answer.duplicate, answer.durable),
            (4, 2, false, true)
        );
        assert!(
            client
                .record_events(request("rows"))
                .await
                .unwrap()
                .into_inner()
                .duplicate
        );
        let other = client.record_events(request("other")).await.unwrap_err();
        assert_eq!(other.code(), Code::AlreadyExists);
        let mut unknown = request("lines");
        unknown.get_mut().idempotency_key.clear();
        let unknown = client.record_events(unknown).await.unwrap_err();
        assert_eq!(unknown.code(), Code::InvalidArgument);
        assert!(unknown.message().contains("has no SLO \"lines\""));
    });
    await_totals(&gateway, "import", (4, 2));
}

#[test]
fn record_waits_for_a_gateway_that_is_starting_and_gives_up_in_time() {
    let port = free_port();
    let api = format!("http://127.0.0.1:{port}");
    let gave_up = record(&["--bad", "1", "--api", &api, "--timeout", "500ms"], &[]);
    let told = String::from_utf8_lossy(&gave_up.stderr).into_owned();
    assert_eq!(gave_up.status.code(), Some(1), "{told}");
    assert!(
        told.contains("gave up, send it again with --idempotency-key"),
        "{told}"
    );

    let waiting = Command::new(env!("CARGO_BIN_EXE_burngate"))
        .args([
            "record",
            "--service",
            "import",
            "--slo",
            "rows",
            "--environment",
            "production",
        ])
        .args([
            "--good",
            "8",
            "--bad",
            "1",
            "--flag",
            "fast-path",
            "--sha",
            "4f2c1e",
            "--api",
            &api,
        ])
        .args(["--timeout", "5m"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = start_at(folder.path(), port);
    let done = waiting.wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "recorded 8 good and 1 bad events\n"
    );
    let again = record(
        &["--good", "8", "--api", &api, "--idempotency-key", "x", "--quiet"],
        &[],
    );
    assert_eq!((again.status.code(), again.stdout.len()), (Some(0), 0));
    let wrong = record(&["--good", "1", "--api", &api, "--flag", "=on"], &[]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
    await_totals(&gateway, "import", (16, 1));
}

fn start_at(folder: &Path, port: u16) -> Gateway {
    std::fs::create_dir(folder.join("policies")).unwrap();
    std::fs::write(folder.join("policies/import.yaml"), POLICY).unwrap();
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let api = format!("api: {{ endpoint: 127.0.0.1:{port} }}");
    let yaml = setup.yaml().replace("api: { endpoint: 127.0.0.1:0 }", &api);
    std::fs::write(folder.join("gateway.yaml"), yaml).unwrap();
    Gateway::start_in(folder, &["run", "--config", "gateway.yaml"], &[])
}
