//! Edits of bytes do what the same edits do to prost's structs, on generated, mutated and real requests.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; prost is the oracle"
)]

mod process_support;
mod wire_support;

use burngate::wire::edit::{Level, Request, edit};
use burngate::wire::{
    WalkError, count_log_records, without_rejected_log_records, without_rejected_points,
    without_rejected_spans,
};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use process_support::{Editor, Model, Op, Program};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use prost::Message;
use std::cell::Cell;
use std::fmt::Debug;
use wire_support::generate::{self, Entropy};
use wire_support::mutate::{Kind, Signal, Tree, change_bytes, change_tree};
use wire_support::{NO_CAPS, walked};

/// The ingredients of a case: a request, a program, changes to its tree, padding of varints, changes to its
/// bytes.
type Case = (Vec<u8>, Vec<[u8; 4]>, Vec<[u8; 24]>, Vec<u8>, Vec<[u8; 4]>);

fn case() -> impl Strategy<Value = Case> {
    (
        vec(any::<u8>(), 0..500),
        vec(any::<[u8; 4]>(), 0..6),
        vec(any::<[u8; 24]>(), 0..5),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 200)],
        prop_oneof![6 => Just(Vec::new()), 1 => vec(any::<[u8; 4]>(), 1..3)],
    )
}

fn bytes_of(case: &Case, signal: Signal) -> Bytes {
    let (request, _, tree_changes, padding, byte_changes) = case;
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
    bytes.into()
}

fn program(ops: &[[u8; 4]]) -> Program {
    const KEYS: [&str; 5] = ["service.name", "k", "http.route", "", "new"];
    let text = |n: u8| ["", "GET", "checkout", &"x".repeat(200)][usize::from(n % 4)].to_owned();
    let one = |[level, what, which, how]: &[u8; 4]| {
        let level = [Level::Resource, Level::Scope, Level::Item, Level::Part][usize::from(level % 4)];
        let key = KEYS[usize::from(which % 5)];
        let op = match what % 14 {
            0 | 1 => Op::SetInt(key, i64::from(*how) - 100),
            2 | 3 => Op::SetText(key, text(*how)),
            4 | 5 => Op::Remove(key),
            6 | 7 => Op::Name(text(*how)),
            8 => Op::Number(i32::from(*how) - 100),
            9 => Op::StatusCode(i32::from(*how) - 100),
            10 => Op::StatusMessage(text(*how)),
            11 => Op::Time(u64::from(*how)),
            12 if how % 2 == 0 => Op::Body(i64::from(*how)),
            12 => Op::DropNamed(text(*how)),
            _ => Op::DropWith(key),
        };
        (level, op)
    };
    Program(ops.iter().map(one).collect())
}

/// The same edit both ways. Says whether prost took the request.
fn same_edit<M: Model + Debug>(request: Request, bytes: &Bytes, program: &Program) -> Result<bool, String> {
    let edited = edit(request, bytes, &mut Editor(program));
    let Ok(mut model) = M::decode(bytes.clone()) else {
        return Ok(false);
    };
    let untouched = model.clone_by_encoding();
    let dropped = model.edit(program);
    let edited = edited.map_err(|_| "prost accepts, the edit refuses".to_owned())?;
    let ours = M::decode(edited.bytes.clone()).map_err(|error| format!("broken output: {error}"))?;
    // By their encoding: a NaN equals itself there.
    let (ours, expected) = (ours.encode_to_vec(), model.encode_to_vec());
    if ours != expected {
        return Err(format!(
            "{program:?}\nof {untouched:#?}\nbecame {:#?}",
            M::decode(&ours[..])
        ));
    }
    if edited.dropped != dropped {
        return Err(format!("{} dropped, not {dropped}: {program:?}", edited.dropped));
    }
    if edited.is_empty != (dropped > 0 && model.items() == 0) {
        return Err(format!("is_empty: {} {program:?}", edited.is_empty));
    }
    let same = std::ptr::eq(edited.bytes.as_ref(), bytes.as_ref());
    if !same && edited.bytes == *bytes {
        return Err("a copy of the same bytes".to_owned());
    }
    Ok(true)
}

trait CloneByEncoding: Message + Default {
    fn clone_by_encoding(&self) -> Self {
        Self::decode(&self.encode_to_vec()[..]).unwrap()
    }
}

impl<M: Message + Default> CloneByEncoding for M {}

