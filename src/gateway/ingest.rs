//! What pipelines count with: the tap of `error_budget`, and a plain walk where there is none.

use crate::config::Dedup;
use crate::ledger::{HandCount, HandError, Latencies, Ledger, Repeats, Sender, TallyStats, Tap, TapOutcome};
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
    latencies: Arc<Mutex<Latencies>>,
    clock: Arc<dyn Clock>,
    plain: Arc<PlainCounter>,
    repeats: Repeats,
}

impl Ingest {
    pub(super) fn new(
        tap: Arc<Tap>,
        ledger: Arc<Mutex<Ledger>>,
        latencies: Arc<Mutex<Latencies>>,
        clock: Arc<dyn Clock>,
        plain: Arc<PlainCounter>,
        dedup: &Dedup,
    ) -> Self {
        tap.set_dedup(dedup);
        Self {
            tap,
            ledger,
            latencies,
            clock,
            plain,
            repeats: Repeats::new(dedup),
        }
    }

    /// Counts what comes as counts; all of it, or none with the number of the first that cannot be taken.
    pub(super) fn record(&self, counts: &[HandCount]) -> Result<TallyStats, (usize, HandError)> {
        let now = self.clock.now();
        let outcome = self.tap.record(counts, now)?;
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.absorb_into(&mut ledger, now);
        Ok(outcome.stats)
    }

    /// From now on by other settings.
    pub(super) fn set_dedup(&self, dedup: &Dedup) {
        self.tap.set_dedup(dedup);
        self.repeats.set(dedup);
    }

    fn tapped(&self, batch: &Batch) -> Result<Counted, Refusal> {
        let now = self.clock.now();
        let outcome = match batch.signal {
            Signal::Traces => self.tap.count(&batch.bytes, sender(batch), now, &self.ledger),
            Signal::Logs => self
                .tap
                .count_logs(&batch.bytes, sender(batch), now, &self.ledger),
            Signal::Metrics => return self.metrics(batch),
        };
        let outcome = outcome.map_err(|e| refusal(e, batch.signal))?;
        if !outcome.latencies.is_empty() {
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            latencies.absorb(now, &outcome.latencies);
        }
        Ok(Counted {
            items: outcome.summary.spans,
            rejected: outcome.summary.rejected,
        })
    }
}

impl Ingest {
    fn metrics(&self, batch: &Batch) -> Result<Counted, Refusal> {
        let now = self.clock.now();
        let absorb = |outcome: &TapOutcome| {
            if !outcome.series.is_empty() || !outcome.evidence.is_empty() {
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                outcome.absorb_into(&mut ledger, now);
            }
        };
        let outcome = self
            .tap
            .process_metrics(&batch.bytes, sender(batch), now, absorb)
            .map_err(|e| refusal(e, batch.signal))?;
        let watched = self.tap.watch_metrics(&batch.bytes, now);
        watched.map_err(|e| refusal(e, batch.signal))?;
        Ok(Counted {
            items: outcome.summary.spans,
            rejected: outcome.summary.rejected,
        })
    }
}

/// Who sent it, as far as a receiver asked.
fn sender(batch: &Batch) -> Sender<'_> {
    Sender {
        peer: batch.peer,
        identity: batch.metadata.as_ref().and_then(|it| it.identity.as_deref()),
    }
}

impl Count for Ingest {
    /// A body that came before is counted plainly: its items are taken, and go on, but are nobody's events.
    fn count(&self, batch: &Batch) -> Result<Counted, Refusal> {
        let peer = batch.peer.map(|peer| peer.ip());
        let now = self.clock.now();
        let Some(mark) = self.repeats.note(batch.signal, peer, &batch.bytes, now) else {
            let signal = batch.signal.as_str();
            metrics::counter!("burngate_dedup_repeated_requests_total", "signal" => signal).increment(1);
            return self.plain.count(batch);
        };
        self.tapped(batch).inspect_err(|_| self.repeats.forget(mark))
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
