//! The own metrics pushed by OTLP, through the OpenTelemetry SDK.
//!
//! What is pushed begins with the families that a scrape begins with: an instrument of the SDK for each, made
//! when the family first shows, observing what the recorder has. The SDK collects when our timer says so (its
//! periodic reader would drop a failed push in silence), and the end of the process makes one last push.
//!
//! Two shapes have no instrument that observes them. A histogram's new events are recorded anew, each inside
//! its bucket and all of them with the right sum, so that count, sum and buckets arrive as they are. A
//! summary becomes a gauge with the attribute `quantile`, and two counters, `_sum` and `_count`.

use super::exposition::{Family, Kind, Sample, Value};
use super::otlp::{TelemetryError, metric_exporter};
use super::{OwnResource, SHUTDOWN_WITHIN, scrape};
use crate::config::{PushReader, PushTemporality};
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Attribute sets of one metric; the recorder has no more than the configuration has components.
const CARDINALITY_LIMIT: usize = 100_000;

#[derive(Clone, Debug)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }
    fn collect(&self, rm: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(rm)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// Attributes and value of every series of one instrument.
type Column = Vec<(Vec<KeyValue>, Value)>;
type Columns = Arc<Mutex<HashMap<String, Column>>>;

/// Pushes the own metrics on an interval.
#[derive(Debug)]
pub struct MetricsPush {
    config: PushReader,
    exporter: MetricExporter,
    collected: Arc<Mutex<Collected>>,
}

/// What the SDK is told, and what it makes of it.
#[derive(Debug)]
struct Collected {
    handle: PrometheusHandle,
    meter: Meter,
    reader: SharedReader,
    columns: Columns,
    instruments: HashSet<String>,
    replays: HashMap<String, Replay>,
    // Owns the instruments whose callbacks the reader calls.
    _provider: SdkMeterProvider,
}

impl MetricsPush {
    /// Builds the exporter; nothing is sent yet. Call it on a tokio runtime.
    pub fn new(
        config: &PushReader,
        handle: PrometheusHandle,
        resource: &OwnResource,
    ) -> Result<Self, TelemetryError> {
        Ok(Self {
            exporter: metric_exporter(&config.exporter)?,
            collected: Arc::new(Mutex::new(Collected::new(config, handle, resource))),
            config: config.clone(),
        })
    }

    /// Pushes until `shutdown` completes, and once more then.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut timer = tokio::time::interval(self.config.interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut healthy = true;
        loop {
            tokio::select! {
                _ = timer.tick() => self.push(self.config.timeout, &mut healthy).await,
                () = &mut shutdown => break,
            }
        }
        self.push(self.config.timeout.min(SHUTDOWN_WITHIN), &mut healthy)
            .await;
    }

    async fn push(&self, timeout: Duration, healthy: &mut bool) {
        let result = self.collect_and_export(timeout).await;
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        metrics::counter!("burngate_own_metrics_pushes_total", "outcome" => outcome).increment(1);
        let endpoint = &self.config.exporter.endpoint;
        match result {
            Ok(()) if !*healthy => tracing::info!(%endpoint, "pushes own metrics again"),
            Err(reason) if *healthy => {
                tracing::warn!(%endpoint, %reason, "cannot push own metrics; tries again every interval");
            }
            Ok(()) | Err(_) => {}
        }
        *healthy = outcome == "ok";
    }

    async fn collect_and_export(&self, timeout: Duration) -> Result<(), String> {
        let collected = self.collected.clone();
        let collect = move || {
            let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
            collected.collect().map_err(|error| error.to_string())
        };
        let collected = tokio::task::spawn_blocking(collect).await;
        let collected = collected.map_err(|error| error.to_string())??;
        match tokio::time::timeout(timeout, self.exporter.export(&collected)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {timeout:?}")),
        }
    }
}

