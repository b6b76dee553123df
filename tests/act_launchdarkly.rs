//! LaunchDarkly, by a double whose answers hold against LaunchDarkly's own description and in which its official clients work.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod act_support;
mod launchdarkly;

use act_support::{T0, decision, target};
use burngate::act::{Actuator, Exporter, Exporters, FlagState, FlagWarning, Outcome, Trouble};
use burngate::config::{LaunchDarklyExporter, OnApproval, Secret};
use burngate::decide::{Action, Decision, FailureReason};
use burngate::policy::SafeState;
use launchdarkly::schema::Schemas;
use launchdarkly::{BYPASS, LaunchDarkly, READER, TRIGGER, WRITER, flag, rule};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const ID: &str = "launchdarkly";
const FLAG: &str = "new-checkout";

fn config(double: &LaunchDarkly, token: &str) -> LaunchDarklyExporter {
    LaunchDarklyExporter {
        endpoint: double.url.clone(),
        timeout: Duration::from_millis(700),
        ..LaunchDarklyExporter::new(ID, Secret::new(token))
    }
}

fn build(config: LaunchDarklyExporter) -> Exporters {
    Exporters::build(&[config].into()).unwrap()
}

fn exporters(double: &LaunchDarkly, token: &str) -> Exporters {
    build(config(double, token))
}

fn to(state: SafeState) -> Decision {
    let mut d = decision(ID, FLAG);
    d.action = Action::Switch { to: state };
    d
}

fn off() -> Decision {
    to(SafeState::Off)
}

async fn start() -> LaunchDarkly {
    LaunchDarkly::start([flag(FLAG), flag("innocent")]).await
}

fn the(exporters: &Exporters) -> &Exporter {
    exporters.get(ID).unwrap()
}

async fn state(exporters: &Exporters, d: &Decision) -> FlagState {
    the(exporters).read_back(d, T0).await.unwrap().unwrap().state
}

async fn carry_out(exporters: &Exporters, d: &Decision) -> Outcome {
    the(exporters).carry_out(d, None, T0).await
}

fn permanent(outcome: Outcome) -> (FailureReason, String) {
    match outcome {
        Err(Trouble::Permanent { reason, detail }) => (reason, detail),
        other => panic!("{other:?}"),
    }
}

fn again(outcome: Outcome) -> (Option<Duration>, bool, String) {
    match outcome {
        Err(Trouble::Retry { after, down, detail }) => (after, down, detail),
        other => panic!("{other:?}"),
    }
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared")
}

/// Every exchange of a test, by LaunchDarkly's description.
fn check(double: &LaunchDarkly) {
    let Some(schemas) = Schemas::load(&shared()) else {
        return;
    };
    for it in &double.world().exchanges {
        let findings = schemas.check(it);
        assert!(findings.is_empty(), "{} {}:\n{findings:#?}", it.method, it.path);
    }
}

#[tokio::test]
async fn off_is_a_patch_for_the_version_that_was_read_and_for_nothing_else() {
    let double = start().await;
    let exporters = exporters(&double, WRITER);
    let read = the(&exporters).read_back(&off(), T0).await.unwrap().unwrap();
    assert_eq!(
        (read.state, read.version.as_deref()),
        (FlagState::Exposed, Some("3"))
    );
    the(&exporters).carry_out(&off(), Some("3"), T0).await.unwrap();
    assert_eq!(state(&exporters, &off()).await, FlagState::Safe);
    let writes = double.writes();
    let [write] = &writes[..] else {
        panic!("{writes:?}")
    };
    assert_eq!(
        (write.method.as_str(), write.path.as_str()),
        ("PATCH", "/api/v2/flags/default/new-checkout")
    );
    assert_eq!(write.headers["authorization"], WRITER);
    assert_eq!(write.headers["ld-api-version"], "20240415");
    assert_eq!(write.headers["content-type"], "application/json");
    assert_eq!(
        write.body,
        json!({
            "comment": "burngate decision id-launchdarkly-new-checkout: burn-rate>7x/5m (on of checkout: burn 14.4x, \
                        144 bad of 10000)",
            "patch": [
                { "op": "test", "path": "/environments/production/version", "value": 3 },
                { "op": "replace", "path": "/environments/production/on", "value": false },
            ],
        })
    );
    assert_eq!(double.environment(FLAG, "development")["on"], true);
    assert_eq!(double.environment("innocent", "production")["on"], true);
    // Off again is off, and writes nothing into the history.
    carry_out(&exporters, &off()).await.unwrap();
    assert_eq!(double.world().audit.len(), 1);
    // And on, for a flag that is read inverted.
    let on = to(SafeState::On);
    assert_eq!(state(&exporters, &on).await, FlagState::Exposed);
    carry_out(&exporters, &on).await.unwrap();
    assert_eq!(state(&exporters, &on).await, FlagState::Safe);
    check(&double);
}

