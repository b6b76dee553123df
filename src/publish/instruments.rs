//! The board as OpenTelemetry's SDK sees it: instruments, and a reader that is asked when we want.
//!
//! The SDK folds what is beyond its cardinality limit (2,000 unless told otherwise) into one overflow
//! series, in silence. A folded gauge is one of many values and means nothing, so every instrument here gets
//! the configured limit, and what would not fit is left out whole and counted: cohorts before totals. What
//! the SDK does not carry at all is NaN and infinity: such a figure has no point. Collecting is ours (a
//! manual reader on our own timer) and not the SDK's periodic thread, so that a failure is counted and
//! shutdown makes a last round.

use super::samples::{self, Kind, Metric, Sample, Value};
use crate::policy::{Board, BudgetStatus};
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
    limit: usize,
    // Owns the instruments whose callbacks the reader calls.
    _provider: SdkMeterProvider,
}

impl Instruments {
    /// Instruments of the board, each with at most `limit` series.
    ///
    /// The SDK gets one more, so that a full instrument does not look like one that folds.
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
            .with_view(move |_: &Instrument| {
                let limit = limit.saturating_add(1);
                Stream::builder().with_cardinality_limit(limit).build().ok()
            })
            .with_reader(reader.clone())
            .build();
        let columns = Arc::new(Mutex::new(HashMap::new()));
        register(&provider, &columns);
        Self {
            board,
            columns,
            reader,
            limit,
            _provider: provider,
        }
    }

    /// The board as it is now, and how many series of it are left out.
    pub(super) fn collect(&self) -> Result<(ResourceMetrics, usize), String> {
        let omitted = self.fill();
        let mut collected = ResourceMetrics::default();
        self.reader
            .collect(&mut collected)
            .map_err(|error| error.to_string())?;
        Ok((collected, omitted))
    }

    /// One pass over the board; the instruments' callbacks then only read.
    fn fill(&self) -> usize {
        let mut columns: HashMap<&'static str, Column> = HashMap::new();
        let mut omitted = 0;
        let all = self.board.snapshot();
        let (totals, cohorts): (Vec<_>, Vec<_>) = all.iter().partition(|status| status.is_total());
        for status in totals.into_iter().chain(cohorts) {
            let samples = samples::samples(status, None);
            if fits(&columns, &samples, self.limit) {
                put(&mut columns, status, samples);
            } else {
                omitted += 1;
            }
        }
        *self.columns.lock().unwrap_or_else(PoisonError::into_inner) = columns;
        omitted
    }
}

/// Whether no column grows beyond `limit`: a series is there whole or not at all.
fn fits(columns: &HashMap<&'static str, Column>, samples: &[Sample], limit: usize) -> bool {
    let wanted = |name| samples.iter().filter(|s| s.metric.name == name).count();
    samples.iter().all(|sample| {
        let name = sample.metric.name;
        columns.get(name).map_or(0, Vec::len) + wanted(name) <= limit
    })
}

fn put(columns: &mut HashMap<&'static str, Column>, status: &BudgetStatus, samples: Vec<Sample>) {
    let identity: Vec<KeyValue> = samples::identity(status)
        .into_iter()
        .map(|(name, value)| KeyValue::new(name, value))
        .collect();
    for sample in samples {
        let mut attributes = identity.clone();
        attributes.extend(sample.label.map(|(name, value)| KeyValue::new(name, value)));
        let column = columns.entry(sample.metric.name).or_default();
        column.push((attributes, sample.value));
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

#[cfg(test)]
mod tests {
    use super::super::testing::{T0, World, deployment};
    use super::*;
    use crate::cohort::Level;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;

    /// The points of one metric, as a backend gets them.
    fn points(collected: &ResourceMetrics, name: &str) -> Vec<NumberDataPoint> {
        let request = ExportMetricsServiceRequest::from(collected);
        let scopes = request.resource_metrics.into_iter().flat_map(|r| r.scope_metrics);
        let mut metrics = scopes.flat_map(|s| s.metrics).filter(|m| m.name == name);
        match metrics.next().and_then(|m| m.data) {
            Some(Data::Gauge(gauge)) => gauge.data_points,
            Some(Data::Sum(sum)) => sum.data_points,
            _ => Vec::new(),
        }
    }

    fn label(point: &NumberDataPoint, key: &str) -> Option<String> {
        let found = point.attributes.iter().find(|a| a.key == key)?;
        match found.value.as_ref()?.value.as_ref()? {
            Any::StringValue(text) => Some(text.clone()),
            _ => None,
        }
    }

    #[test]
    fn beyond_the_limit_cohorts_are_left_out_whole_and_nothing_is_folded() {
        let mut world = World::new();
        // By name some stand before the total and some behind it.
        for i in 0..40 {
            world.count(T0, deployment(&format!("sha-{i}")), 9, 1);
        }
        world.count(T0, Level::Total, 360, 40);
        world.tick(T0.plus_secs(1));
        let one = Instruments::new(world.board().clone(), 1_000);
        let (collected, omitted) = one.collect().unwrap();
        assert_eq!((points(&collected, "slo_events_total").len(), omitted), (82, 0));

        for limit in [20, 80, 81] {
            let few = Instruments::new(world.board().clone(), limit);
            for _ in 0..2 {
                let (collected, omitted) = few.collect().unwrap();
                let (burns, events) = (
                    points(&collected, "slo_burn_rate"),
                    points(&collected, "slo_events_total"),
                );
                assert!(
                    burns.len() <= limit && events.len() <= limit && omitted > 0,
                    "{limit}"
                );
                assert_eq!(events.len() / 2, 41 - omitted, "whole series: {limit}");
                let folded = |p: &NumberDataPoint| p.attributes.iter().any(|a| a.key.contains("overflow"));
                assert!(!burns.iter().chain(&events).any(folded), "{limit}");
                let totals = events
                    .iter()
                    .filter(|p| label(p, "level").as_deref() == Some("total"));
                assert_eq!(totals.count(), 2, "the total is there: {limit}");
            }
        }
    }

    #[test]
    fn what_ended_is_not_pushed_for_ever() {
        let mut world = World::new();
        world.count(T0, Level::Total, 990, 10);
        world.tick(T0.plus_secs(1));
        let instruments = Instruments::new(world.board().clone(), 1_000);
        let has = |window: &str| {
            let (collected, _) = instruments.collect().unwrap();
            points(&collected, "slo_burn_rate")
                .iter()
                .any(|p| label(p, "window").as_deref() == Some(window))
        };
        assert!(has("5m") && has("1h"));
        world.tick(T0.plus_secs(660));
        assert!(!has("5m"), "no events in it: no point, rather than the last one");
        assert!(has("1h"));
    }
}
