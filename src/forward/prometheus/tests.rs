//! The page can be scraped whatever arrives, and counters only rise.

use super::*;
use crate::config::Naming;
use crate::time::UnixNanos;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: u64 = 1_000_000_000;
const T0: u64 = 1_795_000_000 * SECOND;

#[derive(Debug)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::Relaxed))
    }
}

struct World {
    clock: Arc<Hand>,
    page: Arc<ReceivedMetrics>,
}

impl World {
    fn new(change: impl FnOnce(&mut ReceivedPage)) -> Self {
        let mut config = ReceivedPage {
            naming: Naming {
                without_scope_info: true,
                ..Naming::default()
            },
            ..ReceivedPage::default()
        };
        change(&mut config);
        let clock = Arc::new(Hand(AtomicU64::new(T0)));
        let page = ReceivedMetrics::build("prometheus", &config, clock.clone());
        Self { clock, page }
    }

    fn send(&self, resource: &[(&str, &str)], metrics: Vec<Metric>) {
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource {
                    attributes: pairs(resource),
                    ..Resource::default()
                }),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(InstrumentationScope {
                        name: "lib".into(),
                        version: "2".into(),
                        ..InstrumentationScope::default()
                    }),
                    metrics,
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        self.page
            .take(&Batch::new(Signal::Metrics, request.encode_to_vec().into()))
            .unwrap();
    }

    fn step(&self, secs: u64) {
        self.clock.0.fetch_add(secs * SECOND, Ordering::Relaxed);
    }

    fn show(&self) -> String {
        self.page.render(false, &HashSet::new())
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue((*value).to_owned())),
        }),
        key_strindex: 0,
    };
    all.iter().map(pair).collect()
}

fn number(value: f64, secs: u64, attributes: &[(&str, &str)]) -> NumberDataPoint {
    NumberDataPoint {
        attributes: pairs(attributes),
        start_time_unix_nano: T0,
        time_unix_nano: T0 + secs * SECOND,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        unit: unit.into(),
        description: format!("What {name} is."),
        data: Some(data),
        ..Metric::default()
    }
}

fn sum(name: &str, unit: &str, delta: bool, points: Vec<NumberDataPoint>) -> Metric {
    let data = Sum {
        data_points: points,
        aggregation_temporality: if delta { 1 } else { 2 },
        is_monotonic: true,
    };
    metric(name, unit, Data::Sum(data))
}

fn gauge(name: &str, unit: &str, points: Vec<NumberDataPoint>) -> Metric {
    metric(name, unit, Data::Gauge(Gauge { data_points: points }))
}

fn histogram(delta: bool, secs: u64, counts: [u64; 3]) -> Metric {
    let point = HistogramDataPoint {
        start_time_unix_nano: T0,
        time_unix_nano: T0 + secs * SECOND,
        count: counts.iter().sum(),
        sum: Some(1.5),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![0.5, 1.0],
        exemplars: vec![Exemplar {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            time_unix_nano: T0,
            value: Some(exemplar::Value::AsDouble(0.7)),
            ..Exemplar::default()
        }],
        ..HistogramDataPoint::default()
    };
    let data = Histogram {
        data_points: vec![point],
        aggregation_temporality: if delta { 1 } else { 2 },
    };
    metric("http.duration", "s", Data::Histogram(data))
}

#[test]
fn names_units_and_labels_follow_the_specification() {
    let world = World::new(|it| it.naming.namespace = "my.app".into());
    world.send(
        &[
            ("service.name", "checkout"),
            ("service.namespace", "shop"),
            ("service.instance.id", "i1"),
            ("host", "h"),
        ],
        vec![
            sum(
                "http.requests",
                "{request}",
                false,
                vec![number(3.0, 1, &[("http.route", "/a\"b\\c\nd"), ("1x", "y")])],
            ),
            sum("process.cpu.time", "s", false, vec![number(1.5, 1, &[])]),
            gauge(
                "queue.fill",
                "1",
                vec![number(0.5, 1, &[("a.b", "1"), ("a_b", "2")])],
            ),
            gauge("net.io", "By/s", vec![number(f64::INFINITY, 1, &[])]),
        ],
    );
    let page = world.show();
    for line in [
        "# HELP my_app_http_requests_total What http.requests is.",
        "# TYPE my_app_http_requests_total counter",
        r#"my_app_http_requests_total{http_route="/a\"b\\c\nd",instance="i1",job="shop/checkout",key_1x="y"} 3"#,
        r#"my_app_process_cpu_time_seconds_total{instance="i1",job="shop/checkout"} 1.5"#,
        r#"my_app_queue_fill_ratio{a_b="1;2",instance="i1",job="shop/checkout"} 0.5"#,
        r#"my_app_net_io_bytes_per_second{instance="i1",job="shop/checkout"} +Inf"#,
        r#"my_app_target_info{host="h",instance="i1",job="shop/checkout"} 1"#,
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line} is not in\n{page}"
        );
    }
}

