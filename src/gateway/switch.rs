//! Where receivers end: the pipelines of their signal, as the current configuration has them.
//!
//! A reload builds a new set and swaps the pointer; requests under way finish with the set they began with,
//! which lives as long as they do. Rejected: a lock around the pipelines, because a slow exporter would hold
//! it.

use crate::pipeline::{Batch, Consume, Consumed, FanOut, Refusal, Signal};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The pipelines of one receiver, a fan-out a signal.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) traces: FanOut,
    pub(super) metrics: FanOut,
    pub(super) logs: FanOut,
}

impl Lanes {
    fn of(&self, signal: Signal) -> &FanOut {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }
}

/// The lanes that are in use now.
#[derive(Debug, Default)]
pub(super) struct Switch(ArcSwap<Lanes>);

impl Switch {
    /// Requests go through `lanes` from now on.
    pub(super) fn turn(&self, lanes: Lanes) {
        self.0.store(Arc::new(lanes));
    }
}

impl Consume for Switch {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let lanes = self.0.load_full();
        Box::pin(async move {
            let lane = lanes.of(batch.signal);
            if lane.is_empty() {
                let message = "this signal has no pipeline here";
                return Err(Refusal::Downstream {
                    code: tonic::Code::Unimplemented,
                    message: message.into(),
                    retry_after: None,
                });
            }
            lane.consume(batch).await
        })
    }
}
