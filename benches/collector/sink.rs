//! A backend that counts spans and says yes: HTTP/2 without TLS, OTLP/gRPC, gzip or not.

use burngate::wire::{Attributes, Event, KeyTableBuilder, Scope, Span, SpanSink, WalkLimits, walk_traces};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;

pub(crate) struct Sink {
    pub port: u16,
    spans: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Blind;

impl<'a> SpanSink<'a> for Blind {
    fn resource(&mut self, _: &Attributes<'a>) {}
    fn scope(&mut self, _: &Scope<'a, '_>) {}
    fn span(&mut self, _: &Span<'a>, _: &Attributes<'a>, _: &[Event<'a>]) {}
    fn forget(&mut self) {}
}

/// Spans of one gRPC message, frame and all.
fn spans_of(body: &[u8]) -> u64 {
    let (head, message) = body.split_at(5);
    let mut plain = Vec::new();
    let message = if head[0] == 1 {
        flate2::read::GzDecoder::new(message)
            .read_to_end(&mut plain)
            .expect("gzip");
        plain.as_slice()
    } else {
        message
    };
    let limits = WalkLimits {
        spans_max: u32::MAX,
        attributes_max: 256,
        events_max: 256,
        nesting_max: 16,
    };
    let keys = KeyTableBuilder::default().build();
    walk_traces(message, &keys, &limits, &mut Blind)
        .expect("a trace request")
        .spans
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let spans = Arc::new(AtomicU64::new(0));
        let counted = spans.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = stream.set_nodelay(true);
                let counted = counted.clone();
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let counted = counted.clone();
                    async move { Ok::<_, Infallible>(answer(request, &counted).await) }
                });
                tokio::spawn(async move {
                    let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    http.initial_stream_window_size(16 << 20)
                        .initial_connection_window_size(64 << 20)
                        .max_frame_size(1 << 20);
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, spans, task }
    }

    pub(crate) fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }
}

type Answer = http::Response<
    StreamBody<futures_util::stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>>>,
>;

async fn answer(request: http::Request<Incoming>, spans: &AtomicU64) -> Answer {
    let mut whole = BytesMut::new();
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    spans.fetch_add(spans_of(&whole), Ordering::Relaxed);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = [
        Ok(Frame::data(Bytes::from_static(&[0; 5]))),
        Ok(Frame::trailers(trailers)),
    ];
    http::Response::builder()
        .header("content-type", "application/grpc")
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap()
}
