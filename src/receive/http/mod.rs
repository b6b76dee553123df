//! OTLP/HTTP: `POST /v1/{traces,metrics,logs}`, protobuf and JSON, over HTTP/1.1 and HTTP/2 on one port.
//!
//! Property wanted: every answer that is not a success has a `google.rpc.Status` body in the request's
//! encoding, whatever went wrong (row H5). Rejected: a router, because three exact paths need none and its
//! own 404 and 405 would be plain text.

mod answer;
mod content;

use super::admission::Ticket;
use super::body::Paced;
use super::connections::{self, Rules};
use super::context::Context;
use super::decompress::{Caps, Coding, decompress};
use super::failure::Failure;
use super::intake::Intake;
use super::listener::Listener;
use super::meters::Transport;
use super::{Accepted, Batch, Consume, Signal, Signals, json};
use crate::config::HttpReceiver;
use answer::{failure_answer, success_answer};
use bytes::Bytes;
use content::Encoding;
use http::{HeaderMap, Method, Request, Response, Version, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Headers of one request.
const MAX_HEADERS: usize = 64;
/// Bytes of a request's headers.
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// HTTP/2 streams a connection may have open.
const MAX_CONCURRENT_STREAMS: u32 = 64;
/// As for gRPC.
const MAX_PENDING_ACCEPT_RESETS: usize = 20;
const MAX_LOCAL_ERROR_RESETS: usize = 128;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection older than this is closed after its next answer.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(10);
/// How long a refused HTTP/1.1 client may go on writing before it reads its answer.
const DISCARD_WITHIN: Duration = Duration::from_secs(2);
/// JSON bodies above this are decoded off the workers that move bytes.
const JSON_INLINE_BYTES: usize = 256 << 10;

/// Serves OTLP/HTTP on `listener` until `shutdown` completes and requests in flight have finished (or their
/// time is up). Signals that are off are not there: 404.
pub async fn serve_http(
    listener: impl Into<Listener>,
    config: &HttpReceiver,
    context: Context,
    sink: Arc<dyn Consume>,
    signals: Signals,
    shutdown: impl Future<Output = ()>,
) {
    let limits = context.admission.limits();
    let limit = usize::try_from(config.max_request_body_size)
        .unwrap_or(usize::MAX)
        .min(u32::MAX as usize - 1);
    let caps = Caps {
        limit,
        ratio: limits.max_decompression_ratio as usize,
    };
    let timeout = Duration::from_secs(config.request_timeout_secs);
    let rules = Rules {
        max_connections: config.max_connections,
        first_bytes_within: Duration::from_secs(config.read_header_timeout_secs),
        headers_within: Some(Duration::from_secs(config.read_header_timeout_secs)),
        idle: Some(Duration::from_secs(config.idle_timeout_secs)),
        write_within: Duration::from_secs(config.write_timeout_secs),
        max_age: MAX_CONNECTION_AGE,
        age_grace: timeout,
        drain: Duration::from_secs(limits.drain_timeout_secs),
    };
    let intake = Intake::new(Transport::Http, &context, sink, signals);
    let service = Arc::new(Service {
        intake: Arc::clone(&intake),
        caps,
        timeout,
    });
    let handle = move |request, peer| Arc::clone(&service).answer(request, peer);
    let how = (http(config), rules);
    connections::serve(listener.into(), how, &context, intake, handle, shutdown).await;
}

fn http(config: &HttpReceiver) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .keep_alive(config.keep_alives_enabled)
        .max_headers(MAX_HEADERS)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    builder
}

/// The three paths.
struct Service {
    intake: Arc<Intake>,
    caps: Caps,
    timeout: Duration,
}

