//! Real telemetry through every processor: where no rule matches, no byte changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "tests; prost is the oracle"
)]

mod forward_support;
mod process_support;
mod support;
mod wire_support;

use burngate::config::{Config, ConfigSource, Named, Processor};
use burngate::pipeline::{Batch, Memory, Process, Signal};
use burngate::process::{Built, Context, build, check};
use burngate::time::{Clock, UnixNanos};
use burngate::wire::edit::{Level, Request, edit};
use bytes::Bytes;
use forward_support::Sink;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use process_support::{Editor, Model, Op, Program};
use prost::Message;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::Gateway;
use wire_support::shared;

/// Rules of every processor that no fixture matches.
const NO_MATCH: &str = r#"
  memory_limiter: { limit_mib: 100000 }
  resource:
    attributes:
      - { action: update, key: no.such.key, value: x }
      - { action: delete, key: no.such.key, pattern: "^no[.]such" }
      - { action: hash, pattern: "^no[.]such" }
      - { action: insert, key: no.such.key, from_attribute: no.such.other }
      - { action: upsert, key: no.such.key, from_context: metadata.no-such-header }
      - { action: convert, key: no.such.key, converted_type: int }
      - { action: extract, key: no.such.key, pattern: "^(?P<a>x)" }
  attributes:
    actions:
      - { action: update, key: no.such.key, value: x }
      - { action: delete, pattern: "^no[.]such" }
      - { action: hash, key: no.such.key }
  attributes/nobody:
    include: { match_type: strict, services: [no-such-service] }
    actions: [ { action: upsert, key: k, value: v } ]
  attributes/all-but-all:
    exclude: { match_type: regexp, libraries: [ { name: ".*" } ] }
    actions: [ { action: upsert, key: k, value: v } ]
  filter:
    traces:
      resource: [ 'attributes["no.such.key"] == "x"' ]
      span: [ 'name == "no such name"', 'IsMatch(attributes["no.such.key"], ".*")', 'kind == 77' ]
      spanevent: [ 'name == "no such event" or attributes["no.such.key"] != nil' ]
    metrics:
      metric: [ 'name == "no such name"', 'HasAttrKeyOnDatapoint("no.such.key")' ]
      datapoint: [ 'attributes["no.such.key"] != nil', 'metric.unit == "no such unit"' ]
    logs: { log_record: [ 'severity_number > 24', 'body == "no such body"' ] }
  transform:
    trace_statements:
      - set(resource.attributes["k"], "v") where resource.attributes["no.such.key"] != nil
      - set(span.name, span.name)
      - set(span.status.code, span.status.code)
      - delete_key(span.attributes, "no.such.key")
      - set(spanevent.name, "x") where spanevent.name == "no such event"
    metric_statements:
      - set(metric.unit, metric.unit)
      - set(datapoint.attributes["k"], datapoint.attributes["no.such.key"])
    log_statements:
      - set(log.severity_text, log.severity_text)
      - delete_matching_keys(log.attributes, "^no[.]such")
  probabilistic_sampler: { sampling_percentage: 100 }
  probabilistic_sampler/proportional: { sampling_percentage: 100, mode: proportional, fail_closed: false }
"#;

const IDS: &str =
    "memory_limiter, resource, attributes, attributes/nobody, attributes/all-but-all, filter, transform";
const SAMPLERS: &str = "probabilistic_sampler, probabilistic_sampler/proportional";

/// A configuration with these processors, which forwards to `url`.
fn yaml(url: &str) -> String {
    format!(
        "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: 127.0.0.1:0 }}, http: {{ endpoint: 127.0.0.1:0 }} }} }} }}\n\
         processors:{NO_MATCH}\
         exporters: {{ otlp_http: {{ endpoint: {url}, compression: none }} }}\n\
         service:\n  pipelines:\n    \
         traces: {{ receivers: [otlp], processors: [{IDS}, {SAMPLERS}], exporters: [otlp_http] }}\n    \
         metrics: {{ receivers: [otlp], processors: [{IDS}], exporters: [otlp_http] }}\n    \
         logs: {{ receivers: [otlp], processors: [{IDS}, {SAMPLERS}], exporters: [otlp_http] }}\n"
    )
}

fn load(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, text).unwrap();
    Config::load(&ConfigSource::File(file)).unwrap_or_else(|error| panic!("{error}"))
}

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> UnixNanos {
        UnixNanos::from_secs(1_700_000_000)
    }
}

