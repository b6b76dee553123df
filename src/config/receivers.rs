//! `receivers.otlp`: where telemetry comes in, and what it may cost.

use std::net::SocketAddr;

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

/// `receivers.otlp.limits`: what one request and all requests together may cost.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiverLimits {
    /// Bytes in flight over all requests (before and after decompression); beyond it new requests are told to retry.
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
