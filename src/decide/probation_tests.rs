//! Flags on probation: when a step follows, when it is taken back, and who else has a say.

use super::*;
use crate::policy::{Board, PolicySet, from_text};
use crate::time::UnixNanos;
use proptest::prelude::*;

const HOUR: u64 = 3_600;

fn at(secs: u64) -> UnixNanos {
    UnixNanos::from_secs(1_795_300_000 + secs)
}

fn policies(more: &str) -> PolicySet {
    let text = format!(
        "
service: checkout
environment: production
slos: [{{ name: availability, target: 99.9% }}]
kill_switches:
  - {{ flag: f, exporter: unleash, {more} }}
"
    );
    from_text("p.yaml", &text).unwrap()
}

fn usual() -> PolicySet {
    policies("mode: auto, probation: { steps: [1%, 5%, 25%], every: 10m, after: 1h }")
}

/// A kill that is over: switched off by the rule at 0, closed after the cooldown.
fn killed() -> Decision {
    let mut it = life_tests::decided();
    it.state = DecisionState::Confirmed {
        verified: true,
        already_off: false,
    };
    it.updated_at = at(0);
    it.life.effect = Some(Effect::Seen);
    it.life.phase = Phase::Closed {
        at: at(1_800),
        why: "the cooldown is over and nothing burns".to_owned(),
    };
    it
}

fn decider(of: &Decision) -> KillDecider {
    let mut decider = KillDecider::new();
    decider.restore([of.clone()]);
    decider
}

fn evaluate(decider: &mut KillDecider, secs: u64, policies: &PolicySet) -> Option<Decision> {
    let mut made = decider.evaluate(at(secs), &Board::new(), policies);
    assert!(made.len() <= 1, "{made:?}");
    made.pop()
}

fn confirm(decider: &mut KillDecider, d: &Decision, secs: u64) -> Decision {
    let mut it = d.clone();
    it.state = DecisionState::Confirmed {
        verified: true,
        already_off: false,
    };
    it.updated_at = at(secs);
    it.life.fence = 1;
    if let Some(step) = &mut it.life.probation {
        step.former_percent.get_or_insert(100);
    }
    decider.update(&it);
    it
}

/// What was seen for a while: so long, so many requests, so many of them bad.
fn seen(watched_secs: u64, events: u64, bad: u64) -> Event {
    let burn = (events > 0).then(|| bad as f64 / events as f64 * 1_000.0);
    Event::Passed(Observation {
        probed: Some(Probed {
            watched_secs,
            events,
            bad,
            burn,
        }),
        burn: Some(0.0),
        traffic: None,
    })
}

fn tell(decider: &mut KillDecider, d: &mut Decision, secs: u64, event: &Event) -> bool {
    let told = d.apply(at(secs), &LifeRules::default(), event).unwrap();
    decider.update(d);
    told
}

/// Confirmed at `secs` and watched without a burn.
fn pass(decider: &mut KillDecider, d: &Decision, secs: u64) -> Decision {
    let mut it = confirm(decider, d, secs);
    assert!(tell(decider, &mut it, secs + 1, &seen(0, 0, 0)));
    assert!(
        matches!(it.life.phase, Phase::Probation { .. }),
        "{:?}",
        it.life.phase
    );
    assert!(
        !tell(decider, &mut it, secs + 600, &seen(599, 10_000, 0)),
        "too early"
    );
    assert!(!tell(decider, &mut it, secs + 700, &seen(700, 49, 0)), "too few");
    assert!(tell(decider, &mut it, secs + 700, &seen(700, 50, 0)));
    it
}

