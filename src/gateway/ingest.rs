//! Where receivers end: the tap counts the bytes, the ledger takes the counts, the sender gets its answer.

use crate::ledger::{Ledger, Tap, TapOutcome};
use crate::receive::{Accepted, Batch, Consume, Refusal, Signal};
use crate::time::Clock;
use crate::wire::{ItemSummary, WalkError, WalkLimits, count_log_records, count_metric_points};
use metrics::{Counter, counter};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Consumes batches on the receivers' threads, synchronously: one walk, one short lock.
pub(super) struct Ingest {
    tap: Arc<Tap>,
    ledger: Arc<Mutex<Ledger>>,
    clock: Arc<dyn Clock>,
    limits: WalkLimits,
    meters: Meters,
}

/// What the tap had to count otherwise than the span said.
struct Meters {
    late: Counter,
    future: Counter,
    invalid_duration: Counter,
    excess: Counter,
}

impl Ingest {
    pub(super) fn new(
        tap: Arc<Tap>,
        ledger: Arc<Mutex<Ledger>>,
        clock: Arc<dyn Clock>,
        limits: WalkLimits,
    ) -> Self {
        let moved = |reason| counter!("burngate_tap_rebucketed_spans_total", "reason" => reason);
        let meters = Meters {
            late: moved("late"),
            future: moved("future"),
            invalid_duration: counter!("burngate_tap_invalid_durations_total"),
            excess: counter!("burngate_tap_excess_attributes_total"),
        };
        Self { tap, ledger, clock, limits, meters }
    }

    fn traces(&self, batch: &Batch) -> Result<Accepted, Refusal> {
        let now = self.clock.now();
        let outcome = self.tap.process(&batch.bytes, batch.peer, now).map_err(|e| refusal(e, batch.signal))?;
        if !outcome.series.is_empty() || !outcome.evidence.is_empty() {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.absorb(now, &outcome.series, &outcome.evidence);
        }
        self.meters.count(&outcome);
        let rejected = outcome.summary.rejected;
        Ok(accepted(outcome.summary.spans, rejected, "spans"))
    }
}

impl Meters {
    fn count(&self, outcome: &TapOutcome) {
        // Counters are atomics shared by all threads: only touched when there is something to say.
        for (meter, count) in [
            (&self.late, outcome.stats.late),
            (&self.future, outcome.stats.future),
            (&self.invalid_duration, outcome.stats.invalid_durations),
            (&self.excess, outcome.summary.excess),
        ] {
            if count > 0 {
                meter.increment(count);
            }
        }
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
        n => Cow::Owned(format!("{n} of {items} {what} have a trace id that is not 16 bytes or a span id that is not 8")),
    };
    Accepted { items: items.saturating_sub(rejected), rejected, message }
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
