//! A real Unleash of the test's own, the shop that asks it for its flags, and what an SDK says.

pub use crate::support::ports::free_port;
use crate::support::{block_on, client, has, need, shared, tools};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// A running server; stopped when dropped, its packages kept for the next run.
pub struct Unleash {
    script: PathBuf,
    ports: [u16; 2],
    env: HashMap<String, String>,
}

impl Unleash {
    /// A fresh server without flags; `None` (said out loud) where none can be had.
    pub fn start() -> Option<Self> {
        let script = shared()?.join("tools/unleash/unleash-up.sh");
        if !has("bash") {
            return None;
        }
        let mut server = Self {
            script,
            ports: [free_port(), free_port()],
            env: HashMap::new(),
        };
        // What an interrupted run has left.
        server.script(&["reset"]);
        let (ended_well, out, err) = server.script(&["up"]);
        if !need(
            ended_well,
            &format!("no real Unleash can be started here:\n{err}"),
        ) {
            return None;
        }
        let exports = out
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        server.env = exports
            .map(|(k, v)| (k.to_owned(), v.trim_matches('\'').to_owned()))
            .collect();
        Some(server)
    }

    fn script(&self, args: &[&str]) -> (bool, String, String) {
        let done = Command::new(&self.script)
            .args(args)
            .env("UNLEASH_HOME", tools().join("unleash"))
            .env("UNLEASH_PORT", self.ports[0].to_string())
            .env("UNLEASH_PG_PORT", self.ports[1].to_string())
            .output()
            .expect("bash runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (done.status.success(), text(&done.stdout), text(&done.stderr))
    }

    pub fn var(&self, name: &str) -> &str {
        &self.env[name]
    }

    pub fn url(&self) -> &str {
        self.var("UNLEASH_URL")
    }

    /// One call of the admin API.
    pub fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/api/admin{path}", self.url());
        block_on(async {
            let mut request = client().request(method.parse().unwrap(), &url);
            request = request.header("authorization", self.var("UNLEASH_ADMIN_TOKEN"));
            if let Some(body) = body {
                request = request.json(&body);
            }
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{method} {path}: {status} {text}");
            serde_json::from_str(&text).unwrap_or(Value::Null)
        })
    }

    pub fn is_on(&self, flag: &str, environment: &str) -> bool {
        let path = format!("/projects/default/features/{flag}/environments/{environment}");
        self.admin("GET", &path, None)["enabled"].as_bool().unwrap()
    }

    pub fn switch_on(&self, flag: &str, environment: &str) {
        self.admin(
            "POST",
            &format!("/projects/default/features/{flag}/environments/{environment}/on"),
            None,
        );
    }

    /// A personal token of a new user with the root role Editor, as the documentation recommends: what it does is not
    /// what the admin does, who is the human of these tests.
    pub fn editor_token(&self, name: &str) -> String {
        let password = "a-Long_pass.word-4711";
        let user = json!({ "username": name, "rootRole": 2, "sendEmail": false, "password": password });
        self.admin("POST", "/user-admin", Some(user));
        let url = self.url();
        block_on(async {
            let client = client();
            let login = json!({ "username": name, "password": password });
            let login = client.post(format!("{url}/auth/simple/login")).json(&login);
            let login = login.send().await.unwrap();
            let cookies: Vec<String> = login
                .headers()
                .get_all("set-cookie")
                .iter()
                .filter_map(|cookie| Some(cookie.to_str().ok()?.split(';').next()?.to_owned()))
                .collect();
            let token = json!({ "description": "kill switch", "expiresAt": "2099-01-01T00:00:00Z" });
            let made = client.post(format!("{url}/api/admin/user/tokens"));
            let made = made.header("cookie", cookies.join("; ")).json(&token);
            let made = made.send().await.unwrap();
            let (status, text) = (made.status(), made.text().await.unwrap());
            assert!(status.is_success(), "{status} {text}");
            let made: Value = serde_json::from_str(&text).unwrap();
            made["secret"].as_str().unwrap().to_owned()
        })
    }

