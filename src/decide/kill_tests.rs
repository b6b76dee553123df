//! Simulated incidents: what the kill rule decides, what it withholds, and when.

use super::*;
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use crate::ledger::{Counts, EventWeight, Sampled, SeriesView, Weights, WindowSum};
use crate::policy::{Board, Evaluator, Names, PolicySet, from_text};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use crate::wire::Weight;
use std::sync::Arc;

const POLICY: &str = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.9% }]
kill_switches:
  - { flag: new-checkout, exporter: unleash, attribution: off, mode: auto }
  - { flag: neighbour, exporter: unleash, attribution: off, mode: auto }
";

/// A cohort of the shop: (environment, sha, flag, variant).
type Cut = (Option<&'static str>, &'static str, &'static str, &'static str);

const ON: Cut = (Some("production"), "v2", "new-checkout", "on");
const OFF: Cut = (Some("production"), "v2", "new-checkout", "off");
const NEIGHBOUR_ON: Cut = (Some("production"), "v2", "neighbour", "on");
const NEIGHBOUR_OFF: Cut = (Some("production"), "v2", "neighbour", "off");

fn at(secs: u64) -> UnixNanos {
    UnixNanos::from_secs(1_795_000_000 + secs)
}

struct Cohorts(Vec<Arc<CohortKey>>);

impl Names for Cohorts {
    fn objective(&self, _: ObjectiveId) -> Option<Arc<ObjectiveName>> {
        Some(Arc::new(ObjectiveName {
            service: "checkout".into(),
            slo: "availability".into(),
        }))
    }

    fn cohort(&self, id: CohortId) -> Option<Arc<CohortKey>> {
        self.0.get(id.0 as usize).cloned()
    }
}

/// A gateway in miniature: per second and cohort (good, bad), the ledger's windows worked out by hand.
struct World {
    policies: PolicySet,
    evaluator: Evaluator,
    decider: KillDecider,
    cohorts: Cohorts,
    /// Per cohort: the counts of every second so far.
    seconds: Vec<Vec<(u64, Counts)>>,
}

impl World {
    fn new(policy: &str) -> Self {
        Self {
            policies: from_text("p.yaml", policy).unwrap(),
            evaluator: Evaluator::new(Arc::new(Board::new())),
            decider: KillDecider::new(),
            cohorts: Cohorts(Vec::new()),
            seconds: Vec::new(),
        }
    }

    fn index(&mut self, (environment, sha, flag, variant): Cut) -> usize {
        let level = Level::Flag {
            sha: Some(sha.into()),
            flag: flag.into(),
            variant: variant.into(),
        };
        let key = CohortKey {
            service: "checkout".into(),
            environment: environment.map(Into::into),
            level,
        };
        let known = self.cohorts.0.iter().position(|k| **k == key);
        known.unwrap_or_else(|| {
            self.cohorts.0.push(Arc::new(key));
            self.seconds.push(Vec::new());
            self.seconds.len() - 1
        })
    }

    /// One second of traffic, then the tick.
    fn second(&mut self, t: u64, traffic: &[(Cut, u64, u64)]) -> Vec<Decision> {
        for &(cut, good, bad) in traffic {
            let i = self.index(cut);
            self.seconds[i].push((t, Counts { good, bad }));
        }
        self.tick(t)
    }

    fn tick(&mut self, t: u64) -> Vec<Decision> {
        let window = |seconds: &[(u64, Counts)]| {
            let within = seconds.iter().filter(|(s, _)| s + 300 > t);
            let counts = within.fold(Counts::default(), |a, (_, c)| Counts {
                good: a.good + c.good,
                bad: a.bad + c.bad,
            });
            WindowSum {
                window_secs: 300,
                from: at(t).minus_secs(300),
                to: at(t),
                counts,
                sampled: None,
            }
        };
        let views = self.seconds.iter().enumerate().map(|(i, seconds)| SeriesView {
            objective: ObjectiveId(0),
            cohort: CohortId(u32::try_from(i).unwrap()),
            windows: vec![window(seconds)],
            lifetime: Counts::default(),
            last_event: at(t),
        });
        let views: Vec<_> = views.collect();
        self.evaluator.apply(at(t), &views, &self.cohorts, &self.policies);
        self.decider
            .evaluate(at(t), self.evaluator.board(), &self.policies)
    }

