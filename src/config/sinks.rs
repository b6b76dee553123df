//! `exporters.debug`, `exporters.file`, `exporters.prometheusremotewrite`, and what `exporters.prometheus`
//! does with received metrics.

use super::exporters::headers;
use super::section::Section;
use super::setting::{HttpUrl, Setting, text};
use super::{ClientTls, Retry, Secret};
use std::path::PathBuf;
use std::time::Duration;

/// How much `debug` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// One line a batch, with counts.
    #[default]
    Basic,
    /// One line an item.
    Normal,
    /// Every field.
    Detailed,
}

/// `debug` (alias `logging`): says what passes, on stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugExporter {
    /// How much.
    pub verbosity: Verbosity,
    /// Batches shown in a second before sampling begins.
    pub sampling_initial: u64,
    /// Of those beyond, every n-th is shown; 0 shows none of them.
    pub sampling_thereafter: u64,
    /// Batches that wait to be written; more are left out and counted.
    pub queue_size: usize,
}

impl Default for DebugExporter {
    fn default() -> Self {
        Self {
            verbosity: Verbosity::Basic,
            sampling_initial: 2,
            sampling_thereafter: 1,
            queue_size: 64,
        }
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// OTLP JSON, a line a batch.
    #[default]
    Json,
    /// Protobuf, each batch behind its length in four bytes, big-endian.
    Proto,
}

/// When a file is set aside for a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Size at which it is set aside.
    pub max_megabytes: u64,
    /// Days that a file set aside is kept; 0 is without limit.
    pub max_days: u64,
    /// Files set aside that are kept; 0 is without limit.
    pub max_backups: u64,
    /// Names of files set aside carry local time, not UTC.
    pub localtime: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            max_megabytes: 100,
            max_days: 0,
            max_backups: 100,
            localtime: false,
        }
    }
}

/// `file`: OTLP JSON lines, or protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileExporter {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub format: FileFormat,
    /// When it is set aside; `None` lets it grow.
    pub rotation: Option<Rotation>,
    /// Goes on behind what the file holds; without it a start empties the file.
    pub append: bool,
    /// Each batch is compressed with zstd, and stands behind its length.
    pub zstd: bool,
    /// Longest time that a batch is only in memory.
    pub flush_interval: Duration,
    /// Creates missing folders.
    pub create_directory: bool,
    /// Batches that wait to be written.
    pub queue_size: usize,
}

impl FileExporter {
    /// The defaults, for the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: FileFormat::Json,
            rotation: None,
            append: false,
            zstd: false,
            flush_interval: Duration::from_secs(1),
            create_directory: false,
            queue_size: 1000,
        }
    }
}

/// How received metrics become Prometheus' series.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the Collector's")]
pub struct Naming {
    /// Put before every name, with `_`.
    pub namespace: String,
    /// Unit and `_total` become part of the name.
    pub add_metric_suffixes: bool,
    /// Attributes of the resource become labels.
    pub resource_to_telemetry_conversion: bool,
    /// One `target_info` a resource.
    pub target_info: bool,
    /// No `otel_scope_*` labels.
    pub without_scope_info: bool,
    /// Labels of every series.
    pub const_labels: Vec<(String, String)>,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            add_metric_suffixes: true,
            resource_to_telemetry_conversion: false,
            target_info: true,
            without_scope_info: false,
            const_labels: Vec::new(),
        }
    }
}

/// The received metrics on a `prometheus` exporter's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedPage {
    /// Names and labels.
    pub naming: Naming,
    /// Samples carry the time that the sender gave them.
    pub send_timestamps: bool,
    /// A series that nothing was received for is no longer shown.
    pub metric_expiration: Duration,
    /// OpenMetrics, with exemplars, for those who ask for it.
    pub enable_open_metrics: bool,
    /// Series on the page; points of more are counted and left out.
    pub max_series: usize,
}

impl Default for ReceivedPage {
    fn default() -> Self {
        Self {
            naming: Naming::default(),
            send_timestamps: false,
            metric_expiration: Duration::from_mins(5),
            enable_open_metrics: false,
            max_series: 100_000,
        }
    }
}

