//! `exporters`: where budget metrics and decisions go.

use super::section::Section;
use super::setting::{HttpUrl, Setting};
use super::tree::Value;
use super::{Endpoints, ReceivedPage, Secret};
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
    /// JSON body template of a call about a deployment; `None` is the default template.
    pub deploy_body: Option<String>,
    /// Key of the HMAC-SHA256 signatures, if any; `whsec_` and base64 for Standard Webhooks.
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
    /// What it shows of received metrics.
    pub received: ReceivedPage,
}

impl Default for PrometheusExporter {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 9464)),
            dashboard_names: false,
            burn_rate_fast: Duration::from_mins(5),
            burn_rate_slow: Duration::from_hours(1),
            burn_rate_critical: Duration::from_hours(24),
            max_cohort_series: 10_000,
            received: ReceivedPage::default(),
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
#[derive(Clone, Debug, PartialEq)]
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
    /// Attribute sets a metric; series beyond it are left out, cohorts first.
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

impl PrometheusExporter {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
        section.field("dashboard_names", &mut it.dashboard_names);
        for (key, slot) in [
            ("burn_rate_fast", &mut it.burn_rate_fast),
            ("burn_rate_slow", &mut it.burn_rate_slow),
            ("burn_rate_critical", &mut it.burn_rate_critical),
        ] {
            // Counts live in buckets of 10 s, cohorts for 3 d.
            section.ranged(key, slot, Duration::from_secs(10)..=Duration::from_hours(72));
            if slot.subsec_nanos() != 0 || slot.as_secs() % 10 != 0 {
                section.problem(key, "expected a multiple of 10s, the width of a bucket");
            }
        }
        section.ranged("max_cohort_series", &mut it.max_cohort_series, 0..=1_000_000);
        it.received = ReceivedPage::read(&section);
        section.unsupported(&["tls", "translation_strategy", "resource_constant_labels"]);
        section.finish();
        it
    }
}

/// `endpoint: host:4317`, secured unless `tls.insecure` says otherwise, or a URL whose scheme says it.
pub(super) fn grpc_endpoint(section: &Section<'_>, insecure: bool) -> Option<String> {
    let written: String = section.required(
        "endpoint",
        "write host:port or a URL such as http://localhost:4317",
    )?;
    let scheme = if insecure { "http" } else { "https" };
    let bare = written.strip_prefix("dns:///").unwrap_or(&written);
    let url = if bare.contains("://") {
        bare.to_owned()
    } else {
        format!("{scheme}://{bare}")
    };
    let node = super::tree::Node::plain(url, section.at);
    if let Ok(HttpUrl(url)) = HttpUrl::read(&node) {
        return Some(url);
    }
    section.problem(
        "endpoint",
        "expected host:port or a URL such as http://localhost:4317",
    );
    None
}

/// `<signal>_endpoint` is the whole URL, `endpoint` gets `/v1/<signal>` at its end.
pub(super) fn http_endpoints(section: &Section<'_>) -> Option<Endpoints> {
    let mut whole: [Option<HttpUrl>; 3] = [None, None, None];
    let keys = ["traces_endpoint", "metrics_endpoint", "logs_endpoint"];
    for (key, slot) in keys.into_iter().zip(&mut whole) {
        section.field(key, slot);
    }
    let mut base = None::<HttpUrl>;
    if whole.iter().any(Option::is_some) {
        section.field("endpoint", &mut base);
    } else {
        base = Some(section.required("endpoint", "write a URL such as http://localhost:4318")?);
    }
    let [traces, metrics, logs] = whole;
    let url = |whole: Option<HttpUrl>, signal: &str| match (whole, &base) {
        (Some(HttpUrl(url)), _) => Some(url),
        (None, Some(HttpUrl(base))) => Some(format!("{}/v1/{signal}", base.trim_end_matches('/'))),
        (None, None) => None,
    };
    Some(Endpoints {
        traces: url(traces, "traces"),
        metrics: url(metrics, "metrics"),
        logs: url(logs, "logs"),
    })
}