#[test]
fn a_flag_comes_back_in_steps_and_the_rest_is_for_somebody() {
    let (policies, kill) = (usual(), killed());
    let mut decider = decider(&kill);
    assert_eq!(evaluate(&mut decider, HOUR - 1, &policies), None);
    let mut now = HOUR;
    let mut former = kill.clone();
    for (n, (percent, from)) in [(1, 0), (5, 1), (25, 5)].into_iter().enumerate() {
        let step = evaluate(&mut decider, now, &policies).unwrap();
        assert_eq!(step.action, Action::Expose { percent, from });
        assert_eq!(step.actor, Actor::Probation { of: kill.id.clone() });
        assert_eq!(
            (step.incident, &step.state),
            (former.incident + 1, &DecisionState::Decided)
        );
        let about = step.life.probation.as_ref().unwrap();
        assert_eq!((about.step as usize, about.left_at), (n + 1, former.updated_at));
        assert_eq!(evaluate(&mut decider, now + 1, &policies), None, "one at a time");
        former = pass(&mut decider, &step, now + 2);
        now += 702;
        if n < 2 {
            assert!(
                matches!(former.life.phase, Phase::Passed { .. }),
                "{:?}",
                former.life.phase
            );
        }
    }
    let Phase::Closed { why, .. } = &former.life.phase else {
        panic!("{:?}", former.life.phase)
    };
    assert!(why.contains("the rest is for somebody to give"), "{why}");
    assert_eq!(evaluate(&mut decider, now + 1, &policies), None);
    assert_eq!(evaluate(&mut decider, now + 100 * HOUR, &policies), None);
}

#[test]
fn the_first_burn_takes_it_back_and_there_is_no_second_try() {
    let (policies, kill) = (usual(), killed());
    let mut decider = decider(&kill);
    let first = evaluate(&mut decider, HOUR, &policies).unwrap();
    let mut step = confirm(&mut decider, &first, HOUR + 2);
    tell(&mut decider, &mut step, HOUR + 3, &seen(0, 0, 0));
    // The rule's threshold is 7: at it is not above it.
    assert!(!tell(&mut decider, &mut step, HOUR + 60, &seen(57, 1_000, 7)));
    assert!(tell(&mut decider, &mut step, HOUR + 61, &seen(58, 1_000, 8)));
    let Phase::Withdrawn { why, .. } = &step.life.phase else {
        panic!("{:?}", step.life.phase)
    };
    assert!(why.contains("burns at 8.00"), "{why}");
    let back = evaluate(&mut decider, HOUR + 61, &policies).unwrap();
    assert_eq!(back.action, Action::default());
    assert_eq!(back.actor, Actor::Probation { of: kill.id.clone() });
    assert_eq!(back.state, DecisionState::Decided);
    assert_eq!(back.life.left_at, Some(step.updated_at));
    let mut back = confirm(&mut decider, &back, HOUR + 62);
    back.life.effect = Some(Effect::Seen);
    back.life.phase = Phase::Closed {
        at: at(2 * HOUR),
        why: String::new(),
    };
    decider.update(&back);
    for hours in 2..200 {
        assert_eq!(evaluate(&mut decider, hours * HOUR, &policies), None, "{hours}");
    }
}

#[test]
fn a_burn_of_too_few_bad_events_is_not_believed() {
    let policies = policies("mode: auto, when: { min_bad: 3 }, probation: { every: 1m, after: 0s }");
    let mut decider = decider(&killed());
    let first = evaluate(&mut decider, HOUR, &policies).unwrap();
    let mut step = confirm(&mut decider, &first, HOUR);
    tell(&mut decider, &mut step, HOUR + 1, &seen(0, 0, 0));
    assert!(!tell(&mut decider, &mut step, HOUR + 2, &seen(1, 10, 2)));
    assert!(tell(&mut decider, &mut step, HOUR + 3, &seen(2, 10, 3)));
}

#[test]
fn nothing_is_given_back_that_was_not_ours_to_take() {
    let policies = usual();
    let mut rows: Vec<(&str, Decision)> = Vec::new();
    let mut row = |what, change: &dyn Fn(&mut Decision)| {
        let mut it = killed();
        change(&mut it);
        rows.push((what, it));
    };
    row("by hand", &|d| {
        d.actor = Actor::Person {
            name: "ann".to_owned(),
            reason: String::new(),
        };
    });
    row("without an effect", &|d| d.life.effect = None);
    row("nobody knows what it did", &|d| {
        d.life.effect = Some(Effect::Unknown);
    });
    row("released, or switched back by somebody", &|d| {
        d.life.exposed_at = Some(at(900));
    });
    row("off before", &|d| {
        d.state = DecisionState::Confirmed {
            verified: true,
            already_off: true,
        };
    });
    row("another safe state", &|d| {
        d.action = Action::Switch {
            to: crate::policy::SafeState::On,
        };
    });
    row("not over", &|d| {
        d.life.phase = Phase::Cooldown {
            until: at(1_800),
            effect: Effect::Seen,
        };
    });
    row("escalated", &|d| {
        let why = NoEffect::StillServed { share: 0.5 };
        d.life.phase = Phase::Escalated {
            until: at(90_000),
            why,
        };
    });
    row("of another service", &|d| d.evidence.service = "cart".to_owned());
    row("of another SLO", &|d| d.exporter = "other".to_owned());
    for (what, kill) in rows {
        // What an open decision has to say itself is not asked here.
        assert_eq!(evaluate(&mut decider(&kill), 2 * HOUR, &policies), None, "{what}");
    }
    assert!(evaluate(&mut decider(&killed()), 2 * HOUR, &policies).is_some());
}

