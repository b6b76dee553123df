//! A whole replay of small files.

use super::*;
use crate::config::{Config, ConfigSource};
use crate::time::UnixNanos;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const START: u64 = 1_700_000_100;

const POLICY: &str = "
service: shop
environment: production
slos:
  - { name: availability, target: 99.9% }
kill_switches:
  - { flag: new-cart, exporter: unleash, slo: availability, attribution: off, mode: auto, when: { burn_above: 7, window: 5m, for: 3m } }
";

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// Spans that end at `ends` (Unix seconds); those of `flags` fail as `bad` says.
fn request(flags: &str, ends: &[u64], bad: bool) -> ExportTraceServiceRequest {
    let span = |end: &u64| Span {
        trace_id: vec![7; 16],
        span_id: vec![7; 8],
        kind: 2,
        start_time_unix_nano: end * 1_000_000_000 - 50_000_000,
        end_time_unix_nano: end * 1_000_000_000,
        attributes: vec![text("feature.flags", flags)],
        status: bad.then(|| Status {
            code: 2,
            ..Status::default()
        }),
        ..Span::default()
    };
    let attributes = vec![
        text("service.name", "shop"),
        text("deployment.environment.name", "production"),
        text("deployment.sha", "4f2c1e"),
    ];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: ends.iter().map(span).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn stream(requests: &[ExportTraceServiceRequest]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        let bytes = request.encode_to_vec();
        out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        out.extend(bytes);
    }
    out
}

/// Ten minutes in which half of the requests have the new cart; from the fifth minute on it fails.
fn incident() -> Vec<ExportTraceServiceRequest> {
    let mut requests = Vec::new();
    for second in (0..600).step_by(5) {
        let at = START + second;
        requests.push(request("new-cart", &[at, at + 1], second >= 300));
        requests.push(request("!new-cart", &[at, at + 2], false));
    }
    requests
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.put("policy.yaml", POLICY);
        folder
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn config(&self) -> Config {
        let mut config = Config::load(&ConfigSource::Embedded).unwrap();
        config.error_budget.policies = vec![self.0.path().join("policy.yaml").display().to_string()];
        config
    }

    fn replay(&self, files: &[&Path]) -> Outcome {
        let intake = Intake {
            files: files.iter().map(|path| path.to_path_buf()).collect(),
            from: None,
            to: None,
            columns: Columns {
                environment: Some("production".to_owned()),
                ..Columns::default()
            },
        };
        let wishes = Wishes {
            budgets_every: Duration::from_mins(1),
            cohorts: true,
            tail: Duration::from_mins(10),
        };
        play(self.config(), load(&intake, &()).unwrap(), wishes, &()).unwrap()
    }
}

fn json_of(outcome: &Outcome) -> serde_json::Value {
    let mut bytes = Vec::new();
    json::write(outcome, &mut bytes).unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    value["input"] = serde_json::Value::Null;
    value
}

#[test]
fn a_flag_that_fails_pages_and_would_be_switched_off_once() {
    let folder = Folder::new();
    let path = folder.put("a.pbs", stream(&incident()));
    let outcome = folder.replay(&[&path]);
    assert_eq!((outcome.input.requests, outcome.input.items), (240, 480));
    let [killed] = outcome.decisions.as_slice() else {
        panic!("{:?}", outcome.decisions)
    };
    assert_eq!(
        (killed.mode, killed.subject.variant.as_deref()),
        ("auto", Some("on"))
    );
    // The first failures arrive at START + 301; three minutes above at every tick.
    assert_eq!(killed.at.secs(), START + 301 + 180);
    let page = |edge: &&AlertEdge| edge.subject.flag.is_none() && edge.subject.sha.is_none();
    let edges: Vec<_> = outcome.alerts.iter().filter(page).collect();
    let fires = edges.iter().find(|edge| edge.severity == "page").unwrap();
    assert_eq!((fires.state, fires.at.secs()), (EdgeState::Firing, START + 301));
    let last = outcome
        .budgets
        .iter()
        .rfind(|b| b.subject.sha.is_none() && b.subject.flag.is_none())
        .unwrap();
    assert_eq!((last.good, last.bad, last.state), (360, 120, "budget_exhausted"));
}

#[test]
fn any_order_and_any_division_into_files_gives_the_same() {
    let folder = Folder::new();
    let mut requests = incident();
    let whole = folder.put("whole.pbs", stream(&requests));
    let want = json_of(&folder.replay(&[&whole]));
    fastrand::Rng::with_seed(7).shuffle(&mut requests);
    let (left, right) = requests.split_at(77);
    let packed = zstd::encode_all(stream(left).as_slice(), 1).unwrap();
    let left = folder.put("left.pbs.zst", packed);
    let lines = right
        .iter()
        .map(|request| serde_json::to_string(request).unwrap() + "\n");
    let right = folder.put("right.jsonl", lines.collect::<String>());
    assert_eq!(json_of(&folder.replay(&[&right, &left])), want);
}