    /// Seconds `from..to` of the same traffic; the decisions with their seconds.
    fn run(&mut self, from: u64, to: u64, traffic: &[(Cut, u64, u64)]) -> Vec<(u64, Decision)> {
        let mut decided = Vec::new();
        for t in from..to {
            decided.extend(self.second(t, traffic).into_iter().map(|d| (t, d)));
        }
        decided
    }

    fn reasons(&self) -> Vec<&'static str> {
        self.decider.withheld().map(|w| w.reason.as_str()).collect()
    }

    fn report(&mut self, decision: &Decision, t: u64, state: DecisionState) {
        self.decider.update(&Decision {
            state,
            updated_at: at(t),
            ..decision.clone()
        });
    }
}

const CONFIRMED: DecisionState = DecisionState::Confirmed {
    verified: true,
    already_off: false,
};

#[test]
fn ten_minutes_of_an_incident_make_exactly_one_decision_at_the_right_second() {
    let mut world = World::new(POLICY);
    let healthy = [(ON, 10, 0), (OFF, 90, 0)];
    assert!(world.run(0, 300, &healthy).is_empty());
    // From second 300 on half of the new checkout fails. The 5m window holds 3000 requests of it; burn 7 of
    // 99.9 % is 0.7 %: 21 bad are exactly the threshold, so it is exceeded with the fifth failing second (25
    // bad), at second 304.
    let failing = [(ON, 5, 5), (OFF, 90, 0)];
    let decided = world.run(300, 900, &failing);
    assert_eq!(
        decided
            .iter()
            .map(|(t, d)| (*t, d.flag.as_str()))
            .collect::<Vec<_>>(),
        [(304 + 180, "new-checkout")]
    );
    let decision = &decided[0].1;
    let evidence = &decision.evidence;
    assert_eq!((decision.incident, &decision.state), (1, &DecisionState::Decided));
    assert_eq!(
        decision.id,
        decision_id("unleash", "production", "new-checkout", 1)
    );
    assert_eq!(
        (
            evidence.variant.as_str(),
            evidence.sha.as_deref(),
            evidence.held_secs
        ),
        ("on", Some("v2"), 180)
    );
    assert_eq!(
        evidence.cohort,
        Counts {
            good: 115 * 10 + 185 * 5,
            bad: 185 * 5
        }
    );
    assert_eq!(
        (evidence.control, evidence.contrast),
        (Counts { good: 27_000, bad: 0 }, None)
    );
    assert!((evidence.burn - 925.0 / 3000.0 / 0.001).abs() < 1e-9);
}

#[test]
fn a_burn_of_exactly_the_threshold_never_kills() {
    let mut world = World::new(POLICY);
    // 7 of 1000: burn exactly 7.
    assert!(world.run(0, 900, &[(ON, 993, 7), (OFF, 1000, 0)]).is_empty());
    assert!(world.reasons().is_empty());
}

#[test]
fn one_evaluation_at_the_threshold_restarts_the_timer() {
    let mut world = World::new(POLICY);
    assert!(
        world.run(0, 180, &[(ON, 9, 1), (OFF, 10, 0)]).is_empty(),
        "above since second 0"
    );
    // One second of much good traffic brings the window down, the next window is judged by it for five
    // minutes.
    assert!(world.second(180, &[(ON, 1_000_000, 0), (OFF, 10, 0)]).is_empty());
    assert!(world.run(181, 470, &[(ON, 9, 1), (OFF, 10, 0)]).is_empty());
    let decided = world.run(470, 700, &[(ON, 9, 1), (OFF, 10, 0)]);
    assert_eq!(
        decided.iter().map(|d| d.0).collect::<Vec<_>>(),
        [480 + 180],
        "above again once the burst left"
    );
}