/// `headers: {name: value}`; a value is never shown.
pub(super) fn headers(section: &Section<'_>) -> Vec<(String, Secret)> {
    let Some(headers) = section.section("headers") else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in headers.entries() {
        let value = match &entry.node.value {
            Value::Null => None,
            _ => Secret::read(&entry.node).ok(),
        };
        let Some(value) = value.filter(|value| http::HeaderValue::from_str(value.expose()).is_ok()) else {
            headers.problem(&entry.key, "expected the value of a header: text in one line");
            continue;
        };
        if http::HeaderName::from_bytes(entry.key.as_bytes()).is_err() {
            headers.problem(&entry.key, "not the name of a header");
        }
        read.push((entry.key.clone(), value));
    }
    read
}

impl UnleashExporter {
    /// The defaults, for the server at `endpoint`.
    pub fn new(id: impl Into<String>, endpoint: impl Into<String>, token: Secret) -> Self {
        let timeout = Duration::from_secs(5);
        Self {
            id: id.into(),
            endpoint: endpoint.into(),
            token,
            project: "default".to_owned(),
            timeout,
        }
    }

    pub(super) fn read(id: &str, section: Section<'_>) -> Option<Self> {
        let url = section.required::<HttpUrl>(
            "endpoint",
            "write the server's URL, such as https://unleash.example.com",
        );
        let token = section.required::<Secret>(
            "token",
            "an admin or personal token that may switch the project's flags",
        );
        let token = token.and_then(|token| usable(&section, "token", token));
        let mut it = Self::new(id, "", Secret::default());
        section.field("project", &mut it.project);
        if it.project.trim().is_empty() || it.project.contains('/') {
            section.problem("project", "expected the id of a project, such as default");
        }
        section.ranged("timeout", &mut it.timeout, TIMEOUT);
        section.unsupported(&["tls", "headers"]);
        section.finish();
        url?.0.trim_end_matches('/').clone_into(&mut it.endpoint);
        it.token = token?;
        Some(it)
    }
}

impl WebhookExporter {
    /// The defaults, for calls to `url`.
    pub fn new(id: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            url: url.into(),
            method: "POST".to_owned(),
            headers: Vec::new(),
            token: None,
            body: None,
            deploy_body: None,
            signing_key: None,
            timeout: Duration::from_secs(5),
        }
    }

    pub(super) fn read(id: &str, section: Section<'_>) -> Option<Self> {
        let url = section.required::<HttpUrl>(
            "url",
            "write the URL to call, such as https://flags.example.com/disable",
        );
        let mut it = Self::new(id, "");
        section.field("method", &mut it.method);
        if !matches!(it.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE") {
            section.problem("method", "expected POST, PUT, PATCH or DELETE");
        }
        it.headers = headers(&section);
        it.token = optional_secret(&section, "token").and_then(|token| usable(&section, "token", token));
        it.signing_key =
            optional_secret(&section, "signing_key").and_then(|key| nonblank(&section, "signing_key", key));
        section.field("body", &mut it.body);
        section.field("deploy_body", &mut it.deploy_body);
        section.ranged("timeout", &mut it.timeout, TIMEOUT);
        section.unsupported(&["tls"]);
        section.finish();
        it.url = url?.0;
        Some(it)
    }
}

/// Bounds of one call's timeout: a decision leaves within seconds or is tried again.
pub(super) const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_mins(1);

/// A secret that may be left out (or null), but not be there and empty: that is a variable somebody forgot.
pub(super) fn optional_secret(section: &Section<'_>, key: &'static str) -> Option<Secret> {
    let node = section.node(key)?;
    if node.value == Value::Null && node.expanded.is_none() {
        return None;
    }
    section.required(key, "remove the key where none is wanted")
}

/// A secret with something in it.
fn nonblank(section: &Section<'_>, key: &'static str, secret: Secret) -> Option<Secret> {
    if secret.is_blank() {
        section.problem(key, "empty or only white space");
        return None;
    }
    Some(secret)
}

/// A secret with something in it that can stand in a header.
pub(super) fn usable(section: &Section<'_>, key: &'static str, secret: Secret) -> Option<Secret> {
    let secret = nonblank(section, key, secret)?;
    if http::HeaderValue::from_str(secret.expose()).is_err() {
        section.problem(key, "has a line break or control character in it");
        return None;
    }
    Some(secret)
}