#[test]
fn a_policy_that_does_not_want_it_any_more_is_heard() {
    for more in [
        "mode: auto",
        "mode: observe, probation: {}",
        "mode: off, probation: {}",
    ] {
        assert_eq!(
            evaluate(&mut decider(&killed()), 2 * HOUR, &policies(more)),
            None,
            "{more}"
        );
    }
    let proposed = evaluate(
        &mut decider(&killed()),
        2 * HOUR,
        &policies("mode: propose, probation: {}"),
    );
    assert!(matches!(proposed.unwrap().state, DecisionState::Proposed { .. }));
}

#[test]
fn while_rules_may_switch_nothing_nothing_is_given_back() {
    let (policies, later) = (usual(), 2 * HOUR);
    let never = || {
        let mut set = globset::GlobSetBuilder::new();
        set.add(globset::Glob::new("f*").unwrap());
        CommonGuards {
            never_kill: set.build().unwrap(),
            ..CommonGuards::default()
        }
    };
    let mut off = decider(&killed());
    off.set_rules(LifeRules::default(), RateLimits::default(), false);
    let mut named = decider(&killed());
    named.set_evidence(ErrorRates::default(), never());
    let mut shed = decider(&killed());
    shed.note_coverage(0.9);
    let mut escalated = decider(&killed());
    let mut other = killed();
    (other.id, other.flag) = ("x".to_owned(), "g".to_owned());
    other.life.phase = Phase::Escalated {
        until: at(later + 10),
        why: NoEffect::StillServed { share: 0.5 },
    };
    escalated.update(&other);
    for (what, decider) in [
        ("disabled", &mut off),
        ("never_kill", &mut named),
        ("coverage", &mut shed),
    ] {
        assert_eq!(evaluate(decider, later, &policies), None, "{what}");
    }
    assert_eq!(evaluate(&mut escalated, later, &policies), None);
    assert!(
        evaluate(&mut escalated, later + 10, &policies).is_some(),
        "the hold is over"
    );
}

#[test]
fn what_could_not_begin_within_a_day_does_not_begin() {
    let policies = usual();
    assert!(evaluate(&mut decider(&killed()), 25 * HOUR - 1, &policies).is_some());
    assert_eq!(evaluate(&mut decider(&killed()), 25 * HOUR, &policies), None);
}

#[test]
fn a_step_without_traffic_for_a_day_is_taken_back() {
    let policies = usual();
    let mut decider = decider(&killed());
    let first = evaluate(&mut decider, HOUR, &policies).unwrap();
    let mut step = confirm(&mut decider, &first, HOUR);
    tell(&mut decider, &mut step, HOUR, &seen(0, 0, 0));
    assert!(!tell(
        &mut decider,
        &mut step,
        25 * HOUR - 1,
        &seen(80_000, 49, 0)
    ));
    assert!(tell(&mut decider, &mut step, 25 * HOUR, &seen(80_001, 49, 0)));
    assert!(matches!(step.life.phase, Phase::Withdrawn { .. }));
}

#[test]
fn nothing_goes_on_while_something_else_burns() {
    let policies = usual();
    let mut decider = decider(&killed());
    let first = evaluate(&mut decider, HOUR, &policies).unwrap();
    let mut step = confirm(&mut decider, &first, HOUR);
    tell(&mut decider, &mut step, HOUR, &seen(0, 0, 0));
    let Event::Passed(mut observation) = seen(700, 5_000, 0) else {
        panic!()
    };
    observation.burn = Some(7.5);
    assert!(!tell(
        &mut decider,
        &mut step,
        HOUR + 700,
        &Event::Passed(observation)
    ));
    observation.burn = Some(7.0);
    assert!(tell(
        &mut decider,
        &mut step,
        HOUR + 701,
        &Event::Passed(observation)
    ));
}

