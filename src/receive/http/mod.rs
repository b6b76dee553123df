//! OTLP/HTTP: `POST /v1/{traces,metrics,logs}`, protobuf and JSON, over HTTP/1.1 and HTTP/2 on one port.
//!
//! Property wanted: every answer that is not a success has a `google.rpc.Status` body in the request's
//! encoding, whatever went wrong (row H5). Rejected: a router, because three exact paths need none and its
//! own 404 and 405 would be plain text.

mod answer;
mod content;
mod cors;
mod service;

use super::connections::{self, End, Rules};
use super::context::Context;
use super::intake::Intake;
use super::listener::Listener;
use super::meters::Transport;
use super::{Consume, Signals};
use crate::config::HttpReceiver;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use service::Service;
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

/// Serves OTLP/HTTP on `listener` until `shutdown` completes and requests in flight have finished (or their
/// time is up). Signals that are off are not there: 404.
pub async fn serve_http(
    listener: impl Into<Listener>,
    config: &HttpReceiver,
    context: Context,
    sink: Arc<dyn Consume>,
    signals: Signals,
    shutdown: impl Future<Output = End>,
) {
    let limits = context.admission.limits();
    let rules = Rules {
        max_connections: config.max_connections,
        first_bytes_within: Duration::from_secs(config.read_header_timeout_secs),
        headers_within: Some(Duration::from_secs(config.read_header_timeout_secs)),
        idle: Some(Duration::from_secs(config.idle_timeout_secs)),
        write_within: Duration::from_secs(config.write_timeout_secs),
        pings: None,
        max_age: MAX_CONNECTION_AGE,
        age_grace: Duration::from_secs(config.request_timeout_secs),
        drain: Duration::from_secs(limits.drain_timeout_secs),
    };
    let intake = Intake::new(Transport::Http, &context, sink, signals);
    let service = Arc::new(Service::new(Arc::clone(&intake), config, &context));
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
