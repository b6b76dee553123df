//! The connections to one backend: an address each, all of them in turn.
//!
//! A call takes a connection that lives. Addresses without one are dialled beside it, so that a dead address
//! costs no call its time; only where nothing lives does a call wait for a dial. Names are looked up again
//! when a connection ends and every half a minute, so that a backend that grows is noticed (grpc-go notices
//! only what goes away).

use super::{CONNECT_MAX, Failure, describe, keep_alive};
use crate::config::{Balancer, ClientKeepalive};
use crate::forward::otlp::Buffers;
use arc_swap::ArcSwap;
use futures_util::future::select_ok;
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;

pub(super) type Connector = HttpsConnector<HttpConnector>;
pub(super) type Sender = hyper::client::conn::http2::SendRequest<Buffers>;

/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 64;
/// Age of a lookup at which it is made again.
const LOOKUP_EVERY: Duration = Duration::from_secs(30);
/// The same after a connection ended.
const LOOKUP_SOON: Duration = Duration::from_secs(1);
/// Rest of an address after a dial that failed.
const DIAL_REST: Duration = Duration::from_millis(500);

/// All connections.
#[derive(Debug)]
pub(super) struct Pool {
    endpoint: Uri,
    balancer: Balancer,
    keepalive: Option<ClientKeepalive>,
    connector: ArcSwap<Connector>,
    slots: ArcSwap<Vec<Arc<Slot>>>,
    turn: AtomicUsize,
    looked_up: Mutex<Option<Instant>>,
}

/// One address.
#[derive(Debug)]
struct Slot {
    address: SocketAddr,
    live: Mutex<Option<Sender>>,
    /// Held while it is dialled.
    dial: tokio::sync::Mutex<Option<(Instant, String)>>,
}

impl Slot {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            live: Mutex::new(None),
            dial: tokio::sync::Mutex::new(None),
        }
    }

    fn live(&self) -> Option<Sender> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(Sender::is_closed) {
            *live = None;
        }
        live.clone()
    }
}

impl Pool {
    pub(super) fn new(
        endpoint: Uri,
        balancer: Balancer,
        keepalive: Option<ClientKeepalive>,
        connector: Connector,
    ) -> Self {
        Self {
            endpoint,
            balancer,
            keepalive,
            connector: ArcSwap::from_pointee(connector),
            slots: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            looked_up: Mutex::new(None),
        }
    }

    /// New settings of TLS: connections that are open end when their calls have.
    pub(super) fn renew(&self, connector: Connector) {
        self.connector.store(Arc::new(connector));
        let addresses = self.slots.load();
        let fresh = addresses.iter().map(|slot| Arc::new(Slot::new(slot.address)));
        self.slots.store(Arc::new(fresh.collect()));
    }

    /// A connection that lives.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Sender, Failure> {
        let mut slots = self.slots.load_full();
        if slots.is_empty() {
            self.look_up().await?;
            slots = self.slots.load_full();
        } else {
            self.look_up_if(LOOKUP_EVERY);
        }
        let start = match self.balancer {
            Balancer::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed),
            Balancer::PickFirst => 0,
        };
        let mut dead = Vec::new();
        for slot in (0..slots.len()).map(|i| &slots[start.wrapping_add(i) % slots.len()]) {
            if let Some(sender) = slot.live() {
                if self.balancer == Balancer::RoundRobin && !dead.is_empty() {
                    self.revive(dead);
                }
                return Ok(sender);
            }
            dead.push(slot.clone());
        }
        self.look_up_if(LOOKUP_SOON);
        self.dial_first_of(dead).await
    }

    async fn dial_first_of(self: &Arc<Self>, dead: Vec<Arc<Slot>>) -> Result<Sender, Failure> {
        if self.balancer == Balancer::PickFirst {
            let mut last = Failure::unreachable("the name has no address");
            for slot in dead {
                match self.dial(&slot).await {
                    Ok(sender) => return Ok(sender),
                    Err(failure) => last = failure,
                }
            }
            return Err(last);
        }
        let dials = dead.into_iter().map(|slot| {
            let pool = self.clone();
            Box::pin(async move { pool.dial(&slot).await })
        });
        select_ok(dials).await.map(|(sender, _)| sender)
    }

    /// Dials beside the calls.
    fn revive(self: &Arc<Self>, dead: Vec<Arc<Slot>>) {
        for slot in dead {
            // Somebody is at it already, or it rests.
            if slot
                .dial
                .try_lock()
                .is_ok_and(|rest| rest.as_ref().is_none_or(|it| it.0 <= Instant::now()))
            {
                let pool = self.clone();
                tokio::spawn(async move { pool.dial(&slot).await.ok() });
            }
        }
        self.look_up_if(LOOKUP_SOON);
    }

    async fn dial(&self, slot: &Slot) -> Result<Sender, Failure> {
        let mut rest = slot.dial.lock().await;
        if let Some(sender) = slot.live() {
            return Ok(sender);
        }
        if let Some((until, why)) = &*rest
            && *until > Instant::now()
        {
            return Err(Failure::unreachable(why.clone()));
        }
        let dialled = tokio::time::timeout(CONNECT_MAX, self.handshake(slot.address)).await;
        let why = match dialled {
            Ok(Ok(sender)) => {
                *rest = None;
                *slot.live.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
                return Ok(sender);
            }
            Ok(Err(why)) => why,
            Err(_) => format!("no connection within {CONNECT_MAX:?}"),
        };
        let why = format!("{}: {why}", slot.address);
        *rest = Some((Instant::now() + DIAL_REST, why.clone()));
        Err(Failure::unreachable(why))
    }

    async fn handshake(&self, address: SocketAddr) -> Result<Sender, String> {
        let scheme = self.endpoint.scheme().unwrap_or(&Scheme::HTTPS);
        let uri = Uri::builder()
            .scheme(scheme.clone())
            .authority(address.to_string())
            .path_and_query("/")
            .build()
            .map_err(|error| error.to_string())?;
        let mut connector = Connector::clone(&self.connector.load());
        let stream = connector.call(uri).await.map_err(|error| describe(&*error))?;
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        keep_alive(&mut builder, self.keepalive);
        let (sender, connection) = builder
            .handshake(stream)
            .await
            .map_err(|error| describe(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, error = describe(&error), "connection to a backend ended");
            }
        });
        Ok(sender)
    }

    /// Looks the name up beside the calls, if that was not done for `age`.
    fn look_up_if(self: &Arc<Self>, age: Duration) {
        let now = Instant::now();
        let mut last = self.looked_up.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| now - at < age) {
            return;
        }
        *last = Some(now);
        let pool = self.clone();
        tokio::spawn(async move {
            if let Err(failure) = pool.look_up().await {
                tracing::debug!(error = failure.message, "looking up a backend again");
            }
        });
    }

    async fn look_up(&self) -> Result<(), Failure> {
        let host = self.endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
        let secure = self.endpoint.scheme() == Some(&Scheme::HTTPS);
        let port = self.endpoint.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let found = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| Failure::unreachable(format!("looking up {host}: {error}")))?;
        let mut addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(*address));
        if addresses.is_empty() {
            return Err(Failure::unreachable(format!("{host} has no address")));
        }
        *self.looked_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let known = self.slots.load();
        let slots = addresses.into_iter().map(|address| {
            let same = known.iter().find(|slot| slot.address == address).cloned();
            same.unwrap_or_else(|| Arc::new(Slot::new(address)))
        });
        self.slots.store(Arc::new(slots.collect()));
        Ok(())
    }
}
