//! `receivers.otlp`: where telemetry comes in, and what it may cost.

use super::section::Section;
use std::net::SocketAddr;
use std::time::Duration;

/// `receivers.otlp.protocols.grpc`.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcReceiver {
    /// Where to listen.
    pub endpoint: SocketAddr,
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
    /// Connections at once; more wait in the accept queue.
    pub max_connections: usize,
    /// Time a request has from its headers to its answer, in seconds; a shorter `grpc-timeout` wins.
    pub request_timeout_secs: u64,
}

impl Default for GrpcReceiver {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 4317)),
            max_recv_msg_size_mib: 16,
            max_concurrent_streams: 128,
            initial_stream_window_bytes: 4 << 20,
            initial_connection_window_bytes: 16 << 20,
            max_frame_bytes: 1 << 20,
            keepalive_interval_secs: 30,
            keepalive_timeout_secs: 10,
            max_connection_age_secs: 600,
            max_connection_age_grace_secs: 30,
            max_connections: 1024,
            request_timeout_secs: 30,
        }
    }
}

impl GrpcReceiver {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
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
        let keepalive = section.section_or_empty("keepalive");
        let server = keepalive.section_or_empty("server_parameters");
        secs(&server, "time", &mut it.keepalive_interval_secs);
        secs(&server, "timeout", &mut it.keepalive_timeout_secs);
        secs(&server, "max_connection_age", &mut it.max_connection_age_secs);
        secs(
            &server,
            "max_connection_age_grace",
            &mut it.max_connection_age_grace_secs,
        );
        server.unsupported(&["max_connection_idle"]);
        server.finish();
        keepalive.unsupported(&["enforcement_policy"]);
        keepalive.finish();
        section.unsupported(&[
            "tls",
            "auth",
            "transport",
            "include_metadata",
            "read_buffer_size",
            "write_buffer_size",
        ]);
        section.finish();
        it
    }
}

/// `receivers.otlp.protocols.http`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpReceiver {
    /// Where to listen.
    pub endpoint: SocketAddr,
    /// Largest body, compressed and after decompression, in bytes.
    pub max_request_body_size: u64,
    /// Connections at once.
    pub max_connections: usize,
    /// Time a client has to send its headers, in seconds.
    pub read_header_timeout_secs: u64,
    /// Time a request has from its headers to its answer, in seconds.
    pub request_timeout_secs: u64,
}

impl Default for HttpReceiver {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 4318)),
            max_request_body_size: 16 << 20,
            max_connections: 1024,
            read_header_timeout_secs: 10,
            request_timeout_secs: 30,
        }
    }
}

impl HttpReceiver {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
        section.ranged(
            "max_request_body_size",
            &mut it.max_request_body_size,
            1024..=1 << 30,
        );
        section.ranged("max_connections", &mut it.max_connections, 1..=1_000_000);
        secs(&section, "read_header_timeout", &mut it.read_header_timeout_secs);
        secs(&section, "request_timeout", &mut it.request_timeout_secs);
        section.unsupported(&[
            "tls",
            "auth",
            "cors",
            "transport",
            "include_metadata",
            "response_headers",
            "compression_algorithms",
            "traces_url_path",
            "metrics_url_path",
            "logs_url_path",
            "read_timeout",
            "write_timeout",
            "idle_timeout",
            "keep_alives_enabled",
        ]);
        section.finish();
        it
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
