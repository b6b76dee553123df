//! Replays against a recount: every counter equal, every burn rate that of a real Prometheus, on recorded and generated
//! streams of each kind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "the recount reads requests with the official structs"
)]
#![allow(clippy::cast_precision_loss, reason = "small whole numbers")]

#[path = "replay_support/exact.rs"]
mod exact;
mod replay_support;
mod support;

use exact::{START, Stream, generated, policy};
use fastrand::Rng;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use replay_support::{Minutes, minutes_of};
use std::fmt::Write as _;
use std::io::{BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use support::shared;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Any::StringValue(value.to_owned())),
    });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

fn number(key: &str, value: i64) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Any::IntValue(value)),
    });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

/// One generated span: when it ended, what it is, and whether the test calls it bad.
struct Made {
    end_nanos: u64,
    span: Span,
    bad: bool,
}

/// Hours of spans with quiet and burning stretches; `judge` fills a span in and says whether it is bad.
fn traffic(
    seed: u64,
    hours: u64,
    a_minute: u64,
    mut judge: impl FnMut(&mut Rng, &mut Span, bool) -> bool,
) -> Vec<Made> {
    let mut random = Rng::with_seed(seed);
    let mut made = Vec::new();
    for minute in 0..hours * 60 {
        let silent = (minute / 30) % 7 == 4;
        let burning = (minute / 9) % 11 == 2;
        let spans = if silent { 0 } else { random.u64(0..=2 * a_minute) };
        for _ in 0..spans {
            let end_nanos = (START + minute * 60) * 1_000_000_000 + random.u64(0..60_000_000_000);
            let fails = random.u8(..) < if burning { 100 } else { 2 };
            let mut span = Span {
                trace_id: random.u128(1..).to_be_bytes().to_vec(),
                span_id: random.u64(1..).to_be_bytes().to_vec(),
                kind: 2,
                end_time_unix_nano: end_nanos,
                start_time_unix_nano: end_nanos - random.u64(1_000_000..400_000_000),
                ..Span::default()
            };
            let bad = judge(&mut random, &mut span, fails);
            made.push(Made { end_nanos, span, bad });
        }
    }
    made.sort_by_key(|it| it.end_nanos);
    made
}

fn status(_: &mut Rng, span: &mut Span, fails: bool) -> bool {
    span.status = fails.then(|| Status {
        code: 2,
        ..Status::default()
    });
    fails
}

fn minutes_in<'m>(made: impl Iterator<Item = &'m Made>) -> Minutes {
    let mut minutes = Minutes::new();
    for it in made {
        let sum = minutes.entry(it.end_nanos / 60_000_000_000 * 60).or_default();
        *sum = (sum.0 + 1, sum.1 + u64::from(it.bad));
    }
    minutes
}

/// Requests of `size` spans, as an exporter sends them.
fn requests(made: &[Made], size: usize) -> Vec<ExportTraceServiceRequest> {
    made.chunks(size)
        .map(|chunk| {
            let resource = Resource {
                attributes: vec![text("service.name", "shop"), text("deployment.sha", "4f2c1e")],
                ..Resource::default()
            };
            let spans = chunk.iter().map(|it| it.span.clone()).collect();
            ExportTraceServiceRequest {
                resource_spans: vec![ResourceSpans {
                    resource: Some(resource),
                    scope_spans: vec![ScopeSpans {
                        spans,
                        ..ScopeSpans::default()
                    }],
                    ..ResourceSpans::default()
                }],
            }
        })
        .collect()
}

fn pbs(path: &Path, requests: &[ExportTraceServiceRequest]) -> PathBuf {
    let mut bytes = Vec::new();
    for request in requests {
        let request = request.encode_to_vec();
        bytes.extend(u32::try_from(request.len()).unwrap().to_be_bytes());
        bytes.extend(request);
    }
    if path.extension().unwrap() == "zst" {
        bytes = zstd::encode_all(bytes.as_slice(), 1).unwrap();
    }
    std::fs::write(path, bytes).unwrap();
    path.to_owned()
}

fn jsonl(path: &Path, requests: &[ExportTraceServiceRequest]) -> PathBuf {
    let lines: String = requests
        .iter()
        .map(|it| serde_json::to_string(it).unwrap() + "\n")
        .collect();
    let mut file =
        flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    file.write_all(lines.as_bytes()).unwrap();
    file.finish().unwrap();
    path.to_owned()
}

