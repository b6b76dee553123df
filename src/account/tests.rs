//! Claims about accounts: that keeping sums ends where a walk over everything would.

use super::*;
use crate::budget::{
    Calendar, CalendarUnit, EmptySlice, Method, Part, Period, RATIO_ONE, SliceRule, Slices, Span, covers,
    zone,
};
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId, Registry};
use crate::config::Cohorts;
use crate::ledger::{Counts, Ledger, LedgerLimits, SeriesDelta, SeriesView, WindowPlan};
use crate::store::{Keeper, MemStore, Names, Store};
use crate::time::UnixNanos;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const DAY: u64 = 86_400;
/// Two days before the clocks of Berlin go forward, in the last days of a month.
const T0: u64 = 1_774_569_600;

/// A ledger, a store, accounts, and the truth beside them.
struct House {
    registry: Arc<Registry>,
    store: Arc<MemStore>,
    ledger: Mutex<Ledger>,
    keeper: Keeper,
    accounts: Accounts,
    plan: WindowPlan,
    /// Bucket of ten seconds -> counts, of each service.
    truth: Vec<BTreeMap<u64, Counts>>,
    specs: Vec<(Key, Spec)>,
}

const SERVICES: [&str; 2] = ["a", "b"];

impl House {
    fn new(windows: &[u64], now: u64) -> Self {
        let registry = Arc::new(Registry::new(&Cohorts::default()));
        let plan = WindowPlan::new(windows, &[300]).unwrap();
        let store = Arc::new(MemStore::default());
        let (ledger, keeper) = Self::restore(&registry, &store, &plan, now);
        Self {
            registry,
            store,
            ledger: Mutex::new(ledger),
            keeper,
            accounts: Accounts::new(10),
            plan,
            truth: vec![BTreeMap::new(); SERVICES.len()],
            specs: Vec::new(),
        }
    }

    fn restore(
        registry: &Arc<Registry>,
        store: &Arc<MemStore>,
        plan: &WindowPlan,
        now: u64,
    ) -> (Ledger, Keeper) {
        let mut ledger = Ledger::new(
            LedgerLimits::default(),
            plan.clone(),
            Arc::<Registry>::clone(registry),
        );
        let names: Arc<dyn Names> = Arc::<Registry>::clone(registry);
        let store: Arc<dyn Store> = Arc::<MemStore>::clone(store);
        let (keeper, _) = Keeper::restore(store, names, &mut ledger, UnixNanos::from_secs(now)).unwrap();
        (ledger, keeper)
    }

    /// The process ends and begins again: memory is gone, the store is there.
    fn restart(&mut self, now: u64) {
        let (ledger, keeper) = Self::restore(&self.registry, &self.store, &self.plan, now);
        (*self.ledger.lock().unwrap(), self.keeper) = (ledger, keeper);
        self.accounts = Accounts::new(10);
        for (key, spec) in self.specs.clone() {
            self.accounts.open(key, spec, &[]);
        }
    }

    fn key(&self, service: usize) -> Key {
        let cohort = self.registry.restore(&CohortKey {
            service: SERVICES[service].into(),
            environment: None,
            level: Level::Total,
        });
        let objective = self
            .registry
            .objective_id(SERVICES[service], "availability", &mut Vec::new());
        (objective, cohort)
    }

    fn open(&mut self, key: Key, spec: Spec) {
        self.accounts.open(key, spec.clone(), &[]);
        self.specs.retain(|(k, _)| *k != key);
        self.specs.push((key, spec));
    }

    fn count(&mut self, now: u64, service: usize, at: u64, good: u64, bad: u64) {
        let (objective, cohort) = self.key(service);
        let counts = Counts { good, bad };
        let delta = SeriesDelta {
            objective,
            cohort,
            bucket: at / 10,
            counts,
        };
        self.ledger
            .lock()
            .unwrap()
            .absorb(UnixNanos::from_secs(now), &[delta], &[]);
        // No event at all is nothing to be born by.
        if !counts.is_zero() {
            self.truth[service].entry(at / 10).or_default().add(counts);
        }
    }

    fn tick(&mut self, now: u64) -> Vec<SeriesView> {
        let now = UnixNanos::from_secs(now);
        self.keeper.tick(now, &self.ledger).unwrap();
        let mut views = Vec::new();
        while self.ledger.lock().unwrap().changed(now, 1000, &mut views) {}
        let (_, outcome) = self.accounts.update(now, &views, &self.ledger, &*self.store);
        outcome.unwrap();
        views
    }