#[test]
fn what_a_file_exporter_compressed_is_read_as_what_it_did_not() {
    let folder = Folder::new();
    let requests = incident();
    let whole = folder.put("whole.pbs", stream(&requests));
    let want = json_of(&folder.replay(&[&whole]));
    // (u32 length, zstd frame)*, a frame a message, under whatever name it was given.
    let framed = |messages: Vec<Vec<u8>>| {
        let mut out = Vec::new();
        for message in messages {
            let frame = zstd::encode_all(message.as_slice(), 1).unwrap();
            out.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
            out.extend(frame);
        }
        out
    };
    let proto = || requests.iter().map(prost::Message::encode_to_vec).collect();
    let lines = || {
        requests
            .iter()
            .map(|it| serde_json::to_vec(it).unwrap())
            .collect()
    };
    for (name, content) in [
        ("plain.pbs", framed(proto())),
        ("named.pbs.zst", framed(proto())),
        ("plain.jsonl", framed(lines())),
        ("named.jsonl.zst", framed(lines())),
    ] {
        let file = folder.put(name, content);
        assert_eq!(json_of(&folder.replay(&[&file])), want, "{name}");
    }
}

#[test]
fn a_request_of_an_hour_counts_where_its_spans_ended() {
    let folder = Folder::new();
    let ends: Vec<u64> = (0..3600).map(|second| START + second).collect();
    let one_by_one: Vec<_> = ends
        .chunks(60)
        .map(|ends| request("new-cart", ends, false))
        .collect();
    let many = folder.put("many.pbs", stream(&one_by_one));
    let one = folder.put("one.pbs", stream(&[request("new-cart", &ends, false)]));
    let (many, one) = (folder.replay(&[&many]), folder.replay(&[&one]));
    assert_eq!((many.input.items, one.input.items), (3600, 3600));
    assert_eq!(json_of(&many), json_of(&one));
    let totals = one
        .budgets
        .iter()
        .filter(|b| b.subject.sha.is_none() && b.subject.flag.is_none());
    let full = totals.filter(|b| b.windows[0].good == 300).count();
    assert!(full > 50, "five minutes of a span a second");
}

