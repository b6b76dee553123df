//! A backend for exporters to send to: OTLP over gRPC and HTTP on one port, which counts what arrives and
//! answers as it is told, nonsense included.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used
)]
#![allow(
    clippy::disallowed_methods,
    reason = "prost is the oracle, and tests read clocks"
)]

use burngate::config::{Compression, OtlpExporter, OtlpProtocol, Retry};
use burngate::forward::{Built, Context, build_otlp};
use burngate::pipeline::{Batch, Memory, Signal};
use burngate::time::{Clock, UnixNanos};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What the backend answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Ok,
    Partial(i64, &'static str),
    /// A gRPC status, with RetryInfo.
    Grpc(tonic::Code, Option<Duration>),
    /// A status of HTTP, headers and a body; over gRPC too.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Data frames and then these trailers.
    Frames(Vec<Vec<u8>>, Option<HeaderMap>),
    /// A body without end.
    Endless,
    /// Nothing, ever.
    Hang,
    /// After a while.
    Slow(Duration),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    /// Unpacked, without gRPC's frame.
    pub message: Bytes,
    pub at: Instant,
}

#[derive(Default)]
struct State {
    requests: Vec<Received>,
    /// Times that each span arrived in a request that was answered with success.
    spans: HashMap<Vec<u8>, u32>,
    next: VecDeque<Answer>,
    otherwise: Option<Answer>,
    keep_bodies: bool,
}

pub struct Sink {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    accept: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(task) = self.accept.take() {
            task.abort();
        }
    }
}

impl Sink {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(address: SocketAddr) -> Self {
        Self::with(address, Arc::default(), None).await
    }

