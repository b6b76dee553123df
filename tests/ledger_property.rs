//! The ledger against a list of events: whatever happens, the running sums, the sums on demand and the list agree.

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

mod ledger_support;

use burngate::cohort::CohortId;
use burngate::ledger::{Counts, LATE_SECS, SumError};
use burngate::store::{MemStore, RedbStore, Store};
use burngate::time::{NANOS_PER_SEC, UnixNanos};
use ledger_support::{House, OBJECTIVE, TOTALS, plan};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

const START: u64 = 1_800_000_123;
const WINDOWS: [u64; 14] = [
    10, 60, 300, 1_800, 3_600, 7_200, 7_210, 10_000, 21_600, 86_400, 259_200, 300_010, 604_800, 2_592_000,
];

#[derive(Clone, Debug)]
enum Step {
    /// Events so many seconds from now.
    Absorb {
        cohort: u8,
        offset_secs: i64,
        good: u64,
        bad: u64,
    },
    /// Takes a part of an event out again, which is known by its place from the end.
    Retract {
        cohort: u8,
        back: usize,
        good: u64,
        bad: u64,
    },
    Advance {
        nanos: u64,
    },
    /// To the next multiple of five minutes.
    Align,
    StepBack {
        secs: u64,
    },
    Tick,
    Restart,
    Crash,
    Idle,
    NewPlan {
        seed: u64,
    },
    Check {
        window: u64,
        back_secs: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let counts = prop_oneof![8 => 0u64..50, 1 => 60_000u64..70_000, 1 => (1u64 << 32) - 2..(1u64 << 33)];
    let absorb = (
        0u8..4,
        prop_oneof![6 => -20i64..5, 2 => -450i64..0, 1 => 0i64..90],
        counts,
        0u64..9,
    )
        .prop_map(|(cohort, offset_secs, good, bad)| Step::Absorb {
            cohort,
            offset_secs,
            good,
            bad,
        });
    let retract =
        (2u8..4, 0usize..4, 0u64..70_000, 0u64..9).prop_map(|(cohort, back, good, bad)| Step::Retract {
            cohort,
            back,
            good,
            bad,
        });
    let advance = prop_oneof![
        8 => 0..30 * NANOS_PER_SEC,
        3 => (0u64..40).prop_map(|n| n * 10 * NANOS_PER_SEC),
        3 => 0..1_200 * NANOS_PER_SEC,
        2 => 0..10_000 * NANOS_PER_SEC,
        1 => 0..100_000 * NANOS_PER_SEC,
        1 => 0..700_000 * NANOS_PER_SEC,
    ];
    let window = prop_oneof![proptest::sample::select(WINDOWS.to_vec()), 10u64..300_000];
    let back = prop_oneof![3 => Just(0u64), 1 => 0u64..7_000, 1 => 0u64..400_000];
    let step = prop_oneof![
        12 => absorb,
        4 => retract,
        8 => advance.prop_map(|nanos| Step::Advance { nanos }),
        2 => Just(Step::Align),
        1 => (0u64..10_000).prop_map(|secs| Step::StepBack { secs }),
        6 => Just(Step::Tick),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        1 => Just(Step::Idle),
        1 => any::<u64>().prop_map(|seed| Step::NewPlan { seed }),
        3 => (window, back).prop_map(|(window, back_secs)| Step::Check { window, back_secs }),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The list of events, and what of it a crash cannot take.
#[derive(Default)]
struct Model {
    events: HashMap<u32, Vec<(u64, Counts)>>,
    durable: HashMap<u32, Vec<(u64, Counts)>>,
}

impl Model {
    fn sum(&self, cohort: u32, from: UnixNanos, to: UnixNanos) -> Counts {
        let mut sum = Counts::default();
        for &(bucket, counts) in self.events.get(&cohort).into_iter().flatten() {
            let start = UnixNanos::from_secs(bucket * 10);
            if start >= from && start < to {
                sum.good += counts.good;
                sum.bad += counts.bad;
            }
        }
        sum
    }

    fn commit(&mut self) {
        self.durable.clone_from(&self.events);
    }

    fn crash(&mut self) {
        for (cohort, events) in &mut self.events {
            *events = self.durable.get(cohort).cloned().unwrap_or_default();
        }
    }
}

struct Run {
    house: House,
    model: Model,
    windows: Vec<u64>,
    now: UnixNanos,
    reopen: Box<dyn Fn(&mut Option<Arc<dyn Store>>) -> Arc<dyn Store>>,
}

impl Run {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Absorb {
                cohort,
                offset_secs,
                good,
                bad,
            } => self.absorb(cohort, offset_secs, good, bad),
            Step::Retract {
                cohort,
                back,
                good,
                bad,
            } => self.retract(cohort, back, Counts { good, bad }),
            Step::Advance { nanos } => {
                self.now = UnixNanos(self.now.0 + nanos);
                self.check_views(false);
            }
            Step::Align => {
                self.now = UnixNanos::from_secs((self.now.secs() / 300 + 1) * 300);
                self.tick();
                self.check_views(true);
            }
            Step::StepBack { secs } => {
                self.house
                    .ledger
                    .lock()
                    .unwrap()
                    .absorb(self.now.minus_secs(secs), &[], &[]);
                self.check_views(false);
            }
            Step::Tick => {
                self.tick();
                self.check_views(true);
            }
            Step::Restart => {
                self.tick();
                self.restart();
            }
            Step::Crash => {
                self.model.crash();
                self.restart();
            }
            Step::Idle => {
                for _ in 0..3 {
                    self.house.ledger.lock().unwrap().idle(self.now);
                }
            }
            Step::NewPlan { seed } => {
                let keep = |i: usize| seed >> i & 1 == 0;
                self.windows = WINDOWS
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| keep(*i))
                    .map(|(_, &w)| w)
                    .collect();
                self.house
                    .ledger
                    .lock()
                    .unwrap()
                    .set_plan(OBJECTIVE, plan(&self.windows));
                self.check_views(false);
            }
            Step::Check { window, back_secs } => self.check_sums(window, back_secs),
        }
    }

