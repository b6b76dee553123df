//! What a request of metrics costs: 1000 points of a histogram walked, and walked and counted (availability and
//! two latencies), beside prost's full decode of the same bytes, which does neither.
#![allow(missing_docs, reason = "criterion's macros make the entry points")]
#![allow(clippy::disallowed_methods, reason = "prost is here to be compared with")]

mod common;

use burngate::cohort::{NamedFlags, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::ledger::{Compiled, Tap};
use burngate::sli::{ObjectiveName, ObjectiveSpec, SliSpec};
use burngate::time::UnixNanos;
use burngate::wire::{
    Attributes, Identity, KeyTable, KeyTableBuilder, Metric, MetricSink, Point, PointValue, Scope,
    WalkLimits, walk_metrics,
};
use common::points::{POINTS, request};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::hint::black_box;
use std::sync::Arc;

/// As in the binary.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: UnixNanos = UnixNanos::from_secs(1_790_000_000);
const LIMITS: WalkLimits = WalkLimits {
    spans_max: 100_000,
    attributes_max: 256,
    events_max: 256,
    nesting_max: 16,
};

fn tap() -> Option<Tap> {
    let slis = [
        r#"{"metrics": "http.server.request.duration"}"#,
        r#"{"metrics": "http.server.request.duration", "faster_than": "250ms"}"#,
        r#"{"metrics": "http_server_request_duration_seconds", "faster_than": "1s"}"#,
    ];
    let specs: Vec<ObjectiveSpec> = (0u8..)
        .zip(slis)
        .filter_map(|(number, sli)| {
            let sli: SliSpec = serde_json::from_str(sli).ok()?;
            let name = ObjectiveName {
                service: "*".into(),
                slo: format!("slo-{number}").into(),
            };
            Some(ObjectiveSpec {
                name,
                environment: None,
                sli,
            })
        })
        .collect();
    let cohorts = Cohorts::default();
    let limits = ReceiverLimits::default();
    let compiled = Compiled::compile(&specs, None, NamedFlags::new(), &cohorts, &limits).ok()?;
    Some(Tap::new(compiled, Arc::new(Registry::new(&cohorts))))
}

/// Reads what a judgement reads: count and buckets.
#[derive(Default)]
struct Sum(u64);

impl<'a> MetricSink<'a> for Sum {
    fn forget(&mut self) {
        self.0 = 0;
    }

    fn resource(&mut self, _: &Attributes<'a>, _: Identity) {}
    fn scope(&mut self, _: &Scope<'a, '_>, _: Identity) {}

    fn metric(&mut self, _: &Metric<'a>) -> bool {
        true
    }

    fn point(&mut self, point: &Point<'a>, _: &Attributes<'a>) {
        if let PointValue::Histogram(value) = point.value {
            self.0 = self.0.wrapping_add(value.count);
            value
                .bucket_counts
                .for_each(|count| self.0 = self.0.wrapping_add(count));
        }
    }
}

fn table() -> KeyTable {
    let mut builder = KeyTableBuilder::default();
    for key in [
        "service.name",
        "http.route",
        "http.response.status_code",
        "deployment.sha",
    ] {
        builder.key(key);
    }
    builder.build()
}

fn points(c: &mut Criterion) {
    let mut group = c.benchmark_group("1000 points of a histogram");
    group.throughput(Throughput::Elements(POINTS));
    let requests: Vec<Vec<u8>> = (1..=16)
        .map(|turn| request(turn, POINTS, 1, (NOW.0 - 10_000_000_000, NOW.0 - turn)))
        .collect();
    let keys = table();
    let mut turn = requests.iter().cycle();
    group.bench_function("walk", |b| {
        b.iter(|| {
            let mut sum = Sum::default();
            let request = turn.next().map_or(&[][..], Vec::as_slice);
            let _ = black_box(walk_metrics(black_box(request), &keys, &LIMITS, &mut sum));
            sum.0
        });
    });
    let Some(tap) = tap() else { return };
    let mut turn = requests.iter().cycle();
    group.bench_function("walk, judge, tally (delta)", |b| {
        b.iter(|| {
            let request = turn.next().map_or(&[][..], Vec::as_slice);
            black_box(tap.process_metrics(black_box(request), None, NOW, |_| {}))
        });
    });
    let mut turn = requests.iter().cycle();
    group.bench_function("prost decode", |b| {
        b.iter(|| {
            let request = turn.next().map_or(&[][..], Vec::as_slice);
            black_box(ExportMetricsServiceRequest::decode(black_box(request)))
        });
    });
    group.finish();
}

criterion_group!(benches, points);
criterion_main!(benches);
