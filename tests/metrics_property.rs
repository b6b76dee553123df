//! However points are sent, the same events are counted: as sums or as differences, in one request or many, in
//! another order, twice, over restarts of the sender and of the gateway.
#![allow(clippy::unwrap_used, reason = "tests")]

mod metrics_support;

use metrics_support::{
    CUMULATIVE, Counted, DELTA, World, all_rows, buckets, counter, histogram, int, number, request, text,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Availability by convention, a threshold at a bound, one inside a bucket, one counter split by an attribute,
/// a ratio of two.
const SLIS: [&str; 5] = [
    "{ metrics: http.server.request.duration }",
    "{ metrics: http.server.request.duration, faster_than: 250ms }",
    "{ metrics: http.server.request.duration, faster_than: 300ms, failed: exclude }",
    "{ metrics: 'http_requests_total', bad: 'code =~ \"5..\"' }",
    "{ metrics: { bad: 'errors{kind!=\"user\"}', total: requests } }",
];

const CODES: [i64; 2] = [200, 503];

/// What happened between two exports: buckets for each status code, and whether the sender had restarted.
type Interval = ([[u64; 4]; 2], bool);

fn history() -> impl Strategy<Value = Vec<Interval>> {
    let counts = [[0u64..50, 0..50, 0..50, 0..50], [0u64..50, 0..50, 0..50, 0..50]];
    vec((counts, prop::bool::weighted(0.15)), 1..12)
}

const BEGIN: u64 = 1_700_000_000;

/// One request an interval. Every point also stands for the counters: a request each observation.
fn exports(history: &[Interval], temporality: i32) -> Vec<ExportMetricsServiceRequest> {
    let mut start = BEGIN;
    let mut sums = [[0u64; 4]; 2];
    let mut all = Vec::new();
    for (at, (counts, restarted)) in (0u64..).zip(history) {
        let (from, time) = (BEGIN + at * 10, BEGIN + at * 10 + 10);
        if *restarted {
            (start, sums) = (from, [[0; 4]; 2]);
        }
        for (sum, count) in sums.iter_mut().flatten().zip(counts.iter().flatten()) {
            *sum += count;
        }
        let (times, shown) = if temporality == DELTA {
            ((from, time), counts)
        } else {
            ((start, time), &sums)
        };
        all.push(request(
            vec![text("deployment.sha", "abc")],
            metrics(shown, times, temporality),
        ));
    }
    all
}

fn metrics(counts: &[[u64; 4]; 2], times: (u64, u64), temporality: i32) -> Vec<Metric> {
    let each = || CODES.into_iter().zip(counts);
    let total = |counts: &[u64; 4]| i64::try_from(counts.iter().sum::<u64>()).unwrap();
    let durations =
        each().map(|(code, counts)| buckets(vec![int("http.response.status_code", code)], times, *counts));
    let requests = each().map(|(code, counts)| number(vec![int("code", code)], times, total(counts)));
    let errors = vec![
        number(vec![text("kind", "server")], times, total(&counts[1])),
        number(vec![text("kind", "user")], times, 1_000_000),
    ];
    let served = vec![number(vec![], times, total(&counts[0]) + total(&counts[1]))];
    vec![
        histogram("http.server.request.duration", temporality, durations.collect()),
        counter("http.requests", temporality, requests.collect()),
        counter("errors", temporality, errors),
        counter("requests", temporality, served),
    ]
}

fn counted(requests: &[ExportMetricsServiceRequest]) -> Counted {
    let mut world = World::new(&SLIS);
    for request in requests {
        world.send(request, now_of(request));
    }
    world.counted
}

/// Shortly after the newest time of any history.
fn now_of(_: &ExportMetricsServiceRequest) -> u64 {
    BEGIN + 200
}

/// Each metric, and each of its points, in a request of its own.
fn split(request: &ExportMetricsServiceRequest) -> Vec<ExportMetricsServiceRequest> {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let mut parts = Vec::new();
    for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
        let points = match &metric.data {
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            _ => 0,
        };
        for at in 0..points {
            let mut one = metric.clone();
            match &mut one.data {
                Some(Data::Sum(sum)) => sum.data_points = vec![sum.data_points[at].clone()],
                Some(Data::Histogram(data)) => data.data_points = vec![data.data_points[at].clone()],
                _ => {}
            }
            let mut part = request.clone();
            part.resource_metrics[0].scope_metrics[0].metrics = vec![one];
            parts.push(part);
        }
    }
    parts
}

