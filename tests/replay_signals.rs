//! Replays of metrics and logs against a recount and a real Prometheus, and against a gateway that the same requests were sent
//! to: sums and histograms, cumulative and delta, over restarts of their writer, in every format.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "official structs make the requests")]

#[path = "replay_support/exact.rs"]
mod exact;
mod metrics_support;
mod replay_support;
mod support;

use exact::{START, Stream, generated, policy};
use fastrand::Rng;
use metrics_support::{
    CUMULATIVE, DELTA, SECOND, buckets, counter, exponential, gauge, histogram, int, number, request, text,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use replay_support::{Minutes, replay, seconds};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Gateway, Setup, eventually, post};

/// Seconds from one export to the next.
const EVERY: u64 = 10;

/// What a service did from one export to the next: requests by bucket of their duration.
#[derive(Clone, Copy, Debug, Default)]
struct Did {
    good: [u64; 4],
    bad: [u64; 4],
}

/// One export: what is new, what there was since `start`, and when.
#[derive(Clone, Copy, Debug)]
struct Export {
    start: u64,
    /// Of the export before, or the start.
    before: u64,
    time: u64,
    new: Did,
    all: Did,
}

fn sum(counts: [u64; 4]) -> u64 {
    counts.iter().sum()
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap()
}

/// Hours of exports, with silent and burning stretches. The service starts anew every hundred minutes, and exports once more,
/// a second later, when it ends.
fn exports(seed: u64, hours: u64) -> Vec<Export> {
    let mut random = Rng::with_seed(seed);
    let mut out: Vec<Export> = Vec::new();
    let (mut start, mut before, mut all) = (START, START, Did::default());
    for step in 0..hours * 3_600 / EVERY {
        let time = START + step * EVERY + 7;
        let minute = step * EVERY / 60;
        if step % 600 == 599 {
            let last = *out.last().unwrap();
            out.push(Export {
                before: last.time,
                time: last.time + 1,
                new: Did::default(),
                ..last
            });
            (start, before, all) = (time - 3, time - 3, Did::default());
        }
        let silent = (minute / 30) % 7 == 4;
        let burning = (minute / 9) % 11 == 2;
        let mut new = Did::default();
        for _ in 0..if silent { 0 } else { random.u64(0..=8) } {
            let fails = random.u8(..) < if burning { 100 } else { 2 };
            let counts = if fails { &mut new.bad } else { &mut new.good };
            counts[random.usize(..4)] += 1;
        }
        for at in 0..4 {
            all.good[at] += new.good[at];
            all.bad[at] += new.bad[at];
        }
        out.push(Export {
            start,
            before,
            time,
            new,
            all,
        });
        before = time;
    }
    out
}

/// By minute, all events and those that `bad` says are.
fn minutes(exports: &[Export], bad: fn(&Did) -> u64) -> Minutes {
    let mut minutes = Minutes::new();
    for export in exports {
        let all = sum(export.new.good) + sum(export.new.bad);
        if all > 0 {
            let counts = minutes.entry(export.time / 60 * 60).or_default();
            *counts = (counts.0 + all, counts.1 + bad(&export.new));
        }
    }
    minutes
}

fn failed(did: &Did) -> u64 {
    sum(did.bad)
}

/// Slower than the second bound, or failed.
fn slow(did: &Did) -> u64 {
    did.good[2] + did.good[3] + sum(did.bad)
}

fn of_metrics(
    exports: &[Export],
    mut metrics: impl FnMut(&Export) -> Vec<Metric>,
) -> Vec<ExportMetricsServiceRequest> {
    let resource = || vec![text("deployment.sha", "4f2c1e")];
    exports
        .iter()
        .map(|export| request(resource(), metrics(export)))
        .collect()
}

fn pbs<M: Message>(path: PathBuf, requests: &[M]) -> PathBuf {
    let mut bytes = Vec::new();
    for request in requests {
        let request = request.encode_to_vec();
        bytes.extend(u32::try_from(request.len()).unwrap().to_be_bytes());
        bytes.extend(request);
    }
    if path.extension().unwrap() == "zst" {
        bytes = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    }
    std::fs::write(&path, bytes).unwrap();
    path
}

fn jsonl<M: Serialize>(path: PathBuf, requests: &[M]) -> PathBuf {
    let file = std::fs::File::create(&path).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    for request in requests {
        writeln!(packed, "{}", serde_json::to_string(request).unwrap()).unwrap();
    }
    packed.finish().unwrap();
    path
}

