//! Accepting connections, and the life of each.
//!
//! Problem: the transport library's own server stops an aged connection by cutting it, without a GOAWAY, once
//! a grace is set; its HTTP detection waits for a first byte without end; it does not cap connections.
//! Properties wanted: a cap on connections (the rest waits in the kernel's queue), errors of `accept` never
//! end the server, an aged connection is asked to leave and finishes what it has, a connection that says
//! nothing is closed, and shutdown waits for requests in flight, but not for ever.

use super::intake::Intake;
use super::io::Counted;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use metrics::{Counter, Gauge, counter, gauge};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

/// What a client must have sent to count as more than a silent connection: HTTP/2's preface and its SETTINGS.
const FIRST_BYTES: u64 = 33;
/// First pause after a failed accept, doubled up to [`MAX_BACK_OFF`].
const BACK_OFF: Duration = Duration::from_millis(10);
const MAX_BACK_OFF: Duration = Duration::from_secs(1);

/// How connections are treated.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Connections at once.
    pub(super) max_connections: usize,
    /// Time for the first bytes.
    pub(super) first_bytes_within: Duration,
    /// Age at which a connection is asked to leave; jittered by a tenth, so that clients do not come back
    /// together.
    pub(super) max_age: Duration,
    /// Time it has then.
    pub(super) age_grace: Duration,
    /// Time it has at shutdown.
    pub(super) drain: Duration,
}

/// Where the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Cut,
}

/// Serves `listener` until `shutdown`, and then the requests in flight.
pub(super) async fn serve<H, F, B>(
    listener: TcpListener,
    http: Builder<TokioExecutor>,
    rules: Rules,
    intake: Arc<Intake>,
    handle: H,
    shutdown: impl Future<Output = ()>,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (phase, watched) = watch::channel(Phase::Serving);
    let slots = Arc::new(Semaphore::new(
        rules.max_connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let drain = rules.drain;
    let server = Server {
        http,
        rules,
        handle,
        meters: Meters::new(&intake),
    };
    let mut shutdown = pin!(shutdown);
    let mut back_off = BACK_OFF;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                back_off = BACK_OFF;
                tokio::spawn(server.clone().connection(stream, peer, slot, watched.clone()));
            }
            Err(error) => {
                server.meters.accept_errors.increment(1);
                tracing::warn!(%error, "accept failed; trying again in {back_off:?}");
                tokio::select! {
                    biased;
                    () = &mut shutdown => break,
                    () = sleep(back_off) => back_off = (back_off * 2).min(MAX_BACK_OFF),
                }
            }
        }
    }
    // Closes the socket, so that nobody is left waiting in its queue.
    drop(listener);
    drop(watched);
    intake.drain();
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

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

#[derive(Clone)]
struct Server<H> {
    http: Builder<TokioExecutor>,
    rules: Rules,
    handle: H,
    meters: Meters,
}

impl<H, F, B> Server<H>
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    /// Drives one connection to its end.
    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        slot: OwnedSemaphorePermit,
        mut phase: watch::Receiver<Phase>,
    ) {
        let _open = self.meters.open();
        // A failure only costs latency.
        let _ = stream.set_nodelay(true);
        let (io, read) = Counted::new(stream);
        let handle = self.handle.clone();
        let service = service_fn(move |request| {
            let answer = handle(request, peer);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut conn = pin!(self.http.serve_connection(TokioIo::new(io), service));
        let mut first_bytes = pin!(sleep(self.rules.first_bytes_within));
        let mut spoke = false;
        let mut age = pin!(sleep(self.rules.max_age.mul_f64(0.9 + fastrand::f64() / 5.0)));
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                end = conn.as_mut() => {
                    if let Err(error) = end {
                        tracing::debug!(%peer, error, "connection failed");
                    }
                    break;
                }
                changed = phase.changed() => {
                    // A client that has not said hello yet cannot be told to leave.
                    let silent = read.total() < FIRST_BYTES;
                    if changed.is_err() || *phase.borrow() == Phase::Cut || silent {
                        self.meters.cut("shutdown").increment(1);
                        break;
                    }
                    conn.as_mut().graceful_shutdown();
                }
                () = first_bytes.as_mut(), if !spoke => {
                    spoke = true;
                    if read.total() < FIRST_BYTES {
                        self.meters.cut("silent").increment(1);
                        break;
                    }
                }
                () = age.as_mut() => {
                    if leaving {
                        self.meters.cut("age").increment(1);
                        break;
                    }
                    leaving = true;
                    conn.as_mut().graceful_shutdown();
                    age.as_mut().reset(tokio::time::Instant::now() + self.rules.age_grace);
                }
            }
        }
        drop(slot);
    }
}

#[derive(Clone)]
struct Meters {
    transport: &'static str,
    open: Gauge,
    accepted: Counter,
    accept_errors: Counter,
}

impl Meters {
    fn new(intake: &Intake) -> Self {
        let transport = intake.transport.label();
        Self {
            transport,
            open: gauge!("burngate_receiver_connections", "transport" => transport),
            accepted: counter!("burngate_receiver_connections_total", "transport" => transport),
            accept_errors: counter!("burngate_receiver_accept_errors_total", "transport" => transport),
        }
    }

    fn open(&self) -> Open {
        self.accepted.increment(1);
        self.open.increment(1.0);
        Open(self.open.clone())
    }

    fn cut(&self, reason: &'static str) -> Counter {
        let transport = self.transport;
        counter!("burngate_receiver_connections_cut_total", "transport" => transport, "reason" => reason)
    }
}

/// Counts a connection as open while it lives.
struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
