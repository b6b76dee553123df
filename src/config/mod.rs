//! The YAML file, as types that cannot be wrong.
//!
//! One struct a component, every default in one place (its `Default`), unknown keys refused. The file is read, merged with
//! these defaults and validated before any port is bound.

mod secret;

pub use secret::Secret;

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `receivers.otlp.protocols.grpc`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
        }
    }
}

/// `receivers.otlp.protocols.http`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiverLimits {
    /// Bytes in flight over all requests (before and after decompression); beyond it new requests are told to retry.
    pub max_in_flight_mib: u64,
    /// How long a request waits for room before it is refused, in milliseconds.
    pub admission_wait_ms: u64,
    /// Retry advice to a refused client, in seconds.
    pub retry_after_secs: u64,
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
            max_decompression_ratio: 100,
            max_items: 100_000,
            max_attributes: 256,
            max_events: 256,
            max_nesting: 16,
        }
    }
}

/// `connectors.error_budget.cohorts`: where telemetry names its deployment, environment and flags, and how many cohorts may live.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cohorts {
    /// Deployment attributes; the first present wins, looked for on the item, then the scope, then the resource.
    pub deployment_attributes: Vec<String>,
    /// Environment attributes of the resource; the first present wins.
    pub environment_attributes: Vec<String>,
    /// Attributes that hold a list of flags.
    pub flag_list_attributes: Vec<String>,
    /// Prefixes of attributes that hold one flag each.
    pub flag_prefixes: Vec<String>,
    /// What a list says of a policy's flag that it does not name.
    pub absent: Absent,
    /// Flags read of one item.
    pub max_flags: u32,
    /// Live cohorts a service.
    pub max_per_service: u32,
    /// Live cohorts in all.
    pub max_total: u32,
    /// New cohorts a minute and service.
    pub max_new_per_minute: u32,
    /// Services (each brings a total); more are counted together.
    pub max_services: u32,
    /// Idle time after which a cohort leaves, in seconds.
    pub idle_timeout_secs: u64,
    /// Evidence cells in all.
    pub max_evidence_cells: u32,
}

/// See [`Cohorts::absent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// The event counts as that flag's variant `off`.
    Off,
    /// The event says nothing of that flag.
    Ignore,
}

impl Default for Cohorts {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Self {
            deployment_attributes: list(&[
                "deployment.sha",
                "vcs.ref.head.revision",
                "vcs.repository.ref.revision",
                "git.commit.sha",
                "service.version",
                "deployment.id",
                "cicd.pipeline.run.id",
            ]),
            environment_attributes: list(&["deployment.environment.name", "deployment.environment"]),
            flag_list_attributes: list(&["feature.flags", "feature_flags", "featureFlags", "feature_flag.enabled"]),
            flag_prefixes: list(&["flag.evaluation.", "feature_flags.", "feature.flags.", "feature_flag."]),
            absent: Absent::Off,
            max_flags: 64,
            max_per_service: 10_000,
            max_total: 100_000,
            max_new_per_minute: 100,
            max_services: 10_000,
            idle_timeout_secs: 86_400,
            max_evidence_cells: 20_000,
        }
    }
}

/// `extensions.file_storage`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileStorage {
    /// Folder of the store; made when missing.
    pub directory: PathBuf,
}

impl Default for FileStorage {
    fn default() -> Self {
        Self { directory: PathBuf::from("./data") }
    }
}

/// `exporters.unleash`: an Unleash server whose flags may be switched off.
#[derive(Clone, Debug)]
pub struct UnleashExporter {
    /// Name in the configuration, such as `unleash` or `unleash/eu`.
    pub id: String,
    /// Base URL of the server.
    pub endpoint: String,
    /// Admin API token or personal access token.
    pub token: Secret,
    /// Project of the flags.
    pub project: String,
    /// Timeout of one call.
    pub timeout: Duration,
}

/// `exporters.webhook`: any HTTP API.
#[derive(Clone, Debug)]
pub struct WebhookExporter {
    /// Name in the configuration.
    pub id: String,
    /// URL of the call.
    pub url: String,
    /// HTTP method.
    pub method: String,
    /// Headers; values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// Bearer token, if any.
    pub token: Option<Secret>,
    /// JSON body template; `None` is the default template.
    pub body: Option<String>,
    /// Key of the HMAC-SHA256 signature, if any.
    pub signing_key: Option<Secret>,
    /// Timeout of one call.
    pub timeout: Duration,
}
