//! What counting costs: a batch's rows, the tick's reading, the frame, and a month on demand.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use burngate::cohort::{CohortId, ObjectiveId};
use burngate::ledger::{Counts, Kinds, Ledger, LedgerLimits, Nameless, SeriesDelta, WindowPlan};
use burngate::store::{Keeper, MemStore, NameKind, Names, Store, join};
use burngate::time::{NANOS_PER_SEC, UnixNanos};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::{Arc, Mutex};

const START: u64 = 1_767_225_600;
const WINDOWS: [u64; 8] = [300, 1_800, 3_600, 7_200, 21_600, 86_400, 259_200, 2_592_000];
const OBJECTIVE: ObjectiveId = ObjectiveId(0);

#[derive(Debug)]
struct Numbers;

impl Kinds for Numbers {
    fn is_total(&self, cohort: CohortId) -> bool {
        cohort.0 == 0
    }
}

impl Names for Numbers {
    fn encode(&self, what: Nameless) -> Option<Vec<u8>> {
        match what {
            Nameless::Series(_, c) => join(
                if c.0 == 0 {
                    NameKind::Total
                } else {
                    NameKind::Cohort
                },
                &[&c.0.to_le_bytes()],
            ),
            _ => None,
        }
    }

    fn objective(&self, _name: &[u8]) -> Option<ObjectiveId> {
        Some(OBJECTIVE)
    }

    fn restore(&self, _name: &[u8], _now: UnixNanos) -> Option<Nameless> {
        None
    }
}

struct House {
    ledger: Mutex<Ledger>,
    keeper: Keeper,
    store: Arc<dyn Store>,
}

fn house() -> House {
    let plan = WindowPlan::new(&WINDOWS, &WINDOWS[..7]).unwrap();
    let mut ledger = Ledger::new(LedgerLimits::default(), plan, Arc::new(Numbers));
    let store: Arc<dyn Store> = Arc::new(MemStore::new());
    let now = UnixNanos::from_secs(START);
    let (keeper, _) = Keeper::restore(Arc::clone(&store), Arc::new(Numbers), &mut ledger, now).unwrap();
    House {
        ledger: Mutex::new(ledger),
        keeper,
        store,
    }
}

fn batch(cohorts: std::ops::Range<u32>, now: UnixNanos) -> Vec<SeriesDelta> {
    let counts = Counts { good: 60, bad: 1 };
    cohorts
        .map(|c| SeriesDelta {
            objective: OBJECTIVE,
            cohort: CohortId(c),
            bucket: now.secs() / 10,
            counts,
        })
        .collect()
}

fn absorb(c: &mut Criterion) {
    let mut group = c.benchmark_group("absorb");
    for (name, series) in [("16 rows of 16 series", 16), ("16 rows of 10k series", 10_000u32)] {
        let house = house();
        let mut now = UnixNanos::from_secs(START);
        let mut at = 0;
        let mut ledger = house.ledger.into_inner().unwrap();
        let mut rows = batch(0..16, now);
        group.throughput(Throughput::Elements(16));
        group.bench_function(name, |b| {
            b.iter(|| {
                now = UnixNanos(now.0 + 100_000);
                for row in &mut rows {
                    at = (at + 1) % series;
                    row.cohort = CohortId(at);
                    row.bucket = now.secs() / 10;
                }
                ledger.absorb(now, black_box(&rows), &[]);
            });
        });
    }
    group.finish();
}

fn tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick");
    group.sample_size(20);
    let mut house = house();
    let mut now = UnixNanos::from_secs(START);
    let all = batch(0..10_000, now);
    house.ledger.get_mut().unwrap().absorb(now, &all, &[]);
    house.keeper.tick(now, &house.ledger).unwrap();
    let mut views = Vec::new();
    group.throughput(Throughput::Elements(10_000));
    let ledger = house.ledger.get_mut().unwrap();
    group.bench_function("changed, 10k series", |b| {
        b.iter_batched(
            || (),
            |()| {
                // Every step moves head or edge: all series advance, and all of them changed.
                now = UnixNanos(now.0 + 10 * NANOS_PER_SEC);
                let mut rows = all.clone();
                for row in &mut rows {
                    row.bucket = now.secs() / 10;
                }
                ledger.absorb(now, &rows, &[]);
                views.clear();
                while ledger.changed(now, 1_000, &mut views) {}
                assert_eq!(views.len(), 10_000);
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("frame, 10k series", |b| {
        b.iter(|| {
            now = UnixNanos(now.0 + NANOS_PER_SEC);
            let mut rows = all.clone();
            for row in &mut rows {
                row.bucket = now.secs() / 10;
            }
            ledger.absorb(now, &rows, &[]);
            let mut frame = ledger.begin_frame(now);
            while ledger.drain_frame(&mut frame, 1_000) {}
            frame.finish().len()
        });
    });
    group.finish();
}

fn month(c: &mut Criterion) {
    let mut house = house();
    let mut now = UnixNanos::from_secs(START);
    for _ in 0..31 * 288 {
        now = now.plus_secs(300);
        for back in (0..300).step_by(10) {
            house
                .ledger
                .get_mut()
                .unwrap()
                .absorb(now, &batch(0..2, now.minus_secs(back + 10)), &[]);
        }
        house.keeper.tick(now, &house.ledger).unwrap();
    }
    let ledger = house.ledger.get_mut().unwrap();
    for cohort in [0, 1] {
        eprintln!(
            "a busy series: {:?} bytes",
            ledger.series_bytes(OBJECTIVE, CohortId(cohort))
        );
    }
    c.bench_function("sum over 30 d", |b| {
        b.iter(|| {
            ledger
                .sum(OBJECTIVE, CohortId(0), now, 2_592_000, &*house.store)
                .unwrap()
        });
    });
    c.bench_function("view of 8 windows", |b| {
        b.iter(|| ledger.view(OBJECTIVE, CohortId(0)));
    });
}

criterion_group!(benches, absorb, tick, month);
criterion_main!(benches);
