//! `exporter.otlp` of own metrics and traces: where they are pushed to.

use crate::config::section::Section;
use crate::config::setting::{Millis, Setting, parsed};
use crate::config::tree::{Node, Value};
use crate::config::{OtlpProtocol, Secret};
use std::path::PathBuf;
use std::time::Duration;

/// An OTLP endpoint for what burngate says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfOtlp {
    /// `grpc` or `http/protobuf`.
    pub protocol: OtlpProtocol,
    /// URL with its scheme; over HTTP the whole URL of the call.
    pub endpoint: String,
    /// Headers (gRPC metadata); values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// Time that one request may take.
    pub timeout: Duration,
    /// Certificates, where the endpoint is https.
    pub tls: SelfTls,
    /// Whether counters are sent as totals or as differences.
    pub temporality: PushTemporality,
}

/// Certificates of a push. Without them, those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfTls {
    /// Whom to trust (`certificate`, `tls.ca_file`).
    pub ca_file: Option<PathBuf>,
    /// Our certificate (`client_certificate`, `tls.cert_file`).
    pub cert_file: Option<PathBuf>,
    /// Its key (`client_key`, `tls.key_file`).
    pub key_file: Option<PathBuf>,
}

/// `temporality_preference`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PushTemporality {
    /// Totals since the start.
    #[default]
    Cumulative,
    /// Differences since the last push (`delta`, `lowmemory`).
    Delta,
}

impl Setting for PushTemporality {
    const EXPECTED: &'static str = "cumulative, delta or lowmemory";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "cumulative" => Some(Self::Cumulative),
            "delta" | "lowmemory" | "low_memory" => Some(Self::Delta),
            _ => None,
        })
    }
}

/// `protocol`, as the field's SDKs write it.
struct Protocol(OtlpProtocol);

impl Setting for Protocol {
    const EXPECTED: &'static str = "grpc or http/protobuf";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "grpc" | "grpc/protobuf" => Some(Self(OtlpProtocol::Grpc)),
            "http/protobuf" => Some(Self(OtlpProtocol::Http)),
            _ => None,
        })
    }
}

/// `compression`: whether it is gzip.
struct Gzip(bool);

impl Setting for Gzip {
    const EXPECTED: &'static str = "gzip or none";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "gzip" => Some(Self(true)),
            "none" | "" => Some(Self(false)),
            _ => None,
        })
    }
}

impl SelfOtlp {
    /// `path` is what an HTTP endpoint without a path gets.
    pub(super) fn read(section: Section<'_>, path: &str) -> Option<Self> {
        let protocol = section.required::<Protocol>("protocol", "write grpc or http/protobuf");
        let hint = "write a URL such as http://localhost:4317";
        let endpoint: Option<String> = section.required("endpoint", hint);
        let (mut insecure, mut gzip, mut timeout) = (false, Gzip(false), Millis(Duration::from_secs(10)));
        let mut temporality = PushTemporality::default();
        section.field("insecure", &mut insecure);
        section.field("compression", &mut gzip);
        let range = Millis(Duration::from_millis(100))..=Millis(Duration::from_mins(5));
        section.ranged("timeout", &mut timeout, range);
        section.field("temporality_preference", &mut temporality);
        section.without_effect(
            &["default_histogram_aggregation"],
            "buckets are sent as they are recorded",
        );
        let tls = read_tls(&section, &mut insecure);
        let headers = read_headers(&section);
        let Protocol(protocol) = protocol?;
        let endpoint = endpoint.and_then(|written| {
            let url = url(&written, insecure, protocol, path);
            if url.is_none() {
                section.problem("endpoint", format!("not a URL; {hint}"));
            }
            url
        });
        section.finish();
        Some(Self {
            protocol,
            endpoint: endpoint?,
            headers,
            gzip: gzip.0,
            timeout: timeout.0,
            tls,
            temporality,
        })
    }
}

/// With a scheme, and over HTTP with a path.
fn url(written: &str, insecure: bool, protocol: OtlpProtocol, path: &str) -> Option<String> {
    let scheme = if insecure { "http" } else { "https" };
    let whole = if written.contains("://") {
        written.to_owned()
    } else {
        format!("{scheme}://{written}")
    };
    let url = reqwest::Url::parse(&whole).ok()?;
    let plain =
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    if !plain || url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    let bare = matches!(url.path(), "" | "/") && url.query().is_none();
    Some(match protocol {
        OtlpProtocol::Http if bare => format!("{}/{path}", whole.trim_end_matches('/')),
        OtlpProtocol::Grpc | OtlpProtocol::Http => whole,
    })
}

/// Both ways to say it: `certificate` beside the endpoint, or `tls: {ca_file}`.
fn read_tls(section: &Section<'_>, insecure: &mut bool) -> SelfTls {
    let mut it = SelfTls::default();
    section.field("certificate", &mut it.ca_file);
    section.field("client_certificate", &mut it.cert_file);
    section.field("client_key", &mut it.key_file);
    if let Some(tls) = section.section("tls") {
        tls.field("insecure", insecure);
        tls.field("ca_file", &mut it.ca_file);
        tls.field("cert_file", &mut it.cert_file);
        tls.field("key_file", &mut it.key_file);
        tls.unsupported(&["insecure_skip_verify", "server_name_override"]);
        tls.finish();
    }
    if it.cert_file.is_some() != it.key_file.is_some() {
        section.problem(
            "client_certificate",
            "a client certificate and its key come together",
        );
    }
    it
}

/// `headers: [{name: ..., value: ...}]`, `headers: {name: value}` or `headers_list: "a=1,b=2"`.
fn read_headers(section: &Section<'_>) -> Vec<(String, Secret)> {
    let mut read: Vec<(String, Option<Secret>)> = Vec::new();
    let mut listed = None::<Secret>;
    section.field("headers_list", &mut listed);
    let pairs = listed.as_ref().map(Secret::expose).unwrap_or_default().split(',');
    for pair in pairs.map(str::trim).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((name, value)) => read.push((name.trim().to_owned(), Some(Secret::new(value.trim())))),
            None => section.problem("headers_list", "expected name=value,name=value"),
        }
    }
    match section.node("headers").map(|node| &node.value) {
        Some(Value::List(_)) => {
            for header in section.sections_in("headers").into_iter().flatten() {
                let name = header.required::<String>("name", "the header's name");
                let value = header.required::<Secret>("value", "the header's value");
                header.finish();
                read.extend(name.map(|name| (name, value)));
            }
        }
        Some(Value::Map(entries)) => {
            let value = |entry: &crate::config::tree::Entry| Secret::read(&entry.node).ok();
            read.extend(entries.iter().map(|entry| (entry.key.clone(), value(entry))));
        }
        None | Some(Value::Null) => {}
        Some(Value::Scalar(_)) => section.problem("headers", "expected a list of {name: ..., value: ...}"),
    }
    let mut headers = Vec::new();
    for (name, value) in read {
        let sendable = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        match value.filter(|value| sendable && http::HeaderValue::from_str(value.expose()).is_ok()) {
            Some(value) => headers.push((name, value)),
            None => section.problem("headers", "a name or value in it that cannot be sent"),
        }
    }
    headers
}
