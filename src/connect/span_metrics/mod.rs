//! `span_metrics` (alias `spanmetrics`): calls and durations of spans as metrics.
//!
//! The metrics, names and dimensions of the Collector's connector of the same name, so that dashboards go on,
//! without what its users run into:
//!
//! * identity is typed and positional (see [`key`]), so a dimension that is missing never looks like another;
//! * spans of a resource without `service.name` count, under `unknown_service`;
//! * resources are not kept apart unless that is asked for, so two pods of a service are one series and a
//!   changing process id does not begin counters anew; a series that is idle leaves by itself;
//! * a series begins at the flush before its first span, so that its rate is right; counters go on over a
//!   restart where there is a `file_storage`;
//! * weights of sampled spans are added up exactly (see `exact`);
//! * series are spread over locks which a batch takes once each, and a span of a known series allocates
//!   nothing.
//!
//! ```text
//! batch -> walk -> keys and durations in scratch -> one lock a shard -> series
//! every metrics_flush_interval: series -> OTLP metrics -> the pipelines that name the connector as a
//!   receiver
//! ```

mod emit;
mod exact;
mod exponential;
mod gather;
mod persist;
mod plan;
mod resources;
mod series;
mod state;

use super::{Context, key};
use crate::config::SpanMetricsConnector;
use crate::pipeline::{Accepted, Batch, Consume, Consumed, Refusal, Signal};
use crate::time::{Clock, UnixNanos};
use crate::wire::{WalkError, WalkLimits, walk_traces};
use emit::{Emitter, Request};
use gather::{Gather, Scratch};
use persist::Image;
use plan::Plan;
use resources::Resources;
use series::Series;
use state::{Limits, State};
use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Requests of deltas that are kept while the pipelines behind refuse; a cumulative one is told anew anyhow.
const PENDING_MAX: usize = 256;
/// Scratches that wait for a batch: as many as batches come at once, within reason.
const SCRATCHES_MAX: usize = 32;

/// One connector.
pub(super) struct SpanMetrics {
    id: Arc<str>,
    plan: Plan,
    state: State,
    resources: Resources,
    instance: String,
    fingerprint: String,
    hasher: foldhash::quality::RandomState,
    scratches: Mutex<Vec<Scratch>>,
    clock: Arc<dyn Clock>,
    limits: WalkLimits,
    interval: Duration,
    path: Option<PathBuf>,
    downstream: Arc<dyn Consume>,
    /// Held over a flush, so that two do not mix.
    pending: tokio::sync::Mutex<VecDeque<Request>>,
}

impl SpanMetrics {
    /// Builds the connector, with the counters of an earlier life where it finds them.
    pub(super) fn new(
        id: &str,
        config: &SpanMetricsConnector,
        downstream: Arc<dyn Consume>,
        context: &Context,
    ) -> Arc<Self> {
        let limits = Limits {
            series_max: config.aggregation_cardinality_limit,
            bytes_max: config.max_memory_mib << 20,
            series_expiration: config.series_expiration,
            group_expiration: config.metrics_expiration,
        };
        let name = id.replace('%', "%25").replace('/', "%2F");
        let mut it = Self {
            id: id.into(),
            plan: Plan::new(config),
            state: State::new(context.clock.now(), limits),
            resources: Resources::new(config.resource_metrics_cache_size),
            instance: new_instance(),
            fingerprint: format!("{config:?}"),
            hasher: foldhash::quality::RandomState::default(),
            scratches: Mutex::default(),
            clock: Arc::clone(&context.clock),
            limits: context.limits,
            interval: config.metrics_flush_interval,
            path: context
                .storage
                .as_ref()
                .map(|folder| folder.join("span_metrics").join(format!("{name}.state"))),
            downstream,
            pending: tokio::sync::Mutex::default(),
        };
        it.recall();
        Arc::new(it)
    }

    /// Puts back what an earlier life wrote down.
    fn recall(&mut self) {
        let Some(path) = &self.path else { return };
        let connector = &self.id;
        match persist::read(path) {
            Ok(None) => {}
            Ok(Some(found)) if found.fingerprint == self.fingerprint => {
                self.instance.clone_from(&found.instance);
                found.restore(self);
                tracing::info!(%connector, series = self.state.len(), "counters go on");
            }
            Ok(Some(_)) => {
                tracing::info!(%connector, "its configuration is another one: counters begin anew");
            }
            Err(reason) => {
                let path = path.display();
                tracing::warn!(%connector, %path, %reason, "counters cannot be read and begin anew");
            }
        }
    }

