//! `receivers.otlp`: where telemetry comes in, and what it may cost.

use super::cors::Cors;
use super::endpoint::{self, Endpoint};
use super::section::Section;
use super::setting::text;
use super::{ReceiverAuth, TlsServer};
use std::net::SocketAddr;
use std::time::Duration;

/// `receivers.otlp`, or `receivers.otlp/name`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtlpReceiver {
    /// OTLP/gRPC, if it is on.
    pub grpc: Option<GrpcReceiver>,
    /// OTLP/HTTP, if it is on.
    pub http: Option<HttpReceiver>,
    /// What requests may cost, both protocols together.
    pub limits: ReceiverLimits,
}

impl OtlpReceiver {
    #[allow(
        clippy::unnecessary_wraps,
        reason = "one shape for the readers of every component"
    )]
    pub(super) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let limits = ReceiverLimits::read(section.section_or_empty("limits"));
        let protocols = section.section_or_empty("protocols");
        let grpc = protocols.section("grpc").map(GrpcReceiver::read);
        let http = protocols.section("http").map(HttpReceiver::read);
        if grpc.is_none() && http.is_none() {
            section.problem(
                "protocols",
                "must turn on grpc, http or both (`grpc:` alone takes every default)",
            );
        }
        let room = limits.max_in_flight_mib;
        if let Some(size) = grpc
            .as_ref()
            .map(|grpc| grpc.max_recv_msg_size_mib)
            .filter(|size| *size > room)
        {
            let message = format!(
                "{size} is above limits.max_in_flight_mib ({room}): such a request would never get in"
            );
            protocols.problem("grpc", message);
        }
        if let Some(size) = http
            .as_ref()
            .map(|http| http.max_request_body_size)
            .filter(|size| *size > room << 20)
        {
            let message = format!(
                "{size} bytes are above limits.max_in_flight_mib ({room}): such a request would never get in"
            );
            protocols.problem("http", message);
        }
        protocols.finish();
        section.finish();
        Some(Self { grpc, http, limits })
    }

    /// Where it listens: the protocol, and the address; a socket file has none.
    pub(super) fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let grpc = self.grpc.iter().map(|it| ("grpc", &it.endpoint));
        let http = self.http.iter().map(|it| ("http", &it.endpoint));
        grpc.chain(http)
            .filter_map(|(name, it)| Some((name, it.address()?)))
    }
}

/// `receivers.otlp.protocols.grpc`.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcReceiver {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Largest request, compressed and after decompression, in MiB.
    pub max_recv_msg_size_mib: u64,
    /// HTTP/2 streams a connection may have open.
    pub max_concurrent_streams: u32,
    /// HTTP/2 flow-control window of one stream, in bytes.
    pub initial_stream_window_bytes: u32,
    /// HTTP/2 flow-control window of one connection, in bytes.
    pub initial_connection_window_bytes: u32,
    /// Largest HTTP/2 frame, in bytes.
    pub max_frame_bytes: u32,
    /// HTTP/2 keepalive ping interval, in seconds.
    pub keepalive_interval_secs: u64,
    /// How long a keepalive answer may take, in seconds.
    pub keepalive_timeout_secs: u64,
    /// Age after which a connection is asked to leave, in seconds.
    pub max_connection_age_secs: u64,
    /// Time an aged connection has to finish, in seconds.
    pub max_connection_age_grace_secs: u64,
    /// Time without a request after which a connection is asked to leave, in seconds; zero never.
    pub max_connection_idle_secs: u64,
    /// Least time between two pings of a client, in seconds; one that pings more often is told to go away.
    pub ping_min_time_secs: u64,
    /// Whether a client may ping while it has no request under way.
    pub ping_without_stream: bool,
    /// Connections at once; more wait in the accept queue.
    pub max_connections: usize,
    /// Time a request has from its headers to its answer, in seconds; a shorter `grpc-timeout` wins.
    pub request_timeout_secs: u64,
    /// Bytes that one read may bring at most; see docs/receivers.md for what this means here.
    pub read_buffer_size: u64,
    /// Bytes of answers that a connection may hold for a client that does not read.
    pub write_buffer_size: u64,
    /// Whether batches keep the request's metadata, for processors and exporters to use.
    pub include_metadata: bool,
    /// TLS, if it is on.
    pub tls: Option<TlsServer>,
    /// Who may send; `None` lets everybody.
    pub auth: Option<ReceiverAuth>,
}

