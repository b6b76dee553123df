//! Claims about the way from counts to statuses.

use super::*;
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use crate::ledger::{Counts, SeriesView, WindowSum};
use crate::policy::Severity;
use crate::policy::gate::{GateDecision, GateReason, gate};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::collections::BTreeMap;
use std::sync::Arc;

const DAY: u64 = 86_400;
const TOTAL: CohortId = CohortId(1);
const CANARY: CohortId = CohortId(2);

/// One service `a` with a total and one deployment.
#[derive(Default)]
struct Fake {
    left: Vec<CohortId>,
}

impl Names for Fake {
    fn objective(&self, id: ObjectiveId) -> Option<Arc<ObjectiveName>> {
        (id.0 == 7).then(|| {
            Arc::new(ObjectiveName {
                service: "a".into(),
                slo: "availability".into(),
            })
        })
    }

    fn cohort(&self, id: CohortId) -> Option<Arc<CohortKey>> {
        let level = if id == TOTAL {
            Level::Total
        } else {
            Level::Deployment { sha: "c0ffee".into() }
        };
        let key = CohortKey {
            service: "a".into(),
            environment: Some("production".into()),
            level,
        };
        (!self.left.contains(&id)).then(|| Arc::new(key))
    }
}

fn at(secs: u64) -> UnixNanos {
    UnixNanos::from_secs(1_795_000_000 + secs)
}

/// A view with (window, bad, total) of each window.
fn view(cohort: CohortId, now: UnixNanos, windows: &[(u64, u64, u64)]) -> SeriesView {
    let sum = |&(window_secs, bad, total): &(u64, u64, u64)| WindowSum {
        window_secs,
        from: now.minus_secs(window_secs),
        to: now,
        counts: Counts {
            good: total - bad,
            bad,
        },
        sampled: None,
    };
    SeriesView {
        objective: ObjectiveId(7),
        cohort,
        windows: windows.iter().map(sum).collect(),
        lifetime: Counts { good: 10, bad: 1 },
        last_event: now,
    }
}

struct World {
    evaluator: Evaluator,
    names: Fake,
    policies: PolicySet,
}

impl World {
    fn new(policy: &str) -> Self {
        let policies = from_text("p.yaml", policy).unwrap();
        Self {
            evaluator: Evaluator::new(Arc::new(Board::new())),
            names: Fake::default(),
            policies,
        }
    }

    fn step(&mut self, now: UnixNanos, views: &[SeriesView]) -> Vec<Arc<BudgetStatus>> {
        self.evaluator.apply(now, views, &self.names, &self.policies)
    }

    fn total(&self) -> Arc<BudgetStatus> {
        self.evaluator.board().get(ObjectiveId(7), TOTAL).unwrap()
    }
}