fn stages(processors: &[Named<Processor>]) -> Vec<(String, Arc<dyn Process>)> {
    let context = Context {
        memory: Memory::default(),
        receiving: Arc::new(|| 0),
        clock: Arc::new(Standing),
    };
    let mut stages = Vec::new();
    for named in processors {
        match build(&named.id, &named.config, &context).unwrap_or_else(|error| panic!("{error}")) {
            Built::Stage(stage) => stages.push((named.id.clone(), stage)),
            Built::Batching(batching) => assert_eq!(*batching.id, *named.id),
        }
    }
    stages
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The wire bytes of a file, if its JSON has `member` at the top or its name says `word`.
fn read<M: Message + DeserializeOwned + Default>(path: &Path, member: &str, word: &str) -> Option<Bytes> {
    let content = fs::read(path).unwrap();
    let name = path.file_name()?.to_string_lossy().into_owned();
    match path.extension()?.to_str()? {
        "pb" if name.contains(word) => Some(content.into()),
        "json" => {
            let json: serde_json::Value = serde_json::from_slice(&content).unwrap();
            json.get(member)?;
            let message: M = serde_json::from_value(json).ok()?;
            Some(message.encode_to_vec().into())
        }
        _ => None,
    }
}

/// Every fixture, as bytes of its signal.
fn fixtures() -> Vec<(PathBuf, Signal, Bytes)> {
    let Some(root) = shared("otlp") else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let traces = read::<ExportTraceServiceRequest>(&path, "resourceSpans", "traces");
        let metrics = read::<ExportMetricsServiceRequest>(&path, "resourceMetrics", "metrics");
        let logs = read::<ExportLogsServiceRequest>(&path, "resourceLogs", "logs");
        for (signal, bytes) in Signal::ALL.into_iter().zip([traces, metrics, logs]) {
            all.extend(bytes.map(|bytes| (path.clone(), signal, bytes)));
        }
    }
    assert!(all.len() > 20, "only {} fixtures", all.len());
    all
}

#[test]
fn no_processor_without_a_match_touches_a_fixture() {
    let stages = stages(&load(&yaml("http://127.0.0.1:1")).graph.processors);
    assert_eq!(stages.len(), 9);
    for (path, signal, bytes) in fixtures() {
        for (id, stage) in &stages {
            let batch = Batch::new(signal, bytes.clone());
            let processed = stage
                .process(batch.clone())
                .unwrap_or_else(|refusal| panic!("{id}, {}: {refusal}", path.display()));
            let same = processed.batch.is_some_and(|left| left.same_bytes(&batch));
            assert!(same && processed.dropped == 0, "{id} touched {}", path.display());
        }
    }
}

#[test]
fn fixtures_are_edited_as_prost_would() {
    let program = Program(vec![
        (Level::Resource, Op::SetText("deployment.sha", "4f2a".to_owned())),
        (Level::Scope, Op::Name("scope".to_owned())),
        (Level::Item, Op::SetInt("new", 7)),
        (Level::Item, Op::Remove("http.route")),
        (Level::Item, Op::Name("name".to_owned())),
        (Level::Item, Op::StatusCode(2)),
        (Level::Item, Op::Body(5)),
        (Level::Part, Op::SetText("new", "x".repeat(300))),
    ]);
    for (path, signal, bytes) in fixtures() {
        match signal {
            Signal::Traces => {
                same_edit::<ExportTraceServiceRequest>(Request::Traces, &bytes, &program, &path);
            }
            Signal::Metrics => {
                same_edit::<ExportMetricsServiceRequest>(Request::Metrics, &bytes, &program, &path);
            }
            Signal::Logs => same_edit::<ExportLogsServiceRequest>(Request::Logs, &bytes, &program, &path),
        }
    }
}

fn same_edit<M: Model>(request: Request, bytes: &Bytes, program: &Program, path: &Path) {
    let edited = edit(request, bytes, &mut Editor(program)).unwrap();
    let mut model = M::decode(bytes.clone()).unwrap();
    model.edit(program);
    let ours = M::decode(edited.bytes).unwrap();
    assert_eq!(ours.encode_to_vec(), model.encode_to_vec(), "{}", path.display());
}

