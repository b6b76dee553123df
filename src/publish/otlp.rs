//! Budget metrics pushed to any OTLP endpoint, through the OpenTelemetry SDK.
//!
//! A failed push is counted and logged by us, and shutdown makes one last push within its time.

use super::instruments::Instruments;
use crate::config::{OtlpMetricsExporter, OtlpProtocol};
use crate::policy::Board;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use std::sync::Arc;
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

/// Pushes the board's budgets on an interval of its own.
#[derive(Debug)]
pub struct OtlpPublisher {
    id: String,
    interval: Duration,
    timeout: Duration,
    instruments: Instruments,
    exporter: MetricExporter,
}

impl OtlpPublisher {
    /// Builds the exporter; nothing is sent yet. Call it on a tokio runtime.
    pub fn new(config: &OtlpMetricsExporter, board: Arc<Board>) -> Result<Self, OtlpPublishError> {
        let exporter = match config.protocol {
            OtlpProtocol::Grpc => grpc_exporter(config)?,
            OtlpProtocol::Http => http_exporter(config)?,
        };
        Ok(Self {
            id: config.id.clone(),
            interval: config.interval,
            timeout: config.timeout,
            instruments: Instruments::new(board, config.cardinality_limit),
            exporter,
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
        let (collected, omitted) = self.instruments.collect()?;
        metrics::gauge!("burngate_publish_otlp_omitted", "exporter" => self.id.clone()).set(omitted as f64);
        let export = self.exporter.export(&collected);
        match tokio::time::timeout(self.timeout, export).await {
            Ok(result) => result.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
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