fn of_spans(folder: &Path, name: &str, made: &[Made], sli: &str) -> Stream {
    Stream {
        files: vec![pbs(&folder.join(name), &requests(made, 100))],
        more: vec![],
        policy: policy("shop", 99.0, sli),
        series: ("shop", "it", None),
        target: 99.0,
        minutes: minutes_in(made.iter()),
    }
}

#[test]
fn spans_that_fail_by_status() {
    generated("protobuf stream, status of spans", |folder| {
        of_spans(folder, "a.pbs", &traffic(1, 9, 20, status), "{}")
    });
}

#[test]
fn spans_that_fail_by_status_code() {
    generated("compressed stream, an expression over attributes", |folder| {
        let made = traffic(2, 7, 15, |random, span, fails| {
            let codes: &[i64] = if fails {
                &[500, 503, 599]
            } else {
                &[200, 204, 301, 404, 499]
            };
            let code = codes[random.usize(..codes.len())];
            span.attributes = vec![number("http.response.status_code", code)];
            code >= 500
        });
        let sli = r#"{ bad: "http.response.status_code >= 500" }"#;
        of_spans(folder, "a.pbs.zst", &made, sli)
    });
}

#[test]
fn spans_that_are_slow() {
    generated("latency under a threshold", |folder| {
        let made = traffic(3, 8, 25, |random, span, fails| {
            let took = if fails {
                random.u64(250_000_000..900_000_000)
            } else {
                random.u64(1_000_000..250_000_000)
            };
            span.start_time_unix_nano = span.end_time_unix_nano - took;
            took >= 250_000_000
        });
        of_spans(folder, "a.pbs", &made, "{ faster_than: 250ms }")
    });
}

#[test]
fn json_lines_in_any_order() {
    generated("OTLP/JSON, lines shuffled", |folder| {
        let made = traffic(4, 6, 10, status);
        let mut lines = requests(&made, 37);
        Rng::with_seed(4).shuffle(&mut lines);
        let mut stream = of_spans(folder, "unused.pbs", &made, "{}");
        stream.files = vec![jsonl(&folder.join("a.jsonl.gz"), &lines)];
        stream
    });
}

#[test]
fn several_files_that_overlap() {
    generated("three files of two formats over the same hours", |folder| {
        let made = traffic(5, 6, 20, status);
        let all = requests(&made, 11);
        let part = |rest: usize| -> Vec<_> { all.iter().skip(rest).step_by(3).cloned().collect() };
        let mut stream = of_spans(folder, "unused.pbs", &made, "{}");
        stream.files = vec![
            pbs(&folder.join("a.pbs"), &part(0)),
            jsonl(&folder.join("b.jsonl.gz"), &part(1)),
            pbs(&folder.join("c.pbs.zst"), &part(2)),
        ];
        stream
    });
}

#[test]
fn one_request_of_many_hours() {
    generated("all spans in one request", |folder| {
        let made = traffic(6, 7, 5, status);
        let mut stream = of_spans(folder, "unused.pbs", &made, "{}");
        stream.files = vec![pbs(&folder.join("a.pbs"), &requests(&made, usize::MAX))];
        stream
    });
}

#[test]
fn a_variant_of_a_flag() {
    generated("the cohort of a flag's variant", |folder| {
        let made = traffic(7, 6, 20, |random, span, fails| {
            let on = random.bool();
            let list = if on { "new-cart" } else { "!new-cart" };
            span.attributes = vec![text("feature.flags", list)];
            status(random, span, fails && on)
        });
        let on = |it: &&Made| matches!(&it.span.attributes[0].value, Some(AnyValue { value: Some(Any::StringValue(list)) }) if list == "new-cart");
        let mut stream = of_spans(folder, "a.pbs", &made, "{}");
        stream.series = ("shop", "it", Some(("new-cart", "on")));
        stream.minutes = minutes_in(made.iter().filter(on));
        stream
    });
}

#[test]
fn a_request_now_and_then() {
    generated("low traffic: a span in minutes", |folder| {
        let made = traffic(8, 30, 1, |random, span, fails| {
            // Nine in ten are somebody else's business.
            span.kind = if random.u8(..10) == 0 { 2 } else { 3 };
            status(random, span, fails)
        });
        let mut stream = of_spans(folder, "a.pbs", &made, "{}");
        stream.minutes = minutes_in(made.iter().filter(|it| it.span.kind == 2));
        stream
    });
}

