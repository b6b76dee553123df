//! Quantiles against a sorted list.

use super::*;
use crate::time::NANOS_PER_SEC;
use proptest::prelude::*;

const NOW: UnixNanos = UnixNanos::from_secs(1_800_000_000);
const OBJECTIVE: ObjectiveId = ObjectiveId(3);
const COHORT: CohortId = CohortId(4);

fn row(cohort: CohortId, back_secs: u64, nanos: u64, units: u64) -> LatencyDelta {
    LatencyDelta {
        objective: OBJECTIVE,
        cohort,
        bucket: (NOW.secs() - back_secs) / 10,
        slot: slot_of(nanos),
        units,
    }
}

/// The value of which at least `percent` of all are no longer.
fn exact(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1] as f64 / 1e9
}

proptest! {
    #[test]
    fn quantiles_are_those_of_the_sorted_list_to_the_stated_error(
        mut nanos in proptest::collection::vec(1_000u64..100 * NANOS_PER_SEC, 1..300),
    ) {
        let mut table = Latencies::new(10);
        let rows: Vec<_> = nanos.iter().map(|nanos| row(COHORT, 5, *nanos, ONE)).collect();
        table.absorb(NOW, &rows);
        nanos.sort_unstable();
        let got = table.quantiles(NOW, OBJECTIVE, &[COHORT], 300);
        prop_assert_eq!(got.events, nanos.len() as u64);
        let got = got.told.unwrap();
        for (told, percent) in [(got.p50_secs, 50), (got.p95_secs, 95), (got.p99_secs, 99)] {
            let want = exact(&nanos, percent);
            prop_assert!((told / want - 1.0).abs() <= RELATIVE_ERROR, "{} {} {}", percent, told, want);
        }
    }

    #[test]
    fn splitting_reordering_and_merging_change_nothing(
        nanos in proptest::collection::vec((1_000u64..NANOS_PER_SEC, 0u64..290, 1u64..200), 1..80),
        cut in 0usize..80,
    ) {
        let rows = |cohort| nanos.iter().map(move |(n, back, w)| row(cohort, *back, *n, w * ONE / 3));
        let mut whole = Latencies::new(10);
        whole.absorb(NOW, &rows(COHORT).collect::<Vec<_>>());
        // The same in two series, in another order, piece by piece.
        let mut split = Latencies::new(10);
        for (nth, row) in rows(COHORT).enumerate().collect::<Vec<_>>().into_iter().rev() {
            let cohort = if nth < cut { COHORT } else { CohortId(9) };
            split.absorb(NOW, &[LatencyDelta { cohort, ..row }]);
        }
        for window in LATENCY_WINDOWS_SECS {
            prop_assert_eq!(
                whole.quantiles(NOW, OBJECTIVE, &[COHORT], window),
                split.quantiles(NOW, OBJECTIVE, &[COHORT, CohortId(9)], window)
            );
        }
    }
}

#[test]
fn a_window_forgets_what_has_left_it_and_says_where_it_begins() {
    let mut table = Latencies::new(10);
    table.absorb(NOW.minus_secs(4_000), &[]);
    for (back, nanos) in [(3_000u64, 8_000_000u64), (200, 1_000_000)] {
        let row = LatencyDelta {
            bucket: (NOW.secs() - back) / 10,
            ..row(COHORT, 0, nanos, ONE)
        };
        table.absorb(NOW.minus_secs(back), &[row]);
    }
    let hour = table.quantiles(NOW, OBJECTIVE, &[COHORT], 3_600);
    assert_eq!((hour.events, hour.from), (2, NOW.minus_secs(3_600)));
    let five = table.quantiles(NOW, OBJECTIVE, &[COHORT], 300);
    assert_eq!((five.events, five.from), (1, NOW.minus_secs(300)));
    let p99 = |window: LatencyWindow| window.told.unwrap().p99_secs;
    assert!((p99(five) - 0.001).abs() < 0.000_03 && p99(hour) > 0.007);
    let later = NOW.plus_secs(3_901);
    assert_eq!(table.quantiles(later, OBJECTIVE, &[COHORT], 3_600).told, None);
}

#[test]
fn a_process_that_began_a_minute_ago_does_not_claim_an_hour() {
    let mut table = Latencies::new(10);
    table.absorb(NOW.minus_secs(60), &[row(COHORT, 60, 1_000, ONE)]);
    let hour = table.quantiles(NOW, OBJECTIVE, &[COHORT], 3_600);
    assert_eq!(hour.from, NOW.minus_secs(60));
}

#[test]
fn sampled_durations_count_for_what_they_stand_for() {
    let mut table = Latencies::new(10);
    table.absorb(
        NOW,
        &[
            row(COHORT, 0, 1_000_000, 10 * ONE),
            row(COHORT, 0, 1_000_000_000, ONE),
        ],
    );
    let got = table.quantiles(NOW, OBJECTIVE, &[COHORT], 300);
    assert_eq!(got.events, 11);
    let got = got.told.unwrap();
    assert!(got.p50_secs < 0.002 && got.p95_secs > 0.9, "{got:?}");
}

#[test]
fn series_and_memory_are_bounded_and_silent_series_leave() {
    let mut table = Latencies::new(2);
    for cohort in 0..5 {
        table.absorb(NOW, &[row(CohortId(cohort), 0, 1_000, ONE)]);
    }
    assert_eq!((table.len(), table.refused), (2, 3));
    // Two hours of a service from a millisecond to a second.
    let mut busy = Latencies::new(1);
    for minute in 0..120u64 {
        let now = NOW.plus_secs(minute * 60);
        let rows: Vec<_> = (0..1_000u64)
            .map(|n| LatencyDelta {
                bucket: now.secs() / 10,
                ..row(COHORT, 0, 1_000_000 + n * 1_000_000, ONE)
            })
            .collect();
        busy.absorb(now, &rows);
    }
    assert!(busy.bytes() < 48 * 1024, "{}", busy.bytes());
    busy.absorb(NOW.plus_secs(5 * 3_600), &[]);
    assert!(busy.is_empty());
}
