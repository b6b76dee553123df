//! What editing a request of 1000 spans costs, by processor: against the copy that no edit can do without, and
//! against prost's decode and encode of the same bytes.
#![allow(missing_docs, reason = "criterion's macros make the entry points")]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "prost is here to be compared with; a bench may fail loudly"
)]

mod common;

use burngate::config::{
    Action, ActionKind, AttributesProcessor, ErrorMode, FilterGroup, FilterProcessor, Origin, Place,
    PlainValue, Processor, ResourceProcessor, Statement, StatementGroup, TransformProcessor,
};
use burngate::pipeline::{Batch, Memory, Process, Signal};
use burngate::process::{Built, Context, build};
use burngate::time::{Clock, UnixNanos};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;
use std::sync::Arc;

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> UnixNanos {
        UnixNanos::from_secs(1_790_000_000)
    }
}

fn stage(config: &Processor) -> Arc<dyn Process> {
    let context = Context {
        memory: Memory::default(),
        receiving: Arc::new(|| 0),
        clock: Arc::new(Standing),
    };
    match build("bench", config, &context).expect("a processor") {
        Built::Stage(stage) => stage,
        Built::Batching(_) => unreachable!("no batch here"),
    }
}

fn upsert(key: &str) -> Vec<Action> {
    let kind = ActionKind::Upsert {
        key: key.to_owned(),
        from: Origin::Value(PlainValue::Text("4f2a9c1".to_owned())),
    };
    vec![Action {
        kind,
        at: Place::default(),
    }]
}

fn text(text: &str) -> Statement {
    Statement {
        text: text.to_owned(),
        at: Place::default(),
        path: String::new(),
    }
}

fn filter(condition: &str) -> Processor {
    Processor::Filter(FilterProcessor {
        error_mode: ErrorMode::Propagate,
        groups: vec![FilterGroup {
            signal: "traces",
            context: Some(text("span")),
            conditions: vec![text(condition)],
            error_mode: None,
        }],
    })
}

fn transform(statement: &str) -> Processor {
    Processor::Transform(TransformProcessor {
        error_mode: ErrorMode::Propagate,
        groups: vec![StatementGroup {
            signal: "traces",
            context: Some(text("span")),
            conditions: Vec::new(),
            statements: vec![text(statement)],
            error_mode: None,
        }],
    })
}

fn attributes(key: &str) -> Processor {
    Processor::Attributes(AttributesProcessor {
        actions: upsert(key),
        ..AttributesProcessor::default()
    })
}

fn edits(criterion: &mut Criterion) {
    let bytes = Bytes::from(common::request(1, common::SPANS, 1_790_000_000_000_000_000));
    let mut group = criterion.benchmark_group("edit 1000 spans");
    group.throughput(Throughput::Elements(common::SPANS));
    group.bench_function("copy", |bencher| bencher.iter(|| black_box(bytes.to_vec())));
    let resource = Processor::Resource(ResourceProcessor {
        actions: upsert("deployment.sha.new"),
    });
    for (name, config) in [
        ("resource upsert", resource),
        ("attributes upsert, every span", attributes("tenant")),
        (
            "filter, none match",
            filter(r#"attributes["http.route"] == "/healthz""#),
        ),
        ("filter by name, none match", filter(r#"name == "GET /healthz""#)),
        (
            "transform, none match",
            transform(r#"set(name, "x") where attributes["no.such"] != nil"#),
        ),
        (
            "transform, every span",
            transform(r#"set(name, attributes["http.route"])"#),
        ),
    ] {
        let stage = stage(&config);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || Batch::new(Signal::Traces, bytes.clone()),
                |batch| black_box(stage.process(batch)),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("prost decode and encode", |bencher| {
        bencher.iter(|| {
            let request = ExportTraceServiceRequest::decode(bytes.clone()).expect("a request");
            black_box(request.encode_to_vec())
        });
    });
    group.finish();
}

criterion_group!(benches, edits);
criterion_main!(benches);
