use super::*;
use crate::ledger::points::rows::StreamRow;
use crate::wire::TEMPORALITY_CUMULATIVE;

const SECOND: u64 = 1_000_000_000;

fn id(stream: u128) -> StreamId {
    StreamId { stream, family: 1 }
}

fn times(start: u64, time: u64, temporality: i32) -> Times {
    Times {
        start: start * SECOND,
        time: time * SECOND,
        temporality,
    }
}

/// Observes a cumulative number and says what it adds.
fn add(streams: &mut Streams, stream: u128, start: u64, time: u64, number: i64) -> Result<i64, Skip> {
    let now = UnixNanos(time * SECOND);
    let family = StreamId {
        stream,
        family: start,
    };
    let step = streams.observe(
        family,
        times(start, time, TEMPORALITY_CUMULATIVE),
        Reading::Int(number),
        now,
    );
    let value = |reading: Reading<'_>| {
        if let Reading::Int(number) = reading {
            number
        } else {
            0
        }
    };
    match step {
        Step::Skip(skip) => Err(skip),
        Step::Whole => Ok(value(streams.after())),
        Step::WholeIfSince(start) if start >= streams.since(9) => Ok(value(streams.after())),
        Step::WholeIfSince(_) => Err(Skip::BaseLine),
        Step::Grew => Ok(value(streams.after()) - value(streams.before())),
    }
}

fn watched_since(secs: u64) -> Streams {
    let mut streams = Streams::default();
    streams.watch(&[9], UnixNanos(secs * SECOND));
    streams
}

#[test]
fn a_run_that_began_before_the_watching_starts_with_a_base_line() {
    let mut streams = watched_since(100);
    assert_eq!(add(&mut streams, 1, 50, 110, 1_000_000), Err(Skip::BaseLine));
    assert_eq!(add(&mut streams, 1, 50, 120, 1_000_007), Ok(7));
}

#[test]
fn a_run_that_began_under_the_watching_counts_from_zero() {
    let mut streams = watched_since(100);
    assert_eq!(add(&mut streams, 1, 105, 110, 7), Ok(7));
    assert_eq!(add(&mut streams, 1, 105, 120, 7), Err(Skip::Duplicate));
    assert_eq!(add(&mut streams, 1, 105, 120, 7), Err(Skip::Duplicate));
    assert_eq!(add(&mut streams, 1, 105, 130, 9), Ok(2));
}

#[test]
fn the_first_error_of_an_old_service_counts() {
    let mut streams = watched_since(100);
    // The first collection: all that was there is base line, also in a second request of it.
    assert_eq!(add(&mut streams, 1, 50, 110, 1000), Err(Skip::BaseLine));
    assert_eq!(add(&mut streams, 2, 50, 110, 3), Err(Skip::BaseLine));
    // The next collection has a stream that was not there.
    assert_eq!(add(&mut streams, 3, 50, 120, 5), Ok(5));
}

#[test]
fn a_restart_and_what_was_late_of_the_run_before_it_both_count() {
    let mut streams = watched_since(0);
    assert_eq!(add(&mut streams, 1, 10, 20, 100), Ok(100));
    assert_eq!(add(&mut streams, 1, 40, 50, 3), Ok(3));
    assert_eq!(add(&mut streams, 1, 10, 30, 110), Ok(10));
    assert_eq!(add(&mut streams, 1, 40, 60, 8), Ok(5));
}

#[test]
fn several_writers_with_starts_of_their_own_count_apart() {
    let mut streams = watched_since(0);
    assert_eq!(add(&mut streams, 1, 10, 30, 100), Ok(100));
    assert_eq!(add(&mut streams, 1, 12, 31, 7), Ok(7));
    assert_eq!(add(&mut streams, 1, 10, 40, 101), Ok(1));
    assert_eq!(add(&mut streams, 1, 12, 41, 9), Ok(2));
}

#[test]
fn several_writers_of_one_start_never_count_their_past() {
    let mut streams = watched_since(0);
    assert_eq!(add(&mut streams, 1, 10, 30, 100), Ok(100));
    assert_eq!(add(&mut streams, 1, 10, 31, 7), Err(Skip::SeveralWriters));
    assert_eq!(add(&mut streams, 1, 10, 40, 101), Ok(1));
    assert_eq!(add(&mut streams, 1, 10, 41, 9), Ok(2));
}

#[test]
fn without_a_start_a_smaller_number_is_a_reset() {
    let mut streams = watched_since(0);
    assert_eq!(add(&mut streams, 1, 0, 30, 100), Err(Skip::BaseLine));
    assert_eq!(add(&mut streams, 1, 0, 40, 110), Ok(10));
    assert_eq!(add(&mut streams, 1, 0, 50, 4), Ok(4));
    assert_eq!(add(&mut streams, 1, 0, 60, 5), Ok(1));
}

