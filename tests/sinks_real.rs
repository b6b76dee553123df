//! The binary makes metrics of spans; a real Prometheus takes them by remote write and by scrape, and a file holds them as JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod proof_support;
mod support;

use proof_support::{Prometheus, group, send};
use std::time::Duration;
use support::{Gateway, eventually, get, has};

fn start(write_url: &str) -> Gateway {
    let dir = tempfile::tempdir().unwrap().keep();
    let yaml = format!(
        r"receivers:
  otlp: {{ protocols: {{ grpc: {{ endpoint: 127.0.0.1:0 }}, http: {{ endpoint: 127.0.0.1:0 }} }} }}
connectors:
  span_metrics: {{ metrics_flush_interval: 200ms }}
  count:
exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
  prometheusremotewrite: {{ endpoint: '{write_url}' }}
  file: {{ path: out.jsonl, flush_interval: 100ms }}
  debug: {{ verbosity: detailed }}
extensions:
  file_storage: {{ directory: data }}
service:
  extensions: [ file_storage ]
  pipelines:
    traces: {{ receivers: [ otlp ], exporters: [ span_metrics, count, debug ] }}
    metrics/made: {{ receivers: [ span_metrics, count ], exporters: [ prometheus, prometheusremotewrite, file ] }}
"
    );
    std::fs::write(dir.join("gateway.yaml"), yaml).unwrap();
    Gateway::start_in(&dir, &["run", "--config", "gateway.yaml"], &[])
}

/// The lines of JSON that the file exporter wrote.
fn lines(gateway: &Gateway) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(gateway.dir.join("out.jsonl")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn spans_become_series_of_a_real_prometheus() {
    if !has("prometheus") {
        return;
    }
    // Something must be scraped; nothing is there to be.
    let prometheus = Prometheus::scraping("127.0.0.1:1");
    let gateway = start(&prometheus.write_url());
    send(&gateway, &[group("checkout", "abc", &[], 7, 3)]);
    let calls = "sum(traces_span_metrics_calls_total{service_name=\"checkout\"})";
    let buckets =
        "sum(traces_span_metrics_duration_milliseconds_bucket{service_name=\"checkout\",le=\"+Inf\"})";
    for (query, want) in [
        (calls, 10.0),
        (buckets, 10.0),
        ("sum(trace_span_count_total)", 10.0),
    ] {
        eventually(query, Duration::from_secs(30), || {
            (prometheus.value(query) == Some(want)).then_some(())
        });
    }
    send(&gateway, &[group("checkout", "abc", &[], 5, 0)]);
    for (query, want) in [(calls, 15.0), ("sum(trace_span_count_total)", 15.0)] {
        eventually(query, Duration::from_secs(30), || {
            (prometheus.value(query) == Some(want)).then_some(())
        });
    }
    let refused = "otelcol_exporter_send_failed_metric_points{exporter=\"prometheusremotewrite\"}";
    let (_, page) = get(&format!("http://{}/metrics", gateway.addrs["prometheus"]));
    assert!(!page.contains(&format!("{refused} 1")), "{page}");
}

#[test]
fn the_page_and_the_file_show_the_same_counts() {
    let gateway = start("http://127.0.0.1:1/api/v1/write");
    send(&gateway, &[group("checkout", "abc", &[], 4, 0)]);
    let url = format!("http://{}/metrics", gateway.addrs["prometheus"]);
    let page = eventually("the page shows the spans", Duration::from_secs(20), || {
        let (_, page) = get(&url);
        page.contains("traces_span_metrics_calls_total{").then_some(page)
    });
    let line = page
        .lines()
        .find(|line| line.starts_with("traces_span_metrics_calls_total{"))
        .unwrap();
    assert!(
        line.ends_with(" 4") && line.contains("service_name=\"checkout\""),
        "{line}"
    );
    assert!(page.contains("# TYPE traces_span_metrics_duration_milliseconds histogram"));
    assert!(page.contains("trace_span_count_total{"), "{page}");
    let counted = eventually("the file has the counts", Duration::from_secs(20), || {
        lines(&gateway)
            .into_iter()
            .find(|line| line.to_string().contains("trace.span.count"))
    });
    let point = "/resourceMetrics/0/scopeMetrics/0/metrics/0/sum/dataPoints/0/asInt";
    assert_eq!(counted.pointer(point).unwrap(), "4", "{counted}");
    let shown = std::fs::read_to_string(gateway.dir.join("stderr.log")).unwrap();
    assert!(
        shown.contains("Span #0") && shown.contains("-> service.name: Str(checkout)"),
        "{shown}"
    );
}