impl Service {
    /// Answers one request, whatever it is.
    async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: Option<SocketAddr>,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        let mut body = Paced::new(body);
        let encoding = Encoding::of(&head.headers);
        let (signal, outcome) = match self.vet(&head, encoding) {
            Ok((signal, encoding, coding)) => {
                let export = self.export(signal, encoding, coding, &head.headers, &mut body, peer);
                let outcome = tokio::time::timeout(self.timeout, export)
                    .await
                    .unwrap_or_else(|_| Err(Failure::Deadline("the request took too long".into())));
                (
                    Some(signal),
                    outcome.map(|accepted| success_answer(signal, encoding, &accepted)),
                )
            }
            Err((signal, failure)) => (signal, Err(failure)),
        };
        match outcome {
            Ok(response) => response,
            Err(failure) => {
                self.intake.refused(signal, body.bytes(), &failure);
                if must_discard(&head) {
                    body.discard(self.caps.limit as u64, DISCARD_WITHIN).await;
                }
                failure_answer(
                    encoding.unwrap_or_else(|| content::guess(&head.headers)),
                    &failure,
                )
            }
        }
    }

    /// What can be judged by the head alone, in the order in which a client would want to hear of it.
    fn vet(
        &self,
        head: &Parts,
        encoding: Option<Encoding>,
    ) -> Result<(Signal, Encoding, Coding), (Option<Signal>, Failure)> {
        let signal = route(head.uri.path(), self.intake.signals).map_err(|failure| (None, failure))?;
        let refuse = |failure| (Some(signal), failure);
        if head.method != Method::POST {
            return Err(refuse(Failure::Method));
        }
        let Some(encoding) = encoding else {
            let why = "unsupported media type, supported: [application/json, application/x-protobuf]";
            return Err(refuse(Failure::MediaType(why.into())));
        };
        let coding = content::coding(&head.headers).map_err(refuse)?;
        Ok((signal, encoding, coding))
    }

    async fn export<B>(
        &self,
        signal: Signal,
        encoding: Encoding,
        coding: Coding,
        headers: &HeaderMap,
        body: &mut Paced<B>,
        peer: Option<SocketAddr>,
    ) -> Result<Accepted, Failure>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut ticket = self.intake.open()?;
        let raw = content::read(body, headers, self.caps.limit, &mut ticket).await?;
        let plain = decompress(coding, raw, self.caps, &mut ticket).await?;
        let bytes = match encoding {
            Encoding::Protobuf => plain,
            Encoding::Json => self.translate(signal, plain, &mut ticket).await?,
        };
        let batch = Batch {
            peer,
            ..Batch::new(signal, bytes)
        };
        self.intake.deliver(batch).await
    }

    /// JSON to protobuf. The output is charged as large as the input before, and what it has more (small
    /// numbers in packed lists grow) after.
    async fn translate(&self, signal: Signal, text: Bytes, ticket: &mut Ticket) -> Result<Bytes, Failure> {
        let charged = text.len();
        ticket.charge(charged).await?;
        let limit = self.caps.limit;
        let decoded = if charged <= JSON_INLINE_BYTES {
            json::decode(signal, &text, limit)
        } else {
            let task = tokio::task::spawn_blocking(move || json::decode(signal, &text, limit));
            task.await.map_err(|_| Failure::Panicked)?
        };
        let bytes = decoded.map_err(|error| match error.kind {
            json::ErrorKind::TooLarge => Failure::TooLarge(error.to_string().into()),
            _ => Failure::Malformed(error.to_string().into()),
        })?;
        ticket.charge(bytes.len().saturating_sub(charged)).await?;
        Ok(Bytes::from(bytes))
    }
}

/// Whether the client may be blocked in writing its body: not over HTTP/2, and not while it waits for `100
/// Continue`.
fn must_discard(head: &Parts) -> bool {
    head.version < Version::HTTP_2 && !head.headers.contains_key(header::EXPECT)
}

fn route(path: &str, signals: Signals) -> Result<Signal, Failure> {
    let (signal, here) = match path {
        "/v1/traces" => (Signal::Traces, signals.traces),
        "/v1/metrics" => (Signal::Metrics, signals.metrics),
        "/v1/logs" => (Signal::Logs, signals.logs),
        _ => {
            return Err(Failure::NotHere(
                "not found, supported: /v1/traces, /v1/metrics, /v1/logs".into(),
            ));
        }
    };
    if here {
        Ok(signal)
    } else {
        Err(Failure::NotHere("this signal has no pipeline here".into()))
    }
}