#[test]
fn a_wrong_clock_is_named_and_can_be_left_out() {
    let folder = Folder::new();
    let old = folder.put(
        "old.pbs",
        stream(&[request("a", &[START], false), request("a", &[9], false)]),
    );
    let intake = |from: Option<u64>| Intake {
        files: vec![old.clone()],
        from: from.map(UnixNanos::from_secs),
        ..Intake::default()
    };
    let play = |from| {
        play(
            folder.config(),
            load(&intake(from), &()).unwrap(),
            Wishes::default(),
            &(),
        )
    };
    let told = play(None).unwrap_err().to_string();
    assert!(
        told.contains("cover 19675 days, at most 400") && told.contains("old.pbs:2, is of 1970"),
        "{told}"
    );
    let outcome = play(Some(START)).unwrap();
    assert_eq!((outcome.input.requests, outcome.input.outside), (1, 1));
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_counts() {
    let folder = Folder::new();
    let good = serde_json::to_string(&request("new-cart", &[START], false)).unwrap();
    let next = serde_json::to_string(&request("new-cart", &[START + 2], false)).unwrap();
    let timeless = good
        .replace(&format!("{START}000000000"), "0")
        .replace("1700000099950000000", "0");
    let lines = format!(
        "{good}\n\n{{\"resourceSpans\": 7}}\nnot json\n{{\"other\": []}}\n{timeless}\n{{\"resourceSpans\":[]}}\n{next}"
    );
    let lines = folder.put("bad.jsonl", lines);
    let mut short = stream(&[request("new-cart", &[START + 1], false)]);
    short.extend([0, 0, 1, 0, 5]);
    let short = folder.put("short.pbs", short);
    let rows = "timestamp,total,errors,region\n1700000040,10,1,eu\n1700000100,1,2,eu\n1700000160,x,0,eu\n\
                1700000160,5\n1700000160,5,0,eu\n1700000220,0,0,eu\n";
    let minutes = folder.put("minutes.csv", rows);
    let outcome = folder.replay(&[&lines, &short, &minutes]);
    let found: Vec<_> = outcome
        .input
        .problems
        .iter()
        .map(|p| {
            let file = Path::new(&p.file).file_name().unwrap().to_str().unwrap();
            (file.to_owned(), p.line, p.reason.clone())
        })
        .collect();
    let want = [
        ("bad.jsonl", 3, "resourceSpans"),
        ("bad.jsonl", 4, "not JSON"),
        ("bad.jsonl", 5, "no OTLP request"),
        ("bad.jsonl", 6, "no time"),
        ("short.pbs", 2, "ends within"),
        ("minutes.csv", 3, "more than"),
        ("minutes.csv", 4, "no whole number"),
        ("minutes.csv", 5, "2 cells, the header has 4"),
    ];
    assert_eq!(found.len(), want.len(), "{found:#?}");
    for ((file, line, reason), want) in found.iter().zip(want) {
        assert_eq!((file.as_str(), *line), (want.0, want.1), "{reason}");
        assert!(reason.contains(want.2), "{reason}");
    }
    assert_eq!(
        (outcome.input.requests, outcome.input.minutes, outcome.input.empty),
        (3, 2, 2)
    );
    let last = outcome
        .budgets
        .iter()
        .rfind(|b| b.subject.sha.is_none() && b.subject.flag.is_none())
        .unwrap();
    assert_eq!((last.good, last.bad), (3 + 9 + 5, 1));
}

#[test]
fn a_minute_is_in_exactly_the_windows_that_it_ended_in() {
    let folder = Folder::new();
    let mut rows = String::from("timestamp,total,errors\n");
    for minute in 0..30 {
        writeln!(rows, "{},{},0", 1_700_000_040 + minute * 60, 1u64 << minute).unwrap();
    }
    let minutes = folder.put("minutes.csv", rows);
    let outcome = folder.replay(&[&minutes]);
    for sample in outcome.budgets.iter().filter(|b| b.subject.sha.is_none()) {
        let five = sample.windows.iter().find(|w| w.window_secs == 300).unwrap();
        let ended = |minute: u64| 1_700_000_100 + minute * 60;
        let want: u64 = (0..30)
            .filter(|&m| ended(m) <= sample.at.secs() && ended(m) + 300 > sample.at.secs())
            .map(|m| 1 << m)
            .sum();
        assert_eq!(five.good, want, "{}", sample.at);
    }
}

#[test]
fn a_point_of_a_metric_is_in_exactly_the_windows_that_its_time_is_in() {
    let folder = Folder::new();
    folder.put(
        "policy.yaml",
        "service: shop\nslos: [ { name: it, target: 99.9%, sli: { metrics: requests } } ]\n",
    );
    let mut lines = String::new();
    let ended = |minute: u64| START + minute * 60;
    for minute in 0..30 {
        let point = serde_json::json!({
            "startTimeUnixNano": format!("{}000000000", ended(minute) - 60),
            "timeUnixNano": format!("{}000000000", ended(minute)),
            "asInt": 1u64 << minute,
        });
        let sum =
            serde_json::json!({ "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point] });
        let line = serde_json::json!({ "resourceMetrics": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
            "scopeMetrics": [{ "metrics": [{ "name": "requests", "sum": sum }] }],
        }] });
        writeln!(lines, "{line}").unwrap();
    }
    let outcome = folder.replay(&[&folder.put("points.jsonl", lines)]);
    assert!(outcome.budgets.len() > 30);
    for sample in outcome.budgets.iter().filter(|b| b.subject.sha.is_none()) {
        for window in sample.windows.iter().filter(|w| w.window_secs <= 7_200) {
            let now = sample.at.secs();
            let inside = |at: u64| at <= now && at + window.window_secs > now;
            let want: u64 = (0..30).filter(|&m| inside(ended(m))).map(|m| 1 << m).sum();
            assert_eq!(window.good, want, "{} s at {}", window.window_secs, sample.at);
        }
    }
}

#[test]
fn the_csv_has_a_line_a_fact() {
    let folder = Folder::new();
    let path = folder.put("a.pbs", stream(&incident()));
    let outcome = folder.replay(&[&path]);
    let mut bytes = Vec::new();
    csv::write(&outcome, &mut bytes).unwrap();
    let mut reader = ::csv::Reader::from_reader(bytes.as_slice());
    let rows: Vec<::csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let count = |kind: &str| rows.iter().filter(|row| &row[1] == kind).count();
    assert_eq!(count("alert"), outcome.alerts.len());
    assert_eq!(count("decision"), 1);
    assert_eq!(count("held_back"), outcome.held_back.len());
    let windows: usize = outcome.budgets.iter().map(|b| b.windows.len()).sum();
    assert_eq!(count("window"), windows);
    let mut text = Vec::new();
    table::write(&outcome, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for expected in [
        "Budgets",
        "Alerts",
        "Kill switches",
        "new-cart=on",
        "unleash",
        "budget_exhausted",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}
