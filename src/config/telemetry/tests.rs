//! `service.telemetry` in the shapes that the Collector's users have.

use crate::config::tests::from_text;
use crate::config::*;
use std::time::Duration;

const BEFORE: &str = "\
receivers: {otlp: {protocols: {grpc: }}}
connectors: {error_budget: }
exporters: {prometheus: }
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [error_budget]}
    metrics: {receivers: [error_budget], exporters: [prometheus]}
  telemetry:
";

fn load(telemetry: &str) -> Result<Config, ConfigError> {
    let text = format!("{BEFORE}{telemetry}");
    from_text(&text, vec![("POD_IP", "10.0.0.7"), ("KEY", "s3cret")]).map(|(config, _)| config)
}

fn telemetry(text: &str) -> TelemetryConfig {
    load(text).unwrap_or_else(|error| panic!("{error}")).telemetry
}

#[test]
fn without_readers_the_page_is_where_the_collectors_is() {
    for text in [
        "    metrics:\n",
        "    metrics: {level: detailed}\n",
        "    metrics: {readers: }\n",
    ] {
        let metrics = telemetry(text).metrics;
        assert_eq!(metrics.pull, [PullReader::default()], "{text}");
        assert!(metrics.pull[0].implicit && metrics.push.is_empty());
    }
    assert_eq!(telemetry("    metrics: {level: none}\n").metrics.pull, []);
    assert_eq!(telemetry("    metrics: {readers: []}\n").metrics.pull, []);
}

/// The Helm chart's way.
#[test]
fn a_reader_that_is_named_has_what_it_names() {
    let text = "    metrics:\n      readers:\n        - pull: {exporter: {prometheus: {host: '${env:POD_IP}', port: 8888}}}\n";
    let [reader] = &telemetry(text).metrics.pull[..] else {
        panic!("one")
    };
    assert_eq!(reader.endpoint.to_string(), "10.0.0.7:8888");
    assert!(
        !reader.implicit
            && !reader.without_type_suffix
            && !reader.without_units
            && !reader.without_scope_info
    );
    assert_eq!(reader.with_resource_constant_labels, None);
}

#[test]
fn a_push_is_read_in_every_shape_that_is_in_use() {
    let text = "    metrics:
      readers:
        - periodic:
            interval: 5000
            exporter:
              otlp:
                protocol: http/protobuf
                endpoint: https://apm.example.com
                headers: [{name: x-key, value: '${env:KEY}'}]
                headers_list: a=1, b=2
                compression: gzip
";
    let [reader] = &telemetry(text).metrics.push[..] else {
        panic!("one")
    };
    assert_eq!(
        (reader.interval, reader.timeout),
        (Duration::from_secs(5), Duration::from_secs(30))
    );
    assert_eq!(reader.exporter.endpoint, "https://apm.example.com/v1/metrics");
    assert!(reader.exporter.gzip);
    let headers: Vec<_> = reader
        .exporter
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(headers, [("a", "1"), ("b", "2"), ("x-key", "s3cret")]);
    let text = "    traces:
      sampler: {parent_based: {root: {trace_id_ratio_based: {ratio: 0.25}}}}
      processors:
        - batch:
            exporter:
              otlp: {protocol: grpc, endpoint: 'jaeger:4317', insecure: true, headers: {x: y}}
";
    let traces = telemetry(text).traces;
    assert_eq!(traces.sampling_ratio.to_bits(), 0.25_f64.to_bits());
    assert_eq!(traces.processors[0].exporter.endpoint, "http://jaeger:4317");
    assert_eq!(traces.processors[0].max_queue_size, 2048);
    assert_eq!(
        telemetry(&format!("{text}      level: none\n")).traces.processors,
        []
    );
}

#[test]
fn the_resource_is_read_in_both_shapes() {
    let resource = telemetry("    resource: {service.name: gw, service.instance.id: , k: 1}\n").resource;
    let said: Vec<_> = resource
        .attributes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            ("k", Some("1")),
            ("service.instance.id", None),
            ("service.name", Some("gw"))
        ]
    );
    let resource = telemetry("    resource: {attributes: [{name: service.name, value: gw}]}\n").resource;
    assert_eq!(resource.attributes["service.name"].as_deref(), Some("gw"));
}

#[test]
fn what_changes_nothing_is_said_and_what_would_mislead_is_refused() {
    let warned = load("    metrics: {address: ':8888'}\n    logs: {development: true}\n")
        .unwrap()
        .warnings;
    assert!(
        warned
            .iter()
            .any(|it| it.contains("metrics.address: has no effect")),
        "{warned:?}"
    );
    assert!(
        warned
            .iter()
            .any(|it| it.contains("logs.development: has no effect")),
        "{warned:?}"
    );
    for (text, expected) in [
        (
            "    metrics: {views: []}\n",
            "not supported in this version: `views`",
        ),
        (
            "    metrics: {readers: [{pull: {exporter: {prometheus: {port: 99999}}}}]}\n",
            "must be from 0 to 65535",
        ),
        (
            "    metrics: {readers: [{pull: {exporter: {prometheus: {host: example.com}}}}]}\n",
            "expected localhost or an IP",
        ),
        (
            "    metrics: {readers: [{push: }]}\n",
            "expected one of pull and periodic",
        ),
        ("    metrics: {readers: {pull: }}\n", "expected a list"),
        (
            "    traces: {processors: [{batch: {exporter: {otlp: {protocol: smoke, endpoint: 'http://a'}}}}]}\n",
            "expected grpc or http/protobuf, found `smoke`",
        ),
        (
            "    traces: {processors: [{batch: {exporter: {otlp: {protocol: grpc, endpoint: 'http://a:b@c'}}}}]}\n",
            "not a URL",
        ),
    ] {
        let said = load(text).expect_err(text).to_string();
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn logs_go_where_they_are_told() {
    let logs = telemetry(
        "    logs: {level: WARN, encoding: json, output_paths: [stdout, /var/log/b.log], initial_fields: {region: eu}, \
         sampling: {initial: 2, thereafter: 0}}\n",
    )
    .logs;
    assert_eq!(
        logs.output_paths,
        [LogOutput::Stdout, LogOutput::File("/var/log/b.log".into())]
    );
    assert_eq!(logs.initial_fields, [("region".to_owned(), "eu".to_owned())]);
    assert_eq!(
        logs.sampling,
        Some(LogSampling {
            initial: 2,
            thereafter: 0,
            ..LogSampling::default()
        })
    );
    assert_eq!(
        telemetry("    logs: {sampling: {enabled: false}}\n")
            .logs
            .sampling,
        None
    );
}
