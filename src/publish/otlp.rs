//! Budget metrics pushed to any OTLP endpoint, through the OpenTelemetry SDK.
//!
//! The SDK folds what is beyond its cardinality limit (2,000 unless told otherwise) into one overflow series,
//! in silence; every instrument here gets the configured limit instead. Collecting is ours (a manual reader
//! on our own timer) and not the SDK's periodic thread: so a failed push is counted and logged by us, and
//! shutdown makes one last push within its time.

use super::samples::{self, Kind, Metric, Value};
use crate::config::{OtlpMetricsExporter, OtlpProtocol};
use crate::policy::Board;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};

/// Why a push exporter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum OtlpPublishError {
    /// A header's name or value cannot be sent; the value is not shown.
    #[error("exporter {id}: header {header:?} cannot be sent as it is")]
    Header {
        /// The exporter.
        id: String,
        /// The header's name.
        header: String,
    },
    /// The endpoint or the client cannot be built.
    #[error("exporter {id}: {source}")]
    Exporter {
        /// The exporter.
        id: String,
        /// What the SDK said.
        source: ExporterBuildError,
    },
    /// The HTTP client cannot be built.
    #[error("exporter {id}: {source}")]
    Client {
        /// The exporter.
        id: String,
        /// What the client said.
        source: reqwest::Error,
    },
}

/// (attributes, value) of every series of one metric.
type Column = Vec<(Vec<KeyValue>, Value)>;

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

/// Pushes the board's budgets on an interval of its own.
#[derive(Debug)]
pub struct OtlpPublisher {
    id: String,
    interval: Duration,
    timeout: Duration,
    board: Arc<Board>,
    columns: Arc<Mutex<HashMap<&'static str, Column>>>,
    reader: SharedReader,
    exporter: MetricExporter,
    // Owns the instruments whose callbacks the reader calls.
    _provider: SdkMeterProvider,
}

impl OtlpPublisher {
    /// Builds the exporter; nothing is sent yet. Call it on a tokio runtime.
    pub fn new(config: &OtlpMetricsExporter, board: Arc<Board>) -> Result<Self, OtlpPublishError> {
        let exporter = match config.protocol {
            OtlpProtocol::Grpc => grpc_exporter(config)?,
            OtlpProtocol::Http => http_exporter(config)?,
        };
        let reader = SharedReader(Arc::new(
            ManualReader::builder()
                .with_temporality(Temporality::Cumulative)
                .build(),
        ));
        let limit = config.cardinality_limit;
        let provider = SdkMeterProvider::builder()
            .with_resource(
                Resource::builder()
                    .with_service_name("burngate")
                    .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                    .build(),
            )
            .with_view(move |_: &Instrument| Stream::builder().with_cardinality_limit(limit).build().ok())
            .with_reader(reader.clone())
            .build();
        let columns = Arc::new(Mutex::new(HashMap::new()));
        register(&provider, &columns);
        Ok(Self {
            id: config.id.clone(),
            interval: config.interval,
            timeout: config.timeout,
            board,
            columns,
            reader,
            exporter,
            _provider: provider,
        })
    }