#[test]
fn a_gap_in_evaluations_restarts_the_timer_and_a_missing_tick_does_not() {
    let traffic = [(ON, 9, 1), (OFF, 10, 0)];
    let mut world = World::new(POLICY);
    for t in (0..180).step_by(20) {
        assert!(world.second(t, &traffic).is_empty());
    }
    assert_eq!(world.second(180, &traffic).len(), 1, "ticks 20 s apart hold");
    let mut world = World::new(POLICY);
    assert!(world.run(0, 100, &traffic).is_empty());
    assert!(
        world.run(131, 131 + 180, &traffic).is_empty(),
        "31 s without an evaluation"
    );
    assert_eq!(world.second(131 + 180, &traffic).len(), 1);
}

#[test]
fn a_neighbour_flag_that_shares_the_failing_requests_is_spared() {
    let mut world = World::new(POLICY);
    // Of 1000 requests a second 100 have the new checkout; 50 of these fail. The neighbour is on for 400
    // requests, 40 of the 100 among them: 20 of 400 fail with it and 30 of 600 without. Both shares are 5 %,
    // so its contrast is 1.
    let traffic = [
        (ON, 50, 50),
        (OFF, 900, 0),
        (NEIGHBOUR_ON, 380, 20),
        (NEIGHBOUR_OFF, 570, 30),
    ];
    let decided = world.run(0, 600, &traffic);
    assert_eq!(
        decided.iter().map(|(_, d)| d.flag.as_str()).collect::<Vec<_>>(),
        ["new-checkout"]
    );
    let withheld: Vec<_> = world
        .decider
        .withheld()
        .filter(|w| w.flag == "neighbour")
        .collect();
    assert_eq!(withheld.len(), 1);
    assert!(withheld[0].burn > 7.0, "it burns at {}", withheld[0].burn);
    assert_eq!(
        withheld[0].reason,
        WithheldReason::Contrast {
            ratio: 1.0,
            needed: 2.0
        }
    );
    assert_eq!(withheld[0].since, at(180));
}

#[test]
fn correlated_flags_are_told_apart_by_the_contrast() {
    // The neighbour is on for 500 of 1000 requests, 65 of the 100 with the new checkout among them; 50 % of
    // those fail. Neighbour: 32 of 500 on, 18 of 500 off: contrast 1.78. New checkout: 50 of 100 against 0 of
    // 900.
    let mut world = World::new(POLICY);
    let traffic = [
        (ON, 50, 50),
        (OFF, 900, 0),
        (NEIGHBOUR_ON, 468, 32),
        (NEIGHBOUR_OFF, 482, 18),
    ];
    let decided = world.run(0, 600, &traffic);
    assert_eq!(
        decided.iter().map(|(_, d)| d.flag.as_str()).collect::<Vec<_>>(),
        ["new-checkout"]
    );
}

#[test]
fn an_outage_of_the_whole_service_kills_no_flag() {
    let mut world = World::new(POLICY);
    assert!(world.run(0, 600, &[(ON, 5, 5), (OFF, 50, 50)]).is_empty());
    assert_eq!(world.reasons(), ["contrast"]);
}

#[test]
fn exactly_the_contrast_is_enough() {
    let mut world = World::new(POLICY);
    assert_eq!(world.run(0, 200, &[(ON, 98, 2), (OFF, 99, 1)]).len(), 1);
    let mut world = World::new(POLICY);
    assert!(world.run(0, 200, &[(ON, 98, 2), (OFF, 98, 1)]).is_empty());
}

