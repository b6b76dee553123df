//! Where receivers end: the pipelines of their signal, as the current configuration has them.
//!
//! A reload builds a new set and swaps the pointer; requests under way finish with the set they began with,
//! which lives as long as they do. So what the old set leads to may end only once nobody is on the way to
//! it: an exporter that goes away sooner refuses a batch that has been counted. Rejected: a lock around the
//! pipelines, because a slow exporter would hold it.

use crate::pipeline::{Batch, Consume, Consumed, FanOut, Refusal, Signal};
use arc_swap::ArcSwap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A request that takes longer than this finds its exporter closed.
const GONE_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

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
    /// Requests go through `lanes` from now on; those under way are still on the former ones.
    pub(super) fn turn(&self, lanes: Lanes, former: &mut Former) {
        former.0.push(Arc::downgrade(&self.0.swap(Arc::new(lanes))));
    }
}

/// Lanes that nothing new goes through.
#[derive(Clone, Debug, Default)]
pub(super) struct Former(Vec<Weak<Lanes>>);

impl Former {
    /// Resolves when the last request has left them.
    pub(super) async fn left(self) {
        let deadline = Instant::now() + GONE_WITHIN;
        while self.0.iter().any(|lanes| lanes.strong_count() > 0) && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn former_lanes_are_left_when_the_last_request_on_them_is_done() {
        let switch = Switch::default();
        let under_way = switch.0.load_full();
        let mut former = Former::default();
        switch.turn(Lanes::default(), &mut former);
        let next = switch.0.load_full();
        let mut left = Box::pin(former.left());
        sleep(Duration::from_secs(30)).await;
        assert_eq!(left.as_mut().now_or_never(), None, "a request is on its way");
        drop(under_way);
        left.await;
        drop(next);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_does_not_keep_an_exporter_for_ever() {
        let switch = Switch::default();
        let _under_way = switch.0.load_full();
        let mut former = Former::default();
        switch.turn(Lanes::default(), &mut former);
        former.left().await;
    }
}
