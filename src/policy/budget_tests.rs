//! Claims about what a budget is and how it is counted: from a policy's text to figures and alerts.

use super::*;
use crate::account::Accounts;
use crate::budget::{Confidence, Method, Period};
use crate::cohort::{CohortKey, Level, Registry};
use crate::config::Cohorts;
use crate::ledger::{Counts, Ledger, LedgerLimits, SeriesDelta, WeightDelta, Weights, WindowPlan};
use crate::sli::ObjectiveName;
use crate::store::{Keeper, MemStore, Names as StoreNames, Store};
use crate::time::UnixNanos;
use std::sync::{Arc, Mutex};

/// A multiple of an hour.
const T0: u64 = 1_794_999_600;
const DAY: u64 = 86_400;

/// The tick of a gateway in simulated time, for one policy text.
struct World {
    policies: PolicySet,
    registry: Arc<Registry>,
    store: Arc<MemStore>,
    ledger: Mutex<Ledger>,
    keeper: Keeper,
    accounts: Accounts,
    evaluator: Evaluator,
    corrections: Vec<Correction>,
}

impl World {
    fn new(policy: &str) -> Self {
        let policies = from_text("p.yaml", policy).unwrap();
        let registry = Arc::new(Registry::new(&Cohorts::default()));
        let plan = WindowPlan::new(&[300, 3600], &[300]).unwrap();
        let mut ledger = Ledger::new(LedgerLimits::default(), plan, Arc::<Registry>::clone(&registry));
        for spec in policies.objectives() {
            let id = registry.objective_id(&spec.name.service, &spec.name.slo, &mut Vec::new());
            ledger.set_plan(id, policies.plan(&spec.name).unwrap());
        }
        let store = Arc::new(MemStore::default());
        let names: Arc<dyn StoreNames> = Arc::<Registry>::clone(&registry);
        let kept: Arc<dyn Store> = Arc::<MemStore>::clone(&store);
        let (keeper, _) = Keeper::restore(kept, names, &mut ledger, UnixNanos::from_secs(T0)).unwrap();
        Self {
            policies,
            registry,
            store,
            ledger: Mutex::new(ledger),
            keeper,
            accounts: Accounts::new(100),
            evaluator: Evaluator::new(Arc::new(Board::new())),
            corrections: Vec::new(),
        }
    }

    fn key(&self, service: &str, slo: &str) -> SeriesKey {
        let cohort = self.registry.restore(&CohortKey {
            service: service.into(),
            environment: None,
            level: Level::Total,
        });
        (self.registry.objective_id(service, slo, &mut Vec::new()), cohort)
    }

    fn count(&self, now: u64, (service, slo): (&str, &str), good: u64, bad: u64) {
        let (objective, cohort) = self.key(service, slo);
        let counts = Counts { good, bad };
        // The bucket that ends now.
        let delta = SeriesDelta {
            objective,
            cohort,
            bucket: (now - 1) / 10,
            counts,
        };
        self.ledger
            .lock()
            .unwrap()
            .absorb(UnixNanos::from_secs(now), &[delta], &[]);
    }

    /// The same of events that each stand for `weight`.
    fn count_sampled(&self, now: u64, of: (&str, &str), seen: Counts, weight: u64) {
        self.count(now, of, seen.good, seen.bad);
        let (objective, cohort) = self.key(of.0, of.1);
        let times = |each: u64| Counts {
            good: seen.good * each,
            bad: seen.bad * each,
        };
        let delta = WeightDelta {
            objective,
            cohort,
            cell: None,
            bucket: (now - 1) / 10,
            weights: Weights {
                excess: times((weight - 1) << 16),
                variance: times((weight * (weight - 1)) << 4),
            },
        };
        self.ledger
            .lock()
            .unwrap()
            .absorb_weights(UnixNanos::from_secs(now), &[delta]);
    }

