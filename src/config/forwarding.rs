//! `exporters.otlp_grpc` and `exporters.otlp_http`: telemetry forwarded to a backend.
//!
//! The same exporter may stand in pipelines of telemetry, which it forwards, and in one of budget metrics,
//! which the SDK pushes. Its section is read once, into one struct that serves both.

use super::exporters::{grpc_endpoint, headers, http_endpoints};
use super::section::{Section, shown};
use super::sending_queue::{Retry, SendingQueue};
use super::setting::{Setting, text};
use super::tree::Node;
use super::{
    ClientTls, DebugExporter, FileExporter, OtlpMetricsExporter, OtlpProtocol, PrometheusExporter,
    RemoteWriteExporter, Secret,
};
use std::time::Duration;

/// One exporter of telemetry.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a handful of them, made at a start")]
pub enum Forwarder {
    /// `otlp_grpc` (alias `otlp`) and `otlp_http` (alias `otlphttp`).
    Otlp(OtlpExporter),
    /// `debug` (alias `logging`).
    Debug(DebugExporter),
    /// `file`.
    File(FileExporter),
    /// `prometheusremotewrite`.
    RemoteWrite(RemoteWriteExporter),
    /// `prometheus`, for received metrics; budgets are on the same page.
    Prometheus(PrometheusExporter),
}

/// What a request's body is packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Nothing: the bytes leave as they came.
    None,
    /// gzip at a level from 1 (fast) to 9 (small).
    Gzip(u32),
    /// zstd at a level from 1 (fast) to 19 (small).
    Zstd(u32),
}

/// How a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpEncoding {
    /// Protobuf.
    #[default]
    Proto,
    /// OTLP JSON.
    Json,
}

/// How gRPC spreads calls over the addresses of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancer {
    /// All of them in turn.
    #[default]
    RoundRobin,
    /// The first that answers.
    PickFirst,
}

/// Pings on a connection (`keepalive`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKeepalive {
    /// Silence after which a ping is sent.
    pub time: Duration,
    /// Time for its answer.
    pub timeout: Duration,
    /// Also where no call is under way.
    pub permit_without_stream: bool,
}

impl Default for ClientKeepalive {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            permit_without_stream: false,
        }
    }
}

/// URLs by signal. A signal without one is refused at start where a pipeline of it names the exporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Of spans.
    pub traces: Option<String>,
    /// Of data points.
    pub metrics: Option<String>,
    /// Of log records.
    pub logs: Option<String>,
}

/// What only budget metrics need of an OTLP exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    /// Time between two pushes.
    pub interval: Duration,
    /// Attribute sets a metric.
    pub cardinality_limit: usize,
}

/// OTLP to a backend, over gRPC or HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpExporter {
    /// gRPC or HTTP.
    pub protocol: OtlpProtocol,
    /// gRPC: one URL, scheme and authority, for all signals. HTTP: the whole URL of each.
    pub endpoints: Endpoints,
    /// How connections are secured.
    pub tls: ClientTls,
    /// Headers (gRPC metadata); values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// Host that calls name, where it is not the endpoint's (gRPC).
    pub authority: Option<String>,
    /// Extension that adds credentials.
    pub authenticator: Option<String>,
    /// What bodies are packed with.
    pub compression: Compression,
    /// How bodies are written (HTTP).
    pub encoding: OtlpEncoding,
    /// Time of one attempt.
    pub timeout: Duration,
    /// How calls are spread (gRPC).
    pub balancer: Balancer,
    /// Whether a call waits for a connection, instead of failing when there is none (gRPC).
    pub wait_for_ready: bool,
    /// Pings, if any (gRPC; over HTTP `http2_read_idle_timeout`).
    pub keepalive: Option<ClientKeepalive>,
    /// Connections kept without use (HTTP).
    pub max_idle_conns: usize,
    /// Time after which a connection without use is closed (HTTP).
    pub idle_conn_timeout: Duration,
    /// What is done about failures that may pass; `None` drops at the first.
    pub retry: Option<Retry>,
    /// What waits for the backend; `None` sends while the client waits.
    pub queue: Option<SendingQueue>,
    /// Settings of budget metrics.
    pub push: Push,
}

