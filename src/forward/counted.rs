//! What became of items at an exporter, under the Collector's names; and whether it works, for probes.

use crate::pipeline::{Component, Signal, Status};
use metrics::Counter;
use std::sync::OnceLock;

/// One counter a signal.
struct BySignal([Counter; 3]);

impl BySignal {
    fn new(names: [&'static str; 3], id: &str) -> Self {
        Self(names.map(|name| metrics::counter!(name, "exporter" => id.to_owned())))
    }

    fn of(&self, signal: Signal) -> &Counter {
        let [traces, metrics, logs] = &self.0;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }
}

/// Counters of one exporter.
pub(super) struct Counted {
    sent: BySignal,
    failed: BySignal,
    refused: BySignal,
    component: OnceLock<Component>,
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

impl Counted {
    /// The counters of exporter `id`.
    pub(super) fn new(id: &str) -> Self {
        Self {
            sent: BySignal::new(
                [
                    "otelcol_exporter_sent_spans",
                    "otelcol_exporter_sent_metric_points",
                    "otelcol_exporter_sent_log_records",
                ],
                id,
            ),
            failed: BySignal::new(
                [
                    "otelcol_exporter_send_failed_spans",
                    "otelcol_exporter_send_failed_metric_points",
                    "otelcol_exporter_send_failed_log_records",
                ],
                id,
            ),
            refused: BySignal::new(
                [
                    "otelcol_exporter_enqueue_failed_spans",
                    "otelcol_exporter_enqueue_failed_metric_points",
                    "otelcol_exporter_enqueue_failed_log_records",
                ],
                id,
            ),
            component: OnceLock::new(),
        }
    }

    /// Where the exporter says how it is, from now on.
    pub(super) fn says_at(&self, component: Component) {
        // A second line would be the same one: it is found by the exporter's name.
        let _ = self.component.set(component);
    }

    /// It works.
    pub(super) fn works(&self) {
        if let Some(component) = self.component.get() {
            component.set(Status::Ok);
        }
    }

    /// It fails, and goes on trying.
    pub(super) fn ails(&self, reason: &str) {
        if let Some(component) = self.component.get() {
            component.set(Status::Recoverable(reason.to_owned().into()));
        }
    }

    /// They arrived.
    pub(super) fn sent(&self, signal: Signal, items: u64) {
        self.sent.of(signal).increment(items);
    }

    /// They did not, and never will.
    pub(super) fn failed(&self, signal: Signal, items: u64) {
        self.failed.of(signal).increment(items);
    }

    /// There was no room for them; whoever sent them knows.
    pub(super) fn refused(&self, signal: Signal, items: u64) {
        self.refused.of(signal).increment(items);
    }
}