fn stream(file: PathBuf, sli: &str, minutes: Minutes) -> Stream {
    Stream {
        files: vec![file],
        more: vec![],
        policy: policy("shop", 99.0, sli),
        series: ("shop", "it", None),
        target: 99.0,
        minutes,
    }
}

/// A counter by status code; a code that has not happened has no point.
fn by_code(export: &Export, temporality: i32) -> Vec<Metric> {
    let (since, did) = if temporality == DELTA {
        (export.before, export.new)
    } else {
        (export.start, export.all)
    };
    let points = [(200, did.good), (404, [0; 4]), (503, did.bad)];
    let points = points
        .into_iter()
        .filter(|(_, counts)| sum(*counts) > 0)
        .map(|(code, counts)| number(vec![int("code", code)], (since, export.time), whole(sum(counts))))
        .collect();
    vec![counter("http.requests", temporality, points)]
}

const BY_CODE: &str = "{ metrics: http.requests, bad: 'code >= 500' }";

#[test]
fn a_cumulative_sum_over_restarts() {
    generated(
        "protobuf stream, a cumulative sum split by an attribute",
        |folder| {
            let exports = exports(1, 9);
            let requests = of_metrics(&exports, |export| by_code(export, CUMULATIVE));
            let file = pbs(folder.join("a.metrics.pbs.zst"), &requests);
            stream(file, BY_CODE, minutes(&exports, failed))
        },
    );
}

#[test]
fn a_sum_of_deltas_in_any_order() {
    generated("OTLP/JSON, deltas, lines shuffled", |folder| {
        let exports = exports(2, 7);
        let mut requests = of_metrics(&exports, |export| by_code(export, DELTA));
        Rng::with_seed(2).shuffle(&mut requests);
        let file = jsonl(folder.join("a.jsonl.gz"), &requests);
        stream(file, BY_CODE, minutes(&exports, failed))
    });
}

/// `http.server.request.duration` by status code.
fn durations(export: &Export, temporality: i32) -> Vec<Metric> {
    let (since, did) = if temporality == DELTA {
        (export.before, export.new)
    } else {
        (export.start, export.all)
    };
    let point = |code, counts| {
        buckets(
            vec![int("http.response.status_code", code)],
            (since, export.time),
            counts,
        )
    };
    vec![histogram(
        "http.server.request.duration",
        temporality,
        vec![point(200, did.good), point(500, did.bad)],
    )]
}

#[test]
fn a_cumulative_histogram_under_a_threshold() {
    generated("cumulative histogram, latency at a bucket's bound", |folder| {
        let exports = exports(3, 8);
        let requests = of_metrics(&exports, |export| durations(export, CUMULATIVE));
        let file = pbs(folder.join("metrics.pbs"), &requests);
        let sli = "{ metrics: http.server.request.duration, faster_than: 250ms }";
        stream(file, sli, minutes(&exports, slow))
    });
}

#[test]
fn a_histogram_of_deltas_by_the_names_of_prometheus() {
    generated("delta histogram, a ratio of Prometheus names", |folder| {
        let exports = exports(4, 8);
        let requests = of_metrics(&exports, |export| durations(export, DELTA));
        let file = pbs(folder.join("shop-metrics.pbs"), &requests);
        let sli = "{ metrics: { bad: 'http_server_request_duration_seconds_count{http_response_status_code=\"500\"}', \
                   total: http_server_request_duration_seconds_count } }";
        stream(file, sli, minutes(&exports, failed))
    });
}

/// Exponential buckets at scale 3, in which 250 ms is the upper bound of bucket -17: two on either side.
const INDEXES: [i32; 4] = [-24, -17, -16, -9];

fn exponentials(export: &Export, temporality: i32, scale: i32) -> Vec<Metric> {
    let (since, did) = if temporality == DELTA {
        (export.before, export.new)
    } else {
        (export.start, export.all)
    };
    let point = |code, counts: [u64; 4]| {
        let mut at: BTreeMap<i32, u64> = BTreeMap::new();
        for (index, n) in INDEXES.into_iter().zip(counts) {
            *at.entry(index >> (3 - scale)).or_default() += n;
        }
        let attributes = vec![int("http.response.status_code", code)];
        exponential(attributes, (since, export.time), scale, &at)
    };
    let points = vec![point(200, did.good), point(500, did.bad)];
    vec![metrics_support::exponential_histogram(
        "http.server.request.duration",
        temporality,
        points,
    )]
}