impl Default for GrpcReceiver {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 4317)).into(),
            max_recv_msg_size_mib: 16,
            max_concurrent_streams: 128,
            initial_stream_window_bytes: 4 << 20,
            initial_connection_window_bytes: 16 << 20,
            max_frame_bytes: 1 << 20,
            keepalive_interval_secs: 30,
            keepalive_timeout_secs: 10,
            max_connection_age_secs: 600,
            max_connection_age_grace_secs: 30,
            max_connection_idle_secs: 0,
            ping_min_time_secs: 10,
            ping_without_stream: true,
            max_connections: 1024,
            request_timeout_secs: 30,
            read_buffer_size: 512 << 10,
            write_buffer_size: 512 << 10,
            include_metadata: false,
            tls: None,
            auth: None,
        }
    }
}

impl GrpcReceiver {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        endpoint::read(&section, &mut it.endpoint);
        section.ranged("max_recv_msg_size_mib", &mut it.max_recv_msg_size_mib, 1..=1024);
        section.ranged(
            "max_concurrent_streams",
            &mut it.max_concurrent_streams,
            1..=1_000_000,
        );
        section.ranged(
            "initial_stream_window_bytes",
            &mut it.initial_stream_window_bytes,
            WINDOW,
        );
        section.ranged(
            "initial_connection_window_bytes",
            &mut it.initial_connection_window_bytes,
            WINDOW,
        );
        // The bounds are those of HTTP/2's SETTINGS_MAX_FRAME_SIZE.
        section.ranged("max_frame_bytes", &mut it.max_frame_bytes, 16_384..=16_777_215);
        section.ranged("max_connections", &mut it.max_connections, 1..=1_000_000);
        secs(&section, "request_timeout", &mut it.request_timeout_secs);
        it.read_keepalive(section.section_or_empty("keepalive"));
        section.ranged("read_buffer_size", &mut it.read_buffer_size, 0..=16 << 20);
        section.ranged(
            "write_buffer_size",
            &mut it.write_buffer_size,
            16 << 10..=16 << 20,
        );
        section.field("include_metadata", &mut it.include_metadata);
        it.tls = section.section("tls").and_then(TlsServer::read);
        it.auth = section
            .section("auth")
            .and_then(|inside| ReceiverAuth::read(inside, false));
        section.finish();
        it
    }

    fn read_keepalive(&mut self, keepalive: Section<'_>) {
        let server = keepalive.section_or_empty("server_parameters");
        secs(&server, "time", &mut self.keepalive_interval_secs);
        secs(&server, "timeout", &mut self.keepalive_timeout_secs);
        secs(&server, "max_connection_age", &mut self.max_connection_age_secs);
        secs(
            &server,
            "max_connection_age_grace",
            &mut self.max_connection_age_grace_secs,
        );
        secs_or_never(&server, "max_connection_idle", &mut self.max_connection_idle_secs);
        server.finish();
        let clients = keepalive.section_or_empty("enforcement_policy");
        secs_or_never(&clients, "min_time", &mut self.ping_min_time_secs);
        clients.field("permit_without_stream", &mut self.ping_without_stream);
        clients.finish();
        keepalive.finish();
    }
}

