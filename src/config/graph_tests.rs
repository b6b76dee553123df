//! Pipelines as a graph: what fits, what goes round, what would be counted twice; what is left out on request.

use super::expand::tests::Fixed;
use super::load::read;
use super::*;

const BASE: &str = "\
receivers:
  otlp: {protocols: {grpc: }}
  otlp/2: {protocols: {grpc: {endpoint: 'localhost:4320'}}}
processors:
  batch:
  resource: {attributes: [{action: upsert, key: a, value: b}]}
  resource/2: {attributes: [{action: upsert, key: a, value: c}]}
  attributes: {actions: [{action: delete, key: sampling.priority}]}
  attributes/harmless: {actions: [{action: delete, key: other}]}
  probabilistic_sampler: {sampling_percentage: 10}
connectors:
  error_budget:
  forward:
  forward/b:
  span_metrics:
  count:
exporters:
  debug:
  file: {path: x}
  prometheus:
  webhook: {url: 'http://localhost/x'}
service:
  pipelines:
";

fn request(unsupported: Unsupported) -> ConfigRequest {
    ConfigRequest {
        sources: vec![ConfigSource::File("g.yaml".into())],
        set: Vec::new(),
        unsupported,
    }
}

fn load_text(text: &str, unsupported: Unsupported) -> Result<Config, ConfigError> {
    let text: &'static str = text.to_owned().leak();
    read(&request(unsupported), &Fixed(vec![("g.yaml", text)])).map(|(config, _)| config)
}

fn load(pipelines: &str) -> Result<Config, ConfigError> {
    let indented: String = pipelines.lines().map(|line| format!("    {line}\n")).collect();
    load_text(&format!("{BASE}{indented}"), Unsupported::Error)
}

/// The messages, without places.
fn errors(pipelines: &str) -> Vec<String> {
    let error = load(pipelines).expect_err(pipelines);
    error
        .problems
        .into_iter()
        .map(|it| format!("{}: {}", it.path, it.message))
        .collect()
}

const BUDGET: &str = "metrics/budget: {receivers: [error_budget], exporters: [prometheus]}";

#[test]
fn a_graph_of_every_kind_of_edge_is_kept_as_it_is() {
    let config = load(&format!(
        "traces: {{receivers: [otlp, otlp/2], processors: [resource, batch], exporters: [error_budget, span_metrics, forward]}}\n\
         traces/2: {{receivers: [forward], exporters: [debug]}}\n\
         logs: {{receivers: [otlp], exporters: [count]}}\n\
         metrics: {{receivers: [span_metrics, count, otlp], processors: [batch], exporters: [prometheus, file]}}\n\
         decisions: {{receivers: [error_budget], exporters: [webhook]}}\n{BUDGET}"
    ))
    .unwrap();
    let ids = |all: &[PipelineConfig]| all.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    // The budgets go to the page by themselves.
    assert_eq!(
        ids(&config.graph.pipelines),
        ["traces", "traces/2", "logs", "metrics"]
    );
    let traces = &config.graph.pipelines[0];
    assert_eq!(traces.receivers, ["otlp", "otlp/2"]);
    assert_eq!(traces.processors, ["resource", "batch"]);
    assert_eq!(traces.exporters, ["error_budget", "span_metrics", "forward"]);
    let receivers: Vec<_> = config.receivers.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(receivers, ["otlp", "otlp/2"]);
    let second = config.signals_of(|id| id == "otlp/2");
    assert!(second.traces && !second.metrics && !second.logs);
    assert!(config.signals.traces && config.signals.metrics && config.signals.logs);
    assert!(config.prometheus.is_some() && config.webhooks.len() == 1);
    let forwarders: Vec<_> = config.graph.forwarders.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(forwarders, ["debug", "file", "prometheus"]);
    let connectors: Vec<_> = config.graph.connectors.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(connectors, ["error_budget", "forward", "span_metrics", "count"]);
}

