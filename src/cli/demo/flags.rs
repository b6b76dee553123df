//! A small flag service, and the client that the shop asks.
//!
//! The service is what a team may have of its own: flags by name, on or off, one authenticated call that
//! switches one off. It knows nothing of the gateway. The client does what flag SDKs do: it fetches all
//! flags every second and answers from memory in between, so a kill takes effect within a second of the
//! call, not at once.

use super::scene::FLAGS;
use crate::config::Secret;
use crate::time::{Clock, UnixNanos};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How often the client asks.
const REFRESH: Duration = Duration::from_secs(1);
/// Switching calls that are remembered.
const CALLS_MAX: usize = 1000;

/// Which flags are on.
pub(super) type FlagStates = BTreeMap<String, bool>;

/// A call that wanted to switch a flag off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OffCall {
    /// When it arrived.
    pub(super) at: UnixNanos,
    /// The flag.
    pub(super) flag: String,
    /// The reason that the caller gave.
    pub(super) reason: String,
    /// What the service answered: 200 switched it off, 401 and 404 did not.
    pub(super) status: u16,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    token: Secret,
    states: Mutex<FlagStates>,
    calls: Mutex<Vec<OffCall>>,
}

/// The flag service.
#[derive(Clone, Debug)]
pub(super) struct FlagService {
    inner: Arc<Inner>,
    address: SocketAddr,
}

#[derive(Debug, Deserialize)]
struct Off {
    flag: String,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Listing {
    flags: FlagStates,
}

impl FlagService {
    /// Binds an ephemeral port on loopback and serves until the runtime ends; every flag is on.
    pub(super) async fn start(clock: Arc<dyn Clock>, token: Secret) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Inner {
            clock,
            token,
            states: Mutex::new(FLAGS.iter().map(|f| ((*f).to_owned(), true)).collect()),
            calls: Mutex::default(),
        });
        let router = Router::new()
            .route("/flags", get(list))
            .route("/flags/disable", post(disable))
            .with_state(inner.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the demo's flag service ended");
            }
        });
        Ok(Self { inner, address })
    }

    /// Where a webhook switches a flag off.
    pub(super) fn disable_url(&self) -> String {
        format!("http://{}/flags/disable", self.address)
    }

    /// Where clients ask.
    pub(super) fn list_url(&self) -> String {
        format!("http://{}/flags", self.address)
    }

    /// Which flags are on, as of now.
    pub(super) fn states(&self) -> FlagStates {
        locked(&self.inner.states).clone()
    }

    /// The calls so far.
    pub(super) fn calls(&self) -> Vec<OffCall> {
        locked(&self.inner.calls).clone()
    }
}

async fn list(State(inner): State<Arc<Inner>>) -> Json<Listing> {
    Json(Listing {
        flags: locked(&inner.states).clone(),
    })
}

async fn disable(State(inner): State<Arc<Inner>>, headers: HeaderMap, Json(off): Json<Off>) -> StatusCode {
    let at = inner.clock.now();
    let status = if inner.may(&headers) {
        match locked(&inner.states).get_mut(&off.flag) {
            Some(on) => {
                *on = false;
                StatusCode::OK
            }
            None => StatusCode::NOT_FOUND,
        }
    } else {
        StatusCode::UNAUTHORIZED
    };
    let mut calls = locked(&inner.calls);
    if calls.len() < CALLS_MAX {
        calls.push(OffCall {
            at,
            flag: off.flag,
            reason: off.reason,
            status: status.as_u16(),
        });
    }
    status
}

impl Inner {
    fn may(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        given.and_then(|v| v.strip_prefix("Bearer ")) == Some(self.token.expose())
    }
}

/// What the shop knows of the flags, refreshed every second; a service that does not answer changes nothing.
pub(super) fn client(url: String, http: reqwest::Client, first: FlagStates) -> watch::Receiver<FlagStates> {
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        let mut refresh = tokio::time::interval(REFRESH);
        while !sender.is_closed() {
            refresh.tick().await;
            match fetch(&http, &url).await {
                Ok(states) => {
                    sender.send_replace(states);
                }
                Err(error) => tracing::warn!(%error, "flags could not be fetched; the last ones stay"),
            }
        }
    });
    receiver
}

async fn fetch(http: &reqwest::Client, url: &str) -> Result<FlagStates, reqwest::Error> {
    let answer = http.get(url).send().await?.error_for_status()?;
    Ok(answer.json::<Listing>().await?.flags)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::SystemClock;

    async fn service() -> (FlagService, reqwest::Client) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let service = FlagService::start(Arc::new(SystemClock), Secret::new("t0ken"))
            .await
            .unwrap();
        (service, reqwest::Client::builder().no_proxy().build().unwrap())
    }

    async fn off(service: &FlagService, http: &reqwest::Client, token: &str, flag: &str) -> u16 {
        let body = serde_json::json!({ "flag": flag, "reason": "burn-rate>7x/30s" });
        let call = http.post(service.disable_url()).bearer_auth(token).json(&body);
        call.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn one_call_switches_one_flag_off_and_the_client_sees_it() {
        let (service, http) = service().await;
        assert_eq!(off(&service, &http, "t0ken", "dark-mode").await, 200);
        let states = fetch(&http, &service.list_url()).await.unwrap();
        let off: Vec<&str> = states
            .iter()
            .filter(|(_, on)| !**on)
            .map(|(f, _)| f.as_str())
            .collect();
        assert_eq!(off, ["dark-mode"]);
        let mut seen = client(service.list_url(), http, FlagStates::new());
        seen.changed().await.unwrap();
        assert_eq!(*seen.borrow(), states);
    }

    #[tokio::test]
    async fn a_wrong_token_or_flag_switches_nothing_and_is_remembered() {
        let (service, http) = service().await;
        assert_eq!(off(&service, &http, "wrong", "dark-mode").await, 401);
        assert_eq!(off(&service, &http, "t0ken", "nonsense").await, 404);
        assert!(service.states().values().all(|on| *on));
        let statuses: Vec<u16> = service.calls().iter().map(|c| c.status).collect();
        assert_eq!(statuses, [401, 404]);
    }
}
