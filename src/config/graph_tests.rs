//! Graphs that count right, and those that would not: circles, counts taken twice, samplers in front of the
//! count.

use super::tests::from_text;

/// A file with these processors, connectors beside `error_budget`, and pipelines.
fn graph(pipelines: &str) -> Result<(), String> {
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: }}}}, otlp/b: {{protocols: {{http: }}}}}}
processors:
  resource: {{attributes: [{{action: upsert, key: a, value: b}}]}}
  attributes: {{actions: [{{action: upsert, key: sampling.priority, value: 0}}]}}
  attributes/other: {{actions: [{{action: upsert, key: other, value: 0}}]}}
  probabilistic_sampler: {{sampling_percentage: 1}}
connectors: {{error_budget: , forward: , forward/b: , forward/c: }}
exporters: {{debug: , prometheus: }}
service:
  pipelines:
    metrics/budget: {{receivers: [error_budget], exporters: [prometheus]}}
{pipelines}"
    );
    from_text(&text, Vec::new())
        .map(drop)
        .map_err(|error| error.to_string())
}

#[test]
fn graphs_that_count_everything_once_are_taken() {
    for pipelines in [
        // A sampler in the same pipeline, wherever it stands, runs behind the count.
        "    traces: {receivers: [otlp], processors: [probabilistic_sampler, resource], exporters: [error_budget, debug]}",
        // The count is taken in front of what samples.
        "    traces: {receivers: [otlp], exporters: [error_budget, forward]}
    traces/b: {receivers: [forward], processors: [probabilistic_sampler], exporters: [debug]}",
        // A sampler of somebody else's telemetry.
        "    traces: {receivers: [otlp], processors: [probabilistic_sampler], exporters: [debug]}
    traces/b: {receivers: [otlp], exporters: [error_budget]}",
        // Two sources by one forward, and one request in two pipelines with the same edits.
        "    traces: {receivers: [otlp], exporters: [forward]}
    traces/b: {receivers: [otlp/b], processors: [resource], exporters: [forward]}
    traces/c: {receivers: [forward], processors: [resource], exporters: [error_budget]}
    traces/d: {receivers: [forward], processors: [probabilistic_sampler, resource], exporters: [error_budget, debug]}",
        // Another signal by the same forward.
        "    traces: {receivers: [otlp], exporters: [forward]}
    traces/b: {receivers: [forward], exporters: [error_budget]}
    logs: {receivers: [otlp], processors: [probabilistic_sampler], exporters: [forward]}
    logs/b: {receivers: [forward], exporters: [debug]}",
        "    traces: {receivers: [otlp], processors: [probabilistic_sampler, attributes/other], exporters: [error_budget, debug]}",
    ] {
        assert_eq!(graph(pipelines), Ok(()), "{pipelines}");
    }
}

#[test]
fn graphs_that_would_not_are_refused_with_the_reason() {
    for (pipelines, said) in [
        (
            "    traces: {receivers: [otlp], processors: [probabilistic_sampler], exporters: [forward]}
    traces/b: {receivers: [forward], exporters: [error_budget]}",
            "g.yaml:12:46: service.pipelines.traces.processors: `probabilistic_sampler` samples what `traces/b` hands to \
             error_budget: objectives are counted before anything is sampled",
        ),
        (
            "    traces: {receivers: [otlp], processors: [probabilistic_sampler], exporters: [forward]}
    traces/b: {receivers: [forward], exporters: [forward/b]}
    traces/c: {receivers: [forward/b], processors: [probabilistic_sampler], exporters: [error_budget, debug]}",
            "g.yaml:12:46: service.pipelines.traces.processors: `probabilistic_sampler` samples what `traces/c`",
        ),
        (
            "    traces: {receivers: [otlp], processors: [probabilistic_sampler, attributes], exporters: [error_budget, debug]}",
            "`attributes` stands behind `probabilistic_sampler` and changes `sampling.priority`",
        ),
        (
            "    traces: {receivers: [otlp, forward], exporters: [error_budget]}
    traces/b: {receivers: [otlp], exporters: [forward]}",
            "what comes from `otlp` would be counted twice: it comes by otlp and by traces/b -> forward",
        ),
        (
            "    traces: {receivers: [otlp], exporters: [forward]}
    traces/b: {receivers: [otlp], exporters: [forward]}
    traces/c: {receivers: [forward], exporters: [error_budget]}",
            "counted twice: it comes by traces -> forward and by traces/b -> forward",
        ),
        (
            // Two ways that meet before they reach the pipeline that counts.
            "    traces: {receivers: [otlp], exporters: [forward]}
    traces/b: {receivers: [otlp], exporters: [forward]}
    traces/c: {receivers: [forward], exporters: [forward/b]}
    traces/d: {receivers: [forward/b], exporters: [error_budget]}",
            "counted twice: it comes by traces -> forward -> traces/c -> forward/b and by traces/b -> forward -> traces/c",
        ),
        (
            "    traces: {receivers: [otlp], exporters: [error_budget, forward]}
    traces/b: {receivers: [forward], exporters: [error_budget]}",
            "what comes from `otlp` would be counted twice: `traces` hands it to error_budget as well",
        ),
        (
            "    traces: {receivers: [otlp], processors: [resource], exporters: [error_budget]}
    traces/b: {receivers: [otlp], exporters: [error_budget]}",
            "`traces` shares `otlp` and error_budget, but edits otherwise (resource; here none)",
        ),
        (
            "    logs: {receivers: [otlp, error_budget], exporters: [error_budget]}",
            "service.pipelines: a circle that telemetry would never leave: logs -> error_budget -> logs",
        ),
        (
            "    traces: {receivers: [forward], exporters: [forward/b, error_budget]}
    traces/b: {receivers: [forward/b], exporters: [forward/c]}
    traces/c: {receivers: [forward/c, otlp], exporters: [forward]}",
            "service.pipelines: a circle that telemetry would never leave: traces -> forward/b -> traces/b -> forward/c \
             -> traces/c -> forward -> traces",
        ),
    ] {
        let refused = graph(pipelines).expect_err(pipelines);
        assert!(refused.contains(said), "{pipelines}\n{refused}\n{said}");
    }
}

#[test]
fn decisions_as_logs_are_forwarded_and_nobody_pushes_budgets_for_it() {
    let text = "receivers: {otlp: {protocols: {grpc: }}}
connectors: {error_budget: }
exporters: {otlp_http: {endpoint: http://127.0.0.1:1}}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [error_budget]}
    logs/decisions: {receivers: [error_budget], exporters: [otlp_http]}
";
    let (config, _) = from_text(text, Vec::new()).unwrap();
    assert_eq!(config.otlp_metrics, []);
    assert_eq!(config.graph.forwarders.len(), 1);
    let logs = config.graph.pipelines.iter().find(|it| it.id == "logs/decisions");
    assert_eq!(logs.unwrap().exporters, ["otlp_http"]);
    assert!(!config.signals.logs, "no receiver takes logs");
}