impl Collected {
    fn new(config: &PushReader, handle: PrometheusHandle, resource: &OwnResource) -> Self {
        let temporality = match config.exporter.temporality {
            PushTemporality::Cumulative => Temporality::Cumulative,
            PushTemporality::Delta => Temporality::Delta,
        };
        let reader = ManualReader::builder().with_temporality(temporality).build();
        let reader = SharedReader(Arc::new(reader));
        let provider = SdkMeterProvider::builder()
            .with_resource(resource.for_sdk())
            .with_view(|instrument: &Instrument| {
                let stream = Stream::builder().with_cardinality_limit(CARDINALITY_LIMIT);
                let observed = instrument.kind() != InstrumentKind::Histogram;
                observed.then(|| stream.build().ok()).flatten()
            })
            .with_reader(reader.clone())
            .build();
        let scope = InstrumentationScope::builder("burngate").with_version(env!("CARGO_PKG_VERSION"));
        Self {
            handle,
            meter: provider.meter_with_scope(scope.build()),
            reader,
            columns: Columns::default(),
            instruments: HashSet::new(),
            replays: HashMap::new(),
            _provider: provider,
        }
    }

    fn collect(&mut self) -> Result<ResourceMetrics, opentelemetry_sdk::error::OTelSdkError> {
        let mut columns: HashMap<String, Column> = HashMap::new();
        for family in scrape::families(&self.handle) {
            if family.kind == Kind::Histogram {
                self.replay(&family);
                continue;
            }
            for sample in &family.samples {
                let name = format!("{}{}", family.name, sample.suffix);
                if !self.instruments.contains(&name) {
                    self.observe(&name, &family, sample);
                    self.instruments.insert(name.clone());
                }
                let series = (attributes(&sample.labels), sample.value);
                columns.entry(name).or_default().push(series);
            }
        }
        *self.columns.lock().unwrap_or_else(PoisonError::into_inner) = columns;
        let mut collected = ResourceMetrics::default();
        self.reader.collect(&mut collected)?;
        Ok(collected)
    }

    /// Makes the instrument that observes a column.
    fn observe(&self, name: &str, family: &Family, sample: &Sample) {
        let (columns, key) = (self.columns.clone(), name.to_owned());
        let read = move |each: &mut dyn FnMut(Value, &[KeyValue])| {
            let columns = columns.lock().unwrap_or_else(PoisonError::into_inner);
            for (attributes, value) in columns.get(&key).into_iter().flatten() {
                each(*value, attributes);
            }
        };
        let (name, help, unit) = (
            name.to_owned(),
            family.help.to_string(),
            scrape::unit(&family.name),
        );
        let counts = family.kind == Kind::Counter || !sample.suffix.is_empty();
        match (counts, sample.value) {
            (true, Value::Count(_)) => drop(
                self.meter
                    .u64_observable_counter(name)
                    .with_description(help)
                    .with_unit(unit)
                    .with_callback(move |observer| {
                        read(&mut |value, attributes| {
                            if let Value::Count(count) = value {
                                observer.observe(count, attributes);
                            }
                        });
                    })
                    .build(),
            ),
            (true, Value::Float(_)) => drop(
                self.meter
                    .f64_observable_counter(name)
                    .with_description(help)
                    .with_unit(unit)
                    .with_callback(move |observer| {
                        read(&mut |value, attributes| observer.observe(value.as_f64(), attributes));
                    })
                    .build(),
            ),
            (false, _) => drop(
                self.meter
                    .f64_observable_gauge(name)
                    .with_description(help)
                    .with_unit(unit)
                    .with_callback(move |observer| {
                        read(&mut |value, attributes| observer.observe(value.as_f64(), attributes));
                    })
                    .build(),
            ),
        }
    }

    /// Records what came into a histogram since the last time.
    fn replay(&mut self, family: &Family) {
        for (labels, now) in histograms(family) {
            let series = format!("{}{labels:?}", family.name);
            let before = self.replays.entry(series).or_default();
            let events = now.since(before);
            if !events.is_empty() {
                let histogram = self
                    .meter
                    .f64_histogram(family.name.clone())
                    .with_description(family.help.to_string())
                    .with_unit(scrape::unit(&family.name))
                    .with_boundaries(now.bounds.clone())
                    .build();
                let attributes = attributes(&labels);
                for (value, times) in events {
                    for _ in 0..times {
                        histogram.record(value, &attributes);
                    }
                }
            }
            *before = now;
        }
    }
}