#[test]
fn without_control_traffic_there_is_no_decision_and_a_record() {
    let mut world = World::new(POLICY);
    assert!(world.run(0, 600, &[(ON, 5, 5)]).is_empty());
    assert_eq!(world.reasons(), ["no_control"]);
    // Traffic of another sha, environment, or a reserved variant is no control either.
    let others = [
        (ON, 5, 5),
        ((Some("production"), "v1", "new-checkout", "off"), 90, 0),
        ((Some("staging"), "v2", "new-checkout", "off"), 90, 0),
        ((Some("production"), "v2", "new-checkout", "(error)"), 90, 0),
    ];
    assert!(world.run(600, 900, &others).is_empty());
    assert_eq!(world.reasons(), ["no_control"]);
}

#[test]
fn contrast_one_asks_for_no_control() {
    let policy = POLICY.replace(
        "new-checkout, exporter: unleash,",
        "new-checkout, exporter: unleash, when: { contrast: 1 },",
    );
    let mut world = World::new(&policy);
    assert_eq!(world.run(0, 200, &[(ON, 5, 5)]).len(), 1);
}

#[test]
fn too_few_bad_events_are_withheld_when_the_policy_asks_for_more() {
    let policy = POLICY.replace(
        "new-checkout, exporter: unleash,",
        "new-checkout, exporter: unleash, when: { min_bad: 5 },",
    );
    let mut world = World::new(&policy);
    let mut decided = world.second(0, &[(ON, 1, 4), (OFF, 10, 0)]);
    decided.extend((1..250).flat_map(|t| world.tick(t)));
    assert!(decided.is_empty());
    assert_eq!(world.reasons(), ["too_few_bad"]);
    assert_eq!(world.second(250, &[(ON, 0, 1)]).len(), 1);
}

#[test]
fn off_reserved_and_overflow_cohorts_are_never_blamed() {
    let mut world = World::new(POLICY);
    let reserved = (Some("production"), "v2", "new-checkout", "(error)");
    assert!(
        world
            .run(0, 600, &[(ON, 100, 0), (OFF, 50, 50), (reserved, 1, 9)])
            .is_empty()
    );
    assert!(world.reasons().is_empty());
    world.cohorts.0.push(Arc::new(CohortKey {
        service: "checkout".into(),
        environment: Some("production".into()),
        level: Level::Overflow,
    }));
    world.seconds.push(vec![(600, Counts { good: 0, bad: 1000 })]);
    assert!((600..900).all(|t| world.tick(t).is_empty()));
}

#[test]
fn of_a_flag_that_is_read_inverted_off_is_blamed_and_on_never_is() {
    let inverted = "new-checkout, exporter: unleash, action: on,";
    let policy = POLICY.replace("new-checkout, exporter: unleash,", inverted);
    assert!(
        World::new(&policy)
            .run(0, 600, &[(ON, 5, 5), (OFF, 90, 0)])
            .is_empty()
    );
    let decided = World::new(&policy).run(0, 600, &[(ON, 90, 0), (OFF, 5, 5)]);
    assert_eq!(decided.len(), 1);
}

#[test]
fn only_the_policys_environment_is_acted_on() {
    for environment in [Some("staging"), None] {
        let mut world = World::new(POLICY);
        let cut = |variant| (environment, "v2", "new-checkout", variant);
        assert!(
            world
                .run(0, 600, &[(cut("on"), 5, 5), (cut("off"), 90, 0)])
                .is_empty(),
            "{environment:?}"
        );
    }
}

#[test]
fn only_listed_variants_are_blamed() {
    let policy = POLICY.replace(
        "new-checkout, exporter: unleash,",
        "new-checkout, exporter: unleash, variants: [ blue ],",
    );
    let mut world = World::new(&policy);
    assert!(world.run(0, 600, &[(ON, 5, 5), (OFF, 90, 0)]).is_empty());
    let blue = (Some("production"), "v2", "new-checkout", "blue");
    assert_eq!(world.run(600, 900, &[(blue, 5, 5), (OFF, 90, 0)]).len(), 1);
}

