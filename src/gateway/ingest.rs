//! What pipelines count with: the tap of `error_budget`, and a plain walk where there is none.

use crate::ledger::{Ledger, Tap};
use crate::pipeline::{Batch, Count, Counted, Refusal, Signal};
use crate::time::Clock;
use crate::wire::{
    Attributes, Event, KeyTable, KeyTableBuilder, Scope, Span, SpanSink, WalkError, WalkLimits,
    count_log_records, count_metric_points, walk_traces, without_rejected_log_records,
    without_rejected_points, without_rejected_spans,
};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts for the SLOs, synchronously: one walk, one short lock.
pub(super) struct Ingest {
    tap: Arc<Tap>,
    ledger: Arc<Mutex<Ledger>>,
    clock: Arc<dyn Clock>,
    plain: Arc<PlainCounter>,
}

impl Ingest {
    pub(super) fn new(
        tap: Arc<Tap>,
        ledger: Arc<Mutex<Ledger>>,
        clock: Arc<dyn Clock>,
        plain: Arc<PlainCounter>,
    ) -> Self {
        Self {
            tap,
            ledger,
            clock,
            plain,
        }
    }

    fn traces(&self, batch: &Batch) -> Result<Counted, Refusal> {
        let now = self.clock.now();
        let outcome = self
            .tap
            .process(&batch.bytes, batch.peer, now)
            .map_err(|e| refusal(e, batch.signal))?;
        if !outcome.series.is_empty() || !outcome.evidence.is_empty() {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.absorb(now, &outcome.series, &outcome.evidence);
            if !outcome.weights.is_empty() {
                ledger.absorb_weights(now, &outcome.weights);
            }
        }
        Ok(Counted {
            items: outcome.summary.spans,
            rejected: outcome.summary.rejected,
        })
    }
}

impl Count for Ingest {
    fn count(&self, batch: &Batch) -> Result<Counted, Refusal> {
        match batch.signal {
            Signal::Traces => self.traces(batch),
            Signal::Metrics => {
                let counted = self.plain.count(batch)?;
                let watched = self.tap.watch_metrics(&batch.bytes, self.clock.now());
                watched.map_err(|e| refusal(e, batch.signal))?;
                Ok(counted)
            }
            Signal::Logs => self.plain.count(batch),
        }
    }

    fn splice(&self, batch: &Batch) -> Result<Bytes, Refusal> {
        self.plain.splice(batch)
    }
}

/// Counts items and finds those that must be rejected; judges nothing.
pub(super) struct PlainCounter {
    /// No attribute is wanted.
    keys: KeyTable,
    limits: WalkLimits,
}

impl PlainCounter {
    pub(super) fn new(limits: WalkLimits) -> Self {
        Self {
            keys: KeyTableBuilder::default().build(),
            limits,
        }
    }
}

/// Looks at nothing.
struct Blind;

impl<'a> SpanSink<'a> for Blind {
    fn forget(&mut self) {}
    fn resource(&mut self, _: &Attributes<'a>) {}
    fn scope(&mut self, _: &Scope<'a, '_>) {}
    fn span(&mut self, _: &Span<'a>, _: &Attributes<'a>, _: &[Event<'a>]) {}
}

impl Count for PlainCounter {
    fn count(&self, batch: &Batch) -> Result<Counted, Refusal> {
        let counted = match batch.signal {
            Signal::Traces => {
                walk_traces(&batch.bytes, &self.keys, &self.limits, &mut Blind).map(|summary| Counted {
                    items: summary.spans,
                    rejected: summary.rejected,
                })
            }
            Signal::Metrics => count_metric_points(&batch.bytes, &self.limits).map(counted),
            Signal::Logs => count_log_records(&batch.bytes, &self.limits).map(counted),
        };
        counted.map_err(|e| refusal(e, batch.signal))
    }

    fn splice(&self, batch: &Batch) -> Result<Bytes, Refusal> {
        let spliced = match batch.signal {
            Signal::Traces => without_rejected_spans(&batch.bytes),
            Signal::Metrics => without_rejected_points(&batch.bytes),
            Signal::Logs => without_rejected_log_records(&batch.bytes),
        };
        spliced.map_err(|e| refusal(e, batch.signal))
    }
}

fn counted(summary: crate::wire::ItemSummary) -> Counted {
    Counted {
        items: summary.items,
        rejected: summary.rejected,
    }
}

fn refusal(error: WalkError, signal: Signal) -> Refusal {
    let (service, what) = match signal {
        Signal::Traces => ("ExportTraceServiceRequest", "spans"),
        Signal::Metrics => ("ExportMetricsServiceRequest", "data points"),
        Signal::Logs => ("ExportLogsServiceRequest", "log records"),
    };
    match error {
        WalkError::Malformed(_) => Refusal::Malformed(format!("the body is not a valid {service}").into()),
        WalkError::TooManyItems { limit } => Refusal::TooLarge(
            format!("more than {limit} {what} in one request; send smaller batches or raise receivers.otlp.limits.max_items")
                .into(),
        ),
    }
}
