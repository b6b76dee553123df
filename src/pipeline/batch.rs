//! What flows: one request's protobuf bytes, and what is known about it.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The three OTLP signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// As pipelines are named: `traces`, `metrics`, `logs`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What its items are called in the Collector's own metrics: `spans`, `metric_points`, `log_records`.
    pub const fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "metric_points",
            Self::Logs => "log_records",
        }
    }
}

/// Which signals have a pipeline behind them; the others are not there (UNIMPLEMENTED, 404).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Spans.
    pub traces: bool,
    /// Data points.
    pub metrics: bool,
    /// Log records.
    pub logs: bool,
}

impl Signals {
    /// All three.
    pub const ALL: Self = Self {
        traces: true,
        metrics: true,
        logs: true,
    };

    /// Whether `signal` is among them.
    pub const fn has(self, signal: Signal) -> bool {
        match signal {
            Signal::Traces => self.traces,
            Signal::Metrics => self.metrics,
            Signal::Logs => self.logs,
        }
    }
}

/// What a client said about itself: request headers (gRPC metadata) in lower case, kept only where the
/// receiver says `include_metadata: true`. A header may come more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientMetadata {
    /// Name in lower case, value; in the order of the request.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Who the receiver's authenticator says that the client is.
    pub identity: Option<Box<str>>,
}

impl ClientMetadata {
    /// The values of `name` (any case), in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = |header: &&(Box<str>, Box<str>)| header.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|(_, value)| value.as_ref())
    }
}

/// How a pipeline's `batch` processor wants batches to leave: a wish to the queues of its exporters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Name of the processor, such as `batch` or `batch/large`; batches of different processors do not merge.
    pub id: Arc<str>,
    /// Items from which a batch leaves at once (`send_batch_size`).
    pub min_items: u64,
    /// Items that a batch may have, larger ones are split; 0 is without limit (`send_batch_max_size`).
    pub max_items: u64,
    /// Time that the first of a batch waits for others (`timeout`).
    pub timeout: Duration,
    /// Client metadata whose values must be equal within a batch (`metadata_keys`), in lower case.
    pub metadata_keys: Vec<Box<str>>,
    /// Distinct sets of those values at once; more share one (`metadata_cardinality_limit`).
    pub metadata_cardinality_limit: usize,
}

/// One request: its protobuf bytes, whatever encoding it came in. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it carries.
    pub signal: Signal,
    /// The Export*ServiceRequest.
    pub bytes: Bytes,
    /// Spans, data points or log records in it; `None` until a pipeline has counted them.
    pub items: Option<u64>,
    /// Who sent it; `None` for a local peer without an address.
    pub peer: Option<SocketAddr>,
    /// What the client said about itself, where the receiver keeps it.
    pub metadata: Option<Arc<ClientMetadata>>,
    /// How the last pipeline wants it to be batched; `None` leaves it as it is.
    pub batching: Option<Arc<Batching>>,
}

impl Batch {
    /// A batch of nobody in particular.
    pub const fn new(signal: Signal, bytes: Bytes) -> Self {
        Self {
            signal,
            bytes,
            items: None,
            peer: None,
            metadata: None,
            batching: None,
        }
    }

    /// The same batch with other bytes, whose items must be counted again.
    pub fn with_bytes(self, bytes: Bytes) -> Self {
        Self {
            bytes,
            items: None,
            ..self
        }
    }

    /// Whether both share one buffer: nobody edited either.
    pub fn same_bytes(&self, other: &Self) -> bool {
        std::ptr::eq(self.bytes.as_ref(), other.bytes.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_found_in_any_case_and_in_order() {
        let header = |name: &str, value: &str| (name.into(), value.into());
        let metadata = ClientMetadata {
            headers: vec![
                header("x-tenant", "a"),
                header("other", "x"),
                header("x-tenant", "b"),
            ],
            identity: None,
        };
        assert_eq!(metadata.values("X-Tenant").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(metadata.values("absent").count(), 0);
    }

    #[test]
    fn a_clone_shares_its_bytes_and_an_edit_does_not() {
        let batch = Batch::new(Signal::Traces, Bytes::from_static(b"abc"));
        assert!(batch.same_bytes(&batch.clone()));
        let edited = batch.clone().with_bytes(Bytes::from(b"abc".to_vec()));
        assert!(!batch.same_bytes(&edited));
    }
}