#[test]
fn budgets_that_need_more_than_a_page_are_the_graphs() {
    let config = load(
        "traces: {receivers: [otlp], exporters: [error_budget]}\n\
         metrics/a: {receivers: [error_budget], exporters: [prometheus, file]}\n\
         metrics/b: {receivers: [error_budget], processors: [resource], exporters: [debug]}\n\
         metrics/c: {receivers: [error_budget, otlp], exporters: [prometheus]}",
    )
    .unwrap();
    let exporters: Vec<_> = config
        .graph
        .pipelines
        .iter()
        .map(|it| (it.id.as_str(), it.exporters.join(",")))
        .collect();
    let expected = [
        ("traces", "error_budget"),
        ("metrics/a", "file"),
        ("metrics/b", "debug"),
        ("metrics/c", "prometheus"),
    ];
    assert_eq!(exporters, expected.map(|(id, all)| (id, all.to_owned())));
    assert!(config.prometheus.is_some());
}

#[test]
fn what_does_not_fit_is_refused() {
    for (pipelines, expected) in [
        (
            "metrics: {receivers: [otlp], exporters: [span_metrics]}\nmetrics/s: {receivers: [span_metrics], exporters: [debug]}",
            "service.pipelines.metrics.exporters: `span_metrics` takes traces, not metrics",
        ),
        (
            "traces: {receivers: [otlp], exporters: [count]}\ntraces/c: {receivers: [count], exporters: [debug]}",
            "service.pipelines.traces/c.receivers: `count` gives metrics, not traces",
        ),
        (
            "traces: {receivers: [otlp], exporters: [forward]}\nlogs: {receivers: [forward], exporters: [debug]}",
            "service.pipelines.traces.exporters: no traces pipeline reads from `forward`: what it takes goes nowhere",
        ),
        (
            "metrics: {receivers: [otlp], processors: [probabilistic_sampler], exporters: [debug]}",
            "service.pipelines.metrics.processors: `probabilistic_sampler` takes traces, logs, not metrics",
        ),
        (
            "traces: {receivers: [otlp], exporters: [webhook]}",
            "service.pipelines.traces.exporters: `webhook` takes decisions, not traces",
        ),
        (
            "traces: {receivers: [otlp], processors: [batch, batch], exporters: [debug]}",
            "service.pipelines.traces.processors: `batch` is named twice",
        ),
        (
            "traces: {receivers: [], exporters: [debug]}",
            "service.pipelines.traces.receivers: must name at least one",
        ),
        (
            "traces: {receivers: [otlp]}",
            "service.pipelines.traces.exporters: required; name at least one",
        ),
        (
            "decisions: {receivers: [otlp], exporters: [webhook]}",
            "service.pipelines.decisions.receivers: decisions come from the connector error_budget only",
        ),
        (
            "traces: {receivers: [otlp], exporters: [span_metrics]}",
            "connectors.span_metrics: no pipeline names it among its receivers; add `metrics/budget: {receivers: \
             [span_metrics], ...}`",
        ),
        (
            "metrics: {receivers: [count], exporters: [debug]}",
            "connectors.count: no pipeline names it among its exporters, so nothing would come of it",
        ),
    ] {
        let found = errors(pipelines);
        assert!(found.iter().any(|it| it == expected), "{expected}\n{found:#?}");
    }
}

#[test]
fn a_circle_is_drawn() {
    let found = errors(
        "traces: {receivers: [otlp, forward/b], exporters: [forward]}\n\
         traces/2: {receivers: [forward], exporters: [forward/b, debug]}",
    );
    let expected = "service.pipelines: a circle that telemetry would never leave: traces -> forward -> traces/2 -> \
                    forward/b -> traces";
    assert_eq!(found, [expected]);
    let own = errors(&format!(
        "traces: {{receivers: [otlp], exporters: [error_budget]}}\nmetrics: {{receivers: [error_budget], exporters: \
         [error_budget]}}\n{BUDGET}"
    ));
    assert!(own[0].ends_with("metrics -> error_budget -> metrics"), "{own:?}");
    // A receiver and an exporter may have one name, and make no circle.
    let text = format!("{BASE}    traces: {{receivers: [otlp], exporters: [otlp]}}\n").replace(
        "  file: {path: x}\n",
        "  otlp: {endpoint: 'http://localhost:4317'}\n",
    );
    load_text(&text, Unsupported::Error).unwrap();
}