#[tokio::test]
async fn a_change_between_read_and_write_is_never_overrun() {
    let double = start().await;
    let exporters = exporters(&double, WRITER);
    let answers = [
        (
            409,
            "optimistic_locking_error",
            "Conflict. Optimistic lock error. Try again later.",
        ),
        (
            400,
            "invalid_request",
            "Could not apply patch: testing path failed",
        ),
        (
            422,
            "patch_failed",
            "Unprocessable entity. Could not apply patch.",
        ),
    ];
    for failed_test in answers {
        double.faults(|it| {
            it.meddling = 1;
            it.failed_test = failed_test;
        });
        let mut changed = double.environment(FLAG, "production");
        changed["trackEvents"] = json!(false);
        double.world().flags.get_mut(FLAG).unwrap()["environments"]["production"] = changed;
        let (_, down, detail) = again(carry_out(&exporters, &off()).await);
        assert!(!down, "{detail}");
        assert_eq!(double.environment(FLAG, "production")["on"], true, "{detail}");
    }
    // A version that was read longer ago is not even tried.
    let before = double.writes().len();
    let (_, _, detail) = again(the(&exporters).carry_out(&off(), Some("2"), T0).await);
    assert!(detail.contains("has changed since it was read"), "{detail}");
    assert_eq!(double.writes().len(), before);
    carry_out(&exporters, &off()).await.unwrap();
    assert_eq!(state(&exporters, &off()).await, FlagState::Safe);
    check(&double);
}

#[tokio::test]
async fn every_answer_has_its_class() {
    let double = start().await;
    let writer = exporters(&double, WRITER);
    let (reason, detail) = permanent(carry_out(&exporters(&double, "api-wrong-canary"), &off()).await);
    assert_eq!(reason, FailureReason::Unauthorized);
    assert!(!detail.contains("canary"), "{detail}");
    let (reason, _) = permanent(carry_out(&exporters(&double, READER), &off()).await);
    assert_eq!(reason, FailureReason::Forbidden);
    let mut unknown = off();
    unknown.flag = "nope".to_owned();
    assert_eq!(
        permanent(carry_out(&writer, &unknown).await).0,
        FailureReason::NotFound
    );
    let mut elsewhere = off();
    elsewhere.environment = "staging".to_owned();
    let (reason, detail) = permanent(carry_out(&writer, &elsewhere).await);
    assert_eq!(reason, FailureReason::NotFound);
    assert!(detail.contains("no environment `staging`"), "{detail}");
    double.faults(|it| it.conflicts = 1);
    assert!(!again(carry_out(&writer, &off()).await).1);
    double.faults(|it| it.down = 1);
    assert!(again(carry_out(&writer, &off()).await).1, "503 counts as down");
    let reset = (T0.0 / 1_000_000 + 4_000).to_string();
    let limits = [
        ("x-ratelimit-global-remaining", "0".to_owned()),
        ("x-ratelimit-reset", reset),
    ];
    double.faults(|it| {
        it.limited = 1;
        it.limits = limits.to_vec();
    });
    let (after, down, _) = again(carry_out(&writer, &off()).await);
    assert_eq!((after, down), (Some(Duration::from_secs(4)), false));
    double.faults(|it| {
        it.limited = 1;
        it.limits = vec![("retry-after", "17".to_owned())];
    });
    assert_eq!(
        again(carry_out(&writer, &off()).await).0,
        Some(Duration::from_secs(17))
    );
    double.faults(|it| it.approvals = true);
    let (reason, detail) = permanent(carry_out(&writer, &off()).await);
    assert_eq!(reason, FailureReason::NeedsApproval);
    assert!(detail.contains("require approval"), "{detail}");
    carry_out(&exporters(&double, BYPASS), &off()).await.unwrap();
    double.world().flags.get_mut(FLAG).unwrap()["archived"] = json!(true);
    assert_eq!(
        permanent(carry_out(&writer, &off()).await).0,
        FailureReason::Rejected
    );
    check(&double);
}

