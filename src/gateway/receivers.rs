//! The OTLP receivers: each door (gRPC, HTTP) is a service of its own, so that a change of one leaves the
//! other alone.

use super::graph::Graph;
use super::servers::{Change, Start};
use super::{GatewayError, Stage};
use crate::config::{Config, Named, OtlpReceiver};
use crate::pipeline::Signals;
use crate::receive::{self, Authenticators, Context, Gate};

/// The listeners of an OTLP receiver: `otlp/grpc` and `otlp/http`, or with its name in the middle.
pub(super) fn doors(id: &str) -> (String, String) {
    (format!("{id}/grpc"), format!("{id}/http"))
}

/// The signals that pipelines of the receiver `id` carry.
fn signals(config: &Config, id: &str) -> Signals {
    let configured = config.signals_of(|receiver| receiver == id);
    Signals {
        traces: configured.traces,
        metrics: configured.metrics,
        logs: configured.logs,
    }
}

impl Change<'_> {
    /// The doors of `receiver` that must be opened (anew). The socket of a door that only changes its
    /// settings stays.
    pub(super) fn receiver(
        &self,
        starts: &mut Vec<Start>,
        receiver: &Named<OtlpReceiver>,
        graph: &Graph,
        authenticators: &Authenticators,
    ) -> Result<(), GatewayError> {
        let (data, id) = (&self.planes.data, receiver.id.as_str());
        let signals = signals(self.config, id);
        let sink = graph.switch(id);
        let admission = self.core.admissions.of(id, &receiver.config.limits);
        let context = Context {
            reload: self.core.files.clone(),
            ..Context::new(id, admission)
        };
        let (grpc, http) = doors(id);
        let settings = |c: &Config| {
            let found = c.receivers.iter().find(|other| other.id == id)?;
            // Any extension may be its authenticator.
            let shared = (
                found.config.limits.clone(),
                self::signals(c, id),
                c.extensions.clone(),
            );
            Some((found.config.grpc.clone(), found.config.http.clone(), shared))
        };
        if let Some(config) = receiver.config.grpc.clone()
            && !self.stays(&grpc, |c| settings(c).map(|(grpc, _, shared)| (grpc, shared)))
            && let Some(listener) = self.lend(&grpc, data)?
        {
            let gate = Gate::grpc(&config, authenticators).map_err(|e| GatewayError::gate(&grpc, e))?;
            let (context, sink) = (context.clone().behind(gate), sink.clone());
            starts.push(Start::that_knows(
                grpc,
                data,
                Stage::Draining,
                move |ending| async move {
                    receive::serve_grpc(listener, &config, context, sink, signals, ending).await;
                },
            ));
        }
        if let Some(config) = receiver.config.http.clone()
            && !self.stays(&http, |c| settings(c).map(|(_, http, shared)| (http, shared)))
            && let Some(listener) = self.lend(&http, data)?
        {
            let gate = Gate::http(&config, authenticators).map_err(|e| GatewayError::gate(&http, e))?;
            let context = context.behind(gate);
            starts.push(Start::that_knows(
                http,
                data,
                Stage::Draining,
                move |ending| async move {
                    receive::serve_http(listener, &config, context, sink, signals, ending).await;
                },
            ));
        }
        Ok(())
    }
}
