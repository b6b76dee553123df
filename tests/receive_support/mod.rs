//! What the receiver tests share: a consumer that records, servers on ephemeral ports, requests frame by frame.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]
#![allow(missing_debug_implementations)]

use burngate::config::{GrpcReceiver, HttpReceiver, PemSource, ReceiverLimits, Secret, TlsServer};
use burngate::pipeline::{Accepted, Batch, Consume, Consumed, Refusal, Signals};
use burngate::receive::{Admission, Context, End, Gate, Reload, serve_grpc, serve_http};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, StreamBody};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;
use tower::ServiceExt;

pub const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Records what it is given, and answers as told.
pub struct Recorder {
    pub batches: Mutex<Vec<Batch>>,
    answer: Answer,
}

pub type Answer = Box<dyn Fn(&Batch) -> Result<Accepted, Refusal> + Send + Sync>;

impl Consume for Recorder {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let answer = (self.answer)(&batch);
        self.batches.lock().unwrap().push(batch);
        Box::pin(std::future::ready(answer))
    }
}

/// A running receiver.
pub struct Running {
    pub addr: SocketAddr,
    pub sink: Arc<Recorder>,
    pub admission: Arc<Admission>,
    pub reload: Reload,
    stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<()>,
}

impl Running {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn bodies(&self) -> Vec<Bytes> {
        self.sink
            .batches
            .lock()
            .unwrap()
            .iter()
            .map(|b| b.bytes.clone())
            .collect()
    }

    /// Begins the shutdown.
    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url(""))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }
}

/// How to start one.
pub struct Setup {
    pub grpc: GrpcReceiver,
    pub http: HttpReceiver,
    pub limits: ReceiverLimits,
    pub signals: Signals,
    pub gate: Gate,
    pub answer: Answer,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            grpc: GrpcReceiver::default(),
            http: HttpReceiver::default(),
            limits: ReceiverLimits::default(),
            signals: Signals::ALL,
            gate: Gate::default(),
            answer: Box::new(|_| {
                Ok(Accepted {
                    items: 1,
                    ..Accepted::default()
                })
            }),
        }
    }
}

impl Setup {
    pub fn answering(answer: impl Fn(&Batch) -> Result<Accepted, Refusal> + Send + Sync + 'static) -> Self {
        Self {
            answer: Box::new(answer),
            ..Self::default()
        }
    }

    pub async fn grpc(self) -> Running {
        self.start(true).await
    }

    pub async fn http(self) -> Running {
        self.start(false).await
    }

    async fn start(self, over_grpc: bool) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let sink = Arc::new(Recorder {
            batches: Mutex::default(),
            answer: self.answer,
        });
        let admission = Admission::new(&self.limits);
        let (stop, stopped) = oneshot::channel();
        let context = Context::new("otlp", Arc::clone(&admission)).behind(self.gate);
        let reload = context.reload.clone();
        let consume = Arc::clone(&sink) as Arc<dyn Consume>;
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
                End::Stopped
            };
            if over_grpc {
                serve_grpc(listener, &self.grpc, context, consume, self.signals, stopped).await;
            } else {
                serve_http(listener, &self.http, context, consume, self.signals, stopped).await;
            }
        });
        Running {
            addr,
            sink,
            admission,
            reload,
            stop: Some(stop),
            task,
        }
    }
}

/// A gRPC answer: what HTTP said, what the trailers (or the headers, when there are only these) said, the message.
#[derive(Debug)]
pub struct GrpcAnswer {
    pub http: u16,
    pub headers: HeaderMap,
    pub status: tonic::Status,
    pub message: Bytes,
}

impl GrpcAnswer {
    pub fn code(&self) -> tonic::Code {
        self.status.code()
    }

    pub fn retry_delay(&self) -> Option<Duration> {
        self.status.get_details_retry_info()?.retry_delay
    }
}

/// Frames of a body under the test's control.
pub struct Sending(mpsc::UnboundedSender<Bytes>);

impl Sending {
    pub fn send(&self, bytes: impl Into<Bytes>) {
        self.0.send(bytes.into()).unwrap();
    }
}

