//! The shop: traffic through three services on two deployments, reported by the official SDK over OTLP/gRPC.
//!
//! Nothing is faked on the way in: each service of each deployment has its own tracer provider, resource,
//! batch processor and connection, as six processes would. Only the work between the spans is left out: a
//! request "took" what its start says.
//!
//! A visit is a search and a purchase. The storefront asks the flag client which flags are on for the
//! customer, and hands them on; so every span of a visit names the same flags, and the innocent share
//! requests with the guilty.

use super::customers::{Visit, Visits};
use super::flags::FlagStates;
use super::scene::{DEPLOYMENTS, ENVIRONMENT, FLAGS, SERVICES};
use super::spans::{Hop, Stand};
use crate::time::{Clock, UnixNanos};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanLimits,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Visits come in threes, 120 a second: 480 requests a second in all.
const BEAT: Duration = Duration::from_millis(25);
const VISITS_A_BEAT: usize = 3;
/// The SDK's own default is five seconds; a service that wants to be saved fast sends twice a second.
const EXPORT_EVERY: Duration = Duration::from_millis(500);
/// Time for the last batch at the end.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// What the shop knows of itself: the truth that the gateway has to find.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    requests: AtomicU64,
    guilty_failures: AtomicU64,
    first_bad: AtomicU64,
    last_bad: AtomicU64,
}

impl Ledger {
    /// Requests served by all services.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests that failed behind the guilty flag.
    pub(super) fn guilty_failures(&self) -> u64 {
        self.guilty_failures.load(Ordering::Relaxed)
    }

    /// When the first of them ended.
    pub(super) fn first_bad(&self) -> Option<UnixNanos> {
        instant(&self.first_bad)
    }

    /// When the last of them ended.
    pub(super) fn last_bad(&self) -> Option<UnixNanos> {
        instant(&self.last_bad)
    }

    fn failed(&self, now: UnixNanos) {
        self.guilty_failures.fetch_add(1, Ordering::Relaxed);
        let _ = self
            .first_bad
            .compare_exchange(0, now.0, Ordering::Relaxed, Ordering::Relaxed);
        self.last_bad.store(now.0, Ordering::Relaxed);
    }
}

fn instant(cell: &AtomicU64) -> Option<UnixNanos> {
    Some(cell.load(Ordering::Relaxed))
        .filter(|&nanos| nanos > 0)
        .map(UnixNanos)
}

/// An open shop.
#[derive(Debug)]
pub(super) struct Shop {
    providers: Vec<SdkTracerProvider>,
    traffic: JoinHandle<()>,
    broken: Arc<AtomicBool>,
    ledger: Arc<Ledger>,
}

impl Shop {
    /// Opens the shop. Call it inside a runtime: the SDK's connections live there.
    pub(super) fn open(
        gateway: SocketAddr,
        flags: watch::Receiver<FlagStates>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ExporterBuildError> {
        let mut providers = Vec::new();
        let mut stands = Vec::new();
        for sha in DEPLOYMENTS {
            let mut tracers = Vec::new();
            for service in SERVICES {
                let provider = provider(gateway, service, sha)?;
                tracers.push(provider.tracer("burngate-demo-shop"));
                providers.push(provider);
            }
            stands.push(Stand(tracers));
        }
        let (broken, ledger) = (Arc::new(AtomicBool::new(false)), Arc::new(Ledger::default()));
        let counter = Counter {
            stands,
            flags,
            clock,
            broken: broken.clone(),
            ledger: ledger.clone(),
        };
        let traffic = tokio::spawn(counter.serve());
        Ok(Self {
            providers,
            traffic,
            broken,
            ledger,
        })
    }

    /// From now on the code behind the guilty flag fails a third of its requests.
    pub(super) fn break_guilty(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// What the shop knows of itself.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Ends the traffic and sends what is left. Blocks, so not on the runtime's threads.
    pub(super) fn close(self) {
        self.traffic.abort();
        for provider in self.providers {
            if let Err(error) = provider.shutdown_with_timeout(FLUSH_WITHIN) {
                tracing::warn!(%error, "the shop's last spans could not be sent");
            }
        }
    }
}

/// One service of one deployment, as its own process would set itself up. Everything is said here, so that
/// `OTEL_*` variables of the terminal that the demo runs in change nothing.
fn provider(
    gateway: SocketAddr,
    service: &'static str,
    sha: &'static str,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(format!("http://{gateway}"))
        .with_timeout(Duration::from_secs(5))
        .build()?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(8192)
        .with_max_export_batch_size(512)
        .with_scheduled_delay(EXPORT_EVERY)
        .build();
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", service),
        KeyValue::new("service.namespace", "shop"),
        KeyValue::new("deployment.environment.name", ENVIRONMENT),
        KeyValue::new("deployment.sha", sha),
    ]);
    Ok(SdkTracerProvider::builder()
        .with_span_processor(
            BatchSpanProcessor::builder(exporter)
                .with_batch_config(batches)
                .build(),
        )
        .with_resource(resource.build())
        .with_sampler(Sampler::AlwaysOn)
        .with_span_limits(SpanLimits::default())
        .build())
}

/// Serves one visit after the other.
struct Counter {
    stands: Vec<Stand>,
    flags: watch::Receiver<FlagStates>,
    clock: Arc<dyn Clock>,
    broken: Arc<AtomicBool>,
    ledger: Arc<Ledger>,
}

impl Counter {
    async fn serve(self) {
        let mut visits = Visits::new();
        let mut beat = tokio::time::interval(BEAT);
        loop {
            beat.tick().await;
            for visit in visits.by_ref().take(VISITS_A_BEAT) {
                self.visit(&visit);
            }
        }
    }

    fn visit(&self, visit: &Visit) {
        let Some(stand) = self.stands.get(visit.deployment) else {
            return;
        };
        let on = self.flags_of(visit);
        let has = |flag: &str| on.contains(&flag);
        let noise = |millis: f64| Duration::from_secs_f64((millis * (0.7 + 0.6 * visit.noise)) / 1000.0);
        let now = self.clock.now();
        let search = Hop {
            page: ("GET", "/products"),
            callee: 1,
            request: ("GET", "/search"),
            took: noise(if has("fast-search") { 18.0 } else { 45.0 }),
            failed: visit.search_mishap,
        };
        stand.serve(&search, &on, now);
        let guilty = has(super::scene::GUILTY) && visit.unlucky && self.broken.load(Ordering::Relaxed);
        let purchase = Hop {
            page: ("POST", "/cart"),
            callee: 2,
            request: ("POST", "/checkout"),
            took: noise(if has("express-pay") { 60.0 } else { 95.0 }),
            failed: guilty || visit.purchase_mishap,
        };
        stand.serve(&purchase, &on, now);
        self.ledger.requests.fetch_add(4, Ordering::Relaxed);
        if guilty {
            self.ledger.failed(now);
        }
    }

    /// What the flag SDK answers: rolled out to the customer, and not switched off.
    fn flags_of(&self, visit: &Visit) -> Vec<&'static str> {
        let states = self.flags.borrow();
        FLAGS
            .iter()
            .zip(visit.customer.rollout)
            .filter(|(flag, rolled_out)| *rolled_out && states.get(**flag).is_some_and(|on| *on))
            .map(|(flag, _)| *flag)
            .collect()
    }
}