#[test]
fn no_step_gives_it_to_more_than_had_it_before() {
    let policies = usual();
    let mut decider = decider(&killed());
    let mut first = evaluate(&mut decider, HOUR, &policies).unwrap();
    if let Some(step) = &mut first.life.probation {
        step.former_percent = Some(3);
    }
    pass(&mut decider, &first, HOUR);
    let second = evaluate(&mut decider, HOUR + 700, &policies).unwrap();
    assert_eq!(second.action, Action::Expose { percent: 3, from: 1 });
    let second = pass(&mut decider, &second, HOUR + 701);
    assert!(
        matches!(second.life.phase, Phase::Closed { .. }),
        "{:?}",
        second.life.phase
    );
}

#[test]
fn whoever_changes_the_flag_on_probation_ends_it() {
    let policies = usual();
    let mut decider = decider(&killed());
    let first = evaluate(&mut decider, HOUR, &policies).unwrap();
    let mut step = confirm(&mut decider, &first, HOUR);
    tell(&mut decider, &mut step, HOUR, &seen(0, 0, 0));
    let event = Event::Exposed {
        at: at(HOUR + 20),
        by: Some("ann".to_owned()),
        is_ours: false,
    };
    assert!(tell(&mut decider, &mut step, HOUR + 30, &event));
    let Phase::HumanHold { by, until, .. } = &step.life.phase else {
        panic!("{:?}", step.life.phase)
    };
    assert_eq!((by.as_str(), *until), ("ann", at(HOUR + 30 + 86_400)));
    assert_eq!(evaluate(&mut decider, 2 * HOUR, &policies), None);
    assert_eq!(evaluate(&mut decider, 40 * HOUR, &policies), None);
}

#[test]
fn a_release_leaves_the_flag_where_it_is() {
    let policies = usual();
    let mut decider = decider(&killed());
    let first = evaluate(&mut decider, HOUR, &policies).unwrap();
    let mut step = confirm(&mut decider, &first, HOUR);
    tell(&mut decider, &mut step, HOUR, &seen(0, 0, 0));
    let event = Event::Released {
        by: "ann".to_owned(),
        reason: "mine".to_owned(),
    };
    assert!(tell(&mut decider, &mut step, HOUR + 30, &event));
    assert_eq!(evaluate(&mut decider, 2 * HOUR, &policies), None);
}

#[test]
fn a_step_whose_call_may_have_left_is_taken_back_and_one_that_never_left_is_not() {
    let policies = usual();
    for (attempts, reason, taken) in [
        (1, FailureReason::Unreachable, true),
        (2, FailureReason::NotEffective, true),
        (1, FailureReason::Overruled, false),
        (0, FailureReason::Rejected, false),
    ] {
        let mut decider = decider(&killed());
        let mut step = evaluate(&mut decider, HOUR, &policies).unwrap();
        step.life.attempts = attempts;
        step.state = DecisionState::Failed {
            reason,
            detail: "503".to_owned(),
        };
        decider.update(&step);
        let next = evaluate(&mut decider, HOUR + 5, &policies);
        assert_eq!(next.is_some(), taken, "{attempts} {reason:?}");
        if let Some(next) = next {
            assert_eq!(
                (next.action, next.state),
                (Action::default(), DecisionState::Decided)
            );
        }
    }
}

#[test]
fn steps_count_against_no_limit_and_hold_the_rule_back() {
    let policies = usual();
    let mut decider = decider(&killed());
    let first = evaluate(&mut decider, HOUR, &policies).unwrap();
    let limit = decider.live().admit(
        at(HOUR + 1),
        &live::Subject {
            exporter: "unleash".to_owned(),
            environment: "production".to_owned(),
            flag: "g".to_owned(),
        },
        "checkout",
        crate::policy::KillMode::Auto,
    );
    assert_eq!(limit, Ok(1), "a step is no kill of the service");
    let subject = live::Subject {
        exporter: first.exporter.clone(),
        environment: first.environment.clone(),
        flag: first.flag.clone(),
    };
    let mut step = first.clone();
    for events in [Vec::new(), vec![seen(0, 0, 0)]] {
        for event in events {
            step = confirm(&mut decider, &step, HOUR + 2);
            tell(&mut decider, &mut step, HOUR + 2, &event);
        }
        let held = decider
            .live()
            .next_incident(at(HOUR + 5), &subject, crate::policy::KillMode::Auto);
        assert!(matches!(held, Err(WithheldReason::UnderWay { .. })), "{held:?}");
    }
}

