//! The own metrics as a scrape sees them: names and labels as the reader of the configuration wants them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]

mod support;

use axum::body::Body;
use burngate::config::{LabelSelection, PullReader, SelfResource};
use burngate::telemetry::{OwnResource, self_metrics_router};
use http::Request;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::collections::BTreeMap;
use support::{block_on, sample};
use tower::ServiceExt;

/// What a Collector's receiver and one metric of ours record, as a scrape of `reader` sees it.
fn page(reader: &PullReader) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let labels = [("receiver", "otlp"), ("transport", "grpc")];
        metrics::counter!("otelcol_receiver_accepted_spans", &labels).increment(7);
        metrics::gauge!("otelcol_exporter_queue_size", "exporter" => "otlp_grpc/apm").set(3.0);
        metrics::counter!("burngate_spans_judged_total").increment(5);
    });
    let resource = OwnResource::new(&SelfResource {
        attributes: BTreeMap::from([
            ("service.instance.id".to_owned(), Some("i-1".to_owned())),
            (
                "deployment.environment.name".to_owned(),
                Some("prod \"eu\"".to_owned()),
            ),
        ]),
    });
    let router = self_metrics_router(recorder.handle(), reader, &resource);
    block_on(async {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        assert!(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/plain; version=0.0.4")
        );
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    })
}

const NAMED: PullReader = PullReader {
    endpoint: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8888),
    without_type_suffix: false,
    without_units: false,
    without_scope_info: false,
    with_resource_constant_labels: None,
    implicit: false,
};

#[test]
fn the_default_reader_has_the_collectors_names_and_labels() {
    let page = page(&PullReader::default());
    let labels = [
        ("receiver", "otlp"),
        ("transport", "grpc"),
        ("service_name", "burngate"),
        ("service_instance_id", "i-1"),
        ("deployment_environment_name", "prod \\\"eu\\\""),
    ];
    assert_eq!(
        sample(&page, "otelcol_receiver_accepted_spans", &labels),
        Some(7.0),
        "{page}"
    );
    assert_eq!(
        sample(
            &page,
            "otelcol_exporter_queue_size",
            &[("exporter", "otlp_grpc/apm")]
        ),
        Some(3.0)
    );
    for name in [
        "otelcol_process_uptime",
        "otelcol_process_cpu_seconds",
        "otelcol_process_memory_rss",
    ] {
        assert!(
            sample(&page, name, &[("service_version", env!("CARGO_PKG_VERSION"))]).is_some(),
            "{name}\n{page}"
        );
    }
    assert_eq!(
        sample(&page, "target_info", &[("service_instance_id", "i-1")]),
        Some(1.0)
    );
    assert!(!page.contains("otel_scope_name"), "{page}");
}

/// The Helm chart's case.
#[test]
fn a_named_reader_adds_what_the_collector_adds() {
    let page = page(&NAMED);
    let scope = [("otel_scope_name", "burngate")];
    assert_eq!(
        sample(&page, "otelcol_receiver_accepted_spans_total", &scope),
        Some(7.0),
        "{page}"
    );
    assert!(
        page.contains("# TYPE otelcol_receiver_accepted_spans_total counter\n"),
        "{page}"
    );
    for name in [
        "otelcol_process_uptime_seconds_total",
        "otelcol_process_cpu_seconds_total",
        "otelcol_process_memory_rss_bytes",
        "otelcol_process_runtime_heap_alloc_bytes",
        "otelcol_exporter_queue_size",
    ] {
        assert!(sample(&page, name, &scope).is_some(), "{name}\n{page}");
    }
    assert!(
        sample(
            &page,
            "otelcol_receiver_accepted_spans_total",
            &[("service_name", "burngate")]
        )
        .is_none()
    );
    assert_eq!(
        sample(&page, "target_info", &[("service_name", "burngate")]),
        Some(1.0)
    );
}

#[test]
fn our_own_names_are_the_same_in_every_reader_and_labels_can_be_chosen() {
    let chosen = PullReader {
        with_resource_constant_labels: Some(LabelSelection {
            included: vec!["service.name".to_owned(), "service.version".to_owned()],
            excluded: vec!["service.version".to_owned()],
        }),
        ..NAMED
    };
    for reader in [PullReader::default(), NAMED, chosen.clone()] {
        assert_eq!(
            sample(&page(&reader), "burngate_spans_judged_total", &[]),
            Some(5.0)
        );
    }
    let page = page(&chosen);
    let line = page
        .lines()
        .find(|line| line.starts_with("burngate_spans_judged_total{"))
        .unwrap();
    assert!(
        line.contains("service_name=\"burngate\"") && !line.contains("service_version"),
        "{line}"
    );
}
