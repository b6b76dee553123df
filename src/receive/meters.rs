//! What receivers count about themselves: `burngate_receiver_*`.
//!
//! Handles are looked up once, when a receiver starts, so a request costs a few atomic additions.

use super::failure::Failure;
use super::{Accepted, Signal};
use metrics::{Counter, counter, describe_counter, describe_gauge};

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

/// The counters of one transport.
pub(super) struct Meters {
    lanes: [Lane; 4],
}

/// The counters of one signal; the last lane is for requests that named none.
struct Lane {
    accepted_requests: Counter,
    partial_requests: Counter,
    accepted_items: Counter,
    rejected_items: Counter,
    accepted_bytes: Counter,
    refused: [Refused; Failure::REASONS.len()],
}

/// The counters of one reason.
struct Refused {
    requests: Counter,
    bytes: Counter,
}

impl Meters {
    /// Registers the counters of `transport`.
    pub(super) fn new(transport: Transport) -> Self {
        describe();
        let t = transport.label();
        Self {
            lanes: ["traces", "metrics", "logs", "none"].map(|signal| Lane::new(t, signal)),
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
    }

    /// A request was refused; `bytes` is as much as is known of its size.
    pub(super) fn refused(&self, signal: Option<Signal>, bytes: u64, failure: &Failure) {
        let reason = failure.reason();
        if let Some(at) = Failure::REASONS.iter().position(|r| *r == reason) {
            let refused = &self.lanes[lane(signal)].refused[at];
            refused.requests.increment(1);
            refused.bytes.increment(bytes);
        }
    }
}

impl Lane {
    fn new(t: &'static str, signal: &'static str) -> Self {
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
            refused: Failure::REASONS.map(|reason| Refused {
                requests: requests(reason),
                bytes: counter!(
                    "burngate_receiver_refused_bytes_total", "transport" => t, "signal" => signal, "reason" => reason
                ),
            }),
        }
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

fn describe() {
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