#[test]
fn observe_records_and_sends_nothing_and_off_does_not_look() {
    let mut world = World::new(&POLICY.replace("mode: auto", "mode: observe"));
    let decided = world.run(0, 2400, &[(ON, 5, 5), (OFF, 90, 0)]);
    assert_eq!(decided.len(), 1, "one record for an incident, however long");
    assert_eq!(decided[0].1.state, DecisionState::Observed);
    let mut world = World::new(&POLICY.replace("mode: auto", "mode: off"));
    assert!(world.run(0, 600, &[(ON, 5, 5), (OFF, 90, 0)]).is_empty());
    assert!(world.reasons().is_empty());
}

#[test]
fn an_observed_incident_does_not_hold_back_a_rule_in_auto() {
    let mut world = World::new(&POLICY.replace("mode: auto", "mode: observe"));
    let failing = [(ON, 5, 5), (OFF, 90, 0)];
    assert_eq!(world.run(0, 200, &failing).len(), 1);
    world.policies = from_text("p.yaml", POLICY).unwrap();
    let decided = world.run(200, 202, &failing);
    assert_eq!(
        decided
            .iter()
            .map(|(_, d)| (d.incident, d.state.clone()))
            .collect::<Vec<_>>(),
        [(2, DecisionState::Decided)]
    );
}

#[test]
fn a_decision_under_way_holds_back_the_next_for_ever() {
    let mut world = World::new(POLICY);
    let failing = [(ON, 5, 5), (OFF, 90, 0)];
    let decision = world.run(0, 200, &failing).remove(0).1;
    world.report(&decision, 200, DecisionState::Sending { attempt: 1 });
    assert!(world.run(200, 4000, &failing).is_empty());
    assert_eq!(world.reasons(), ["under_way"]);
}

#[test]
fn after_a_confirmed_kill_the_next_needs_the_cooldown_and_a_burn_that_went_down() {
    let mut world = World::new(POLICY);
    let (failing, healthy) = ([(ON, 5, 5), (OFF, 90, 0)], [(ON, 10, 0), (OFF, 90, 0)]);
    let decision = world.run(0, 200, &failing).remove(0).1;
    world.report(&decision, 200, CONFIRMED);
    // It goes on burning: no second decision, not even after the cooldown.
    assert!(world.run(200, 200 + COOLDOWN_SECS - 1, &failing).is_empty());
    assert_eq!(world.reasons(), ["cooldown"]);
    assert!(world.run(200 + COOLDOWN_SECS, 2600, &failing).is_empty());
    assert_eq!(world.reasons(), ["not_rearmed"]);
    // It recovers and breaks again: another incident.
    assert!(world.run(2600, 3000, &healthy).is_empty());
    let decided = world.run(3000, 3300, &failing);
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].1.incident, 2);
    assert_ne!(decided[0].1.id, decision.id);
}

#[test]
fn within_the_cooldown_a_recovered_flag_that_breaks_again_waits() {
    let mut world = World::new(POLICY);
    let (failing, healthy) = ([(ON, 5, 5), (OFF, 90, 0)], [(ON, 10, 0), (OFF, 90, 0)]);
    let decision = world.run(0, 200, &failing).remove(0).1;
    world.report(&decision, 200, CONFIRMED);
    world.run(200, 600, &healthy);
    let decided = world.run(600, 2300, &failing);
    assert_eq!(
        decided.iter().map(|d| d.0).collect::<Vec<_>>(),
        [200 + COOLDOWN_SECS]
    );
}

