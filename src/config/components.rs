//! The components that a file defines, by kind and id (`type` or `type/name`), used or not.

use super::error::Place;
use super::section::{Report, Section, suggestion};
use super::{
    ApiExtension, ErrorBudget, FileStorage, GrpcReceiver, HealthCheck, HttpReceiver, OtlpExporter,
    OtlpMetricsExporter, OtlpProtocol, PprofExtension, PrometheusExporter, ReceiverLimits, UnleashExporter,
    WebhookExporter, ZpagesExtension,
};

/// One component, its id and its place.
#[derive(Debug)]
pub(super) struct Defined<T> {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) at: Place,
    /// `None` when it could not be read; the report says why. The id still counts as defined.
    pub(super) component: Option<T>,
    /// Its type, aliases resolved.
    pub(super) kind: &'static str,
    /// Whether a pipeline or `service.extensions` names it.
    pub(super) used: bool,
}

#[derive(Debug)]
pub(super) struct OtlpReceiver {
    pub(super) grpc: Option<GrpcReceiver>,
    pub(super) http: Option<HttpReceiver>,
    pub(super) limits: ReceiverLimits,
}

#[derive(Debug)]
pub(super) enum Exporter {
    Prometheus(PrometheusExporter),
    Otlp(OtlpMetricsExporter),
    Unleash(UnleashExporter),
    Webhook(WebhookExporter),
}

#[derive(Debug)]
pub(super) enum Extension {
    Health(HealthCheck),
    Storage(FileStorage),
    Api(ApiExtension),
    Pprof(PprofExtension),
    Zpages(ZpagesExtension),
}

/// Everything above `service`.
#[derive(Debug)]
pub(super) struct Components {
    pub(super) receivers: Vec<Defined<OtlpReceiver>>,
    pub(super) connectors: Vec<Defined<ErrorBudget>>,
    pub(super) exporters: Vec<Defined<Exporter>>,
    pub(super) extensions: Vec<Defined<Extension>>,
}

/// Types of a kind: what people write, and what it is called here.
type Types = &'static [(&'static str, &'static str)];
const RECEIVERS: Types = &[("otlp", "otlp")];
const CONNECTORS: Types = &[("error_budget", "error_budget")];
const EXPORTERS: Types = &[
    ("prometheus", "prometheus"),
    ("otlp_grpc", "otlp_grpc"),
    ("otlp", "otlp_grpc"),
    ("otlp_http", "otlp_http"),
    ("otlphttp", "otlp_http"),
    ("unleash", "unleash"),
    ("webhook", "webhook"),
];
const EXTENSIONS: Types = &[
    ("health_check", "health_check"),
    ("file_storage", "file_storage"),
    ("api", "api"),
    ("pprof", "pprof"),
    ("zpages", "zpages"),
];

impl Components {
    pub(super) fn read(root: &Section<'_>) -> Self {
        for key in ["processors"] {
            for (entry, section) in root.section(key).iter().flat_map(Section::sections) {
                let message = format!("not supported in this version: processor `{}`", entry.key);
                root.report.problem(Some(entry.at), &section.path, message);
            }
        }
        Self {
            receivers: defined(root, "receivers", RECEIVERS, |_, _, section| {
                Some(OtlpReceiver::read(section))
            }),
            connectors: defined(root, "connectors", CONNECTORS, |_, _, section| {
                Some(ErrorBudget::read(section))
            }),
            exporters: defined(root, "exporters", EXPORTERS, Exporter::read),
            extensions: defined(root, "extensions", EXTENSIONS, |kind, _, section| {
                Some(Extension::read(kind, section))
            }),
        }
    }

    /// What was defined and never named: legal, and rarely meant.
    pub(super) fn warn_of_unused(&self, report: &Report) {
        let unused = |what: (&str, Place, bool), place: &str| {
            if !what.2 {
                report.warn(
                    what.1,
                    what.0,
                    &format!("defined, but {place} does not name it: it does nothing"),
                );
            }
        };
        self.receivers
            .iter()
            .for_each(|it| unused((&it.path, it.at, it.used), "service.pipelines"));
        self.connectors
            .iter()
            .for_each(|it| unused((&it.path, it.at, it.used), "service.pipelines"));
        self.exporters
            .iter()
            .for_each(|it| unused((&it.path, it.at, it.used), "service.pipelines"));
        self.extensions
            .iter()
            .for_each(|it| unused((&it.path, it.at, it.used), "service.extensions"));
    }
}

/// Reads every component of one kind.
fn defined<T>(
    root: &Section<'_>,
    kind: &'static str,
    types: Types,
    read: impl Fn(&'static str, &str, Section<'_>) -> Option<T>,
) -> Vec<Defined<T>> {
    let Some(section) = root.section(kind) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (entry, inside) in section.sections() {
        let (written, name) = match entry.key.split_once('/') {
            Some((written, name)) => (written, Some(name)),
            None => (entry.key.as_str(), None),
        };
        if name
            .is_some_and(|name| name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()))
        {
            let message = "not an id; write `type` or `type/name`, the name without spaces";
            root.report.problem(Some(entry.at), &inside.path, message);
            continue;
        }
        let Some((_, kind)) = types.iter().find(|(known, _)| *known == written) else {
            let names: Vec<&str> = types.iter().map(|(known, _)| *known).collect();
            let what = kind.trim_end_matches('s');
            let message = format!(
                "not supported in this version: {what} `{written}`; {}",
                suggestion(written, &names)
            );
            root.report.problem(Some(entry.at), &inside.path, message);
            continue;
        };
        let (path, at) = (inside.path.clone(), entry.at);
        let component = read(kind, &entry.key, inside);
        all.push(Defined {
            id: entry.key.clone(),
            path,
            at,
            component,
            kind,
            used: false,
        });
    }
    all
}

impl OtlpReceiver {
    fn read(section: Section<'_>) -> Self {
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
        Self { grpc, http, limits }
    }
}

impl Exporter {
    fn read(kind: &'static str, id: &str, section: Section<'_>) -> Option<Self> {
        match kind {
            "prometheus" => Some(Self::Prometheus(PrometheusExporter::read(section))),
            "otlp_grpc" => OtlpExporter::read(OtlpProtocol::Grpc, section)
                .and_then(|it| it.push(id))
                .map(Self::Otlp),
            "otlp_http" => OtlpExporter::read(OtlpProtocol::Http, section)
                .and_then(|it| it.push(id))
                .map(Self::Otlp),
            "unleash" => UnleashExporter::read(id, section).map(Self::Unleash),
            _ => WebhookExporter::read(id, section).map(Self::Webhook),
        }
    }
}

impl Extension {
    fn read(kind: &'static str, section: Section<'_>) -> Self {
        match kind {
            "health_check" => Self::Health(HealthCheck::read(section)),
            "file_storage" => Self::Storage(FileStorage::read(section)),
            "pprof" => Self::Pprof(PprofExtension::read(section)),
            "zpages" => Self::Zpages(ZpagesExtension::read(section)),
            _ => Self::Api(ApiExtension::read(section)),
        }
    }
}