#[test]
fn a_delta_counts_whenever_it_comes_and_once() {
    let mut streams = Streams::default();
    let mut add = |start, time, number| {
        let now = UnixNanos(time * SECOND);
        let reading = Reading::Int(number);
        streams.observe(id(1), times(start, time, TEMPORALITY_DELTA), reading, now)
    };
    assert_eq!(add(10, 20, 5), Step::Whole);
    assert_eq!(add(30, 40, 5), Step::Grew, "after a gap");
    assert_eq!(add(20, 30, 5), Step::Grew, "late");
    assert_eq!(add(30, 40, 5), Step::Skip(Skip::Duplicate));
    assert_eq!(add(40, 50, 2), Step::Grew);
    assert_eq!(
        (streams.before(), streams.after()),
        (Reading::Int(15), Reading::Int(17))
    );
}

#[test]
fn room_is_bounded_and_deltas_need_none() {
    let mut streams = Streams::new(StreamLimits {
        max_streams: 1,
        ..StreamLimits::default()
    });
    assert_eq!(add(&mut streams, 1, 10, 20, 5), Ok(5));
    assert_eq!(add(&mut streams, 2, 10, 20, 5), Err(Skip::NoRoom));
    let now = UnixNanos(20 * SECOND);
    let delta = streams.observe(id(3), times(10, 20, TEMPORALITY_DELTA), Reading::Int(4), now);
    assert_eq!((delta, streams.after()), (Step::Whole, Reading::Int(4)));
    assert_eq!(streams.len(), 1);
}

#[test]
fn what_was_forgotten_does_not_come_back_as_new() {
    let mut streams = watched_since(0);
    assert_eq!(add(&mut streams, 1, 10, 20, 500), Ok(500));
    assert_eq!(add(&mut streams, 2, 10, 20, 500), Ok(500));
    let idle = streams.limits.idle_timeout_secs;
    // Stream 2 goes on, so that the metric itself stays known.
    assert_eq!(add(&mut streams, 2, 10, 20 + idle, 501), Ok(1));
    streams.sweep(UnixNanos((21 + idle) * SECOND));
    assert_eq!(streams.len(), 1);
    assert_eq!(add(&mut streams, 1, 10, 30 + idle, 600), Err(Skip::BaseLine));
    assert_eq!(add(&mut streams, 1, 10, 40 + idle, 601), Ok(1));
}

#[test]
fn a_store_brings_everything_back() {
    let mut streams = watched_since(100);
    assert_eq!(add(&mut streams, 1, 105, 110, 7), Ok(7));
    assert_eq!(add(&mut streams, 1, 200, 210, 2), Ok(2));
    let histogram = [1u8, 0, 0, 0, 0, 0, 0, 0, 0, 3];
    let now = UnixNanos(110 * SECOND);
    let step = streams.observe(
        id(5),
        times(105, 110, TEMPORALITY_DELTA),
        Reading::Buckets(&histogram),
        now,
    );
    assert_eq!(step, Step::Whole);
    let rows: Vec<StreamRow> = streams.changed_rows();
    assert!(streams.changed_rows().is_empty(), "each change is written once");

    let mut restored = Streams::default();
    for (key, value) in &rows {
        assert!(restored.restore(key, value.as_deref().unwrap()));
    }
    restored.watch(&[9], UnixNanos(900 * SECOND));
    assert_eq!(restored.since(9), 100 * SECOND, "watched since the first process");
    assert_eq!(add(&mut restored, 1, 105, 120, 8), Ok(1));
    assert_eq!(add(&mut restored, 1, 200, 220, 5), Ok(3));
    let again = restored.observe(
        id(5),
        times(105, 110, TEMPORALITY_DELTA),
        Reading::Buckets(&histogram),
        now,
    );
    assert_eq!(again, Step::Skip(Skip::Duplicate));
    // A stream that began while nobody was there counts from zero.
    assert_eq!(add(&mut restored, 7, 800, 950, 40), Ok(40));
}

#[test]
fn without_a_store_churn_leaves_nothing_behind() {
    let mut streams = watched_since(100);
    streams.keep_no_rows();
    let idle = streams.limits.idle_timeout_secs;
    for round in 0..10u64 {
        let at = 1_000 + round * (idle + 120);
        for stream in 0..100 {
            let _ = add(&mut streams, u128::from(round * 100 + stream), at, at + 1, 1);
        }
        streams.sweep(UnixNanos((at + 61) * SECOND));
        assert_eq!((streams.len(), streams.dirty.len()), (100, 0), "round {round}");
    }
}

#[test]
fn a_delta_that_begins_later_than_the_last_ended_leaves_a_gap_and_counts() {
    let mut streams = watched_since(100);
    let mut gap = |start, time, number| {
        let times = times(start, time, TEMPORALITY_DELTA);
        let step = streams.observe(id(1), times, Reading::Int(number), UnixNanos(time * SECOND));
        (step, streams.has_gap())
    };
    assert_eq!(
        gap(110, 120, 5),
        (Step::Whole, false),
        "nothing is known before the first"
    );
    assert_eq!(gap(120, 130, 6), (Step::Grew, false));
    assert_eq!(gap(150, 160, 7), (Step::Grew, true));
    assert_eq!(gap(150, 160, 7), (Step::Skip(Skip::Duplicate), false));
    assert_eq!(
        gap(130, 140, 8),
        (Step::Grew, false),
        "late, and fills a part of it"
    );
    assert_eq!(gap(0, 170, 9), (Step::Grew, false), "its start is not known");
}
