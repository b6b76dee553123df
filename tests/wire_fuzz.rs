//! The walk reads generated and mutated requests as prost does.
//!
//! Ten thousand cases a signal every day; a million traces with `BURNGATE_LONG=1` (meant for `--release`).
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; prost is the oracle"
)]

mod wire_support;

use burngate::wire::{ItemSummary, WalkError, count_log_records, count_metric_points};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use prost::{DecodeError, Message};
use std::cell::Cell;
use wire_support::generate::{self, Entropy};
use wire_support::logs::same_logs_as_prost;
use wire_support::mutate::{Kind, Signal, Tree, change_bytes, change_tree};
use wire_support::points::same_points_as_prost;
use wire_support::{NO_CAPS, same_as_prost};

/// The ingredients of a case: a request, changes to its tree, padding of varints, changes to its bytes.
type Case = (Vec<u8>, Vec<[u8; 24]>, Vec<u8>, Vec<[u8; 4]>);

fn case() -> impl Strategy<Value = Case> {
    (
        vec(any::<u8>(), 0..500),
        vec(any::<[u8; 24]>(), 0..5),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 200)],
        prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<[u8; 4]>(), 1..4)],
    )
}

fn bytes_of(case: &Case, signal: Signal) -> Vec<u8> {
    let (request, tree_changes, padding, byte_changes) = case;
    let mut entropy = Entropy(request);
    let encoded = match signal {
        Signal::Traces => generate::traces(&mut entropy).encode_to_vec(),
        Signal::Metrics => generate::metrics(&mut entropy).encode_to_vec(),
        Signal::Logs => generate::logs(&mut entropy).encode_to_vec(),
    };
    let mut tree = Tree::parse(Kind::Request(signal), &encoded);
    for change in tree_changes {
        change_tree(&mut tree, &mut Entropy(change));
    }
    let mut bytes = tree.encode(&mut Entropy(padding));
    for change in byte_changes {
        change_bytes(&mut bytes, &mut Entropy(change));
    }
    bytes
}

/// Runs the cases; at least a quarter must be accepted by both, and some refused, or the test has lost its
/// teeth.
fn compare(signal: Signal, long: u32, check: impl Fn(&[u8]) -> Result<bool, String>) {
    let cases = if std::env::var_os("BURNGATE_LONG").is_some() {
        long
    } else {
        10_000
    };
    let accepted = Cell::new(0);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&case(), |case| {
        let bytes = bytes_of(&case, signal);
        let both = check(&bytes).map_err(|why| TestCaseError::fail(format!("{bytes:02x?}: {why}")))?;
        accepted.set(accepted.get() + u32::from(both));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{signal:?}: {} of {cases} accepted", accepted.get());
    assert!(accepted.get() > cases / 4 && accepted.get() < cases - cases / 10);
}

#[test]
fn mutated_traces_read_as_prost_reads_them() {
    compare(Signal::Traces, 1_000_000, same_as_prost);
}

#[test]
fn mutated_metrics_read_as_prost_reads_them() {
    compare(Signal::Metrics, 500_000, same_points_as_prost);
}

/// The oracle's count of items against the walker's.
fn same_count(
    expected: Result<ItemSummary, DecodeError>,
    counted: Result<ItemSummary, WalkError>,
) -> Result<bool, String> {
    match (expected, counted) {
        (Ok(expected), Ok(counted)) if expected == counted => Ok(true),
        (Ok(expected), counted) => Err(format!("prost counts {expected:?}, the walker {counted:?}")),
        // Whether the insides of what is hopped over were broken can not be told from prost's words alone.
        (Err(_), _) => Ok(false),
    }
}

#[test]
fn mutated_metrics_count_as_prost_counts_them() {
    compare(Signal::Metrics, 200_000, |bytes| {
        let expected = ExportMetricsServiceRequest::decode(bytes).map(|request| {
            let scopes = request
                .resource_metrics
                .iter()
                .flat_map(|resource| &resource.scope_metrics);
            let points = scopes
                .flat_map(|scope| &scope.metrics)
                .map(|metric| match &metric.data {
                    None => 0,
                    Some(Data::Gauge(data)) => data.data_points.len(),
                    Some(Data::Sum(data)) => data.data_points.len(),
                    Some(Data::Histogram(data)) => data.data_points.len(),
                    Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
                    Some(Data::Summary(data)) => data.data_points.len(),
                });
            ItemSummary {
                items: points.sum::<usize>() as u64,
                rejected: 0,
            }
        });
        same_count(expected, count_metric_points(bytes, &NO_CAPS))
    });
}

#[test]
fn mutated_logs_count_as_prost_counts_them() {
    compare(Signal::Logs, 200_000, |bytes| {
        let expected = ExportLogsServiceRequest::decode(bytes).map(|request| {
            let scopes = request
                .resource_logs
                .iter()
                .flat_map(|resource| &resource.scope_logs);
            let records: Vec<_> = scopes.flat_map(|scope| &scope.log_records).collect();
            let bad = records
                .iter()
                .filter(|r| ![0, 16].contains(&r.trace_id.len()) || ![0, 8].contains(&r.span_id.len()))
                .count();
            ItemSummary {
                items: records.len() as u64,
                rejected: bad as u64,
            }
        });
        same_count(expected, count_log_records(bytes, &NO_CAPS))
    });
}

#[test]
fn mutated_logs_read_as_prost_reads_them() {
    compare(Signal::Logs, 1_000_000, same_logs_as_prost);
}

/// Whatever the bytes are, there is an answer, and it is prost's.
#[test]
fn noise_reads_as_prost_reads_it() {
    let config = Config {
        cases: 10_000,
        failure_persistence: None,
        ..Config::default()
    };
    let noise = vec(prop_oneof![any::<u8>(), 0..=18u8, Just(0x0a), Just(0x12)], 0..60);
    let outcome = TestRunner::new(config).run(&noise, |bytes| {
        same_as_prost(&bytes).map(drop).map_err(TestCaseError::fail)?;
        same_logs_as_prost(&bytes).map(drop).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