#[test]
fn a_cumulative_exponential_histogram_that_grows_coarser() {
    generated(
        "cumulative exponential histogram, scale 3, then 2, then 1",
        |folder| {
            let exports = exports(5, 7);
            let mut last = (0, 4);
            let requests = of_metrics(&exports, |export| {
                // Coarser with time, and as fine as ever in a new process.
                last = match (export.start == last.0, (export.time - export.start) / 1_800) {
                    (true, halves) => (last.0, 3 - i32::try_from(halves.min(2)).unwrap()),
                    (false, _) => (export.start, 3),
                };
                exponentials(export, CUMULATIVE, last.1)
            });
            let file = pbs(folder.join("a.metrics.pbs"), &requests);
            let sli = "{ metrics: http.server.request.duration, faster_than: 250ms }";
            stream(file, sli, minutes(&exports, slow))
        },
    );
}

#[test]
fn an_exponential_histogram_of_deltas() {
    generated(
        "delta exponential histogram, availability by conventions",
        |folder| {
            let exports = exports(6, 7);
            let requests = of_metrics(&exports, |export| exponentials(export, DELTA, 3));
            let file = jsonl(folder.join("a.jsonl.gz"), &requests);
            stream(
                file,
                "{ metrics: http.server.request.duration }",
                minutes(&exports, failed),
            )
        },
    );
}

#[test]
fn two_counters_of_one_sli() {
    generated("two cumulative counters, failed and all", |folder| {
        let exports = exports(7, 9);
        let requests = of_metrics(&exports, |export| {
            let point = |n| vec![number(vec![], (export.start, export.time), whole(n))];
            let all = sum(export.all.good) + sum(export.all.bad);
            vec![
                counter("jobs", CUMULATIVE, point(all)),
                counter("jobs.failed", CUMULATIVE, point(sum(export.all.bad))),
            ]
        });
        let file = pbs(folder.join("a.metrics.pbs"), &requests);
        let sli = "{ metrics: { bad: jobs_failed_total, total: jobs_total } }";
        stream(file, sli, minutes(&exports, failed))
    });
}

#[test]
fn the_variant_of_a_flag_that_points_name() {
    generated(
        "the cohort of a flag's variant, by attributes of points",
        |folder| {
            let (on, off) = (exports(8, 6), exports(9, 6));
            let requests: Vec<_> = on
                .iter()
                .zip(&off)
                .map(|(on, off)| {
                    let point = |export: &Export, list, code, n| {
                        let attributes = vec![text("feature.flags", list), int("code", code)];
                        number(attributes, (export.start, export.time), whole(n))
                    };
                    let points = [(on, "new-cart"), (off, "!new-cart")]
                        .into_iter()
                        .flat_map(|(export, list)| {
                            [
                                point(export, list, 200, sum(export.all.good)),
                                point(export, list, 503, sum(export.all.bad)),
                            ]
                        })
                        .collect();
                    request(vec![], vec![counter("http.requests", CUMULATIVE, points)])
                })
                .collect();
            let file = pbs(folder.join("a.metrics.pbs"), &requests);
            let mut stream = stream(file, BY_CODE, minutes(&on, failed));
            stream.series = ("shop", "it", Some(("new-cart", "on")));
            stream
        },
    );
}

