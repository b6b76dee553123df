//! SLIs from metrics: the same traffic as spans and as metrics gives the same counts; names, cohorts and
//! quality.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; prost makes the requests"
)]

mod metrics_support;

use burngate::cohort::{Level, NamedFlags, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::ledger::{Compiled, Quality, SeriesDelta, Tap};
use burngate::sli::{DefaultObjective, ObjectiveName, ObjectiveSpec, SliSpec};
use burngate::time::UnixNanos;
use metrics_support::{
    BOUNDS, CUMULATIVE, DELTA, SECOND, World, buckets, counter, gauge, histogram, int, number, pair, request,
    text,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

const T: u64 = 1_700_000_000;

/// Every policy of the file, whatever service it was recorded for.
fn any_service(sli: &str) -> Tap {
    let spec = ObjectiveSpec {
        name: ObjectiveName {
            service: Arc::from("*"),
            slo: Arc::from("slo"),
        },
        environment: None,
        sli: serde_saphyr::from_str(sli).unwrap(),
    };
    let cohorts = Cohorts::default();
    let limits = ReceiverLimits::default();
    let compiled = Compiled::compile(&[spec], None, NamedFlags::new(), &cohorts, &limits).unwrap();
    Tap::new(compiled, Arc::new(Registry::new(&cohorts)))
}

/// (level) -> (good, bad), over all buckets.
fn by_cohort(tap: &Tap, rows: &[SeriesDelta]) -> BTreeMap<Level, (u64, u64)> {
    let mut sums: BTreeMap<Level, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let key = tap.registry().key(row.cohort).unwrap();
        let sum = sums.entry(key.level.clone()).or_default();
        sum.0 += row.counts.good;
        sum.1 += row.counts.bad;
    }
    sums
}

fn recorded(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data/otlp/sdk_recorded")
        .join(name);
    let Ok(content) = std::fs::read(&path) else {
        eprintln!("skipped: {} is missing", path.display());
        return None;
    };
    if path.extension().is_some_and(|extension| extension == "pb") {
        return Some(content);
    }
    Some(if name.contains("metrics") {
        serde_json::from_slice::<ExportMetricsServiceRequest>(&content)
            .unwrap()
            .encode_to_vec()
    } else {
        serde_json::from_slice::<ExportTraceServiceRequest>(&content)
            .unwrap()
            .encode_to_vec()
    })
}

/// What official SDKs sent of the same requests, as spans and as metrics.
#[test]
fn spans_and_metrics_of_the_same_traffic_give_the_same_sli() {
    let now = UnixNanos(T * SECOND);
    for (traces, metrics) in [
        ("py_http_traces.pb", "py_http_metrics_delta.pb"),
        ("js_http_traces.json", "js_http_metrics_delta.json"),
        ("js_grpc_traces.pb", "js_grpc_metrics_cumulative.pb"),
    ] {
        let (Some(traces_bytes), Some(metrics_bytes)) = (recorded(traces), recorded(metrics)) else {
            continue;
        };
        for (by_spans, by_metrics) in [
            ("{}", "{ metrics: http.server.request.duration }"),
            (
                "{ faster_than: 250ms }",
                "{ metrics: http.server.request.duration, faster_than: 250ms }",
            ),
            (
                "{ faster_than: 50ms, failed: exclude }",
                "{ metrics: http_server_request_duration_seconds, faster_than: 50ms, failed: exclude }",
            ),
            (
                "{ bad: 'http.response.status_code == 500' }",
                "{ metrics: { bad: 'http_server_request_duration_seconds_count{http_response_status_code=\"500\"}', \
                 total: http_server_request_duration_seconds_count } }",
            ),
        ] {
            let spans = any_service(by_spans);
            let spans_rows = spans.process(&traces_bytes, None, now).unwrap().series;
            let points = any_service(by_metrics);
            let points_rows = points
                .process_metrics(&metrics_bytes, None, now, |_| {})
                .unwrap()
                .series;
            let (expected, found) = (by_cohort(&spans, &spans_rows), by_cohort(&points, &points_rows));
            assert!(!expected.is_empty(), "{traces}");
            assert_eq!(
                found, expected,
                "{traces} {by_spans} against {metrics} {by_metrics}"
            );
        }
    }
}

/// The recorded exponential histogram has its own traffic: its counts are a recount of its own points.
#[test]
fn an_exponential_histogram_of_an_sdk_is_divided_at_its_bounds() {
    let Some(bytes) = recorded("py_grpc_metrics_exphist.pb") else {
        return;
    };
    let request = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
    let (mut count, mut below) = (0u64, 0u64);
    for metric in request
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics)
    {
        let Some(Data::ExponentialHistogram(data)) = &metric.data else {
            continue;
        };
        for point in &data.data_points {
            let failed = point.attributes.iter().any(|a| {
                a.key == "http.response.status_code"
                    && a.value.as_ref().unwrap().value == Some(Value::IntValue(500))
            });
            count += point.count;
            if failed {
                continue;
            }
            // 0.25 is a power of two, so a bound at every scale: bucket i ends at 2^((i + 1) / 2^scale).
            let positive = point.positive.clone().unwrap_or_default();
            below += point.zero_count;
            for (at, n) in (i64::from(positive.offset)..).zip(positive.bucket_counts) {
                let ends = f64::from(i32::try_from(at + 1).unwrap()) / f64::from(point.scale).exp2();
                if ends <= -2.0 {
                    below += n;
                }
            }
        }
    }
    let tap = any_service("{ metrics: http.server.request.duration, faster_than: 250ms }");
    let outcome = tap
        .process_metrics(&bytes, None, UnixNanos(T * SECOND), |_| {})
        .unwrap();
    let found = by_cohort(&tap, &outcome.series)[&Level::Total];
    assert!(count > 0);
    assert_eq!(found, (below, count - below));
}