#[tokio::test]
async fn what_is_pending_is_overruled_once() {
    let double = start().await;
    double.faults(|it| it.pending = true);
    carry_out(&exporters(&double, WRITER), &off()).await.unwrap();
    let paths: Vec<String> = double.writes().into_iter().map(|it| it.path).collect();
    let path = "/api/v2/flags/default/new-checkout";
    assert_eq!(paths, [path.to_owned(), format!("{path}?ignoreConflicts=true")]);
    check(&double);
}

#[tokio::test]
async fn a_lost_answer_is_read_back() {
    let double = start().await;
    let exporters = exporters(&double, WRITER);
    double.faults(|it| it.lost = 1);
    assert!(again(carry_out(&exporters, &off()).await).1);
    assert_eq!(state(&exporters, &off()).await, FlagState::Safe);
}

#[tokio::test]
async fn an_approval_is_requested_once_and_named() {
    let double = start().await;
    double.faults(|it| it.approvals = true);
    let exporters = build(LaunchDarklyExporter {
        on_approval: OnApproval::Request,
        ..config(&double, WRITER)
    });
    for _ in 0..2 {
        let (reason, detail) = permanent(carry_out(&exporters, &off()).await);
        assert_eq!(reason, FailureReason::NeedsApproval);
        assert!(detail.contains("approval request approval-1 waits"), "{detail}");
    }
    let requests = double.world().approvals.clone();
    let [request] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(request["instructions"], json!([{ "kind": "turnFlagOff" }]));
    // What waits for a human is as ready as it will be.
    assert!(the(&exporters).preflight(&target(ID, FLAG), T0).await.is_ok());
    check(&double);
}

#[tokio::test]
async fn a_rollout_and_a_variant_are_set_by_id_in_the_fallthrough_and_the_rules_that_burn() {
    let mut burning = flag(FLAG);
    burning["environments"]["production"]["rules"] = json!([rule("r1", 0), rule("r2", 1)]);
    let double = LaunchDarkly::start([burning]).await;
    let exporters = exporters(&double, WRITER);
    let five = to(SafeState::Rollout { percent: 5 });
    assert_eq!(state(&exporters, &five).await, FlagState::Exposed);
    carry_out(&exporters, &five).await.unwrap();
    assert_eq!(state(&exporters, &five).await, FlagState::Safe);
    let weights = |served: &Value| served["rollout"]["variations"].clone();
    let production = double.environment(FLAG, "production");
    let want = json!([{ "variation": 0, "weight": 5_000 }, { "variation": 1, "weight": 95_000 }]);
    assert_eq!(weights(&production["fallthrough"]), want);
    assert_eq!(weights(&production["rules"][0]), want);
    assert_eq!(production["rules"][1]["variation"], 1, "this rule does not burn");
    let serve = to(SafeState::Serve {
        variant: "off".into(),
    });
    carry_out(&exporters, &serve).await.unwrap();
    assert_eq!(state(&exporters, &serve).await, FlagState::Safe);
    assert_eq!(
        double.environment(FLAG, "production")["fallthrough"],
        json!({ "variation": 1 })
    );
    assert_eq!(double.environment(FLAG, "production")["on"], true);
    let writes = double.writes();
    for write in &writes {
        let kind = &write.headers["content-type"];
        assert_eq!(kind, "application/json; domain-model=launchdarkly.semanticpatch");
    }
    let blue = to(SafeState::Serve {
        variant: "blue".into(),
    });
    let (reason, detail) = permanent(carry_out(&exporters, &blue).await);
    assert_eq!(reason, FailureReason::Rejected);
    assert!(
        detail.contains("no variation `blue`; it has new path, false"),
        "{detail}"
    );
    check(&double);
}