fn attributes(labels: &[(String, String)]) -> Vec<KeyValue> {
    let pairs = labels.iter();
    pairs
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()))
        .collect()
}

/// One histogram as it stands: finite bounds, events up to each of them and in all, their sum.
#[derive(Clone, Debug, Default, PartialEq)]
struct Replay {
    bounds: Vec<f64>,
    up_to: Vec<u64>,
    count: u64,
    sum: f64,
}

/// The histograms of a family, by their labels without `le`.
fn histograms(family: &Family) -> Vec<(Vec<(String, String)>, Replay)> {
    let mut found: Vec<(Vec<(String, String)>, Replay)> = Vec::new();
    for sample in &family.samples {
        let le = sample.labels.iter().find(|(name, _)| name == "le");
        let bound: Option<f64> = le.and_then(|(_, text)| text.parse().ok());
        let labels: Vec<_> = sample
            .labels
            .iter()
            .filter(|(name, _)| name != "le")
            .cloned()
            .collect();
        let at = found.iter().position(|(known, _)| *known == labels);
        let at = at.unwrap_or_else(|| {
            found.push((labels, Replay::default()));
            found.len() - 1
        });
        let Some((_, histogram)) = found.get_mut(at) else {
            continue;
        };
        match (sample.suffix, sample.value, bound) {
            ("_bucket", Value::Count(count), Some(bound)) if bound.is_finite() => {
                histogram.bounds.push(bound);
                histogram.up_to.push(count);
            }
            ("_count", Value::Count(count), _) => histogram.count = count,
            ("_sum", value, _) => histogram.sum = value.as_f64(),
            _ => {}
        }
    }
    found
}

impl Replay {
    /// Events that came since `before`: values, each with how often. Every value lies in the bucket that its
    /// events are in, and all of them together have the sum that came in.
    fn since(&self, before: &Self) -> Vec<(f64, u64)> {
        let earlier = |nth: usize| before.up_to.get(nth).copied().unwrap_or(0);
        let (mut buckets, mut counted, mut low) = (Vec::new(), 0, 0.0_f64);
        for (nth, (&bound, &up_to)) in self.bounds.iter().zip(&self.up_to).enumerate() {
            let upto_now = up_to.saturating_sub(earlier(nth));
            buckets.push((low.min(bound), bound, upto_now.saturating_sub(counted)));
            (counted, low) = (upto_now.max(counted), bound);
        }
        let beyond = self.count.saturating_sub(before.count).saturating_sub(counted);
        let least: f64 = buckets.iter().map(|(low, _, times)| low * *times as f64).sum();
        let width: f64 = buckets
            .iter()
            .map(|(low, high, times)| (high - low) * *times as f64)
            .sum();
        let rest = self.sum - before.sum - least - low * beyond as f64;
        // Above the lower bound, which belongs to the bucket below.
        let share = if width > 0.0 {
            (rest / width).clamp(1e-6, 1.0)
        } else {
            0.0
        };
        let mut events: Vec<(f64, u64)> = buckets
            .iter()
            .filter(|(_, _, times)| *times > 0)
            .map(|(low, high, times)| (low + share * (high - low), *times))
            .collect();
        if beyond > 0 {
            let over = (rest - share * width).max(0.0) / beyond as f64;
            events.push((low + over.max(low.abs() * 1e-6 + f64::MIN_POSITIVE), beyond));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OtlpProtocol, SelfOtlp, SelfResource, SelfTls};
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ScopeMetrics};
    use proptest::prelude::*;

