//! Where receivers end: the tap counts the bytes, the ledger takes the counts, the sender gets its answer.

use crate::ledger::{Ledger, Tap};
use crate::receive::{Accepted, Batch, Consume, Refusal, Signal};
use crate::time::Clock;
use crate::wire::{ItemSummary, WalkError, WalkLimits, count_log_records, count_metric_points};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Consumes batches on the receivers' threads, synchronously: one walk, one short lock.
pub(super) struct Ingest {
    tap: Arc<Tap>,
    ledger: Arc<Mutex<Ledger>>,
    clock: Arc<dyn Clock>,
    limits: WalkLimits,
}

impl Ingest {
    pub(super) fn new(
        tap: Arc<Tap>,
        ledger: Arc<Mutex<Ledger>>,
        clock: Arc<dyn Clock>,
        limits: WalkLimits,
    ) -> Self {
        Self {
            tap,
            ledger,
            clock,
            limits,
        }
    }

    fn traces(&self, batch: &Batch) -> Result<Accepted, Refusal> {
        let now = self.clock.now();
        let outcome = self
            .tap
            .process(&batch.bytes, batch.peer, now)
            .map_err(|e| refusal(e, batch.signal))?;
        if !outcome.series.is_empty() || !outcome.evidence.is_empty() {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.absorb(now, &outcome.series, &outcome.evidence);
        }
        let rejected = outcome.summary.rejected;
        Ok(accepted(outcome.summary.spans, rejected, "spans"))
    }
}

impl Consume for Ingest {
    fn consume(&self, batch: Batch) -> Result<Accepted, Refusal> {
        let counted = match batch.signal {
            Signal::Traces => return self.traces(&batch),
            Signal::Metrics => count_metric_points(&batch.bytes, &self.limits).map(|s| (s, "data points")),
            Signal::Logs => count_log_records(&batch.bytes, &self.limits).map(|s| (s, "log records")),
        };
        let (ItemSummary { items, rejected }, what) = counted.map_err(|e| refusal(e, batch.signal))?;
        Ok(accepted(items, rejected, what))
    }
}

fn accepted(items: u64, rejected: u64, what: &str) -> Accepted {
    let message = match rejected {
        0 => Cow::Borrowed(""),
        n => Cow::Owned(format!(
            "{n} of {items} {what} have a trace id that is not 16 bytes or a span id that is not 8"
        )),
    };
    Accepted {
        items: items.saturating_sub(rejected),
        rejected,
        message,
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