#[test]
fn minutes_of_two_days() {
    generated("per-minute counts with gaps", |folder| {
        let mut random = Rng::with_seed(9);
        let (mut minutes, mut csv) = (Minutes::new(), String::from("timestamp,total,errors\n"));
        for minute in (0..2 * 1_440).filter(|minute| (minute / 60) % 17 != 5) {
            let all = random.u64(0..900);
            let bad = if (minute / 40) % 9 == 3 {
                random.u64(0..=all)
            } else {
                random.u64(0..=all / 200)
            };
            minutes.insert(START + minute * 60, (all, bad));
            writeln!(csv, "{},{all},{bad}", START + minute * 60).unwrap();
        }
        std::fs::write(folder.join("a.csv"), csv).unwrap();
        Stream {
            files: vec![folder.join("a.csv")],
            more: vec![],
            policy: policy("shop", 99.9, "{}"),
            series: ("shop", "it", None),
            target: 99.9,
            minutes,
        }
    });
}

#[test]
fn recorded_minutes_of_a_shop() {
    let Some(shared) = shared() else { return };
    generated("Nezha, frontend", |_| {
        let csv = shared
            .join("data/incidents/nezha-onlineboutique-2022-08-22/ob_frontend_2022-08-22_per_minute.csv");
        let ignore = "success_rate_pct,p50_s,p90_s,p95_s,p99_s,fault_service,fault_type,total_known";
        let more = [
            "--total-col",
            "total_est",
            "--errors-col",
            "errors_est",
            "--ignore",
            ignore,
        ];
        Stream {
            minutes: minutes_of(&csv, "total_est", "errors_est"),
            files: vec![csv],
            more: more.map(ToOwned::to_owned).to_vec(),
            policy: policy("frontend", 99.9, "{}"),
            series: ("frontend", "it", None),
            target: 99.9,
        }
    });
}

#[test]
fn recorded_minutes_of_a_web_site() {
    let Some(shared) = shared() else { return };
    generated("semicomplete.com, 84 hours", |_| {
        let csv = shared.join("data/requests/semicomplete_per_minute.csv");
        Stream {
            minutes: minutes_of(&csv, "total", "errors"),
            files: vec![csv],
            more: vec!["--ignore".to_owned(), "errors_4xx".to_owned()],
            policy: policy("web", 99.9, "{}"),
            series: ("web", "it", None),
            target: 99.9,
        }
    });
}

/// The spans of a recorded stream that `ours` picks, with its judgement.
fn recorded(
    requests: impl Iterator<Item = ExportTraceServiceRequest>,
    service: &str,
    slow_nanos: u64,
) -> Minutes {
    let mut made = Vec::new();
    for resource in requests.flat_map(|request| request.resource_spans) {
        let name = resource
            .resource
            .iter()
            .flat_map(|r| &r.attributes)
            .find(|a| a.key == "service.name");
        let name = name.and_then(|a| a.value.as_ref()?.value.as_ref());
        if !matches!(name, Some(Any::StringValue(name)) if name == service) {
            continue;
        }
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            if !matches!(span.kind, 2 | 5) {
                continue;
            }
            let (start, end_nanos) = (span.start_time_unix_nano, span.end_time_unix_nano);
            if start == 0 || start > end_nanos {
                continue;
            }
            let failed = span.status.as_ref().is_some_and(|status| status.code == 2);
            let bad = failed || end_nanos - start >= slow_nanos;
            made.push(Made { end_nanos, span, bad });
        }
    }
    minutes_in(made.iter())
}

#[test]
fn recorded_spans_of_every_kind() {
    let Some(shared) = shared() else { return };
    let path =
        shared.join("data/incidents/nezha-onlineboutique-2022-08-22/ob_2022-08-22_full_subset.pbs.zst");
    let read = || {
        let file = std::fs::File::open(&path).unwrap();
        let mut reader = BufReader::new(zstd::Decoder::new(file).unwrap());
        std::iter::from_fn(move || {
            let mut length = [0; 4];
            reader.read_exact(&mut length).ok()?;
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            reader.read_exact(&mut request).unwrap();
            Some(ExportTraceServiceRequest::decode(request.as_slice()).unwrap())
        })
    };
    for (service, slow) in [("frontend", "500ms"), ("productcatalogservice", "10ms")] {
        generated(service, |_| {
            let millis: u64 = slow.strip_suffix("ms").unwrap().parse().unwrap();
            Stream {
                files: vec![path.clone()],
                more: vec!["--tail".to_owned(), "2h".to_owned()],
                policy: policy(service, 95.0, &format!("{{ faster_than: {slow} }}")),
                series: (service, "it", None),
                target: 95.0,
                minutes: recorded(read(), service, millis * 1_000_000),
            }
        });
    }
}
