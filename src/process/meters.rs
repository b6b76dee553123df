//! What processors count, under the names that operators already watch.

use crate::pipeline::Signal;
use metrics::{Counter, counter, describe_counter, describe_gauge};

/// The counters of one processor, by signal.
#[derive(Clone, Debug)]
pub(super) struct Meters {
    lanes: [Lane; 3],
}

#[derive(Clone, Debug)]
struct Lane {
    incoming: Counter,
    outgoing: Counter,
    dropped: Counter,
    errors: Counter,
}

impl Meters {
    pub(super) fn new(id: &str) -> Self {
        describe();
        Self {
            lanes: Signal::ALL.map(|signal| Lane::new(id, signal.as_str())),
        }
    }

    /// A batch went through, and so many items of it were taken out. The rest is counted where the number is
    /// known: a processor before the tap does not count for this alone.
    pub(super) fn passed(&self, signal: Signal, incoming: Option<u64>, dropped: u64) {
        let lane = self.lane(signal);
        if let Some(incoming) = incoming {
            lane.incoming.increment(incoming);
            lane.outgoing.increment(incoming.saturating_sub(dropped));
        }
        if dropped > 0 {
            lane.dropped.increment(dropped);
        }
    }

    /// Conditions or statements that could not be carried out.
    pub(super) fn failed(&self, signal: Signal, times: u64) {
        if times > 0 {
            self.lane(signal).errors.increment(times);
        }
    }

    fn lane(&self, signal: Signal) -> &Lane {
        let [traces, metrics, logs] = &self.lanes;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }
}

impl Lane {
    fn new(id: &str, signal: &'static str) -> Self {
        let id = id.to_owned();
        Self {
            incoming: counter!(
                "otelcol_processor_incoming_items", "processor" => id.clone(), "otel_signal" => signal
            ),
            outgoing: counter!(
                "otelcol_processor_outgoing_items", "processor" => id.clone(), "otel_signal" => signal
            ),
            dropped: counter!(
                "burngate_processor_dropped_items_total", "processor" => id.clone(), "signal" => signal
            ),
            errors: counter!(
                "burngate_processor_errors_total", "processor" => id, "signal" => signal
            ),
        }
    }
}

/// Items that `memory_limiter` refused, by signal; the unit is part of the Collector's name.
pub(super) fn refused(id: &str, signal: Signal) -> Counter {
    let id = id.to_owned();
    match signal {
        Signal::Traces => counter!("otelcol_processor_refused_spans", "processor" => id),
        Signal::Metrics => counter!("otelcol_processor_refused_metric_points", "processor" => id),
        Signal::Logs => counter!("otelcol_processor_refused_log_records", "processor" => id),
    }
}

fn describe() {
    describe_counter!(
        "otelcol_processor_incoming_items",
        "Items that came to a processor, where their number was known."
    );
    describe_counter!(
        "otelcol_processor_outgoing_items",
        "Items that a processor passed on, where their number was known."
    );
    describe_counter!(
        "burngate_processor_dropped_items_total",
        "Items that a processor took out: filtered or not sampled."
    );
    describe_counter!(
        "burngate_processor_errors_total",
        "Conditions and statements that could not be carried out."
    );
}

/// What `memory_limiter` shows.
pub(super) fn describe_limiter() {
    describe_counter!(
        "otelcol_processor_refused_spans",
        "Spans that memory_limiter refused."
    );
    describe_counter!(
        "otelcol_processor_refused_metric_points",
        "Data points that memory_limiter refused."
    );
    describe_counter!(
        "otelcol_processor_refused_log_records",
        "Log records that memory_limiter refused."
    );
    describe_gauge!(
        "burngate_memory_limiter_limit_bytes",
        "Bytes from which memory_limiter refuses: the limit without the spike."
    );
    describe_gauge!(
        "burngate_memory_limiter_used_bytes",
        "Bytes at the last look: resident, or held by queues and requests."
    );
}