/// `receivers.otlp.protocols.http`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpReceiver {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Largest body, compressed and after decompression, in bytes.
    pub max_request_body_size: u64,
    /// Connections at once.
    pub max_connections: usize,
    /// Time a client has to send its headers, in seconds.
    pub read_header_timeout_secs: u64,
    /// Time a request has from its headers to its answer, in seconds.
    pub request_timeout_secs: u64,
    /// Time for a request's body, in seconds.
    pub read_timeout_secs: u64,
    /// Time that an answer may wait for a client that does not read, in seconds.
    pub write_timeout_secs: u64,
    /// Time without a request after which a connection is closed, in seconds.
    pub idle_timeout_secs: u64,
    /// Whether a connection serves more than one request (HTTP/1.1).
    pub keep_alives_enabled: bool,
    /// Path of traces.
    pub traces_url_path: String,
    /// Path of metrics.
    pub metrics_url_path: String,
    /// Path of logs.
    pub logs_url_path: String,
    /// Whether batches keep the request's headers, for processors and exporters to use.
    pub include_metadata: bool,
    /// Headers of every answer.
    pub response_headers: Vec<(String, String)>,
    /// Content codings that are taken, by name; empty takes only what is not compressed.
    pub compression_algorithms: Vec<String>,
    /// Web pages that may send, if any.
    pub cors: Option<Cors>,
    /// TLS, if it is on.
    pub tls: Option<TlsServer>,
    /// Who may send; `None` lets everybody.
    pub auth: Option<ReceiverAuth>,
}

impl Default for HttpReceiver {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 4318)).into(),
            max_request_body_size: 16 << 20,
            max_connections: 1024,
            read_header_timeout_secs: 10,
            request_timeout_secs: 30,
            read_timeout_secs: 30,
            write_timeout_secs: 30,
            idle_timeout_secs: 120,
            keep_alives_enabled: true,
            traces_url_path: "/v1/traces".to_owned(),
            metrics_url_path: "/v1/metrics".to_owned(),
            logs_url_path: "/v1/logs".to_owned(),
            include_metadata: false,
            response_headers: Vec::new(),
            compression_algorithms: CODINGS.map(str::to_owned).to_vec(),
            cors: None,
            tls: None,
            auth: None,
        }
    }
}

impl HttpReceiver {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        endpoint::read(&section, &mut it.endpoint);
        section.ranged(
            "max_request_body_size",
            &mut it.max_request_body_size,
            1024..=1 << 30,
        );
        section.ranged("max_connections", &mut it.max_connections, 1..=1_000_000);
        secs(&section, "read_header_timeout", &mut it.read_header_timeout_secs);
        secs(&section, "request_timeout", &mut it.request_timeout_secs);
        secs(&section, "read_timeout", &mut it.read_timeout_secs);
        secs(&section, "write_timeout", &mut it.write_timeout_secs);
        secs(&section, "idle_timeout", &mut it.idle_timeout_secs);
        section.field("keep_alives_enabled", &mut it.keep_alives_enabled);
        it.read_paths(&section);
        section.field("include_metadata", &mut it.include_metadata);
        response_headers(&section, &mut it.response_headers);
        section.field("compression_algorithms", &mut it.compression_algorithms);
        let unknown = |name: &&String| !name.is_empty() && !CODINGS.contains(&name.as_str());
        for name in it.compression_algorithms.iter().filter(unknown) {
            let expected = super::section::suggestion(name, &CODINGS);
            section.problem(
                "compression_algorithms",
                format!("`{name:.40}` is not spoken; {expected}"),
            );
        }
        it.cors = section.section("cors").map(Cors::read);
        it.tls = section.section("tls").and_then(TlsServer::read);
        it.auth = section
            .section("auth")
            .and_then(|inside| ReceiverAuth::read(inside, true));
        section.finish();
        it
    }

    /// A leading `/` is added, as the Collector does.
    fn read_paths(&mut self, section: &Section<'_>) {
        for (key, slot) in [
            ("traces_url_path", &mut self.traces_url_path),
            ("metrics_url_path", &mut self.metrics_url_path),
            ("logs_url_path", &mut self.logs_url_path),
        ] {
            section.field(key, slot);
            if !slot.starts_with('/') {
                slot.insert(0, '/');
            }
            if slot.contains(['?', '#', ' ']) {
                section.problem(key, "expected a path such as /v1/traces");
            }
        }
        let paths = [&self.traces_url_path, &self.metrics_url_path, &self.logs_url_path];
        if paths[0] == paths[1] || paths[0] == paths[2] || paths[1] == paths[2] {
            section.problem("traces_url_path", "two signals cannot share a path");
        }
    }
}

