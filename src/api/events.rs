//! Counts by hand: who may send them, what they must look like, and the answer.
//!
//! The one thing of this API that changes something. So it asks for the token of the configuration; without
//! one it listens to this machine alone. A body must call itself JSON: a page in somebody's browser cannot
//! send that to another origin without asking first, and nobody here would say yes.

use super::proto;
use crate::config::Secret;
use crate::ledger::{HandCount, HandError};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// Events of one request.
pub(super) const EVENTS_MAX: usize = 1_000;
/// Bytes of one request.
pub(super) const BODY_MAX: usize = 1 << 20;
/// Bytes of an idempotency key.
const KEY_MAX: usize = 256;
/// Time that an answer waits for its counts to be durable: ticks write every second.
const DURABLE_WITHIN: Duration = Duration::from_secs(5);

/// Where a request came from; whoever serves the API says it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events that counted at their arrival.
    pub moved: u64,
    /// The key was known, nothing was counted.
    pub duplicate: bool,
    /// Durable once more than so many writes were made.
    pub after_write: u64,
}

/// Why a batch was not counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// An event cannot be taken.
    #[error("event {}: {error}", number + 1)]
    Event {
        /// Its place in the batch.
        number: usize,
        /// What is wrong with it.
        error: HandError,
    },
    /// The key stands for other events.
    #[error("this idempotency key came with other events before; a new batch needs a new key")]
    KeyReused,
}

/// Takes counts; the gateway's side of this.
pub trait Recorder: Send + Sync + fmt::Debug {
    /// Counts all of `counts`, or none; blocks for as long as a write of the store takes.
    fn record(&self, key: Option<&str>, counts: &[HandCount]) -> Result<Recorded, RecordError>;
    /// Writes made so far.
    fn writes(&self) -> watch::Receiver<u64>;
}

