//! Crash points of a kill, by name, each with a crash, an error, a hang and a lost reply; and what the world
//! may do meanwhile. C16 to C18 need a second process that shares the store.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod act_support;

use act_support::{Answer, Crash, Event, Fault, Hands, StepClock, T0, World, decision, down};
use burngate::act::{Decisions, Delivery, Lease, OutletSwitch, Pacing, Trouble};
use burngate::decide::{Decision, DecisionState, FailureReason, Phase, RateLimit, RateLimits, Rates};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

struct Process {
    decisions: Decisions,
    outlets: OutletSwitch<Hands>,
    task: JoinHandle<()>,
    hands: Hands,
    clock: Arc<StepClock>,
    _stop: oneshot::Sender<()>,
}

fn start(world: &Arc<World>, secs: u64) -> Process {
    let hands = world.process();
    let clock = StepClock::at(T0.plus_secs(secs));
    let log = Arc::new(hands.clone());
    let exporters = hands.exporters("double");
    let delivery = Delivery::new(exporters, log, clock.clone(), Pacing::default()).unwrap();
    run(delivery, hands, clock)
}

fn run(delivery: Delivery<Hands>, hands: Hands, clock: Arc<StepClock>) -> Process {
    let (stop, stopped) = oneshot::channel();
    let (decisions, outlets) = (delivery.decisions(), delivery.outlets());
    let task = tokio::spawn(delivery.run(async {
        let _ = stopped.await;
    }));
    Process {
        decisions,
        outlets,
        task,
        hands,
        clock,
        _stop: stop,
    }
}

fn flag(name: &str) -> Decision {
    decision("double", name)
}

