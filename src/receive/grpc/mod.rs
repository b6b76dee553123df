//! OTLP/gRPC: `{Trace,Metrics,Logs}Service/Export` on raw bytes.
//!
//! Problem: a gRPC library decodes a message into structs before anybody may look at its size, and reads it
//! into memory before anybody may refuse it. Property wanted: the length prefix is checked and admitted
//! before a byte of the message is stored, the message arrives as one buffer, and no prost type is ever
//! built. Rejected: the library's codec (it owns the buffer, and decompresses with limits of its own) and its
//! transport server (see [`super::connections`]); its status types are used.

mod answer;
mod framing;
mod timeout;

use super::body::{BoxError, Paced};
use super::claims;
use super::connections::{self, End, Rules};
use super::context::Context;
use super::decompress::{Caps, Coding, decompress};
use super::failure::Failure;
use super::gate::Gate;
use super::intake::Intake;
use super::listener::Listener;
use super::meters::Transport;
use super::pings::PingPolicy;
use super::{Accepted, Batch, Consume, Signal, Signals};
use crate::config::GrpcReceiver;
use answer::{AnswerBody, failure_answer, media_type_answer, success_answer};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::Body;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Resets that a client may have pending before the connection is told to go away (rapid reset).
const MAX_PENDING_ACCEPT_RESETS: usize = 20;
/// Resets that we may be made to send before the same (CVE-2025-8671).
const MAX_LOCAL_ERROR_RESETS: usize = 128;
/// Bytes of a request's headers.
const MAX_HEADER_LIST_BYTES: u32 = 16 << 10;
/// Time that an answer may wait for a client that does not read.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// Time for HTTP/2's preface.
const PREFACE_WITHIN: Duration = Duration::from_secs(10);

/// Serves OTLP/gRPC on `listener` until `shutdown` completes and requests in flight have finished (or their
/// time is up). Signals that are off are not there: UNIMPLEMENTED.
pub async fn serve_grpc(
    listener: impl Into<Listener>,
    config: &GrpcReceiver,
    context: Context,
    sink: Arc<dyn Consume>,
    signals: Signals,
    shutdown: impl Future<Output = End>,
) {
    let limits = context.admission.limits();
    let limit = usize::try_from(config.max_recv_msg_size_mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
    // The prefix has 32 bits, and one byte above the limit must be countable.
    let limit = limit.min(u32::MAX as usize - 1);
    let caps = Caps {
        limit,
        ratio: limits.max_decompression_ratio as usize,
    };
    let rules = Rules {
        max_connections: config.max_connections,
        first_bytes_within: PREFACE_WITHIN,
        headers_within: None,
        idle: (config.max_connection_idle_secs > 0)
            .then(|| Duration::from_secs(config.max_connection_idle_secs)),
        write_within: WRITE_WITHIN,
        pings: Some(PingPolicy {
            min_time: Duration::from_secs(config.ping_min_time_secs),
            without_stream: config.ping_without_stream,
        }),
        max_age: Duration::from_secs(config.max_connection_age_secs),
        age_grace: Duration::from_secs(config.max_connection_age_grace_secs),
        drain: Duration::from_secs(limits.drain_timeout_secs),
    };
    let intake = Intake::new(Transport::Grpc, &context, sink, signals);
    let timeout = Duration::from_secs(config.request_timeout_secs);
    let service = Arc::new(Service {
        intake: Arc::clone(&intake),
        gate: context.gate.clone(),
        caps,
        timeout,
        include_metadata: config.include_metadata,
    });
    let handle = move |request, peer| Arc::clone(&service).answer(request, peer);
    let how = (http2(config), rules);
    connections::serve(listener.into(), how, &context, intake, handle, shutdown).await;
}

/// HTTP/2 with every limit said aloud.
fn http2(config: &GrpcReceiver) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(config.initial_stream_window_bytes)
        .initial_connection_window_size(config.initial_connection_window_bytes)
        .max_frame_size(config.max_frame_bytes)
        .max_send_buf_size(usize::try_from(config.write_buffer_size).unwrap_or(usize::MAX))
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .keep_alive_interval(Duration::from_secs(config.keepalive_interval_secs))
        .keep_alive_timeout(Duration::from_secs(config.keepalive_timeout_secs));
    builder
}