#[tokio::test]
async fn a_step_of_a_probation_sets_the_share_and_switches_on_in_one_change() {
    let mut killed = flag(FLAG);
    killed["environments"]["production"]["on"] = json!(false);
    let double = LaunchDarkly::start([killed]).await;
    let exporters = exporters(&double, WRITER);
    for (percent, from) in [(1, 0), (25, 1)] {
        let mut step = off();
        step.action = Action::Expose { percent, from };
        let reading = the(&exporters).read_back(&step, T0).await.unwrap().unwrap();
        assert!(reading.exposure.unwrap().is_at(from));
        the(&exporters)
            .carry_out(&step, reading.version.as_deref(), T0)
            .await
            .unwrap();
        let production = double.environment(FLAG, "production");
        let weight = u64::from(percent) * 1_000;
        let want =
            json!([{ "variation": 0, "weight": weight }, { "variation": 1, "weight": 100_000 - weight }]);
        assert_eq!(production["fallthrough"]["rollout"]["variations"], want);
        assert_eq!(production["on"], true);
        assert_eq!(state(&exporters, &step).await, FlagState::Safe);
        // For the version that was read, and for no other.
        let late = the(&exporters)
            .carry_out(&step, reading.version.as_deref(), T0)
            .await;
        assert!(again(late).2.contains("has changed since it was read"));
    }
    assert_eq!(double.writes().len(), 2, "one change a step");
    check(&double);
    let mut ruled = flag(FLAG);
    ruled["environments"]["production"]["rules"] = json!([rule("r1", 0)]);
    let double = LaunchDarkly::start([ruled]).await;
    let exporters = self::exporters(&double, WRITER);
    let mut wanted = target(ID, FLAG);
    wanted.first_percent = Some(1);
    let warnings = the(&exporters).preflight(&wanted, T0).await.unwrap();
    assert_eq!(warnings, [FlagWarning::NoProbation]);
}

#[tokio::test]
async fn off_that_would_serve_what_burns_is_warned_of_and_refused() {
    let mut inverted = flag(FLAG);
    inverted["environments"]["production"]["offVariation"] = json!(0);
    let double = LaunchDarkly::start([inverted]).await;
    let exporters = exporters(&double, WRITER);
    let warnings = the(&exporters).preflight(&target(ID, FLAG), T0).await.unwrap();
    assert_eq!(warnings, [FlagWarning::OffServesBlamed]);
    let mut other = target(ID, FLAG);
    other.variants = Some(vec!["#1".into()]);
    assert_eq!(the(&exporters).preflight(&other, T0).await.unwrap(), []);
    let (reason, detail) = permanent(carry_out(&exporters, &off()).await);
    assert_eq!(reason, FailureReason::Rejected);
    assert!(detail.contains("very variation that burns"), "{detail}");
    assert_eq!(double.writes().len(), 0);
}

#[tokio::test]
async fn the_probe_tries_without_changing_anything() {
    let double = start().await;
    let writer = exporters(&double, WRITER);
    let before = double.environment(FLAG, "production");
    assert_eq!(the(&writer).preflight(&target(ID, FLAG), T0).await.unwrap(), []);
    assert_eq!(double.environment(FLAG, "production"), before);
    let tried = double.world().exchanges.last().unwrap().clone();
    assert!(tried.path.contains("dryRun=true"), "{}", tried.path);
    let probe = async |token: &str, flag: &str| {
        let outcome = the(&exporters(&double, token))
            .preflight(&target(ID, flag), T0)
            .await;
        permanent(outcome.map(|_| ())).0
    };
    assert_eq!(probe(READER, FLAG).await, FailureReason::Forbidden);
    assert_eq!(probe("api-wrong", FLAG).await, FailureReason::Unauthorized);
    assert_eq!(probe(WRITER, "nope").await, FailureReason::NotFound);
    double.faults(|it| it.approvals = true);
    assert_eq!(probe(WRITER, FLAG).await, FailureReason::NeedsApproval);
    check(&double);
}

#[tokio::test]
async fn a_trigger_switches_off_without_a_token_that_writes_and_is_never_shown() {
    let double = start().await;
    let trigger = |url: String| LaunchDarklyExporter {
        trigger_urls: vec![(format!("production/{FLAG}"), Secret::new(url))],
        ..config(&double, READER)
    };
    let exporters = build(trigger(format!("{}{TRIGGER}", double.url)));
    assert_eq!(
        the(&exporters).preflight(&target(ID, FLAG), T0).await.unwrap(),
        []
    );
    carry_out(&exporters, &off()).await.unwrap();
    assert_eq!(state(&exporters, &off()).await, FlagState::Safe);
    let writes = double.writes();
    assert_eq!(writes[0].path, TRIGGER);
    assert!(!writes[0].headers.contains_key("authorization"));
    let gone = trigger(format!("{}/webhook/triggers/canary-trigger-path-77", double.url));
    let shown = format!("{gone:?}");
    let exporters = build(gone);
    let (_, detail) = permanent(carry_out(&exporters, &off()).await);
    let all = format!("{shown} {exporters:?} {detail}");
    assert!(!all.contains("canary"), "{all}");
}