impl Process {
    async fn until(&self, what: &str, holds: impl Fn(&Decision) -> bool) -> Decision {
        let id = flag("f").id;
        let found = async {
            loop {
                if let Some(d) = self.decisions.get(&id).filter(&holds) {
                    return d;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_hours(1), found)
            .await
            .unwrap_or_else(|_| panic!("never {what}: {:?}", self.decisions.get(&id)))
    }

    async fn end(&self) -> Decision {
        self.until("ended", |d| d.state.is_final()).await
    }

    async fn dies_or_ends(&self) {
        let id = flag("f").id;
        while self.hands.is_alive() && !self.decisions.get(&id).is_some_and(|d| d.state.is_final()) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Where in the life of a kill: the number of the event, as a kill without trouble has them.
const JOURNAL_DECIDED: usize = 0;
const READ: usize = 1;
const JOURNAL_SENDING: usize = 2;
const CALL: usize = 3;
const JOURNAL_SENT: usize = 4;
const READ_BACK: usize = 5;
const JOURNAL_CONFIRMED: usize = 6;

/// The points of one process by name: (point, event, after its effect).
const POINTS: [(&str, usize, bool); 15] = [
    ("C1 before the decision is written", JOURNAL_DECIDED, false),
    ("C2 written, not known to be", JOURNAL_DECIDED, true),
    ("C3 after the decision is written", JOURNAL_DECIDED, true),
    ("C4 before the first read", READ, false),
    ("C5 during the read", READ, true),
    ("C6 read, before the attempt is written", JOURNAL_SENDING, false),
    ("C7 attempt written, before the call", JOURNAL_SENDING, true),
    ("C8 half a request", CALL, false),
    ("C9 applied, the reply is lost", CALL, true),
    ("C10 reply received, before it is written", JOURNAL_SENT, false),
    ("C10 reply written", JOURNAL_SENT, true),
    ("C11 during the read-back", READ_BACK, false),
    ("C12 read back, not yet known", READ_BACK, true),
    ("C12 read back, before it is written", JOURNAL_CONFIRMED, false),
    ("C13 after the confirmation is written", JOURNAL_CONFIRMED, true),
];

/// I1 (nothing is sent without its row), I3 (nothing after the confirmation), and the end: safe, by one call.
fn assert_sound(world: &World, what: &str, d: &Decision) {
    let mut may_send = false;
    let mut confirmed = false;
    for event in world.events.lock().unwrap().iter() {
        match event {
            Event::Journal(_, DecisionState::Sending { .. }) => may_send = true,
            Event::Journal(_, DecisionState::Confirmed { .. }) => confirmed = true,
            Event::Send(_) => {
                assert!(may_send, "{what}: a call without a row");
                assert!(!confirmed, "{what}: a call after the confirmation");
                may_send = false;
            }
            _ => {}
        }
    }
    assert!(
        matches!(d.state, DecisionState::Confirmed { .. }),
        "{what}: {:?}",
        d.state
    );
    assert_eq!(world.times_switched_off("f"), 1, "{what}");
    let stored = world.stored(&d.id).unwrap();
    assert_eq!(stored.state, d.state, "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_each_point_ends_in_one_switch() {
    for (what, at, after) in POINTS {
        let world = Arc::new(World::default());
        world.crash_at(Crash { at, after });
        let first = start(&world, 0);
        first.decisions.submit(flag("f")).unwrap();
        first.dies_or_ends().await;
        first.task.abort();
        let second = start(&world, 5);
        if world.stored(&flag("f").id).is_none() {
            assert_eq!(world.sends(), 0, "{what}");
            // The rule decides the same again: the same incident has the same id.
            second.decisions.submit(flag("f")).unwrap();
        }
        let d = second.end().await;
        assert_sound(&world, what, &d);
        let fence = world.stored(&d.id).unwrap().life.fence;
        assert!(fence >= 1, "{what}: every row has the fence of its writer");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_a_hang_and_a_lost_reply_at_each_point_end_in_one_switch() {
    for fault in [Fault::Error, Fault::Hang, Fault::LostReply] {
        for at in JOURNAL_DECIDED..=JOURNAL_CONFIRMED {
            let what = format!("{fault:?} at event {at}");
            let world = Arc::new(World::default());
            world.fault_at(at, fault);
            let process = start(&world, 0);
            process.decisions.submit(flag("f")).unwrap();
            process.end().await;
            // The row may come a second later, when the disk is back.
            process
                .until("stored", |d| {
                    d.state.is_final() && world.stored(&d.id).is_some_and(|s| s.state == d.state)
                })
                .await;
            assert!(world.has_faulted(), "{what}");
            assert_sound(&world, &what, &process.end().await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c14_a_restart_during_the_cooldown_sends_nothing_and_keeps_what_was_known() {
    let world = Arc::new(World::default());
    let first = start(&world, 0);
    first.decisions.submit(flag("f")).unwrap();
    let d = first.end().await;
    let until = T0.plus_secs(1_800);
    let effect = burngate::decide::Effect::Seen;
    let amended = first.decisions.amend(&d.id, |d| {
        d.life.phase = Phase::Cooldown { until, effect };
        Ok::<bool, ()>(true)
    });
    amended.unwrap();
    first
        .until("written", |d| {
            world.stored(&d.id).is_some_and(|s| s.life.phase == d.life.phase)
        })
        .await;
    first.task.abort();
    let second = start(&world, 60);
    sleep(Duration::from_mins(10)).await;
    let known = second.decisions.get(&d.id).unwrap();
    assert_eq!(known.life.phase, Phase::Cooldown { until, effect });
    assert_eq!(world.sends(), 1);
}

/// Somebody switches the flag on again just before each event after the call.
#[tokio::test(start_paused = true)]
async fn c15_somebody_who_exposes_the_flag_again_wins_at_every_point() {
    for at in [JOURNAL_SENDING, CALL] {
        // Before the call the flag was on anyway: their change is one more reason to read, not to stop.
        let world = Arc::new(World::default());
        world.fault_at(at, Fault::Human);
        let process = start(&world, 0);
        process.decisions.submit(flag("f")).unwrap();
        assert_sound(
            &world,
            &format!("before the call, event {at}"),
            &process.end().await,
        );
    }
    for at in [JOURNAL_SENT, READ_BACK] {
        let world = Arc::new(World::default());
        world.fault_at(at, Fault::Human);
        let process = start(&world, 0);
        process.decisions.submit(flag("f")).unwrap();
        let d = process.end().await;
        let DecisionState::Failed { reason, detail } = &d.state else {
            panic!("event {at}: {:?}", d.state)
        };
        assert_eq!(*reason, FailureReason::Overruled, "event {at}");
        assert!(detail.contains("ann"), "{detail}");
        assert!(
            matches!(d.life.phase, Phase::HumanHold { .. }),
            "event {at}: {:?}",
            d.life
        );
        sleep(Duration::from_mins(10)).await;
        assert_eq!(world.sends(), 1, "event {at}");
        assert_eq!(world.times_switched_off("f"), 0, "theirs stands, event {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn c15_a_lost_reply_and_somebody_after_it_is_not_sent_again() {
    let world = Arc::new(World::default());
    world.script([Answer::ObeyThenLose]);
    let process = start(&world, 0);
    process.decisions.submit(flag("f")).unwrap();
    while world.sends() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    world.switch_on_by("f", "ann", T0.plus_secs(2));
    let d = process.end().await;
    let overruled = matches!(
        d.state,
        DecisionState::Failed {
            reason: FailureReason::Overruled,
            ..
        }
    );
    assert!(overruled, "{:?}", d.state);
    assert_eq!(world.sends(), 1);
}

/// Confirmed, in a phase that is watched.
async fn confirmed(world: &Arc<World>) -> Process {
    let process = start(world, 0);
    process.decisions.submit(flag("f")).unwrap();
    let d = process.end().await;
    let amended = process.decisions.amend(&d.id, |d| {
        d.life.phase = Phase::Cooldown {
            until: T0.plus_secs(1_800),
            effect: burngate::decide::Effect::Seen,
        };
        Ok::<bool, ()>(true)
    });
    amended.unwrap();
    process
}

#[tokio::test(start_paused = true)]
async fn c15_somebody_who_exposes_it_in_the_cooldown_is_noticed_within_two_minutes_and_left_alone() {
    let world = Arc::new(World::default());
    let process = confirmed(&world).await;
    sleep(Duration::from_secs(90)).await;
    let before = process.decisions.get(&flag("f").id).unwrap();
    assert_eq!(
        before.life.phase.as_str(),
        "cooldown",
        "a flag that is off is in cooldown"
    );
    process.clock.set(T0.plus_secs(100));
    world.switch_on_by("f", "ann", T0.plus_secs(95));
    sleep(Duration::from_secs(90)).await;
    let held = process
        .until("in hold", |d| d.life.phase.as_str() == "human_hold")
        .await;
    let Phase::HumanHold { since, by, until } = &held.life.phase else {
        panic!()
    };
    assert_eq!((*since, by.as_str()), (T0.plus_secs(95), "ann"));
    assert_eq!(*until, T0.plus_secs(100 + 86_400));
    assert_eq!(
        held.life.exposed_at,
        Some(T0.plus_secs(95)),
        "evidence begins anew there"
    );
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn c27_a_replica_that_shows_the_past_for_seconds_puts_nothing_in_hold() {
    let world = Arc::new(World::default());
    let process = confirmed(&world).await;
    world.stale_reads.store(2, Ordering::SeqCst);
    sleep(Duration::from_mins(3)).await;
    assert_eq!(world.stale_reads.load(Ordering::SeqCst), 0, "they were read");
    let d = process.decisions.get(&flag("f").id).unwrap();
    assert_eq!(d.life.phase.as_str(), "cooldown");
}

#[tokio::test(start_paused = true)]
async fn c19_what_services_answer_leads_to_one_end_each() {
    let permanent = |reason| {
        Answer::Say(Trouble::Permanent {
            reason,
            detail: "its words".to_owned(),
        })
    };
    let slow = Answer::Say(Trouble::Retry {
        after: Some(Duration::from_secs(20)),
        down: false,
        detail: "429".to_owned(),
    });
    let rows = [
        ("429", slow, None),
        (
            "500, a slow-loris reply, garbage",
            Answer::Say(down("no JSON")),
            None,
        ),
        (
            "redirect",
            permanent(FailureReason::Rejected),
            Some(FailureReason::Rejected),
        ),
        (
            "approval",
            permanent(FailureReason::NeedsApproval),
            Some(FailureReason::NeedsApproval),
        ),
        (
            "C25 token rotated",
            permanent(FailureReason::Unauthorized),
            Some(FailureReason::Unauthorized),
        ),
    ];
    for (what, answer, want) in rows {
        let world = Arc::new(World::default());
        world.script([answer]);
        let process = start(&world, 0);
        process.decisions.submit(flag("f")).unwrap();
        let d = process.end().await;
        match (&d.state, want) {
            (DecisionState::Failed { reason, .. }, Some(want)) => {
                assert_eq!(*reason, want, "{what}");
                sleep(Duration::from_mins(1)).await;
                assert_eq!(world.sends(), 1, "{what}: not repeated");
            }
            (DecisionState::Confirmed { .. }, None) => assert_eq!(world.times_switched_off("f"), 1),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c20_a_clock_that_jumps_by_an_hour_changes_nothing_about_a_call_under_way() {
    for secs in [0_u64, 7_200] {
        let world = Arc::new(World::default());
        world.script([Answer::Say(down("503")), Answer::Say(down("503"))]);
        let process = start(&world, 3_600);
        process.decisions.submit(flag("f")).unwrap();
        while world.sends() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        process.clock.set(T0.plus_secs(secs));
        assert_sound(&world, "clock", &process.end().await);
    }
}

#[tokio::test(start_paused = true)]
async fn c21_nothing_is_sent_while_the_disk_is_full_and_all_is_well_when_it_is_not() {
    let world = Arc::new(World::default());
    world.disk_full.store(true, Ordering::SeqCst);
    let process = start(&world, 0);
    process.decisions.submit(flag("f")).unwrap();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(world.sends(), 0);
    world.disk_full.store(false, Ordering::SeqCst);
    assert_sound(&world, "disk", &process.end().await);
}

#[tokio::test(start_paused = true)]
async fn c22_a_reload_that_takes_the_exporter_away_in_the_middle_is_told_to_a_human() {
    let world = Arc::new(World::default());
    *world.always.lock().unwrap() = Some(Answer::Say(down("503")));
    let process = start(&world, 0);
    process.decisions.submit(flag("f")).unwrap();
    while world.sends() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    process.outlets.swap(process.hands.exporters("another"));
    let DecisionState::Failed { detail, .. } = process.end().await.state else {
        panic!()
    };
    assert!(detail.contains("`double` is not configured"), "{detail}");
}

/// A lease that is held until somebody takes it.
#[derive(Debug)]
struct Taken(AtomicU64);

impl Lease for Taken {
    fn fence(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|fence| *fence > 0)
    }
}

#[tokio::test(start_paused = true)]
async fn c26_who_lost_the_lease_sends_nothing_and_writes_over_nobody() {
    let world = Arc::new(World::default());
    let first = {
        let hands = world.process();
        let lease = Arc::new(Taken(AtomicU64::new(1)));
        let clock = StepClock::at(T0);
        let (exporters, log) = (hands.exporters("double"), Arc::new(hands.clone()));
        let held: Arc<dyn Lease> = lease.clone();
        let delivery = Delivery::with_lease(exporters, log, held, clock.clone(), Pacing::default()).unwrap();
        (run(delivery, hands, clock), lease)
    };
    *world.call_takes.lock().unwrap() = Duration::from_secs(4);
    world.script([Answer::Say(down("503"))]);
    first.0.decisions.submit(flag("f")).unwrap();
    while world.sends() == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    // Another process takes over, with the next number.
    first.1.0.store(0, Ordering::SeqCst);
    let second = start(&world, 30);
    let d = second.end().await;
    sleep(Duration::from_mins(5)).await;
    assert_sound(&world, "taken over", &d);
    assert_eq!(
        (d.life.fence, world.sends()),
        (2, 2),
        "one that failed, one of the second"
    );
    // A former holder that believes that it still is one.
    first.1.0.store(1, Ordering::SeqCst);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(world.sends(), 2);
    assert_eq!(world.stored(&d.id).unwrap().life.fence, 2);
}

#[tokio::test(start_paused = true)]
async fn c28_a_shutdown_in_the_middle_of_a_call_is_gone_on_with() {
    let world = Arc::new(World::default());
    *world.call_takes.lock().unwrap() = Duration::from_secs(30);
    let first = start(&world, 0);
    first.decisions.submit(flag("f")).unwrap();
    sleep(Duration::from_secs(5)).await;
    drop(first);
    sleep(Duration::from_secs(10)).await;
    *world.call_takes.lock().unwrap() = Duration::ZERO;
    world.in_flight.lock().unwrap().clear();
    let second = start(&world, 60);
    assert_sound(&world, "shutdown", &second.end().await);
}

#[tokio::test(start_paused = true)]
async fn c29_a_live_row_of_the_former_release_is_gone_on_with() {
    for (state, off) in [
        (DecisionState::Decided, false),
        (DecisionState::Sending { attempt: 1 }, false),
        (DecisionState::Sending { attempt: 1 }, true),
    ] {
        let world = Arc::new(World::default());
        let mut d = flag("f");
        d.state = state;
        let mut row: serde_json::Value =
            serde_json::from_slice(&burngate::act::journal::encode(&d).unwrap()).unwrap();
        row["version"] = 1.into();
        for key in ["life", "action", "actor", "deployment"] {
            row["decision"].as_object_mut().unwrap().remove(key);
        }
        let rows = [(d.id.clone(), row.to_string().into_bytes())];
        world.rows.lock().unwrap().extend(rows);
        if off {
            world.off.lock().unwrap().insert("f".to_owned(), 1);
        }
        let process = start(&world, 5);
        let d = process.end().await;
        assert_sound(&world, "a row of version 1", &d);
        assert_eq!(world.sends(), usize::from(!off));
    }
}

#[tokio::test(start_paused = true)]
async fn c30_a_row_that_broke_is_decided_anew_and_found_done() {
    let world = Arc::new(World::default());
    let first = start(&world, 0);
    first.decisions.submit(flag("f")).unwrap();
    first.end().await;
    first.task.abort();
    let id = flag("f").id;
    let broken = world.rows.lock().unwrap()[&id][..40].to_vec();
    world.rows.lock().unwrap().insert(id, broken);
    let second = start(&world, 60);
    second.decisions.submit(flag("f")).unwrap();
    let d = second.end().await;
    let already_off = DecisionState::Confirmed {
        verified: true,
        already_off: true,
    };
    assert_eq!(d.state, already_off, "done by us, and not counted twice");
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn c17_a_process_that_stood_still_for_half_a_minute_before_its_call_makes_it_once() {
    let world = Arc::new(World::default());
    *world.call_takes.lock().unwrap() = Duration::from_secs(30);
    let process = start(&world, 0);
    process.decisions.submit(flag("f")).unwrap();
    let is_sending = |d: Decision| matches!(d.state, DecisionState::Sending { .. });
    while !world.stored(&flag("f").id).is_some_and(is_sending) {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.sends(), 0, "the row is written, and nothing has left");
    process.clock.set(T0.plus_secs(30));
    assert_sound(&world, "stopped at C7", &process.end().await);
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn c23_two_policies_that_target_one_flag_make_one_call() {
    let world = Arc::new(World::default());
    let process = start(&world, 0);
    let mut other = flag("f");
    other.evidence.slo = "latency".to_owned();
    process.decisions.submit(flag("f")).unwrap();
    process.decisions.submit(other).unwrap();
    let d = process.end().await;
    assert_sound(&world, "two policies", &d);
    assert_eq!((world.sends(), d.evidence.slo.as_str()), (1, "availability"));
    assert_eq!(process.decisions.snapshot(9).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c24_a_crash_at_any_point_forgets_no_kill_that_the_limits_count() {
    for (what, at, after) in POINTS {
        let world = Arc::new(World::default());
        world.crash_at(Crash { at, after });
        let process = start(&world, 0);
        process.decisions.submit(flag("f")).unwrap();
        process.dies_or_ends().await;
        process.task.abort();
        let stored = world.stored(&flag("f").id);
        let mut rates = Rates::default();
        if let Some(d) = &stored {
            rates.note(d);
        }
        let reached = rates.reached(T0.plus_secs(5), "checkout", RateLimits::default());
        let limit = reached.map(|(limit, ..)| limit);
        assert_eq!(limit, stored.map(|_| RateLimit::Service), "{what}");
        assert!(
            limit.is_some() || world.sends() == 0,
            "{what}: it left, and is not counted"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn c25_a_token_that_is_replaced_in_the_middle_is_used_from_the_next_call_on() {
    let world = Arc::new(World::default());
    world.script([Answer::Say(down("503"))]);
    let process = start(&world, 0);
    process.decisions.submit(flag("f")).unwrap();
    while world.sends() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let replaced = world.process();
    process.outlets.swap(replaced.exporters("double"));
    assert_sound(&world, "replaced", &process.end().await);
    assert_eq!(
        world.sends(),
        2,
        "the one that failed, and the one with the new token"
    );
}
