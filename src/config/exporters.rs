//! `exporters`: where budget metrics and decisions go.

use super::Secret;
use std::net::SocketAddr;
use std::time::Duration;

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

/// `exporters.prometheus`: `/metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusExporter {
    /// Where to listen.
    pub endpoint: SocketAddr,
    /// Also the names of published dashboards: `error_budget_remaining_pct`, `burn_rate_fast` and their kin.
    pub dashboard_names: bool,
    /// Window of the dashboards' `burn_rate_fast`.
    pub burn_rate_fast: Duration,
    /// Window of the dashboards' `burn_rate_slow`.
    pub burn_rate_slow: Duration,
    /// Window of the dashboards' `burn_rate_critical`.
    pub burn_rate_critical: Duration,
    /// Series of cohorts on one page; services are never left out, cohorts beyond this are, and counted.
    pub max_cohort_series: usize,
}

impl Default for PrometheusExporter {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 9464)),
            dashboard_names: false,
            burn_rate_fast: Duration::from_secs(300),
            burn_rate_slow: Duration::from_secs(3600),
            burn_rate_critical: Duration::from_secs(86_400),
            max_cohort_series: 10_000,
        }
    }
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP/gRPC (`otlp_grpc`, alias `otlp`).
    Grpc,
    /// OTLP/HTTP with protobuf bodies (`otlp_http`, alias `otlphttp`).
    Http,
}

/// `exporters.otlp_grpc` and `exporters.otlp_http`: budget metrics pushed to any OTLP endpoint.
#[derive(Clone, Debug)]
pub struct OtlpMetricsExporter {
    /// Name in the configuration, such as `otlp_grpc/backend`.
    pub id: String,
    /// gRPC or HTTP.
    pub protocol: OtlpProtocol,
    /// URL with its scheme; over HTTP the whole URL of the call, `/v1/metrics` included.
    pub endpoint: String,
    /// Headers (gRPC metadata); values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// Time between two pushes.
    pub interval: Duration,
    /// Timeout of one push.
    pub timeout: Duration,
    /// Attribute sets a metric; the SDK folds what is beyond it into one overflow series.
    pub cardinality_limit: usize,
}

impl OtlpMetricsExporter {
    /// The defaults, for the exporter `id` that pushes to `endpoint`.
    pub fn new(id: impl Into<String>, protocol: OtlpProtocol, endpoint: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            protocol,
            endpoint: endpoint.into(),
            headers: Vec::new(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            cardinality_limit: 100_000,
        }
    }
}