    fn restore(&self, key: &[u8], series: Series) {
        self.state.restore(self.hasher.hash_one(key), key, series);
    }

    fn take(&self, batch: &Batch) -> Result<Accepted, Refusal> {
        if batch.signal != Signal::Traces {
            return Err(Refusal::Malformed("span_metrics takes traces".into()));
        }
        let now = self.clock.now();
        let scratches = || self.scratches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = scratches().pop().unwrap_or_default();
        scratch.clear();
        let mut sink = Gather::new(&self.plan, &self.resources, &self.hasher, &mut scratch, now);
        let walked = walk_traces(&batch.bytes, &self.plan.keys, &self.limits, &mut sink);
        if walked.is_ok() {
            let overflowed = self.state.absorb(now, &self.plan, &scratch);
            if overflowed > 0 {
                metrics::counter!("burngate_span_metrics_overflow_total", "connector" => self.id.to_string())
                    .increment(overflowed);
            }
        }
        if scratch.is_worth_keeping() {
            let mut scratches = scratches();
            if scratches.len() < SCRATCHES_MAX {
                scratches.push(scratch);
            }
        }
        match walked {
            Ok(summary) => Ok(Accepted::all(summary.spans - summary.rejected)),
            Err(WalkError::Malformed(reason)) => Err(Refusal::Malformed(reason.to_string().into())),
            Err(error @ WalkError::TooManyItems { .. }) => Err(Refusal::TooLarge(error.to_string().into())),
        }
    }

    /// What is to be told at `now`, and the file of it.
    fn collect(&self, now: UnixNanos) -> (Vec<Request>, Option<Image>) {
        let mut emitter = Emitter::new(&self.plan, &self.instance, self.resources.attributes(), now);
        self.state.flush(now, &self.plan, |scope, parts, series| {
            emitter.series(scope, parts, series);
        });
        let live = self.state.expire(now, &self.plan);
        if self.plan.every.is_some() {
            let evicted = self.resources.evict(&live);
            self.state.evict(&evicted);
        }
        let image = self.path.is_some().then(|| {
            let mut image = Image::new(self);
            self.state
                .each(|scope, parts, series| image.series(scope, parts, series));
            image
        });
        let connector = self.id.to_string();
        metrics::gauge!("burngate_span_metrics_series", "connector" => connector.clone())
            .set(self.state.len() as f64);
        metrics::gauge!("burngate_span_metrics_bytes", "connector" => connector)
            .set(self.state.bytes() as f64);
        (emitter.finish(), image)
    }

    /// Tells now what was counted.
    pub(super) async fn flush(self: &Arc<Self>) {
        let mut pending = self.pending.lock().await;
        let engine = Arc::clone(self);
        let collect = tokio::task::spawn_blocking(move || engine.collect(engine.clock.now()));
        let Ok((requests, image)) = collect.await else {
            return;
        };
        pending.extend(requests);
        // First the file: a counter that was told and not written down would go back after a crash.
        if let (Some(image), Some(path)) = (image, self.path.clone())
            && let Ok(Err(error)) = tokio::task::spawn_blocking(move || image.write(&path)).await
        {
            let connector = &self.id;
            tracing::warn!(%connector, %error, "counters cannot be written down; a restart would begin them anew");
        }
        self.tell(&mut pending).await;
    }

    async fn tell(&self, pending: &mut VecDeque<Request>) {
        let mut refused = VecDeque::new();
        while let Some((bytes, points)) = pending.pop_front() {
            let batch = Batch {
                items: Some(points),
                ..Batch::new(Signal::Metrics, bytes.clone())
            };
            let Err(reason) = self.downstream.consume(batch).await else {
                continue;
            };
            metrics::counter!("burngate_connector_refused_points_total", "connector" => self.id.to_string())
                .increment(points);
            tracing::warn!(connector = %self.id, points, %reason, "the pipelines behind it refused metrics");
            if self.plan.delta && refused.len() < PENDING_MAX {
                refused.push_back((bytes, points));
            }
        }
        *pending = refused;
    }

    /// Flushes on the connector's interval until `shutdown`, and once more then.
    pub(super) async fn run(self: &Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        let first = tokio::time::Instant::now() + self.interval;
        let mut timer = tokio::time::interval_at(first, self.interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                _ = timer.tick() => self.flush().await,
                () = &mut shutdown => break,
            }
        }
        self.flush().await;
    }
}

impl Consume for SpanMetrics {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let taken = self.take(&batch);
        Box::pin(async move { taken })
    }
}

/// A random name, for `collector.instance.id`: a version 4 UUID.
fn new_instance() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
