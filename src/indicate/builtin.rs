//! Indicators that burngate brings, under the names that semantic conventions and the usual exporters use.
//!
//! Each is active where many teams would want to know, and each can be tuned or turned off by a policy. Where
//! the healthy height of a value differs from system to system (a queue's depth, a lag, a latency), the value
//! is a growth relative to itself, so that one threshold fits. Several names of one thing stand in `first`:
//! what a service does not send costs nothing.

use super::rule::Rule;
use super::spec::IndicatorSpec;
use crate::sli::expr::Field;
use std::sync::{Arc, LazyLock};

/// What a built-in reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Metrics: on by default.
    Metrics,
    /// Spans: on where a policy names it, or where the configuration says `all`, since it costs something for
    /// each span.
    Spans,
}

struct Entry {
    name: &'static str,
    description: &'static str,
    unit: &'static str,
    value: &'static str,
    by: &'static [&'static str],
    enter: &'static str,
    leave: &'static str,
    reads: Reads,
}

/// A built-in.
#[derive(Clone, Debug)]
pub struct BuiltIn {
    /// The indicator.
    pub spec: Arc<IndicatorSpec>,
    /// What it reads.
    pub reads: Reads,
}

const ENTRIES: [Entry; 23] = [
    // Saturation.
    Entry {
        name: "pending_overflow",
        description: "requests that a proxy refused because the queue to its upstream was full",
        unit: "1/s",
        value: "first(rate(envoy_cluster_upstream_rq_pending_overflow[1m]),
            rate(cluster.upstream_rq_pending_overflow[1m]), rate(upstream_rq_pending_overflow[1m]))",
        by: &["envoy_cluster_name", "envoy.cluster_name"],
        enter: "> 0.1 for 20s",
        leave: "< 0.01 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "queue_growth",
        description: "growth of a queue a minute, relative to its mean depth (and 100, \
            so that short queues may breathe)",
        unit: "1/min",
        value: "first(
            60 * slope(envoy_cluster_upstream_rq_pending_active[10m])
                / (avg(envoy_cluster_upstream_rq_pending_active[10m]) + 100),
            60 * slope(upstream_rq_pending_active[10m])
                / (avg(upstream_rq_pending_active[10m]) + 100),
            60 * slope(rabbitmq_queue_messages_ready[10m])
                / (avg(rabbitmq_queue_messages_ready[10m]) + 100),
            60 * slope(rabbitmq.message.current{state == ready}[10m])
                / (avg(rabbitmq.message.current{state == ready}[10m]) + 100),
            60 * slope(executor.queued[10m]) / (avg(executor.queued[10m]) + 100),
            60 * slope(executor_queued_tasks[10m]) / (avg(executor_queued_tasks[10m]) + 100),
            60 * slope(dotnet.thread_pool.queue.length[10m])
                / (avg(dotnet.thread_pool.queue.length[10m]) + 100),
            60 * slope(kestrel.queued_requests[10m]) / (avg(kestrel.queued_requests[10m]) + 100))",
        by: &["queue", "rabbitmq.queue.name", "name"],
        enter: "> 0.1 for 1m",
        leave: "< 0.02 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "pool_use",
        description: "share of a connection pool that is in use",
        unit: "1",
        value: "first(
            sum(db.client.connection.count{db.client.connection.state == used,
                db.client.connection.pool.name exists}) / sum(db.client.connection.max),
            sum(db.client.connection.count{state == used}) / sum(db.client.connection.max),
            sum(db.client.connections.usage{state == used}) / sum(db.client.connections.max),
            sum(hikaricp_connections_active) / sum(hikaricp_connections_max),
            sum(jdbc_connections_active) / sum(jdbc_connections_max),
            sum(pgbouncer_pools_server_active_connections) / sum(pgbouncer_databases_pool_size))",
        by: &["db.client.connection.pool.name", "pool.name", "pool"],
        enter: "> 0.9 for 1m",
        leave: "< 0.8 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "pool_pending",
        description: "requests that wait for a connection of a pool",
        unit: "{request}",
        value: "first(sum(db.client.connection.pending_requests), sum(db.client.connections.pending_requests),
            sum(hikaricp_connections_pending), sum(pgbouncer_pools_client_waiting_connections))",
        by: &["db.client.connection.pool.name", "pool.name", "pool"],
        enter: "> 5 for 30s",
        leave: "< 1 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "pool_timeouts",
        description: "requests a second that got no connection of a pool in time",
        unit: "1/s",
        value: "first(rate(db.client.connection.timeouts[5m]), rate(db.client.connections.timeouts[5m]),
            rate(hikaricp_connections_timeout_total[5m]))",
        by: &["db.client.connection.pool.name", "pool.name", "pool"],
        enter: "> 0.05",
        leave: "< 0.01 for 2m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "thread_pool_use",
        description: "share of a thread pool that is busy",
        unit: "1",
        value: "first(sum(tomcat_threads_busy_threads) / sum(tomcat_threads_config_max_threads),
            sum(jetty_threads_busy) / sum(jetty_threads_config_max),
            sum(executor_active_threads) / sum(executor_pool_max_threads))",
        by: &["name", "pool"],
        enter: "> 0.9 for 1m",
        leave: "< 0.8 for 1m",
        reads: Reads::Metrics,
    },
    // Latency.
    Entry {
        name: "tail_latency_slope",
        description: "growth of P99 a minute over ten minutes, relative to its mean",
        unit: "1/min",
        value: "first(
            60 * slope(quantile(0.99, http.server.request.duration[1m], 20), 10m)
                / avg(quantile(0.99, http.server.request.duration[1m], 20), 10m),
            60 * slope(quantile(0.99, rpc.server.call.duration[1m], 20), 10m)
                / avg(quantile(0.99, rpc.server.call.duration[1m], 20), 10m),
            60 * slope(quantile(0.99, rpc.server.duration[1m], 20), 10m)
                / avg(quantile(0.99, rpc.server.duration[1m], 20), 10m),
            60 * slope(quantile(0.99, http.server.duration[1m], 20), 10m)
                / avg(quantile(0.99, http.server.duration[1m], 20), 10m),
            60 * slope(quantile(0.99, http_server_requests_seconds[1m], 20), 10m)
                / avg(quantile(0.99, http_server_requests_seconds[1m], 20), 10m),
            60 * slope(quantile(0.99, http_request_duration_seconds[1m], 20), 10m)
                / avg(quantile(0.99, http_request_duration_seconds[1m], 20), 10m))",
        by: &[],
        enter: "> 0.1 for 1m",
        leave: "< 0.03 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "tail_latency_slope_spans",
        description: "growth of P99 a minute over ten minutes, relative to its mean, from spans",
        unit: "1/min",
        value: "60 * slope(quantile(0.99, spans{kind in (server, consumer)}[1m], 50), 10m)
            / avg(quantile(0.99, spans{kind in (server, consumer)}[1m], 50), 10m)",
        by: &[],
        enter: "> 0.1 for 1m",
        leave: "< 0.03 for 1m",
        reads: Reads::Spans,
    },
    // Retry storms.
    Entry {
        name: "retry_storm",
        description: "share of requests that were answered with 429 or 503, which clients try again",
        unit: "1",
        value: "first(
            share({http.response.status_code in (429, 503)}, http.server.request.duration[5m], 50),
            share({http.status_code in (429, 503)}, http.server.duration[5m], 50),
            share({status in (429, 503)}, http_server_requests_seconds_count[5m], 50),
            share({code in (429, 503)}, http_requests_total[5m], 50),
            share({response_code in (429, 503)}, istio_requests_total[5m], 50))",
        by: &[],
        enter: "> 5% for 30s",
        leave: "< 2% for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "retry_storm_spans",
        description: "share of requests that were answered with 429 or 503 (gRPC: RESOURCE_EXHAUSTED, UNAVAILABLE), \
            from spans",
        unit: "1",
        value: "share({http.response.status_code in (429, 503) or rpc.grpc.status_code in (8, 14)
            or rpc.response.status_code in (RESOURCE_EXHAUSTED, UNAVAILABLE)}, spans{kind == server}[5m], 50)",
        by: &[],
        enter: "> 5% for 30s",
        leave: "< 2% for 1m",
        reads: Reads::Spans,
    },
    Entry {
        name: "single_caller_storm_spans",
        description: "share of one caller among the requests that were answered with 429 or 503, from spans",
        unit: "1",
        value: "top_share(client.address, spans{kind == server and http.response.status_code in (429, 503)}[5m], 50)",
        by: &[],
        enter: "> 50% for 30s",
        leave: "< 30% for 1m",
        reads: Reads::Spans,
    },
    // Garbage collection and CPU.
    Entry {
        name: "gc_pressure",
        description: "share of time that an instance spends in garbage collection",
        unit: "1",
        value: "first(rate(jvm_gc_duration_seconds_sum[5m]), rate(jvm_gc_pause_seconds_sum[5m]),
                rate(gc_pause_seconds_sum[5m]),
            rate(jvm_gc_collection_seconds_sum[5m]),
                rate(process_runtime_jvm_gc_duration_milliseconds_sum[5m]) / 1000,
            rate(v8js_gc_duration_seconds_sum[5m]), rate(nodejs_gc_duration_seconds_sum[5m]),
            rate(dotnet.gc.pause.time[5m]), rate(go_gc_duration_seconds_sum[5m]))",
        by: &["service.instance.id", "instance"],
        enter: "> 10% for 1m",
        leave: "< 5% for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "cpu_steal",
        description: "share of CPU time that the hypervisor gave to somebody else",
        unit: "1",
        value: "first(share({state == steal or cpu.mode == steal}, system.cpu.time[5m]),
            share({mode == steal}, node_cpu_seconds_total[5m]),
            avg(system.cpu.utilization{state == steal or cpu.mode == steal}[1m]),
                avg(cpu_usage_steal[1m]) / 100,
            rate(cpu_steal_time[5m]))",
        by: &["host.name", "instance"],
        enter: "> 10% for 1m",
        leave: "< 5% for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "cpu_throttling",
        description: "share of scheduler periods in which a container was throttled (or seconds a second, \
            where only these are known)",
        unit: "1",
        value: "first(
            rate(container_cpu_cfs_throttled_periods_total[5m]) / rate(container_cpu_cfs_periods_total[5m]),
            rate(container.cpu.throttling_data.throttled_periods[5m])
                / rate(container.cpu.throttling_data.periods[5m]),
            rate(container_cpu_cfs_throttled_seconds_total[5m]),
            rate(container.cpu.throttling_data.throttled_time[5m]) / 1000000000)",
        by: &["k8s.pod.name", "pod", "container"],
        enter: "> 25% for 1m",
        leave: "< 10% for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "cpu_pressure",
        description: "how close the CPU of the busiest instance is to its limit, \
            or the share of time that work waits for a CPU",
        unit: "1",
        value: "first(max(k8s.container.cpu_limit_utilization[1m]), max(jvm.cpu.recent_utilization[1m]),
            max(process.runtime.jvm.cpu.utilization[1m]), max(process_cpu_usage[1m]),
            rate(node_pressure_cpu_waiting_seconds_total[5m]))",
        by: &[],
        enter: "> 95% for 2m",
        leave: "< 85% for 1m",
        reads: Reads::Metrics,
    },
    // Lag.
    Entry {
        name: "lag_growth",
        description: "growth of a consumer's lag a minute, relative to its mean (and 1000 messages)",
        unit: "1/min",
        value: "first(
            60 * slope(kafka.consumer_group.lag[10m])
                / (avg(kafka.consumer_group.lag[10m]) * count(kafka.consumer_group.lag) + 1000),
            60 * slope(kafka.consumer_lag[10m])
                / (avg(kafka.consumer_lag[10m]) * count(kafka.consumer_lag) + 1000),
            60 * slope(kafka_consumergroup_lag[10m])
                / (avg(kafka_consumergroup_lag[10m]) * count(kafka_consumergroup_lag) + 1000),
            60 * slope(kafka_consumergroup_group_lag[10m])
                / (avg(kafka_consumergroup_group_lag[10m]) * count(kafka_consumergroup_group_lag) + 1000),
            60 * slope(kafka.consumer.records_lag_max[10m])
                / (avg(kafka.consumer.records_lag_max[10m]) * count(kafka.consumer.records_lag_max) + 1000))",
        by: &["topic", "group", "consumergroup"],
        enter: "> 0.1 for 1m",
        leave: "< 0.02 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "lock_waits",
        description: "waits for row locks of a database a second",
        unit: "1/s",
        value: "first(rate(mysql.row_locks{kind == waits}[5m]), rate(mysql_global_status_innodb_row_lock_waits[5m]),
            avg(sqlserver.lock.wait.rate[1m]))",
        by: &["mysql.instance.endpoint", "instance"],
        enter: "> 10 for 1m",
        leave: "< 5 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "lock_waiters",
        description: "sessions of a database that wait for a lock now",
        unit: "{session}",
        value: "first(sum(pg_stat_activity_count{wait_event_type == Lock}),
                sum(mysql_global_status_innodb_row_lock_current_waits))",
        by: &["datname", "instance"],
        enter: "> 5 for 30s",
        leave: "< 2 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "replica_delay",
        description: "how far the worst replica of a database is behind",
        unit: "s",
        value: "first(max(mysql.replica.time_behind_source), max(mysql_slave_status_seconds_behind_master),
            max(mysql_slave_status_seconds_behind_source), max(postgresql.wal.lag{operation == replay}),
            max(pg_replication_lag_seconds), max(pg_replication_lag),
            max(mongodb_mongod_replset_member_replication_lag))",
        by: &["instance", "replication_client"],
        enter: "> 30 for 30s",
        leave: "< 10 for 1m",
        reads: Reads::Metrics,
    },
    // Caches.
    Entry {
        name: "cache_miss_delta",
        description: "miss ratio of a cache, less what it was fifteen minutes ago",
        unit: "1",
        value: "first(
            delta(rate(redis.keyspace.misses[5m])
                / (rate(redis.keyspace.misses[5m]) + rate(redis.keyspace.hits[5m])), 15m),
            delta(share({result == miss}, cache_gets_total[5m], 100), 15m),
            delta(share({type == miss}, memcached.operations[5m], 100), 15m),
            delta(share({status == miss}, memcached_commands_total{command == get}[5m], 100), 15m))",
        by: &["cache", "name", "instance"],
        enter: "> 0.1 for 30s",
        leave: "< 0.05 for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "eviction_storm",
        description: "keys that a cache throws out for each look-up",
        unit: "1",
        value: "first(
            rate(redis.keys.evicted[1m])
                / (rate(redis.keyspace.misses[1m]) + rate(redis.keyspace.hits[1m])),
            rate(redis_evicted_keys_total[1m])
                / (rate(redis_keyspace_misses_total[1m]) + rate(redis_keyspace_hits_total[1m])),
            rate(memcached.evictions[1m]) / rate(memcached.operations[1m]),
            rate(memcached_items_evicted_total[1m]) / rate(memcached_commands_total{command == get}[1m]),
            rate(cache_evictions_total[1m]) / rate(cache_gets_total[1m]))",
        by: &["cache", "name", "instance"],
        enter: "> 0.1 for 30s",
        leave: "< 0.02 for 1m",
        reads: Reads::Metrics,
    },
    // Dependencies.
    Entry {
        name: "dependency_errors",
        description: "share of calls to another service or a database that failed",
        unit: "1",
        value: "first(
            share({http.response.status_code >= 500
                or (error.type exists and not http.response.status_code exists)},
                http.client.request.duration[5m], 20),
            share({error.type exists}, db.client.operation.duration[5m], 20),
            share({error.type exists}, rpc.client.call.duration[5m], 20),
            share({rpc.grpc.status_code in (2, 4, 8, 13, 14, 15)}, rpc.client.duration[5m], 20))",
        by: &["server.address", "db.system.name"],
        enter: "> 5% for 30s",
        leave: "< 2% for 1m",
        reads: Reads::Metrics,
    },
    Entry {
        name: "dependency_errors_spans",
        description: "share of calls to another service or a database that failed, from client spans",
        unit: "1",
        value: "share({status == error
                or http.response.status_code >= 400 or http.status_code >= 400
                or rpc.grpc.status_code >= 1 or grpc.status_code >= 1
                or (rpc.response.status_code exists and not rpc.response.status_code in (OK, 0))},
            spans{kind in (client, producer)}[5m], 20)",
        by: &["server.address", "peer.service", "db.system.name"],
        enter: "> 5% for 30s",
        leave: "< 2% for 1m",
        reads: Reads::Spans,
    },
];

