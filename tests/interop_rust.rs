//! The Rust SDK in this process, by the `opentelemetry-otlp` crate: gRPC, HTTP/protobuf and HTTP/JSON, plain and gzip, all
//! signals; what arrives behind burngate is what was sent.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod interop_support;
mod support;

use bytes::Bytes;
use http::{Request, Response};
use interop_support::{RUNTIME, Signal, World};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::pin::Pin;

/// The SDK exports from threads of its own, reqwest wants tokio around it.
#[derive(Clone, Debug)]
struct OnTokio(reqwest::Client);

impl HttpClient for OnTokio {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.0.clone();
        let answer = RUNTIME.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = Response::new(answer.bytes().await?);
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok(response)
        });
        Box::pin(async { answer.await? })
    }
}

struct Exporters {
    spans: SpanExporter,
    metrics: MetricExporter,
    logs: LogExporter,
}

fn over_grpc(url: &str, gzip: bool) -> Exporters {
    let _context = RUNTIME.enter();
    macro_rules! built {
        ($exporter:ident) => {{
            let mut builder = $exporter::builder().with_tonic().with_endpoint(url);
            if gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build().unwrap()
        }};
    }
    Exporters {
        spans: built!(SpanExporter),
        metrics: built!(MetricExporter),
        logs: built!(LogExporter),
    }
}

fn over_http(url: &str, protocol: Protocol, gzip: bool) -> Exporters {
    let client = OnTokio(support::client());
    macro_rules! built {
        ($exporter:ident, $path:literal) => {{
            let builder = $exporter::builder().with_http().with_http_client(client.clone());
            let mut builder = builder
                .with_protocol(protocol)
                .with_endpoint(format!("{url}{}", $path));
            if gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build().unwrap()
        }};
    }
    Exporters {
        spans: built!(SpanExporter, "/v1/traces"),
        metrics: built!(MetricExporter, "/v1/metrics"),
        logs: built!(LogExporter, "/v1/logs"),
    }
}

/// `n` traces of two spans, `n` records, and metrics.
fn send(exporters: Exporters, n: usize) {
    let flags: Vec<StringValue> = vec!["new-checkout".into(), "fast".into()];
    let flags = opentelemetry::Value::Array(flags.into());
    let attributes = [
        KeyValue::new("service.name", "rust"),
        KeyValue::new("feature.flags", flags),
    ];
    let resource = Resource::builder().with_attributes(attributes).build();
    let tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_batch_exporter(exporters.spans)
        .build();
    let meters = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_periodic_exporter(exporters.metrics)
        .build();
    let loggers = SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporters.logs)
        .build();
    let (tracer, meter, logger) = (
        tracers.tracer("emit"),
        meters.meter("emit"),
        loggers.logger("emit"),
    );
    let durations = meter
        .f64_histogram("http.server.request.duration")
        .with_unit("s")
        .build();
    let (requests, load) = (
        meter.u64_counter("requests").build(),
        meter.i64_gauge("load").build(),
    );
    for i in 0..n {
        let code = KeyValue::new("http.response.status_code", if i % 10 == 0 { 500 } else { 200 });
        let builder = tracer.span_builder("POST /buy").with_kind(SpanKind::Server);
        let mut span = builder.with_attributes([code.clone()]).start(&tracer);
        if i % 10 == 0 {
            span.add_event("exception", vec![KeyValue::new("exception.message", "boom")]);
            span.set_status(Status::error("boom"));
        }
        let context = opentelemetry::Context::new().with_span(span);
        let child = tracer.span_builder("query").with_kind(SpanKind::Client);
        child.start_with_context(&tracer, &context).end();
        context.span().end();
        durations.record(0.02, std::slice::from_ref(&code));
        requests.add(1, &[code]);
        load.record(i64::try_from(i).unwrap() - 20, &[]);
        let mut record = logger.create_log_record();
        record.set_severity_number(Severity::Info);
        record.set_body(AnyValue::String("served".into()));
        record.add_attribute("number", i64::try_from(i).unwrap());
        logger.emit(record);
    }
    tracers.shutdown().unwrap();
    meters.shutdown().unwrap();
    loggers.shutdown().unwrap();
}

#[test]
fn rust_sdk_arrives_byte_for_byte_and_its_json_item_for_item() {
    let world = World::start();
    let url = world.entrance.url();
    let n = 100;
    for (nth, (protocol, gzip)) in (1..).zip([
        (Protocol::Grpc, false),
        (Protocol::Grpc, true),
        (Protocol::HttpBinary, false),
        (Protocol::HttpBinary, true),
        (Protocol::HttpJson, false),
        (Protocol::HttpJson, true),
    ]) {
        let exporters = match protocol {
            Protocol::Grpc => over_grpc(&url, gzip),
            _ => over_http(&url, protocol, gzip),
        };
        send(exporters, n);
        let came = world.came_in();
        assert_eq!(
            (came[&Signal::Traces], came[&Signal::Logs]),
            (nth * 2 * n, nth * n)
        );
        assert!(came[&Signal::Metrics] >= nth * 5);
        world.assert_all_arrived(&format!("rust {protocol:?} gzip {gzip}"));
    }
    assert!(
        world
            .entrance
            .seen()
            .iter()
            .any(|seen| seen.is_json && seen.coding.is_some())
    );
    world.assert_all_arrived_once("rust");
}
