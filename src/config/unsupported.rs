//! What runs in a Collector and not here, and what to do instead.
//!
//! The list is explicit, so that nobody has to find out by trying: an error (or, where the user says so, a
//! warning) names the component and the way out. A name that stands nowhere is a component of a distribution
//! of somebody's own; one that is nearly the name of a component is a slip of the pen, and never left out.

/// What to do about components that run in a Collector and not here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsupported {
    /// Refuse the configuration.
    #[default]
    Error,
    /// Leave them out, each with a warning.
    Warn,
}

/// Components with one thing to do instead.
#[derive(Clone, Copy, Debug)]
pub struct NotHere {
    /// `receivers`, `processors` ...
    pub kind: &'static str,
    /// Their types; the Collector's older names, without underscores, count as well.
    pub types: &'static [&'static str],
    /// What to do.
    pub instead: &'static str,
}

const fn not_here(kind: &'static str, types: &'static [&'static str], instead: &'static str) -> NotHere {
    NotHere { kind, types, instead }
}

/// The list.
pub const UNSUPPORTED: &[NotHere] = &[
    not_here(
        "receivers",
        &["prometheus", "prometheus_simple", "purefa", "purefb"],
        "let Prometheus scrape, or a Collector beside that sends OTLP; burngate's own metrics need no scrape, see \
         service.telemetry.metrics",
    ),
    not_here(
        "receivers",
        &[
            "jaeger",
            "zipkin",
            "opencensus",
            "skywalking",
            "datadog",
            "awsxray",
            "sapm",
            "solace",
            "faro",
            "libhoney",
        ],
        "send OTLP: their SDKs and agents can, or a Collector beside translates",
    ),
    not_here(
        "receivers",
        &[
            "host_metrics",
            "docker_stats",
            "podman_stats",
            "kubelet_stats",
            "k8s_cluster",
            "k8s_objects",
            "k8s_events",
            "windows_perf_counters",
            "windows_event_log",
            "active_directory_ds",
            "iis",
            "system",
        ],
        "run a Collector as the agent of the node and let it send OTLP here",
    ),
    not_here(
        "receivers",
        &[
            "file_log",
            "journald",
            "syslog",
            "tcp_log",
            "udp_log",
            "fluent_forward",
            "splunk_hec",
            "loki",
            "webhook_event",
            "file",
            "otlp_json_file",
            "named_pipe",
            "wavefront",
            "influxdb",
            "carbon",
            "collectd",
            "statsd",
            "signalfx",
            "stef",
            "otel_arrow",
        ],
        "let a Collector or agent beside read it and send OTLP here",
    ),
    not_here(
        "receivers",
        &[
            "kafka",
            "pulsar",
            "rabbitmq",
            "google_cloud_pubsub",
            "azure_event_hub",
            "aws_firehose",
            "aws_s3",
            "aws_cloudwatch",
            "aws_container_insight",
            "aws_ecs_container_metrics",
            "cloud_foundry",
            "azure_blob",
            "azure_monitor",
            "google_cloud_monitoring",
            "vcenter",
            "snowflake",
            "mongodb_atlas",
            "github",
            "gitlab",
        ],
        "let a Collector beside fetch it and send OTLP here",
    ),
    not_here(
        "receivers",
        &[
            "redis",
            "postgresql",
            "mysql",
            "mongodb",
            "nginx",
            "apache",
            "http_check",
            "tcp_check",
            "sql_query",
            "sql_server",
            "oracledb",
            "elasticsearch",
            "memcached",
            "haproxy",
            "couchdb",
            "zookeeper",
            "kafka_metrics",
            "jmx",
            "snmp",
            "ssh_check",
            "sftp_check",
            "receiver_creator",
            "nop",
            "ntp",
            "icmp_check",
            "chrony",
            "bigip",
            "aerospike",
            "flink_metrics",
            "hadoop",
            "rabbitmq_metrics",
            "riak",
            "saphana",
            "spark",
            "expvar",
        ],
        "let a Collector beside measure it and send OTLP here",
    ),
    not_here(
        "processors",
        &["resource_detection"],
        "set what it would find with a `resource` processor and ${env:...}; SDKs detect the rest at the source",
    ),
    not_here(
        "processors",
        &["k8s_attributes"],
        "let the pod tell: OTEL_RESOURCE_ATTRIBUTES from the downward API, or an agent beside with k8s_attributes",
    ),
    not_here(
        "processors",
        &["tail_sampling", "group_by_trace"],
        "sample behind the gateway, in a Collector that it forwards to: counts are right only before sampling",
    ),
    not_here(
        "processors",
        &[
            "span",
            "redaction",
            "geo_ip",
            "unroll",
            "log_dedup",
            "logs_transform",
            "schema",
            "coralogix",
            "dns_lookup",
        ],
        "use `attributes`, `resource` and `transform` where they can say it, or a Collector behind",
    ),
    not_here(
        "processors",
        &[
            "cumulative_to_delta",
            "delta_to_cumulative",
            "delta_to_rate",
            "metrics_transform",
            "metrics_generation",
            "metric_start_time",
            "metric_as_logs",
            "interval",
            "group_by_attrs",
            "isolation_forest",
            "datadog_semantics",
        ],
        "let the backend or a Collector behind do it",
    ),
    not_here(
        "processors",
        &[
            "routing",
            "remote_tap",
            "sumologic",
            "span_pruning",
            "aws_ecs_attributes",
            "metric_declaration",
            "tail_storage",
        ],
        "let a Collector behind do it",
    ),
    not_here(
        "exporters",
        &[
            "jaeger",
            "zipkin",
            "opencensus",
            "sapm",
            "signalfx",
            "skywalking",
            "stef",
            "otel_arrow",
        ],
        "use otlp_grpc or otlp_http: Jaeger, Zipkin's successors and their like take OTLP",
    ),
    not_here(
        "exporters",
        &[
            "datadog",
            "splunk_hec",
            "coralogix",
            "dynatrace",
            "honeycomb_marker",
            "logicmonitor",
            "logzio",
            "mezmo",
            "sumologic",
            "dataset",
            "sematext",
            "bmc_helix",
            "tinybird",
            "alertmanager",
            "sentry",
            "faro",
            "instana",
            "google_cloud",
            "google_managed_prometheus",
            "azure_monitor",
            "awsxray",
            "awsemf",
            "alibabacloud_logservice",
            "tencentcloud_logservice",
            "loki",
            "elasticsearch",
            "opensearch",
            "clickhouse",
            "influxdb",
            "carbon",
        ],
        "use otlp_http with the vendor's OTLP endpoint and headers, or a Collector behind",
    ),
    not_here(
        "exporters",
        &[
            "kafka",
            "pulsar",
            "rabbitmq",
            "google_cloud_pubsub",
            "google_cloud_storage",
            "awss3",
            "aws_cloudwatch_logs",
            "aws_kinesis",
            "azure_blob",
            "azure_data_explorer",
            "cassandra",
            "doris",
            "syslog",
            "nop",
            "pulsar_v2",
        ],
        "forward OTLP to a Collector behind that writes there",
    ),
    not_here(
        "exporters",
        &["load_balancing"],
        "forward to one address behind a load balancer; what needs whole traces at one place needs a Collector behind",
    ),
    not_here(
        "connectors",
        &["routing", "failover", "round_robin"],
        "give each destination its own pipeline with a `filter`",
    ),
    not_here(
        "connectors",
        &[
            "service_graph",
            "exceptions",
            "signal_to_metrics",
            "sum",
            "metrics_as_logs",
            "slow_sql",
            "grafana_cloud",
            "datadog",
            "otlp_json",
            "span_event_to_log",
        ],
        "use span_metrics or count where they can say it, or a Collector behind",
    ),
    not_here(
        "extensions",
        &["health_check_v2"],
        "use health_check: it knows component_health",
    ),
    not_here(
        "extensions",
        &["memory_ballast", "cgroup_runtime", "memory_limiter"],
        "leave it out: there is no garbage collector to tune; the processor memory_limiter bounds memory",
    ),
    not_here(
        "extensions",
        &[
            "oauth2client",
            "oidc",
            "sigv4auth",
            "asapauth",
            "headers_setter",
            "azure_auth",
            "google_client_auth",
        ],
        "use bearertokenauth or basicauth, or `headers` of the exporter; terminate the rest in a proxy",
    ),
    not_here(
        "extensions",
        &[
            "opamp",
            "jaeger_remote_sampling",
            "jaeger_query",
            "jaeger_storage",
            "remote_sampling",
            "host_observer",
            "docker_observer",
            "k8s_observer",
            "ecs_observer",
            "ecs_task_observer",
            "cf_garden_observer",
            "k8s_leader_elector",
            "http_forwarder",
            "db_storage",
            "redis_storage",
            "ack",
            "aws_proxy",
            "sumologic",
            "solarwinds_apm_settings",
            "remote_tap",
            "datadog",
            "expvar",
            "otlp_encoding",
            "json_log_encoding",
            "text_encoding",
            "jaeger_encoding",
            "zipkin_encoding",
            "avro_log_encoding",
            "skywalking_encoding",
        ],
        "leave it out, or run a Collector beside for it",
    ),
];

/// What to do instead of a component, if it is on the list.
pub(super) fn instead(kind: &str, written: &str) -> Option<&'static str> {
    let bare = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let written = bare(written);
    UNSUPPORTED
        .iter()
        .find(|it| it.kind == kind && it.types.iter().any(|name| bare(name) == written))
        .map(|it| it.instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_names_are_on_the_list() {
        for (kind, written) in [
            ("receivers", "prometheus"),
            ("receivers", "hostmetrics"),
            ("receivers", "host_metrics"),
            ("processors", "resourcedetection"),
            ("processors", "resource_detection"),
            ("processors", "k8sattributes"),
            ("processors", "tail_sampling"),
            ("exporters", "jaeger"),
            ("exporters", "loadbalancing"),
            ("connectors", "servicegraph"),
            ("extensions", "memory_ballast"),
        ] {
            assert!(instead(kind, written).is_some(), "{kind} {written}");
        }
        assert_eq!(instead("receivers", "otlp"), None);
        assert_eq!(instead("exporters", "prometheus"), None);
    }

    #[test]
    fn no_name_is_on_the_list_twice() {
        let mut all: Vec<_> = UNSUPPORTED
            .iter()
            .flat_map(|it| it.types.iter().map(|name| (it.kind, name.replace('_', ""))))
            .collect();
        let before = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}
