//! Counting allocates for what is new in a batch, and nothing a span.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cohort_support;
#[path = "../benches/common/mod.rs"]
mod common;

use alloc_tracker::{Allocator, Session};
use burngate::cohort::{NamedFlags, Registry};
use burngate::config::{Cohorts, ReceiverLimits};
use burngate::indicate::{IndicatorLimits, Indicators, Plan, builtin};
use burngate::ledger::{Compiled, Tap};
use burngate::sli::{DefaultObjective, SliSpec};
use cohort_support::{NOW, tap};
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

fn allocations(tap: &Tap, spans: u64) -> u64 {
    let request = common::request(7, spans, NOW.0);
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("tally");
    let outcome = {
        let _span = operation.measure_thread().iterations(1);
        tap.process(&request, None, NOW).unwrap()
    };
    assert!(outcome.stats.judged > spans / 2 && !outcome.evidence.is_empty());
    let report = session.to_report();
    report
        .operations()
        .map(|(_, operation)| operation.total_allocations_count())
        .sum()
}

#[test]
fn eight_thousand_spans_allocate_little_more_than_two_thousand() {
    let tap = tap(&Cohorts::default(), &["new-checkout"]);
    allocations(&tap, 8_000);
    let (some, many) = (allocations(&tap, 2_000), allocations(&tap, 8_000));
    // What remains is growth of vectors and combinations that the smaller request did not have.
    assert!(
        many < some + 600,
        "{some} and {many}: that is a tenth of an allocation a span or more"
    );
}

#[test]
fn indicators_over_spans_allocate_nothing_a_span_either() {
    let built_in: Vec<_> = builtin::all().iter().map(|it| it.spec.clone()).collect();
    let plan = Arc::new(Plan::compile(&built_in, &[]).unwrap());
    let indicators = Arc::new(Indicators::new(plan.clone(), IndicatorLimits::default()));
    let default = DefaultObjective {
        slo: "availability".into(),
        sli: SliSpec::default(),
    };
    let (cohorts, limits) = (Cohorts::default(), ReceiverLimits::default());
    let mut flags = NamedFlags::new();
    flags.name("checkout", ["new-checkout"]).unwrap();
    let compiled = Compiled::with_indicators(&[], Some(&default), flags, &cohorts, &limits, &plan).unwrap();
    let tap = Tap::new(compiled, Arc::new(Registry::new(&cohorts))).telling(indicators.clone());
    allocations(&tap, 8_000);
    let (some, many) = (allocations(&tap, 2_000), allocations(&tap, 8_000));
    assert!(many < some + 600, "{some} and {many}");
    indicators.evaluate(NOW.plus_secs(20));
    let names: Vec<_> = indicators
        .board()
        .snapshot()
        .iter()
        .map(|it| it.name.clone())
        .collect();
    assert!(
        names.iter().any(|name| **name == *"tail_latency_slope_spans"),
        "{names:?}"
    );
}
