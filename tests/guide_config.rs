//! The small Collector configuration of guides, which knows from its environment what is deployed: it runs as it is, and with the
//! connector among its exporters its resource processor alone makes the cohort.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod interop_support;
mod proof_support;
mod support;

use interop_support::items::{decode, text};
use interop_support::{Door, Signal};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ScopeMetrics};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, metric, number_data_point};
use proof_support::{counts, group, now_nanos, send, totals};
use prost::Message;
use std::path::Path;
use std::time::Duration;
use support::{Gateway, eventually, get, post, sample};

const SHA: &str = "9fceb02d0ae598e95dc970b74767f19372d61af8";
const ENVIRONMENT: [(&str, &str); 2] = [("GIT_SHA", SHA), ("FEATURE_FLAGS", "new-checkout,fast")];

/// Runs the files, with free ports in the place of theirs.
fn run(files: &[&str], more: &[&str], backend: &Door) -> Gateway {
    let folder = tempfile::tempdir().unwrap().keep();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let mut args = vec!["run".to_owned()];
    for file in files {
        args.extend(["--config".to_owned(), configs.join(file).display().to_string()]);
    }
    let ports = [
        "receivers.otlp.protocols.http.endpoint=127.0.0.1:0".to_owned(),
        "exporters.prometheus.endpoint=127.0.0.1:0".to_owned(),
        "extensions.health_check.endpoint=127.0.0.1:0".to_owned(),
        format!("exporters.otlphttp.endpoint={}", backend.url()),
    ];
    for set in ports.into_iter().chain(more.iter().map(|&it| it.to_owned())) {
        args.extend(["--set".to_owned(), set]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Gateway::start_in(&folder, &args, &ENVIRONMENT)
}

/// The spans that arrived, each with the sha and the flags of its resource.
fn arrived(backend: &Door) -> Vec<(String, String)> {
    let mut spans = Vec::new();
    for seen in backend.seen().iter().filter(|it| it.signal == Signal::Traces) {
        for resource in decode::<ExportTraceServiceRequest>(seen).resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let of = |key: &str| text(&attributes, key).unwrap_or_default().to_owned();
            let named = (of("deployment.sha"), of("feature.flags"));
            let count = resource.scope_spans.iter().map(|it| it.spans.len()).sum();
            spans.extend(std::iter::repeat_n(named, count));
        }
    }
    spans
}

fn gauge(name: &str, value: f64) -> Vec<u8> {
    let point = NumberDataPoint {
        time_unix_nano: now_nanos(),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let data_points = vec![point];
    let metric = Metric {
        name: name.into(),
        data: Some(metric::Data::Gauge(Gauge { data_points })),
        ..Metric::default()
    };
    let scope = ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    };
    let resource = ResourceMetrics {
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    let resource_metrics = vec![resource];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

#[test]
fn guide_configuration_runs_unchanged() {
    let backend = Door::that_answers();
    let gateway = run(&["guide.yaml"], &[], &backend);
    assert_eq!(get(&gateway.url("health", "/")).0, 200);
    send(
        &gateway,
        &[
            group("checkout", "", &[], 20, 5),
            group("cart", "of-its-own", &["x"], 10, 0),
        ],
    );
    let wanted = vec![(SHA.to_owned(), "new-checkout,fast".to_owned()); 35];
    eventually(
        "the spans, with what is deployed",
        Duration::from_secs(20),
        || (arrived(&backend) == wanted).then_some(()),
    );
    assert!(
        backend
            .seen()
            .iter()
            .all(|it| it.coding.as_deref() == Some("gzip")),
        "the default"
    );
    let url = format!("{}/v1/metrics", gateway.http());
    assert_eq!(
        post(&url, "application/x-protobuf", gauge("queue.depth", 7.0)).0,
        200
    );
    eventually("the metric, on the page", Duration::from_secs(20), || {
        (sample(&gateway.metrics(), "queue_depth", &[]) == Some(7.0)).then_some(())
    });
}

#[test]
fn resource_processor_alone_makes_the_cohort() {
    let backend = Door::that_answers();
    let files = ["guide.yaml", "guide-budget.yaml"];
    let gateway = run(&files, &["extensions.api.endpoint=127.0.0.1:0"], &backend);
    // No sha, no flags: the one and the other request, merged by the batch on the way out.
    for _ in 0..3 {
        send(&gateway, &[group("checkout", "", &[], 40, 10)]);
    }
    let want = (120, 30);
    eventually("the total", Duration::from_secs(20), || {
        (totals(&gateway, "checkout") == want).then_some(())
    });
    let cohorts = gateway.api("/api/v1/cohorts?service=checkout");
    let of = |sha: Option<&str>, flag: Option<&str>, variant: Option<&str>| {
        counts(&cohorts["cohorts"], |it| {
            (it["sha"].as_str(), it["flag"].as_str(), it["variant"].as_str()) == (sha, flag, variant)
        })
    };
    assert_eq!(of(Some(SHA), None, None), want, "{cohorts}");
    for flag in ["new-checkout", "fast"] {
        assert_eq!(of(Some(SHA), Some(flag), Some("on")), want, "{flag}: {cohorts}");
    }
    let elsewhere = counts(&cohorts["cohorts"], |it| {
        it["sha"].as_str().is_some_and(|sha| sha != SHA)
    });
    assert_eq!(elsewhere, (0, 0), "{cohorts}");
    let wanted = vec![(SHA.to_owned(), "new-checkout,fast".to_owned()); 150];
    eventually(
        "the spans, with what is deployed",
        Duration::from_secs(20),
        || (arrived(&backend) == wanted).then_some(()),
    );
    // The budgets are on the page of the guide's own exporter.
    let page = gateway.metrics();
    assert!(page.contains("service=\"checkout\""), "{page}");
}