    pub async fn start_tls(config: rustls::ServerConfig) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        Self::with(address, Arc::default(), Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    #[allow(clippy::unused_async, reason = "spawns: only to be called on a runtime")]
    async fn with(address: SocketAddr, state: Arc<Mutex<State>>, tls: Option<TlsAcceptor>) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(128).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = state.clone();
        let accept = tokio::spawn(async move {
            // Dropped with the task: connections end when the backend does.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(TokioIo::new(stream), state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(TokioIo::new(stream), state).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            state,
            accept: Some(accept),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Goes away with all its connections.
    pub async fn stop(&mut self) {
        if let Some(task) = self.accept.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Comes back at the same place, with what it knew.
    pub async fn come_back(&mut self) {
        let again = Self::with(self.address, self.state.clone(), None).await;
        *self = again;
    }

    /// Answers these first, then success.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().next.extend(answers);
    }

    /// Answers this whenever nothing else was asked for.
    pub fn answer_always(&self, answer: Answer) {
        self.state.lock().unwrap().otherwise = Some(answer);
    }

    pub fn keep_bodies(&self) {
        self.state.lock().unwrap().keep_bodies = true;
    }

    pub fn requests(&self) -> Vec<Received> {
        self.state.lock().unwrap().requests.clone()
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().requests.len()
    }

    /// Distinct spans that were taken.
    pub fn spans(&self) -> usize {
        self.state.lock().unwrap().spans.len()
    }

    pub fn has(&self, id: &[u8]) -> bool {
        self.state.lock().unwrap().spans.contains_key(id)
    }

    /// Spans taken, the same one counted as often as it came.
    pub fn arrivals(&self) -> u64 {
        self.state
            .lock()
            .unwrap()
            .spans
            .values()
            .map(|n| u64::from(*n))
            .sum()
    }

    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < Duration::from_mins(1), "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn serve<S>(stream: TokioIo<S>, state: Arc<Mutex<State>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| handle(request, state.clone()));
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder.http2().initial_stream_window_size(4 << 20);
    let _ = builder.serve_connection(stream, service).await;
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn body(frames: Vec<Frame<Bytes>>) -> Body {
    let frames = frames.into_iter().map(Ok::<_, Infallible>);
    BodyExt::boxed(StreamBody::new(tokio_stream::iter(frames)))
}

async fn handle(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Body>, std::io::Error> {
    let (head, incoming) = request.into_parts();
    let Ok(collected) = incoming.collect().await else {
        return Err(std::io::Error::other("cut off"));
    };
    let grpc = head
        .headers
        .get("content-type")
        .is_some_and(|it| it == "application/grpc");
    let message = unpack(grpc, &head.headers, collected.to_bytes());
    let (answer, keep) = {
        let mut state = state.lock().unwrap();
        let next = state.next.pop_front();
        (
            next.or(state.otherwise.clone()).unwrap_or(Answer::Ok),
            state.keep_bodies,
        )
    };
    if let Answer::Slow(time) = &answer {
        tokio::time::sleep(*time).await;
    }
    {
        let mut state = state.lock().unwrap();
        if matches!(answer, Answer::Ok | Answer::Partial(..) | Answer::Slow(_))
            && head.uri.path().contains("race")
        {
            for id in span_ids(&message) {
                *state.spans.entry(id).or_default() += 1;
            }
        }
        state.requests.push(Received {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            message: if keep { message } else { Bytes::new() },
            at: Instant::now(),
        });
    }
    if matches!(answer, Answer::Hang) {
        std::future::pending::<()>().await;
    }
    Ok(response(grpc, answer))
}

fn unpack(grpc: bool, headers: &HeaderMap, body: Bytes) -> Bytes {
    let coding = |name: &str| headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    let (body, coding) = if grpc {
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
        assert_eq!(length as usize, body.len() - 5);
        (body.slice(5..), coding("grpc-encoding").filter(|_| body[0] == 1))
    } else {
        (body, coding("content-encoding"))
    };
    match coding.as_deref() {
        None => body,
        Some("gzip") => {
            let mut out = Vec::new();
            flate2::read::GzDecoder::new(&body[..])
                .read_to_end(&mut out)
                .unwrap();
            out.into()
        }
        Some("zstd") => zstd::stream::decode_all(&body[..]).unwrap().into(),
        Some(other) => panic!("coding {other}"),
    }
}

fn response(grpc: bool, answer: Answer) -> Response<Body> {
    let partial = |rejected: i64, message: &str| {
        use opentelemetry_proto::tonic::collector::trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceResponse,
        };
        let partial_success = (rejected > 0 || !message.is_empty()).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: message.to_owned(),
        });
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    };
    let message = match &answer {
        Answer::Partial(rejected, message) => partial(*rejected, message),
        _ => Vec::new(),
    };
    match answer {
        Answer::Http(status, headers, text) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(body(vec![Frame::data(text.into())])).unwrap()
        }
        Answer::Endless => {
            let zeros = Bytes::from(vec![0; 64 << 10]);
            let endless = tokio_stream::iter(std::iter::repeat_with(move || Ok(Frame::data(zeros.clone()))));
            let kind = if grpc {
                "application/grpc"
            } else {
                "application/x-protobuf"
            };
            let body = BodyExt::boxed(StreamBody::new(endless));
            Response::builder()
                .header("content-type", kind)
                .body(body)
                .unwrap()
        }
        Answer::Frames(data, trailers) => {
            let mut frames: Vec<_> = data.into_iter().map(|it| Frame::data(it.into())).collect();
            frames.extend(trailers.map(Frame::trailers));
            let kind = if grpc {
                "application/grpc"
            } else {
                "application/x-protobuf"
            };
            Response::builder()
                .header("content-type", kind)
                .body(body(frames))
                .unwrap()
        }
        Answer::Grpc(code, retry) => {
            use tonic_types::{ErrorDetails, StatusExt};
            let details = ErrorDetails::with_retry_info(retry);
            let status = match retry {
                None => tonic::Status::new(code, "as asked"),
                Some(_) => tonic::Status::with_error_details(code, "as asked", details),
            };
            status.into_http::<tonic::body::Body>().map(|_| body(Vec::new()))
        }
        _ if grpc => {
            let mut framed = vec![0; 5];
            framed[1..].copy_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
            framed.extend(message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = vec![Frame::data(framed.into()), Frame::trailers(trailers)];
            Response::builder()
                .header("content-type", "application/grpc")
                .body(body(frames))
                .unwrap()
        }
        _ => Response::builder()
            .header("content-type", "application/x-protobuf")
            .body(body(vec![Frame::data(message.into())]))
            .unwrap(),
    }
}

pub fn span_ids(message: &[u8]) -> Vec<Vec<u8>> {
    let request = ExportTraceServiceRequest::decode(message).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
    scopes.flat_map(|it| it.spans).map(|span| span.span_id).collect()
}

/// Spans with the ids `from..from + count`.
pub fn batch(from: u64, count: u64) -> Batch {
    sized_batch(from, count, 20)
}

pub fn sized_batch(from: u64, count: u64, bytes_each: usize) -> Batch {
    let span = |id: u64| Span {
        trace_id: [id.to_be_bytes(), [7; 8]].concat(),
        span_id: id.to_be_bytes().to_vec(),
        name: "x".repeat(bytes_each),
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: (from..from + count).map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let mut batch = Batch::new(Signal::Traces, request.encode_to_vec().into());
    batch.items = Some(count);
    batch
}

#[derive(Debug)]
pub struct SystemTimeClock;

impl Clock for SystemTimeClock {
    fn now(&self) -> UnixNanos {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        UnixNanos(u64::try_from(now.as_nanos()).unwrap())
    }
}

/// Uncompressed, with retries of milliseconds, so that tests do not wait.
pub fn quick(protocol: OtlpProtocol, url: &str) -> OtlpExporter {
    let mut config = OtlpExporter::new(protocol, url);
    config.compression = Compression::None;
    config.timeout = Duration::from_secs(5);
    config.retry = Some(Retry {
        initial_interval: Duration::from_millis(20),
        max_interval: Duration::from_millis(100),
        max_elapsed_time: Some(Duration::from_mins(1)),
        ..Retry::default()
    });
    config
}

pub fn context(storage: Option<&std::path::Path>) -> Context {
    Context {
        memory: Memory::default(),
        clock: Arc::new(SystemTimeClock),
        storage: storage.map(std::path::Path::to_path_buf),
        authorization: None,
        component: burngate::pipeline::Components::default().component("exporter otlp/test"),
    }
}

/// An exporter that runs.
pub fn run(config: &OtlpExporter, context: Context) -> Built {
    let built = build_otlp("otlp/test", config, context).unwrap();
    built.start(&tokio::runtime::Handle::current());
    built
}