/// Every built-in, in the order of the documentation.
static ALL: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| ENTRIES.iter().filter_map(compiled).collect());

/// None if the entry cannot be read, of which a test sees that it does not happen.
fn compiled(entry: &Entry) -> Option<BuiltIn> {
    let rule = Rule::new(entry.enter.parse().ok()?, Some(entry.leave.parse().ok()?)).ok()?;
    let spec = IndicatorSpec {
        name: entry.name.into(),
        description: entry.description.into(),
        unit: entry.unit.into(),
        value: entry.value.parse().ok()?,
        by: entry.by.iter().map(|name| Field::attribute(name)).collect(),
        rule,
    };
    Some(BuiltIn {
        spec: Arc::new(spec),
        reads: entry.reads,
    })
}

/// Every built-in.
pub fn all() -> &'static [BuiltIn] {
    &ALL
}

/// The built-in of this name.
pub fn named(name: &str) -> Option<&'static BuiltIn> {
    ALL.iter().find(|it| *it.spec.name == *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicate::formula::Formula;
    use crate::indicate::spec::{BY_MAX, check_name};

    #[test]
    fn every_entry_is_read_and_has_a_name_of_its_own() {
        for entry in &ENTRIES {
            assert_eq!(entry.value.parse::<Formula>().err(), None, "{}", entry.name);
            assert_eq!(check_name(entry.name), Ok(()));
            assert!(entry.by.len() <= BY_MAX, "{}", entry.name);
            let names = ENTRIES.iter().filter(|it| it.name == entry.name);
            assert_eq!(names.count(), 1);
        }
        assert_eq!(all().len(), ENTRIES.len());
    }

    #[test]
    fn what_reads_spans_says_so() {
        for built_in in all() {
            let spans = built_in.spec.value.sources();
            let reads = spans
                .iter()
                .any(|(source, ..)| source.origin == crate::indicate::formula::Origin::Spans);
            assert_eq!(reads, built_in.reads == Reads::Spans, "{}", built_in.spec.name);
        }
    }
}
