//! Accepting connections, and the life of each.
//!
//! Problem: the transport library's own server stops an aged connection by cutting it, without a GOAWAY, once
//! a grace is set; its HTTP detection waits for a first byte without end; it does not cap connections.
//! Properties wanted: a cap on connections (the rest waits in the kernel's queue), errors of `accept` never
//! end the server, an aged or idle connection is asked to leave and finishes what it has, a connection that
//! says nothing is closed, and shutdown waits for requests in flight, but not for ever.

mod handshakes;
mod idle;
mod life;
mod meters;
mod refresh;

use super::context::Context;
use super::intake::Intake;
use super::io::Raw;
use super::listener::Listener;
use super::pings::PingPolicy;
use bytes::Bytes;
use handshakes::Handshakes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use life::Server;
use meters::Meters;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

/// First pause after a failed accept, doubled up to [`MAX_BACK_OFF`].
const BACK_OFF: Duration = Duration::from_millis(10);
const MAX_BACK_OFF: Duration = Duration::from_secs(1);
/// Part of all connections that may be shaking hands.
const HANDSHAKES_PART: usize = 4;

/// How connections are treated.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Connections at once.
    pub(super) max_connections: usize,
    /// Time for the first bytes.
    pub(super) first_bytes_within: Duration,
    /// Time for the headers of a request over HTTP/1.
    pub(super) headers_within: Option<Duration>,
    /// Time without a request after which a connection is asked to leave.
    pub(super) idle: Option<Duration>,
    /// Time that a write may wait for the client to read.
    pub(super) write_within: Duration,
    /// How often a client may ping; only where HTTP/2 is all that is spoken.
    pub(super) pings: Option<PingPolicy>,
    /// Age at which a connection is asked to leave; jittered by a tenth, so that clients do not come back
    /// together.
    pub(super) max_age: Duration,
    /// Time it has then.
    pub(super) age_grace: Duration,
    /// Time it has at shutdown.
    pub(super) drain: Duration,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The gateway ends: requests in flight finish, new ones are told to come back.
    Stopped,
    /// Another server has taken the socket: connections move over at their own next request, and none is
    /// refused.
    Replaced,
}

/// Where the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Clients are asked to connect anew, and answered until they do.
    Leaving,
    Draining,
    Cut,
}

/// Serves `listener` until `shutdown`, and then the requests in flight.
pub(super) async fn serve<H, F, B>(
    listener: Listener,
    (http, rules): (Builder<TokioExecutor>, Rules),
    context: &Context,
    intake: Arc<Intake>,
    handle: H,
    shutdown: impl Future<Output = End>,
) where
    H: Fn(Request<Incoming>, Option<SocketAddr>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (phase, watched) = watch::channel(Phase::Serving);
    let max = rules.max_connections.clamp(1, Semaphore::MAX_PERMITS);
    let drain = rules.drain;
    let server = Server {
        http,
        rules,
        gate: context.gate.clone(),
        handshakes: Handshakes::new(max / HANDSHAKES_PART),
        handle,
        meters: Meters::new(&intake),
    };
    // Ends with this function.
    let _refresh = refresh::spawn(context, &server.meters);
    let end = accept_all(&listener, &server, max, &watched, shutdown).await;
    // Closes the socket, so that nobody is left waiting in its queue.
    drop(listener);
    drop(watched);
    if end == End::Replaced {
        let _ = phase.send(Phase::Leaving);
        let _ = tokio::time::timeout(drain, phase.closed()).await;
    } else {
        intake.drain();
    }
    let _ = phase.send(Phase::Draining);
    if tokio::time::timeout(drain, phase.closed()).await.is_err() {
        tracing::warn!(
            connections = phase.receiver_count(),
            "connections did not finish in time and are cut"
        );
        let _ = phase.send(Phase::Cut);
        phase.closed().await;
    }
}

async fn accept_all<H, F, B>(
    listener: &Listener,
    server: &Server<H>,
    max_connections: usize,
    phase: &watch::Receiver<Phase>,
    shutdown: impl Future<Output = End>,
) -> End
where
    H: Fn(Request<Incoming>, Option<SocketAddr>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let slots = Arc::new(Semaphore::new(max_connections));
    let mut shutdown = pin!(shutdown);
    let mut back_off = BACK_OFF;
    loop {
        let accepted = tokio::select! {
            biased;
            end = &mut shutdown => return end,
            accepted = accept(listener, &slots) => accepted,
        };
        match accepted {
            Ok((raw, peer, slot)) => {
                back_off = BACK_OFF;
                let connection = server.clone().connection(raw, peer, phase.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                server.meters.accept_errors.increment(1);
                tracing::warn!(%error, "accept failed; trying again in {back_off:?}");
                tokio::select! {
                    biased;
                    end = &mut shutdown => return end,
                    () = sleep(back_off) => back_off = (back_off * 2).min(MAX_BACK_OFF),
                }
            }
        }
    }
}

async fn accept(
    listener: &Listener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(Raw, Option<SocketAddr>, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            Ok((Raw::Tcp(stream), Some(peer), slot))
        }
        Listener::Unix(listener) => {
            let (stream, _unnamed) = listener.accept().await?;
            Ok((Raw::Unix(stream), None, slot))
        }
    }
}
