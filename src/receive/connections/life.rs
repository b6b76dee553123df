//! The life of one connection, from its handshake to its end.

use super::handshakes::Handshakes;
use super::idle::{self, Verdict, Watch};
use super::meters::Meters;
use super::{Phase, Rules};
use crate::receive::gate::Gate;
use crate::receive::io::{Raw, Stream, Watched};
use crate::receive::pulse::Pulse;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// What a client must have sent to count as more than a silent connection: HTTP/2's preface and its SETTINGS.
const FIRST_BYTES: u64 = 33;

/// What all connections of a receiver share.
#[derive(Clone)]
pub(super) struct Server<H> {
    pub(super) http: Builder<TokioExecutor>,
    pub(super) rules: Rules,
    pub(super) gate: Gate,
    pub(super) handshakes: Handshakes,
    pub(super) handle: H,
    pub(super) meters: Meters,
}

impl<H, F, B> Server<H>
where
    H: Fn(Request<Incoming>, Option<SocketAddr>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    /// Drives one connection to its end.
    pub(super) async fn connection(
        self,
        raw: Raw,
        peer: Option<SocketAddr>,
        mut phase: watch::Receiver<Phase>,
    ) {
        let _open = self.meters.open();
        if let Raw::Tcp(stream) = &raw {
            // A failure only costs latency.
            let _ = stream.set_nodelay(true);
        }
        if let Some(stream) = self.handshake(raw, peer, &mut phase).await {
            self.converse(stream, peer, phase).await;
        }
    }

    /// Shakes hands where TLS is on; `None` when that came to nothing.
    async fn handshake(
        &self,
        raw: Raw,
        peer: Option<SocketAddr>,
        phase: &mut watch::Receiver<Phase>,
    ) -> Option<Stream> {
        let Some(tls) = &self.gate.tls else {
            return Some(Stream::Plain(raw));
        };
        let evicted = self.handshakes.begin();
        tokio::select! {
            biased;
            outcome = tls.accept(raw) => match outcome {
                Ok(stream) => Some(stream),
                Err(error) => {
                    let is_late = error.kind() == std::io::ErrorKind::TimedOut;
                    self.meters.cut(if is_late { "handshake_timeout" } else { "handshake_failed" });
                    tracing::debug!(?peer, %error, "TLS handshake failed");
                    None
                }
            },
            _ = evicted => {
                self.meters.cut("handshake_evicted");
                None
            }
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {
                self.meters.cut("shutdown");
                None
            }
        }
    }

    /// Serves requests until either side has had enough.
    async fn converse(self, stream: Stream, peer: Option<SocketAddr>, mut phase: watch::Receiver<Phase>) {
        let pulse = Arc::new(Pulse::default());
        let io = Watched::new(
            stream,
            Arc::clone(&pulse),
            self.rules.write_within,
            self.rules.pings,
        );
        let (handle, beat) = (self.handle.clone(), Arc::clone(&pulse));
        let is_http2 = Arc::new(AtomicBool::new(false));
        let (version, moving) = (Arc::clone(&is_http2), phase.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let under_way = beat.begin();
            let speaks_http2 = request.version() == Version::HTTP_2;
            version.store(speaks_http2, Ordering::Relaxed);
            let leaves = !speaks_http2 && *moving.borrow() == Phase::Leaving;
            let answer = handle(request, peer);
            async move {
                let mut answer = answer.await;
                drop(under_way);
                if leaves {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let mut conn = pin!(self.http.serve_connection(TokioIo::new(io), service));
        let mut first_bytes = pin!(sleep(self.rules.first_bytes_within));
        let mut spoke = false;
        let mut limits = Watch::new(&self.rules);
        let mut age = pin!(sleep(self.rules.max_age.mul_f64(0.9 + fastrand::f64() / 5.0)));
        let mut leaving = false;
        loop {
            tokio::select! {
                biased;
                end = conn.as_mut() => {
                    if let Err(error) = end {
                        tracing::debug!(?peer, error, "connection failed");
                        if pulse.has_pinged_too_often() {
                            self.meters.cut("too_many_pings");
                        }
                    }
                    return;
                }
                changed = phase.changed() => {
                    if changed.is_ok() && *phase.borrow() == Phase::Leaving {
                        // HTTP/2 can say so without losing a request; over HTTP/1 the next answer says it.
                        if is_http2.load(Ordering::Relaxed) {
                            conn.as_mut().graceful_shutdown();
                        }
                        continue;
                    }
                    // A client that has not said hello yet cannot be told to leave.
                    let silent = pulse.bytes_read() < FIRST_BYTES;
                    if changed.is_err() || *phase.borrow() == Phase::Cut || silent {
                        return self.meters.cut("shutdown");
                    }
                    conn.as_mut().graceful_shutdown();
                }
                () = first_bytes.as_mut(), if !spoke => {
                    spoke = true;
                    if pulse.bytes_read() < FIRST_BYTES {
                        return self.meters.cut("silent");
                    }
                }
                verdict = idle::reached(&mut limits, &pulse) => {
                    if verdict == Verdict::SlowHeaders {
                        return self.meters.cut("slow_headers");
                    }
                    if !leaving {
                        self.meters.cut("idle");
                        leaving = true;
                        conn.as_mut().graceful_shutdown();
                        age.as_mut().reset(Instant::now() + self.rules.age_grace);
                    }
                }
                () = age.as_mut() => {
                    if leaving {
                        return self.meters.cut("age");
                    }
                    leaving = true;
                    conn.as_mut().graceful_shutdown();
                    age.as_mut().reset(Instant::now() + self.rules.age_grace);
                }
            }
        }
    }
}
