//! A door for OTLP, over gRPC and HTTP on one port: keeps each request unpacked, and answers it or passes it on as it is.

use super::RUNTIME;
use super::items::Signal;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

type Body = BoxBody<Bytes, hyper::Error>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One request, unpacked.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub signal: Signal,
    pub is_grpc: bool,
    pub is_json: bool,
    /// `gzip`, when it was compressed.
    pub coding: Option<String>,
    /// The message without framing and compression.
    pub message: Bytes,
}

impl Seen {
    /// What must arrive unchanged.
    pub fn whole(&self) -> (Signal, Bytes) {
        (self.signal, self.message.clone())
    }
}

/// Where a request goes on to.
struct Beyond {
    grpc: SocketAddr,
    http: SocketAddr,
    over_grpc: Client<HttpConnector, Full<Bytes>>,
    over_http: Client<HttpConnector, Full<Bytes>>,
}

struct State {
    seen: Mutex<Vec<Seen>>,
    beyond: Option<Beyond>,
}

/// See the module.
pub struct Door {
    pub address: SocketAddr,
    state: Arc<State>,
    accept: tokio::task::JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Door {
    /// A backend that takes everything.
    pub fn that_answers() -> Self {
        Self::open(None)
    }

    /// A witness on the way to a gateway.
    pub fn that_passes_on(grpc: SocketAddr, http: SocketAddr) -> Self {
        let builder = || Client::builder(TokioExecutor::new());
        Self::open(Some(Beyond {
            grpc,
            http,
            over_grpc: builder().http2_only(true).build_http(),
            over_http: builder().build_http(),
        }))
    }

    fn open(beyond: Option<Beyond>) -> Self {
        let state = Arc::new(State {
            seen: Mutex::default(),
            beyond,
        });
        let listener = RUNTIME
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), state.clone());
        let accept = RUNTIME.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                let service = hyper::service::service_fn(move |request| handle(request, state.clone()));
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            state,
            accept,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
}

async fn handle(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, Failure> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let said = |name: &str| head.headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    let kind = said("content-type").unwrap_or_default();
    let is_grpc = kind.starts_with("application/grpc");
    let (message, coding) = unpack(is_grpc, &head.headers, &body);
    let seen = Seen {
        path: head.uri.path().to_owned(),
        signal: Signal::of_path(head.uri.path()),
        is_grpc,
        is_json: kind.starts_with("application/json"),
        coding,
        message,
    };
    let is_json = seen.is_json;
    let Some(beyond) = &state.beyond else {
        state.seen.lock().unwrap().push(seen);
        return Ok(success(is_grpc, is_json));
    };
    let (to, client) = if is_grpc {
        (beyond.grpc, &beyond.over_grpc)
    } else {
        (beyond.http, &beyond.over_http)
    };
    let mut uri = head.uri.clone().into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::try_from(to.to_string())?);
    let mut onward = Request::new(Full::new(body));
    *onward.method_mut() = head.method.clone();
    *onward.uri_mut() = Uri::from_parts(uri)?;
    *onward.headers_mut() = head.headers.clone();
    // Only what was taken counts: an SDK sends again what was not.
    let answer = client.request(onward).await?;
    let refused = answer
        .headers()
        .get("grpc-status")
        .is_some_and(|status| status != "0");
    if answer.status().is_success() && !refused {
        state.seen.lock().unwrap().push(seen);
    }
    Ok(answer.map(BodyExt::boxed))
}

fn unpack(is_grpc: bool, headers: &HeaderMap, body: &Bytes) -> (Bytes, Option<String>) {
    let coding = |name: &str| headers.get(name).map(|it| it.to_str().unwrap().to_owned());
    let (packed, coding) = if is_grpc {
        let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
        assert_eq!(length as usize, body.len() - 5, "one whole message");
        (body.slice(5..), coding("grpc-encoding").filter(|_| body[0] == 1))
    } else {
        (body.clone(), coding("content-encoding"))
    };
    let coding = coding.filter(|it| it != "identity");
    let message = match coding.as_deref() {
        None => packed,
        Some("gzip") => {
            let mut out = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(&packed[..]);
            reader.read_to_end(&mut out).unwrap();
            out.into()
        }
        Some(other) => panic!("coding {other}"),
    };
    (message, coding)
}

fn success(is_grpc: bool, is_json: bool) -> Response<Body> {
    let (kind, frames) = match (is_grpc, is_json) {
        (true, _) => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = vec![
                Frame::data(Bytes::from_static(&[0; 5])),
                Frame::trailers(trailers),
            ];
            ("application/grpc", frames)
        }
        (false, true) => ("application/json", vec![Frame::data(Bytes::from_static(b"{}"))]),
        (false, false) => ("application/x-protobuf", Vec::new()),
    };
    let body = StreamBody::new(tokio_stream::iter(frames.into_iter().map(Ok::<_, hyper::Error>)));
    Response::builder()
        .header("content-type", kind)
        .body(BodyExt::boxed(body))
        .unwrap()
}