fn compare<M: Model + Debug>(signal: Signal, request: Request) {
    let cases = if std::env::var_os("BURNGATE_LONG").is_some() {
        500_000
    } else {
        6_000
    };
    let accepted = Cell::new(0);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&case(), |case| {
        let both = same_edit::<M>(request, &bytes_of(&case, signal), &program(&case.1));
        let both = both.map_err(TestCaseError::fail)?;
        accepted.set(accepted.get() + u32::from(both));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{signal:?}: {} of {cases} accepted", accepted.get());
    assert!(accepted.get() > cases / 4);
}

#[test]
fn spans_are_edited_as_prost_would() {
    compare::<ExportTraceServiceRequest>(Signal::Traces, Request::Traces);
}

#[test]
fn metrics_are_edited_as_prost_would() {
    compare::<ExportMetricsServiceRequest>(Signal::Metrics, Request::Metrics);
}

#[test]
fn records_are_edited_as_prost_would() {
    compare::<ExportLogsServiceRequest>(Signal::Logs, Request::Logs);
}

#[test]
fn rejected_items_are_cut_out_and_nothing_else() {
    let cut = Cell::new(0u64);
    let config = Config {
        cases: 6_000,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config.clone()).run(&case(), |case| {
        let bytes = bytes_of(&case, Signal::Traces);
        let Ok((summary, spans)) = walked(&bytes) else {
            return Ok(());
        };
        let clean = without_rejected_spans(&bytes).unwrap();
        let (after, left) = walked(&clean).unwrap();
        prop_assert_eq!(&spans, &left);
        prop_assert_eq!(
            (after.rejected, after.spans),
            (0, summary.spans - summary.rejected)
        );
        prop_assert_eq!(
            summary.rejected == 0,
            std::ptr::eq(clean.as_ref(), bytes.as_ref())
        );
        cut.set(cut.get() + summary.rejected);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let outcome = TestRunner::new(config).run(&case(), |case| {
        let bytes = bytes_of(&case, Signal::Logs);
        let Ok(summary) = count_log_records(&bytes, &NO_CAPS) else {
            return Ok(());
        };
        let clean = without_rejected_log_records(&bytes).unwrap();
        let after = count_log_records(&clean, &NO_CAPS).unwrap();
        prop_assert_eq!(
            (after.rejected, after.items),
            (0, summary.items - summary.rejected)
        );
        prop_assert_eq!(
            summary.rejected == 0,
            std::ptr::eq(clean.as_ref(), bytes.as_ref())
        );
        cut.set(cut.get() + summary.rejected);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(cut.get() > 1000, "{} rejected", cut.get());
}

#[test]
fn no_walk_rejects_a_point_and_neither_does_a_splice() -> Result<(), WalkError> {
    let bytes = Bytes::from_static(&[0x0a, 0]);
    let same = without_rejected_points(&bytes)?;
    assert!(std::ptr::eq(same.as_ref(), bytes.as_ref()));
    Ok(())
}

/// What is added to a status at the end of its span, and to the span behind it, stand at one place.
#[test]
fn an_empty_status_at_the_end_of_a_span_is_filled_and_not_followed() {
    let bytes = Bytes::from_static(&[0x0a, 6, 0x12, 4, 0x12, 2, 0x7a, 0]);
    let program = Program(vec![
        (Level::Item, Op::SetInt("k", 1)),
        (Level::Item, Op::Name("name".to_owned())),
        (Level::Item, Op::StatusCode(2)),
        (Level::Item, Op::StatusMessage("why".to_owned())),
    ]);
    let both = same_edit::<ExportTraceServiceRequest>(Request::Traces, &bytes, &program);
    assert_eq!(both, Ok(true));
}

/// Found by chance in continuous integration: the message of a status that was not there, written and taken
/// back.
#[test]
fn a_status_that_is_put_in_and_emptied_again_leaves_the_very_bytes() {
    let bytes = Bytes::from_static(&[0x0a, 6, 0x12, 4, 0x12, 2, 0x2a, 0]);
    let program = Program(vec![
        (Level::Item, Op::StatusCode(2)),
        (Level::Item, Op::StatusMessage("GET".to_owned())),
        (Level::Item, Op::StatusMessage(String::new())),
        (Level::Item, Op::StatusCode(0)),
    ]);
    let both = same_edit::<ExportTraceServiceRequest>(Request::Traces, &bytes, &program);
    assert_eq!(both, Ok(true));
    let edited = edit(Request::Traces, &bytes, &mut Editor(&program)).unwrap();
    assert!(std::ptr::eq(edited.bytes.as_ref(), bytes.as_ref()));
}