/// A summary's point: so many observations, of which nine in ten took at most 0.11 s.
fn summary(
    name: &str,
    (start, time): (u64, u64),
    count: u64,
) -> opentelemetry_proto::tonic::metrics::v1::Metric {
    use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
    use opentelemetry_proto::tonic::metrics::v1::{Summary, SummaryDataPoint};
    let quantile = |(quantile, value)| ValueAtQuantile { quantile, value };
    let point = SummaryDataPoint {
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        count,
        quantile_values: [(0.5, 0.1), (0.9, 0.11), (0.99, 0.12)].map(quantile).to_vec(),
        ..SummaryDataPoint::default()
    };
    opentelemetry_proto::tonic::metrics::v1::Metric {
        name: name.to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Summary(Summary {
            data_points: vec![point],
        })),
        ..opentelemetry_proto::tonic::metrics::v1::Metric::default()
    }
}

/// Two observations a point: rounded point by point, each would lose one of them.
#[test]
fn a_summary_of_many_small_points_counts_as_one_of_a_large_one() {
    let slis = [
        "{ metrics: took, faster_than: 500ms }",
        "{ metrics: took, faster_than: 110ms }",
        "{ metrics: took, faster_than: 105ms }",
        "{ metrics: took, faster_than: 50ms }",
    ];
    let (mut small, mut large) = (World::new(&slis), World::new(&slis));
    for step in 1..=500 {
        let point = summary("took", (T, T + step * 10), step * 2);
        small.send(&request(vec![], vec![point]), T + step * 10 + 1);
    }
    let point = summary("took", (T, T + 5000), 1000);
    large.send(&request(vec![], vec![point]), T + 5001);
    for (slo, good) in [(0, 990), (1, 900), (2, 700), (3, 0)] {
        assert_eq!(large.total(slo), (good, 1000 - good), "{}", slis[slo]);
        assert_eq!(small.total(slo), (good, 1000 - good), "{}", slis[slo]);
    }
}

fn codes(name: &str, times: (u64, u64), counts: [i64; 2]) -> opentelemetry_proto::tonic::metrics::v1::Metric {
    let point = |(code, n)| number(vec![int("code", code)], times, n);
    counter(
        name,
        CUMULATIVE,
        [200, 503].into_iter().zip(counts).map(point).collect(),
    )
}

#[test]
fn a_point_counts_for_the_cohort_of_its_own_attributes_else_of_its_resource() {
    let mut world = World::new(&["{ metrics: hits, bad: 'code >= 500' }"]);
    let own = number(
        vec![int("code", 503), text("deployment.sha", "new")],
        (T, T + 10),
        3,
    );
    let resource = number(vec![int("code", 200)], (T, T + 10), 5);
    let points = vec![counter("hits", CUMULATIVE, vec![own, resource])];
    world.send(&request(vec![text("deployment.sha", "old")], points), T + 11);
    let of = |sha: Option<&str>| world.counted[&("slo0".to_owned(), sha.map(str::to_owned))];
    assert_eq!(
        (of(None), of(Some("new")), of(Some("old"))),
        ((5, 3), (0, 3), (5, 0))
    );
}

