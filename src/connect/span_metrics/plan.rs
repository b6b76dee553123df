//! What is collected, compiled once from the configuration.

use crate::config::{Buckets, Dimension, DurationUnit, SpanMetricsConnector, Temporality};
use crate::wire::{KeyTable, KeyTableBuilder, PrefixId, Slot};
use globset::{Glob, GlobMatcher};

/// A default dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Service,
    SpanName,
    SpanKind,
    Status,
    /// Name of the scope, where the configuration lists it.
    ScopeName,
    ScopeVersion,
    /// `sampling.method`.
    Sampling,
}

/// A dimension that the configuration names.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) slot: Slot,
    pub(super) default: Option<Box<str>>,
    pub(super) name: Box<str>,
}

/// All attributes whose keys match.
#[derive(Clone, Debug)]
pub(super) struct Wild {
    pub(super) prefix: PrefixId,
    /// What the prefix has taken off a key.
    pub(super) head: Box<str>,
    pub(super) matcher: GlobMatcher,
}

/// Metrics that share their dimensions, and so their series.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) calls: bool,
    pub(super) duration: bool,
    pub(super) events: bool,
    pub(super) named: Vec<Named>,
    pub(super) wild: Vec<Wild>,
}

/// What durations are collected in.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    None,
    /// Upper bounds in nanoseconds.
    Explicit(Box<[u64]>),
    Exponential {
        max_size: usize,
    },
}

/// Everything that a span is looked at for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) keys: KeyTable,
    pub(super) service: Slot,
    pub(super) own: Vec<(Own, &'static str)>,
    pub(super) families: Vec<Family>,
    pub(super) shape: Shape,
    pub(super) unit_nanos: f64,
    pub(super) unit: &'static str,
    pub(super) scopes: Vec<Box<str>>,
    /// The prefix of every key, where resources are kept apart.
    pub(super) every: Option<PrefixId>,
    /// What tells resources apart; empty is everything.
    pub(super) resource_keys: Vec<Box<str>>,
    pub(super) with_instance: bool,
    pub(super) delta: bool,
    pub(super) exemplars: usize,
    pub(super) names: Names,
}

/// Names of the metrics.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) calls: String,
    pub(super) duration: String,
    pub(super) events: String,
}

/// Name of the dimension that tells replicas apart.
pub(super) const INSTANCE: &str = "collector.instance.id";

impl Plan {
    pub(super) fn new(config: &SpanMetricsConnector) -> Self {
        let mut keys = KeyTableBuilder::default();
        let service = keys.key("service.name");
        let every = config.add_resource_attributes.then(|| keys.prefix(""));
        let families = families(config, &mut keys);
        let shape = match &config.buckets {
            _ if config.histogram_disable => Shape::None,
            Buckets::Explicit(bounds) => {
                let nanos = |bound: &std::time::Duration| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
                Shape::Explicit(bounds.iter().map(nanos).collect())
            }
            Buckets::Exponential { max_size } => Shape::Exponential {
                max_size: usize::try_from(*max_size).unwrap_or(160),
            },
        };
        let (unit, unit_nanos) = match config.unit {
            DurationUnit::Millis => ("ms", 1e6),
            DurationUnit::Secs => ("s", 1e9),
        };
        let name = |name: &str| match config.namespace.as_str() {
            "" => name.to_owned(),
            namespace => format!("{namespace}.{name}"),
        };
        let keys_of_resource = config.resource_metrics_key_attributes.iter();
        Self {
            keys: if config.events {
                keys.all_events().build()
            } else {
                keys.build()
            },
            service,
            own: own(config),
            families,
            shape,
            unit_nanos,
            unit,
            scopes: config
                .include_instrumentation_scope
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            every,
            resource_keys: keys_of_resource.map(|key| key.as_str().into()).collect(),
            with_instance: !config.exclude_dimensions.iter().any(|name| name == INSTANCE),
            delta: config.temporality == Temporality::Delta,
            exemplars: if config.exemplars {
                config.max_per_data_point
            } else {
                0
            },
            names: Names {
                calls: name("calls"),
                duration: name("duration"),
                events: name("events"),
            },
        }
    }
}

/// The default dimensions that are not excluded, in the Collector's order.
fn own(config: &SpanMetricsConnector) -> Vec<(Own, &'static str)> {
    let mut own = vec![
        (Own::Service, "service.name"),
        (Own::SpanName, "span.name"),
        (Own::SpanKind, "span.kind"),
        (Own::Status, "status.code"),
    ];
    if !config.include_instrumentation_scope.is_empty() {
        own.push((Own::ScopeName, "span.instrumentation.scope.name"));
        own.push((Own::ScopeVersion, "span.instrumentation.scope.version"));
    }
    if config.enable_metrics_sampling_method {
        own.push((Own::Sampling, "sampling.method"));
    }
    own.retain(|(_, name)| !config.exclude_dimensions.iter().any(|excluded| excluded == name));
    own
}

/// Calls and durations share their series unless one of them has dimensions of its own.
fn families(config: &SpanMetricsConnector, keys: &mut KeyTableBuilder) -> Vec<Family> {
    let mut family = |calls, duration, events, more: &[Dimension]| {
        let (mut named, mut wild) = (Vec::new(), Vec::new());
        for dimension in config.dimensions.iter().chain(more) {
            let name = dimension.name.as_str();
            match (name.split_once('*'), Glob::new(name)) {
                (Some((head, _)), Ok(glob)) => wild.push(Wild {
                    prefix: keys.prefix(head),
                    head: head.into(),
                    matcher: glob.compile_matcher(),
                }),
                _ => named.push(Named {
                    slot: keys.key(name),
                    default: dimension.default.as_deref().map(Into::into),
                    name: name.into(),
                }),
            }
        }
        Family {
            calls,
            duration,
            events,
            named,
            wild,
        }
    };
    let mut all = Vec::new();
    if config.calls_dimensions.is_empty() && config.histogram_dimensions.is_empty() {
        all.push(family(true, !config.histogram_disable, false, &[]));
    } else {
        all.push(family(true, false, false, &config.calls_dimensions));
        if !config.histogram_disable {
            all.push(family(false, true, false, &config.histogram_dimensions));
        }
    }
    if config.events {
        all.push(family(false, false, true, &config.events_dimensions));
    }
    all
}