fn records(resource: Vec<KeyValue>, records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let mut attributes = vec![text("service.name", "shop")];
    attributes.extend(resource);
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn order(time_nanos: u64, severity: i32) -> LogRecord {
    LogRecord {
        time_unix_nano: time_nanos,
        severity_number: severity,
        event_name: "order.placed".to_owned(),
        ..LogRecord::default()
    }
}

/// Hours of records, some of them of other events; and what counts, by minute.
fn orders(seed: u64, hours: u64) -> (Vec<ExportLogsServiceRequest>, Minutes) {
    let mut random = Rng::with_seed(seed);
    let (mut all, mut minutes) = (Vec::new(), Minutes::new());
    for minute in (0..hours * 60).filter(|minute| (minute / 30) % 7 != 4) {
        for _ in 0..random.u64(0..30) {
            let at = (START + minute * 60) * SECOND + random.u64(0..60 * SECOND);
            let fails = random.u8(..) < if (minute / 9) % 11 == 2 { 100 } else { 2 };
            let mut record = order(at, if fails { 17 } else { 9 });
            if random.u8(..10) == 0 {
                "order.seen".clone_into(&mut record.event_name);
            } else {
                let counts = minutes.entry((START + minute * 60) / 60 * 60).or_default();
                *counts = (counts.0 + 1, counts.1 + u64::from(fails));
            }
            all.push(record);
        }
    }
    all.sort_by_key(|record| record.time_unix_nano);
    let requests = all
        .chunks(50)
        .map(|chunk| records(vec![], chunk.to_vec()))
        .collect();
    (requests, minutes)
}

const ORDERS: &str = "{ logs: { event: order.placed } }";

#[test]
fn log_records_in_a_protobuf_stream() {
    generated("log records, protobuf", |folder| {
        let (requests, minutes) = orders(10, 8);
        stream(pbs(folder.join("logs.pbs.zst"), &requests), ORDERS, minutes)
    });
}

#[test]
fn log_records_in_json_lines_of_any_order() {
    generated("log records, OTLP/JSON, lines shuffled", |folder| {
        let (mut requests, minutes) = orders(11, 8);
        Rng::with_seed(11).shuffle(&mut requests);
        stream(jsonl(folder.join("a.jsonl.gz"), &requests), ORDERS, minutes)
    });
}

/// A slice of time is an event ten seconds after its end, so that a window lacks the one that ends with it.
#[test]
fn a_gauge_makes_its_slices_in_the_time_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Rng::with_seed(12);
    let (mut slices, mut requests) = (BTreeMap::<u64, bool>::new(), Vec::new());
    for step in 0..4 * 360 {
        let time = START + step * EVERY + 3;
        let lag = random.i64(0..1_010);
        *slices.entry(time / 60 * 60).or_insert(true) &= lag <= 1_000;
        let point = number(vec![], (0, time), lag);
        requests.push(request(vec![], vec![gauge("lag", "", vec![point])]));
    }
    let file = pbs(folder.path().join("a.metrics.pbs"), &requests);
    let policy = policy(
        "shop",
        99.0,
        "{ metrics: { gauge: lag, at_most: 1000, slice: 1m } }",
    );
    let answer = replay(folder.path(), &[file], &policy, &["--budgets-every", "5m"]);
    let mut windows = 0;
    for line in answer["budgets"].as_array().unwrap() {
        let at = seconds(&line["at"]);
        if !at.is_multiple_of(300) {
            continue;
        }
        for window in line["windows"].as_array().unwrap() {
            let from = at.saturating_sub(window["window_secs"].as_u64().unwrap());
            let within: Vec<bool> = slices.range(from..at - 60).map(|(_, good)| *good).collect();
            let good = within.iter().filter(|good| **good).count();
            let counted = (window["good"].as_u64().unwrap(), window["bad"].as_u64().unwrap());
            assert_eq!(
                counted,
                (good as u64, (within.len() - good) as u64),
                "{window} at {at}"
            );
            windows += 1;
        }
    }
    assert!(windows > 200, "{windows}");
}

const THREE: &str = "service: shop\nslos:\n\
    - { name: points, target: 99%, sli: { metrics: http.requests, bad: 'code >= 500' } }\n\
    - { name: fast, target: 99%, sli: { metrics: http.server.request.duration, faster_than: 250ms } }\n\
    - { name: orders, target: 99%, sli: { logs: { event: order.placed } } }\n";

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// (SLO, sha, flag and variant) -> (good, bad).
type Counts = BTreeMap<(String, Option<String>, Option<String>), (u64, u64)>;

fn counted<'v>(lines: impl IntoIterator<Item = &'v Value>, good: &str, bad: &str) -> Counts {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut all = Counts::new();
    for line in lines {
        let flag = text(&line["flag"]).map(|flag| format!("{flag}={}", line["variant"]));
        let key = (text(&line["slo"]).unwrap(), text(&line["sha"]), flag);
        let counts = (line[good].as_u64().unwrap(), line[bad].as_u64().unwrap());
        if counts != (0, 0) {
            // Of a replay, the last line.
            all.insert(key, counts);
        }
    }
    all
}