    fn absorb(&mut self, cohort: u8, offset_secs: i64, good: u64, bad: u64) {
        let cohort = if cohort < 2 {
            u32::from(cohort)
        } else {
            TOTALS + u32::from(cohort)
        };
        let bucket = self.now.secs().saturating_add_signed(offset_secs) / 10;
        self.house.absorb(self.now, cohort, bucket, good, bad);
        let (oldest, newest) = ((self.now.secs() - LATE_SECS) / 10, (self.now.secs() + 60) / 10);
        let placed = if (oldest..=newest).contains(&bucket) {
            bucket
        } else {
            self.now.secs() / 10
        };
        self.model
            .events
            .entry(cohort)
            .or_default()
            .push((placed, Counts { good, bad }));
    }

    fn retract(&mut self, cohort: u8, back: usize, part: Counts) {
        let cohort = TOTALS + u32::from(cohort);
        let live = self.house.view(cohort).is_some();
        let Some(event) = self.model.events.get_mut(&cohort).and_then(|all| {
            let at = all.len().checked_sub(back + 1)?;
            all.get_mut(at)
        }) else {
            return;
        };
        let open = (self.now.secs() - LATE_SECS) / 10..=(self.now.secs() + 60) / 10;
        if !live || !open.contains(&event.0) {
            return;
        }
        let part = Counts {
            good: part.good.min(event.1.good),
            bad: part.bad.min(event.1.bad),
        };
        event.1.good -= part.good;
        event.1.bad -= part.bad;
        let bucket = event.0;
        self.house.retract(self.now, cohort, bucket, part);
    }

    fn tick(&mut self) {
        // Two: the first seals what a jump left behind, the second finds every window complete.
        self.house.tick(self.now);
        self.house.tick(self.now);
        self.model.commit();
    }

    fn restart(&mut self) {
        let mut old = Some(Arc::clone(&self.house.store));
        let spare: Arc<dyn Store> = Arc::new(MemStore::new());
        // Every handle on the old store must go before the file can be opened again.
        self.house = House::open(spare, &plan(&self.windows), self.now);
        let store = (self.reopen)(&mut old);
        self.house = House::open(store, &plan(&self.windows), self.now);
        self.check_views(false);
    }