#[test]
fn a_failed_decision_is_tried_anew_after_the_cooldown_and_an_expired_one_at_once() {
    let failing = [(ON, 5, 5), (OFF, 90, 0)];
    for (reason, second) in [
        (FailureReason::Unauthorized, 200 + COOLDOWN_SECS),
        (FailureReason::Expired, 200),
    ] {
        let mut world = World::new(POLICY);
        let decision = world.run(0, 200, &failing).remove(0).1;
        world.report(
            &decision,
            200,
            DecisionState::Failed {
                reason,
                detail: String::new(),
            },
        );
        let decided = world.run(200, 2300, &failing);
        assert_eq!(
            decided.iter().map(|d| d.0).collect::<Vec<_>>(),
            [second],
            "{reason:?}"
        );
    }
}

#[test]
fn a_restart_remembers_live_decisions_and_incident_numbers() {
    let failing = [(ON, 5, 5), (OFF, 90, 0)];
    let mut before = World::new(POLICY);
    let decision = before.run(0, 200, &failing).remove(0).1;
    let mut after = World::new(POLICY);
    after.decider.restore([decision.clone()]);
    assert!(after.run(210, 600, &failing).is_empty());
    assert_eq!(after.reasons(), ["under_way"]);
    let confirmed = Decision {
        state: CONFIRMED,
        updated_at: at(0),
        incident: 4,
        ..decision.clone()
    };
    let mut later = World::new(POLICY);
    later.decider.restore([confirmed, decision]);
    later.run(3000, 3400, &[(ON, 10, 0), (OFF, 90, 0)]);
    let decided = later.run(3400, 3700, &failing);
    assert_eq!(
        decided[0].1.incident, 5,
        "the latest incident counts, in whatever order they are read"
    );
}

#[test]
fn the_first_evaluation_after_a_restart_clears_nothing() {
    let failing = [(ON, 5, 5), (OFF, 90, 0)];
    let mut world = World::new(POLICY);
    let decision = world.run(0, 200, &failing).remove(0).1;
    let confirmed = Decision {
        state: CONFIRMED,
        updated_at: at(200),
        ..decision
    };
    let mut after = World::new(POLICY);
    after.decider.restore([confirmed]);
    assert!(after.tick(2500).is_empty(), "the board is still empty");
    assert!(after.run(2501, 2900, &failing).is_empty());
    assert_eq!(after.reasons(), ["not_rearmed"]);
}

#[test]
fn two_cohorts_of_one_flag_make_one_decision_about_the_worse() {
    let mut world = World::new(POLICY);
    let old = |variant| (Some("production"), "v1", "new-checkout", variant);
    let decided = world.run(
        0,
        600,
        &[(ON, 5, 5), (OFF, 90, 0), (old("on"), 2, 8), (old("off"), 90, 0)],
    );
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].1.evidence.sha.as_deref(), Some("v1"));
}

#[test]
fn two_guilty_flags_of_a_service_are_both_switched_off_where_the_limit_allows_it() {
    for (per_service, want) in [(2, 2), (1, 1)] {
        let mut world = World::new(POLICY);
        let limits = RateLimits {
            per_service,
            ..RateLimits::default()
        };
        world.decider.set_rules(LifeRules::default(), limits, true);
        let decided = world.run(
            0,
            600,
            &[
                (ON, 5, 5),
                (OFF, 90, 0),
                (NEIGHBOUR_ON, 5, 5),
                (NEIGHBOUR_OFF, 90, 0),
            ],
        );
        assert_eq!(decided.len(), want);
        let limited = world
            .decider
            .withheld()
            .any(|w| matches!(w.reason, WithheldReason::RateLimited { .. }));
        assert_eq!(limited, per_service == 1);
    }
}

#[test]
fn a_switch_for_another_slo_stays_quiet() {
    let policy = "
service: checkout
environment: production
slos: [{ name: availability, target: 99.9% }, { name: latency, target: 99% }]
kill_switches: [{ flag: new-checkout, exporter: unleash, attribution: off, mode: auto, slo: latency }]
";
    let mut world = World::new(policy);
    assert!(world.run(0, 600, &[(ON, 5, 5), (OFF, 90, 0)]).is_empty());
}