/// Samples are few and late ones are refused, so that the first repetition comes soon.
const RETRY: Retry = Retry {
    initial_interval: Duration::from_millis(50),
    randomization_factor: 0.5,
    multiplier: 1.5,
    max_interval: Duration::from_secs(30),
    max_elapsed_time: Some(Duration::from_mins(5)),
};

/// `prometheusremotewrite`: received metrics pushed to Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWriteExporter {
    /// URL of the call.
    pub endpoint: String,
    /// Headers; values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// Names and labels; `external_labels` are its `const_labels`.
    pub naming: Naming,
    /// Timeout of one call.
    pub timeout: Duration,
    /// How the server is spoken to.
    pub tls: ClientTls,
    /// What failed is sent again; `None` drops at the first failure.
    pub retry: Option<Retry>,
    /// Samples wait for the server; without it every batch waits for the answer.
    pub queue_enabled: bool,
    /// Batches of samples that wait, over all consumers.
    pub queue_size: usize,
    /// Connections at once; each has its own share of the series, so that samples of one stay in order.
    pub num_consumers: usize,
    /// Bytes of one call before compression.
    pub max_batch_size_bytes: usize,
    /// Series that are remembered.
    pub max_series: usize,
    /// A series that nothing was received for is forgotten.
    pub metric_expiration: Duration,
}

impl RemoteWriteExporter {
    /// The defaults, for the server at `endpoint`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            naming: Naming::default(),
            timeout: Duration::from_secs(5),
            tls: ClientTls::default(),
            retry: Some(RETRY),
            queue_enabled: true,
            queue_size: 10_000,
            num_consumers: 5,
            max_batch_size_bytes: 3_000_000,
            max_series: 100_000,
            metric_expiration: Duration::from_hours(1),
        }
    }
}

impl Setting for Verbosity {
    const EXPECTED: &'static str = "basic, normal or detailed";

    fn read(node: &super::tree::Node) -> Result<Self, String> {
        match text(node) {
            Some("basic") => Ok(Self::Basic),
            Some("normal") => Ok(Self::Normal),
            Some("detailed") => Ok(Self::Detailed),
            _ => Err(super::section::shown(node)),
        }
    }
}

impl Setting for FileFormat {
    const EXPECTED: &'static str = "json or proto";

    fn read(node: &super::tree::Node) -> Result<Self, String> {
        match text(node) {
            Some("json") => Ok(Self::Json),
            Some("proto") => Ok(Self::Proto),
            _ => Err(super::section::shown(node)),
        }
    }
}

impl DebugExporter {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("verbosity", &mut it.verbosity);
        section.field("sampling_initial", &mut it.sampling_initial);
        section.field("sampling_thereafter", &mut it.sampling_thereafter);
        // What passes always goes through the gateway's own logger.
        let mut internal = true;
        if section.field("use_internal_logger", &mut internal) && !internal {
            section.problem(
                "use_internal_logger",
                "only true: it is written with the gateway's own logs",
            );
        }
        section.ranged("queue_size", &mut it.queue_size, 1..=100_000);
        section.unsupported(&["output_paths", "sending_queue"]);
        section.finish();
        it
    }
}

impl Rotation {
    fn read(section: &Section<'_>) -> Self {
        let mut it = Self::default();
        section.ranged("max_megabytes", &mut it.max_megabytes, 1..=1_000_000);
        section.ranged("max_days", &mut it.max_days, 0..=36_500);
        section.ranged("max_backups", &mut it.max_backups, 0..=100_000);
        section.field("localtime", &mut it.localtime);
        it
    }
}