#[test]
fn options_put_more_or_less_into_labels_and_names() {
    let world = World::new(|it| {
        it.naming = Naming {
            resource_to_telemetry_conversion: true,
            add_metric_suffixes: false,
            target_info: false,
            const_labels: vec![("region".into(), "eu".into())],
            ..Naming::default()
        };
        it.send_timestamps = true;
    });
    world.send(
        &[("host.name", "h")],
        vec![sum("a.b", "s", false, vec![number(1.0, 2, &[])])],
    );
    let line =
        r#"a_b{host_name="h",otel_scope_name="lib",otel_scope_version="2",region="eu"} 1 1795000002000"#;
    assert!(
        world.show().lines().any(|found| found == line),
        "{}",
        world.show()
    );
}

#[test]
fn deltas_are_added_up_and_repetitions_are_not() {
    let world = World::new(|_| ());
    for (secs, value) in [(1, 2.0), (2, 3.0), (2, 3.0), (1, 9.0), (3, 1.0)] {
        world.send(&[], vec![sum("calls", "", true, vec![number(value, secs, &[])])]);
    }
    assert!(world.show().contains("\ncalls_total 6\n"), "{}", world.show());
    for secs in 1..=3 {
        world.send(&[], vec![histogram(true, secs, [1, 2, 3])]);
    }
    let page = world.show();
    for line in [
        "http_duration_seconds_bucket{le=\"0.5\"} 3",
        "http_duration_seconds_bucket{le=\"1\"} 9",
        "http_duration_seconds_bucket{le=\"+Inf\"} 18",
        "http_duration_seconds_sum 4.5",
        "http_duration_seconds_count 18",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn an_expired_counter_comes_back_where_it_was() {
    let world = World::new(|_| ());
    world.send(&[], vec![sum("calls", "", true, vec![number(5.0, 1, &[])])]);
    world.step(301);
    assert_eq!(world.show(), "");
    world.send(&[], vec![sum("calls", "", true, vec![number(1.0, 400, &[])])]);
    assert!(world.show().contains("calls_total 6\n"));
}

#[test]
fn of_two_types_of_one_name_the_first_wins_and_the_page_still_parses() {
    let world = World::new(|_| ());
    world.send(
        &[],
        vec![
            gauge("x", "", vec![number(1.0, 1, &[])]),
            gauge("y.count", "", vec![number(1.0, 1, &[])]),
        ],
    );
    world.send(
        &[],
        vec![metric("x", "", histogram(false, 1, [1, 1, 1]).data.unwrap())],
    );
    world.send(
        &[],
        vec![metric("y", "", histogram(false, 1, [1, 1, 1]).data.unwrap())],
    );
    let page = world.show();
    assert!(
        page.contains("# TYPE x gauge\nx 1\n") && page.contains("y_count 1\n"),
        "{page}"
    );
    assert!(!page.contains("histogram"), "{page}");
}

#[test]
fn streams_with_the_same_labels_never_make_two_lines_and_a_restart_takes_over() {
    let world = World::new(|_| ());
    let process = |pid: &'static str| [("service.name", "a"), ("process.pid", pid)];
    let at = |start: u64, value: f64| {
        let mut point = number(value, 1, &[]);
        point.start_time_unix_nano = start;
        vec![sum("calls", "", false, vec![point])]
    };
    world.send(&process("1"), at(T0, 10.0));
    world.send(&process("2"), at(T0, 99.0));
    assert!(
        world.show().contains("calls_total{job=\"a\"} 10\n"),
        "{}",
        world.show()
    );
    world.send(&process("3"), at(T0 + 1, 1.0));
    world.send(&process("1"), at(T0, 11.0));
    assert!(
        world.show().contains("calls_total{job=\"a\"} 1\n"),
        "{}",
        world.show()
    );
    world.step(61);
    world.send(&process("1"), at(T0, 12.0));
    assert!(world.show().contains("calls_total{job=\"a\"} 12\n"));
    let lines = world.show();
    assert_eq!(
        lines
            .lines()
            .filter(|line| line.starts_with("calls_total"))
            .count(),
        1
    );
}

#[test]
fn exponential_histograms_are_shown_by_bounds_and_deltas_of_other_scales_add_up() {
    let world = World::new(|_| ());
    let point = |secs: u64, scale: i32, offset: i32, counts: Vec<u64>| {
        let point = ExponentialHistogramDataPoint {
            start_time_unix_nano: T0,
            time_unix_nano: T0 + secs * SECOND,
            count: counts.iter().sum::<u64>() + 1,
            sum: Some(1.0),
            scale,
            zero_count: 1,
            positive: Some(Buckets {
                offset,
                bucket_counts: counts,
            }),
            ..ExponentialHistogramDataPoint::default()
        };
        let data = ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality: 1,
        };
        metric("e", "", Data::ExponentialHistogram(data))
    };
    // Buckets (1, 2], (2, 4] at scale 0; then (4, 5.65], (5.65, 8] at scale 1.
    world.send(&[], vec![point(1, 0, 0, vec![1, 2])]);
    world.send(&[], vec![point(2, 1, 4, vec![3, 4])]);
    let page = world.show();
    for line in [
        "e_bucket{le=\"0\"} 2",
        "e_bucket{le=\"2\"} 3",
        "e_bucket{le=\"4\"} 5",
        "e_bucket{le=\"8\"} 12",
        "e_bucket{le=\"+Inf\"} 12",
        "e_count 12",
        "e_sum 2",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn summaries_and_open_metrics_with_examples() {
    let world = World::new(|it| it.enable_open_metrics = true);
    let summary = Summary {
        data_points: vec![SummaryDataPoint {
            count: 2,
            sum: 3.0,
            quantile_values: vec![ValueAtQuantile {
                quantile: 0.5,
                value: 1.0,
            }],
            ..SummaryDataPoint::default()
        }],
    };
    let calls = sum("calls", "", false, vec![number(4.0, 1, &[])]);
    world.send(
        &[],
        vec![
            metric("s", "", Data::Summary(summary)),
            calls,
            histogram(false, 1, [1, 2, 3]),
        ],
    );
    let page = world.page.render(true, &HashSet::new());
    for line in [
        "s{quantile=\"0.5\"} 1",
        "# TYPE calls counter",
        "calls_total 4",
        "calls_created 1795000000",
        "http_duration_seconds_bucket{le=\"1.0\"} 3 # {trace_id=\"01010101010101010101010101010101\",\
         span_id=\"0202020202020202\"} 0.7 1795000000",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let own = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n\n# TYPE b counter\nb 2\n";
    assert_eq!(
        to_open_metrics(own),
        "# HELP a A.\n# TYPE a counter\na_total 1\n# TYPE b unknown\nb 2\n"
    );
}

#[test]
fn names_that_others_have_on_the_page_are_left_to_them() {
    let world = World::new(|_| ());
    world.send(
        &[],
        vec![
            gauge("slo.burn_rate", "", vec![number(1.0, 1, &[])]),
            gauge("mine", "", vec![number(1.0, 1, &[])]),
        ],
    );
    let page = world
        .page
        .render(false, &HashSet::from(["slo_burn_rate".to_owned()]));
    assert!(!page.contains("slo_burn_rate") && page.contains("mine 1"));
}

#[test]
fn series_are_bounded_and_idle_ones_make_room() {
    let world = World::new(|it| it.max_series = 2);
    for name in ["a", "b", "c"] {
        world.send(&[], vec![gauge(name, "", vec![number(1.0, 1, &[])])]);
    }
    assert!(world.show().contains("b 1") && !world.show().contains("c 1"));
    world.step(301);
    world.send(&[], vec![gauge("c", "", vec![number(1.0, 1, &[])])]);
    assert!(world.show().contains("c 1") && world.page.store().len() == 1);
}

#[test]
fn a_point_without_a_value_hides_its_series() {
    let world = World::new(|_| ());
    world.send(&[], vec![gauge("a", "", vec![number(1.0, 1, &[])])]);
    let mut absent = number(0.0, 2, &[]);
    absent.flags = 1;
    world.send(&[], vec![gauge("a", "", vec![absent])]);
    assert_eq!(world.show(), "");
}