    fn tick(&mut self, now: u64) {
        let now = UnixNanos::from_secs(now);
        self.keeper.tick(now, &self.ledger).unwrap();
        let mut views = Vec::new();
        while self.ledger.lock().unwrap().changed(now, 1000, &mut views) {}
        for view in &views {
            let key = (view.objective, view.cohort);
            let name = self.registry.objective(view.objective).unwrap();
            if let Some((_, slo)) = self.policies.find(&name, None) {
                let ours = self
                    .corrections
                    .iter()
                    .filter(|c| c.concerns(&name.service, &name.slo, None));
                match slo.account(now, key, ours) {
                    Some(spec) => self.accounts.open(key, spec, &view.windows),
                    None => drop(self.accounts.close(key)),
                }
            }
        }
        for (number, (_, composite)) in self.policies.composites().enumerate() {
            let keys: Vec<_> = composite
                .members
                .iter()
                .map(|m| self.key(&m.service, &m.slo))
                .collect();
            if composite.slo.budgeting.is_sliced() {
                let spec = composite.account(now, keys, std::iter::empty());
                self.accounts.open(composite_key(number), spec, &[]);
            } else {
                for (at, (member, key)) in composite.members.iter().zip(keys).enumerate() {
                    let spec = self
                        .policies
                        .member_account(now, composite, member, key, std::iter::empty());
                    if let Some(spec) = spec {
                        self.accounts.open(member_key(number, at), spec, &[]);
                    }
                }
            }
        }
        let (touched, outcome) = self.accounts.update(now, &views, &self.ledger, &*self.store);
        outcome.unwrap();
        let accounts = (&self.accounts, touched.as_slice());
        self.evaluator
            .apply_with(now, &views, self.registry.as_ref(), &self.policies, accounts);
        let registry = Arc::clone(&self.registry);
        let series = |m: &Member| {
            let cohort = registry.find(&CohortKey {
                service: Arc::clone(&m.service),
                environment: None,
                level: Level::Total,
            })?;
            Some((registry.objective_id(&m.service, &m.slo, &mut Vec::new()), cohort))
        };
        self.evaluator
            .composites(now, &self.policies, &series, &self.accounts);
    }

    /// So many minutes of `good` and `bad` events each, evaluated every minute, up to `until`.
    fn minutes(&mut self, from: u64, until: u64, of: (&str, &str), good: u64, bad: u64) {
        for now in (from..until).step_by(60) {
            self.count(now + 60, of, good, bad);
            self.tick(now + 60);
        }
    }

    fn status(&self, service: &str, slo: &str) -> Arc<BudgetStatus> {
        let (objective, cohort) = self.key(service, slo);
        self.evaluator.board().get(objective, cohort).unwrap()
    }

    fn composite(&self) -> Arc<BudgetStatus> {
        let (objective, cohort) = composite_key(0);
        self.evaluator.board().get(objective, cohort).unwrap()
    }
}

const A: (&str, &str) = ("a", "availability");

fn state(status: &BudgetStatus, alert: &str) -> AlertState {
    status.alerts.iter().find(|a| &*a.name == alert).unwrap().state
}

#[track_caller]
fn near(got: Option<f64>, want: f64) {
    let got = got.expect("a figure");
    assert!(
        (got - want).abs() < 1e-9 * want.abs().max(1.0),
        "{got} is not {want}"
    );
}

/// The first problem, as printed.
fn refusal(text: &str) -> String {
    from_text("p.yaml", text).expect_err("should be refused").problems[0].to_string()
}

#[test]
fn bad_slices_spend_a_budget_of_time() {
    let mut world = World::new(
        "service: a\nwindow: 1d\nslos:\n  - name: availability\n    target: 95%\n\
         \x20   budgeting: { method: timeslices, slice: 5m, slice_target: 90% }\n",
    );
    world.minutes(T0, T0 + 3600, A, 10, 0);
    // A quarter of an hour of which every event fails, but few.
    world.minutes(T0 + 3600, T0 + 4500, A, 0, 1);
    world.minutes(T0 + 4500, T0 + 7200, A, 10, 0);
    let status = world.status("a", "availability");
    let slices = status.detail.slices.unwrap();
    assert_eq!((slices.good, slices.bad, slices.empty), (21, 3, 0));
    assert_eq!(
        (status.method, status.slice_secs, status.detail.slices_in_all),
        (Method::Timeslices, Some(300), 288)
    );
    // 5 % of 288 slices are 14.4; three are spent, whatever the events.
    near(status.consumed, 3.0 / 14.4);
    near(status.remaining, 1.0 - 3.0 / 14.4);
    near(status.budget_minutes, 72.0);
    near(status.burn(7200), 3.0 / 24.0 / 0.05);
    near(status.burn(300), 0.0);
    // The burn of the window that the exhaustion assumes: 5 min of a day, rounded up to a slice.
    assert_eq!(
        (status.exhaustion_window_secs, status.time_to_exhaustion_secs),
        (300, None)
    );
}

