//! `service.telemetry.metrics`.

use super::otlp::SelfOtlp;
use crate::config::section::Section;
use crate::config::setting::{Millis, Setting};
use crate::config::tree::Node;
use std::net::SocketAddr;
use std::time::Duration;

/// `service.telemetry.metrics`: how the own metrics leave.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfMetrics {
    /// `none` turns them off; the other levels publish the same metrics.
    pub level: MetricsLevel,
    /// Pages to scrape.
    pub pull: Vec<PullReader>,
    /// Pushes.
    pub push: Vec<PushReader>,
}

impl Default for SelfMetrics {
    fn default() -> Self {
        Self {
            level: MetricsLevel::Normal,
            pull: vec![PullReader::default()],
            push: Vec::new(),
        }
    }
}

/// See [`SelfMetrics::level`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the meaning")]
pub enum MetricsLevel {
    None,
    Basic,
    Normal,
    Detailed,
}

/// `pull.exporter.prometheus`: the own metrics for Prometheus to scrape, at `/metrics`.
///
/// The default is what the Collector has without `readers`: names without suffixes, every resource attribute
/// as a label. A reader that a file names has none of these unless it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the switches that the Collector's reader has"
)]
pub struct PullReader {
    /// Where to listen.
    pub endpoint: SocketAddr,
    /// Counters without `_total`.
    pub without_type_suffix: bool,
    /// Names without `_bytes` and `_seconds`, where they are not part of the name itself.
    pub without_units: bool,
    /// Samples without `otel_scope_name` and `otel_scope_version`.
    pub without_scope_info: bool,
    /// Resource attributes that every sample has as labels; `None` has them in `target_info` only.
    pub with_resource_constant_labels: Option<LabelSelection>,
    /// Nobody asked for it: where its port is taken, the gateway warns and goes on without.
    pub implicit: bool,
}

impl Default for PullReader {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([127, 0, 0, 1], 8888)),
            without_type_suffix: true,
            without_units: true,
            without_scope_info: true,
            with_resource_constant_labels: Some(LabelSelection::default()),
            implicit: true,
        }
    }
}

/// `included` and `excluded`: keys of resource attributes. Nothing included means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelection {
    /// These only, unless empty.
    pub included: Vec<String>,
    /// Never these.
    pub excluded: Vec<String>,
}

impl LabelSelection {
    /// Whether the attribute `key` becomes a label.
    pub fn takes(&self, key: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|it| it == key);
        !named(&self.excluded) && (self.included.is_empty() || named(&self.included))
    }
}

/// `periodic.exporter.otlp`: the own metrics pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct PushReader {
    /// Time between two pushes.
    pub interval: Duration,
    /// Time that one push may take.
    pub timeout: Duration,
    /// Where to.
    pub exporter: SelfOtlp,
}

impl Setting for MetricsLevel {
    const EXPECTED: &'static str = "none, basic, normal or detailed";

    fn read(node: &Node) -> Result<Self, String> {
        crate::config::setting::parsed(node, |text| match text.to_ascii_lowercase().as_str() {
            "none" => Some(Self::None),
            "basic" => Some(Self::Basic),
            "normal" => Some(Self::Normal),
            "detailed" => Some(Self::Detailed),
            _ => None,
        })
    }
}

impl SelfMetrics {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("level", &mut it.level);
        section.without_effect(
            &["address"],
            "the Collector ignores it too; write readers: [{pull: {exporter: {prometheus: {host: ..., port: ...}}}}]",
        );
        if let Some(readers) = section.sections_in("readers") {
            (it.pull, it.push) = (Vec::new(), Vec::new());
            for reader in readers {
                it.read_reader(reader);
            }
        }
        section.unsupported_of_own(&["views"]);
        section.finish();
        if it.level == MetricsLevel::None {
            (it.pull, it.push) = (Vec::new(), Vec::new());
        }
        it
    }

    fn read_reader(&mut self, reader: Section<'_>) {
        let (pull, periodic) = (reader.section("pull"), reader.section("periodic"));
        match (pull, periodic) {
            (Some(pull), None) => self.pull.extend(PullReader::read(pull)),
            (None, Some(periodic)) => self.push.extend(PushReader::read(periodic)),
            _ => {
                let message = "expected one of pull and periodic";
                reader.report.problem(Some(reader.at), &reader.path, message);
            }
        }
        reader.finish();
    }
}

impl PullReader {
    fn read(section: Section<'_>) -> Option<Self> {
        let mut it = Self {
            without_type_suffix: false,
            without_units: false,
            without_scope_info: false,
            with_resource_constant_labels: None,
            implicit: false,
            ..Self::default()
        };
        let exporter = section.section_or_empty("exporter");
        let found = exporter.section("prometheus");
        let named = found.is_some();
        if let Some(prometheus) = found {
            let (mut host, mut port) = ("localhost".to_owned(), 8888_u64);
            prometheus.field("host", &mut host);
            prometheus.ranged("port", &mut port, 0..=u64::from(u16::MAX));
            match SocketAddr::read(&Node::plain(format!("{host}:{port}"), prometheus.at)) {
                Ok(endpoint) => it.endpoint = endpoint,
                Err(_) => prometheus.problem("host", "expected localhost or an IP address such as 0.0.0.0"),
            }
            prometheus.field("without_type_suffix", &mut it.without_type_suffix);
            prometheus.field("without_units", &mut it.without_units);
            prometheus.field("without_scope_info", &mut it.without_scope_info);
            if let Some(labels) = prometheus.section("with_resource_constant_labels") {
                let mut selection = LabelSelection::default();
                labels.field("included", &mut selection.included);
                labels.field("excluded", &mut selection.excluded);
                labels.finish();
                it.with_resource_constant_labels = Some(selection);
            }
            prometheus.finish();
        } else {
            section.problem("exporter", "expected prometheus");
        }
        exporter.finish();
        section.finish();
        named.then_some(it)
    }
}

impl PushReader {
    fn read(section: Section<'_>) -> Option<Self> {
        let (mut interval, mut timeout) = (Millis(Duration::from_mins(1)), Millis(Duration::from_secs(30)));
        let range = || Millis(Duration::from_millis(100))..=Millis(Duration::from_hours(1));
        section.ranged("interval", &mut interval, range());
        section.ranged("timeout", &mut timeout, range());
        let exporter = section.section_or_empty("exporter");
        exporter.unsupported(&["console"]);
        let otlp = exporter.section("otlp");
        if otlp.is_none() {
            section.problem("exporter", "expected otlp");
        }
        let otlp = otlp.and_then(|otlp| SelfOtlp::read(otlp, "v1/metrics"));
        exporter.finish();
        section.finish();
        Some(Self {
            interval: interval.0,
            timeout: timeout.0,
            exporter: otlp?,
        })
    }
}