fn live(gateway: &Gateway) -> Counts {
    let budgets = gateway.api("/api/v1/budgets");
    let cohorts = gateway.api("/api/v1/cohorts?service=shop");
    let lists = [&budgets["budgets"], &cohorts["cohorts"]];
    let lines = lists.into_iter().flat_map(|list| list.as_array().unwrap());
    counted(lines, "good_total", "bad_total")
}

/// Sends metrics and logs to a gateway, and gives the same requests to a replay.
#[test]
fn a_replay_counts_what_the_gateway_counted() {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let gateway = Gateway::start_with(&setup, &[("policies/shop.yaml", THREE)]);
    // The service starts under the eyes of the gateway.
    let mut start = now_secs() + 1;
    // An event at a full ten seconds is in no window that ends there, and a replay ends with its last event.
    let last = exports(13, 1)
        .into_iter()
        .take(5)
        .map(|export| export.time - START)
        .max();
    while (start + last.unwrap()).is_multiple_of(10) {
        start += 1;
    }
    std::thread::sleep(Duration::from_millis(2_500));
    let mut points = Vec::new();
    let mut logs = Vec::new();
    let mut wanted = [(0, 0); 3];
    for export in exports(13, 1).into_iter().take(5) {
        let moved = |time: u64| start + (time - START);
        let export = Export {
            start,
            before: moved(export.before),
            time: moved(export.time),
            ..export
        };
        let resource = || vec![text("deployment.sha", "abc"), text("feature.flags", "new-cart")];
        let metrics = [by_code(&export, CUMULATIVE), durations(&export, CUMULATIVE)].concat();
        points.push(request(resource(), metrics));
        let severities = [9, 17, 9, 13];
        let list = severities
            .into_iter()
            .map(|severity| order(export.time * SECOND, severity))
            .collect();
        logs.push(records(resource(), list));
        let (good, bad) = (sum(export.all.good), sum(export.all.bad));
        wanted = [
            (good, bad),
            (good + bad - slow(&export.all), slow(&export.all)),
            (wanted[2].0 + 3, wanted[2].1 + 1),
        ];
    }
    let send = |path: &str, bytes| {
        let (status, answer) = post(
            &format!("{}{path}", gateway.http()),
            "application/x-protobuf",
            bytes,
        );
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    };
    for (points, logs) in points.iter().zip(&logs) {
        send("/v1/metrics", points.encode_to_vec());
        send("/v1/logs", logs.encode_to_vec());
    }
    let levels = [
        (None, None),
        (Some("abc".to_owned()), None),
        (Some("abc".to_owned()), Some("new-cart=\"on\"".to_owned())),
    ];
    let slos = ["points", "fast", "orders"];
    let wanted: Counts = slos
        .into_iter()
        .zip(wanted)
        .flat_map(|(slo, counts)| {
            let key = |(sha, flag)| ((slo.to_owned(), sha, flag), counts);
            levels.clone().map(key)
        })
        .collect();
    eventually("everything that was sent", Duration::from_secs(30), || {
        (live(&gateway) == wanted).then_some(())
    });

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let protobuf = [pbs(at("a.metrics.pbs"), &points), pbs(at("a.logs.pbs"), &logs)];
    let json = [
        jsonl(at("points.jsonl.gz"), &points),
        jsonl(at("logs.jsonl.gz"), &logs),
    ];
    let mut answers = BTreeSet::new();
    for files in [protobuf, json] {
        let answer = replay(folder.path(), &files, THREE, &["--cohorts"]);
        assert_eq!(answer["input"]["left_out"], 0, "{}", answer["input"]);
        assert_eq!(
            counted(answer["budgets"].as_array().unwrap(), "good", "bad"),
            wanted,
            "{files:?}"
        );
        answers.insert(answer["budgets"].to_string());
    }
    assert_eq!(answers.len(), 1, "either format gives the same answer");
}

/// What is written as traces and holds something else is told, not counted.
#[test]
fn a_stream_of_another_signal_than_its_name_says_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (requests, _) = orders(14, 1);
    let file = pbs(folder.path().join("spans.pbs"), &requests);
    std::fs::write(folder.path().join("policy.yaml"), policy("shop", 99.0, ORDERS)).unwrap();
    let args = [
        file.as_os_str(),
        "--policy".as_ref(),
        Path::new("policy.yaml").as_os_str(),
        "--strict".as_ref(),
    ];
    let out = replay_support::run(folder.path(), &args);
    assert_eq!(
        out.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
