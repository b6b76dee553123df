//! The kill switch against a real Unleash server: what the doubles say, checked against the thing itself.
//!
//! The server is installed once under the target folder and started on free ports (about a minute the first
//! time). Where the tools, npm or PostgreSQL cannot be had the test says so and skips; with BURNGATE_NO_SKIP
//! set that is a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::assigning_clones,
    clippy::disallowed_methods,
    missing_docs
)]

mod act_support;
#[path = "support/ports.rs"]
mod ports;

use act_support::{StepClock, T0, World, decision, target};
use burngate::act::exporter::FlagWarning;
use burngate::act::preflight::Readiness;
use burngate::act::{Actuator, Delivery, Exporters, FlagState, Pacing, Preflight, Trouble};
use burngate::config::{Secret, UnleashExporter};
use burngate::decide::{
    Action, Actor, Decision, DecisionState, Effect, FailureReason, NoEffect, Phase, ProbationStep,
};
use burngate::policy::SafeState;
use burngate::time::UnixNanos;
use ports::free_port;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

/// A running server; stopped when dropped.
struct Server {
    script: PathBuf,
    ports: [u16; 2],
    env: HashMap<String, String>,
    client: reqwest::Client,
}

/// The folder that every test of a real Unleash shares: its packages are installed once. Test files run one after another.
fn home() -> PathBuf {
    let tools = std::env::var_os("BURNGATE_TOOLS").map(PathBuf::from);
    tools
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools"))
        .join("unleash")
}

fn unleash_up(script: &PathBuf, ports: [u16; 2], args: &[&str]) -> Output {
    Command::new(script)
        .args(args)
        .env("UNLEASH_HOME", home())
        .env("UNLEASH_PORT", ports[0].to_string())
        .env("UNLEASH_PG_PORT", ports[1].to_string())
        .output()
        .expect("bash runs")
}