    /// Every running sum is what the list says of the interval that it states; complete ones state the right interval.
    fn check_views(&mut self, complete: bool) {
        self.house.changed(self.now);
        for (&cohort, events) in &self.model.events {
            let Some(view) = self.house.view(cohort) else {
                continue;
            };
            let mut lifetime = Counts::default();
            for (_, c) in events {
                lifetime.good += c.good;
                lifetime.bad += c.bad;
            }
            let gap = events
                .windows(2)
                .any(|pair| pair[1].0.saturating_sub(pair[0].0) > 25_920);
            if complete && !gap {
                // Of a cohort that returns after a day, the past is known with the next tick; after three, not at all.
                assert_eq!(view.lifetime, lifetime, "lifetime of {cohort}");
            }
            for sum in view.windows {
                assert_eq!(sum.to, self.now);
                let want = self.model.sum(cohort, sum.from, sum.to);
                assert_eq!(sum.counts, want, "cohort {cohort}, {sum:?} at {}", self.now.0);
                if complete {
                    assert_eq!(
                        sum.from,
                        far_edge(self.now, sum.window_secs, sum.window_secs),
                        "{sum:?}"
                    );
                }
            }
        }
    }

    fn check_sums(&mut self, window: u64, back_secs: u64) {
        self.tick();
        self.check_views(true);
        let t = self.now.minus_secs(back_secs);
        let ledger = self.house.ledger.lock().unwrap();
        for &cohort in self.model.events.keys() {
            let reach = if cohort < TOTALS { 400 * 86_400 } else { 259_200 };
            let age = window + back_secs;
            match ledger.sum(OBJECTIVE, CohortId(cohort), t, window, &*self.house.store) {
                Ok(sum) => {
                    assert!(age <= reach);
                    assert_eq!(sum.from, far_edge(t, window, age), "{sum:?}");
                    assert!(
                        sum.to >= t && sum.to <= self.now && sum.to.0 - t.0 < 300 * NANOS_PER_SEC,
                        "{sum:?}"
                    );
                    let want = self.model.sum(cohort, sum.from, sum.to);
                    assert_eq!(sum.counts, want, "cohort {cohort}, {sum:?} at {}", self.now.0);
                }
                Err(SumError::OutOfReach { .. }) => assert!(age > reach),
                Err(SumError::Unknown) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// `t - w`, rounded down to the tier that holds what is `age` old.
fn far_edge(t: UnixNanos, window: u64, age: u64) -> UnixNanos {
    let width = match age {
        0..=7_200 => 10,
        7_201..=259_200 => 60,
        _ => 300,
    };
    UnixNanos::from_secs(t.minus_secs(window).secs() / width * width)
}

fn run(
    steps: &[Step],
    store: Arc<dyn Store>,
    reopen: Box<dyn Fn(&mut Option<Arc<dyn Store>>) -> Arc<dyn Store>>,
) {
    let now = UnixNanos::from_secs(START);
    let house = House::open(store, &plan(&WINDOWS), now);
    let mut run = Run {
        house,
        model: Model::default(),
        windows: WINDOWS.to_vec(),
        now,
        reopen,
    };
    for step in steps {
        run.step(step);
    }
    run.tick();
    run.check_views(true);
}

fn cases(everyday: u32) -> ProptestConfig {
    let long = std::env::var_os("BURNGATE_LONG").is_some();
    ProptestConfig {
        cases: if long { everyday * 20 } else { everyday },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(300))]
    #[test]
    fn sums_equal_the_list_of_events_whatever_happens(steps in steps()) {
        let store: Arc<dyn Store> = Arc::new(MemStore::new());
        run(&steps, store, Box::new(|old| old.take().expect("a store")));
    }
}

proptest! {
    #![proptest_config(cases(12))]
    #[test]
    fn sums_equal_the_list_of_events_on_disk(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path).unwrap());
        run(&steps, store, Box::new(move |old| {
            drop(old.take());
            Arc::new(RedbStore::open(&path).unwrap())
        }));
    }
}
