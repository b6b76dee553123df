//! What receivers count about themselves: `burngate_receiver_*`, and `otelcol_receiver_*` under the names and
//! with the meaning that they have in the Collector: `refused` is what the pipeline did not take, `failed`
//! what was lost by a defect here. Items can only be counted of a request that has been read.
//!
//! Handles are looked up once, when a receiver starts, so a request costs a few atomic additions.

use super::failure::Failure;
use super::{Accepted, Signal};
use metrics::{Counter, counter, describe_counter, describe_gauge};
use std::sync::Arc;

/// Which receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP.
    Http,
}

impl Transport {
    /// Its label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// The counters of one receiver and transport.
pub(super) struct Meters {
    lanes: [Lane; 4],
    outcomes: Outcomes<Counter>,
}

/// What became of requests or items, in the Collector's words.
struct Outcomes<T> {
    accepted: T,
    refused: T,
    failed: T,
}

/// The counters of one signal; the last lane is for requests that named none.
struct Lane {
    accepted_requests: Counter,
    partial_requests: Counter,
    accepted_items: Counter,
    rejected_items: Counter,
    accepted_bytes: Counter,
    refused: [Refused; Failure::REASONS.len()],
    items: Outcomes<Counter>,
}

/// The counters of one reason.
struct Refused {
    requests: Counter,
    bytes: Counter,
}

impl Meters {
    /// Registers the counters of the receiver `id`.
    pub(super) fn new(id: &Arc<str>, transport: Transport) -> Self {
        describe();
        let t = transport.label();
        let requests = |outcome: &'static str| {
            counter!(
                "otelcol_receiver_requests",
                "receiver" => id.clone(), "transport" => t, "outcome" => outcome
            )
        };
        Self {
            lanes: ["traces", "metrics", "logs", "none"].map(|signal| Lane::new(id, t, signal)),
            outcomes: Outcomes {
                accepted: requests("success"),
                refused: requests("refused"),
                failed: requests("failure"),
            },
        }
    }

    /// A batch was taken.
    pub(super) fn accepted(&self, signal: Signal, bytes: u64, accepted: &Accepted) {
        let lane = &self.lanes[lane(Some(signal))];
        let requests = if accepted.rejected == 0 {
            &lane.accepted_requests
        } else {
            &lane.partial_requests
        };
        requests.increment(1);
        lane.accepted_items.increment(accepted.items);
        lane.rejected_items.increment(accepted.rejected);
        lane.accepted_bytes.increment(bytes);
        lane.items.accepted.increment(accepted.items);
        lane.items.refused.increment(accepted.rejected);
        self.outcomes.accepted.increment(1);
    }

    /// A request was refused; `bytes` is as much as is known of its size.
    pub(super) fn refused(&self, signal: Option<Signal>, bytes: u64, failure: &Failure) {
        let reason = failure.reason();
        if let Some(at) = Failure::REASONS.iter().position(|r| *r == reason) {
            let refused = &self.lanes[lane(signal)].refused[at];
            refused.requests.increment(1);
            refused.bytes.increment(bytes);
        }
        if matches!(failure, Failure::Panicked) {
            self.outcomes.failed.increment(1);
        } else {
            self.outcomes.refused.increment(1);
        }
    }

    /// Items of a request that was read and not taken.
    pub(super) fn not_taken(&self, signal: Signal, items: u64, failure: &Failure) {
        let lane = &self.lanes[lane(Some(signal))].items;
        if matches!(failure, Failure::Panicked) {
            lane.failed.increment(items);
        } else {
            lane.refused.increment(items);
        }
    }
}

impl Lane {
    fn new(id: &Arc<str>, t: &'static str, signal: &'static str) -> Self {
        let requests = |outcome: &'static str| {
            counter!(
                "burngate_receiver_requests_total", "transport" => t, "signal" => signal, "outcome" => outcome
            )
        };
        Self {
            accepted_requests: requests("accepted"),
            partial_requests: requests("partial"),
            accepted_items: counter!("burngate_receiver_accepted_items_total", "transport" => t, "signal" => signal),
            rejected_items: counter!("burngate_receiver_rejected_items_total", "transport" => t, "signal" => signal),
            accepted_bytes: counter!("burngate_receiver_accepted_bytes_total", "transport" => t, "signal" => signal),
            items: items(id, t, signal),
            refused: Failure::REASONS.map(|reason| Refused {
                requests: requests(reason),
                bytes: counter!(
                    "burngate_receiver_refused_bytes_total", "transport" => t, "signal" => signal, "reason" => reason
                ),
            }),
        }
    }
}

