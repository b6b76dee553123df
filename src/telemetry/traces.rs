//! The own spans on their way out: a bounded queue, pushed in batches.
//!
//! The SDK's batch processor lives on a thread without a runtime, which its gRPC exporter needs, and drops in
//! silence. So the queue is ours: what does not fit is counted, a push that fails is counted and said once,
//! and the end of the process pushes what is there within its time.

use super::otlp::{TelemetryError, span_exporter};
use super::{OwnResource, SHUTDOWN_WITHIN};
use crate::config::{SelfTraces, SpanBatching};
use crate::pipeline::SPAN_TARGET;
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The SDK's end of the queue.
#[derive(Debug)]
struct Queue(mpsc::Sender<SpanData>);

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            metrics::counter!("burngate_own_spans_total", "outcome" => "dropped").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The other end: pushes what waits.
#[derive(Debug)]
struct SpanPush {
    config: SpanBatching,
    exporter: SpanExporter,
    queue: mpsc::Receiver<SpanData>,
    healthy: bool,
}

impl SpanPush {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut batch = Vec::new();
        let max = self.config.max_export_batch_size;
        let mut timer = tokio::time::interval(self.config.schedule_delay);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let room = max - batch.len();
            tokio::select! {
                _ = timer.tick() => self.push(&mut batch).await,
                received = self.queue.recv_many(&mut batch, room) => {
                    if received == 0 {
                        break;
                    }
                    if batch.len() >= max {
                        self.push(&mut batch).await;
                    }
                }
                _ = stop.wait_for(|stopped| *stopped) => break,
            }
        }
        self.queue.close();
        while let Some(span) = self.queue.recv().await {
            batch.push(span);
            if batch.len() >= max {
                self.push(&mut batch).await;
            }
        }
        self.push(&mut batch).await;
    }

    async fn push(&mut self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let spans = std::mem::take(batch);
        let count = spans.len() as u64;
        let sent = tokio::time::timeout(self.config.export_timeout, self.exporter.export(spans)).await;
        let result = match sent {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        let outcome = if result.is_ok() { "sent" } else { "failed" };
        metrics::counter!("burngate_own_spans_total", "outcome" => outcome).increment(count);
        let endpoint = &self.config.exporter.endpoint;
        match result {
            Ok(()) if !self.healthy => tracing::info!(%endpoint, "pushes own spans again"),
            Err(reason) if self.healthy => tracing::warn!(%endpoint, %reason, "cannot push own spans"),
            Ok(()) | Err(_) => {}
        }
        self.healthy = outcome == "sent";
    }
}

/// Own traces while they are on.
#[derive(Debug)]
pub(super) struct OwnTraces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    stop: watch::Sender<bool>,
    ended: std::sync::mpsc::Receiver<()>,
}

impl OwnTraces {
    /// Starts the pushes, on a thread of their own: spans begin before the gateway has runtimes, and end
    /// after.
    /// `None` when no processor is configured.
    pub(super) fn start(config: &SelfTraces, resource: &OwnResource) -> Result<Option<Self>, TelemetryError> {
        if config.processors.is_empty() {
            return Ok(None);
        }
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().map_err(TelemetryError::Thread)?;
        let resource = resource.for_sdk();
        let ratio = Sampler::TraceIdRatioBased(config.sampling_ratio);
        let mut provider = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_sampler(Sampler::ParentBased(Box::new(ratio)));
        let mut pushes = Vec::new();
        for batching in &config.processors {
            let (sender, queue) = mpsc::channel(batching.max_queue_size);
            let mut exporter = {
                let _context = runtime.enter();
                span_exporter(&batching.exporter)?
            };
            exporter.set_resource(&resource);
            provider = provider.with_span_processor(Queue(sender));
            pushes.push(SpanPush {
                config: batching.clone(),
                exporter,
                queue,
                healthy: true,
            });
        }
        let provider = provider.build();
        let (stop, stopping) = watch::channel(false);
        let (done, ended) = std::sync::mpsc::channel();
        let work = move || {
            let all = pushes.into_iter().map(|push| push.run(stopping.clone()));
            runtime.block_on(futures_util::future::join_all(all));
            let _ = done.send(());
        };
        let thread = std::thread::Builder::new().name("burngate-spans".to_owned());
        thread.spawn(work).map_err(TelemetryError::Thread)?;
        Ok(Some(Self {
            tracer: provider.tracer("burngate"),
            provider,
            stop,
            ended,
        }))
    }

    /// Turns spans into the SDK's.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == SPAN_TARGET
            }))
    }

    /// Pushes what waits, and ends.
    pub(super) fn finish(&self) {
        self.stop.send_replace(true);
        let _ = self.ended.recv_timeout(SHUTDOWN_WITHIN);
        let _ = self.provider.shutdown();
    }
}
