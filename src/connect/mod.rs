//! Connectors: exporters of one pipeline that are receivers of another.
//!
//! `forward` hands a batch on as it is. `count` and `span_metrics` make metrics of what passes; they are
//! built over the pipelines that take these metrics, so that a refusal there is known here.

mod count;
mod forward;
mod key;
mod proto;
mod span_metrics;

use crate::config::Connector;
use crate::pipeline::{Batch, Consume, Consumed};
use crate::time::Clock;
use crate::wire::WalkLimits;
use count::Count;
use span_metrics::SpanMetrics;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

/// What connectors need of the gateway around them.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where `now` comes from.
    pub clock: Arc<dyn Clock>,
    /// Where state outlives a restart: the directory of `file_storage`, if that is on.
    pub storage: Option<PathBuf>,
    /// Caps on one request.
    pub limits: WalkLimits,
}

/// Why a connector cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `error_budget` is wired by the gateway.
    #[error("connector {id}: makes budgets, not telemetry")]
    NotTelemetry {
        /// Its name in the configuration.
        id: String,
    },
    /// A condition of `count` cannot be read.
    #[error("connector {id}: {place}: {reason}")]
    Condition {
        /// Its name in the configuration.
        id: String,
        /// Which metric.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A connector: takes the batches of the pipelines that name it as an exporter.
#[derive(Clone)]
pub struct Built {
    input: Arc<dyn Consume>,
    /// What has state, and flushes it.
    engine: Option<Arc<SpanMetrics>>,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Built")
    }
}

/// Builds one, whose output goes to `downstream`: for `forward` pipelines of the same signal, for the others
/// pipelines of metrics.
pub fn build(
    id: &str,
    connector: &Connector,
    downstream: Arc<dyn Consume>,
    context: &Context,
) -> Result<Built, ConnectError> {
    let mut engine = None;
    let input: Arc<dyn Consume> = match connector {
        Connector::ErrorBudget => return Err(ConnectError::NotTelemetry { id: id.to_owned() }),
        Connector::Forward => Arc::new(forward::Forward::new(downstream)),
        Connector::Count(config) => Arc::new(Count::new(id, config, downstream, context.clock.clone())?),
        Connector::SpanMetrics(config) => {
            let it = SpanMetrics::new(id, config, downstream, context);
            engine = Some(Arc::clone(&it));
            it
        }
    };
    Ok(Built { input, engine })
}

impl Built {
    /// What the feeding pipelines end in.
    pub fn input(&self) -> Arc<dyn Consume> {
        Arc::clone(&self.input)
    }

    /// Whether [`Self::run`] has anything to do.
    pub fn has_task(&self) -> bool {
        self.engine.is_some()
    }

    /// Flushes on the connector's own interval until `shutdown`, and once more then. Call it before the
    /// pipelines behind it drain.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        match &self.engine {
            Some(engine) => engine.run(shutdown).await,
            None => shutdown.await,
        }
    }

    /// Hands over now what was collected.
    pub async fn flush(&self) {
        if let Some(engine) = &self.engine {
            engine.flush().await;
        }
    }
}

impl Consume for Built {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        self.input.consume(batch)
    }
}
