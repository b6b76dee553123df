//! `connectors`: exporters of one pipeline that are receivers of another.

use super::section::{Section, shown};
use super::setting::{Setting, text};
use super::tree::{Node, Value};
use std::time::Duration;

/// One connector.
#[derive(Clone, Debug, PartialEq)]
pub enum Connector {
    /// `error_budget`; its settings are [`super::Config::error_budget`].
    ErrorBudget,
    /// `forward`: from pipeline to pipeline, as it is.
    Forward,
    /// `count`.
    Count(CountConnector),
    /// `span_metrics` (alias `spanmetrics`).
    SpanMetrics(Box<SpanMetricsConnector>),
}

/// `count`: metrics of how many items match.
#[derive(Clone, Debug, PartialEq)]
pub struct CountConnector {
    /// Metrics of spans.
    pub spans: Vec<CountMetric>,
    /// Metrics of span events.
    pub span_events: Vec<CountMetric>,
    /// Metrics of metrics.
    pub metrics: Vec<CountMetric>,
    /// Metrics of data points.
    pub datapoints: Vec<CountMetric>,
    /// Metrics of log records.
    pub logs: Vec<CountMetric>,
}

/// One metric of a `count` connector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountMetric {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// An item counts if any of these holds; with none of them every item counts.
    pub conditions: Vec<String>,
    /// Attributes by whose values items are counted apart.
    pub attributes: Vec<CountAttribute>,
}

/// An attribute by which items are counted apart.
#[derive(Clone, Debug, PartialEq)]
pub struct CountAttribute {
    /// The attribute of the item (or of its scope or resource).
    pub key: String,
    /// What an item without it counts as; an item with neither does not count.
    pub default_value: Option<Scalar>,
}

/// A value as YAML writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Double(f64),
}

impl Default for CountConnector {
    fn default() -> Self {
        let one = |name: &str, what: &str| {
            vec![CountMetric {
                name: name.to_owned(),
                description: format!("The number of {what} observed."),
                ..CountMetric::default()
            }]
        };
        Self {
            spans: one("trace.span.count", "spans"),
            span_events: one("trace.span.event.count", "span events"),
            metrics: one("metric.count", "metrics"),
            datapoints: one("metric.datapoint.count", "data points"),
            logs: one("log.record.count", "log records"),
        }
    }
}

/// A dimension of `span_metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dimension {
    /// The attribute; with `*` every attribute whose key matches.
    pub name: String,
    /// What a span without it counts as; without a default the attribute is left out.
    pub default: Option<String>,
}

/// Unit of durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DurationUnit {
    /// `ms`.
    #[default]
    Millis,
    /// `s`.
    Secs,
}

/// What durations are collected in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buckets {
    /// Upper bounds.
    Explicit(Vec<Duration>),
    /// Powers of a base that fits.
    Exponential {
        /// Buckets at most.
        max_size: u32,
    },
}

/// How deltas and sums are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Since the series began.
    #[default]
    Cumulative,
    /// Since the last flush.
    Delta,
}

/// `span_metrics`: calls and durations of spans as metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the Collector's")]
pub struct SpanMetricsConnector {
    /// Put before every name, with `.`.
    pub namespace: String,
    /// No histogram of durations.
    pub histogram_disable: bool,
    /// Unit of durations.
    pub unit: DurationUnit,
    /// What durations are collected in.
    pub buckets: Buckets,
    /// Dimensions of durations only.
    pub histogram_dimensions: Vec<Dimension>,
    /// Dimensions of all metrics.
    pub dimensions: Vec<Dimension>,
    /// Dimensions of calls only.
    pub calls_dimensions: Vec<Dimension>,
    /// Default dimensions that are left out.
    pub exclude_dimensions: Vec<String>,
    /// Scopes whose name and version are dimensions.
    pub include_instrumentation_scope: Vec<String>,
    /// Attributes of the spans' resource become the metrics'.
    pub add_resource_attributes: bool,
    /// Attributes that tell resources apart; empty is all of them.
    pub resource_metrics_key_attributes: Vec<String>,
    /// Resources that are kept apart at once.
    pub resource_metrics_cache_size: usize,
    /// Series of one metric and resource; 0 is without limit.
    pub aggregation_cardinality_limit: usize,
    /// Cumulative or delta.
    pub temporality: Temporality,
    /// Time between two flushes.
    pub metrics_flush_interval: Duration,
    /// A resource (a service, where resources are not told apart) without spans is forgotten; zero is never.
    pub metrics_expiration: Duration,
    /// A series without spans is forgotten; zero is never.
    pub series_expiration: Duration,
    /// Spans as examples.
    pub exemplars: bool,
    /// Examples a point and flush.
    pub max_per_data_point: usize,
    /// A metric of span events too.
    pub events: bool,
    /// Dimensions of events.
    pub events_dimensions: Vec<Dimension>,
    /// `sampling.method` is a dimension.
    pub enable_metrics_sampling_method: bool,
    /// Memory of all series; what is new beyond it counts in the overflow series.
    pub max_memory_mib: u64,
}

