//! A span of a known series allocates nothing: ten times the spans cost `span_metrics` not one allocation more.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod connect_support;

use alloc_tracker::{Allocator, Session};
use burngate::config::{Buckets, Connector, Dimension, SpanMetricsConnector};
use burngate::pipeline::{Batch, Consume, Signal};
use connect_support::{World, checkout, span, text};
use prost::Message;

#[global_allocator]
static ALLOCATOR: Allocator<std::alloc::System> = Allocator::system();

/// Allocations of a batch of `spans` whose series and scratch are there.
fn allocations(world: &World, spans: u64) -> u64 {
    let one = |number: u64| {
        let attributes = vec![
            text("http.route", "/pay"),
            text("deployment.sha", if number.is_multiple_of(2) { "a" } else { "b" }),
        ];
        span("POST /pay", number % 40, attributes)
    };
    let request = checkout((0..spans).map(one).collect());
    let batch = Batch::new(Signal::Traces, request.encode_to_vec().into());
    let taken = |batch: Batch| {
        drop(world.built.consume(batch));
    };
    for _ in 0..3 {
        taken(batch.clone());
    }
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("consume");
    {
        let _measured = operation.measure_thread().iterations(1);
        taken(batch);
    }
    session
        .to_report()
        .operations()
        .map(|(_, operation)| operation.total_allocations_count())
        .sum()
}

#[test]
fn ten_times_the_spans_cost_no_allocation_more() {
    for buckets in [
        SpanMetricsConnector::default().buckets,
        Buckets::Exponential { max_size: 160 },
    ] {
        let connector = Connector::SpanMetrics(Box::new(SpanMetricsConnector {
            buckets,
            exemplars: true,
            dimensions: vec![Dimension {
                name: "deployment.sha".into(),
                default: None,
            }],
            ..SpanMetricsConnector::default()
        }));
        let world = World::new(&connector, None);
        let (few, many) = (allocations(&world, 100), allocations(&world, 1000));
        assert!(many <= few && many < 20, "{few} and {many}");
    }
}