const DEFAULTS: &str = "service: a\nslos: [{ name: availability, target: 99.9% }]\n";
const HELD: &str = "
service: a
slos: [{ name: availability, target: 99.9% }]
alerts: [{ name: held, burn: \"5m > 14 and 1h > 7 for 5m\", severity: critical }]
";

/// All common windows at one bad share per 10,000, and the period.
fn flat(bad: u64, period_bad: u64) -> Vec<(u64, u64, u64)> {
    let common = [300, 1800, 3600, 7200, 21_600, 86_400, 259_200];
    common
        .iter()
        .map(|&w| (w, bad, 10_000))
        .chain([(30 * DAY, period_bad, 10_000)])
        .collect()
}

#[test]
fn figures_are_those_of_the_oracle() {
    let mut world = World::new(DEFAULTS);
    let changed = world.step(at(0), &[view(TOTAL, at(0), &flat(40, 6))]);
    assert_eq!(changed.len(), 1);
    let s = world.total();
    assert_eq!((s.burn(300), s.burn(3600)), (Some(4.0), Some(4.0)));
    assert!((s.remaining.unwrap() - 0.4).abs() < 1e-12 && (s.consumed.unwrap() - 0.6).abs() < 1e-12);
    // V4: two fifths left at burn four last three days.
    assert!((s.time_to_exhaustion_secs.unwrap() - 3.0 * DAY as f64).abs() < 1e-3);
    assert!(
        (s.budget_minutes.unwrap() - 43.2).abs() < 1e-9 && (s.budget_events.unwrap() - 10.0).abs() < 1e-9
    );
    assert_eq!(
        (
            s.windows.len(),
            s.period.unwrap().window_secs,
            s.exhaustion_window_secs
        ),
        (7, 30 * DAY, 3600)
    );
    assert_eq!(s.lifetime, Counts { good: 10, bad: 1 });
    assert_eq!(s.window(30 * DAY).unwrap().counts.bad, 6);
}

#[test]
fn the_most_severe_state_wins() {
    for (bad, period_bad, want) in [
        (9, 0, AlertState::Healthy),
        (10, 0, AlertState::Healthy),
        (11, 0, AlertState::SlowBurn),
        (31, 0, AlertState::SlowBurn),
        (61, 0, AlertState::FastBurn),
        (144, 0, AlertState::FastBurn),
        (145, 0, AlertState::CriticalBurn),
        (145, 10, AlertState::BudgetExhausted),
        (0, 10, AlertState::BudgetExhausted),
    ] {
        let mut world = World::new(DEFAULTS);
        world.step(at(0), &[view(TOTAL, at(0), &flat(bad, period_bad))]);
        assert_eq!(world.total().overall, want, "{bad} {period_bad}");
    }
}

#[test]
fn v39_without_events_the_state_is_no_data_and_not_a_full_budget() {
    let mut world = World::new(DEFAULTS);
    let empty: Vec<_> = flat(0, 0).into_iter().map(|(w, _, _)| (w, 0, 0)).collect();
    world.step(at(0), &[view(TOTAL, at(0), &empty)]);
    let s = world.total();
    assert_eq!(s.overall, AlertState::NoData);
    assert!(s.alerts.iter().all(|a| a.state == AlertState::NoData));
    assert_eq!(
        (s.remaining, s.consumed, s.time_to_exhaustion_secs, s.burn(300)),
        (None, None, None, None)
    );
}

#[test]
fn v21_an_overspent_budget_is_negative_and_exhausted_now() {
    let mut world = World::new(DEFAULTS);
    let mut windows = flat(10, 0);
    windows[7] = (30 * DAY, 250, 200_000);
    world.step(at(0), &[view(TOTAL, at(0), &windows)]);
    let s = world.total();
    assert!((s.remaining.unwrap() + 0.25).abs() < 1e-12);
    assert_eq!(
        (s.time_to_exhaustion_secs, s.overall),
        (Some(0.0), AlertState::BudgetExhausted)
    );
}

#[test]
fn cohorts_have_windows_and_no_budget_of_a_period_beyond_their_reach() {
    let mut world = World::new(DEFAULTS);
    world.step(at(0), &[view(CANARY, at(0), &flat(145, 0)[..7])]);
    let s = world.evaluator.board().get(ObjectiveId(7), CANARY).unwrap();
    assert_eq!(
        (s.period, s.remaining, s.budget_events, s.budget_minutes),
        (None, None, None, None)
    );
    assert_eq!((s.overall, s.windows.len()), (AlertState::CriticalBurn, 7));
}

#[test]
fn a_hold_runs_out_without_a_new_count() {
    let mut world = World::new(HELD);
    let windows = [(300, 15, 1000), (3600, 15, 1000)];
    world.step(at(0), &[view(TOTAL, at(0), &windows)]);
    assert_eq!(world.total().alerts[0].pending_since, Some(at(0)));
    assert_eq!(world.total().overall, AlertState::Healthy);
    for t in 1..300 {
        assert_eq!(world.step(at(t), &[]).len(), 1, "{t}");
        assert_eq!(world.total().overall, AlertState::Healthy, "{t}");
    }
    let changed = world.step(at(300), &[]);
    assert_eq!((changed.len(), changed[0].overall), (1, AlertState::CriticalBurn));
    assert_eq!(changed[0].alerts[0].since, at(300));
    assert!(changed[0].alerts[0].is_firing());
    assert_eq!(world.step(at(301), &[]).len(), 0, "a firing alert needs no timer");
}

#[test]
fn a_gap_in_evaluations_restarts_the_hold() {
    let mut world = World::new(HELD);
    let windows = [(300, 15, 1000), (3600, 15, 1000)];
    world.step(at(0), &[view(TOTAL, at(0), &windows)]);
    for t in (10..200).step_by(10) {
        world.step(at(t), &[]);
    }
    world.step(at(300), &[]);
    assert_eq!(world.total().alerts[0].pending_since, Some(at(300)));
}

#[test]
fn an_alert_resolves_at_once_and_since_says_when() {
    let mut world = World::new(DEFAULTS);
    world.step(at(0), &[view(TOTAL, at(0), &flat(145, 0))]);
    world.step(at(5), &[view(TOTAL, at(5), &flat(146, 0))]);
    assert_eq!(
        (world.total().alerts[0].state, world.total().alerts[0].since),
        (AlertState::CriticalBurn, at(0))
    );
    let mut windows = flat(146, 0);
    windows[0] = (300, 1, 10_000);
    world.step(at(9), &[view(TOTAL, at(9), &windows)]);
    assert_eq!(
        (world.total().alerts[0].state, world.total().alerts[0].since),
        (AlertState::Healthy, at(9))
    );
    assert_eq!(
        world.total().overall,
        AlertState::FastBurn,
        "the 6h pair still stands"
    );
}

#[test]
fn a_series_that_left_or_lost_its_objective_leaves_the_board() {
    let mut world = World::new(DEFAULTS);
    world.step(
        at(0),
        &[
            view(TOTAL, at(0), &flat(1, 0)),
            view(CANARY, at(0), &flat(1, 0)[..7]),
        ],
    );
    assert_eq!(world.evaluator.board().len(), 2);
    world.names.left.push(CANARY);
    world.step(at(1), &[view(CANARY, at(1), &flat(1, 0)[..7])]);
    assert_eq!(world.evaluator.board().len(), 1);
    world.policies = from_text(
        "p.yaml",
        "service: b\nslos: [{ name: availability, target: 99% }]\n",
    )
    .unwrap();
    assert!(world.evaluator.reapply(at(2), &world.policies).is_empty());
    assert!(world.evaluator.board().is_empty());
}

#[test]
fn a_changed_policy_speaks_of_counts_seen_before() {
    let mut world = World::new(DEFAULTS);
    world.step(at(0), &[view(TOTAL, at(0), &flat(145, 0))]);
    world.policies = from_text(
        "p.yaml",
        "service: a\nslos: [{ name: availability, target: 99% }]\n",
    )
    .unwrap();
    let changed = world.evaluator.reapply(at(1), &world.policies);
    assert_eq!(
        (changed[0].overall, changed[0].burn(300)),
        (AlertState::SlowBurn, Some(1.45))
    );
}

#[test]
fn the_board_filters_and_lists_flags_until_they_leave() {
    let board = Board::new();
    let status = |cohort: u32, level: Level| {
        let mut world = World::new(DEFAULTS);
        world.step(at(0), &[view(TOTAL, at(0), &flat(1, 0))]);
        let mut s = (*world.total()).clone();
        s.cohort_id = CohortId(cohort);
        s.cohort = Arc::new(CohortKey {
            service: "a".into(),
            environment: Some("production".into()),
            level,
        });
        Arc::new(s)
    };
    let flag = |variant: &str| Level::Flag {
        sha: Some("s".into()),
        flag: "f".into(),
        variant: variant.into(),
    };
    for (id, level) in [
        (1, Level::Total),
        (2, flag("on")),
        (3, flag("off")),
        (4, Level::Overflow),
    ] {
        board.put(status(id, level.clone()));
        board.put(status(id, level));
    }
    let count = |filter: Filter<'_>| board.list(&filter).len();
    assert_eq!(
        (board.len(), board.of_flag("f").len(), board.of_flag("g").len()),
        (4, 2, 0)
    );
    assert_eq!(
        count(Filter {
            flag: Some("f"),
            variant: Some("on"),
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            totals: Some(true),
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            service: Some("b"),
            ..Filter::default()
        }),
        0
    );
    assert_eq!(
        count(Filter {
            environment: Some("production"),
            sha: Some("s"),
            ..Filter::default()
        }),
        2
    );
    assert!(board.remove(ObjectiveId(7), CohortId(2)).is_some());
    assert!(board.remove(ObjectiveId(7), CohortId(2)).is_none());
    assert_eq!(board.of_flag("f").len(), 1);
    let by_cohort: BTreeMap<_, _> = board
        .snapshot()
        .iter()
        .map(|s| (s.cohort_id, s.overall))
        .collect();
    assert_eq!(by_cohort.len(), 3);
}

/// What a gate says with so many bad events of ten thousand in the period and in the window of every alert.
fn gate_at(bad: u64, recent_bad: u64) -> (GateDecision, Vec<GateReason>) {
    let mut world = World::new("service: a\nslos: [{ name: availability, target: 99.9% }]\n");
    let recent = [300, 1_800, 3_600, 7_200, 21_600, DAY, 3 * DAY].map(|secs| (secs, recent_bad, 10_000));
    let windows: Vec<_> = recent.into_iter().chain([(30 * DAY, bad, 10_000)]).collect();
    let changed = world.step(at(0), &[view(TOTAL, at(0), &windows)]);
    gate(&changed[0])
}

#[test]
fn a_full_budget_passes_a_gate_and_a_low_one_waits_and_then_stops() {
    // 99.9 %: ten bad events of ten thousand are the whole budget.
    assert_eq!(gate_at(1, 0), (GateDecision::Pass, vec![]));
    assert_eq!(gate_at(5, 0).0, GateDecision::Pass, "half is not less than half");
    assert_eq!(gate_at(6, 0).0, GateDecision::Hold);
    assert_eq!(
        gate_at(8, 0).0,
        GateDecision::Hold,
        "a fifth is not less than a fifth"
    );
    assert_eq!(gate_at(9, 0).0, GateDecision::Fail);
    assert_eq!(
        gate_at(10, 0),
        (GateDecision::Fail, vec![GateReason::BudgetSpent])
    );
}

#[test]
fn a_gate_waits_where_nobody_knows() {
    let mut world = World::new("service: a\nslos: [{ name: availability, target: 99.9% }]\n");
    let changed = world.step(at(0), &[view(TOTAL, at(0), &[(30 * DAY, 0, 0)])]);
    assert_eq!(gate(&changed[0]), (GateDecision::Hold, vec![GateReason::NoData]));
}

#[test]
fn an_alert_that_wakes_somebody_stops_a_release_however_much_is_left() {
    let (decision, reasons) = gate_at(1, 150);
    assert_eq!(decision, GateDecision::Fail);
    let told: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|told| told.contains("fires (page)")), "{told:?}");
    // A ticket asks for somebody who looks.
    let ticket = GateReason::Alert {
        name: "slow".into(),
        severity: Severity::Ticket,
    };
    assert_eq!(ticket.asks_for(), GateDecision::Hold);
}
