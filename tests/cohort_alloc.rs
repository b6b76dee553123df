//! Counting allocates for what is new in a batch, and nothing a span.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cohort_support;
#[path = "../benches/common/mod.rs"]
mod common;

use alloc_tracker::{Allocator, Session};
use burngate::config::Cohorts;
use burngate::ledger::Tap;
use cohort_support::{NOW, tap};

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