impl Default for SpanMetricsConnector {
    fn default() -> Self {
        let millis = [
            2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000,
        ];
        Self {
            namespace: "traces.span.metrics".to_owned(),
            histogram_disable: false,
            unit: DurationUnit::Millis,
            buckets: Buckets::Explicit(millis.map(Duration::from_millis).to_vec()),
            histogram_dimensions: Vec::new(),
            dimensions: Vec::new(),
            calls_dimensions: Vec::new(),
            exclude_dimensions: Vec::new(),
            include_instrumentation_scope: Vec::new(),
            add_resource_attributes: false,
            resource_metrics_key_attributes: Vec::new(),
            resource_metrics_cache_size: 1000,
            aggregation_cardinality_limit: 0,
            temporality: Temporality::Cumulative,
            metrics_flush_interval: Duration::from_mins(1),
            metrics_expiration: Duration::ZERO,
            series_expiration: Duration::from_hours(24),
            exemplars: false,
            max_per_data_point: 5,
            events: false,
            events_dimensions: Vec::new(),
            enable_metrics_sampling_method: false,
            max_memory_mib: 256,
        }
    }
}

impl CountConnector {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        for (key, slot) in [
            ("spans", &mut it.spans),
            ("spanevents", &mut it.span_events),
            ("metrics", &mut it.metrics),
            ("datapoints", &mut it.datapoints),
            ("logs", &mut it.logs),
        ] {
            if let Some(inside) = section.section(key) {
                *slot = inside
                    .sections()
                    .map(|(entry, section)| CountMetric::read(&entry.key, section, key != "metrics"))
                    .collect();
            }
        }
        section.finish();
        it
    }
}

impl CountMetric {
    fn read(name: &str, section: Section<'_>, with_attributes: bool) -> Self {
        let mut it = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        section.field("description", &mut it.description);
        section.field("conditions", &mut it.conditions);
        let attributes = each(&section, "attributes", |item| {
            let key = item.required::<String>("key", "write the name of an attribute")?;
            let mut default_value = None::<Scalar>;
            item.field("default_value", &mut default_value);
            Some(CountAttribute { key, default_value })
        });
        if !with_attributes && !attributes.is_empty() {
            section.problem(
                "attributes",
                "a metric has no attributes of its own; count `datapoints` by them",
            );
        }
        it.attributes = attributes;
        section.finish();
        it
    }
}

impl Setting for Scalar {
    const EXPECTED: &'static str = "text, a number, true or false";

    fn read(node: &Node) -> Result<Self, String> {
        let text = text(node).ok_or_else(|| shown(node))?;
        Ok(match text {
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => match (text.parse(), text.parse()) {
                (Ok(whole), _) => Self::Int(whole),
                (_, Ok(number)) => Self::Double(number),
                _ => Self::Text(text.to_owned()),
            },
        })
    }
}

/// The items of a list of mappings.
fn each<T>(section: &Section<'_>, key: &'static str, read: impl Fn(&Section<'_>) -> Option<T>) -> Vec<T> {
    let items = match section.node(key).map(|node| &node.value) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::List(items)) => items,
        Some(_) => {
            section.problem(key, "expected a list of mappings");
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let inside = Section::new(
            item,
            format!("{}[{number}]", section.path_of(key)),
            section.report,
        );
        all.extend(read(&inside));
        inside.finish();
    }
    all
}

/// A list of dimensions, none of which comes twice.
fn dimensions(section: &Section<'_>, key: &'static str, taken: &[Dimension]) -> Vec<Dimension> {
    const RESERVED: [&str; 5] = [
        "service.name",
        "span.name",
        "span.kind",
        "status.code",
        "collector.instance.id",
    ];
    let mut all: Vec<Dimension> = Vec::new();
    for it in each(section, key, |item| {
        let name = item.required::<String>("name", "write the name of an attribute")?;
        let mut default = None::<String>;
        item.field("default", &mut default);
        Some(Dimension { name, default })
    }) {
        let twice = all.iter().chain(taken).any(|other| other.name == it.name);
        if twice || RESERVED.contains(&it.name.as_str()) {
            section.problem(key, format!("`{}` is a dimension already", it.name));
        } else if it.name.contains('*') && it.default.is_some() {
            section.problem(
                key,
                format!("`{}` has `*` in it and cannot have a default", it.name),
            );
        } else {
            all.push(it);
        }
    }
    all
}

impl Setting for DurationUnit {
    const EXPECTED: &'static str = "ms or s";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("ms") => Ok(Self::Millis),
            Some("s") => Ok(Self::Secs),
            _ => Err(shown(node)),
        }
    }
}