impl OtlpExporter {
    /// The defaults, for the backend at `endpoint`: a URL; over HTTP a base that `/v1/<signal>` is added to.
    pub fn new(protocol: OtlpProtocol, endpoint: &str) -> Self {
        let all = |traces: String, metrics: String, logs: String| Endpoints {
            traces: Some(traces),
            metrics: Some(metrics),
            logs: Some(logs),
        };
        let base = endpoint.trim_end_matches('/');
        let (endpoints, timeout) = match protocol {
            OtlpProtocol::Grpc => (
                all(base.to_owned(), base.to_owned(), base.to_owned()),
                Duration::from_secs(5),
            ),
            OtlpProtocol::Http => (
                all(
                    format!("{base}/v1/traces"),
                    format!("{base}/v1/metrics"),
                    format!("{base}/v1/logs"),
                ),
                Duration::from_secs(30),
            ),
        };
        Self {
            protocol,
            endpoints,
            tls: ClientTls::default(),
            headers: Vec::new(),
            authority: None,
            authenticator: None,
            compression: Compression::Gzip(GZIP_LEVEL),
            encoding: OtlpEncoding::Proto,
            timeout,
            balancer: Balancer::RoundRobin,
            wait_for_ready: false,
            keepalive: None,
            max_idle_conns: 100,
            idle_conn_timeout: Duration::from_secs(90),
            retry: Some(Retry::default()),
            queue: Some(SendingQueue::default()),
            push: Push {
                interval: Duration::from_secs(10),
                cardinality_limit: 100_000,
            },
        }
    }

    /// Reads the section, every key of it, for both uses.
    pub(super) fn read(protocol: OtlpProtocol, section: Section<'_>) -> Option<Self> {
        let mut it = Self::new(protocol, "");
        if let Some(tls) = section.section("tls") {
            it.tls = ClientTls::read(tls);
        }
        let endpoints = match protocol {
            OtlpProtocol::Grpc => it.read_grpc(&section),
            OtlpProtocol::Http => it.read_http(&section),
        };
        it.headers = headers(&section);
        if let Some(auth) = section.section("auth") {
            it.authenticator = auth.required("authenticator", "name an extension such as bearertokenauth");
            auth.finish();
        }
        it.compression = compression(&section, protocol);
        section.ranged(
            "timeout",
            &mut it.timeout,
            Duration::from_millis(100)..=Duration::from_hours(1),
        );
        it.retry = Retry::read(section.section_or_empty("retry_on_failure"));
        it.queue = SendingQueue::read(section.section_or_empty("sending_queue"));
        section.ranged(
            "interval",
            &mut it.push.interval,
            Duration::from_secs(1)..=Duration::from_hours(1),
        );
        section.ranged(
            "cardinality_limit",
            &mut it.push.cardinality_limit,
            100..=10_000_000,
        );
        // Buffers between our bytes and the socket; there are none to size, so any value is as good.
        for key in ["read_buffer_size", "write_buffer_size"] {
            section.field(key, &mut 0_u64);
        }
        section.finish();
        it.endpoints = endpoints?;
        Some(it)
    }

    fn read_grpc(&mut self, section: &Section<'_>) -> Option<Endpoints> {
        section.field("balancer_name", &mut self.balancer);
        section.field("wait_for_ready", &mut self.wait_for_ready);
        section.field("authority", &mut self.authority);
        if let Some(keepalive) = section.section("keepalive") {
            let mut it = ClientKeepalive::default();
            let range = Duration::from_secs(1)..=Duration::from_hours(24);
            keepalive.ranged("time", &mut it.time, range.clone());
            keepalive.ranged("timeout", &mut it.timeout, range);
            keepalive.field("permit_without_stream", &mut it.permit_without_stream);
            keepalive.finish();
            self.keepalive = Some(it);
        }
        let url = grpc_endpoint(section, self.tls.insecure)?;
        Some(Endpoints {
            traces: Some(url.clone()),
            metrics: Some(url.clone()),
            logs: Some(url),
        })
    }

