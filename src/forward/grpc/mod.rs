//! A gRPC client for one kind of call: unary, a message of buffers out, a small message back.
//!
//! Problem: a general client encodes a message it was given as a struct, or copies the bytes it was given
//! into a frame of its own. Property wanted: the buffers of a request go to the socket as they are. So the
//! frame's five bytes are a buffer of their own in front of them, and hyper's HTTP/2 does the rest.
//! Rejected: tonic's client with a codec of raw bytes, whose encoder writes into one contiguous buffer: a
//! copy of every request.

mod answer;
mod pool;

use super::otlp::client_config;
use super::otlp::{Attempt, Authorize, Buffers, Failure, Packed};
use crate::config::{ClientKeepalive, OtlpExporter};
use crate::pipeline::Signal;
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use pool::{Connector, Pool};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// A backend over OTLP/gRPC.
#[derive(Debug)]
pub(super) struct GrpcClient {
    config: OtlpExporter,
    endpoint: Uri,
    pool: Arc<Pool>,
    scheme: Scheme,
    authority: Authority,
    headers: HeaderMap,
    authorization: Option<Arc<dyn Authorize>>,
}

/// Time of one connection attempt, name lookup and TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);

impl GrpcClient {
    /// `headers` go with every call. The text of an error is for the operator.
    pub(super) fn new(
        config: &OtlpExporter,
        mut headers: HeaderMap,
        authorization: Option<Arc<dyn Authorize>>,
    ) -> Result<Self, String> {
        let url = config.endpoints.traces.as_deref().unwrap_or_default();
        let endpoint: Uri = url.parse().map_err(|error| format!("endpoint: {error}"))?;
        if !matches!(endpoint.path(), "" | "/") || endpoint.query().is_some() {
            return Err(format!("endpoint: gRPC has no path; remove {}", endpoint.path()));
        }
        let scheme = endpoint.scheme().cloned().unwrap_or(Scheme::HTTPS);
        let named = (config.authority.as_deref())
            .or(config
                .tls
                .server_name_override
                .as_deref()
                .filter(|_| scheme == Scheme::HTTPS))
            .or(endpoint.authority().map(Authority::as_str))
            .unwrap_or_default();
        let authority = named.parse().map_err(|error| format!("authority: {error}"))?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(
            "grpc-accept-encoding",
            HeaderValue::from_static("identity,gzip,zstd"),
        );
        let millis = format!("{}m", config.timeout.as_millis());
        if let Ok(value) = HeaderValue::from_str(&millis) {
            headers.insert("grpc-timeout", value);
        }
        let pool = Pool::new(
            endpoint.clone(),
            config.balancer,
            config.keepalive,
            connector(config, &endpoint)?,
        );
        Ok(Self {
            config: config.clone(),
            pool: Arc::new(pool),
            scheme,
            authority,
            headers,
            authorization,
            endpoint,
        })
    }

    /// Looks at the files of certificates again; new connections use them.
    pub(super) fn reload(&self) -> Result<(), String> {
        self.pool.renew(connector(&self.config, &self.endpoint)?);
        Ok(())
    }

    /// One attempt.
    pub(super) async fn send(&self, signal: Signal, packed: &Packed) -> Attempt {
        let attempt = self.attempt(signal, packed);
        match tokio::time::timeout(self.config.timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Failure::of(
                Code::DeadlineExceeded,
                format!("no answer within {:?}", self.config.timeout),
            )),
        }
    }

    async fn attempt(&self, signal: Signal, packed: &Packed) -> Attempt {
        let mut request = self.request(signal, packed)?;
        // A connection may end between being chosen and being used; what never left is sent over another.
        for _ in 0..3 {
            let mut sender = self.connection().await?;
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return answer::read(response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failure::unreachable(describe(error.error()))),
                },
            }
        }
        Err(Failure::unreachable("connections close as soon as they are open"))
    }

    async fn connection(&self) -> Result<pool::Sender, Failure> {
        loop {
            match self.pool.connection().await {
                Err(_) if self.config.wait_for_ready => {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
                result => return result,
            }
        }
    }

    fn request(&self, signal: Signal, packed: &Packed) -> Result<Request<Buffers>, Failure> {
        let length = u32::try_from(packed.len())
            .map_err(|_| Failure::of(Code::ResourceExhausted, "larger than a gRPC message can be"))?;
        let mut frame = [0; 5];
        frame[0] = u8::from(packed.coding.is_some());
        frame[1..].copy_from_slice(&length.to_be_bytes());
        let body = Buffers::framed(Bytes::copy_from_slice(&frame), &packed.pieces);
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(path(signal));
        if let Ok(uri) = Uri::from_parts(uri) {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        if let Some(coding) = packed.coding {
            headers.insert("grpc-encoding", HeaderValue::from_static(coding));
        }
        if let Some((name, value)) = self.authorization.as_ref().and_then(|it| it.header()) {
            headers.insert(name, value);
        }
        Ok(request)
    }
}

fn path(signal: Signal) -> PathAndQuery {
    PathAndQuery::from_static(match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    })
}

/// Connects to addresses, and checks certificates against the endpoint's name all the same.
fn connector(config: &OtlpExporter, endpoint: &Uri) -> Result<Connector, String> {
    let host = endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = config.tls.server_name_override.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(|error| format!("{name}: {error}"))?;
    let mut tcp = hyper_util::client::legacy::connect::HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    tcp.set_keepalive(Some(Duration::from_mins(1)));
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(client_config(&config.tls)?)
        .https_or_http()
        .with_server_name_resolver(FixedServerNameResolver::new(name))
        .enable_http2()
        .wrap_connector(tcp))
}

/// hyper's error, and what is behind it.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = source.source();
    }
    text
}

/// Keepalive for a connection's builder.
fn keep_alive(
    builder: &mut hyper::client::conn::http2::Builder<hyper_util::rt::TokioExecutor>,
    keepalive: Option<ClientKeepalive>,
) {
    if let Some(it) = keepalive {
        builder
            .keep_alive_interval(it.time)
            .keep_alive_timeout(it.timeout)
            .keep_alive_while_idle(it.permit_without_stream);
    }
}