#[test]
fn a_withheld_verdict_keeps_since_while_its_kind_stays() {
    let mut world = World::new(POLICY);
    world.run(0, 400, &[(ON, 5, 5)]);
    let first = world.decider.withheld().next().unwrap().clone();
    assert_eq!((first.since, first.checked_at), (at(180), at(399)));
    world.second(400, &[(ON, 5, 5), (OFF, 5, 5)]);
    let second = world.decider.withheld().next().unwrap().clone();
    assert_eq!((second.since, second.reason.as_str()), (at(400), "contrast"));
}

/// Counts of sampled events: each stands for `weight`.
fn sampled(good: u64, bad: u64, weight: u64) -> Sampled {
    let one = EventWeight::of(
        Weight {
            whole: weight,
            part: 0,
        },
        u32::MAX,
    );
    Sampled {
        seen: Counts { good, bad },
        weights: Weights {
            excess: Counts {
                good: good * one.excess,
                bad: bad * one.excess,
            },
            variance: Counts {
                good: good * one.variance,
                bad: bad * one.variance,
            },
        },
    }
}

/// A world in which `ON` and `OFF` have these sums for ten minutes; the reasons that withhold, and the decisions.
fn sampled_world(policy: &str, on: Sampled, off: Sampled) -> (Vec<&'static str>, Vec<Decision>) {
    let mut world = World::new(policy);
    let (on_at, off_at) = (world.index(ON), world.index(OFF));
    let mut decided = Vec::new();
    for t in 0..600 {
        let views: Vec<_> = [(on_at, on), (off_at, off)]
            .into_iter()
            .map(|(i, sum)| SeriesView {
                objective: ObjectiveId(0),
                cohort: CohortId(u32::try_from(i).unwrap()),
                windows: vec![WindowSum {
                    window_secs: 300,
                    from: at(t).minus_secs(300),
                    to: at(t),
                    counts: sum.counts(),
                    sampled: (!sum.weights.is_zero()).then_some(sum),
                }],
                lifetime: Counts::default(),
                last_event: at(t),
            })
            .collect();
        world
            .evaluator
            .apply(at(t), &views, &world.cohorts, &world.policies);
        decided.extend(
            world
                .decider
                .evaluate(at(t), world.evaluator.board(), &world.policies),
        );
    }
    (world.reasons(), decided)
}

#[test]
fn sampled_variants_are_compared_by_what_they_stand_for_and_the_record_says_so() {
    let (_, decided) = sampled_world(POLICY, sampled(500, 50, 100), sampled(5_000, 5, 100));
    let evidence = &decided[0].evidence;
    assert_eq!((evidence.cohort.bad, evidence.control.bad), (5_000, 500));
    let told = &decided[0].history[0].1;
    assert!(told.ends_with("estimated from 550 of 55000 events"), "{told}");
}

#[test]
fn variants_that_were_sampled_differently_are_not_compared() {
    let (reasons, decided) = sampled_world(POLICY, sampled(500, 50, 100), sampled(5_000, 50, 10));
    assert_eq!((reasons, decided.len()), (vec!["sampling_differs"], 0));
}

#[test]
fn min_bad_counts_events_that_were_seen() {
    let policy = POLICY.replace(
        "flag: new-checkout,",
        "flag: new-checkout, when: { min_bad: 20 },",
    );
    assert_ne!(policy, POLICY, "the policy has a rule");
    let (reasons, decided) = sampled_world(&policy, sampled(500, 19, 100), sampled(5_000, 5, 100));
    assert_eq!((reasons, decided.len()), (vec!["too_few_bad"], 0));
}

#[test]
fn nothing_is_decided_when_nobody_knows_what_is_missing() {
    let policy = format!("{POLICY}\nsampling: unknown\n");
    let (reasons, decided) = sampled_world(&policy, sampled(500, 50, 1), sampled(5_000, 5, 1));
    assert_eq!((reasons, decided.len()), (vec!["sampling_unknown"], 0));
}