    /// Pushes until `shutdown` completes, and once more then.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut timer = tokio::time::interval(self.interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut shutdown = std::pin::pin!(shutdown);
        let mut healthy = true;
        loop {
            tokio::select! {
                _ = timer.tick() => self.push(&mut healthy).await,
                () = &mut shutdown => break,
            }
        }
        self.push(&mut healthy).await;
    }

    async fn push(&self, healthy: &mut bool) {
        let result = self.collect_and_export().await;
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        metrics::counter!("burngate_publish_otlp_pushes_total", "exporter" => self.id.clone(), "outcome" => outcome)
            .increment(1);
        match result {
            Ok(()) if !*healthy => tracing::info!(exporter = %self.id, "pushes budget metrics again"),
            Err(reason) if *healthy => {
                tracing::warn!(exporter = %self.id, %reason, "cannot push budget metrics; tries again every interval");
            }
            Ok(()) | Err(_) => {}
        }
        *healthy = outcome == "ok";
    }

    async fn collect_and_export(&self) -> Result<(), String> {
        self.fill();
        let mut collected = ResourceMetrics::default();
        self.reader.collect(&mut collected).map_err(|e| e.to_string())?;
        let export = self.exporter.export(&collected);
        match tokio::time::timeout(self.timeout, export).await {
            Ok(result) => result.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// One pass over the board; the instruments' callbacks then only read.
    fn fill(&self) {
        let mut columns: HashMap<&'static str, Column> = HashMap::new();
        for status in self.board.snapshot() {
            let identity: Vec<KeyValue> = samples::identity(&status)
                .into_iter()
                .map(|(name, value)| KeyValue::new(name, value))
                .collect();
            for sample in samples::samples(&status, None) {
                let mut attributes = identity.clone();
                attributes.extend(sample.label.map(|(name, value)| KeyValue::new(name, value)));
                columns
                    .entry(sample.metric.name)
                    .or_default()
                    .push((attributes, sample.value));
            }
        }
        *self.columns.lock().unwrap_or_else(PoisonError::into_inner) = columns;
    }
}

fn register(provider: &SdkMeterProvider, columns: &Arc<Mutex<HashMap<&'static str, Column>>>) {
    let scope = InstrumentationScope::builder("burngate")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build();
    let meter = provider.meter_with_scope(scope);
    for metric in samples::ALL {
        let columns = columns.clone();
        let read = move |each: &mut dyn FnMut(Value, &[KeyValue])| {
            let columns = columns.lock().unwrap_or_else(PoisonError::into_inner);
            for (attributes, value) in columns.get(metric.name).into_iter().flatten() {
                each(*value, attributes);
            }
        };
        let Metric {
            name,
            help,
            unit,
            kind,
        } = metric;
        match kind {
            Kind::Gauge => {
                let _ = meter
                    .f64_observable_gauge(*name)
                    .with_description(*help)
                    .with_unit(*unit)
                    .with_callback(move |observer| {
                        read(&mut |value, attributes| {
                            if let Value::Gauge(value) = value {
                                observer.observe(value, attributes);
                            }
                        });
                    })
                    .build();
            }
            Kind::Counter => {
                let _ = meter
                    .u64_observable_counter(*name)
                    .with_description(*help)
                    .with_unit(*unit)
                    .with_callback(move |observer| {
                        read(&mut |value, attributes| {
                            if let Value::Count(value) = value {
                                observer.observe(value, attributes);
                            }
                        });
                    })
                    .build();
            }
        }
    }
}

fn grpc_exporter(config: &OtlpMetricsExporter) -> Result<MetricExporter, OtlpPublishError> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &config.headers {
        let unsendable = || OtlpPublishError::Header {
            id: config.id.clone(),
            header: name.clone(),
        };
        let key = name
            .to_ascii_lowercase()
            .parse::<MetadataKey<Ascii>>()
            .map_err(|_| unsendable())?;
        let mut value = MetadataValue::try_from(value.expose()).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    MetricExporter::builder()
        .with_tonic()
        .with_endpoint(&config.endpoint)
        .with_timeout(config.timeout)
        .with_metadata(metadata)
        .build()
        .map_err(|source| OtlpPublishError::Exporter {
            id: config.id.clone(),
            source,
        })
}

fn http_exporter(config: &OtlpMetricsExporter) -> Result<MetricExporter, OtlpPublishError> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(config.timeout)
        .build()
        .map_err(|source| OtlpPublishError::Client {
            id: config.id.clone(),
            source,
        })?;
    let headers = config
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    MetricExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&config.endpoint)
        .with_timeout(config.timeout)
        .with_headers(headers)
        .build()
        .map_err(|source| OtlpPublishError::Exporter {
            id: config.id.clone(),
            source,
        })
}
