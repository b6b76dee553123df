//! From the configuration's graph to pipelines that run.

use super::ingest::{Ingest, PlainCounter};
use super::switch::Lanes;
use crate::config::Config;
use crate::pipeline::{Exits, FanOut, Pipeline, Signal};
use std::sync::Arc;

/// The pipelines of the configuration's receiver.
pub(super) fn lanes(config: &Config, ingest: &Arc<Ingest>, plain: &Arc<PlainCounter>) -> Lanes {
    let lane = |signal: Signal, on: bool| {
        if !on {
            return FanOut::default();
        }
        let mut pipeline = Pipeline::new(signal.as_str(), signal, plain.clone(), Exits::default());
        pipeline.set_tap(ingest.clone());
        FanOut::new(vec![Arc::new(pipeline)])
    };
    Lanes {
        traces: lane(Signal::Traces, config.signals.traces),
        metrics: lane(Signal::Metrics, config.signals.metrics),
        logs: lane(Signal::Logs, config.signals.logs),
    }
}