/// Starts a gRPC request whose body the test sends piece by piece; drop the sender to end it.
pub fn begin(channel: &Channel, path: &str, headers: &[(&str, &str)]) -> (Sending, JoinHandle<GrpcAnswer>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    let pieces = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
    let frames =
        tokio_stream::StreamExt::map(pieces, |bytes| Ok::<_, Infallible>(http_body::Frame::data(bytes)));
    let mut request = Request::post(path);
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        if !headers.iter().any(|(n, _)| *n == name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = StreamBody::new(frames).map_err(|never| -> tonic::Status { match never {} });
    let request = request.body(tonic::body::Body::new(body)).unwrap();
    let channel = channel.clone();
    let answer = tokio::spawn(async move {
        let response = channel.oneshot(request).await.unwrap();
        let (head, mut body) = response.into_parts();
        let mut message = Vec::new();
        let mut status = tonic::Status::from_header_map(&head.headers);
        while let Some(frame) = body.frame().await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => panic!("{error:?}"),
            };
            match frame.into_data() {
                Ok(data) => message.extend_from_slice(&data),
                Err(other) => status = tonic::Status::from_header_map(other.trailers_ref().unwrap()),
            }
        }
        let status = status.unwrap_or_else(|| tonic::Status::unknown("no grpc-status"));
        let message = if message.is_empty() {
            Bytes::new()
        } else {
            Bytes::from(message).slice(5..)
        };
        GrpcAnswer {
            http: head.status.as_u16(),
            headers: head.headers,
            status,
            message,
        }
    });
    (Sending(sender), answer)
}

/// One whole gRPC request.
pub async fn call(
    channel: &Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> GrpcAnswer {
    let (sending, answer) = begin(channel, path, headers);
    sending.send(body);
    drop(sending);
    tokio::time::timeout(Duration::from_secs(30), answer)
        .await
        .expect("an answer")
        .unwrap()
}

/// A length-prefixed message.
pub fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap();
    [&[flag][..], &len.to_be_bytes(), message].concat()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// zstd whose header does not say how much it holds.
pub fn zstd_stream(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn snappy_block(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

pub fn snappy_framed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.into_inner().unwrap()
}

pub fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub type Pack = fn(&[u8]) -> Vec<u8>;

/// Every content coding of HTTP, and how to write it.
pub const HTTP_CODINGS: [(&str, Pack); 11] = [
    ("", <[u8]>::to_vec),
    ("identity", <[u8]>::to_vec),
    ("gzip", gzip),
    ("zstd", zstd),
    ("zstd", zstd_stream),
    ("zlib", zlib),
    ("deflate", zlib),
    ("snappy", snappy_block),
    ("snappy", snappy_framed),
    ("x-snappy-framed", snappy_framed),
    ("lz4", lz4),
];

/// Every compression of gRPC.
pub const GRPC_CODINGS: [(&str, Pack); 5] = [
    ("gzip", gzip),
    ("zstd", zstd),
    ("zstd", zstd_stream),
    ("snappy", snappy_framed),
    ("snappy", snappy_block),
];

/// A certificate authority and what it has signed, as PEM.
pub struct Authority {
    pub root: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().pem();
        Self {
            root,
            issuer: rcgen::Issuer::new(params, key),
        }
    }
}

impl Authority {
    /// A certificate for `name`, and its key.
    pub fn sign(&self, name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The TLS of a server that it vouches for.
    pub fn server(&self) -> TlsServer {
        let (certificate, key) = self.sign("localhost");
        TlsServer::new(
            PemSource::Inline(Secret::new(certificate)),
            PemSource::Inline(Secret::new(key)),
        )
    }
}

/// A request of `spans` spans.
pub fn request(spans: usize) -> ExportTraceServiceRequest {
    let span = |i: usize| Span {
        name: format!("span {i}"),
        trace_id: vec![7; 16],
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: (0..spans).map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource],
    }
}

/// Waits, a while, until `check` holds.
pub async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    for _ in 0..500 {
        if check() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
