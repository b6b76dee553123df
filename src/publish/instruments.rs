//! The board as OpenTelemetry's SDK sees it: instruments, and a reader that is asked when we want.
//!
//! The SDK folds what is beyond its cardinality limit (2,000 unless told otherwise) into one overflow
//! series, in silence; every instrument here gets the configured limit instead. Collecting is ours (a
//! manual reader on our own timer) and not the SDK's periodic thread, so that a failure is counted and
//! shutdown makes a last round.

use super::samples::{self, Kind, Metric, Value};
use crate::policy::Board;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

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

/// Budgets as the SDK collects them.
#[derive(Debug)]
pub(super) struct Instruments {
    board: Arc<Board>,
    columns: Arc<Mutex<HashMap<&'static str, Column>>>,
    reader: SharedReader,
    // Owns the instruments whose callbacks the reader calls.
    _provider: SdkMeterProvider,
}

impl Instruments {
    /// Instruments of the board, each with at most `limit` series.
    pub(super) fn new(board: Arc<Board>, limit: usize) -> Self {
        let reader = SharedReader(Arc::new(
            ManualReader::builder()
                .with_temporality(Temporality::Cumulative)
                .build(),
        ));
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
        Self {
            board,
            columns,
            reader,
            _provider: provider,
        }
    }

    /// The board as it is now.
    pub(super) fn collect(&self) -> Result<ResourceMetrics, String> {
        self.fill();
        let mut collected = ResourceMetrics::default();
        self.reader
            .collect(&mut collected)
            .map_err(|error| error.to_string())?;
        Ok(collected)
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
