//! Simulated incidents: every built-in, from calm to alarm and back, and what counters, gauges and clocks do
//! on the way.

#![allow(
    clippy::semicolon_if_nothing_returned,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "scripts of incidents, in whole numbers"
)]

use super::builtin::{self, Reads};
use super::collect::Collected;
use super::*;
use crate::config::Cohorts;
use crate::sli::SpanContext;
use crate::time::UnixNanos;
use crate::wire::{Attributes, KeyTableBuilder, Scope, Span, WalkLimits};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data, number_data_point::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;

const T0: u64 = 1_795_000_200;
const SEC: u64 = NANOS_PER_SEC;
const LIMITS: WalkLimits = WalkLimits {
    spans_max: 100_000,
    attributes_max: 256,
    events_max: 256,
    nesting_max: 16,
};

fn pair(key: &str, value: &str) -> KeyValue {
    let value = match value.parse::<i64>() {
        Ok(whole) => any_value::Value::IntValue(whole),
        Err(_) => any_value::Value::StringValue(value.to_owned()),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A stream, as senders see it.
#[derive(Clone, Debug)]
enum Kind {
    /// A sum that only grows, cumulative.
    Counter,
    /// The same with delta temporality.
    Delta,
    Gauge,
    /// A sum that may fall.
    UpDown,
    /// A histogram with these bounds; its state is a list of bucket totals.
    Histogram(Vec<f64>),
    /// The sum of a summary; its count is the number of calls.
    Summary,
}

/// One service in simulated time.
struct World {
    indicators: Indicators,
    watches: MetricWatches,
    now: u64,
    start: u64,
    instance: String,
    totals: BTreeMap<String, Vec<f64>>,
    pending: Vec<Metric>,
}

impl World {
    fn new(plan: Plan) -> Self {
        Self::with_limits(plan, IndicatorLimits::default())
    }

    fn with_limits(plan: Plan, limits: IndicatorLimits) -> Self {
        let plan = Arc::new(plan);
        let watches = MetricWatches::compile(&plan, &Cohorts::default(), LIMITS);
        Self {
            indicators: Indicators::new(plan, limits),
            watches,
            now: T0,
            start: T0,
            instance: "a".to_owned(),
            totals: BTreeMap::new(),
            pending: Vec::new(),
        }
    }

    /// A world in which every service has this built-in.
    fn of(name: &str) -> Self {
        let spec = builtin::named(name).expect(name).spec.clone();
        Self::new(Plan::compile(&[spec], &[]).unwrap())
    }

    /// A world with one indicator of its own.
    fn declared(value: &str, enter: &str, by: &[&str]) -> Self {
        Self::new(Plan::compile(&[], &[layer(value, enter, by)]).unwrap())
    }

    fn now(&self) -> UnixNanos {
        UnixNanos::from_secs(self.now)
    }

    /// Adds a point to the next request. Of counters `by` is what the stream grew since its last point.
    fn point(&mut self, name: &str, unit: &str, kind: &Kind, attributes: &[(&str, &str)], by: &[f64]) {
        let key = format!("{name} {attributes:?} {}", self.instance);
        let totals = self.totals.entry(key).or_insert_with(|| vec![0.0; by.len()]);
        for (total, by) in totals.iter_mut().zip(by) {
            *total += by;
        }
        let attributes: Vec<_> = attributes.iter().map(|(key, value)| pair(key, value)).collect();
        let cumulative = i32::from(AggregationTemporality::Cumulative as i16);
        let delta = i32::from(AggregationTemporality::Delta as i16);
        let number = |value: f64| NumberDataPoint {
            attributes: attributes.clone(),
            start_time_unix_nano: self.start * SEC,
            time_unix_nano: self.now * SEC,
            value: Some(Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let sum = |value, is_monotonic, aggregation_temporality| {
            Data::Sum(Sum {
                data_points: vec![number(value)],
                aggregation_temporality,
                is_monotonic,
            })
        };
        let data = match kind {
            Kind::Counter => sum(totals[0], true, cumulative),
            Kind::Delta => {
                let mut only = number(by[0]);
                only.start_time_unix_nano = 0;
                Data::Sum(Sum {
                    data_points: vec![only],
                    aggregation_temporality: delta,
                    is_monotonic: true,
                })
            }
            Kind::Gauge => Data::Gauge(Gauge {
                data_points: vec![number(by[0])],
            }),
            Kind::UpDown => sum(by[0], false, cumulative),
            Kind::Histogram(bounds) => Data::Histogram(Histogram {
                data_points: vec![HistogramDataPoint {
                    attributes: attributes.clone(),
                    start_time_unix_nano: self.start * SEC,
                    time_unix_nano: self.now * SEC,
                    count: totals.iter().sum::<f64>() as u64,
                    sum: Some(totals.iter().sum::<f64>()),
                    bucket_counts: totals.iter().map(|it| *it as u64).collect(),
                    explicit_bounds: bounds.clone(),
                    ..HistogramDataPoint::default()
                }],
                aggregation_temporality: cumulative,
            }),
            Kind::Summary => Data::Summary(Summary {
                data_points: vec![SummaryDataPoint {
                    attributes: attributes.clone(),
                    start_time_unix_nano: self.start * SEC,
                    time_unix_nano: self.now * SEC,
                    count: 1,
                    sum: totals[0],
                    ..SummaryDataPoint::default()
                }],
            }),
        };
        self.pending.push(Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        });
    }

    /// Sends what was added, as one request.
    fn send(&mut self) {
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource {
                    attributes: vec![
                        pair("service.name", "shop"),
                        pair("deployment.environment.name", "production"),
                        pair("service.instance.id", &self.instance),
                    ],
                    ..Resource::default()
                }),
                scope_metrics: vec![ScopeMetrics {
                    metrics: std::mem::take(&mut self.pending),
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        let bytes = request.encode_to_vec();
        let collected = self.watches.walk(&bytes).unwrap();
        self.indicators.absorb(UnixNanos::from_secs(self.now), collected);
    }

    /// Lets `secs` pass, with a tick every second.
    fn pass(&mut self, secs: u64) {
        for _ in 0..secs {
            self.now += 1;
            self.indicators.evaluate(self.now());
        }
    }

    fn status(&self, name: &str) -> Option<Arc<IndicatorStatus>> {
        self.indicators.board().get(name, "shop", Some("production"))
    }

    fn state(&self, name: &str) -> IndicatorState {
        self.status(name).map_or(IndicatorState::NoData, |it| it.state)
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.status(name)?.value
    }
}

fn layer(value: &str, enter: &str, by: &[&str]) -> Layer {
    Layer {
        service: "shop".into(),
        environment: None,
        indicators: vec![spec("mine", value, enter, by)],
        off: Vec::new(),
    }
}

fn spec(name: &str, value: &str, enter: &str, by: &[&str]) -> Arc<IndicatorSpec> {
    Arc::new(IndicatorSpec {
        name: name.into(),
        description: "".into(),
        unit: "".into(),
        value: value.parse().unwrap(),
        by: by
            .iter()
            .map(|it| crate::sli::expr::Field::attribute(it))
            .collect(),
        rule: Rule::new(enter.parse().unwrap(), None).unwrap(),
    })
}

/// Sends what `points` says of each ten seconds, and looks whether it was ever active.
fn run(world: &mut World, name: &str, secs: u64, points: &mut dyn FnMut(&mut World, u64)) -> bool {
    let mut was_active = false;
    for step in 0..secs / 10 {
        points(world, step);
        world.send();
        world.pass(10);
        was_active |= world.state(name).is_active();
    }
    was_active
}

/// One built-in over one set of metrics: calm for twenty minutes, an incident of twenty, calm again.
fn incident(name: &str, mut points: impl FnMut(&mut World, u64, bool)) {
    let mut world = World::of(name);
    let calm = run(&mut world, name, 1200, &mut |world, step| {
        points(world, step, false)
    });
    assert!(
        !calm,
        "{name} alarms while nothing happens: {:?}",
        world.status(name)
    );
    assert_eq!(
        world.state(name),
        IndicatorState::Calm,
        "{name}: {:?}",
        world.status(name)
    );
    let alarm = run(&mut world, name, 1200, &mut |world, step| {
        points(world, 120 + step, true)
    });
    assert!(
        alarm,
        "{name} slept through its incident: {:?}",
        world.status(name)
    );
    // A look fifteen minutes back needs fifteen minutes to see that all is as it was.
    run(&mut world, name, 2400, &mut |world, step| {
        points(world, 240 + step, false)
    });
    assert_eq!(
        world.state(name),
        IndicatorState::Calm,
        "{name} does not let go: {:?}",
        world.status(name)
    );
}

fn when(bad: bool, then: f64, otherwise: f64) -> [f64; 1] {
    [if bad { then } else { otherwise }]
}

#[test]
fn pools_that_are_used_up_are_seen_under_every_name() {
    for (used, max, key) in [
        (
            (
                "db.client.connection.count",
                vec![("db.client.connection.state", "used")],
            ),
            "db.client.connection.max",
            "db.client.connection.pool.name",
        ),
        (
            ("db.client.connections.usage", vec![("state", "used")]),
            "db.client.connections.max",
            "pool.name",
        ),
        (
            ("hikaricp.connections.active", vec![]),
            "hikaricp.connections.max",
            "pool",
        ),
        (
            ("jdbc_connections_active", vec![]),
            "jdbc_connections_max",
            "pool",
        ),
    ] {
        incident("pool_use", |world, _, bad| {
            let mut labels = used.1.clone();
            labels.push((key, "orders"));
            world.point(
                used.0,
                "{connection}",
                &Kind::UpDown,
                &labels,
                &when(bad, 19.5, 9.0),
            );
            world.point(max, "{connection}", &Kind::UpDown, &[(key, "orders")], &[20.0]);
        });
    }
    for name in [
        "db.client.connection.pending_requests",
        "hikaricp_connections_pending",
    ] {
        incident("pool_pending", |world, _, bad| {
            world.point(name, "", &Kind::Gauge, &[("pool", "p")], &when(bad, 12.0, 0.0))
        });
    }
    incident("pool_timeouts", |world, _, bad| {
        world.point(
            "hikaricp_connections_timeout_total",
            "",
            &Kind::Counter,
            &[("pool", "p")],
            &when(bad, 2.0, 0.0),
        )
    });
}

#[test]
fn saturation_is_seen_under_every_name() {
    for name in [
        "envoy_cluster_upstream_rq_pending_overflow",
        "envoy.cluster.upstream_rq_pending_overflow",
        "cluster.upstream_rq_pending_overflow",
        "upstream_rq_pending_overflow",
    ] {
        incident("pending_overflow", |world, _, bad| {
            world.point(
                name,
                "",
                &Kind::Counter,
                &[("envoy_cluster_name", "pay")],
                &when(bad, 20.0, 0.0),
            );
        });
    }
    let mut labels = Vec::new();
    incident("thread_pool_use", |world, _, bad| {
        let status = world.status("thread_pool_use");
        if let Some(group) = status.as_ref().and_then(|it| it.groups.first()) {
            labels.clone_from(&group.labels);
        }
        world.point(
            "tomcat.threads.busy",
            "threads",
            &Kind::Gauge,
            &[("name", "http")],
            &when(bad, 199.0, 20.0),
        );
        world.point(
            "tomcat.threads.config.max",
            "threads",
            &Kind::Gauge,
            &[("name", "http")],
            &[200.0],
        );
    });
    assert_eq!(
        labels,
        [("name".into(), "http".to_owned())],
        "as it is called, not as a formula must write it"
    );
    for (name, key) in [
        ("rabbitmq_queue_messages_ready", "queue"),
        ("envoy_cluster_upstream_rq_pending_active", "envoy_cluster_name"),
        ("envoy.cluster.upstream_rq_pending_active", "envoy.cluster_name"),
        ("upstream_rq_pending_active", "envoy_cluster_name"),
    ] {
        let mut depth = 50.0;
        incident("queue_growth", |world, _, bad| {
            depth = if bad { depth + 200.0 } else { 50.0 };
            world.point(name, "", &Kind::Gauge, &[(key, "mail")], &[depth]);
        });
    }
}

#[test]
fn a_tail_that_grows_is_seen_in_histograms() {
    let bounds = vec![0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4];
    for (name, unit) in [
        ("http.server.request.duration", "s"),
        ("rpc.server.duration", "ms"),
    ] {
        incident("tail_latency_slope", |world, step, bad| {
            // Of a hundred requests five are slow, and slower from minute to minute.
            let slow = if bad {
                ((step - 120) / 20 + 2).min(7) as usize
            } else {
                1
            };
            let mut counts = [0.0; 8];
            counts[0] = 95.0;
            counts[slow] += 5.0;
            world.point(name, unit, &Kind::Histogram(bounds.clone()), &[], &counts);
        });
    }
}

#[test]
fn retry_storms_are_seen_in_metrics() {
    let histogram = Kind::Histogram(vec![1.0]);
    for (name, kind, key) in [
        (
            "http.server.request.duration",
            histogram,
            "http.response.status_code",
        ),
        ("http_requests_total", Kind::Counter, "code"),
        ("http_requests", Kind::Delta, "code"),
        ("istio_requests_total", Kind::Counter, "response_code"),
    ] {
        incident("retry_storm", |world, _, bad| {
            let growth = |count: f64| {
                if matches!(kind, Kind::Histogram(_)) {
                    vec![count, 0.0]
                } else {
                    vec![count]
                }
            };
            world.point(name, "", &kind, &[(key, "200")], &growth(90.0));
            world.point(
                name,
                "",
                &kind,
                &[(key, "503")],
                &growth(if bad { 40.0 } else { 0.0 }),
            );
        });
    }
}

#[test]
fn pressure_of_collectors_and_processors_is_seen() {
    for (name, kind) in [
        ("gc_pause_seconds", Kind::Summary),
        ("jvm_gc_pause_seconds", Kind::Summary),
        ("dotnet.gc.pause.time", Kind::Counter),
    ] {
        incident("gc_pressure", |world, _, bad| {
            world.point(name, "s", &kind, &[], &when(bad, 3.0, 0.1))
        });
    }
    incident("gc_pressure", |world, _, bad| {
        // The sum of the helper is the number of its measurements: three seconds in ten.
        world.point(
            "jvm.gc.duration",
            "s",
            &Kind::Histogram(vec![9.0]),
            &[],
            &[if bad { 3.0 } else { 0.0 }, 0.0],
        );
    });
    for (name, key) in [
        ("system.cpu.time", "state"),
        ("system.cpu.time", "cpu.mode"),
        ("node_cpu_seconds_total", "mode"),
    ] {
        incident("cpu_steal", |world, _, bad| {
            world.point(name, "s", &Kind::Counter, &[(key, "steal")], &when(bad, 5.0, 0.1));
            world.point(name, "s", &Kind::Counter, &[(key, "user")], &[10.0]);
        });
    }
    let mut steal = 0.0;
    incident("cpu_steal", |world, _, bad| {
        steal += if bad { 5.0 } else { 0.1 };
        world.point("cpu_steal_time", "", &Kind::Gauge, &[], &[steal]);
    });
    incident("cpu_throttling", |world, _, bad| {
        world.point(
            "container_cpu_cfs_throttled_periods_total",
            "",
            &Kind::Counter,
            &[("pod", "p")],
            &when(bad, 60.0, 1.0),
        );
        world.point(
            "container_cpu_cfs_periods_total",
            "",
            &Kind::Counter,
            &[("pod", "p")],
            &[100.0],
        );
    });
    incident("cpu_throttling", |world, _, bad| {
        world.point(
            "container_cpu_cfs_throttled_seconds_total",
            "",
            &Kind::Counter,
            &[("pod", "p")],
            &when(bad, 6.0, 0.1),
        );
    });
    incident("cpu_pressure", |world, _, bad| {
        world.point(
            "k8s.container.cpu_limit_utilization",
            "1",
            &Kind::Gauge,
            &[],
            &when(bad, 0.99, 0.5),
        )
    });
}

#[test]
fn lags_locks_and_delays_are_seen() {
    for name in [
        "kafka.consumer_group.lag",
        "kafka.consumer_lag",
        "kafka_consumergroup_lag",
        "kafka_consumergroup_group_lag",
    ] {
        let mut lag = 100.0;
        incident("lag_growth", |world, _, bad| {
            lag = if bad { lag + 500.0 } else { 100.0 };
            world.point(
                name,
                "1",
                &Kind::Gauge,
                &[("topic", "orders"), ("partition", "0")],
                &[lag],
            );
            world.point(
                name,
                "1",
                &Kind::Gauge,
                &[("topic", "orders"), ("partition", "1")],
                &[100.0],
            );
        });
    }
    incident("lock_waits", |world, _, bad| {
        world.point(
            "mysql.row_locks",
            "1",
            &Kind::Counter,
            &[("kind", "waits")],
            &when(bad, 500.0, 10.0),
        )
    });
    // The exporter does not say that this is a counter.
    let mut waits = 0.0;
    incident("lock_waits", |world, _, bad| {
        waits += if bad { 500.0 } else { 10.0 };
        world.point(
            "mysql_global_status_innodb_row_lock_waits",
            "",
            &Kind::Gauge,
            &[],
            &[waits],
        );
    });
    incident("lock_waiters", |world, _, bad| {
        world.point(
            "pg_stat_activity_count",
            "",
            &Kind::Gauge,
            &[("wait_event_type", "Lock")],
            &when(bad, 30.0, 0.0),
        )
    });
    for (name, labels) in [
        ("mysql.replica.time_behind_source", vec![]),
        ("mysql_slave_status_seconds_behind_master", vec![]),
        ("pg_replication_lag_seconds", vec![]),
        ("postgresql.wal.lag", vec![("operation", "replay")]),
    ] {
        incident("replica_delay", |world, _, bad| {
            world.point(name, "s", &Kind::Gauge, &labels, &when(bad, 90.0, 1.0))
        });
    }
}

#[test]
fn caches_and_dependencies_are_seen() {
    for (hits, misses) in [
        ("redis.keyspace.hits", "redis.keyspace.misses"),
        ("redis_keyspace_hits_total", "redis_keyspace_misses_total"),
    ] {
        incident("cache_miss_delta", |world, _, bad| {
            world.point(hits, "", &Kind::Counter, &[], &when(bad, 500.0, 950.0));
            world.point(misses, "", &Kind::Counter, &[], &when(bad, 500.0, 50.0));
        });
    }
    for evicted in ["redis.keys.evicted", "redis_evicted_keys_total"] {
        incident("eviction_storm", |world, _, bad| {
            world.point(evicted, "", &Kind::Counter, &[], &when(bad, 300.0, 0.0));
            world.point("redis.keyspace.hits", "", &Kind::Counter, &[], &[900.0]);
            world.point("redis.keyspace.misses", "", &Kind::Counter, &[], &[100.0]);
        });
    }
    let histogram = Kind::Histogram(vec![1.0]);
    for (name, error) in [
        (
            "http.client.request.duration",
            ("http.response.status_code", "502"),
        ),
        ("http.client.request.duration", ("error.type", "timeout")),
        ("db.client.operation.duration", ("error.type", "deadlock")),
        ("rpc.client.duration", ("rpc.grpc.status_code", "14")),
    ] {
        incident("dependency_errors", |world, _, bad| {
            world.point(
                name,
                "s",
                &histogram,
                &[("server.address", "bank")],
                &[100.0, 0.0],
            );
            world.point(
                name,
                "s",
                &histogram,
                &[("server.address", "bank"), error],
                &[if bad { 20.0 } else { 0.0 }, 0.0],
            );
        });
    }
}

#[test]
fn every_metric_of_every_built_in_alarms_in_some_incident_here() {
    let text = include_str!("incidents.rs");
    for built_in in builtin::all() {
        let name = format!("\"{}\"", built_in.spec.name);
        assert!(text.contains(&name), "no incident of {name}");
    }
}

// ---- What counters, gauges and senders do.

#[test]
fn a_restarted_counter_is_no_negative_growth_and_no_burst() {
    let mut world = World::declared("rate(c[1m])", "> 50", &[]);
    let alarmed = run(&mut world, "mine", 300, &mut |world, _| {
        world.point("c", "", &Kind::Counter, &[], &[100.0])
    });
    assert!(!alarmed);
    assert_eq!(world.value("mine"), Some(10.0));
    // The process restarts: its total begins anew.
    world.totals.clear();
    world.start = world.now;
    let alarmed = run(&mut world, "mine", 300, &mut |world, _| {
        world.point("c", "", &Kind::Counter, &[], &[100.0]);
        assert!(
            world.value("mine").is_none_or(|it| (0.0..=20.0).contains(&it)),
            "{:?}",
            world.value("mine")
        );
    });
    assert!(!alarmed);
    assert!((world.value("mine").unwrap() - 10.0).abs() < 1e-6);
}

#[test]
fn a_gap_is_neither_an_alarm_nor_its_end_until_it_is_long() {
    let mut world = World::declared("max(g)", "> 5", &[]);
    run(&mut world, "mine", 60, &mut |world, _| {
        world.point("g", "", &Kind::Gauge, &[], &[9.0])
    });
    assert_eq!(world.state("mine"), IndicatorState::Active);
    world.pass(200);
    assert_eq!(world.state("mine"), IndicatorState::Active);
    world.pass(400);
    let status = world.status("mine").unwrap();
    assert_eq!((status.state, status.value), (IndicatorState::NoData, None));
    run(&mut world, "mine", 20, &mut |world, _| {
        world.point("g", "", &Kind::Gauge, &[], &[1.0])
    });
    assert_eq!(world.state("mine"), IndicatorState::Calm);
}

#[test]
fn growth_at_one_minute_intervals_is_the_same_rate() {
    let mut world = World::declared("rate(c[5m])", "> 50", &[]);
    for minute in 0..20 {
        world.point("c", "", &Kind::Counter, &[], &[600.0]);
        world.send();
        world.pass(60);
        if minute > 6 {
            let value = world.value("mine").unwrap();
            assert!((value - 10.0).abs() < 1e-6, "{value}");
        }
    }
}

#[test]
fn instances_that_come_and_go_are_no_growth_of_a_level() {
    let mut world = World::declared("delta(g[5m])", "> 5", &[]);
    let alarmed = run(&mut world, "mine", 900, &mut |world, step| {
        for (instance, from, until) in [("a", 0, 90), ("b", 20, 60), ("c", 40, 90)] {
            if (from..until).contains(&step) {
                world.instance = instance.to_owned();
                world.point("g", "", &Kind::Gauge, &[], &[100.0]);
                world.send();
            }
        }
    });
    assert!(!alarmed, "{:?}", world.status("mine"));
    assert_eq!(world.value("mine"), Some(0.0));
}

#[test]
fn points_that_come_twice_or_late_change_nothing() {
    let mut world = World::declared("increase(c[1m])", "> 1e9", &[]);
    run(&mut world, "mine", 120, &mut |world, _| {
        world.point("c", "", &Kind::Counter, &[], &[60.0])
    });
    let before = world.value("mine");
    assert_eq!(before, Some(360.0));
    let now = world.now;
    for earlier in [10, 30] {
        world.now = now - earlier;
        world.point("c", "", &Kind::Counter, &[], &[0.0]);
        world.send();
    }
    world.now = now;
    world.point("c", "", &Kind::Counter, &[], &[60.0]);
    world.send();
    world.pass(10);
    assert_eq!(world.value("mine"), Some(360.0));
}

#[test]
fn what_a_metric_is_not_is_said() {
    let mut world = World::declared("quantile(0.9, g[1m])", "> 1", &[]);
    run(&mut world, "mine", 30, &mut |world, _| {
        world.point("g", "", &Kind::Gauge, &[], &[1.0])
    });
    let status = world.status("mine").unwrap();
    assert_eq!(status.reason.as_str(), "unusable", "{status:?}");
    let mut world = World::declared("sum(h) + 0 * max(g)", "> 1", &[]);
    run(&mut world, "mine", 30, &mut |world, _| {
        world.point("h", "", &Kind::Histogram(vec![1.0]), &[], &[1.0, 1.0]);
        world.point("g", "", &Kind::Gauge, &[], &[1.0]);
    });
    let status = world.status("mine").unwrap();
    assert_eq!(status.reason.as_str(), "unusable", "{status:?}");
    assert!(
        status.reason.to_string().contains("h is a histogram or summary"),
        "{}",
        status.reason
    );
}

#[test]
fn groups_are_told_apart_and_the_worst_speaks() {
    let mut world = World::declared("max(lag)", "> 5", &["topic"]);
    run(&mut world, "mine", 30, &mut |world, _| {
        for (topic, lag) in [("a", 1.0), ("b", 9.0), ("c", 7.0)] {
            world.point("lag", "", &Kind::Gauge, &[("topic", topic)], &[lag]);
        }
    });
    let status = world.status("mine").unwrap();
    assert_eq!((status.value, status.state), (Some(9.0), IndicatorState::Active));
    let groups: Vec<_> = status
        .groups
        .iter()
        .map(|it| (it.labels[0].1.as_str(), it.value))
        .collect();
    assert_eq!(groups, [("b", Some(9.0)), ("c", Some(7.0)), ("a", Some(1.0))]);
}

#[test]
fn what_is_beyond_a_limit_is_refused_and_the_rest_works() {
    let limits = IndicatorLimits {
        max_groups: 3,
        max_streams: 5,
        ..IndicatorLimits::default()
    };
    let plan = Plan::compile(&[], &[layer("count(g)", "> 100", &["topic"])]).unwrap();
    let mut world = World::with_limits(plan, limits);
    run(&mut world, "mine", 30, &mut |world, _| {
        for nth in 0..10 {
            let (topic, part) = (format!("t{}", nth % 5), nth.to_string());
            world.point(
                "g",
                "",
                &Kind::Gauge,
                &[("topic", &topic), ("partition", &part)],
                &[1.0],
            );
        }
    });
    let status = world.status("mine").unwrap();
    assert_eq!(status.groups.len(), 3);
    let streams: f64 = status.groups.iter().filter_map(|it| it.value).sum();
    assert_eq!(streams, 5.0);
}

#[test]
fn a_reload_keeps_samples_and_states_of_what_stays() {
    let mut world = World::declared("increase(c[5m])", "> 100", &[]);
    run(&mut world, "mine", 120, &mut |world, _| {
        world.point("c", "", &Kind::Counter, &[], &[60.0])
    });
    let before = world.status("mine").unwrap();
    assert_eq!(before.state, IndicatorState::Active);
    let mut changed = layer("increase(c[5m])", "> 100", &[]);
    changed.indicators.insert(0, spec("other", "max(z)", "> 1", &[]));
    let plan = Arc::new(Plan::compile(&[], &[changed]).unwrap());
    world.indicators.adopt(plan.clone(), IndicatorLimits::default());
    world.watches = MetricWatches::compile(&plan, &Cohorts::default(), LIMITS);
    run(&mut world, "mine", 10, &mut |world, _| {
        world.point("c", "", &Kind::Counter, &[], &[60.0])
    });
    let after = world.status("mine").unwrap();
    assert_eq!((after.state, after.since), (before.state, before.since));
    assert!(after.value > before.value);
    assert_eq!(world.status("other").unwrap().reason.as_str(), "unseen");
}

#[test]
fn a_policy_tunes_and_turns_off_and_hides_what_a_glob_says() {
    let built_in: Vec<_> = builtin::all().iter().map(|it| it.spec.clone()).collect();
    let glob = Layer {
        service: "s*".into(),
        ..layer("max(g)", "> 1", &[])
    };
    let own = Layer {
        indicators: Vec::new(),
        off: vec!["pool_pending".into()],
        ..layer("max(g)", "> 1", &[])
    };
    let plan = Plan::compile(&built_in, &[own, glob]).unwrap();
    let names = |service: &str| {
        let scope = plan.scope(service, None);
        let name = |index: &u16| plan.definitions[usize::from(*index)].spec.name.to_string();
        scope.definitions.iter().map(name).collect::<Vec<_>>()
    };
    let (shop, store, other) = (names("shop"), names("store"), names("x"));
    assert!(!shop.contains(&"mine".to_owned()) && !shop.contains(&"pool_pending".to_owned()));
    assert!(store.contains(&"mine".to_owned()) && store.contains(&"pool_pending".to_owned()));
    assert_eq!(
        (other.len(), store.len(), shop.len()),
        (built_in.len(), built_in.len() + 1, built_in.len() - 1)
    );
}

#[test]
fn who_declares_an_indicator_finds_it_before_anything_came() {
    let world = World::declared("max(g)", "> 1", &[]);
    world.indicators.evaluate(UnixNanos::from_secs(T0 + 10));
    let status = world.indicators.board().get("mine", "shop", None).unwrap();
    assert_eq!(
        (status.state, status.reason.as_str()),
        (IndicatorState::NoData, "unseen")
    );
    assert_eq!(status.reason.to_string(), "no value: nothing has come of g");
}

// ---- Spans.

/// Counts spans of (duration in milliseconds, status code, HTTP status, caller).
fn spans(watches: &SpanWatches, now: u64, spans: &[(u64, i32, i64, &str)], keys: &SpanKeys) -> Collected {
    let mut collector = SpanCollector::new(watches, UnixNanos::from_secs(now));
    let empty = Attributes::new(&keys.table);
    collector.resource("shop", Some("production"));
    for (millis, status, http, caller) in spans {
        let message: &'static [u8] = Box::leak(span_message(*http, caller).into_boxed_slice());
        let mut attributes = Attributes::new(&keys.table);
        attributes.read(message, 9, &keys.table, &LIMITS).unwrap();
        let span = Span {
            kind: if *status < 0 { 3 } else { 2 },
            status_code: status.abs(),
            start_time_unix_nano: now * SEC - millis * 1_000_000,
            end_time_unix_nano: now * SEC,
            ..Span::default()
        };
        collector.span(&SpanContext {
            span: &span,
            attributes: &attributes,
            scope: &Scope {
                name: b"",
                version: b"",
                attributes: &empty,
            },
            resource: &empty,
        });
    }
    collector.finish()
}

struct SpanKeys {
    table: crate::wire::KeyTable,
}

/// A span with the attributes that the built-ins read.
#[allow(clippy::disallowed_methods, reason = "prost makes the bytes")]
fn span_message(http: i64, caller: &str) -> Vec<u8> {
    use opentelemetry_proto::tonic::trace::v1::Span as Message;
    let span = Message {
        attributes: vec![
            pair("http.response.status_code", &http.to_string()),
            pair("client.address", caller),
            pair("server.address", "bank"),
        ],
        ..Message::default()
    };
    span.encode_to_vec()
}

/// The states that a built-in over spans goes through when `batch` makes the spans of each ten seconds.
fn over_spans(
    name: &str,
    mut batch: impl FnMut(u64, bool) -> Vec<(u64, i32, i64, &'static str)>,
) -> Arc<IndicatorStatus> {
    let spec = builtin::named(name).unwrap();
    assert_eq!(spec.reads, Reads::Spans);
    let plan = Arc::new(Plan::compile(std::slice::from_ref(&spec.spec), &[]).unwrap());
    let mut builder = KeyTableBuilder::default();
    let watches = SpanWatches::compile(&plan, &mut builder);
    let keys = SpanKeys {
        table: builder.build(),
    };
    let indicators = Indicators::new(plan, IndicatorLimits::default());
    let mut active = None;
    let mut now = T0;
    for step in 0..360 {
        let bad = (120..240).contains(&step);
        let all = batch(step, bad);
        indicators.absorb(UnixNanos::from_secs(now), spans(&watches, now, &all, &keys));
        now += 10;
        indicators.evaluate(UnixNanos::from_secs(now));
        let status = indicators.board().get(name, "shop", Some("production")).unwrap();
        if status.state.is_active() {
            assert!(
                bad || step > 239,
                "{name} alarms while nothing happens: {status:?}"
            );
            active.get_or_insert(status);
        }
    }
    let last = indicators.board().get(name, "shop", Some("production")).unwrap();
    assert_eq!(last.state, IndicatorState::Calm, "{last:?}");
    active.unwrap_or_else(|| panic!("{name} slept through its incident: {last:?}"))
}

#[test]
fn incidents_are_seen_in_spans() {
    over_spans("tail_latency_slope_spans", |step, bad| {
        let slow = if bad { 100 + (step - 120) * 30 } else { 100 };
        let mut spans = vec![(20, 0, 200, "a"); 95];
        spans.extend(vec![(slow, 0, 200, "a"); 5]);
        spans
    });
    over_spans("retry_storm_spans", |_, bad| {
        let mut spans = vec![(20, 0, 200, "a"); 50];
        spans.extend(vec![(1, 0, if bad { 429 } else { 200 }, "b"); 20]);
        spans
    });
    let storm = over_spans("single_caller_storm_spans", |_, bad| {
        let mut spans = vec![
            (20, 0, 503, "a"),
            (20, 0, 503, "b"),
            (20, 0, 503, "c"),
            (9, 0, 503, "d"),
        ];
        spans.extend(vec![(1, 0, if bad { 503 } else { 200 }, "10.0.0.7"); 20]);
        spans
    });
    assert_eq!(storm.reason.to_string(), "beyond the threshold, by \"10.0.0.7\"");
    let errors = over_spans("dependency_errors_spans", |_, bad| {
        let mut spans = vec![(20, -1, 200, "a"); 50];
        spans.extend(vec![(1, if bad { -2 } else { -1 }, 200, "a"); 20]);
        spans
    });
    let label = |it: &GroupStatus| {
        it.labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(label(&errors.groups[0]), ["server.address=bank"]);
    // The status that an SLI would call bad, of spans whose own status nobody set to an error.
    for status in [503, 429] {
        over_spans("dependency_errors_spans", |_, bad| {
            let mut spans = vec![(20, -1, 200, "a"); 50];
            spans.extend(vec![(1, -1, if bad { status } else { 200 }, "a"); 20]);
            spans
        });
    }
}

#[test]
fn spans_of_services_without_such_an_indicator_are_not_looked_at() {
    let built_in: Vec<_> = builtin::all()
        .iter()
        .filter(|it| it.reads == Reads::Metrics)
        .map(|it| it.spec.clone())
        .collect();
    let plan = Arc::new(Plan::compile(&built_in, &[]).unwrap());
    let watches = SpanWatches::compile(&plan, &mut KeyTableBuilder::default());
    let mut collector = SpanCollector::new(&watches, UnixNanos::from_secs(T0));
    collector.resource("shop", None);
    assert!(!collector.is_watching());
    assert!(collector.finish().is_empty());
}
