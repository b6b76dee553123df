//! `sending_queue` and `retry_on_failure`: what waits for a backend, and for how long.

use super::section::{Section, shown};
use super::setting::{Setting, text};
use super::tree::Node;
use std::time::Duration;

/// `retry_on_failure`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Wait after the first failure.
    pub initial_interval: Duration,
    /// Share of a wait by which chance shortens or lengthens it, 0 to 1.
    pub randomization_factor: f64,
    /// Growth of the wait from failure to failure.
    pub multiplier: f64,
    /// Longest wait; a backend's own advice may be longer.
    pub max_interval: Duration,
    /// Time after which a batch is given up; `None` never.
    pub max_elapsed_time: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Some(Duration::from_mins(5)),
        }
    }
}

impl Retry {
    /// `None` where `enabled` is false.
    pub(super) fn read(section: Section<'_>) -> Option<Self> {
        Self::default().read_over(section)
    }

    /// The same, over an exporter's own defaults.
    pub(super) fn read_over(self, section: Section<'_>) -> Option<Self> {
        let (mut it, mut enabled) = (self, true);
        section.field("enabled", &mut enabled);
        let range = Duration::from_millis(1)..=Duration::from_hours(24);
        section.ranged("initial_interval", &mut it.initial_interval, range.clone());
        section.ranged("max_interval", &mut it.max_interval, range);
        section.ranged("randomization_factor", &mut it.randomization_factor, 0.0..=1.0);
        section.ranged("multiplier", &mut it.multiplier, 1.0..=100.0);
        let mut elapsed = it.max_elapsed_time.unwrap_or_default();
        section.field("max_elapsed_time", &mut elapsed);
        it.max_elapsed_time = (!elapsed.is_zero()).then_some(elapsed);
        section.finish();
        enabled.then_some(it)
    }
}

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn read(node: &Node) -> Result<Self, String> {
        let number = text(node).and_then(|text| text.parse::<Self>().ok());
        number
            .filter(|number| number.is_finite())
            .ok_or_else(|| shown(node))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// What a queue's size is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizer {
    /// Requests.
    #[default]
    Requests,
    /// Spans, data points, log records.
    Items,
    /// Bytes of protobuf.
    Bytes,
}

impl Setting for Sizer {
    const EXPECTED: &'static str = "requests, items or bytes";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("requests") => Ok(Self::Requests),
            Some("items") => Ok(Self::Items),
            Some("bytes") => Ok(Self::Bytes),
            _ => Err(shown(node)),
        }
    }
}

/// `sending_queue.batch`: small requests leave together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueBatch {
    /// Time that the first of a batch waits for others.
    pub flush_timeout: Duration,
    /// Size from which a batch leaves at once.
    pub min_size: u64,
    /// Size that a batch may have, larger ones are split; 0 is without limit.
    pub max_size: u64,
    /// What those are counted in: items or bytes.
    pub sizer: Sizer,
    /// Client metadata whose values must be equal within a batch, in lower case.
    pub metadata_keys: Vec<String>,
}

impl Default for QueueBatch {
    fn default() -> Self {
        Self {
            flush_timeout: Duration::from_millis(200),
            min_size: 8192,
            max_size: 0,
            sizer: Sizer::Items,
            metadata_keys: Vec::new(),
        }
    }
}

/// `sending_queue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingQueue {
    /// Requests under way at once.
    pub num_consumers: usize,
    /// Size, in what `sizer` says.
    pub queue_size: u64,
    /// What the size is counted in.
    pub sizer: Sizer,
    /// Bound in bytes beside it, in MiB: in memory or, with `storage`, on disk.
    pub queue_size_mib: u64,
    /// Whether a full queue makes its client wait instead of refusing.
    pub block_on_overflow: bool,
    /// Whether a client waits for the backend's answer.
    pub wait_for_result: bool,
    /// Extension that keeps the queue on disk.
    pub storage: Option<String>,
    /// Whether each write is forced to the device before its answer. Without, a batch survives the end of the
    /// process, and with it also that of the machine.
    pub fsync: bool,
    /// Merging, where the pipeline's `batch` processor does not ask for it already.
    pub batch: Option<QueueBatch>,
}

/// Default of `queue_size_mib` in memory, and on disk.
const QUEUE_MIB: (u64, u64) = (256, 2048);

impl Default for SendingQueue {
    fn default() -> Self {
        Self {
            num_consumers: 10,
            queue_size: 1000,
            sizer: Sizer::Requests,
            queue_size_mib: QUEUE_MIB.0,
            block_on_overflow: false,
            wait_for_result: false,
            storage: None,
            fsync: false,
            batch: None,
        }
    }
}

impl SendingQueue {
    /// `None` where `enabled` is false.
    pub(super) fn read(section: Section<'_>) -> Option<Self> {
        let (mut it, mut enabled) = (Self::default(), true);
        section.field("enabled", &mut enabled);
        section.ranged("num_consumers", &mut it.num_consumers, 1..=1000);
        section.field("sizer", &mut it.sizer);
        section.ranged("queue_size", &mut it.queue_size, 1..=1 << 50);
        section.field("storage", &mut it.storage);
        if it.storage.is_some() {
            it.queue_size_mib = QUEUE_MIB.1;
        }
        section.ranged("queue_size_mib", &mut it.queue_size_mib, 1..=1 << 20);
        section.field("block_on_overflow", &mut it.block_on_overflow);
        section.field("wait_for_result", &mut it.wait_for_result);
        section.field("fsync", &mut it.fsync);
        if it.fsync && it.storage.is_none() {
            section.problem("fsync", "there is no storage to write to");
        }
        if it.wait_for_result && it.storage.is_some() {
            section.problem(
                "wait_for_result",
                "with storage the answer is that the batch is on disk; keep one of the two",
            );
        }
        it.batch = section.section("batch").and_then(QueueBatch::read);
        section.finish();
        enabled.then_some(it)
    }
}

impl QueueBatch {
    fn read(section: Section<'_>) -> Option<Self> {
        let (mut it, mut enabled) = (Self::default(), true);
        section.field("enabled", &mut enabled);
        section.ranged(
            "flush_timeout",
            &mut it.flush_timeout,
            Duration::from_millis(1)..=Duration::from_hours(1),
        );
        section.field("sizer", &mut it.sizer);
        if it.sizer == Sizer::Requests {
            section.problem("sizer", "expected items or bytes");
        }
        section.field("min_size", &mut it.min_size);
        section.field("max_size", &mut it.max_size);
        if it.max_size != 0 && it.max_size < it.min_size {
            section.problem("max_size", "below min_size; 0 is without limit");
        }
        let partition = section.section_or_empty("partition");
        partition.field("metadata_keys", &mut it.metadata_keys);
        it.metadata_keys
            .iter_mut()
            .for_each(|key| key.make_ascii_lowercase());
        partition.finish();
        section.finish();
        enabled.then_some(it)
    }
}
