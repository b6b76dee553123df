//! Requests of metrics: one histogram by semantic conventions, every point a stream of its own (route, method,
//! status), sixteen buckets, as a service with many routes sends it.

use super::{METHODS, ROUTES, STATUS_CODES, pair};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// Points a request.
pub const POINTS: u64 = 1000;

const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

fn text(key: &str, value: &str) -> opentelemetry_proto::tonic::common::v1::KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

/// The request of one `turn`, with which the counts grow.
pub fn request(turn: u64, points: u64, temporality: i32, (start, time): (u64, u64)) -> Vec<u8> {
    let point = |number: u64| {
        let at = |length: usize| usize::try_from(number).unwrap_or(0) % length;
        let buckets: Vec<u64> = (0..15)
            .map(|bucket| turn * ((number + bucket * 7) % 300))
            .collect();
        HistogramDataPoint {
            attributes: vec![
                text("http.request.method", METHODS[at(METHODS.len())]),
                text("http.route", ROUTES[at(ROUTES.len())]),
                pair(
                    "http.response.status_code",
                    Value::IntValue(STATUS_CODES[at(STATUS_CODES.len())]),
                ),
                text("server.address", &format!("host-{number}")),
                text("url.scheme", "https"),
                text("network.protocol.version", "1.1"),
            ],
            start_time_unix_nano: start,
            time_unix_nano: time,
            count: buckets.iter().sum(),
            sum: Some(1.5),
            bucket_counts: buckets,
            explicit_bounds: BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        }
    };
    let metric = Metric {
        name: "http.server.request.duration".to_owned(),
        description: "Duration of HTTP server requests.".to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(Histogram {
            data_points: (0..points).map(point).collect(),
            aggregation_temporality: temporality,
        })),
        ..Metric::default()
    };
    let scope = InstrumentationScope {
        name: "http".to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: vec![
            text("service.name", "checkout"),
            text("deployment.sha", "9fceb02d0ae598e95dc970b74767f19372d61af8"),
            text("service.instance.id", "checkout-7d9f"),
        ],
        ..Resource::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
    .encode_to_vec()
}
