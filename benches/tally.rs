//! What counting costs: walk, judgement and tally of requests of 1000, 100 and 10 spans, and of 1000 spans
//! that have little in common. prost's full decode of the same bytes runs beside it, which does none of that.
//!
//! Sixteen requests take turns, 9 MB: more than a core's own caches hold, so that every request is read from
//! further away than one that has just come in.
#![allow(missing_docs, reason = "criterion's macros make the entry points")]
#![allow(clippy::disallowed_methods, reason = "prost is here to be compared with")]

mod common;

use burngate::cohort::{NamedFlags, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::indicate::{IndicatorLimits, Indicators, Plan, builtin};
use burngate::ledger::{Compiled, Tap};
use burngate::sli::{DefaultObjective, ObjectiveName, ObjectiveSpec, SliSpec};
use burngate::time::UnixNanos;
use common::Shape;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hint::black_box;
use std::sync::Arc;

/// As in the binary: what a batch allocates is given back, and the next batch takes the same pages.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: UnixNanos = UnixNanos::from_secs(1_790_000_000);

/// Availability and two latencies for every service; one flag that a policy names.
fn objectives() -> Option<(Vec<ObjectiveSpec>, NamedFlags)> {
    let slis = ["{}", r#"{"faster_than": "250ms"}"#, r#"{"faster_than": "1s"}"#];
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
    let mut named = NamedFlags::new();
    named.name("*", ["new-checkout"]).ok()?;
    Some((specs, named))
}

/// A service is watched for flags that come apart from their requests when it is new; after ten minutes without
/// any it is not.
fn tap(watched: bool) -> Option<Tap> {
    let (specs, named) = objectives()?;
    let cohorts = Cohorts::default();
    let compiled = Compiled::compile(&specs, None, named, &cohorts, &ReceiverLimits::default()).ok()?;
    let tap = Tap::new(compiled, Arc::new(Registry::new(&cohorts)));
    if !watched {
        let all: Vec<_> = requests(Shape::Usual, 1000)
            .into_iter()
            .chain(requests(Shape::Scattered, 1000))
            .collect();
        for request in all {
            tap.process(&request, None, NOW.minus_secs(700)).ok()?;
        }
    }
    Some(tap)
}

/// The same, with every built-in indicator over spans; what they collect stays in the inbox, as between two ticks.
fn watching_tap() -> Option<Tap> {
    let built_in: Vec<_> = builtin::all().iter().map(|it| it.spec.clone()).collect();
    let plan = Arc::new(Plan::compile(&built_in, &[]).ok()?);
    let (specs, named) = objectives()?;
    let (cohorts, limits) = (Cohorts::default(), ReceiverLimits::default());
    let compiled = Compiled::with_indicators(&specs, None, named, &cohorts, &limits, &plan).ok()?;
    let indicators = Arc::new(Indicators::new(plan, IndicatorLimits::default()));
    Some(Tap::new(compiled, Arc::new(Registry::new(&cohorts))).telling(indicators))
}

/// The embedded default: availability by convention for every service, no policy.
fn default_tap() -> Option<Tap> {
    let default = DefaultObjective {
        slo: "availability".into(),
        sli: SliSpec::default(),
    };
    let (cohorts, limits) = (Cohorts::default(), ReceiverLimits::default());
    let compiled = Compiled::compile(&[], Some(&default), NamedFlags::new(), &cohorts, &limits).ok()?;
    Some(Tap::new(compiled, Arc::new(Registry::new(&cohorts))))
}

fn count(c: &mut Criterion) {
    for (name, tap) in [
        ("default objective", default_tap()),
        ("three objectives, a named flag", tap(false)),
        ("the same, watched for flags apart", tap(true)),
        ("the same, and every indicator over spans", watching_tap()),
    ] {
        let Some(tap) = tap else { return };
        count_by(c, name, &tap);
    }
}

fn count_by(c: &mut Criterion, name: &str, tap: &Tap) {
    for (shape, spans) in [
        (Shape::Usual, 1000),
        (Shape::Usual, 100),
        (Shape::Usual, 10),
        (Shape::Scattered, 1000),
    ] {
        let requests = requests(shape, spans);
        let mut group = c.benchmark_group(format!("{name}, {spans} spans, {shape:?}"));
        group.throughput(Throughput::Elements(spans));
        let mut turn = requests.iter().cycle();
        group.bench_function("walk, judge, tally", |b| {
            b.iter(|| {
                let request = turn.next().map_or(&[][..], Vec::as_slice);
                black_box(tap.process(black_box(request), None, NOW))
            });
        });
        group.finish();
    }
}

fn requests(shape: Shape, spans: u64) -> Vec<Vec<u8>> {
    (1..=16)
        .map(|seed| common::request_of(shape, seed, spans, NOW.0))
        .collect()
}

fn decode(c: &mut Criterion) {
    let requests = requests(Shape::Usual, common::SPANS);
    let mut group = c.benchmark_group("prost, 1000 spans, Usual");
    group.throughput(Throughput::Elements(common::SPANS));
    let mut turn = requests.iter().cycle();
    group.bench_function("decode", |b| {
        b.iter(|| {
            let request = turn.next().map_or(&[][..], Vec::as_slice);
            black_box(ExportTraceServiceRequest::decode(black_box(request)))
        });
    });
    group.finish();
}

criterion_group!(benches, count, decode);
criterion_main!(benches);
