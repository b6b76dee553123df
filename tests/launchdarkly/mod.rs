//! A LaunchDarkly on loopback: the flag API, approvals, triggers, the audit log, and what its SDKs stream. Its answers are checked
//! against LaunchDarkly's own description (`schema`), and its official clients and SDKs work against it.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod api;
mod flags;
pub mod schema;
mod sdk;

pub use flags::{flag, rule};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// May change flags where no approval is wanted.
pub const WRITER: &str = "api-00000000-canary-writer-c0de";
/// May change flags whatever is wanted.
pub const BYPASS: &str = "api-00000000-canary-bypass-b0b0";
/// May read.
pub const READER: &str = "api-00000000-canary-reader-f00d";
/// Path of the trigger that switches `new-checkout` off in production.
pub const TRIGGER: &str = "/webhook/triggers/5f0e3a1b2c3d4e5f60718293/7b0c7a52-9a66-4c0b-8f0e-2d1f3c4b5a69";

/// One exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    pub status: u16,
    pub answer: Value,
}

/// What goes wrong from now on.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Writes that are answered 409.
    pub conflicts: u32,
    /// Calls that are answered 429, and its headers.
    pub limited: u32,
    pub limits: Vec<(&'static str, String)>,
    /// Calls that are answered 503.
    pub down: u32,
    /// Writes that are done, and whose answer does not come.
    pub lost: u32,
    /// Reads after which somebody else changes the flag.
    pub meddling: u32,
    /// A change is scheduled that every other one would break.
    pub pending: bool,
    /// Changes in production must be approved.
    pub approvals: bool,
    /// How a failed `test` of a JSON patch is answered.
    pub failed_test: (u16, &'static str, &'static str),
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            conflicts: 0,
            limited: 0,
            limits: Vec::new(),
            down: 0,
            lost: 0,
            meddling: 0,
            pending: false,
            approvals: false,
            failed_test: (
                409,
                "optimistic_locking_error",
                "Conflict. Optimistic lock error. Try again later.",
            ),
        }
    }
}

#[derive(Debug, Default)]
pub struct World {
    pub flags: BTreeMap<String, Value>,
    pub audit: Vec<Value>,
    pub approvals: Vec<Value>,
    pub exchanges: Vec<Exchange>,
    pub faults: Faults,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    /// Keys of flags that have changed.
    changed: broadcast::Sender<String>,
}

/// Ends with the test.
pub struct LaunchDarkly {
    pub url: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for LaunchDarkly {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LaunchDarkly {
    /// With these flags in the project `default`.
    pub async fn start(flags: impl IntoIterator<Item = Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let by_key = |flag: Value| (flag["key"].as_str().unwrap().to_owned(), flag);
        let world = World {
            flags: flags.into_iter().map(by_key).collect(),
            ..World::default()
        };
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            changed: broadcast::channel(64).0,
        });
        let app = axum::Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, shared, task }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }

    pub fn faults(&self, set: impl FnOnce(&mut Faults)) {
        set(&mut self.world().faults);
    }

    /// One environment of a flag.
    pub fn environment(&self, key: &str, environment: &str) -> Value {
        self.world().flags[key]["environments"][environment].clone()
    }

    /// The writes so far, without those that only tried.
    pub fn writes(&self) -> Vec<Exchange> {
        let is_write = |it: &&Exchange| it.method != "GET" && !it.path.contains("dryRun");
        self.world().exchanges.iter().filter(is_write).cloned().collect()
    }
}

/// Status, body, more headers.
type Said = (u16, Value, Vec<(&'static str, String)>);

fn said(status: u16, body: Value) -> Said {
    (status, body, Vec::new())
}

fn error(status: u16, code: &str, message: &str) -> Said {
    said(status, json!({ "code": code, "message": message }))
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    method: http::Method,
    uri: http::Uri,
    headers: http::HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(response) = sdk::answer(&shared, uri.path()) {
        return response;
    }
    let text = |v: &http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let mut exchange = Exchange {
        method: method.to_string(),
        path: uri.to_string(),
        headers: headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        status: 0,
        answer: Value::Null,
    };
    let (status, answer, more, lost) = {
        let mut world = shared.world.lock().unwrap();
        let before = world.flags.clone();
        let (status, answer, more) = api::answer(&mut world, &exchange);
        for (key, flag) in &world.flags {
            if before[key] != *flag {
                let _ = shared.changed.send(key.clone());
            }
        }
        let lost = method != http::Method::GET && status < 300 && take(&mut world.faults.lost);
        exchange.status = status;
        exchange.answer = answer.clone();
        world.exchanges.push(exchange);
        (status, answer, more, lost)
    };
    if lost {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    let mut response = http::Response::builder()
        .status(status)
        .header("content-type", "application/json");
    for (name, value) in more {
        response = response.header(name, value);
    }
    let text = if answer.is_null() {
        String::new()
    } else {
        answer.to_string()
    };
    response.body(Body::from(text)).unwrap()
}

/// One of what is left.
fn take(left: &mut u32) -> bool {
    let there = *left > 0;
    *left = left.saturating_sub(1);
    there
}
