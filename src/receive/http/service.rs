//! One request over HTTP, from its head to its answer.

use super::answer::{failure_answer, success_answer};
use super::content::{self, Encoding};
use super::cors::Cors;
use crate::config::HttpReceiver;
use crate::pipeline::ClientMetadata;
use crate::receive::admission::Ticket;
use crate::receive::body::{BoxError, Paced};
use crate::receive::claims;
use crate::receive::context::Context;
use crate::receive::decompress::{Caps, Coding, decompress};
use crate::receive::failure::Failure;
use crate::receive::gate::Gate;
use crate::receive::intake::Intake;
use crate::receive::{Accepted, Batch, Signal, json};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, Version, header};
use http_body::Body;
use http_body_util::Full;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a refused HTTP/1.1 client may go on writing before it reads its answer.
const DISCARD_WITHIN: Duration = Duration::from_secs(2);
/// Bytes read and forgotten of a client that may not send at all.
const DISCARD_OF_STRANGERS_BYTES: u64 = 64 << 10;
/// JSON bodies above this are decoded off the workers that move bytes.
const JSON_INLINE_BYTES: usize = 256 << 10;

/// The three paths.
pub(super) struct Service {
    intake: Arc<Intake>,
    gate: Gate,
    caps: Caps,
    timeout: Duration,
    read_within: Duration,
    paths: [(String, Signal); 3],
    codings: Vec<String>,
    cors: Option<Cors>,
    response_headers: Vec<(HeaderName, HeaderValue)>,
    include_metadata: bool,
}

/// What the head of a request comes to.
struct Vetted {
    signal: Signal,
    encoding: Encoding,
    coding: Coding,
    metadata: Option<Arc<ClientMetadata>>,
}

impl Service {
    pub(super) fn new(intake: Arc<Intake>, config: &HttpReceiver, context: &Context) -> Self {
        let limit = usize::try_from(config.max_request_body_size)
            .unwrap_or(usize::MAX)
            .min(u32::MAX as usize - 1);
        let header = |(name, value): &(String, String)| {
            Some((name.parse().ok()?, HeaderValue::try_from(value.as_str()).ok()?))
        };
        Self {
            intake,
            gate: context.gate.clone(),
            caps: Caps {
                limit,
                ratio: context.admission.limits().max_decompression_ratio as usize,
            },
            timeout: Duration::from_secs(config.request_timeout_secs),
            read_within: Duration::from_secs(config.read_timeout_secs),
            paths: [
                (config.traces_url_path.clone(), Signal::Traces),
                (config.metrics_url_path.clone(), Signal::Metrics),
                (config.logs_url_path.clone(), Signal::Logs),
            ],
            codings: config.compression_algorithms.clone(),
            cors: config.cors.as_ref().and_then(Cors::new),
            response_headers: config.response_headers.iter().filter_map(header).collect(),
            include_metadata: config.include_metadata,
        }
    }

    /// Answers one request, whatever it is.
    pub(super) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        peer: Option<SocketAddr>,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let preflight = self.cors.as_ref().and_then(|cors| cors.preflight(&head));
        let mut response = if let Some(preflight) = preflight {
            preflight
        } else {
            let mut response = self.export(&head, body, peer).await;
            if let Some(cors) = &self.cors {
                cors.mark(&head.headers, response.headers_mut());
            }
            response
        };
        for (name, value) in &self.response_headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }

    async fn export<B>(&self, head: &Parts, body: B, peer: Option<SocketAddr>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let mut body = Paced::new(body).within(self.read_within);
        let encoding = Encoding::of(&head.headers);
        let (signal, outcome) = match self.vet(head, encoding, peer).await {
            Ok(vetted) => {
                let (signal, encoding) = (vetted.signal, vetted.encoding);
                let take = self.take(vetted, head, &mut body, peer);
                let outcome = tokio::time::timeout(self.timeout, take)
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
                if must_discard(head) {
                    let most = match failure {
                        Failure::Unauthenticated { .. } => DISCARD_OF_STRANGERS_BYTES,
                        _ => self.caps.limit as u64,
                    };
                    body.discard(most, DISCARD_WITHIN).await;
                }
                failure_answer(
                    encoding.unwrap_or_else(|| content::guess(&head.headers)),
                    &failure,
                    &self.codings,
                )
            }
        }
    }

    /// What can be judged by the head alone: first who it is, then in the order in which a client would want
    /// to hear of it.
    async fn vet(
        &self,
        head: &Parts,
        encoding: Option<Encoding>,
        peer: Option<SocketAddr>,
    ) -> Result<Vetted, (Option<Signal>, Failure)> {
        let identity = claims::admit(&self.gate, head, peer)
            .await
            .map_err(|failure| (None, failure))?;
        let signal = self.route(head.uri.path()).map_err(|failure| (None, failure))?;
        let refuse = |failure| (Some(signal), failure);
        if head.method != Method::POST {
            return Err(refuse(Failure::Method));
        }
        let Some(encoding) = encoding else {
            let why = "unsupported media type, supported: [application/json, application/x-protobuf]";
            return Err(refuse(Failure::MediaType(why.into())));
        };
        Ok(Vetted {
            signal,
            encoding,
            coding: content::coding(&head.headers, &self.codings).map_err(refuse)?,
            metadata: claims::metadata(head, self.include_metadata, identity),
        })
    }

    async fn take<B>(
        &self,
        vetted: Vetted,
        head: &Parts,
        body: &mut Paced<B>,
        peer: Option<SocketAddr>,
    ) -> Result<Accepted, Failure>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let mut ticket = self.intake.open()?;
        let raw = content::read(body, &head.headers, self.caps.limit, &mut ticket).await?;
        let plain = decompress(vetted.coding, raw, self.caps, &mut ticket).await?;
        let bytes = match vetted.encoding {
            Encoding::Protobuf => plain,
            Encoding::Json => self.translate(vetted.signal, plain, &mut ticket).await?,
        };
        let batch = Batch {
            peer,
            metadata: vetted.metadata,
            ..Batch::new(vetted.signal, bytes)
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

    fn route(&self, path: &str) -> Result<Signal, Failure> {
        let Some((_, signal)) = self.paths.iter().find(|(known, _)| known == path) else {
            let known: Vec<&str> = self.paths.iter().map(|(known, _)| known.as_str()).collect();
            let message = format!("not found, supported: {}", known.join(", "));
            return Err(Failure::NotHere(message.into()));
        };
        if self.intake.signals.has(*signal) {
            Ok(*signal)
        } else {
            Err(Failure::NotHere("this signal has no pipeline here".into()))
        }
    }
}

/// Whether the client may be blocked in writing its body: not over HTTP/2, and not while it waits for `100
/// Continue`.
fn must_discard(head: &Parts) -> bool {
    head.version < Version::HTTP_2 && !head.headers.contains_key(header::EXPECT)
}