#[test]
fn prometheus_and_opentelemetry_names_mean_the_same_points() {
    let slis = [
        "{ metrics: http.requests, bad: 'code >= 500' }",
        "{ metrics: http_requests_total, bad: 'code =~ \"5..\"' }",
        "{ metrics: { bad: 'http_requests_total{code=~\"5..\"}', total: http_requests_total } }",
        "{ metrics: { good: 'http_requests_total{code!~\"5..\"}', total: http.requests } }",
        "{ metrics: { good: 'http_requests_total{code=\"200\"}', bad: 'http_requests_total{code=\"503\"}' } }",
        "{ metrics: { bad: 'http_requests_total{code=\"503\",job=\"shop\",absent=\"\"}', total: 'http_requests_total{job=~\"sh.*\"}' } }",
    ];
    let mut world = World::new(&slis);
    world.send(
        &request(vec![], vec![codes("http.requests", (T, T + 10), [7, 2])]),
        T + 11,
    );
    for (slo, sli) in slis.iter().enumerate() {
        assert_eq!(world.total(slo), (7, 2), "{sli}");
    }
}

#[test]
fn bucket_names_of_prometheus_are_shares_of_the_histogram() {
    let slis = [
        "{ metrics: { good: 'http_request_duration_seconds_bucket{le=\"0.25\"}', total: http_request_duration_seconds_count } }",
        "{ metrics: { metric: http_request_duration_seconds_bucket, le: 0.25 } }",
        "{ metrics: http.request.duration, faster_than: 250ms }",
        "{ metrics: { good: 'http_request_duration_seconds_bucket{le=\"0.3\"}', total: http_request_duration_seconds_count } }",
        "{ metrics: { good: 'http_request_duration_seconds_bucket{le=\"0.25\"}', total: 'http_request_duration_seconds_bucket{le=\"+Inf\"}' } }",
    ];
    let mut world = World::new(&slis);
    let points = vec![buckets(vec![], (T, T + 10), [1, 2, 10, 4])];
    assert!(BOUNDS[1].total_cmp(&0.25).is_eq(), "250 ms is a bound");
    world.send(
        &request(vec![], vec![histogram("http.request.duration", DELTA, points)]),
        T + 11,
    );
    assert_eq!([0, 1, 2].map(|slo| world.total(slo)), [(3, 14); 3]);
    assert_eq!(world.total(3), (5, 12));
    assert_eq!(world.total(4), (3, 14), "the bucket of all is the count");
    let quality = |slo: usize| {
        let name = ObjectiveName {
            service: Arc::from("shop"),
            slo: Arc::from(format!("slo{slo}")),
        };
        world.tap.qualities().of(&name, UnixNanos((T + 12) * SECOND))
    };
    assert_eq!(quality(0), Some(Quality::Exact));
    assert_eq!(quality(3), Some(Quality::Interpolated));
}

#[test]
fn two_counters_are_paired_whatever_request_they_come_in() {
    let mut world = World::new(&["{ metrics: { bad: failures, total: calls } }"]);
    let one = |name: &str, time, n| {
        request(
            vec![],
            vec![counter(name, CUMULATIVE, vec![number(vec![], (T, T + time), n)])],
        )
    };
    world.send(&one("calls", 10, 100), T + 11);
    assert_eq!(world.total(0), (0, 0), "the other half may be on its way");
    world.send(&one("failures", 10, 4), T + 11);
    assert_eq!(world.total(0), (96, 4));
    world.send(&one("failures", 20, 6), T + 21);
    world.send(&one("calls", 20, 150), T + 21);
    world.send(&one("failures", 30, 6), T + 31);
    assert_eq!(world.total(0), (144, 6));
}

