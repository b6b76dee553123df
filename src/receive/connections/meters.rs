//! What is counted of connections.

use crate::receive::intake::Intake;
use metrics::{Counter, Gauge, counter, gauge};
use std::sync::Arc;

/// The counters of one receiver.
#[derive(Clone)]
pub(super) struct Meters {
    id: Arc<str>,
    transport: &'static str,
    open: Gauge,
    accepted: Counter,
    pub(super) accept_errors: Counter,
}

impl Meters {
    pub(super) fn new(intake: &Intake) -> Self {
        let (id, transport) = (Arc::clone(&intake.id), intake.transport.label());
        Self {
            transport,
            open: gauge!("burngate_receiver_connections", "receiver" => id.clone(), "transport" => transport),
            accepted: counter!(
                "burngate_receiver_connections_total", "receiver" => id.clone(), "transport" => transport
            ),
            accept_errors: counter!(
                "burngate_receiver_accept_errors_total", "receiver" => id.clone(), "transport" => transport
            ),
            id,
        }
    }

    pub(super) fn open(&self) -> Open {
        self.accepted.increment(1);
        self.open.increment(1.0);
        Open(self.open.clone())
    }

    /// A connection was ended by us.
    pub(super) fn cut(&self, reason: &'static str) {
        let (id, transport) = (self.id.clone(), self.transport);
        counter!(
            "burngate_receiver_connections_cut_total", "receiver" => id, "transport" => transport, "reason" => reason
        )
        .increment(1);
    }

    /// Files were read again.
    pub(super) fn reloaded(&self, outcome: &'static str) {
        let (id, transport) = (self.id.clone(), self.transport);
        counter!(
            "burngate_receiver_file_reloads_total",
            "receiver" => id, "transport" => transport, "outcome" => outcome
        )
        .increment(1);
    }
}

/// Counts a connection as open while it lives.
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