#[test]
fn a_restart_between_any_two_steps_goes_on_where_it_was() {
    let policies = usual();
    let mut decider = decider(&killed());
    let mut known = vec![killed()];
    let mut now = HOUR;
    for _ in 0..3 {
        let step = evaluate(&mut decider, now, &policies).unwrap();
        // Lost before it was written: it is made again, as the same.
        let mut again = KillDecider::new();
        again.restore(known.clone());
        let made = evaluate(&mut again, now, &policies).unwrap();
        assert_eq!(made.id, step.id);
        known.push(pass(&mut decider, &step, now + 1));
        now += 701;
    }
}

/// What may happen to a flag that is on probation, in any order. A restart is between any two: what is known
/// is made anew from the rows at each evaluation.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Evaluate,
    /// The delivery reads, and if it may, writes; the answer comes or is lost.
    Deliver {
        is_lost: bool,
    },
    Seen {
        watched_secs: u64,
        events: u64,
        bad: u64,
    },
    /// Somebody sets the flag to this share, or off.
    Somebody {
        percent: u8,
    },
    /// The watch has looked.
    Watch,
    Time {
        secs: u64,
    },
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => Just(Happens::Evaluate),
        8 => any::<bool>().prop_map(|is_lost| Happens::Deliver { is_lost }),
        6 => (0_u64..1_500, 0_u64..500, 0_u64..6)
            .prop_map(|(watched_secs, events, bad)| Happens::Seen { watched_secs, events, bad }),
        1 => (0_u8..100).prop_map(|percent| Happens::Somebody { percent }),
        2 => Just(Happens::Watch),
        4 => (1_u64..4_000).prop_map(|secs| Happens::Time { secs }),
    ]
}

/// The flag at its service, and the journal.
#[derive(Clone, Debug)]
struct Shop {
    now: u64,
    percent: u8,
    is_somebodys: bool,
    rows: Vec<Decision>,
    /// What was ever sent.
    shares: Vec<u8>,
}

impl Shop {
    fn new() -> Self {
        Self {
            now: HOUR,
            percent: 0,
            is_somebodys: false,
            rows: vec![killed()],
            shares: Vec::new(),
        }
    }

    fn happen(&mut self, it: Happens, policies: &PolicySet) {
        match it {
            Happens::Evaluate => {
                let mut decider = KillDecider::new();
                decider.restore(self.rows.clone());
                self.rows.extend(evaluate(&mut decider, self.now, policies));
            }
            Happens::Time { secs } => self.now += secs,
            Happens::Somebody { percent } => {
                self.is_somebodys |= percent != self.percent;
                self.percent = percent;
            }
            Happens::Watch => self.watch(),
            Happens::Seen {
                watched_secs,
                events,
                bad,
            } => self.tell(&seen(watched_secs, events, bad.min(events))),
            Happens::Deliver { is_lost } => self.deliver(is_lost),
        }
    }

    fn tell(&mut self, event: &Event) {
        if let Some(row) = self.rows.last_mut() {
            let _ = row.apply(at(self.now), &LifeRules::default(), event);
        }
    }

    fn watch(&mut self) {
        let is_changed = match self.rows.last().map(|row| &row.action) {
            Some(Action::Expose { percent, .. }) => self.percent != *percent,
            _ => false,
        };
        if is_changed {
            self.tell(&Event::Exposed {
                at: at(self.now),
                by: None,
                is_ours: false,
            });
        }
    }

    /// What a read says of the flag.
    fn look(&self, row: &Decision) -> Look {
        let is_sent = row.state.attempt() > 0;
        let changed = || Look::Changed { by: "ann".to_owned() };
        match row.action {
            Action::Expose { percent, .. } if is_sent && self.percent == percent => Look::Safe,
            Action::Expose { from, .. } if self.percent != from || self.is_somebodys => changed(),
            Action::Expose { .. } => Look::Exposed,
            _ if self.percent == 0 => Look::Safe,
            _ if self.is_somebodys && !is_sent => changed(),
            _ => Look::Exposed,
        }
    }

