//! What the proofs share on top of `support`: OTLP requests with known counts, a page of samples, a real Prometheus, and what a
//! process weighs.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(
    clippy::disallowed_methods,
    reason = "spans carry the time of now, answers are decoded with prost"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::float_cmp,
    missing_docs,
    unreachable_pub
)]

pub use crate::support::ports::free_port;
use crate::support::{Gateway, block_on, client, eventually, get};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Requests of one resource: so many good ones, so many with status 500.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub service: String,
    pub environment: Option<String>,
    pub sha: Option<String>,
    pub flags: Vec<String>,
    pub good: usize,
    pub bad: usize,
}

pub fn group(service: &str, sha: &str, flags: &[&str], good: usize, bad: usize) -> Group {
    Group {
        service: service.into(),
        sha: (!sha.is_empty()).then(|| sha.into()),
        flags: flags.iter().map(|&f| f.into()).collect(),
        good,
        bad,
        ..Group::default()
    }
}

pub fn now_nanos() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn any(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn text(value: &str) -> any_value::Value {
    any_value::Value::StringValue(value.into())
}

pub fn span(bad: bool, number: usize) -> Span {
    let end = now_nanos();
    Span {
        trace_id: (number as u128 + 1).to_be_bytes().to_vec(),
        span_id: (number as u64 + 1).to_be_bytes().to_vec(),
        name: "POST /buy".into(),
        kind: 2,
        start_time_unix_nano: end - 20_000_000,
        end_time_unix_nano: end,
        attributes: vec![attribute(
            "http.response.status_code",
            any_value::Value::IntValue(if bad { 500 } else { 200 }),
        )],
        ..Span::default()
    }
}

impl Group {
    fn resource(&self) -> Resource {
        let mut attributes = vec![attribute("service.name", text(&self.service))];
        if let Some(environment) = &self.environment {
            attributes.push(attribute("deployment.environment.name", text(environment)));
        }
        if let Some(sha) = &self.sha {
            attributes.push(attribute("deployment.sha", text(sha)));
        }
        if !self.flags.is_empty() {
            let values = self.flags.iter().map(|f| any(text(f))).collect();
            let list = any_value::Value::ArrayValue(ArrayValue { values });
            attributes.push(attribute("feature.flags", list));
        }
        Resource {
            attributes,
            ..Resource::default()
        }
    }

    fn spans(&self) -> ResourceSpans {
        let spans = (0..self.good + self.bad).map(|i| span(i < self.bad, i)).collect();
        ResourceSpans {
            resource: Some(self.resource()),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }
    }
}

pub fn request(groups: &[Group]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: groups.iter().map(Group::spans).collect(),
    }
}

/// Sends over HTTP/protobuf, taken whole.
pub fn send(gateway: &Gateway, groups: &[Group]) {
    assert_eq!(
        send_request(gateway, &request(groups)),
        ExportTraceServiceResponse::default()
    );
}

pub fn send_request(gateway: &Gateway, request: &ExportTraceServiceRequest) -> ExportTraceServiceResponse {
    let url = format!("{}/v1/traces", gateway.http());
    let (status, body) = crate::support::post(&url, "application/x-protobuf", request.encode_to_vec());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    ExportTraceServiceResponse::decode(body.as_slice()).unwrap()
}

/// (good, bad) of the entries that `pick` takes, added up.
pub fn counts(list: &serde_json::Value, pick: impl Fn(&serde_json::Value) -> bool) -> (u64, u64) {
    let taken = list.as_array().unwrap().iter().filter(|b| pick(b));
    taken.fold((0, 0), |(good, bad), b| {
        (
            good + b["good_total"].as_u64().unwrap(),
            bad + b["bad_total"].as_u64().unwrap(),
        )
    })
}

/// The totals of one service; zeros when it is not there.
pub fn totals(gateway: &Gateway, service: &str) -> (u64, u64) {
    counts(&gateway.api("/api/v1/budgets")["budgets"], |b| {
        b["service"] == service
    })
}

pub fn await_totals(gateway: &Gateway, service: &str, want: (u64, u64)) {
    eventually(
        &format!("{service} has {want:?}"),
        Duration::from_secs(15),
        || (totals(gateway, service) == want).then_some(()),
    );
}

/// A sample's name and labels, sorted.
pub type SeriesName = (String, BTreeMap<String, String>);

/// The samples of an exposition page whose names begin with `prefix`. Labels of these tests hold no quotes or commas.
pub fn samples(page: &str, prefix: &str) -> BTreeMap<SeriesName, f64> {
    let lines = page.lines().filter(|l| l.starts_with(prefix));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
            let labels = rest.trim_end_matches('}').split(',').filter(|l| !l.is_empty());
            let labels = labels.map(|l| l.split_once('=').unwrap());
            let labels = labels
                .map(|(k, v)| (k.to_owned(), v.trim_matches('"').to_owned()))
                .collect();
            ((name.to_owned(), labels), value.parse().unwrap())
        })
        .collect()
}

/// Equal to 1e-9 of their size; NaN equals NaN, infinity infinity.
pub fn same(a: f64, b: f64) -> bool {
    a.is_nan() && b.is_nan() || a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// Memory of a process in KiB: (resident, of that anonymous).
pub fn memory_kib(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (field("VmRSS:"), field("RssAnon:"))
}

/// A real Prometheus that scrapes one target every second; ended with the value.
pub struct Prometheus {
    child: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    pub fn scraping(target: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: burngate\n    \
             static_configs: [ {{ targets: [ '{target}' ] }} ]\n"
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", path("tsdb")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        let prometheus = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            _dir: dir,
        };
        let ready = format!("{}/-/ready", prometheus.url);
        eventually("Prometheus is ready", Duration::from_mins(1), || {
            let answer = block_on(async { client().get(&ready).send().await });
            answer.is_ok_and(|a| a.status().is_success()).then_some(())
        });
        prometheus
    }

    /// Where samples can be pushed to.
    pub fn write_url(&self) -> String {
        format!("{}/api/v1/write", self.url)
    }

    /// An instant query: (labels without the scrape's own, value) of each series.
    pub fn query(&self, promql: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", promql)]);
        let (status, body) = get(url.unwrap().as_str());
        assert_eq!(status, 200, "{promql}: {body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        let series = answer["data"]["result"].as_array().unwrap();
        series
            .iter()
            .map(|one| {
                let labels = one["metric"].as_object().unwrap().iter();
                let labels = labels.filter(|(k, _)| !["job", "instance", "__name__"].contains(&k.as_str()));
                let labels = labels
                    .map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned()))
                    .collect();
                (labels, one["value"][1].as_str().unwrap().parse().unwrap())
            })
            .collect()
    }

    /// The one value of a query.
    pub fn value(&self, promql: &str) -> Option<f64> {
        let found = self.query(promql);
        assert!(found.len() < 2, "{promql}: {found:?}");
        found.first().map(|(_, value)| *value)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes `name` in `dir`.
pub fn write(dir: &Path, name: &str, content: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}