#[test]
fn alerts_over_slices_fire_by_bad_slices() {
    let mut world = World::new(
        "service: a\nslos:\n  - name: availability\n    target: 99%\n\
         \x20   budgeting: { method: timeslices, slice_target: 99% }\n\
         \x20   alerts: [{ name: page, burn: \"1h > 14 and 5m > 14\" }]\n",
    );
    world.minutes(T0, T0 + 3600, A, 1000, 0);
    assert_eq!(
        state(&world.status("a", "availability"), "page"),
        AlertState::Healthy
    );
    // Each bad slice of twelve is a burn of 100/12: two are above 14.
    world.minutes(T0 + 3600, T0 + 3900, A, 90, 10);
    assert_eq!(
        state(&world.status("a", "availability"), "page"),
        AlertState::Healthy
    );
    world.minutes(T0 + 3900, T0 + 4200, A, 90, 10);
    assert_eq!(
        state(&world.status("a", "availability"), "page"),
        AlertState::FastBurn
    );
    world.minutes(T0 + 4200, T0 + 4500, A, 1000, 0);
    assert_eq!(
        state(&world.status("a", "availability"), "page"),
        AlertState::Healthy,
        "the short window ends it"
    );
}

#[test]
fn a_calendar_budget_is_whole_again_at_the_turn() {
    // T0 is 2026-11-18T11:00Z; the day turns in Tokyo at 15:00Z.
    let mut world = World::new(
        "service: a\nwindow: { calendar: day, timezone: Asia/Tokyo }\nslos: [{ name: availability, target: 99% }]\n",
    );
    let turn = T0 + 4 * 3600;
    world.minutes(T0, turn - 60, A, 96, 4);
    let before = world.status("a", "availability");
    assert_eq!(before.detail.until, Some(UnixNanos::from_secs(turn)));
    assert_eq!(
        (before.period_secs, before.overall),
        (DAY, AlertState::BudgetExhausted)
    );
    near(before.consumed, 4.0);
    world.minutes(turn, turn + 600, A, 100, 0);
    let after = world.status("a", "availability");
    assert_eq!(after.period.unwrap().from, UnixNanos::from_secs(turn));
    assert_eq!(after.detail.until, Some(UnixNanos::from_secs(turn + DAY)));
    near(after.remaining, 1.0);
    assert!(after.burn(3600).unwrap() > 1.0, "windows know no turn");
}