/// The three services.
struct Service {
    intake: Arc<Intake>,
    gate: Gate,
    caps: Caps,
    timeout: Duration,
    include_metadata: bool,
}

impl Service {
    /// Answers one request, whatever it is.
    async fn answer<B>(self: Arc<Self>, request: Request<B>, peer: Option<SocketAddr>) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        if !is_grpc(&head.headers) {
            return media_type_answer();
        }
        let identity = match claims::admit(&self.gate, &head, peer).await {
            Ok(identity) => identity,
            Err(failure) => return self.refuse(None, 0, &failure),
        };
        let signal = match route(head.uri.path(), self.intake.signals) {
            Ok(signal) if head.method == Method::POST => signal,
            Ok(signal) => return self.refuse(Some(signal), 0, &Failure::Method),
            Err(failure) => return self.refuse(None, 0, &failure),
        };
        let within = timeout::requested(&head.headers).map_or(self.timeout, |t| t.min(self.timeout));
        let mut body = Paced::new(body);
        let metadata = claims::metadata(&head, self.include_metadata, identity);
        let whence = Batch {
            peer,
            metadata,
            ..Batch::new(signal, Bytes::new())
        };
        let export = self.export(whence, &head.headers, &mut body);
        let outcome = tokio::time::timeout(within, export).await.unwrap_or_else(|_| {
            Err(Failure::Deadline(
                "the request took longer than its deadline".into(),
            ))
        });
        match outcome {
            Ok(accepted) => success_answer(&accepted),
            Err(failure) => self.refuse(Some(signal), body.bytes(), &failure),
        }
    }

    async fn export<B>(
        &self,
        whence: Batch,
        headers: &HeaderMap,
        body: &mut Paced<B>,
    ) -> Result<Accepted, Failure>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let coding = match headers.get("grpc-encoding") {
            None => Coding::Identity,
            Some(value) => Coding::of_grpc(value.as_bytes()).ok_or_else(|| {
                let name = String::from_utf8_lossy(value.as_bytes());
                Failure::UnknownEncoding(format!("unsupported grpc-encoding: {name:.64}").into())
            })?,
        };
        let mut ticket = self.intake.open()?;
        let message = framing::gather(body, self.caps.limit, &mut ticket).await?;
        let bytes = match (message.compressed, coding) {
            (false, _) => message.bytes,
            (true, Coding::Identity) => {
                let why = "the message is flagged as compressed, but grpc-encoding names no compression";
                return Err(Failure::Malformed(why.into()));
            }
            (true, coding) => decompress(coding, message.bytes, self.caps, &mut ticket).await?,
        };
        self.intake.deliver(whence.with_bytes(bytes)).await
    }

    fn refuse(&self, signal: Option<Signal>, bytes: u64, failure: &Failure) -> Response<AnswerBody> {
        self.intake.refused(signal, bytes, failure);
        failure_answer(failure)
    }
}

/// `application/grpc`, with or without `+proto` and parameters.
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let essence = value
        .as_bytes()
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    essence.eq_ignore_ascii_case(b"application/grpc")
        || essence.eq_ignore_ascii_case(b"application/grpc+proto")
}

fn route(path: &str, signals: Signals) -> Result<Signal, Failure> {
    let (signal, here) = match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => (Signal::Traces, signals.traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
            (Signal::Metrics, signals.metrics)
        }
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => (Signal::Logs, signals.logs),
        _ => return Err(Failure::NotHere("unknown service or method".into())),
    };
    if here {
        Ok(signal)
    } else {
        Err(Failure::NotHere("this signal has no pipeline here".into()))
    }
}