    fn read_http(&mut self, section: &Section<'_>) -> Option<Endpoints> {
        section.field("encoding", &mut self.encoding);
        section.field("max_idle_conns", &mut self.max_idle_conns);
        section.field("max_idle_conns_per_host", &mut self.max_idle_conns);
        section.field("idle_conn_timeout", &mut self.idle_conn_timeout);
        let mut never_kept = false;
        section.field("disable_keep_alives", &mut never_kept);
        if never_kept {
            self.max_idle_conns = 0;
        }
        let mut ping = ClientKeepalive {
            time: Duration::ZERO,
            timeout: Duration::from_secs(15),
            permit_without_stream: true,
        };
        section.field("http2_read_idle_timeout", &mut ping.time);
        section.field("http2_ping_timeout", &mut ping.timeout);
        self.keepalive = (!ping.time.is_zero()).then_some(ping);
        section.unsupported(&[
            "proxy_url",
            "cookies",
            "max_conns_per_host",
            "force_attempt_http2",
        ]);
        http_endpoints(section)
    }

    /// The same exporter where a pipeline hands it budget metrics; `None` where it has no endpoint for them.
    pub fn push(&self, id: &str) -> Option<OtlpMetricsExporter> {
        let mut push = OtlpMetricsExporter::new(id, self.protocol, self.endpoints.metrics.clone()?);
        push.headers.clone_from(&self.headers);
        push.interval = self.push.interval;
        push.timeout = self.timeout.min(self.push.interval);
        push.cardinality_limit = self.push.cardinality_limit;
        Some(push)
    }
}

/// Level of gzip unless `compression_params` says otherwise.
const GZIP_LEVEL: u32 = 6;
/// The same of zstd.
const ZSTD_LEVEL: u32 = 3;

/// `compression` and, over HTTP, `compression_params: {level}`.
fn compression(section: &Section<'_>, protocol: OtlpProtocol) -> Compression {
    let mut named = Named::Gzip;
    section.field("compression", &mut named);
    let (mut level, longest) = match named {
        Named::None => (0, 0),
        Named::Gzip => (GZIP_LEVEL, 9),
        Named::Zstd => (ZSTD_LEVEL, 19),
    };
    if protocol == OtlpProtocol::Http {
        let params = section.section_or_empty("compression_params");
        params.ranged("level", &mut level, longest.min(1)..=longest);
        params.finish();
    }
    match named {
        Named::None => Compression::None,
        Named::Gzip => Compression::Gzip(level),
        Named::Zstd => Compression::Zstd(level),
    }
}

/// A name of a compression.
#[derive(Clone, Copy)]
enum Named {
    None,
    Gzip,
    Zstd,
}

impl Setting for Named {
    const EXPECTED: &'static str = "gzip, zstd or none";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("none" | "") => Ok(Self::None),
            Some("gzip") => Ok(Self::Gzip),
            Some("zstd") => Ok(Self::Zstd),
            _ => Err(shown(node)),
        }
    }
}

impl Setting for OtlpEncoding {
    const EXPECTED: &'static str = "proto or json";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("proto") => Ok(Self::Proto),
            Some("json") => Ok(Self::Json),
            _ => Err(shown(node)),
        }
    }
}

impl Setting for Balancer {
    const EXPECTED: &'static str = "round_robin or pick_first";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("round_robin") => Ok(Self::RoundRobin),
            Some("pick_first") => Ok(Self::PickFirst),
            _ => Err(shown(node)),
        }
    }
}
