//! OTLP/HTTP: a POST a batch, over connections that are kept.
//!
//! hyper's pooling client over rustls. Redirects are not followed: a backend that moved is a mistake to be
//! told, and following would carry headers with secrets to whoever was named.

mod answer;

use super::otlp::{Attempt, Authorize, Buffers, Failure, Packed, client_config};
use crate::config::{OtlpEncoding, OtlpExporter};
use crate::pipeline::Signal;
use crate::time::Clock;
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

type Inner = Client<HttpsConnector<HttpConnector>, Buffers>;

/// A backend over OTLP/HTTP.
#[derive(Debug)]
pub(super) struct HttpClient {
    config: OtlpExporter,
    inner: ArcSwap<Inner>,
    /// Of traces, metrics and logs.
    urls: [Option<Uri>; 3],
    headers: HeaderMap,
    authorization: Option<Arc<dyn Authorize>>,
    clock: Arc<dyn Clock>,
}

/// Time of one connection attempt.
const CONNECT_MAX: Duration = Duration::from_secs(10);

impl HttpClient {
    /// `headers` go with every request. The text of an error is for the operator.
    pub(super) fn new(
        config: &OtlpExporter,
        mut headers: HeaderMap,
        authorization: Option<Arc<dyn Authorize>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let url = |url: &Option<String>| match url {
            None => Ok(None),
            Some(url) => url
                .parse()
                .map(Some)
                .map_err(|error| format!("endpoint {url}: {error}")),
        };
        let them = &config.endpoints;
        let kind = match config.encoding {
            OtlpEncoding::Proto => "application/x-protobuf",
            OtlpEncoding::Json => "application/json",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(Self {
            inner: ArcSwap::from_pointee(client(config)?),
            urls: [url(&them.traces)?, url(&them.metrics)?, url(&them.logs)?],
            config: config.clone(),
            headers,
            authorization,
            clock,
        })
    }

    /// Looks at the files of certificates again; new connections use them.
    pub(super) fn reload(&self) -> Result<(), String> {
        self.inner.store(Arc::new(client(&self.config)?));
        Ok(())
    }

    /// One attempt.
    pub(super) async fn send(&self, signal: Signal, packed: &Packed) -> Attempt {
        let at = match signal {
            Signal::Traces => 0,
            Signal::Metrics => 1,
            Signal::Logs => 2,
        };
        let Some(url) = &self.urls[at] else {
            let message = format!("no endpoint for {}", signal.as_str());
            return Err(Failure::of(Code::Unimplemented, message));
        };
        let attempt = async {
            let response = self.inner.load_full().request(self.request(url, packed)).await;
            match response {
                Ok(response) => answer::read(response, &*self.clock).await,
                Err(error) => Err(Failure::unreachable(super::grpc::describe(&error))),
            }
        };
        match tokio::time::timeout(self.config.timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Failure::of(
                Code::DeadlineExceeded,
                format!("no answer within {:?}", self.config.timeout),
            )),
        }
    }

    fn request(&self, url: &Uri, packed: &Packed) -> Request<Buffers> {
        let mut request = Request::new(Buffers::sized(&packed.pieces));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        if let Some(coding) = packed.coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        if let Some((name, value)) = self.authorization.as_ref().and_then(|it| it.header()) {
            headers.insert(name, value);
        }
        request
    }
}

fn client(config: &OtlpExporter) -> Result<Inner, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(client_config(&config.tls)?)
        .https_or_http();
    let builder = match &config.tls.server_name_override {
        None => builder,
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|error| format!("{name}: {error}"))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
    };
    let mut client = Client::builder(TokioExecutor::new());
    client
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(config.max_idle_conns)
        .pool_idle_timeout(Some(config.idle_conn_timeout).filter(|it| !it.is_zero()));
    if let Some(it) = config.keepalive {
        client
            .http2_keep_alive_interval(it.time)
            .http2_keep_alive_timeout(it.timeout)
            .http2_keep_alive_while_idle(it.permit_without_stream);
    }
    Ok(client.build(builder.enable_all_versions().wrap_connector(tcp)))
}