impl Setting for Temporality {
    const EXPECTED: &'static str = "AGGREGATION_TEMPORALITY_CUMULATIVE or AGGREGATION_TEMPORALITY_DELTA";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => Ok(Self::Cumulative),
            Some("AGGREGATION_TEMPORALITY_DELTA") => Ok(Self::Delta),
            _ => Err(shown(node)),
        }
    }
}

impl Setting for Vec<Duration> {
    const EXPECTED: &'static str = "a list of durations such as [10ms, 100ms, 1s]";

    fn read(node: &Node) -> Result<Self, String> {
        let Value::List(items) = &node.value else {
            return Err(shown(node));
        };
        let all: Self = items.iter().map(Duration::read).collect::<Result<_, _>>()?;
        let rising = all.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || all.is_empty() || all.len() > 1000 {
            return Err("one that does not rise, is empty or has more than 1000".to_owned());
        }
        Ok(all)
    }
}

impl SpanMetricsConnector {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("namespace", &mut it.namespace);
        it.dimensions = dimensions(&section, "dimensions", &[]);
        it.calls_dimensions = dimensions(&section, "calls_dimensions", &it.dimensions);
        section.field("exclude_dimensions", &mut it.exclude_dimensions);
        section.field(
            "include_instrumentation_scope",
            &mut it.include_instrumentation_scope,
        );
        it.read_histogram(&section);
        it.read_events(&section);
        section.field(
            "resource_metrics_key_attributes",
            &mut it.resource_metrics_key_attributes,
        );
        // Who says what tells resources apart wants them apart.
        it.add_resource_attributes = !it.resource_metrics_key_attributes.is_empty();
        section.field("add_resource_attributes", &mut it.add_resource_attributes);
        section.ranged(
            "resource_metrics_cache_size",
            &mut it.resource_metrics_cache_size,
            1..=10_000_000,
        );
        section.ranged(
            "aggregation_cardinality_limit",
            &mut it.aggregation_cardinality_limit,
            0..=100_000_000,
        );
        section.field("aggregation_temporality", &mut it.temporality);
        it.read_times(&section);
        if let Some(exemplars) = section.section("exemplars") {
            exemplars.field("enabled", &mut it.exemplars);
            exemplars.ranged("max_per_data_point", &mut it.max_per_data_point, 1..=1000);
            exemplars.finish();
        }
        section.field(
            "enable_metrics_sampling_method",
            &mut it.enable_metrics_sampling_method,
        );
        section.ranged("max_memory_mib", &mut it.max_memory_mib, 1..=1_048_576);
        // Of the Collector's own caches: read, so that its files are, and without a meaning here.
        section.field("dimensions_cache_size", &mut 0u64);
        section.field("metric_timestamp_cache_size", &mut 0u64);
        section.finish();
        it
    }

    fn read_times(&mut self, section: &Section<'_>) {
        let year = Duration::from_hours(24 * 365);
        section.ranged(
            "metrics_flush_interval",
            &mut self.metrics_flush_interval,
            Duration::from_millis(100)..=Duration::from_hours(1),
        );
        section.ranged(
            "metrics_expiration",
            &mut self.metrics_expiration,
            Duration::ZERO..=year,
        );
        section.ranged(
            "series_expiration",
            &mut self.series_expiration,
            Duration::ZERO..=year,
        );
    }

    fn read_histogram(&mut self, section: &Section<'_>) {
        let Some(histogram) = section.section("histogram") else {
            return;
        };
        histogram.field("disable", &mut self.histogram_disable);
        histogram.field("unit", &mut self.unit);
        self.histogram_dimensions = dimensions(&histogram, "dimensions", &self.dimensions);
        let explicit = histogram.section("explicit");
        let exponential = histogram.section("exponential");
        if explicit.is_some() && exponential.is_some() {
            histogram.problem("exponential", "use either `explicit` or `exponential` buckets");
        }
        if let Some(explicit) = explicit {
            let mut bounds = None::<Vec<Duration>>;
            explicit.field("buckets", &mut bounds);
            if let Some(bounds) = bounds {
                self.buckets = Buckets::Explicit(bounds);
            }
            explicit.finish();
        } else if let Some(exponential) = exponential {
            let mut max_size = 160;
            exponential.ranged("max_size", &mut max_size, 2..=10_000);
            self.buckets = Buckets::Exponential { max_size };
            exponential.finish();
        }
        histogram.finish();
    }

    fn read_events(&mut self, section: &Section<'_>) {
        let Some(events) = section.section("events") else {
            return;
        };
        events.field("enabled", &mut self.events);
        self.events_dimensions = dimensions(&events, "dimensions", &self.dimensions);
        if self.events && self.events_dimensions.is_empty() {
            events.problem(
                "dimensions",
                "required where events are counted; name attributes of events",
            );
        }
        events.finish();
    }
}