    fn between(&self, service: usize, from: u64, to: u64) -> Counts {
        let mut sum = Counts::default();
        let to = to.max(from);
        self.truth[service]
            .range(from / 10..to.div_ceil(10))
            .for_each(|(_, &c)| sum.add(c));
        sum
    }

    /// What the slices of [from, to) amount to, by walking over all of them.
    fn naive(&self, spec: &Spec, services: &[usize], from: u64, to: u64) -> Slices {
        let slice = spec.rule.slice_secs;
        let born = services.iter().filter_map(|&s| self.truth[s].keys().next()).min();
        let born = born.map_or(u64::MAX, |bucket| bucket * 10 - bucket * 10 % slice);
        let mut sum = Slices::default();
        for start in (from..to).step_by(usize::try_from(slice).unwrap()) {
            if start < born {
                continue;
            }
            let counts: Vec<_> = services
                .iter()
                .map(|&s| self.between(s, start, start + slice))
                .collect();
            sum += spec
                .rule
                .judge(&spec.parts, &counts, covers(&spec.excluded, start));
        }
        sum
    }
}

fn part(target: &str, weight: u32) -> Part {
    Part {
        slice_target: target.parse().unwrap(),
        weight,
    }
}

fn sliced(house: &House, services: &[usize], method: Method, slice_secs: u64, period: Period) -> Spec {
    Spec {
        members: services.iter().map(|&s| house.key(s)).collect(),
        parts: services.iter().map(|_| part("95%", 1)).collect(),
        rule: SliceRule {
            method,
            slice_secs,
            empty: EmptySlice::Good,
        },
        period,
        windows: vec![300, 3600, 6 * 3600, 3 * DAY],
        excluded: Vec::new(),
    }
}

fn berlin(unit: CalendarUnit) -> Period {
    Period::Calendar(Calendar::new(unit, zone("Europe/Berlin").unwrap()))
}

fn period_from(spec: &Spec, now: u64) -> u64 {
    match &spec.period {
        Period::Rolling { secs } => now - now % spec.rule.slice_secs - secs,
        Period::Calendar(c) => c.around(UnixNanos::from_secs(now)).unwrap().0,
    }
}

#[track_caller]
fn check(house: &House, key: Key, spec: &Spec, services: &[usize], now: u64) {
    let figures = house.accounts.figures(key).expect("figures");
    let over = now - now % spec.rule.slice_secs;
    let period = figures.period.expect("a period");
    let from = period_from(spec, now);
    assert_eq!(period.from.secs(), from);
    assert_eq!(
        period.sum,
        house.naive(spec, services, from, over),
        "period at {now}"
    );
    for window in &figures.windows {
        let want = house.naive(spec, services, over - window.window_secs, over);
        assert_eq!(window.sum, want, "{} s at {now}", window.window_secs);
    }
}

#[test]
fn slices_of_the_ring_the_store_and_the_present_amount_to_a_walk_over_all() {
    let mut house = House::new(&[300, 3600], T0);
    let mut random = fastrand::Rng::with_seed(7);
    let key = house.key(0);
    let mut spec = sliced(
        &house,
        &[0],
        Method::Timeslices,
        300,
        Period::Rolling { secs: 2 * DAY },
    );
    spec.excluded = vec![Span {
        from: T0 + 7200,
        to: T0 + 10_800,
    }];
    house.open(key, spec.clone());
    let mut now = T0;
    while now < T0 + 3 * DAY {
        now += random.u64(20..900);
        let (good, bad) = (random.u64(0..40), random.u64(0..3));
        // Some events are late, by up to six minutes.
        house.count(now, 0, now - random.u64(0..300), good, bad);
        house.tick(now);
        check(&house, key, &spec, &[0], now);
        if random.u8(..) == 0 {
            house.restart(now);
            house.tick(now);
            house.tick(now);
            check(&house, key, &spec, &[0], now);
        }
    }
    let sum = house.accounts.figures(key).unwrap().period.unwrap().sum;
    assert!(
        sum.bad > 50 && sum.good > 50 && sum.empty > 20,
        "{sum:?} shows all sorts of slices"
    );
}