impl FileExporter {
    pub(super) fn read(section: Section<'_>) -> Option<Self> {
        let path = section.required::<PathBuf>("path", "write the file's path, such as ./telemetry.jsonl");
        let mut it = Self::new("");
        section.field("format", &mut it.format);
        if let Some(rotation) = section.section("rotation") {
            it.rotation = Some(Rotation::read(&rotation));
            rotation.finish();
        }
        section.field("append", &mut it.append);
        let mut compression = String::new();
        section.field("compression", &mut compression);
        match compression.as_str() {
            "" | "none" => {}
            "zstd" => it.zstd = true,
            _ => section.problem("compression", "expected zstd, or leave it out"),
        }
        if it.append && it.zstd {
            section.problem(
                "append",
                "cannot go on behind a compressed file; leave out append or compression",
            );
        }
        section.ranged(
            "flush_interval",
            &mut it.flush_interval,
            Duration::from_millis(10)..=Duration::from_mins(10),
        );
        section.field("create_directory", &mut it.create_directory);
        section.ranged("queue_size", &mut it.queue_size, 1..=1_000_000);
        section.unsupported(&["group_by", "encoding", "directory_permissions"]);
        section.finish();
        it.path = path?;
        Some(it)
    }
}

/// A mapping from names to texts, such as `const_labels`.
pub(super) fn labels(section: &Section<'_>, key: &'static str) -> Vec<(String, String)> {
    let Some(labels) = section.section(key) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in labels.entries() {
        match text(&entry.node) {
            Some(value) => read.push((entry.key.clone(), value.to_owned())),
            None => labels.problem(&entry.key, "expected text, the value of a label"),
        }
    }
    read
}

/// `key: { enabled: true }`, as the Collector switches a part on or off.
fn switch(section: &Section<'_>, key: &'static str, slot: &mut bool) {
    if let Some(inside) = section.section(key) {
        inside.field("enabled", slot);
        inside.finish();
    }
}

impl Naming {
    fn read(section: &Section<'_>, labels_key: &'static str) -> Self {
        let mut it = Self::default();
        section.field("namespace", &mut it.namespace);
        section.field("add_metric_suffixes", &mut it.add_metric_suffixes);
        switch(
            section,
            "resource_to_telemetry_conversion",
            &mut it.resource_to_telemetry_conversion,
        );
        switch(section, "target_info", &mut it.target_info);
        section.field("without_scope_info", &mut it.without_scope_info);
        it.const_labels = labels(section, labels_key);
        it
    }
}

impl ReceivedPage {
    /// Reads the keys of a `prometheus` exporter that are about received metrics; its caller reads the
    /// others.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let mut it = Self {
            naming: Naming::read(section, "const_labels"),
            ..Self::default()
        };
        section.field("send_timestamps", &mut it.send_timestamps);
        section.ranged(
            "metric_expiration",
            &mut it.metric_expiration,
            Duration::from_secs(1)..=Duration::from_hours(24 * 365),
        );
        section.field("enable_open_metrics", &mut it.enable_open_metrics);
        section.ranged("max_series", &mut it.max_series, 1..=10_000_000);
        it
    }
}

impl RemoteWriteExporter {
    pub(super) fn read(section: Section<'_>) -> Option<Self> {
        let url = section.required::<HttpUrl>(
            "endpoint",
            "write the URL to push to, such as http://localhost:9090/api/v1/write",
        );
        let mut it = Self::new("");
        it.headers = headers(&section);
        it.naming = Naming::read(&section, "external_labels");
        section.ranged(
            "timeout",
            &mut it.timeout,
            Duration::from_millis(100)..=Duration::from_mins(10),
        );
        if let Some(tls) = section.section("tls") {
            it.tls = ClientTls::read(tls);
        }
        it.retry = RETRY.read_over(section.section_or_empty("retry_on_failure"));
        if let Some(queue) = section.section("remote_write_queue") {
            queue.field("enabled", &mut it.queue_enabled);
            queue.ranged("queue_size", &mut it.queue_size, 1..=1_000_000);
            queue.ranged("num_consumers", &mut it.num_consumers, 1..=256);
            queue.finish();
        }
        section.ranged(
            "max_batch_size_bytes",
            &mut it.max_batch_size_bytes,
            10_000..=100_000_000,
        );
        section.ranged("max_series", &mut it.max_series, 1..=10_000_000);
        section.ranged(
            "metric_expiration",
            &mut it.metric_expiration,
            Duration::from_mins(1)..=Duration::from_hours(24 * 365),
        );
        section.unsupported(&[
            "wal",
            "auth",
            "protobuf_message",
            "export_created_metric",
            "send_metadata",
        ]);
        section.finish();
        it.endpoint = url?.0;
        Some(it)
    }
}