#[test]
fn a_connector_cannot_share_the_name_of_a_receiver() {
    let text = format!("{BASE}    traces: {{receivers: [otlp], exporters: [debug]}}\n")
        .replace("  count:\n", "  count:\n  otlp:\n")
        .replace("  otlp:\nexp", "  forward/x:\nexp");
    let error = load_text(&text.replace("  forward/x:\n", ""), Unsupported::Error);
    error.unwrap();
    let text = text.replace("exporters:\n  debug:\n", "exporters:\n  debug:\n  forward:\n");
    let error = load_text(&text, Unsupported::Error).unwrap_err().to_string();
    assert!(error.contains("there is no exporter `forward` here"), "{error}");
}

#[test]
fn a_request_is_counted_once() {
    let tapped =
        |more: &str| format!("traces: {{receivers: [otlp], exporters: [error_budget]}}\n{more}\n{BUDGET}");
    // The same edits, other pipelines, other receivers: fine.
    for fine in [
        "traces/2: {receivers: [otlp], processors: [batch], exporters: [error_budget, debug]}",
        "traces/2: {receivers: [otlp], processors: [probabilistic_sampler], exporters: [error_budget]}",
        "traces/2: {receivers: [otlp/2], processors: [resource], exporters: [error_budget]}",
        "traces/2: {receivers: [otlp], processors: [resource], exporters: [debug]}",
        "logs: {receivers: [otlp], processors: [resource], exporters: [error_budget]}",
        "traces/2: {receivers: [otlp/2], exporters: [forward]}\ntraces/3: {receivers: [forward], exporters: [error_budget]}",
    ] {
        load(&tapped(fine)).unwrap_or_else(|error| panic!("{fine}\n{error}"));
    }
    for (more, expected) in [
        (
            "traces/2: {receivers: [otlp], processors: [resource], exporters: [error_budget]}",
            "service.pipelines.traces/2.processors: `traces` shares `otlp` and error_budget, but edits otherwise (none; here \
             resource): a request is counted once, so give both the same edits, or hand only one of them to error_budget",
        ),
        (
            "traces/2: {receivers: [otlp], exporters: [forward]}\ntraces/3: {receivers: [forward], exporters: [error_budget]}",
            "service.pipelines.traces/3.exporters: what comes from `otlp` would be counted twice: `traces` hands it to \
             error_budget as well",
        ),
        (
            "traces/2: {receivers: [otlp/2], exporters: [forward]}\n\
             traces/3: {receivers: [forward, otlp/2], exporters: [error_budget]}",
            "service.pipelines.traces/3.receivers: what comes from `otlp/2` would be counted twice: it comes by forward and \
             by otlp/2",
        ),
    ] {
        let found = errors(&tapped(more));
        assert_eq!(found, [expected]);
    }
}

#[test]
fn an_edit_behind_a_sampler_must_leave_it_alone() {
    let with = |processors: &str| {
        format!(
            "traces: {{receivers: [otlp], processors: [{processors}], exporters: [error_budget]}}\n{BUDGET}"
        )
    };
    for fine in [
        "attributes, probabilistic_sampler",
        "probabilistic_sampler, attributes/harmless, resource, batch",
    ] {
        load(&with(fine)).unwrap();
    }
    let found = errors(&with("probabilistic_sampler, attributes"));
    assert!(
        found[0].starts_with(
            "service.pipelines.traces.processors: `attributes` stands behind `probabilistic_sampler` and changes \
             `sampling.priority`"
        ),
        "{found:?}"
    );
}

#[test]
fn extensions_that_something_names_must_be_on() {
    let text = format!("{BASE}    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}\n").replace(
        "  file: {path: x}\n",
        "  otlp_grpc:\n    endpoint: http://localhost:4317\n    sending_queue:\n      storage: file_storage/queue\n",
    );
    let error = load_text(&text, Unsupported::Error).unwrap_err().to_string();
    assert_eq!(
        error,
        "g.yaml:22:16: exporters.otlp_grpc.sending_queue.storage: `file_storage/queue` is no storage of \
         service.extensions; add file_storage to extensions and service.extensions"
    );
    let on = text.replace(
        "service:\n",
        "extensions:\n  file_storage/queue:\nservice:\n  extensions: [file_storage/queue]\n",
    );
    let config = load_text(&on, Unsupported::Error).unwrap();
    assert_eq!(config.extensions.len(), 1);
    let off = on.replace("  extensions: [file_storage/queue]\n", "");
    assert!(load_text(&off, Unsupported::Error).is_err());
}

