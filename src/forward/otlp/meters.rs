//! What an exporter counts about itself, under the names that operators of the Collector alert on, and beside
//! them what the Collector does not tell: why something was dropped, and what a backend rejected.

use crate::pipeline::Signal;
use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, gauge, histogram};
use std::sync::Arc;

/// Why items did not reach the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::forward) enum Dropped {
    /// The queue was full; the sender was told.
    QueueFull,
    /// The queue's disk was full or failed; the sender was told.
    Storage,
    /// The exporter was going away; the sender was told.
    Closing,
    /// The backend refused for good.
    Refused,
    /// The backend's answer was none of the protocol's.
    Nonsense,
    /// It might have passed, and did not within `retry_on_failure`.
    RetriesExhausted,
    /// Shutdown did not wait longer.
    Shutdown,
    /// The sender, who was waiting for the backend's answer, went away.
    Cancelled,
    /// It could not be read back from disk, or not be encoded.
    Unreadable,
}

impl Dropped {
    const ALL: [Self; 9] = [
        Self::QueueFull,
        Self::Storage,
        Self::Closing,
        Self::Refused,
        Self::Nonsense,
        Self::RetriesExhausted,
        Self::Shutdown,
        Self::Cancelled,
        Self::Unreadable,
    ];

    /// Its label.
    pub(in crate::forward) const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Storage => "storage",
            Self::Closing => "closing",
            Self::Refused => "refused",
            Self::Nonsense => "nonsense",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Shutdown => "shutdown",
            Self::Cancelled => "cancelled",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether the batch was never taken into the queue.
    const fn is_at_the_door(self) -> bool {
        matches!(self, Self::QueueFull | Self::Storage | Self::Closing)
    }
}

/// Why a persistent queue did not take a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::forward) enum StorageError {
    /// Its own limit.
    Limit,
    /// No space left on the device.
    DiskFull,
    /// Anything else.
    Io,
}

/// The metrics of one exporter.
pub(in crate::forward) struct Meters {
    lanes: [Lane; 3],
    retries: Counter,
    pub(in crate::forward) queue_size: Gauge,
    pub(in crate::forward) queue_capacity: Gauge,
    pub(in crate::forward) queue_bytes: Gauge,
    in_flight: Gauge,
    send_size: Histogram,
    send_bytes: Histogram,
    corrupt: Counter,
    recovered: Counter,
    storage: [Counter; 3],
}

struct Lane {
    sent: Counter,
    send_failed: Counter,
    enqueue_failed: Counter,
    rejected: Counter,
    dropped: [Counter; Dropped::ALL.len()],
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    /// Registers the metrics of the exporter `id`.
    pub(in crate::forward) fn new(id: &str) -> Self {
        describe();
        let id: Arc<str> = id.into();
        let plain = |name: &'static str| counter!(name, "exporter" => id.clone());
        let level = |name: &'static str| gauge!(name, "exporter" => id.clone());
        let sizes = |name: &'static str| histogram!(name, "exporter" => id.clone());
        Self {
            lanes: Signal::ALL.map(|signal| Lane::new(&id, signal)),
            retries: plain("burngate_exporter_retries_total"),
            queue_size: level("otelcol_exporter_queue_size"),
            queue_capacity: level("otelcol_exporter_queue_capacity"),
            queue_bytes: level("burngate_exporter_queue_bytes"),
            in_flight: level("otelcol_exporter_in_flight_requests"),
            send_size: sizes("otelcol_exporter_queue_batch_send_size"),
            send_bytes: sizes("otelcol_exporter_queue_batch_send_size_bytes"),
            corrupt: plain("burngate_queue_corrupt_records_total"),
            recovered: plain("burngate_queue_recovered_batches_total"),
            storage: ["limit", "disk_full", "io"].map(|reason| {
                counter!("burngate_queue_errors_total", "exporter" => id.clone(), "reason" => reason)
            }),
        }
    }

    fn lane(&self, signal: Signal) -> &Lane {
        match signal {
            Signal::Traces => &self.lanes[0],
            Signal::Metrics => &self.lanes[1],
            Signal::Logs => &self.lanes[2],
        }
    }

    /// A request is about to leave: its items, and its bytes as protobuf, not compressed.
    pub(in crate::forward) fn sending(&self, items: u64, bytes: usize) {
        self.send_size.record(items as f64);
        self.send_bytes.record(bytes as f64);
    }

    /// A request arrived; of its items the backend rejected some for good.
    pub(in crate::forward) fn arrived(&self, signal: Signal, items: u64, rejected: u64) {
        let lane = self.lane(signal);
        lane.sent.increment(items.saturating_sub(rejected));
        lane.rejected.increment(rejected.min(items));
    }

