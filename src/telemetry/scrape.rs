//! `:8888/metrics`: the own metrics as the Collector shows its own.

use super::exposition::{self, Family, Kind, Sample, Value};
use super::{OwnResource, process};
use crate::config::PullReader;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use std::borrow::Cow;
use std::sync::Arc;

/// The exposition format that is written.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Units of the Collector's metrics, as names get them from readers that do not say `without_units`.
const UNITS: [(&str, &str); 5] = [
    ("otelcol_process_uptime", "s"),
    ("otelcol_process_cpu_seconds", "s"),
    ("otelcol_process_memory_rss", "By"),
    ("otelcol_process_runtime_heap_alloc_bytes", "By"),
    ("otelcol_process_runtime_total_sys_memory_bytes", "By"),
];

/// The unit of a metric, as OpenTelemetry writes it; empty where it counts things.
pub(super) fn unit(name: &str) -> &'static str {
    let known = UNITS.iter().find(|(known, _)| *known == name);
    match known {
        Some((_, unit)) => unit,
        None if name.ends_with("_bytes") => "By",
        None if name.ends_with("_seconds") => "s",
        None => "",
    }
}

/// Every family there is now.
pub(super) fn families(handle: &PrometheusHandle) -> Vec<Family> {
    let mut families = exposition::parse(&handle.render());
    families.extend(process::families());
    families
}

/// The routes of one reader's listener.
pub fn self_metrics_router(handle: PrometheusHandle, reader: &PullReader, resource: &OwnResource) -> Router {
    let page = Page {
        handle,
        style: Style::new(reader, resource),
    };
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(Arc::new(page))
}

#[derive(Debug)]
struct Page {
    handle: PrometheusHandle,
    style: Style,
}

async fn scrape(State(page): State<Arc<Page>>) -> impl IntoResponse {
    // Rendering is work: not on a worker that probes wait for.
    let text = tokio::task::spawn_blocking(move || page.style.render(&families(&page.handle)));
    (
        [(header::CONTENT_TYPE, TEXT_FORMAT)],
        text.await.unwrap_or_default(),
    )
}

/// How one reader wants names and labels.
#[derive(Debug)]
struct Style {
    type_suffix: bool,
    units: bool,
    constant: Vec<(String, String)>,
    target_info: Family,
}

impl Style {
    fn new(reader: &PullReader, resource: &OwnResource) -> Self {
        let label = |(key, value): (&str, &str)| (sanitized(key), value.to_owned());
        let selected = |it: &(&str, &str)| {
            let selection = reader.with_resource_constant_labels.as_ref();
            selection.is_some_and(|selection| selection.takes(it.0))
        };
        let mut constant: Vec<_> = resource.iter().filter(selected).map(label).collect();
        if !reader.without_scope_info {
            let version = env!("CARGO_PKG_VERSION");
            constant.push(("otel_scope_name".to_owned(), "burngate".to_owned()));
            constant.push(("otel_scope_version".to_owned(), version.to_owned()));
        }
        let target_info = Family {
            name: "target_info".to_owned(),
            help: Cow::Borrowed("Target metadata"),
            kind: Kind::Gauge,
            samples: vec![Sample {
                suffix: "",
                labels: resource.iter().map(label).collect(),
                value: Value::Float(1.0),
            }],
        };
        Self {
            type_suffix: !reader.without_type_suffix,
            units: !reader.without_units,
            constant,
            target_info,
        }
    }

    fn render(&self, families: &[Family]) -> String {
        let mut text = String::new();
        for family in families {
            exposition::write(family, &self.name(family), &self.constant, &mut text);
        }
        exposition::write(&self.target_info, "target_info", &[], &mut text);
        text
    }

    /// Only the Collector's names change: ours are what they are in every style.
    fn name<'a>(&self, family: &'a Family) -> Cow<'a, str> {
        if !family.name.starts_with("otelcol_") {
            return Cow::Borrowed(&family.name);
        }
        let mut name = family.name.clone();
        let unit = match unit(&name) {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        if self.units && !name.ends_with(unit) {
            name.push_str(unit);
        }
        if self.type_suffix && family.kind == Kind::Counter && !name.ends_with("_total") {
            name.push_str("_total");
        }
        Cow::Owned(name)
    }
}

/// A label's name: letters, digits and underscores.
fn sanitized(key: &str) -> String {
    let usable = |(nth, c): (usize, char)| {
        let fine = c.is_ascii_alphabetic() || c == '_' || (nth > 0 && c.is_ascii_digit());
        if fine { c } else { '_' }
    };
    key.chars().enumerate().map(usable).collect()
}