#[test]
fn maintenance_and_corrections_leave_events_out_and_keep_them_in_sight() {
    let policy = "
service: a
slos: [{ name: availability, target: 99% }]
maintenance:
  - { name: patching, every: wednesday, from: \"11:30\", to: \"12:00\", reason: kernel, approved_by: anna }
";
    let mut world = World::new(policy);
    world.minutes(T0, T0 + 1800, A, 100, 0);
    world.minutes(T0 + 1800, T0 + 3000, A, 0, 100);
    let status = world.status("a", "availability");
    assert_eq!(status.maintenance.as_ref().map(|m| &*m.name), Some("patching"));
    assert_eq!(status.detail.excluded, Counts { good: 0, bad: 2000 });
    assert_eq!(
        status.period.unwrap().counts,
        Counts {
            good: 3000,
            bad: 2000
        },
        "the raw counts stay"
    );
    near(status.remaining, 1.0);
    assert_eq!(
        (status.burn(3600), status.overall),
        (Some(0.0), AlertState::Healthy)
    );
    assert_eq!(status.burn(300), None, "nothing that counts is no data");
    // An outage after it, which turns out to have been a test.
    world.minutes(T0 + 3600, T0 + 4200, A, 0, 100);
    assert_eq!(
        world.status("a", "availability").overall,
        AlertState::BudgetExhausted
    );
    world.corrections.push(Correction {
        id: "1".into(),
        service: "a".into(),
        slos: Vec::new(),
        environment: None,
        from: T0 + 3600,
        to: T0 + 4200,
        author: "ben".into(),
        reason: "load test".into(),
        created_at: None,
        withdrawn: None,
    });
    world.minutes(T0 + 4200, T0 + 4260, A, 100, 0);
    let status = world.status("a", "availability");
    assert_eq!(status.detail.excluded, Counts { good: 0, bad: 3000 });
    near(status.remaining, 1.0);
}

#[test]
fn a_peak_raises_thresholds_by_its_part_of_the_window() {
    let policy = |peak: &str| {
        format!(
            "service: a\n\
             slos: [{{ name: availability, target: 99%, alerts: [{{ name: page, burn: \"10m > 4\" }}] }}]\n\
             {peak}"
        )
    };
    let on = "peaks: [{ name: sale, from: 2026-11-18T11:10:00Z, to: 2026-11-18T13:00:00Z, burn_factor: 2, approved_by: cto }]\n\
     ";
    let burn_of_6 = |policy: &str| {
        let mut world = World::new(policy);
        world.minutes(T0, T0 + 600, A, 94, 6);
        let before = state(&world.status("a", "availability"), "page");
        // Half of the window lies in the peak: 4 becomes 6, and 6 is not above it.
        world.minutes(T0 + 600, T0 + 900, A, 94, 6);
        let within = world.status("a", "availability");
        (before, state(&within, "page"), within.peak.clone())
    };
    let (before, within, peak) = burn_of_6(&policy(on));
    assert_eq!((before, within), (AlertState::FastBurn, AlertState::Healthy));
    let peak = peak.unwrap();
    assert_eq!(
        (&*peak.name, &*peak.approved_by, peak.burn_factor),
        ("sale", "cto", 2.0)
    );
    let (before, within, peak) = burn_of_6(&policy(""));
    assert_eq!(
        (before, within, peak),
        (AlertState::FastBurn, AlertState::FastBurn, None)
    );
}

#[test]
fn further_targets_share_the_counts_and_have_alerts_of_their_own() {
    let mut world = World::new(
        "service: a\nslos:\n  - name: availability\n    target: 99%\n    targets:\n\
         \x20     - { name: stretch, target: 99.9%, alerts: [{ name: page, burn: \"5m > 10\" }] }\n\
         \x20     - { name: floor, target: 90% }\n",
    );
    world.minutes(T0, T0 + 600, A, 98, 2);
    let status = world.status("a", "availability");
    near(status.consumed, 2.0);
    let [stretch, floor] = status.targets.as_slice() else {
        panic!("two targets")
    };
    near(stretch.consumed, 20.0);
    near(floor.remaining, 0.8);
    assert!(stretch.exhausted && !floor.exhausted);
    assert_eq!(state(&status, "stretch:page"), AlertState::FastBurn);
}

#[test]
fn v33_few_bad_events_of_little_traffic_wake_nobody() {
    let policy = |rule: &str| {
        format!(
            "service: a\n\
             {rule}slos: [{{ name: availability, target: 99.9%, alerts: [{{ name: page, burn: \"1h > 14.4\" }}] }}]\n\
             "
        )
    };
    let two_of_twenty = |rule: &str| {
        let mut world = World::new(&policy(rule));
        world.minutes(T0, T0 + 600, A, 2, 0);
        world.count(T0 + 601, A, 0, 2);
        world.tick(T0 + 610);
        let status = world.status("a", "availability");
        (state(&status, "page"), status.alerts[0].held_back)
    };
    assert_eq!(two_of_twenty("").0, AlertState::FastBurn);
    let (held, why) = two_of_twenty("low_traffic: {}\n");
    assert_eq!(held, AlertState::Healthy);
    let why = why.unwrap();
    assert_eq!((why.bad, why.needed), (2, 3.0));
    assert_eq!(
        two_of_twenty("low_traffic: { min_bad: 2 }\n").0,
        AlertState::FastBurn
    );
}

#[test]
fn a_quiet_hour_needs_the_same_part_of_the_budget_as_a_busy_one() {
    let mut world = World::new(
        "service: a\nwindow: 1d\nlow_traffic: { min_bad: 1 }\n\
         slos: [{ name: availability, target: 99%, alerts: [{ name: page, burn: \"1h > 2.4\" }] }]\n",
    );
    // 60,000 events in an hour; 2.4 for an hour is a tenth of the day's budget of 600.
    world.minutes(T0, T0 + 3600, A, 1000, 0);
    world.minutes(T0 + 3600, T0 + 7260, A, 1, 0);
    world.count(T0 + 7300, A, 0, 40);
    world.tick(T0 + 7310);
    let status = world.status("a", "availability");
    assert!(status.burn(3600).unwrap() > 2.4);
    assert_eq!(state(&status, "page"), AlertState::Healthy);
    let held = status.alerts[0].held_back.unwrap();
    assert!(held.bad == 40 && (held.needed - 60.1).abs() < 0.1, "{held:?}");
    world.count(T0 + 7315, A, 0, 30);
    world.tick(T0 + 7320);
    assert_eq!(
        state(&world.status("a", "availability"), "page"),
        AlertState::FastBurn
    );
}

const JOURNEY: &str = "
service: a
slos: [{ name: availability, target: 99% }]
---
service: b
slos: [{ name: availability, target: 99% }]
---
journey: buy
owner: { team: shop }
slos:
  - name: availability
    target: 90%
    BUDGETING
    alerts: [{ name: page, burn: \"5m > 1\" }]
    of: [{ service: a, slo: availability, weight: 3 }, { service: b, slo: availability }]
";
const B: (&str, &str) = ("b", "availability");

#[test]
fn a_journey_is_the_mean_of_its_services_by_weight() {
    let mut world = World::new(&JOURNEY.replace("BUDGETING", ""));
    for now in (T0..T0 + 600).step_by(60) {
        world.count(now + 60, A, 80, 20);
        world.count(now + 60, B, 10_000, 0);
        world.tick(now + 60);
    }
    let status = world.composite();
    // (3 * 0.2 + 0) / 4 is 0.15, at a budget of 0.1.
    near(status.burn(300), 1.5);
    near(status.consumed, 1.5);
    assert_eq!(
        (status.kind.clone(), &*status.objective.service),
        (BudgetKind::Journey, "buy")
    );
    assert_eq!(state(&status, "page"), AlertState::FastBurn);
    let parts: Vec<_> = status
        .members
        .iter()
        .map(|m| (&*m.service, m.weight, m.counts.bad))
        .collect();
    assert_eq!(parts, [("a", 3, 200), ("b", 1, 0)]);
}

#[test]
fn a_journeys_slice_is_bad_when_one_service_is() {
    let mut world = World::new(&JOURNEY.replace(
        "BUDGETING",
        "budgeting: { method: timeslices, slice_target: 95% }",
    ));
    for now in (T0..T0 + 3600).step_by(60) {
        let minute = (now - T0) / 60;
        world.count(now + 60, A, 100, if minute < 5 { 20 } else { 0 });
        world.count(now + 60, B, 100, if (5..10).contains(&minute) { 20 } else { 0 });
        world.tick(now + 60);
    }
    let slices = world.composite().detail.slices.unwrap();
    assert_eq!((slices.good, slices.bad), (10, 2));
}

#[test]
fn failed_calls_account_for_a_part_of_the_burn() {
    let mut world = World::new(
        "service: a\nslos: [{ name: availability, target: 99% }]\ndependencies: [{ callee: payments }, { callee: stock }]\n",
    );
    for now in (T0..T0 + 600).step_by(60) {
        world.count(now + 60, A, 90, 10);
        world.count(now + 60, ("a", "dependency:payments"), 92, 8);
        // Retries: more failed calls than failed requests.
        world.count(now + 60, ("a", "dependency:stock"), 0, 50);
        world.tick(now + 60);
    }
    let status = world.status("a", "availability");
    let [payments, stock] = status.dependencies.as_slice() else {
        panic!("two")
    };
    let five = |d: &DependencyStatus| *d.windows.iter().find(|w| w.0 == 300).unwrap();
    let (_, calls, bad, burn) = five(payments);
    assert_eq!((calls, bad), (Counts { good: 460, bad: 40 }, 40));
    near(burn, 8.0);
    assert_eq!(
        (five(stock).2, &*stock.callee),
        (50, "stock"),
        "no more than failed"
    );
    let own = world.status("a", "dependency:payments");
    assert_eq!(
        own.kind,
        BudgetKind::Dependency {
            callee: "payments".into()
        }
    );
    near(own.burn(300), 8.0);
}

#[test]
fn v39_without_events_nothing_is_known_and_confidence_says_so() {
    let mut world = World::new("service: a\nslos: [{ name: availability, target: 99.9% }]\n");
    world.count(T0 + 10, A, 10, 0);
    world.tick(T0 + 20);
    let status = world.status("a", "availability");
    let five = status.windows.iter().find(|w| w.sum.window_secs == 300).unwrap();
    assert_eq!(
        (five.burn, five.confidence, status.confidence),
        (Some(0.0), Confidence::Low, Confidence::Low)
    );
    assert!(
        (five.interval.unwrap().1 - 277.533).abs() < 0.01,
        "V40 over the budget"
    );
    world.tick(T0 + 700);
    let status = world.status("a", "availability");
    let five = status.windows.iter().find(|w| w.sum.window_secs == 300).unwrap();
    assert_eq!(
        (five.burn, five.interval, five.confidence),
        (None, None, Confidence::None)
    );
}

#[test]
fn an_account_that_has_no_room_leaves_nothing_guessed() {
    let mut world = World::new(
        "service: a\nslos: [{ name: availability, target: 99%, budgeting: { method: timeslices } }]\n",
    );
    world.accounts = Accounts::new(0);
    world.minutes(T0, T0 + 600, A, 1, 9);
    let status = world.status("a", "availability");
    assert_eq!(
        (status.remaining, status.period, status.overall),
        (None, None, AlertState::NoData)
    );
}

#[test]
fn windows_slices_and_zones_that_cannot_be_are_refused_with_the_way_out() {
    let slo = |more: &str| format!("service: a\nslos:\n  - name: x\n    target: 99%\n    {more}\n");
    for (more, want) in [
        (
            "window: { calendar: month, timezone: Europe/Berln }",
            "p.yaml:5:13: there is no time zone \"Europe/Berln\"; did you mean \"Europe/Berlin\"?",
        ),
        (
            "window: { calendar: moon }",
            "p.yaml:5:13: unknown calendar \"moon\", expected ",
        ),
        (
            "window: { calender: month }",
            "unknown key \"calender\"; did you mean \"calendar\"?",
        ),
        (
            "window: { timezone: UTC }",
            "a window is { rolling: 30d } or { calendar: month",
        ),
        (
            "budgeting: { method: timeslices, slice: 1m }",
            "slices of 1m over 30d: minutes are kept for 3d, five minutes for 400d; write slice: 5m",
        ),
        (
            "budgeting: { method: timeslices, slice: 7m }",
            "a slice of 7m: a total is kept in minutes and in five minutes; write 1m or 5m",
        ),
        ("budgeting: { method: timeslice }", "did you mean \"timeslices\"?"),
        (
            "budgeting: { method: timeslices, empty: great }",
            "unknown rule for empty slices \"great\"",
        ),
        (
            "budgeting: { method: occurrences, slice: 5m }",
            "occurrences have no slices",
        ),
        (
            "budgeting: { method: timeslices }\n    alerts: [{ burn: \"7m > 3\" }]",
            "its window of 7m cannot be judged in slices of 5m",
        ),
        (
            "targets: [{ name: t, target: 99% }, { name: t, target: 98% }]",
            "the target \"t\" is defined twice",
        ),
        (
            "low_traffic: { min_bad: 0 }",
            "min_bad of 0: must be a whole number from 1 to",
        ),
        ("of: [{ service: b, slo: x }]", "of belongs to a journey"),
    ] {
        let got = refusal(&slo(more));
        assert!(got.contains(want), "{more}\n  got  {got}\n  want {want}");
    }
}

#[test]
fn plans_that_cannot_be_are_refused_with_the_way_out() {
    let with = |more: &str| format!("service: a\nslos: [{{ name: x, target: 99% }}]\n{more}\n");
    for (more, want) in [
        (
            "maintenance: [{ every: sunday, from: \"02:00\", to: \"04:00\" }]",
            "it needs a name",
        ),
        (
            "maintenance: [{ name: m, every: sundays, from: \"02:00\", to: \"04:00\" }]",
            "every \"sundays\": expected day, weekday",
        ),
        (
            "maintenance: [{ name: m, every: sunday, from: \"02:03\", to: \"04:00\" }]",
            "left out in whole five minutes",
        ),
        (
            "maintenance: [{ name: m, every: sunday, from: \"25:00\", to: \"04:00\" }]",
            "is no time of a day",
        ),
        (
            "maintenance: [{ name: m, from: \"2026-01-01T02:00\", to: \"2026-01-01T01:00\" }]",
            "it ends before it begins",
        ),
        (
            "maintenance: [{ name: m, from: \"tomorrow\", to: \"2026-01-01T01:00\" }]",
            "is no instant; write it like",
        ),
        (
            "maintenance: [{ name: m, from: \"2026-01-01T02:00\", to: \"2026-01-01T03:00\", slos: [y] }]",
            "unknown SLO \"y\"",
        ),
        (
            "peaks: [{ name: p, every: friday, from: \"18:00\", to: \"23:00\" }]",
            "a peak needs burn_factor",
        ),
        (
            "peaks: [{ name: p, every: friday, from: \"18:00\", to: \"23:00\", burn_factor: 0.5 }]",
            "must be from 1 to 1000",
        ),
        (
            "corrections: [{ from: \"2026-01-01T02:00\", to: \"2026-01-01T03:00\" }]",
            "a correction needs an author and a reason",
        ),
        (
            "corrections: [{ every: day, from: \"02:00\", to: \"03:00\", author: a, reason: b }]",
            "it has no every",
        ),
        (
            "dependencies: [{ callee: b }, { callee: b }]",
            "the dependency \"b\" is named twice",
        ),
        ("journey: x", "a policy is about a service or about a journey"),
    ] {
        let got = refusal(&with(more));
        assert!(got.contains(want), "{more}\n  got  {got}\n  want {want}");
    }
    for (text, want) in [
        (
            "slos: [{ name: x, target: 99% }]",
            "the key \"service\" is missing",
        ),
        (
            "journey: j\nslos: [{ name: x, target: 99% }]",
            "a journey's SLO needs of",
        ),
        (
            "journey: j\nslos: [{ name: x, target: 99%, sli: {}, of: [{ service: a, slo: y }] }]",
            "remove sli",
        ),
        (
            "journey: j\nslos: [{ name: x, target: 99%, of: [{ service: a-*, slo: y }] }]",
            "write its exact name",
        ),
        (
            "journey: j\nslos: [{ name: x, target: 99%, of: [{ service: a, slo: y }, { service: a, slo: y }] }]",
            "is part of it already",
        ),
    ] {
        let got = refusal(text);
        assert!(got.contains(want), "{text}\n  got  {got}\n  want {want}");
    }
}

#[test]
fn every_calendar_unit_has_the_workbooks_pairs_of_its_nominal_length() {
    for (unit, first) in [
        ("week", "3.36"),
        ("month", "14.4"),
        ("quarter", "43.2"),
        ("year", "175.2"),
    ] {
        let text =
            format!("service: a\nwindow: {{ calendar: {unit} }}\nslos: [{{ name: x, target: 99.9% }}]\n");
        let set = from_text("p.yaml", &text).unwrap();
        let name = ObjectiveName {
            service: "a".into(),
            slo: "x".into(),
        };
        let (_, slo) = set.find(&name, None).unwrap();
        assert_eq!(slo.alerts[0].windows[0].burn_above.to_string(), first, "{unit}");
        assert!(matches!(slo.period, Period::Calendar(_)));
        let plan = set.plan(&name).unwrap();
        assert!(
            plan.totals().iter().all(|&w| w <= 3 * DAY),
            "the ledger keeps no such period"
        );
    }
}

/// Ten minutes in which a sampler keeps one in a hundred of a's events, and nothing samples b's.
fn of_a_sample(policy: &str, weight: u64) -> World {
    let mut world = World::new(policy);
    for now in (T0..T0 + 660).step_by(60) {
        let (good, bad) = (900 / weight, 100 / weight);
        if weight > 1 {
            world.count_sampled(now + 60, A, Counts { good, bad }, weight);
        } else {
            world.count(now + 60, A, good, bad);
        }
        if policy.contains("journey") {
            world.count(now + 60, B, 100, 0);
        }
        world.tick(now + 60);
    }
    world
}

#[test]
fn a_journey_of_sampled_events_says_on_what_it_rests() {
    let policy = JOURNEY.replace("BUDGETING", "");
    let five = |weight| {
        let status = of_a_sample(&policy, weight).composite();
        let five = *status.windows.iter().find(|w| w.sum.window_secs == 300).unwrap();
        (five, status.period.unwrap(), status.detail.interval.unwrap())
    };
    let (all, period, interval) = five(1);
    assert_eq!((all.sum.sampled, period.sampled), (None, None));
    let (few, few_period, few_interval) = five(100);
    assert_eq!((few.sum.counts, few.share), (all.sum.counts, all.share));
    let seen = few.sum.seen();
    // Five minutes of nine good and one bad event that were kept, and of a hundred of the other service.
    assert_eq!(seen, Counts { good: 545, bad: 5 });
    assert_eq!(few_period.seen().bad, 11);
    let width = |(low, high): (f64, f64)| high - low;
    assert!(
        width(few.interval.unwrap()) > 3.0 * width(all.interval.unwrap())
            && width(few_interval) > 3.0 * width(interval),
        "{few:?} {all:?}"
    );
}

#[test]
fn sampled_events_of_calendars_and_slices_are_known_with_low_confidence() {
    let journey = |budgeting: &str| JOURNEY.replace("BUDGETING", budgeting);
    let calendar = "window: { calendar: day }";
    let slices = "budgeting: { method: timeslices, slice_target: 50% }";
    let policy =
        |more: &str| format!("service: a\nslos:\n  - name: availability\n    target: 99%\n    {more}\n");
    for more in [calendar, slices] {
        for (text, of_journey) in [(policy(more), false), (journey(more), true)] {
            let status = |weight| {
                let world = of_a_sample(&text, weight);
                if of_journey {
                    world.composite()
                } else {
                    world.status("a", "availability")
                }
            };
            let (all, few) = (status(1), status(100));
            assert!(
                all.detail.interval.is_some() && !all.detail.of_unknown_sample,
                "{text}"
            );
            assert_eq!(few.detail.spent, all.detail.spent, "{text}");
            assert_eq!(
                (few.confidence, few.detail.interval),
                (Confidence::Low, None),
                "{text}"
            );
        }
    }
    let few = of_a_sample(&policy(slices), 100).status("a", "availability");
    let window = few.windows.iter().find(|w| w.sum.window_secs == 300).unwrap();
    assert_eq!((window.interval, window.confidence), (None, Confidence::Low));
}

#[test]
fn a_rule_for_little_traffic_counts_the_bad_events_that_were_seen() {
    let policy = |rule: &str| {
        format!(
            "service: a\n{rule}\
             slos: [{{ name: availability, target: 99.9%, alerts: [{{ name: page, burn: \"1h > 14.4\" }}] }}]\n"
        )
    };
    let held = |rule: &str, bad: u64| {
        let mut world = World::new(&policy(rule));
        // Each stands for a hundred.
        world.count_sampled(T0 + 60, A, Counts { good: 20, bad }, 100);
        world.tick(T0 + 61);
        let status = world.status("a", "availability");
        let held = status.alerts[0].held_back.map(|h| (h.bad, h.needed));
        (state(&status, "page"), held)
    };
    let rule = "low_traffic: { min_bad: 3, budget_events: false }\n";
    assert_eq!(held("", 2).0, AlertState::FastBurn);
    assert_eq!(held(rule, 2), (AlertState::Healthy, Some((2, 3.0))));
    assert_eq!(held(rule, 3), (AlertState::FastBurn, None));
}

#[test]
fn calls_are_told_of_every_window_that_the_service_s_own_slos_have() {
    let mut world = World::new(
        "service: a\nslos: [{ name: availability, target: 99%, alerts: [{ name: page, burn: \"45m > 2\" }] }]\n\
         dependencies: [{ callee: payments }]\n",
    );
    for now in (T0..T0 + 600).step_by(60) {
        world.count(now + 60, A, 90, 10);
        world.count(now + 60, ("a", "dependency:payments"), 92, 8);
        world.tick(now + 60);
    }
    let status = world.status("a", "availability");
    let told: Vec<_> = status.dependencies[0]
        .windows
        .iter()
        .map(|w| (w.0, w.2))
        .collect();
    let own: Vec<_> = status.windows.iter().map(|w| w.sum.window_secs).collect();
    assert!(own.contains(&2700));
    assert_eq!(told.iter().map(|w| w.0).collect::<Vec<_>>(), own);
    assert!(told.contains(&(2700, 80)), "{told:?}");
}

#[test]
fn a_window_of_which_calls_are_not_known_is_left_out_and_not_zero() {
    let mut world = World::new(
        "service: a\nslos: [{ name: availability, target: 99%, alerts: [{ name: page, burn: \"45m > 2\" }] }]\n\
         dependencies: [{ callee: payments }]\n",
    );
    let (objective, _) = world.key("a", "dependency:payments");
    let plan = WindowPlan::new(&[300, 3600], &[300]).unwrap();
    world.ledger.lock().unwrap().set_plan(objective, plan);
    world.count(T0 + 60, ("a", "dependency:payments"), 92, 8);
    world.tick(T0 + 60);
    world.count(T0 + 120, A, 90, 10);
    world.tick(T0 + 120);
    let status = world.status("a", "availability");
    let told: Vec<_> = status.dependencies[0]
        .windows
        .iter()
        .map(|w| (w.0, w.2))
        .collect();
    assert_eq!(told, [(300, 8), (3600, 8)]);
}

#[test]
fn a_part_of_a_journey_that_never_counts_is_warned_about() {
    let said = |of: &str, environment: &str| {
        let text = format!(
            "service: a\nenvironment: production\nslos: [{{ name: availability, target: 99% }}]\n---\n\
             journey: buy\n{environment}slos: [{{ name: whole, target: 99%, of: [{of}] }}]\n"
        );
        let set = from_text("p.yaml", &text).unwrap();
        set.warnings().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let within = "environment: production\n";
    assert!(said("{ service: a, slo: availability }", within).is_empty());
    assert!(
        said("{ service: nobody, slo: availability }", within).is_empty(),
        "its policy may come from elsewhere"
    );
    let misspelt = said("{ service: a, slo: availabilty }", within);
    assert!(
        misspelt[0].contains("no SLO \"availabilty\"")
            && misspelt[0].contains("did you mean \"availability\"?"),
        "{misspelt:?}"
    );
    for (of, environment) in [
        ("{ service: a, slo: availability }", ""),
        ("{ service: a, slo: availability, environment: staging }", within),
    ] {
        let elsewhere = said(of, environment);
        assert!(
            elsewhere[0].contains("have an SLO \"availability\" in production and none"),
            "{elsewhere:?}"
        );
    }
}

#[test]
fn a_promise_by_quantile_may_leave_failed_requests_out() {
    use crate::sli::spec::Failed;
    let text = "service: a\nslos: [{ name: x, p95_below: 200ms, sli: { failed: exclude } }]\n";
    let set = from_text("p.yaml", text).unwrap();
    let latency = set.objectives()[0].sli.latency.unwrap();
    assert_eq!(
        (latency.faster_than_nanos, latency.failed),
        (200_000_000, Failed::Exclude)
    );
    let alone = refusal("service: a\nslos: [{ name: x, target: 95%, sli: { failed: exclude } }]\n");
    assert!(alone.contains("failed belongs to a latency SLI"), "{alone}");
    let of_logs =
        refusal("service: a\nslos: [{ name: x, p95_below: 1s, sli: { logs: {}, failed: exclude } }]\n");
    assert!(of_logs.contains("are of spans"), "{of_logs}");
}