/// Receivers, processors, connectors and exporters of the Collector's that do not run here.
const FOREIGN: &str = "\
receivers:
  otlp: {protocols: {grpc: }}
  jaeger: {protocols: {grpc: }}
  hostmetrics: {scrapers: {cpu: }}
processors:
  k8sattributes:
  batch:
connectors:
  span_metrics:
  routing: {table: []}
  forward:
exporters:
  debug:
  kafka: {brokers: [a]}
extensions:
  opamp:
  health_check:
service:
  extensions: [health_check, opamp]
  pipelines:
    traces: {receivers: [otlp, jaeger], processors: [k8sattributes, batch], exporters: [debug, kafka, routing]}
    traces/jaeger: {receivers: [jaeger], exporters: [span_metrics, forward]}
    traces/after: {receivers: [forward], exporters: [debug]}
    metrics: {receivers: [hostmetrics, span_metrics], exporters: [debug]}
    logs: {receivers: [otlp], exporters: [kafka]}
    logs/routed: {receivers: [routing], exporters: [debug]}
    profiles: {receivers: [otlp], exporters: [debug]}
";

#[test]
fn what_does_not_run_here_is_refused_or_left_out() {
    let refused = load_text(FOREIGN, Unsupported::Error).unwrap_err();
    let lines: Vec<usize> = refused.problems.iter().map(|it| it.at.unwrap().line).collect();
    assert_eq!(lines, [3, 4, 6, 10, 14, 16, 27], "{refused}");
    assert!(
        refused
            .to_string()
            .contains("g.yaml:3:3: receivers.jaeger: receiver `jaeger` does not run here; send OTLP")
    );
    let config = load_text(FOREIGN, Unsupported::Warn).unwrap_or_else(|error| panic!("{error}"));
    let mut dropped = config.dropped.clone();
    dropped.sort_unstable();
    assert_eq!(
        dropped,
        [
            "connectors.forward",
            "connectors.routing",
            "connectors.span_metrics",
            "exporters.kafka",
            "extensions.opamp",
            "processors.k8sattributes",
            "receivers.hostmetrics",
            "receivers.jaeger",
            "service.pipelines.logs",
            "service.pipelines.logs/routed",
            "service.pipelines.metrics",
            "service.pipelines.profiles",
            "service.pipelines.traces/after",
            "service.pipelines.traces/jaeger",
        ]
    );
    // One line for each of them, and none about anything else.
    assert_eq!(config.warnings.len(), dropped.len(), "{:#?}", config.warnings);
    assert!(
        config
            .warnings
            .iter()
            .all(|line| line.starts_with("g.yaml:") && line.contains(": left out: "))
    );
    let [traces] = &config.graph.pipelines[..] else {
        panic!("{:?}", config.graph.pipelines)
    };
    assert_eq!(
        (traces.receivers.join(","), traces.processors.join(",")),
        ("otlp".into(), "batch".into())
    );
    assert_eq!(traces.exporters, ["debug"]);
    assert!(config.graph.connectors.is_empty() && config.health.is_some());
}

#[test]
fn a_slip_of_the_pen_is_never_left_out() {
    let text = "receivers:\n  otpl: {protocols: {grpc: }}\n  mine:\nservice:\n  pipelines: {}\n";
    let error = load_text(text, Unsupported::Warn).unwrap_err().to_string();
    assert!(
        error.contains("g.yaml:2:3: receivers.otpl: there is no receiver `otpl` here; did you mean `otlp`?"),
        "{error}"
    );
    assert!(!error.contains("mine"), "{error}");
}

#[test]
fn a_gateway_whose_budget_lost_its_end_is_refused() {
    let text = "receivers: {jaeger: }\nconnectors: {error_budget: }\nexporters: {prometheus: }\nservice:\n  pipelines:\n    \
                traces: {receivers: [jaeger], exporters: [error_budget]}\n    metrics: {receivers: [error_budget], exporters: \
                [prometheus]}\n";
    let error = load_text(text, Unsupported::Warn).unwrap_err().to_string();
    assert!(
        error.contains("connectors.error_budget: no pipeline names it among its exporters"),
        "{error}"
    );
}