    /// The audit log's entries that say that `flag` was switched off, anywhere.
    pub fn off_events(&self, flag: &str) -> Vec<Value> {
        let query = format!("/search/events?feature=IS:{flag}&type=IS:feature-environment-disabled&limit=50");
        self.admin("GET", &query, None)["events"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Values of the tags of type `error-budget` on `flag`.
    pub fn reasons(&self, flag: &str) -> Vec<String> {
        let tags = self.admin("GET", &format!("/features/{flag}/tags"), None);
        let tags = tags["tags"].as_array().unwrap();
        let ours = tags.iter().filter(|t| t["type"] == "error-budget");
        ours.map(|t| t["value"].as_str().unwrap().to_owned()).collect()
    }

    /// For how many of 200 users the official SDK of `environment` says on.
    pub fn asked_by_sdk(&self, python: &Path, environment: &str, flags: &[&str]) -> HashMap<String, u64> {
        const ASK: &str = r#"
import json, sys
from UnleashClient import UnleashClient
url, token, cache, *flags = sys.argv[1:]
sdk = UnleashClient(url + "/api", "probe", disable_metrics=True, disable_registration=True,
                    cache_directory=cache, custom_headers={"Authorization": token})
sdk.initialize_client()
users = [{"userId": str(n)} for n in range(200)]
print(json.dumps({flag: sum(sdk.is_enabled(flag, user) for user in users) for flag in flags}))
sdk.destroy()
"#;
        let cache = tempfile::tempdir().unwrap();
        let token = self.var(&format!("UNLEASH_BACKEND_TOKEN_{}", environment.to_uppercase()));
        let mut command = Command::new(python);
        command
            .args(["-c", ASK, self.url(), token])
            .arg(cache.path())
            .args(flags);
        let said = command.output().unwrap();
        let err = String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{err}");
        serde_json::from_slice(&said.stdout).unwrap_or_else(|e| panic!("{e}: {err}"))
    }

    /// A flag that is on for everybody, in both environments.
    pub fn make_flag(&self, flag: &str) {
        let features = "/projects/default/features";
        self.admin("POST", features, Some(json!({ "name": flag, "type": "release" })));
        for environment in ["development", "production"] {
            let strategies = format!("{features}/{flag}/environments/{environment}/strategies");
            self.admin("POST", &strategies, Some(json!({ "name": "default" })));
            self.switch_on(flag, environment);
        }
    }
}

impl Drop for Unleash {
    fn drop(&mut self) {
        self.script(&["reset"]);
    }
}

/// The shop of docker-compose.yml: it makes its flags, asks the SDK for them and sends its spans.
pub struct Emitter {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    log: PathBuf,
    _cache: tempfile::TempDir,
}

impl Emitter {
    pub fn start(python: &Path, unleash: &Unleash, otlp: &str, more: &[(&str, &str)]) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let log = cache.path().join("stderr.log");
        let mut child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/compose/emitter/emitter.py"))
            .envs(more.iter().copied())
            .env("OTLP_ENDPOINT", otlp)
            .env("UNLEASH_URL", unleash.url())
            .env("UNLEASH_ADMIN_TOKEN", unleash.var("UNLEASH_ADMIN_TOKEN"))
            .env(
                "UNLEASH_BACKEND_TOKEN",
                unleash.var("UNLEASH_BACKEND_TOKEN_PRODUCTION"),
            )
            .env("XDG_CACHE_HOME", cache.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .expect("python runs");
        let (lines, out) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().unwrap());
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                kept.lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self {
            child,
            lines,
            log,
            _cache: cache,
        }
    }

    /// Its lines with this `event`, oldest first; fails when it has ended.
    pub fn said(&mut self, event: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap().clone();
        if let Some(status) = self.child.try_wait().unwrap() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            panic!("the emitter has ended, {status}: {lines:?}\n{log}");
        }
        lines.into_iter().filter(|line| line["event"] == event).collect()
    }
}

impl Drop for Emitter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds from an emitter's line to an event of the audit log.
pub fn secs_between(line: &Value, event: &Value) -> f64 {
    let at: jiff::Timestamp = event["createdAt"].as_str().unwrap().parse().unwrap();
    at.as_millisecond() as f64 / 1e3 - line["at"].as_f64().unwrap()
}

/// A moment from which `what` must hold.
pub fn now_secs() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}
