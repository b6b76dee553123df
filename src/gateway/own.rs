//! burngate's own metrics: a listener a reader (`:8888`, where operators look for a Collector's), and pushes.

use super::listeners::Wanted;
use super::servers::{Change, Start};
use super::{GatewayError, Stage};
use crate::config::{Config, PullReader};
use crate::telemetry::{self, MetricsPush, OwnResource};

/// The readers that listen, each with the name of its listener.
fn readers(config: &Config) -> Vec<(String, &PullReader)> {
    let named = |(nth, reader)| {
        let name = match nth {
            0 => "telemetry".to_owned(),
            nth => format!("telemetry/{}", nth + 1),
        };
        (name, reader)
    };
    config
        .telemetry
        .metrics
        .pull
        .iter()
        .enumerate()
        .map(named)
        .collect()
}

/// Where they want to listen.
pub(super) fn wanted(config: &Config, wanted: &mut Wanted) {
    for (name, reader) in readers(config) {
        wanted.insert(name, reader.endpoint.into());
    }
}

/// Whether the listener `name` is one that nobody asked for: where its port is taken, that is no reason not
/// to start.
pub(super) fn is_optional(config: &Config, name: &str) -> bool {
    readers(config)
        .iter()
        .any(|(of, reader)| of == name && reader.implicit)
}

impl Change<'_> {
    /// Those that must be started (anew).
    pub(super) fn own_metrics(&self, starts: &mut Vec<Start>) -> Result<(), GatewayError> {
        let resource = OwnResource::new(&self.config.telemetry.resource);
        for (name, reader) in readers(self.config) {
            let same = |c: &Config| (c.telemetry.metrics.clone(), c.telemetry.resource.clone());
            if !self.stays(&name, same) {
                let router = telemetry::self_metrics_router(telemetry::metrics_handle(), reader, &resource);
                self.serve(starts, &name, router)?;
            }
        }
        for (nth, push) in self.config.telemetry.metrics.push.iter().enumerate() {
            let kept = |former: &Config| {
                former.telemetry.metrics.push.get(nth) == Some(push)
                    && former.telemetry.resource == self.config.telemetry.resource
            };
            if self.former.is_some_and(kept) {
                continue;
            }
            let push = MetricsPush::new(push, telemetry::metrics_handle(), &resource)?;
            let name = push_name(nth);
            starts.push(Start::new(name, &self.planes.control, Stage::Closing, |ending| {
                push.run(ending)
            }));
        }
        Ok(())
    }
}

/// The name of the service that pushes to the reader `nth`.
pub(super) fn push_name(nth: usize) -> String {
    format!("push {nth}")
}