    /// The rules of the delivery, in short: read, write, read.
    fn deliver(&mut self, is_lost: bool) {
        let Some(mut row) = self.rows.last().cloned().filter(|row| !row.state.is_at_rest()) else {
            return;
        };
        let tries = Tries {
            max_attempts: 3,
            is_late: false,
        };
        row.state = match after_read(&row.state, self.look(&row), tries) {
            Next::Send(attempt) => {
                let (percent, from) = match row.action {
                    Action::Expose { percent, from } => (percent, Some(from)),
                    _ => (0, None),
                };
                // The one thing that must never happen.
                assert!(from.is_none_or(|from| from == self.percent && !self.is_somebodys));
                row.life.attempts = attempt;
                if let Some(step) = &mut row.life.probation {
                    step.former_percent.get_or_insert(100);
                }
                self.percent = percent;
                self.shares.push(percent);
                if is_lost {
                    DecisionState::Sending { attempt }
                } else {
                    DecisionState::Confirmed {
                        verified: true,
                        already_off: false,
                    }
                }
            }
            Next::End(state) => {
                let reason = FailureReason::Overruled;
                if matches!(&state, DecisionState::Failed { reason: found, .. } if *found == reason) {
                    row.hold(at(self.now), 86_400, "ann");
                }
                state
            }
            Next::Again => return,
        };
        row.updated_at = at(self.now);
        row.life.fence = 1;
        if let Some(last) = self.rows.last_mut() {
            *last = row;
        }
    }

    /// What must hold at any time.
    fn check(&self) {
        let live = self.rows.iter().filter(|row| !row.state.is_final()).count();
        assert!(live <= 1, "{live} at once: {self:?}");
        let numbers: Vec<u64> = self.rows.iter().map(|row| row.incident).collect();
        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
        let mut rising = self.shares.clone();
        if let Some(fell) = rising.iter().position(|share| *share == 0) {
            assert!(rising[fell..].iter().all(|share| *share == 0), "{rising:?}");
            rising.truncate(fell);
        }
        rising.dedup();
        assert!([1, 5, 25].starts_with(&rising), "{rising:?}");
        // What burned is on its way back, or somebody's.
        for row in self.rows.iter().rev().skip(1) {
            assert!(row.state.is_final(), "{self:?}");
        }
    }

    /// All that tells two states apart.
    fn key(&self) -> String {
        let rows = self
            .rows
            .iter()
            .map(|row| (&row.action, &row.state, &row.life, row.updated_at));
        format!(
            "{:?} {:?} {:?} {:?} {:?}",
            self.now,
            self.percent,
            self.is_somebodys,
            self.shares,
            rows.collect::<Vec<_>>()
        )
    }
}

proptest! {
    #[test]
    fn in_any_order_shares_rise_by_the_policys_steps_and_fall_once(
        order in proptest::collection::vec(happens(), 1..120),
    ) {
        let policies = usual();
        let mut shop = Shop::new();
        for it in order {
            shop.happen(it, &policies);
            shop.check();
        }
    }
}

#[test]
fn every_order_of_a_handful_of_events_keeps_the_same() {
    let most = if std::env::var_os("BURNGATE_LONG").is_some() {
        300_000
    } else {
        6_000
    };
    let policies = usual();
    let events = [
        Happens::Evaluate,
        Happens::Deliver { is_lost: false },
        Happens::Deliver { is_lost: true },
        Happens::Seen {
            watched_secs: 700,
            events: 5_000,
            bad: 0,
        },
        Happens::Seen {
            watched_secs: 700,
            events: 5_000,
            bad: 50,
        },
        Happens::Somebody { percent: 50 },
        Happens::Watch,
        Happens::Time { secs: 700 },
    ];
    let mut known = std::collections::HashSet::new();
    let mut queue = std::collections::VecDeque::from([Shop::new()]);
    let mut phases = std::collections::BTreeSet::new();
    let mut turn = 0_usize;
    // The deepest first, and now and then the nearest.
    while let Some(shop) = if turn.is_multiple_of(4) {
        queue.pop_front()
    } else {
        queue.pop_back()
    } {
        turn += 1;
        for it in events {
            let mut next = shop.clone();
            next.happen(it, &policies);
            next.check();
            phases.extend(next.rows.iter().map(|row| row.life.phase.as_str()));
            if known.len() < most && known.insert(next.key()) {
                queue.push_back(next);
            }
        }
    }
    assert!(known.len() >= most, "only {} states", known.len());
    for phase in ["probation", "passed", "withdrawn", "human_hold", "closed"] {
        assert!(phases.contains(phase), "{phase} was never reached: {phases:?}");
    }
}