/// The door for counts by hand.
#[derive(Clone, Debug)]
pub struct Events {
    recorder: Arc<dyn Recorder>,
    token: Option<[u8; 32]>,
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// No token, or a wrong one.
    Unauthenticated(&'static str),
    /// Not from here.
    Forbidden(&'static str),
    /// It cannot be read.
    Invalid(String),
    /// See [`RecordError::KeyReused`].
    Conflict(String),
    /// The gateway is ending.
    Stopping,
}

impl Events {
    /// A door to `recorder` for those who know `token`.
    pub fn new(recorder: Arc<dyn Recorder>, token: Option<&Secret>) -> Self {
        Self {
            recorder,
            token: token.map(|token| Sha256::digest(token.expose().as_bytes()).into()),
        }
    }

    /// Whether somebody at `peer` with this `authorization` may come in.
    pub(super) fn admit(&self, peer: Option<SocketAddr>, authorization: Option<&str>) -> Result<(), Refused> {
        let Some(token) = &self.token else {
            return match peer {
                Some(peer) if peer.ip().to_canonical().is_loopback() => Ok(()),
                _ => Err(Refused::Forbidden(
                    "without extensions.api.token only clients on the gateway's own machine may record events",
                )),
            };
        };
        let given = authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let Some(given) = given else {
            return Err(Refused::Unauthenticated(
                "expected the header `Authorization: Bearer <token>`",
            ));
        };
        let given: [u8; 32] = Sha256::digest(given.as_bytes()).into();
        if bool::from(given.ct_eq(token)) {
            Ok(())
        } else {
            Err(Refused::Unauthenticated(
                "the token is not the one of extensions.api.token",
            ))
        }
    }

    /// Counts a request, and waits until it is durable.
    pub(super) async fn record(
        &self,
        request: proto::RecordEventsRequest,
    ) -> Result<proto::RecordEventsResponse, Refused> {
        let key = Some(request.idempotency_key).filter(|key| !key.is_empty());
        if key
            .as_ref()
            .is_some_and(|key| key.len() > KEY_MAX || key.chars().any(char::is_control))
        {
            let told =
                format!("the idempotency key is longer than {KEY_MAX} bytes or holds control characters");
            return Err(Refused::Invalid(told));
        }
        if request.events.is_empty() {
            return Err(Refused::Invalid("no events".to_owned()));
        }
        if request.events.len() > EVENTS_MAX {
            let told = format!(
                "{} events, at most {EVENTS_MAX} in one request",
                request.events.len()
            );
            return Err(Refused::Invalid(told));
        }
        let mut counts = Vec::with_capacity(request.events.len());
        for (number, event) in (1..).zip(request.events) {
            let count =
                hand_count(event).map_err(|why| Refused::Invalid(format!("event {number}: {why}")))?;
            counts.push(count);
        }
        let sum = |of: fn(&HandCount) -> u64| counts.iter().map(of).fold(0, u64::saturating_add);
        let (good, bad) = (sum(|it| it.good), sum(|it| it.bad));
        let recorder = Arc::clone(&self.recorder);
        // A tick that writes to disk may hold it up.
        let recorded = tokio::task::spawn_blocking(move || recorder.record(key.as_deref(), &counts));
        let recorded = match recorded.await {
            Ok(Ok(recorded)) => recorded,
            Ok(Err(error @ RecordError::KeyReused)) => return Err(Refused::Conflict(error.to_string())),
            Ok(Err(error)) => return Err(Refused::Invalid(error.to_string())),
            Err(_) => return Err(Refused::Stopping),
        };
        let mut writes = self.recorder.writes();
        let written = writes.wait_for(|writes| *writes > recorded.after_write);
        let durable = tokio::time::timeout(DURABLE_WITHIN, written).await;
        let now = |count| if recorded.duplicate { 0 } else { count };
        Ok(proto::RecordEventsResponse {
            good: now(good),
            bad: now(bad),
            moved: recorded.moved,
            duplicate: recorded.duplicate,
            durable: matches!(durable, Ok(Ok(_))),
        })
    }
}

fn hand_count(event: proto::Event) -> Result<HandCount, String> {
    let at = event.time.map(|time| {
        let secs = u64::try_from(time.seconds).ok();
        let nanos = u64::try_from(time.nanos)
            .ok()
            .filter(|nanos| *nanos < NANOS_PER_SEC);
        let both = secs.zip(nanos);
        let at = both.and_then(|(secs, nanos)| secs.checked_mul(NANOS_PER_SEC)?.checked_add(nanos));
        at.map(UnixNanos).ok_or("time is no instant since 1970")
    });
    Ok(HandCount {
        service: event.service,
        slo: event.slo,
        environment: event.environment,
        sha: event.sha,
        flags: event.flags,
        good: event.good,
        bad: event.bad,
        at: at.transpose()?,
    })
}

/// A body as it is written: one event, or several in `events`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    events: Vec<WrittenEvent>,
    #[serde(default)]
    idempotency_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEvent {
    service: String,
    slo: String,
    #[serde(default)]
    good: u64,
    #[serde(default)]
    bad: u64,
    #[serde(default)]
    time: Option<WrittenTime>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected RFC 3339 or Unix seconds")]
enum WrittenTime {
    Seconds(f64),
    Text(String),
}

impl WrittenTime {
    fn read(&self) -> Result<prost_types::Timestamp, String> {
        let stamp = match self {
            Self::Text(text) => text.parse::<jiff::Timestamp>().ok(),
            Self::Seconds(seconds) => jiff::SignedDuration::try_from_secs_f64(*seconds)
                .ok()
                .and_then(|d| jiff::Timestamp::from_duration(d).ok()),
        };
        let stamp = stamp.ok_or("time is neither RFC 3339 nor Unix seconds")?;
        Ok(prost_types::Timestamp {
            seconds: stamp.as_second(),
            nanos: stamp.subsec_nanosecond(),
        })
    }
}

/// Reads a JSON body.
pub(super) fn read_json(body: &[u8], key: Option<String>) -> Result<proto::RecordEventsRequest, Refused> {
    let invalid = |error: serde_json::Error| Refused::Invalid(error.to_string());
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).map_err(invalid)?;
    let written = if object.contains_key("events") {
        serde_json::from_slice::<Written>(body).map_err(invalid)?
    } else {
        Written {
            events: vec![serde_json::from_slice(body).map_err(invalid)?],
            idempotency_key: String::new(),
        }
    };
    let mut events = Vec::with_capacity(written.events.len());
    for (number, it) in (1..).zip(written.events) {
        let time = it.time.as_ref().map(WrittenTime::read).transpose();
        events.push(proto::Event {
            time: time.map_err(|why| Refused::Invalid(format!("event {number}: {why}")))?,
            service: it.service,
            slo: it.slo,
            good: it.good,
            bad: it.bad,
            environment: it.environment,
            sha: it.sha,
            flags: it.flags,
        });
    }
    let idempotency_key = match key {
        Some(key) if !written.idempotency_key.is_empty() && written.idempotency_key != key => {
            let told = "the header Idempotency-Key and the body's idempotency_key differ";
            return Err(Refused::Invalid(told.to_owned()));
        }
        Some(key) => key,
        None => written.idempotency_key,
    };
    Ok(proto::RecordEventsRequest {
        events,
        idempotency_key,
    })
}
