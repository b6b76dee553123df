//! What reading a request costs: the walk, and prost's full decode of the same bytes.
#![allow(missing_docs, reason = "criterion's macros make the entry points")]
#![allow(clippy::disallowed_methods, reason = "prost is here to be compared with")]

mod common;

use burngate::wire::{
    AnyValue, Attributes, Event, KeyTable, KeyTableBuilder, PrefixId, Scope, Slot, Span, SpanSink, Value,
    WalkLimits, walk_traces,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;

const NOW_UNIX_NANO: u64 = 1_790_000_000_000_000_000;
const LIMITS: WalkLimits = WalkLimits {
    spans_max: 100_000,
    attributes_max: 256,
    events_max: 256,
    nesting_max: 16,
};

/// The keys that an availability objective, a latency objective and the cohort rules read.
const KEYS: [&str; 16] = [
    "http.response.status_code",
    "http.route",
    "feature.flags",
    "service.name",
    "deployment.environment.name",
    "deployment.sha",
    "http.status_code",
    "http.request.method",
    "rpc.grpc.status_code",
    "deployment.environment",
    "service.version",
    "vcs.ref.head.revision",
    "feature_flags",
    "feature_flag.key",
    "feature_flag.result.variant",
    "service.instance.id",
];

fn table() -> KeyTable {
    let mut builder = KeyTableBuilder::default();
    for key in KEYS {
        builder.key(key);
    }
    for prefix in ["feature_flags.", "feature.flags.", "flag.evaluation."] {
        let PrefixId(_) = builder.prefix(prefix);
    }
    builder.build()
}

/// Reads of each span what a judgement reads, and no more.
#[derive(Default)]
struct Checksum(u64);

impl<'a> SpanSink<'a> for Checksum {
    fn forget(&mut self) {
        self.0 = 0;
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.0 += attributes
            .get(Slot(3))
            .and_then(AnyValue::as_str)
            .map_or(0, <[u8]>::len) as u64;
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.0 += scope.name.len() as u64;
    }

    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]) {
        self.0 += span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano);
        self.0 += u64::from(span.kind.cast_unsigned()) + u64::from(span.status_code.cast_unsigned());
        if let Some(Ok(Value::Int(status))) = attributes.get(Slot(0)).map(AnyValue::value) {
            self.0 += status.cast_unsigned();
        }
        if let Some(Ok(Value::Str(route))) = attributes.get(Slot(1)).map(AnyValue::value) {
            self.0 += route.len() as u64;
        }
        self.0 += u64::from(attributes.get(Slot(2)).is_some()) + events.len() as u64;
    }
}

fn read(c: &mut Criterion) {
    let requests = common::requests(NOW_UNIX_NANO);
    let bytes = requests.iter().flatten().count() / requests.len();
    let keys = table();
    let mut group = c.benchmark_group(format!("1000 spans in {bytes} bytes"));
    group.throughput(Throughput::Elements(common::SPANS));
    let mut turn = requests.iter().cycle();
    group.bench_function("walk", |b| {
        b.iter(|| {
            let mut sink = Checksum::default();
            let request = turn.next().map_or(&[][..], Vec::as_slice);
            let summary = walk_traces(black_box(request), &keys, &LIMITS, &mut sink);
            black_box((summary, sink.0))
        });
    });
    let mut turn = requests.iter().cycle();
    group.bench_function("prost", |b| {
        b.iter(|| {
            let request = turn.next().map_or(&[][..], Vec::as_slice);
            black_box(ExportTraceServiceRequest::decode(black_box(request)))
        });
    });
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