#[tokio::test]
async fn the_audit_log_tells_whose_the_last_change_was() {
    let double = start().await;
    let (ours, other) = (exporters(&double, WRITER), exporters(&double, BYPASS));
    assert_eq!(the(&ours).last_change(&target(ID, FLAG), T0).await.unwrap(), None);
    carry_out(&ours, &off()).await.unwrap();
    let change = the(&ours)
        .last_change(&target(ID, FLAG), T0)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (change.at, change.by.as_str(), change.is_ours),
        (T0, "burn gateway", true)
    );
    carry_out(&other, &to(SafeState::On)).await.unwrap();
    let change = the(&ours)
        .last_change(&target(ID, FLAG), T0)
        .await
        .unwrap()
        .unwrap();
    assert!(!change.is_ours && change.at > T0);
    let asked = double.world().exchanges.last().unwrap().path.clone();
    assert_eq!(
        asked,
        "/api/v2/auditlog?spec=proj%2Fdefault%3Aenv%2Fproduction%3Aflag%2Fnew-checkout&limit=1"
    );
    check(&double);
}

#[test]
fn the_description_bites() {
    let Some(schemas) = Schemas::load(&shared()) else {
        return;
    };
    assert_eq!(schemas.findings("FeatureFlag", &flag(FLAG)), Vec::<String>::new());
    let mut broken = flag(FLAG);
    broken.as_object_mut().unwrap().remove("_links");
    broken["variations"] = json!("none");
    broken["environments"]["production"]["version"] = json!("3");
    assert!(schemas.findings("FeatureFlag", &broken).len() >= 3);
}

/// A tool that tests/all.sh installs, or a word about its absence.
fn tool(path: &str) -> Option<PathBuf> {
    let tools = std::env::var_os("BURNGATE_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"));
    let path = tools.join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("BURNGATE_NO_SKIP").is_none(),
        "cannot skip here: LaunchDarkly's clients are not installed"
    );
    eprintln!("skipped: LaunchDarkly's clients are not installed (tests/all.sh installs them)");
    None
}

/// Runs an official client; switches the flag off once it has said its first `lines`; returns all that it said.
async fn watched(double: &LaunchDarkly, mut client: Command, lines: usize) -> Vec<String> {
    let mut child = client.stdout(Stdio::piped()).spawn().unwrap();
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let _ = tx.send(line);
        }
    });
    let mut said = Vec::new();
    let wait = Duration::from_secs(90);
    while let Some(line) = tokio::time::timeout(wait, rx.recv())
        .await
        .expect("the client hangs")
    {
        said.push(line);
        if said.len() == lines {
            carry_out(&exporters(double, WRITER), &off()).await.unwrap();
        }
    }
    assert!(child.wait().unwrap().success(), "{said:?}");
    said
}

#[tokio::test]
async fn the_official_python_clients_see_the_flag_go_off() {
    let Some(python) = tool("launchdarkly/bin/python") else {
        return;
    };
    let double = start().await;
    let mut client = Command::new(python);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/launchdarkly/official.py");
    client.arg(script).args([&double.url, READER, FLAG]);
    let said = watched(&double, client, 2).await;
    let want = [
        "managed True 3",
        "served True FALLTHROUGH",
        "served False OFF",
        "managed False 4",
    ];
    assert_eq!(said, want);
}

#[tokio::test]
async fn the_official_node_sdk_sees_the_flag_go_off() {
    let Some(modules) = tool("launchdarkly-js/node_modules") else {
        return;
    };
    let double = start().await;
    let mut client = Command::new("node");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/launchdarkly/official.cjs");
    client
        .arg(script)
        .args([&double.url, FLAG])
        .env("NODE_PATH", modules);
    let said = watched(&double, client, 1).await;
    assert_eq!(said, ["served true FALLTHROUGH", "served false OFF"]);
}