/// What really happened, by SLO, in all.
fn truth(history: &[Interval]) -> [(u64, u64); 5] {
    let sum = |code: usize, buckets: std::ops::Range<usize>| -> u64 {
        history
            .iter()
            .map(|(counts, _)| counts[code][buckets.clone()].iter().sum::<u64>())
            .sum()
    };
    let (good, bad) = (sum(0, 0..4), sum(1, 0..4));
    // The fifth of (0.25, 0.5] lies below 300 ms; every run of the sender is divided by itself.
    let mut below = sum(0, 0..2);
    let mut run = 0;
    for (counts, restarted) in history {
        if *restarted {
            (below, run) = (below + run / 5, 0);
        }
        run += counts[0][2];
    }
    below += run / 5;
    [
        (good, bad),
        (sum(0, 0..2), good + bad - sum(0, 0..2)),
        (below, good - below),
        (good, bad),
        (good, bad),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cumulative_counts_are_the_events(history in history()) {
        let counted = counted(&exports(&history, CUMULATIVE));
        for (slo, expected) in truth(&history).into_iter().enumerate() {
            for sha in [None, Some("abc".to_owned())] {
                let found = counted.get(&(format!("slo{slo}"), sha)).copied().unwrap_or_default();
                prop_assert_eq!(found, expected, "slo{}", slo);
            }
        }
    }

    /// Without a restart of the sender, at which a division by a fifth begins anew for sums only.
    #[test]
    fn sums_and_differences_agree(history in history()) {
        let history: Vec<_> = history.into_iter().map(|(counts, _)| (counts, false)).collect();
        prop_assert_eq!(counted(&exports(&history, CUMULATIVE)), counted(&exports(&history, DELTA)));
    }

    #[test]
    fn splitting_changes_no_count(history in history(), temporality in 1..=2) {
        let whole = exports(&history, temporality);
        let mut parts: Vec<_> = whole.iter().flat_map(split).collect();
        // A ratio waits for its other half: the end says that there is none.
        parts.extend(whole.last().cloned());
        prop_assert_eq!(counted(&whole), counted(&parts));
    }

    #[test]
    fn duplicating_changes_no_count(history in history(), temporality in 1..=2, again in vec(any::<bool>(), 12)) {
        let once = exports(&history, temporality);
        let mut twice = Vec::new();
        for (request, again) in once.iter().zip(again) {
            twice.extend(std::iter::repeat_n(request.clone(), 1 + usize::from(again)));
        }
        prop_assert_eq!(counted(&once), counted(&twice));
    }

    #[test]
    fn merging_changes_no_count(history in history(), temporality in 1..=2, cuts in vec(any::<bool>(), 12)) {
        let apart = exports(&history, temporality);
        let mut merged: Vec<ExportMetricsServiceRequest> = Vec::new();
        for (request, cut) in apart.iter().zip(cuts) {
            match merged.last_mut() {
                Some(last) if !cut => last.resource_metrics.extend(request.resource_metrics.clone()),
                _ => merged.push(request.clone()),
            }
        }
        prop_assert_eq!(counted(&apart), counted(&merged));
    }

    /// Sums may come in any order; the last one closes what a ratio waits for.
    #[test]
    fn reordering_changes_no_count(history in history(), temporality in 1..=2, seed in any::<u64>()) {
        let history: Vec<_> = history.into_iter().take(8).collect();
        let ordered = exports(&history, temporality);
        let mut shuffled = ordered.clone();
        let mut random = seed;
        for at in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, usize::try_from(random >> 33).unwrap() % (at + 1));
        }
        prop_assert_eq!(counted(&ordered), counted(&shuffled));
    }

    #[test]
    fn restarting_the_gateway_changes_no_count(
        history in history(), temporality in 1..=2, restarts in vec(any::<bool>(), 12),
    ) {
        let requests = exports(&history, temporality);
        let mut world = World::new(&SLIS);
        let mut store = BTreeMap::new();
        for (request, restart) in requests.iter().zip(restarts) {
            world.send(request, now_of(request));
            all_rows(&mut world.tap.streams().lock().unwrap(), &mut store);
            if restart {
                let rows: Vec<_> = store.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
                world.restart_with(&SLIS, &rows);
            }
        }
        prop_assert_eq!(counted(&requests), world.counted);
    }
}
