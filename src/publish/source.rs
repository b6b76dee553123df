//! Budgets as a receiver of metric pipelines: OTLP batches on an interval, for any processor and exporter.
//!
//! The `prometheus` exporter shows budgets without this, and `otlp_*` exporters push them with the SDK; all
//! other ways go through here. The message is made by the official transform, on the control plane.

use super::instruments::Instruments;
use crate::pipeline::{Batch, Consume, Signal};
use crate::policy::Board;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Series of one metric; what lies beyond is left out and counted.
const CARDINALITY_LIMIT: usize = 100_000;

/// Turns the board into batches of metrics.
pub struct BudgetSource {
    interval: Duration,
    instruments: Instruments,
    downstream: Arc<dyn Consume>,
}

impl std::fmt::Debug for BudgetSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BudgetSource")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl BudgetSource {
    /// Hands the budgets on `board` to `downstream` every `interval`.
    pub fn new(board: Arc<Board>, interval: Duration, downstream: Arc<dyn Consume>) -> Self {
        Self {
            interval,
            instruments: Instruments::new(board, CARDINALITY_LIMIT),
            downstream,
        }
    }

    /// Hands over until `shutdown`, and once more then.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut timer = tokio::time::interval(self.interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut healthy = true;
        loop {
            tokio::select! {
                _ = timer.tick() => self.hand_over(&mut healthy).await,
                () = &mut shutdown => break,
            }
        }
        self.hand_over(&mut healthy).await;
    }

    async fn hand_over(&self, healthy: &mut bool) {
        let result = match self.batch() {
            Ok(None) => return,
            Ok(Some(batch)) => match self.downstream.consume(batch).await {
                Ok(_) => Ok(()),
                Err(refusal) => Err(refusal.to_string()),
            },
            Err(reason) => Err(reason),
        };
        match &result {
            Ok(()) if !*healthy => tracing::info!("budget metrics reach their pipelines again"),
            Err(reason) if *healthy => {
                tracing::warn!(%reason, "budget metrics do not reach their pipelines; tries again every interval");
            }
            Ok(()) | Err(_) => {}
        }
        *healthy = result.is_ok();
    }

    /// All budgets as one batch; none while there are none.
    fn batch(&self) -> Result<Option<Batch>, String> {
        let (collected, omitted) = self.instruments.collect()?;
        metrics::gauge!("burngate_publish_otlp_omitted", "exporter" => "(pipelines)").set(omitted as f64);
        let request = ExportMetricsServiceRequest::from(&collected);
        let is_empty = request
            .resource_metrics
            .iter()
            .all(|resource| resource.scope_metrics.is_empty());
        Ok((!is_empty).then(|| Batch::new(Signal::Metrics, request.encode_to_vec().into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cohort::Level;
    use crate::pipeline::{Accepted, Consumed};
    use crate::publish::testing::{T0, World};
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Batch>>);

    impl Consume for Kept {
        fn consume(&self, batch: Batch) -> Consumed<'_> {
            self.0.lock().unwrap().push(batch);
            Box::pin(async { Ok(Accepted::all(0)) })
        }
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
    async fn budgets_leave_as_otlp_metrics_and_once_more_at_the_end() {
        let mut world = World::new();
        world.count(T0, Level::Total, 9, 1);
        world.tick(T0.plus_secs(10));
        let kept = Arc::new(Kept::default());
        let source = BudgetSource::new(world.board().clone(), Duration::from_hours(1), kept.clone());
        source.run(async {}).await;
        let batches = std::mem::take(&mut *kept.0.lock().unwrap());
        let last = batches.last().unwrap();
        let request = ExportMetricsServiceRequest::decode(&*last.bytes).unwrap();
        let names: Vec<_> = request.resource_metrics[0].scope_metrics[0]
            .metrics
            .iter()
            .map(|it| it.name.clone())
            .collect();
        assert!(
            names.contains(&"slo_burn_rate".to_owned()) && names.contains(&"slo_events_total".to_owned()),
            "{names:?}"
        );
    }

    #[tokio::test]
    async fn without_budgets_nothing_leaves() {
        let world = World::new();
        let kept = Arc::new(Kept::default());
        BudgetSource::new(world.board().clone(), Duration::from_hours(1), kept.clone())
            .run(async {})
            .await;
        assert!(kept.0.lock().unwrap().is_empty());
    }
}