impl Server {
    fn start() -> Option<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/unleash/unleash-up.sh");
        if !script.exists() {
            return skip("the script that installs a real Unleash is not here");
        }
        let ports = [free_port(), free_port()];
        // What an interrupted run has left would hold the folder on other ports.
        unleash_up(&script, ports, &["down"]);
        let up = unleash_up(&script, ports, &["up"]);
        if !up.status.success() {
            unleash_up(&script, ports, &["down"]);
            let words = String::from_utf8_lossy(&up.stderr).into_owned();
            return skip(&format!("no real Unleash can be started here:\n{words}"));
        }
        let words = String::from_utf8_lossy(&up.stdout).into_owned();
        let exports = words
            .lines()
            .filter_map(|l| l.strip_prefix("export ")?.split_once('='));
        let env = exports
            .map(|(k, v)| (k.to_owned(), v.trim_matches('\'').to_owned()))
            .collect();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Some(Self {
            script,
            ports,
            env,
            client,
        })
    }

    fn var(&self, name: &str) -> &str {
        &self.env[name]
    }

    /// `pg_ctl` on its database, as the user that may; Unleash itself goes on.
    fn database(action: &[&str]) {
        let mut binaries: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .unwrap()
            .map(|it| it.unwrap().path().join("bin/pg_ctl"))
            .collect();
        binaries.sort();
        let (data, log) = (home().join("pgdata"), home().join("log/postgres.log"));
        let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
        let mut command = Command::new(if is_root { "runuser" } else { "env" });
        if is_root {
            command.args(["-u", "postgres", "--"]);
        }
        command
            .arg(binaries.last().unwrap())
            .arg("-D")
            .arg(data)
            .arg("-l")
            .arg(log);
        command.args(["-w", "-t", "60"]).args(action).current_dir("/");
        // What it starts would keep a pipe open for ever.
        let status = command.stdout(std::process::Stdio::null()).status().unwrap();
        assert!(status.success(), "{action:?}: {status}");
    }

    fn sql(&self, statement: &str) {
        let done = unleash_up(&self.script, self.ports, &["sql", statement]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/api/admin{path}", self.var("UNLEASH_URL"));
        let mut request = self.client.request(method.parse().unwrap(), url);
        request = request.header("authorization", self.var("UNLEASH_ADMIN_TOKEN"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A flag with a strategy, on in both environments.
    async fn make_flag(&self, flag: &str, kind: &str) {
        let features = "/projects/default/features";
        self.api("POST", features, Some(json!({ "name": flag, "type": kind })))
            .await;
        for environment in ["development", "production"] {
            let at = format!("{features}/{flag}/environments/{environment}");
            let parameters = json!({ "rollout": "100", "stickiness": "default", "groupId": flag });
            let all = json!({ "name": "flexibleRollout", "parameters": parameters });
            self.api("POST", &format!("{at}/strategies"), Some(all)).await;
            self.api("POST", &format!("{at}/on"), None).await;
        }
    }

    async fn is_on(&self, flag: &str, environment: &str) -> bool {
        let at = format!("/projects/default/features/{flag}/environments/{environment}");
        self.api("GET", &at, None).await["enabled"].as_bool().unwrap()
    }

    async fn off_events(&self, flag: &str) -> Vec<Value> {
        let query = format!("/search/events?feature=IS:{flag}&type=IS:feature-environment-disabled&limit=50");
        self.api("GET", &query, None).await["events"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// A personal token of a new user with the root role Editor, as the documentation recommends.
    async fn editor_token(&self) -> String {
        self.token_of("burngate", 2).await
    }

    /// A personal token of a new user with that root role: 2 is Editor, 3 Viewer.
    async fn token_of(&self, name: &str, role: u8) -> String {
        let password = "a-Long_pass.word-4711";
        let user = json!({ "username": name, "rootRole": role, "sendEmail": false, "password": password });
        self.api("POST", "/user-admin", Some(user)).await;
        let url = self.var("UNLEASH_URL");
        let login = self.client.post(format!("{url}/auth/simple/login"));
        let login = login
            .json(&json!({ "username": name, "password": password }))
            .send()
            .await
            .unwrap();
        let cookies = login.headers().get_all("set-cookie").iter();
        let cookies: Vec<&str> = cookies
            .filter_map(|c| c.to_str().ok()?.split(';').next())
            .collect();
        let token = json!({ "description": "kill switch", "expiresAt": "2099-01-01T00:00:00Z" });
        let made = self
            .client
            .post(format!("{url}/api/admin/user/tokens"))
            .header("cookie", cookies.join("; "));
        let made = made.json(&token).send().await.unwrap();
        let (status, text) = (made.status(), made.text().await.unwrap());
        assert!(status.is_success(), "{status} {text}");
        serde_json::from_str::<Value>(&text).unwrap()["secret"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn exporters(&self, token: &str) -> Arc<Exporters> {
        let config = UnleashExporter::new("unleash", self.var("UNLEASH_URL"), Secret::new(token));
        Arc::new(Exporters::build(&[config].into()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        unleash_up(&self.script, self.ports, &["down"]);
        unleash_up(&self.script, self.ports, &["reset"]);
    }
}

fn skip(why: &str) -> Option<Server> {
    assert!(
        std::env::var_os("BURNGATE_NO_SKIP").is_none(),
        "cannot skip here: {why}"
    );
    eprintln!("skipped: {why}");
    None
}

async fn carried_out(exporters: Arc<Exporters>, d: Decision) -> Decision {
    carried_out_at(
        exporters,
        d,
        Pacing {
            first: Duration::from_millis(50),
            ..Pacing::default()
        },
    )
    .await
}

async fn carried_out_at(exporters: Arc<Exporters>, d: Decision, pacing: Pacing) -> Decision {
    let log = Arc::new(Arc::new(World::default()).process());
    let delivery = Delivery::new(exporters, log, StepClock::at(T0), pacing).unwrap();
    let decisions = delivery.decisions();
    let task = tokio::spawn(delivery.run(std::future::pending()));
    decisions.submit(d.clone()).unwrap();
    let ended = async {
        loop {
            if let Some(d) = decisions.get(&d.id).filter(|d| d.state.is_final()) {
                return d;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let d = tokio::time::timeout(Duration::from_mins(5), ended)
        .await
        .expect("the decision never ended");
    task.abort();
    d
}

fn failed(d: &Decision) -> (FailureReason, String) {
    match &d.state {
        DecisionState::Failed { reason, detail } => (*reason, detail.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_real_unleash_flag_is_switched_off_and_nothing_else() {
    let Some(server) = Server::start() else { return };
    let admin = server.exporters(server.var("UNLEASH_ADMIN_TOKEN"));
    server.make_flag("new-checkout", "release").await;
    server.make_flag("innocent", "release").await;
    switches_only_the_named_flag(&server, &admin).await;
    a_second_call_writes_no_event(&server, &admin).await;
    wrong_tokens_and_names_have_their_own_record(&server, &admin).await;
    an_approval_is_asked_for(&server).await;
    an_archived_flag_is_a_case_for_a_human(&server, &admin).await;
    preflight_sees_what_is_wrong(&server, &admin).await;
    a_rollout_gets_smaller_and_on_needs_a_strategy(&server, &admin).await;
    events_tell_whose_the_last_change_was(&admin).await;
    who_may_not_switch_is_told_so(&server).await;
    what_is_never_sent_would_be_refused(&server).await;
    many_at_once_are_all_done(&server, &admin).await;
    children_are_told_of(&server, &admin).await;
    a_human_who_switches_back_is_heard_in_every_phase(&server, &admin).await;
    a_flag_comes_back_in_steps_until_somebody_changes_it(&server, &admin).await;
    what_has_no_one_share_is_not_given_back(&server, &admin).await;
    a_database_that_is_stopped_during_the_call_is_waited_for(&server).await;
    // The last: the server goes away.
    let url = server.var("UNLEASH_URL").to_owned();
    drop(server);
    let gone = UnleashExporter::new("unleash", url, Secret::new("*:*.whatever"));
    let gone = Arc::new(Exporters::build(&[gone].into()).unwrap());
    let first = Duration::from_millis(50);
    let pacing = Pacing {
        first,
        breaker_open: first,
        ..Pacing::default()
    };
    let (reason, detail) = failed(&carried_out_at(gone, decision("unleash", "innocent"), pacing).await);
    assert_eq!(reason, FailureReason::Unreachable);
    assert!(detail.contains("cannot connect"), "{detail}");
}

/// A step of the probation of `flag` after what left it at `from`.
fn given(flag: &str, percent: u8, from: u8, left_at: UnixNanos) -> Decision {
    let mut d = decision("unleash", flag);
    d.action = Action::Expose { percent, from };
    d.actor = Actor::Probation { of: "k".to_owned() };
    d.life.probation = Some(ProbationStep {
        of: "k".to_owned(),
        step: 1,
        left_at,
        every_secs: 600,
        min_bad: 1,
        min_events: 50,
        is_last: false,
        former_percent: None,
    });
    d
}

/// Whether it is on in production, and the shares of its strategies there.
async fn exposure(server: &Server, flag: &str) -> (bool, Vec<String>) {
    let at = format!("/projects/default/features/{flag}/environments/production");
    let view = server.api("GET", &at, None).await;
    let shares = view["strategies"].as_array().unwrap().iter();
    let shares = shares.map(|it| it["parameters"]["rollout"].as_str().unwrap_or("none").to_owned());
    (view["enabled"].as_bool().unwrap(), shares.collect())
}

fn real_now() -> UnixNanos {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    UnixNanos(u64::try_from(now.as_nanos()).unwrap())
}

async fn a_flag_comes_back_in_steps_until_somebody_changes_it(server: &Server, admin: &Arc<Exporters>) {
    let flag = "comes-back";
    server.make_flag(flag, "release").await;
    carried_out(Arc::clone(admin), decision("unleash", flag)).await;
    assert_eq!(exposure(server, flag).await, (false, vec!["100".to_owned()]));
    for (percent, from) in [(1, 0), (5, 1)] {
        let d = carried_out(Arc::clone(admin), given(flag, percent, from, real_now())).await;
        let done = DecisionState::Confirmed {
            verified: true,
            already_off: false,
        };
        assert_eq!(d.state, done, "{:?}", d.history);
        // One strategy, and none that Unleash has added for everybody.
        assert_eq!(exposure(server, flag).await, (true, vec![percent.to_string()]));
        let former = d.life.probation.and_then(|step| step.former_percent);
        assert_eq!(former, (from == 0).then_some(100));
        assert!(server.is_on(flag, "development").await);
    }
    let tags = server
        .api("GET", &format!("/features/{flag}/tags"), None)
        .await
        .to_string();
    assert!(
        tags.contains("1%: probation") && tags.contains("5%: probation"),
        "{tags}"
    );
    // Somebody gives it to half of the users: the next step is not ours to take, nor to take back.
    let at = format!("/projects/default/features/{flag}/environments/production");
    let id = server.api("GET", &at, None).await["strategies"][0]["id"].clone();
    let half = json!([{ "op": "replace", "path": "/parameters/rollout", "value": "50" }]);
    let patch = format!("{at}/strategies/{}", id.as_str().unwrap());
    server.api("PATCH", &patch, Some(half)).await;
    let d = carried_out(Arc::clone(admin), given(flag, 25, 5, real_now())).await;
    assert_eq!(failed(&d).0, FailureReason::Overruled, "{:?}", d.history);
    let mut back = decision("unleash", flag);
    back.actor = Actor::Probation { of: "k".to_owned() };
    back.life.left_at = Some(T0);
    let d = carried_out(Arc::clone(admin), back.clone()).await;
    assert_eq!(failed(&d).0, FailureReason::Overruled, "{:?}", d.history);
    assert_eq!(exposure(server, flag).await, (true, vec!["50".to_owned()]));
    // What nobody has touched since is taken back.
    back.life.left_at = Some(real_now());
    let d = carried_out(Arc::clone(admin), back).await;
    assert!(
        matches!(d.state, DecisionState::Confirmed { verified: true, .. }),
        "{:?}",
        d.history
    );
    assert!(!exposure(server, flag).await.0);
}

async fn what_has_no_one_share_is_not_given_back(server: &Server, admin: &Arc<Exporters>) {
    let flag = "two-strategies";
    server.make_flag(flag, "release").await;
    let strategies = format!("/projects/default/features/{flag}/environments/production/strategies");
    let everybody = json!({ "name": "default", "parameters": {} });
    server.api("POST", &strategies, Some(everybody)).await;
    let mut wanted = target("unleash", flag);
    wanted.first_percent = Some(1);
    let exporter = admin.get("unleash").unwrap();
    let warnings = exporter.preflight(&wanted, T0).await.unwrap();
    assert_eq!(warnings, [FlagWarning::NoProbation]);
    wanted.flag = "innocent".to_owned();
    assert_eq!(exporter.preflight(&wanted, T0).await.unwrap(), []);
    carried_out(Arc::clone(admin), decision("unleash", flag)).await;
    let before = exposure(server, flag).await;
    let d = carried_out(Arc::clone(admin), given(flag, 1, 0, real_now())).await;
    let (reason, detail) = failed(&d);
    assert_eq!(reason, FailureReason::Rejected);
    assert!(
        detail.contains("one active strategy") && detail.contains("has 2"),
        "{detail}"
    );
    assert_eq!(exposure(server, flag).await, before);
}

async fn switches_only_the_named_flag(server: &Server, admin: &Arc<Exporters>) {
    let d = carried_out(Arc::clone(admin), decision("unleash", "new-checkout")).await;
    assert_eq!(
        d.state,
        DecisionState::Confirmed {
            verified: true,
            already_off: false
        },
        "{:?}",
        d.history
    );
    assert!(!server.is_on("new-checkout", "production").await);
    assert!(server.is_on("new-checkout", "development").await);
    assert!(server.is_on("innocent", "production").await && server.is_on("innocent", "development").await);
    let tags = server.api("GET", "/features/new-checkout/tags", None).await;
    let reason = json!({ "type": "error-budget", "value": "off: burn 14.4x 2026-11-21T22:34Z" });
    let tag = &tags["tags"][0];
    assert_eq!(
        (&tag["type"], &tag["value"]),
        (&reason["type"], &reason["value"]),
        "{tags}"
    );
    assert_eq!(tags["tags"].as_array().unwrap().len(), 1);
    let events = server.off_events("new-checkout").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["environment"], "production");
    assert_eq!(events[0]["tags"], json!([reason]), "the event carries the reason");
}

async fn a_second_call_writes_no_event(server: &Server, admin: &Arc<Exporters>) {
    let d = carried_out(Arc::clone(admin), decision("unleash", "new-checkout")).await;
    assert_eq!(
        d.state,
        DecisionState::Confirmed {
            verified: true,
            already_off: true
        }
    );
    assert_eq!(server.off_events("new-checkout").await.len(), 1);
    // Also when the call itself is repeated, as after a lost answer.
    server
        .api(
            "POST",
            "/projects/default/features/new-checkout/environments/production/off",
            None,
        )
        .await;
    assert_eq!(server.off_events("new-checkout").await.len(), 1);
}

async fn wrong_tokens_and_names_have_their_own_record(server: &Server, admin: &Arc<Exporters>) {
    let wrong = server.exporters("*:*.0000000000000000000000000000000000000000");
    assert_eq!(
        failed(&carried_out(wrong, decision("unleash", "innocent")).await).0,
        FailureReason::Unauthorized
    );
    let sdk = server.exporters(server.var("UNLEASH_BACKEND_TOKEN_PRODUCTION"));
    let (reason, detail) = failed(&carried_out(sdk, decision("unleash", "innocent")).await);
    assert_eq!(reason, FailureReason::Forbidden);
    assert!(detail.contains("expected a different token type"), "{detail}");
    let (reason, detail) = failed(&carried_out(Arc::clone(admin), decision("unleash", "nope")).await);
    assert_eq!(reason, FailureReason::NotFound);
    assert!(detail.contains("no feature named \"nope\""), "{detail}");
    let mut staging = decision("unleash", "innocent");
    staging.environment = "staging".to_owned();
    let (reason, detail) = failed(&carried_out(Arc::clone(admin), staging).await);
    assert_eq!(reason, FailureReason::NotFound);
    assert!(detail.contains("staging"), "{detail}");
    let mut elsewhere = UnleashExporter::new(
        "unleash",
        server.var("UNLEASH_URL"),
        Secret::new(server.var("UNLEASH_ADMIN_TOKEN")),
    );
    elsewhere.project = "shop".to_owned();
    let elsewhere = Arc::new(Exporters::build(&[elsewhere].into()).unwrap());
    let (_, detail) = failed(&carried_out(elsewhere, decision("unleash", "innocent")).await);
    assert!(
        detail.contains("in project \"default\""),
        "the hint reaches the record: {detail}"
    );
    assert!(server.is_on("innocent", "production").await);
}

async fn an_approval_is_asked_for(server: &Server) {
    let editor = server.exporters(&server.editor_token().await);
    server.sql("INSERT INTO change_request_settings(project,environment) VALUES('default','production')");
    let (reason, detail) = failed(&carried_out(Arc::clone(&editor), decision("unleash", "innocent")).await);
    assert_eq!(reason, FailureReason::NeedsApproval, "{detail}");
    assert!(server.is_on("innocent", "production").await);
    server.sql("DELETE FROM change_request_settings");
    let d = carried_out(Arc::clone(&editor), decision("unleash", "innocent")).await;
    let ours = editor
        .get("unleash")
        .unwrap()
        .last_change(&target("unleash", "innocent"), T0)
        .await;
    let ours = ours.unwrap().unwrap();
    assert!(ours.is_ours && ours.by.contains("burngate"), "{ours:?}");
    assert!(
        matches!(
            d.state,
            DecisionState::Confirmed {
                verified: true,
                already_off: false
            }
        ),
        "{:?}",
        d.history
    );
    let by = &server.off_events("innocent").await[0]["createdBy"];
    assert!(
        by.as_str().unwrap().contains("burngate"),
        "the audit log names our user: {by}"
    );
}

async fn an_archived_flag_is_a_case_for_a_human(server: &Server, admin: &Arc<Exporters>) {
    server.make_flag("retired", "release").await;
    server
        .api("DELETE", "/projects/default/features/retired", None)
        .await;
    let d = carried_out(Arc::clone(admin), decision("unleash", "retired")).await;
    let (reason, detail) = failed(&d);
    assert_eq!(reason, FailureReason::Rejected);
    assert!(detail.contains("archived"), "{detail}");
}

fn to(flag: &str, state: SafeState) -> Decision {
    let mut d = decision("unleash", flag);
    d.id = format!("{}-{state}", d.id);
    d.action = Action::Switch { to: state };
    d
}

async fn a_rollout_gets_smaller_and_on_needs_a_strategy(server: &Server, admin: &Arc<Exporters>) {
    let it = admin.get("unleash").unwrap();
    server.make_flag("gradual", "release").await;
    let five = to("gradual", SafeState::Rollout { percent: 5 });
    let state = async |d: &Decision| it.read_back(d, T0).await.unwrap().unwrap().state;
    assert_eq!(state(&five).await, FlagState::Exposed);
    it.carry_out(&five, None, T0).await.unwrap();
    assert_eq!(state(&five).await, FlagState::Safe);
    assert!(server.is_on("gradual", "production").await);
    let rollout = async |environment: &str| {
        let at = format!("/projects/default/features/gradual/environments/{environment}");
        server.api("GET", &at, None).await["strategies"][0]["parameters"]["rollout"].clone()
    };
    assert_eq!(
        (rollout("production").await, rollout("development").await),
        (json!("5"), json!("100"))
    );
    // Twenty percent is more than it has: nothing gets larger.
    let twenty = to("gradual", SafeState::Rollout { percent: 20 });
    assert_eq!(state(&twenty).await, FlagState::Safe);
    let on = to("gradual", SafeState::On);
    it.carry_out(&to("gradual", SafeState::Off), None, T0)
        .await
        .unwrap();
    assert_eq!(state(&on).await, FlagState::Exposed);
    assert_eq!(
        state(&five).await,
        FlagState::Safe,
        "off is more than a rollout asks for"
    );
    it.carry_out(&on, None, T0).await.unwrap();
    assert_eq!(
        (state(&on).await, rollout("production").await),
        (FlagState::Safe, json!("5"))
    );
    let bare = json!({ "name": "bare", "type": "release" });
    server.api("POST", "/projects/default/features", Some(bare)).await;
    let refused = it.carry_out(&to("bare", SafeState::On), None, T0).await;
    let Err(Trouble::Permanent { reason, detail }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason, FailureReason::Rejected);
    assert!(detail.contains("no active strategy"), "{detail}");
    assert!(!server.is_on("bare", "production").await);
}

async fn events_tell_whose_the_last_change_was(admin: &Arc<Exporters>) {
    let it = admin.get("unleash").unwrap();
    let change = it
        .last_change(&target("unleash", "gradual"), T0)
        .await
        .unwrap()
        .unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let now = UnixNanos::from_secs(now.as_secs());
    assert!(
        change.at.plus_secs(60) > now && change.at <= now.plus_secs(5),
        "{change:?}"
    );
    assert!(!change.is_ours, "a token of the server names nobody: {change:?}");
    assert_eq!(
        it.last_change(&target("unleash", "bare"), T0).await.unwrap(),
        None
    );
}

async fn preflight_sees_what_is_wrong(server: &Server, admin: &Arc<Exporters>) {
    server.make_flag("inverted", "kill-switch").await;
    let rules = ["innocent", "inverted", "retired", "nope"].map(|flag| target("unleash", flag));
    let mut preflight = Preflight::new(Arc::clone(admin), &rules, StepClock::at(T0));
    preflight.round().await;
    let seen = preflight.readiness();
    assert_eq!(seen[&rules[0]], Readiness::Ready(Vec::new()));
    let Readiness::Ready(warnings) = &seen[&rules[1]] else {
        panic!("{:?}", seen[&rules[1]])
    };
    assert_eq!(
        warnings.iter().map(|w| w.as_str()).collect::<Vec<_>>(),
        ["kill_switch_type"]
    );
    let Readiness::NotReady { problem, .. } = &seen[&rules[2]] else {
        panic!("{:?}", seen[&rules[2]])
    };
    assert!(problem.contains("is archived"), "{problem}");
    let Readiness::NotReady {
        problem,
        exporter_wide: false,
    } = &seen[&rules[3]]
    else {
        panic!()
    };
    assert!(problem.contains("no such flag"), "{problem}");
}

async fn who_may_not_switch_is_told_so(server: &Server) {
    server.make_flag("guarded", "release").await;
    let viewer = server.exporters(&server.token_of("onlooker", 3).await);
    let (reason, detail) = failed(&carried_out(viewer, decision("unleash", "guarded")).await);
    assert_eq!(reason, FailureReason::Forbidden, "{detail}");
    assert!(detail.contains("permission"), "{detail}");
    // A frontend's token is another type; a malformed one is no token.
    let frontend = server.exporters(server.var("UNLEASH_FRONTEND_TOKEN_PRODUCTION"));
    let (reason, _) = failed(&carried_out(frontend, decision("unleash", "guarded")).await);
    assert_eq!(reason, FailureReason::Forbidden);
    let (reason, _) =
        failed(&carried_out(server.exporters("nonsense"), decision("unleash", "guarded")).await);
    assert_eq!(reason, FailureReason::Unauthorized);
    assert!(server.is_on("guarded", "production").await);
}

/// Calls that the exporter does not make: without a token, with half a body, of another method. Nothing of
/// them switches anything.
async fn what_is_never_sent_would_be_refused(server: &Server) {
    let path = "/api/admin/projects/default/features/guarded/environments/production/off";
    let url = format!("{}{path}", server.var("UNLEASH_URL"));
    let admin = server.var("UNLEASH_ADMIN_TOKEN");
    let call = |method: &str| server.client.request(method.parse().unwrap(), &url);
    for (request, status, words) in [
        (call("POST"), 401, "AuthenticationRequired"),
        (
            call("POST")
                .header("authorization", admin)
                .header("content-type", "application/json")
                .body("{half"),
            400,
            "JSON",
        ),
        (
            call("PUT").header("authorization", admin),
            404,
            "is not available",
        ),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let said = answer.text().await.unwrap();
        assert!(said.contains(words), "{status}: {said}");
    }
    assert!(server.is_on("guarded", "production").await);
}

async fn many_at_once_are_all_done(server: &Server, admin: &Arc<Exporters>) {
    let it = admin.get("unleash").unwrap();
    let names: Vec<String> = (0..10).map(|n| format!("many.flag-v{n}_x~1")).collect();
    for name in &names {
        server.make_flag(name, "release").await;
    }
    // Each four times over, as racing processes would.
    let calls: Vec<Decision> = names
        .iter()
        .flat_map(|name| std::iter::repeat_n(decision("unleash", name), 4))
        .collect();
    let calls = calls.iter().map(|d| it.carry_out(d, None, T0));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
    for name in &names {
        assert!(!server.is_on(name, "production").await && server.is_on(name, "development").await);
        assert_eq!(
            server.off_events(name).await.len(),
            1,
            "{name}: one off in the audit log"
        );
    }
}

async fn children_are_told_of(server: &Server, admin: &Arc<Exporters>) {
    server.make_flag("parent", "release").await;
    server.make_flag("child", "release").await;
    let parent = json!({ "feature": "parent" });
    server
        .api(
            "POST",
            "/projects/default/features/child/dependencies",
            Some(parent),
        )
        .await;
    let it = admin.get("unleash").unwrap();
    let warnings = it.preflight(&target("unleash", "parent"), T0).await.unwrap();
    let warnings: Vec<&str> = warnings.iter().map(|it| it.as_str()).collect();
    assert_eq!(warnings, ["has_children"]);
    let d = carried_out(Arc::clone(admin), decision("unleash", "parent")).await;
    assert!(
        matches!(d.state, DecisionState::Confirmed { verified: true, .. }),
        "{:?}",
        d.history
    );
    assert!(server.is_on("child", "production").await, "its own state stays");
}

/// Unleash holds a call for a minute then, and calls itself healthy.
async fn a_database_that_is_stopped_during_the_call_is_waited_for(server: &Server) {
    server.make_flag("waits", "release").await;
    let mut config = UnleashExporter::new(
        "unleash",
        server.var("UNLEASH_URL"),
        Secret::new(server.var("UNLEASH_ADMIN_TOKEN")),
    );
    config.timeout = Duration::from_secs(1);
    let exporters = Arc::new(Exporters::build(&[config].into()).unwrap());
    Server::database(&["-m", "fast", "stop"]);
    let health = server.client.get(format!("{}/health", server.var("UNLEASH_URL")));
    assert!(
        health.send().await.unwrap().status().is_success(),
        "health says nothing of it"
    );
    // The call itself: what becomes of it nobody can tell, and it may yet be carried out when the database is back.
    let called = exporters.get("unleash").unwrap();
    let called = called.carry_out(&decision("unleash", "waits"), None, T0).await;
    assert!(
        matches!(called, Err(Trouble::Retry { down: true, .. })),
        "{called:?}"
    );
    let pacing = Pacing {
        first: Duration::from_millis(200),
        breaker_open: Duration::from_secs(1),
        max_attempts: 60,
        ..Pacing::default()
    };
    let log = Arc::new(Arc::new(World::default()).process());
    let delivery = Delivery::new(exporters, log, StepClock::at(T0), pacing).unwrap();
    let decisions = delivery.decisions();
    let task = tokio::spawn(delivery.run(std::future::pending()));
    let d = decision("unleash", "waits");
    decisions.submit(d.clone()).unwrap();
    let until = async |what: &str, is: &dyn Fn(&Decision) -> bool| {
        for _ in 0..6_000 {
            if let Some(d) = decisions.get(&d.id).filter(is) {
                return d;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", decisions.get(&d.id));
    };
    let tried = until("tried twice", &|d| {
        let failures = d.history.iter().filter(|(_, what)| what.contains("read failed"));
        failures.count() >= 2
    });
    let tried = tried.await;
    assert!(!tried.state.is_final(), "{:?}", tried.history);
    // With the options that it was started with.
    Server::database(&["restart"]);
    let d = until("ended", &|d| d.state.is_final()).await;
    task.abort();
    assert!(
        matches!(d.state, DecisionState::Confirmed { verified: true, .. }),
        "{:?}",
        d.history
    );
    let sent = d.history.iter().filter(|(_, what)| what.starts_with("sending"));
    assert!(
        sent.count() <= 1,
        "nothing was sent before it could be read: {:?}",
        d.history
    );
    assert!(!server.is_on("waits", "production").await);
    // Unleash writes its log behind the change.
    let mut events = server.off_events("waits").await;
    for _ in 0..100 {
        if !events.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        events = server.off_events("waits").await;
    }
    assert_eq!(events.len(), 1, "{:?}\n{events:?}", d.history);
}

/// While it is on its way, while its effect is looked for, in cooldown, escalated, and in hold already.
async fn a_human_who_switches_back_is_heard_in_every_phase(server: &Server, admin: &Arc<Exporters>) {
    let pacing = Pacing {
        first: Duration::from_millis(50),
        watch_every: Duration::from_millis(500),
        ..Pacing::default()
    };
    let log = Arc::new(Arc::new(World::default()).process());
    let delivery = Delivery::new(Arc::clone(admin), log, StepClock::at(T0), pacing).unwrap();
    let decisions = delivery.decisions();
    let task = tokio::spawn(delivery.run(std::future::pending()));
    let until = async |flag: &str, what: &str, is: &dyn Fn(&Decision) -> bool| {
        let id = decision("unleash", flag).id;
        for _ in 0..6_000 {
            if let Some(d) = decisions.get(&id).filter(is) {
                return d;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{flag} never {what}: {:?}", decisions.get(&id));
    };
    // A human is faster than our second look: the call was answered, and the flag is on again.
    server.make_flag("back-act", "release").await;
    let mut underway = decision("unleash", "back-act");
    underway.state = DecisionState::Verifying { attempt: 1 };
    decisions.submit(underway).unwrap();
    let d = until("back-act", "ended", &|d| d.state.is_final()).await;
    assert_eq!(failed(&d).0, FailureReason::Overruled, "{:?}", d.history);
    assert!(matches!(d.life.phase, Phase::HumanHold { .. }), "{:?}", d.life);
    assert!(server.is_on("back-act", "production").await);
    assert_eq!(server.off_events("back-act").await.len(), 0, "nothing was sent");

    let phases = [
        (
            "back-effect",
            Phase::EffectCheck {
                since: T0,
                gone: None,
            },
        ),
        (
            "back-cooldown",
            Phase::Cooldown {
                until: T0.plus_secs(1800),
                effect: Effect::Seen,
            },
        ),
        (
            "back-escalated",
            Phase::Escalated {
                until: T0.plus_secs(86_400),
                why: NoEffect::StillServed { share: 0.5 },
            },
        ),
    ];
    for (flag, phase) in &phases {
        server.make_flag(flag, "release").await;
        decisions.submit(decision("unleash", flag)).unwrap();
        let sure = |d: &Decision| matches!(d.state, DecisionState::Confirmed { verified: true, .. });
        let d = until(flag, "confirmed", &sure).await;
        // Which it gets from its traffic, in the gateway.
        // One that is being written is moved a moment later.
        for _ in 0..500 {
            let moved = decisions.amend(&d.id, |d| {
                d.life.phase = phase.clone();
                Ok::<bool, ()>(true)
            });
            if moved.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for (flag, _) in &phases {
        let at = format!("/projects/default/features/{flag}/environments/production/on");
        server.api("POST", &at, None).await;
    }
    for (flag, _) in &phases {
        let d = until(flag, "in hold", &|d| d.life.phase.as_str() == "human_hold").await;
        let Phase::HumanHold { by, .. } = &d.life.phase else {
            continue;
        };
        assert!(!by.is_empty() && d.life.exposed_at.is_some(), "{:?}", d.life);
    }
    // Off and on again by the same hand, in hold: their business.
    for action in ["off", "on"] {
        let at = format!("/projects/default/features/back-effect/environments/production/{action}");
        server.api("POST", &at, None).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    task.abort();
    for (flag, _) in &phases {
        let d = decisions.get(&decision("unleash", flag).id).unwrap();
        assert_eq!(d.life.phase.as_str(), "human_hold");
        assert!(server.is_on(flag, "production").await, "{flag}: their word holds");
        let offs = 1 + usize::from(*flag == "back-effect");
        assert_eq!(server.off_events(flag).await.len(), offs, "{flag}");
    }
}