#[test]
fn a_day_of_the_clock_change_is_23_hours_of_minutes() {
    let mut house = House::new(&[300, 3600], T0);
    let key = house.key(0);
    let mut spec = sliced(&house, &[0], Method::Timeslices, 60, berlin(CalendarUnit::Day));
    spec.windows = vec![300, 3600];
    house.open(key, spec.clone());
    let mut lengths = Vec::new();
    let mut now = T0;
    while now < T0 + 4 * DAY {
        now += 1_740;
        house.count(now, 0, now - 7, 3, u64::from(now.is_multiple_of(7)));
        house.tick(now);
        check(&house, key, &spec, &[0], now);
        let period = house.accounts.figures(key).unwrap().period.unwrap();
        lengths.push((period.window_secs, period.slices));
        assert_eq!(
            period.until.unwrap().secs(),
            period.from.secs() + period.window_secs
        );
    }
    lengths.dedup();
    let hours: Vec<_> = lengths
        .iter()
        .map(|(secs, slices)| (secs / 3600, slices / 60))
        .collect();
    assert!(
        hours.contains(&(23, 23)) && hours.contains(&(24, 24)),
        "{hours:?}"
    );
}

#[test]
fn a_calendar_month_of_events_begins_anew_and_leaves_maintenance_out() {
    let mut house = House::new(&[300, 3600], T0);
    let key = house.key(0);
    let turn = 1_774_994_400; // the first of April in Berlin
    let excluded = vec![Span {
        from: turn + 3600,
        to: turn + 7200,
    }];
    let spec = Spec {
        windows: Vec::new(),
        excluded: excluded.clone(),
        ..sliced(
            &house,
            &[0],
            Method::Occurrences,
            300,
            berlin(CalendarUnit::Month),
        )
    };
    house.open(key, spec);
    for step in 0..3_000_u64 {
        let now = turn - 60_000 + step * 60;
        house.count(now, 0, now - step % 300, 5, step % 3);
        house.tick(now);
        if step % 37 != 0 {
            continue;
        }
        let period = house.accounts.figures(key).unwrap().period.unwrap();
        let from = if now < turn { 1_772_319_600 } else { turn };
        assert_eq!((period.from.secs(), period.to.secs()), (from, now));
        let mut out = Counts::default();
        for span in &excluded {
            out.add(house.between(0, span.from, span.to.min(now)));
        }
        assert_eq!(period.sum.excluded, out, "at {now}");
        let mut all = house.between(0, from, now);
        let kept = period.sum.kept;
        all = Counts {
            good: all.good - out.good,
            bad: all.bad - out.bad,
        };
        assert_eq!(kept, all, "at {now}");
    }
}

#[test]
fn what_is_excluded_of_a_window_is_exact_for_the_interval_that_it_states() {
    let windows = [10, 60, 300, 3600, 7200, 6 * 3600, DAY, 30 * DAY];
    let mut house = House::new(&windows, T0);
    let key = house.key(0);
    let excluded = vec![
        Span {
            from: T0 + 3600,
            to: T0 + 5400,
        },
        Span {
            from: T0 + 40_000,
            to: T0 + 90_000,
        },
    ]
    .into_iter()
    .map(|s| Span {
        from: s.from - s.from % 300,
        to: s.to.div_ceil(300) * 300,
    })
    .collect::<Vec<_>>();
    let spec = Spec {
        windows: Vec::new(),
        excluded: excluded.clone(),
        ..sliced(
            &house,
            &[0],
            Method::Occurrences,
            300,
            Period::Rolling { secs: 30 * DAY },
        )
    };
    house.open(key, spec);
    let mut random = fastrand::Rng::with_seed(11);
    let mut now = T0;
    let mut partial = 0;
    while now < T0 + 3 * DAY {
        now += random.u64(10..400);
        house.count(
            now,
            0,
            now - random.u64(0..300),
            random.u64(0..9),
            random.u64(0..4),
        );
        let views = house.tick(now);
        let figures = house.accounts.figures(key).unwrap();
        for window in views.iter().flat_map(|v| &v.windows) {
            let reached = figures.window(window.window_secs).unwrap();
            assert_eq!(reached.from, window.from);
            let mut want = Counts::default();
            for span in &excluded {
                let (from, to) = (span.from.max(window.from.secs()), span.to.min(now));
                if from < to {
                    want.add(house.between(0, from, to));
                    partial += u32::from(from > span.from);
                }
            }
            assert_eq!(reached.sum.excluded, want, "{} s at {now}", window.window_secs);
        }
    }
    assert!(partial > 100, "edges lay within exclusions {partial} times");
}