/// The Collector's counters of a signal's items.
fn items(id: &Arc<str>, t: &'static str, signal: &'static str) -> Outcomes<Counter> {
    macro_rules! counters {
        ($what:literal) => {
            Outcomes {
                accepted: counter!(
                    concat!("otelcol_receiver_accepted_", $what), "receiver" => id.clone(), "transport" => t
                ),
                refused: counter!(
                    concat!("otelcol_receiver_refused_", $what), "receiver" => id.clone(), "transport" => t
                ),
                failed: counter!(
                    concat!("otelcol_receiver_failed_", $what), "receiver" => id.clone(), "transport" => t
                ),
            }
        };
    }
    match signal {
        "traces" => counters!("spans"),
        "metrics" => counters!("metric_points"),
        "logs" => counters!("log_records"),
        _ => Outcomes {
            accepted: Counter::noop(),
            refused: Counter::noop(),
            failed: Counter::noop(),
        },
    }
}

const fn lane(signal: Option<Signal>) -> usize {
    match signal {
        Some(Signal::Traces) => 0,
        Some(Signal::Metrics) => 1,
        Some(Signal::Logs) => 2,
        None => 3,
    }
}

/// The Collector's own words.
const OTELCOL: [(&str, &str); 10] = [
    (
        "otelcol_receiver_accepted_spans",
        "Number of spans successfully pushed into the pipeline.",
    ),
    (
        "otelcol_receiver_accepted_metric_points",
        "Number of metric points successfully pushed into the pipeline.",
    ),
    (
        "otelcol_receiver_accepted_log_records",
        "Number of log records successfully pushed into the pipeline.",
    ),
    (
        "otelcol_receiver_refused_spans",
        "Number of spans that could not be pushed into the pipeline.",
    ),
    (
        "otelcol_receiver_refused_metric_points",
        "Number of metric points that could not be pushed into the pipeline.",
    ),
    (
        "otelcol_receiver_refused_log_records",
        "Number of log records that could not be pushed into the pipeline.",
    ),
    (
        "otelcol_receiver_failed_spans",
        "Number of spans that failed to be processed by the receiver due to internal errors.",
    ),
    (
        "otelcol_receiver_failed_metric_points",
        "Number of metric points that failed to be processed by the receiver due to internal errors.",
    ),
    (
        "otelcol_receiver_failed_log_records",
        "Number of log records that failed to be processed by the receiver due to internal errors.",
    ),
    ("otelcol_receiver_requests", "Number of requests, by outcome."),
];

fn describe() {
    for (name, help) in OTELCOL {
        describe_counter!(name, help);
    }
    describe_counter!(
        "burngate_receiver_requests_total",
        "Requests by outcome: accepted, partial, or why refused."
    );
    describe_counter!(
        "burngate_receiver_accepted_items_total",
        "Spans, data points and log records taken."
    );
    describe_counter!(
        "burngate_receiver_rejected_items_total",
        "Items rejected one by one (partial success)."
    );
    describe_counter!(
        "burngate_receiver_accepted_bytes_total",
        "Protobuf bytes of batches taken."
    );
    describe_counter!(
        "burngate_receiver_refused_bytes_total",
        "Bytes known of refused requests, by reason."
    );
    describe_gauge!(
        "burngate_receiver_in_flight_bytes",
        "Bytes charged to requests in flight."
    );
    describe_gauge!("burngate_receiver_connections", "Open connections.");
    describe_counter!("burngate_receiver_connections_total", "Connections accepted.");
    describe_counter!(
        "burngate_receiver_connections_cut_total",
        "Connections closed by the receiver, by reason."
    );
    describe_counter!("burngate_receiver_accept_errors_total", "Failed accept calls.");
    describe_counter!(
        "burngate_receiver_file_reloads_total",
        "Certificates and credentials read again because they changed, by outcome."
    );
}
