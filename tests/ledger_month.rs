//! Thirty days of minutes in simulated time, with restarts: exact to the last event, and the time it took.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::enum_variant_names,
    clippy::type_complexity,
    clippy::too_many_lines,
    clippy::float_cmp,
    reason = "tables and generators of tests: small whole numbers, long lists"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "reports how long a month takes; nothing depends on it"
)]

mod ledger_support;

use burngate::ledger::Counts;
use burngate::store::{MemStore, Store};
use burngate::time::UnixNanos;
use ledger_support::{House, TOTALS, WORKBOOK, plan};
use std::sync::Arc;
use std::time::Instant;

const START: u64 = 1_767_225_600;
const DAYS: u64 = 30;

#[test]
fn a_month_of_minutes_is_exact_in_seconds() {
    let began = Instant::now();
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let plan = plan(&WORKBOOK);
    let mut house = House::open(Arc::clone(&store), &plan, UnixNanos::from_secs(START));
    let mut random = fastrand::Rng::with_seed(30);
    let mut totals = [Counts::default(); 3];
    let mut idle = 0;
    for minute in 0..DAYS * 1_440 {
        let now = UnixNanos::from_secs(START + minute * 60 + 60);
        let bucket = (START + minute * 60) / 10 + random.u64(0..6);
        for (total, counts) in totals.iter_mut().enumerate() {
            let (good, bad) = (random.u64(0..500), u64::from(random.u64(0..50) == 0));
            counts.good += good;
            counts.bad += bad;
            house.absorb(now, total as u32, bucket, good, bad);
        }
        // Two deployments a day, each with a handful of variants, about 50 of them living at any time.
        let deploy = u32::try_from(minute / 720).unwrap();
        for variant in 0..17 {
            house.absorb(
                now,
                TOTALS + deploy * 17 + variant,
                bucket,
                9,
                u64::from(variant == 3),
            );
        }
        house.tick(now);
        house.changed(now);
        idle += house.ledger.lock().unwrap().idle(now).len();
        if minute == 20 * 1_440 + 77 {
            house = House::open(Arc::clone(&store), &plan, now);
        }
    }
    let end = UnixNanos::from_secs(START + DAYS * 86_400);
    for (total, counts) in totals.iter().enumerate() {
        let view = house.view(total as u32).unwrap();
        assert_eq!(view.lifetime, *counts);
        let month = view.windows.last().unwrap();
        assert_eq!(
            (month.counts, month.from),
            (*counts, end.minus_secs(DAYS * 86_400))
        );
    }
    let newest = house.view(TOTALS + 59 * 17 + 3).unwrap();
    assert_eq!(
        newest.windows.last().unwrap().counts,
        Counts {
            good: 9 * 720,
            bad: 720
        }
    );
    assert!(idle >= 55 * 17, "{idle} cohorts left");
    eprintln!(
        "30 days of minutes, 3 totals and 51 live cohorts: {:?}",
        began.elapsed()
    );
}