    fn reader() -> PushReader {
        PushReader {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            exporter: SelfOtlp {
                protocol: OtlpProtocol::Grpc,
                endpoint: "http://127.0.0.1:1".to_owned(),
                headers: Vec::new(),
                gzip: false,
                timeout: Duration::from_secs(1),
                tls: SelfTls::default(),
                temporality: PushTemporality::Cumulative,
            },
        }
    }

    fn find<'a>(all: &'a ResourceMetrics, name: &str) -> Option<&'a AggregatedMetrics> {
        let mut metrics = all.scope_metrics().flat_map(ScopeMetrics::metrics);
        metrics.find(|metric| metric.name() == name).map(Metric::data)
    }

    #[test]
    fn a_push_says_what_a_scrape_says() {
        let builder = PrometheusBuilder::new();
        let matcher = Matcher::Full("otelcol_sizes".to_owned());
        let recorder = builder
            .set_buckets_for_metric(matcher, &[10.0, 100.0])
            .unwrap()
            .build_recorder();
        let resource = OwnResource::new(&SelfResource::default());
        let mut collected = Collected::new(&reader(), recorder.handle(), &resource);
        metrics::with_local_recorder(&recorder, || {
            let sent = metrics::counter!("otelcol_exporter_sent_spans", "exporter" => "otlp");
            let sizes = metrics::histogram!("otelcol_sizes", "exporter" => "otlp");
            for round in 1..=3_u32 {
                sent.increment(5);
                metrics::gauge!("otelcol_exporter_queue_size").set(f64::from(round));
                for value in [3.0, 50.0, 700.0] {
                    sizes.record(value);
                }
                let all = collected.collect().unwrap();
                let Some(AggregatedMetrics::U64(MetricData::Sum(sum))) =
                    find(&all, "otelcol_exporter_sent_spans")
                else {
                    panic!("a sum")
                };
                let point = sum.data_points().next().unwrap();
                assert_eq!((point.value(), sum.is_monotonic()), (5 * u64::from(round), true));
                assert!(point.attributes().any(|it| it.key.as_str() == "exporter"));
                let Some(AggregatedMetrics::F64(MetricData::Histogram(sizes))) = find(&all, "otelcol_sizes")
                else {
                    panic!("a histogram")
                };
                let point = sizes.data_points().next().unwrap();
                let n = u64::from(round);
                assert_eq!(point.bucket_counts().collect::<Vec<_>>(), [n, n, n]);
                assert!(
                    (point.sum() - 753.0 * f64::from(round)).abs() < 0.01,
                    "{}",
                    point.sum()
                );
                let Some(AggregatedMetrics::F64(MetricData::Gauge(size))) =
                    find(&all, "otelcol_exporter_queue_size")
                else {
                    panic!("a gauge")
                };
                assert_eq!(
                    size.data_points().next().unwrap().value().to_bits(),
                    f64::from(round).to_bits()
                );
                assert!(find(&all, "otelcol_process_memory_rss").is_some());
            }
        });
    }

    proptest! {
        #[test]
        fn what_is_replayed_has_the_same_buckets_and_sum(values in proptest::collection::vec(0.001..5000.0_f64, 1..50)) {
            let bounds = [1.0, 10.0, 100.0, 1000.0];
            let up_to = |bound: f64| values.iter().filter(|value| **value <= bound).count() as u64;
            let now = Replay {
                bounds: bounds.to_vec(),
                up_to: bounds.map(up_to).to_vec(),
                count: values.len() as u64,
                sum: values.iter().sum(),
            };
            let events = now.since(&Replay::default());
            for bound in bounds {
                let again: u64 = events.iter().filter(|(value, _)| *value <= bound).map(|(_, times)| times).sum();
                prop_assert_eq!(again, up_to(bound), "{}", bound);
            }
            let sum: f64 = events.iter().map(|(value, times)| value * *times as f64).sum();
            prop_assert!((sum - now.sum).abs() <= now.sum.abs() * 1e-3 + 1e-3, "{} {}", sum, now.sum);
            prop_assert_eq!(now.since(&now), vec![]);
        }
    }
}