    /// Items that did not.
    pub(in crate::forward) fn dropped(&self, signal: Signal, items: u64, reason: Dropped) {
        let lane = self.lane(signal);
        if let Some(at) = Dropped::ALL.iter().position(|it| *it == reason) {
            lane.dropped[at].increment(items);
        }
        let failed = if reason.is_at_the_door() {
            &lane.enqueue_failed
        } else {
            &lane.send_failed
        };
        failed.increment(items);
    }

    /// An attempt failed and another will be made.
    pub(in crate::forward) fn retried(&self) {
        self.retries.increment(1);
    }

    /// Damaged places in a persistent queue.
    pub(in crate::forward) fn corrupt(&self, places: u64) {
        self.corrupt.increment(places);
    }

    /// Batches of a former process, or of the exporter before a reload, that are sent by this one.
    pub(in crate::forward) fn recovered(&self, batches: u64) {
        self.recovered.increment(batches);
    }

    /// A batch that a persistent queue did not take.
    pub(in crate::forward) fn storage_failed(&self, why: StorageError) {
        self.storage[why as usize].increment(1);
    }

    /// An attempt is under way until this is dropped.
    pub(in crate::forward) fn attempt(&self) -> InFlight<'_> {
        self.in_flight.increment(1.0);
        InFlight(&self.in_flight)
    }
}

/// An attempt under way.
pub(in crate::forward) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Lane {
    fn new(id: &Arc<str>, signal: Signal) -> Self {
        let [sent, send_failed, enqueue_failed] = match signal {
            Signal::Traces => [
                "otelcol_exporter_sent_spans",
                "otelcol_exporter_send_failed_spans",
                "otelcol_exporter_enqueue_failed_spans",
            ],
            Signal::Metrics => [
                "otelcol_exporter_sent_metric_points",
                "otelcol_exporter_send_failed_metric_points",
                "otelcol_exporter_enqueue_failed_metric_points",
            ],
            Signal::Logs => [
                "otelcol_exporter_sent_log_records",
                "otelcol_exporter_send_failed_log_records",
                "otelcol_exporter_enqueue_failed_log_records",
            ],
        };
        let plain = |name: &'static str| counter!(name, "exporter" => id.clone());
        Self {
            sent: plain(sent),
            send_failed: plain(send_failed),
            enqueue_failed: plain(enqueue_failed),
            rejected: counter!(
                "burngate_exporter_rejected_items_total",
                "exporter" => id.clone(), "signal" => signal.as_str()
            ),
            dropped: Dropped::ALL.map(|reason| {
                counter!(
                    "burngate_exporter_dropped_items_total",
                    "exporter" => id.clone(), "signal" => signal.as_str(), "reason" => reason.as_str()
                )
            }),
        }
    }
}

fn describe() {
    for (sent, failed, refused) in [
        (
            "otelcol_exporter_sent_spans",
            "otelcol_exporter_send_failed_spans",
            "otelcol_exporter_enqueue_failed_spans",
        ),
        (
            "otelcol_exporter_sent_metric_points",
            "otelcol_exporter_send_failed_metric_points",
            "otelcol_exporter_enqueue_failed_metric_points",
        ),
        (
            "otelcol_exporter_sent_log_records",
            "otelcol_exporter_send_failed_log_records",
            "otelcol_exporter_enqueue_failed_log_records",
        ),
    ] {
        describe_counter!(sent, "Items that the backend took.");
        describe_counter!(
            failed,
            "Items that were given up after they had been taken into the queue."
        );
        describe_counter!(
            refused,
            "Items that the queue did not take; their sender was told."
        );
    }
    describe_gauge!(
        "otelcol_exporter_queue_size",
        "What waits or is under way, in what `sizer` says."
    );
    describe_gauge!(
        "otelcol_exporter_queue_capacity",
        "Size of the queue, in what `sizer` says."
    );
    describe_gauge!("otelcol_exporter_in_flight_requests", "Attempts under way.");
    describe_gauge!(
        "burngate_exporter_queue_bytes",
        "Bytes in the queue: in memory, or on disk with `storage`."
    );
    describe_counter!(
        "burngate_exporter_retries_total",
        "Attempts that failed and were followed by another."
    );
    describe_counter!(
        "burngate_exporter_rejected_items_total",
        "Items that the backend took delivery of and rejected (partial success)."
    );
    describe_counter!(
        "burngate_exporter_dropped_items_total",
        "Items that did not reach the backend, by reason."
    );
    describe_counter!(
        "burngate_queue_errors_total",
        "Batches that a persistent queue did not take, by reason: its limit, a full disk, an error of the disk."
    );
    describe_counter!(
        "burngate_queue_corrupt_records_total",
        "Damaged places found in a persistent queue; what was around them went on."
    );
    describe_counter!(
        "burngate_queue_recovered_batches_total",
        "Batches that an earlier process, or the exporter before a reload, left on disk."
    );
}
