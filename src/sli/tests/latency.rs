//! Latency SLIs.

use crate::sli::Judgement::{Bad, Good, Invalid, NotOurs};
use crate::sli::testing::{int, sample};

const MILLI: i64 = 1_000_000;

#[test]
fn fast_is_less_than_the_threshold() {
    for (nanos, expected) in [
        (0, Good),
        (250 * MILLI - 1, Good),
        (250 * MILLI, Bad),
        (250 * MILLI + 1, Bad),
        (3_600_000 * MILLI, Bad),
    ] {
        assert_eq!(
            sample().lasting_nanos(nanos).judged_by("{ faster_than: 250ms }"),
            expected,
            "{nanos}"
        );
    }
}

#[test]
fn a_failed_request_is_bad_or_left_out_however_fast() {
    let failed = sample().attr("http.response.status_code", int(500));
    assert_eq!(failed.judged_by("{ faster_than: 250ms }"), Bad);
    assert_eq!(failed.judged_by("{ faster_than: 250ms, failed: bad }"), Bad);
    assert_eq!(
        failed.judged_by("{ faster_than: 250ms, failed: exclude }"),
        NotOurs
    );
    let slow = failed.lasting_nanos(900 * MILLI);
    assert_eq!(slow.judged_by("{ faster_than: 250ms, failed: exclude }"), NotOurs);
}

#[test]
fn the_policy_says_what_failed_also_for_latency() {
    let yaml = "{ faster_than: 250ms, failed: exclude, bad: http.response.status_code == 409 }";
    assert_eq!(
        sample()
            .attr("http.response.status_code", int(409))
            .judged_by(yaml),
        NotOurs
    );
    assert_eq!(
        sample()
            .attr("http.response.status_code", int(500))
            .judged_by(yaml),
        Good
    );
}

#[test]
fn a_duration_that_is_none_is_never_fast() {
    let backwards = sample().lasting_nanos(-1);
    assert_eq!(backwards.judged_by("{ faster_than: 250ms }"), Invalid);
    assert_eq!(backwards.judged_by("{ bad: duration > 1s }"), Invalid);
    assert_eq!(backwards.judged_by("{ good: duration < 1s }"), Invalid);
    assert_eq!(
        backwards.judged_by("{}"),
        Good,
        "availability does not ask for it"
    );
    let mut no_start = sample();
    no_start.span.start_time_unix_nano = 0;
    assert_eq!(no_start.judged_by("{ faster_than: 250ms }"), Invalid);
}

#[test]
fn a_failed_request_is_bad_also_without_a_valid_duration() {
    let failed = sample().lasting_nanos(-1).status(2);
    assert_eq!(failed.judged_by("{ faster_than: 250ms }"), Bad);
    assert_eq!(
        failed.kind(3).judged_by("{ faster_than: 250ms }"),
        NotOurs,
        "selection comes first"
    );
}

#[test]
fn duration_is_a_field_of_expressions() {
    assert_eq!(
        sample()
            .lasting_nanos(101 * MILLI)
            .judged_by("{ bad: duration > 100ms }"),
        Bad
    );
    assert_eq!(
        sample()
            .lasting_nanos(100 * MILLI)
            .judged_by("{ bad: duration > 100ms }"),
        Good
    );
    assert_eq!(
        sample()
            .lasting_nanos(100 * MILLI)
            .judged_by("{ bad: duration == 0.1s }"),
        Bad
    );
    assert_eq!(
        sample()
            .lasting_nanos(100 * MILLI)
            .judged_by("{ bad: duration != 0.1s }"),
        Good
    );
}