#[test]
fn what_an_sdk_had_no_room_for_degrades_the_sli_and_what_is_no_counter_says_so() {
    let mut world = World::new(&["{ metrics: hits }", "{ metrics: level }"]);
    let point = number(
        vec![pair("otel.metric.overflow", Value::BoolValue(true))],
        (T, T + 10),
        3,
    );
    let level = gauge("level", "", vec![number(vec![], (T, T + 10), 3)]);
    let outcome = world.send(
        &request(vec![], vec![counter("hits", CUMULATIVE, vec![point]), level]),
        T + 11,
    );
    assert_eq!((world.total(0), world.total(1)), ((3, 0), (0, 0)));
    assert_eq!(
        (outcome.points.overflow, outcome.points.unusable.get("gauge")),
        (1, Some(&1))
    );
    for slo in ["slo0", "slo1"] {
        let name = ObjectiveName {
            service: Arc::from("shop"),
            slo: Arc::from(slo),
        };
        let quality = world.tap.qualities().of(&name, UnixNanos((T + 12) * SECOND));
        assert_eq!(quality, Some(Quality::Degraded), "{slo}");
    }
}

#[test]
fn a_gauge_is_judged_by_slices_of_its_cohort() {
    let mut world =
        World::new(&["{ metrics: { gauge: lag, at_most: 10, slice: 1m, missing: bad, stale_after: 1m } }"]);
    let begin = T / 60 * 60;
    for (secs, value) in [(5, 3), (65, 30), (125, 4)] {
        let point = number(vec![text("partition", "1")], (0, begin + secs), value);
        world.send(
            &request(
                vec![text("deployment.sha", "abc")],
                vec![gauge("lag", "", vec![point])],
            ),
            begin + secs,
        );
    }
    let mut rows = Vec::new();
    world.tap.tick(UnixNanos((begin + 400) * SECOND), |series| {
        rows.extend_from_slice(series);
    });
    let sums = by_cohort(&world.tap, &rows);
    // Three slices with data, one for which the last value stands, two without.
    let expected = (3, 3);
    assert_eq!(sums[&Level::Total], expected);
    assert_eq!(
        sums[&Level::Deployment {
            sha: Arc::from("abc")
        }],
        expected
    );
}

#[test]
fn several_objectives_may_ask_how_old_one_gauge_is() {
    let sli = |limit| format!("{{ metrics: {{ gauge: done.at, age_at_most: {limit}, slice: 1m }} }}");
    let slis = [sli("30s"), sli("45s"), sli("10m")];
    let mut world = World::new(&slis.each_ref().map(String::as_str));
    let begin = T / 60 * 60;
    // At the end of the slice it is forty seconds old.
    let done_at = i64::try_from(begin + 20).unwrap();
    let point = number(vec![], (0, begin + 30), done_at);
    world.send(
        &request(vec![], vec![gauge("done.at", "s", vec![point])]),
        begin + 30,
    );
    let mut found = BTreeMap::new();
    world.tap.tick(UnixNanos((begin + 70) * SECOND), |series| {
        for row in series {
            let slo = world.tap.registry().objective(row.objective).unwrap().slo.clone();
            found.insert(slo.to_string(), (row.counts.good, row.counts.bad));
        }
    });
    let expected = [("slo0", (0, 1)), ("slo1", (1, 0)), ("slo2", (1, 0))];
    assert_eq!(found, expected.map(|(slo, n)| (slo.to_owned(), n)).into());
}

#[test]
fn a_delta_after_a_gap_counts_and_is_told() {
    let mut world = World::new(&["{ metrics: hits }"]);
    let mut send = |times: (u64, u64), n| {
        let points = vec![number(vec![], times, n)];
        let outcome = world.send(&request(vec![], vec![counter("hits", DELTA, points)]), times.1);
        (outcome.points.counted, outcome.points.gaps)
    };
    assert_eq!(send((T, T + 10), 3), (1, 0));
    assert_eq!(send((T + 10, T + 20), 4), (1, 0));
    assert_eq!(send((T + 30, T + 40), 5), (1, 1));
    assert_eq!(world.total(0), (12, 0));
}

#[test]
fn spans_and_defaults_are_untouched_by_metrics() {
    let default = DefaultObjective {
        slo: Arc::from("availability"),
        sli: SliSpec::default(),
    };
    let cohorts = Cohorts::default();
    let limits = ReceiverLimits::default();
    let compiled = Compiled::compile(&[], Some(&default), NamedFlags::new(), &cohorts, &limits).unwrap();
    let tap = Tap::new(compiled, Arc::new(Registry::new(&cohorts)));
    let bytes = request(vec![], vec![codes("http.requests", (T, T + 10), [7, 2])]).encode_to_vec();
    let outcome = tap
        .process_metrics(&bytes, None, UnixNanos((T + 11) * SECOND), |_| {})
        .unwrap();
    assert_eq!((outcome.series.len(), outcome.summary.spans), (0, 2));
}