#[test]
fn a_slice_of_two_services_is_bad_when_one_of_them_is() {
    let mut house = House::new(&[300, 3600], T0);
    let key = (ObjectiveId(u32::MAX), CohortId(u32::MAX));
    let mut spec = sliced(
        &house,
        &[0, 1],
        Method::RatioTimeslices,
        300,
        Period::Rolling { secs: DAY },
    );
    spec.parts = vec![part("99%", 3), part("90%", 1)];
    house.open(key, spec.clone());
    let mut random = fastrand::Rng::with_seed(3);
    let mut now = T0;
    while now < T0 + 30 * 3600 {
        now += random.u64(100..1200);
        let service = usize::from(random.bool());
        house.count(
            now,
            service,
            now - random.u64(0..200),
            random.u64(0..50),
            random.u64(0..5),
        );
        house.tick(now);
        check(&house, key, &spec, &[0, 1], now);
    }
    let sum = house.accounts.figures(key).unwrap().period.unwrap().sum;
    assert!(sum.misses > 0 && sum.misses < RATIO_ONE * u128::from(sum.counted()));
}

#[test]
fn slices_before_the_first_event_are_neither_good_nor_bad() {
    for empty in EmptySlice::ALL {
        let mut house = House::new(&[300, 3600], T0);
        let key = house.key(0);
        let mut spec = sliced(
            &house,
            &[0],
            Method::Timeslices,
            300,
            Period::Rolling { secs: 10 * DAY },
        );
        spec.rule.empty = empty;
        house.open(key, spec);
        house.count(T0 + 1_000, 0, T0 + 1_000, 9, 0);
        house.tick(T0 + 1_000);
        house.tick(T0 + 4_000);
        let period = house.accounts.figures(key).unwrap().period.unwrap();
        // The slice of the event and the nine that followed it.
        let (counted, bad) = match empty {
            EmptySlice::Good => (10, 0),
            EmptySlice::Bad => (10, 9),
            EmptySlice::Exclude => (1, 0),
        };
        assert_eq!(
            (period.sum.counted(), period.sum.bad, period.sum.empty),
            (counted, bad, 9),
            "{empty:?}"
        );
        let in_all = 10 * DAY / 300 - if empty == EmptySlice::Exclude { 9 } else { 0 };
        assert_eq!(period.slices, in_all, "the budget is that of the whole period");
    }
}

#[test]
fn another_specification_is_another_account_and_the_limit_holds() {
    let mut house = House::new(&[300, 3600], T0);
    house.accounts = Accounts::new(1);
    let (a, b) = (house.key(0), house.key(1));
    let spec = |house: &House, secs| sliced(house, &[0], Method::Timeslices, 300, Period::Rolling { secs });
    let (day, week) = (spec(&house, DAY), spec(&house, 7 * DAY));
    house.open(a, day.clone());
    house.open(b, day);
    assert_eq!(house.accounts.len(), (1, 1));
    house.count(T0 + 400, 0, T0 + 400, 1, 1);
    house.tick(T0 + 700);
    assert_eq!(
        house.accounts.figures(a).unwrap().period.unwrap().window_secs,
        DAY
    );
    house.open(a, week);
    assert!(house.accounts.figures(a).is_none(), "made anew");
    house.tick(T0 + 701);
    assert_eq!(
        house.accounts.figures(a).unwrap().period.unwrap().window_secs,
        7 * DAY
    );
    assert!(house.accounts.close(a) && !house.accounts.close(a));
    let rest = house.specs[1].1.clone();
    house.accounts.open(b, rest, &[]);
    assert_eq!(house.accounts.len(), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_traffic_over_any_calendar_amounts_to_a_walk_over_all(
        seed in any::<u64>(),
        start in 1_700_000_000..1_800_000_000_u64,
        unit in prop::sample::select(vec![CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month]),
        name in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
        method in prop::sample::select(vec![Method::Timeslices, Method::RatioTimeslices]),
        empty in prop::sample::select(EmptySlice::ALL.to_vec()),
    ) {
        let start = start - start % 300;
        let mut house = House::new(&[300, 3600], start);
        let key = house.key(0);
        let period = Period::Calendar(Calendar::new(unit, zone(name).unwrap()));
        let mut spec = sliced(&house, &[0], method, 300, period);
        spec.rule.empty = empty;
        spec.excluded = vec![Span { from: start + 9_000, to: start + 30_000 }];
        house.open(key, spec.clone());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut now = start;
        for _ in 0..60 {
            now += if random.u8(..) < 20 { random.u64(3_600..50_000) } else { random.u64(10..2_000) };
            house.count(now, 0, now - random.u64(0..340), random.u64(0..30), random.u64(0..4));
            if random.u8(..) < 12 {
                house.tick(now);
                house.restart(now);
            }
            // The second tick has what the first asked the store for.
            house.tick(now);
            house.tick(now);
            check(&house, key, &spec, &[0], now);
        }
    }
}