/// `receivers.otlp.limits`: what one request and all requests together may cost.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiverLimits {
    /// Bytes in flight over all requests (before and after decompression); beyond it new requests are told to
    /// retry.
    pub max_in_flight_mib: u64,
    /// How long a request waits for room before it is refused, in milliseconds.
    pub admission_wait_ms: u64,
    /// Least retry advice to a refused client, in seconds; it grows under lasting pressure, to 30.
    pub retry_after_secs: u64,
    /// Time that requests in flight have to finish after a shutdown began, in seconds.
    pub drain_timeout_secs: u64,
    /// Decompressed bytes for each compressed byte, above 1 MiB.
    pub max_decompression_ratio: u32,
    /// Spans, data points or log records a request.
    pub max_items: u32,
    /// Attributes read of an item; the rest is not read for SLIs, and counted.
    pub max_attributes: u32,
    /// Events read of a span.
    pub max_events: u32,
    /// Nested levels of a value.
    pub max_nesting: u32,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            max_in_flight_mib: 256,
            admission_wait_ms: 50,
            retry_after_secs: 1,
            drain_timeout_secs: 5,
            max_decompression_ratio: 100,
            max_items: 100_000,
            max_attributes: 256,
            max_events: 256,
            max_nesting: 16,
        }
    }
}

impl ReceiverLimits {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.ranged("max_in_flight_mib", &mut it.max_in_flight_mib, 1..=1 << 20);
        let mut wait = Duration::from_millis(it.admission_wait_ms);
        section.ranged(
            "admission_wait",
            &mut wait,
            Duration::ZERO..=Duration::from_secs(10),
        );
        it.admission_wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        secs(&section, "retry_after", &mut it.retry_after_secs);
        secs(&section, "drain_timeout", &mut it.drain_timeout_secs);
        section.ranged(
            "max_decompression_ratio",
            &mut it.max_decompression_ratio,
            1..=100_000,
        );
        section.ranged("max_items", &mut it.max_items, 1..=10_000_000);
        section.ranged("max_attributes", &mut it.max_attributes, 1..=65_536);
        section.ranged("max_events", &mut it.max_events, 0..=65_536);
        section.ranged("max_nesting", &mut it.max_nesting, 1..=64);
        section.finish();
        it
    }
}

/// Content codings that can be taken, by their names in `Content-Encoding`.
pub const CODINGS: [&str; 7] = [
    "gzip",
    "zstd",
    "zlib",
    "snappy",
    "deflate",
    "x-snappy-framed",
    "lz4",
];

/// HTTP/2 flow-control windows: the protocol's own smallest and largest.
const WINDOW: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;

/// A duration of whole seconds, from one second to a day.
fn secs(section: &Section<'_>, key: &'static str, slot: &mut u64) {
    let mut duration = Duration::from_secs(*slot);
    section.ranged(
        key,
        &mut duration,
        Duration::from_secs(1)..=Duration::from_hours(24),
    );
    if duration.subsec_nanos() == 0 {
        *slot = duration.as_secs();
    } else {
        section.problem(key, "expected whole seconds");
    }
}

/// Whole seconds up to a day; zero for never.
fn secs_or_never(section: &Section<'_>, key: &'static str, slot: &mut u64) {
    let mut duration = Duration::from_secs(*slot);
    section.ranged(key, &mut duration, Duration::ZERO..=Duration::from_hours(24));
    *slot = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
}

/// A mapping of names to values.
fn response_headers(section: &Section<'_>, slot: &mut Vec<(String, String)>) {
    let Some(inside) = section.section("response_headers") else {
        return;
    };
    slot.clear();
    for entry in inside.entries() {
        let value = text(&entry.node).unwrap_or_default().to_owned();
        let is_valid = http::HeaderName::try_from(entry.key.as_str()).is_ok()
            && http::HeaderValue::try_from(value.as_str()).is_ok();
        if !is_valid {
            section.problem("response_headers", format!("`{:.60}` is not a header", entry.key));
        }
        slot.push((entry.key.clone(), value));
    }
}