#[test]
fn every_processor_of_the_example_file_is_one_that_runs() {
    let example = include_str!("../config/gateway.yaml");
    let text: Vec<&str> = example
        .lines()
        .map(|line| line.strip_prefix("#|").unwrap_or(line))
        .collect();
    let text = text.join("\n");
    let begin = text.find("\nprocessors:\n").unwrap() + 1;
    let end = begin + text[begin..].find("\nconnectors:\n").unwrap();
    let names = "memory_limiter, batch, resource, attributes, filter, transform, probabilistic_sampler";
    let whole = format!(
        "receivers: {{ otlp: {{ protocols: {{ grpc: }} }} }}\n{}\nexporters: {{ debug: }}\nservice:\n  pipelines:\n    \
         traces: {{ receivers: [otlp], processors: [{names}], exporters: [debug] }}\n",
        &text[begin..end]
    );
    let config = load(&whole);
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.graph.processors.len(), 7);
    for named in &config.graph.processors {
        check(&named.id, &named.config).unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(stages(&config.graph.processors).len(), 6);
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    let file = |filter: &str| {
        format!(
            "receivers: {{ otlp: {{ protocols: {{ grpc: }} }} }}\nexporters: {{ debug: }}\nprocessors:\n  {filter}\nservice:\n  \
             pipelines:\n    traces: {{ receivers: [otlp], processors: [p], exporters: [debug] }}\n"
        )
        .replace("[p]", if filter.starts_with("filter") { "[filter]" } else { "[transform]" })
    };
    for (text, expected) in [
        (
            "filter: { traces: { span: [ 'name == \"x\"', 'nome == 1' ] } }",
            "4:46: processors.filter.traces.span[1]: not supported: the path `nome` in the context span, at column 1",
        ),
        (
            "filter: { trace_conditions: [ 'name == 1' ] }",
            "4:33: processors.filter.trace_conditions[0]: `name` needs its context in front, such as \
             spanevent.name; one of resource, scope, span, spanevent, at column 1",
        ),
        (
            "transform: { trace_statements: [ 'limit(span.attributes, 5, [])' ] }",
            "4:36: processors.transform.trace_statements[0]: not supported: the function `limit`; here are set, \
             delete_key, delete_matching_keys, keep_keys and keep_matching_keys, at column 1",
        ),
        (
            "transform: { trace_statements: [ { context: log, statements: [ 'set(body, 1)' ] } ] }",
            "4:66: processors.transform.trace_statements[0].statements[0]: not supported: the context `log` for \
             traces; here are resource, scope, span, spanevent, at column 1",
        ),
    ] {
        let config = load(&file(text));
        let named = &config.graph.processors[0];
        let error = check(&named.id, &named.config).expect_err(text);
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixture_without_a_match_leaves_the_gateway_as_it_came() {
    let fixtures = fixtures();
    if fixtures.is_empty() {
        return;
    }
    let sink = Sink::start().await;
    sink.keep_bodies();
    let url = sink.url();
    let sent = fixtures.len();
    let gateway = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("gateway.yaml"), yaml(&url)).unwrap();
        let gateway = Gateway::start_in(folder.path(), &["run", "--config", "gateway.yaml"], &[]);
        for (path, signal, bytes) in &fixtures {
            let to = format!("{}/v1/{}", gateway.http(), signal.as_str());
            let (status, body) = support::post(&to, "application/x-protobuf", bytes.to_vec());
            assert_eq!(
                status,
                200,
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(&body)
            );
        }
        (gateway, fixtures, folder)
    });
    let (gateway, fixtures, folder) = gateway.await.unwrap();
    // A request without items has nothing to forward.
    let filled = fixtures.iter().filter(|(_, signal, bytes)| {
        let request = Request::ALL[*signal as usize];
        burngate::wire::count_items(request, bytes).unwrap() > 0
    });
    let mut expected: Vec<&Bytes> = filled.map(|(_, _, bytes)| bytes).collect();
    sink.until("all fixtures", |sink| sink.requests().len() >= expected.len())
        .await;
    let received = sink.requests();
    for request in &received {
        let at = expected.iter().position(|bytes| **bytes == request.message);
        let at = at.unwrap_or_else(|| panic!("{} got bytes that nobody sent", request.path));
        expected.swap_remove(at);
    }
    assert!(expected.is_empty(), "{} of {sent} did not arrive", expected.len());
    drop((gateway, folder));
}
