//! Exactly once, as far as anybody can see: deliveries against a world in memory, in paused time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::duration_suboptimal_units,
    missing_docs
)]

mod act_support;

use act_support::{Answer, Crash, Event, Hands, StepClock, T0, World, decision, down};
use burngate::act::{Decisions, Delivery, Pacing, Trouble};
use burngate::decide::{Decision, DecisionState, FailureReason};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// A process: its delivery at work, and the way to end it.
struct Process {
    decisions: Decisions,
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    hands: Hands,
}

fn start(world: &Arc<World>) -> Process {
    start_later(world, 0)
}

/// Starts `secs` seconds of wall clock after the decisions of these tests were made.
fn start_later(world: &Arc<World>, secs: u64) -> Process {
    let hands = world.process();
    let clock = StepClock::at(T0.plus_secs(secs));
    let log = Arc::new(hands.clone());
    let delivery = Delivery::new(hands.exporters("double"), log, clock, Pacing::default()).unwrap();
    let (stop, stopped) = oneshot::channel();
    let decisions = delivery.decisions();
    let task = tokio::spawn(delivery.run(async {
        let _ = stopped.await;
    }));
    Process {
        decisions,
        task,
        stop,
        hands,
    }
}

fn flag(name: &str) -> Decision {
    decision("double", name)
}

fn is_final(d: &Decision) -> bool {
    d.state.is_final()
}

impl Process {
    async fn end_of(&self, id: &str) -> Decision {
        let mut changes = self.decisions.watch();
        let found = async {
            loop {
                if let Some(d) = self.decisions.get(id).filter(is_final) {
                    return d;
                }
                changes.changed().await.unwrap();
            }
        };
        timeout(Duration::from_secs(3_600), found)
            .await
            .expect("the decision never ended")
    }

    /// True when the process died before the decision ended.
    async fn dies_before_end_of(&self, id: &str) -> bool {
        loop {
            if !self.hands.is_alive() {
                return true;
            }
            if self.decisions.get(id).is_some_and(|d| is_final(&d)) {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn one(world: &Arc<World>) -> Decision {
    let process = start(world);
    process.decisions.submit(flag("f")).unwrap();
    process.end_of(&flag("f").id).await
}

fn confirmed(verified: bool, already_off: bool) -> DecisionState {
    DecisionState::Confirmed {
        verified,
        already_off,
    }
}

/// Nothing is sent that the journal does not know: each call follows a row `Sending` of its own attempt.
fn assert_journal_leads(world: &World) {
    let mut may_send = 0_i32;
    for event in world.events.lock().unwrap().iter() {
        match event {
            Event::Journal(_, DecisionState::Sending { .. }) => may_send = 1,
            Event::Send(_) => {
                may_send -= 1;
                assert!(may_send >= 0, "a call without a row: {:?}", world.events);
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_sent_once_and_read_back() {
    let world = Arc::new(World::default());
    let d = one(&world).await;
    assert_eq!(d.state, confirmed(true, false));
    let id = d.id.clone();
    let events = world.events.lock().unwrap().clone();
    let sending = DecisionState::Sending { attempt: 1 };
    assert_eq!(
        events,
        [
            Event::Journal(id.clone(), DecisionState::Decided),
            Event::Read(id.clone()),
            Event::Journal(id.clone(), sending),
            Event::Send(id.clone()),
            Event::Journal(id.clone(), DecisionState::Verifying { attempt: 1 }),
            Event::Read(id.clone()),
            Event::Journal(id.clone(), confirmed(true, false)),
        ]
    );
    assert_eq!(world.stored(&id), Some(d));
}

/// C1 to C13: the process dies before and after each thing it does, is started again, and the end is the
/// same.
async fn survives_every_crash(unreadable: bool) -> usize {
    let id = flag("f").id;
    for at in 0.. {
        for after in [false, true] {
            let world = Arc::new(World::default());
            world.unreadable.store(unreadable, Ordering::SeqCst);
            world.crash_at(Crash { at, after });
            let first = start(&world);
            first.decisions.submit(flag("f")).unwrap();
            let died = first.dies_before_end_of(&id).await;
            first.task.abort();
            if !died {
                return at;
            }
            let second = start_later(&world, 5);
            if world.stored(&id).is_none() {
                assert_eq!(
                    world.sends(),
                    0,
                    "sent without a row, crash at {at} after {after}"
                );
                second.decisions.submit(flag("f")).unwrap();
            }
            let d = second.end_of(&id).await;
            assert!(
                matches!(d.state, DecisionState::Confirmed { .. }),
                "{at} {after}: {:?}",
                d.state
            );
            assert_eq!(world.stored(&id), Some(d), "crash at {at} after {after}");
            assert_journal_leads(&world);
            let times = world.times_switched_off("f");
            // A service that can be read is never told twice; one that cannot gets the same id again.
            assert!(
                times == 1 || (unreadable && times == 2),
                "{at} {after}: {times} times"
            );
        }
    }
    0
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_ends_in_one_switch_where_the_flag_can_be_read() {
    assert_eq!(
        survives_every_crash(false).await,
        7,
        "seven steps, each crashed before and after"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_repeats_at_most_the_same_id_where_it_cannot() {
    assert_eq!(survives_every_crash(true).await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_flag_that_is_off_already_is_left_alone() {
    let world = Arc::new(World::default());
    world.off.lock().unwrap().insert("f".to_owned(), 1);
    assert_eq!(one(&world).await.state, confirmed(true, true));
    assert_eq!(world.sends(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_read_back_and_not_repeated() {
    let world = Arc::new(World::default());
    world.script([Answer::ObeyThenLose]);
    assert_eq!(one(&world).await.state, confirmed(true, false));
    assert_eq!((world.sends(), world.times_switched_off("f")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let world = Arc::new(World::default());
    let after = Some(Duration::from_secs(17));
    world.script([Answer::Say(Trouble::Retry {
        after,
        down: false,
        detail: "429".to_owned(),
    })]);
    assert_eq!(one(&world).await.state, confirmed(true, false));
    let sent = world.sent_at.lock().unwrap().clone();
    let gap = sent[1] - sent[0];
    assert!(
        gap >= Duration::from_secs(17) && gap < Duration::from_secs(18),
        "{gap:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_life_of_a_decision_calls_a_human_at_once() {
    let world = Arc::new(World::default());
    let after = Some(Duration::from_secs(86_400));
    world.script([Answer::Say(Trouble::Retry {
        after,
        down: false,
        detail: "429".to_owned(),
    })]);
    let began = Instant::now();
    let d = one(&world).await;
    assert!(
        matches!(
            d.state,
            DecisionState::Failed {
                reason: FailureReason::Unreachable,
                ..
            }
        ),
        "{d:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_gets_eight_attempts_and_then_a_human_is_called() {
    let world = Arc::new(World::default());
    *world.always.lock().unwrap() = Some(Answer::Say(down("503 Service Unavailable")));
    let began = Instant::now();
    let d = one(&world).await;
    let DecisionState::Failed {
        reason: FailureReason::Unreachable,
        detail,
    } = &d.state
    else {
        panic!("{d:?}")
    };
    assert!(detail.contains("503"), "{detail}");
    assert_eq!(world.sends(), 8);
    assert!(
        began.elapsed() <= Duration::from_secs(600),
        "{:?}",
        began.elapsed()
    );
    assert_journal_leads(&world);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_answer_is_not_repeated() {
    for reason in [
        FailureReason::Unauthorized,
        FailureReason::NeedsApproval,
        FailureReason::NotFound,
    ] {
        let world = Arc::new(World::default());
        world.script([Answer::Say(Trouble::Permanent {
            reason,
            detail: "its words".to_owned(),
        })]);
        let d = one(&world).await;
        assert_eq!(
            d.state,
            DecisionState::Failed {
                reason,
                detail: "its words".to_owned()
            }
        );
        sleep(Duration::from_secs(60)).await;
        assert_eq!(world.sends(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_the_journal_cannot_be_written() {
    let world = Arc::new(World::default());
    world.disk_full.store(true, Ordering::SeqCst);
    let process = start(&world);
    process.decisions.submit(flag("f")).unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.sends(), 0);
    assert!(world.stored(&flag("f").id).is_none());
    world.disk_full.store(false, Ordering::SeqCst);
    assert_eq!(process.end_of(&flag("f").id).await.state, confirmed(true, false));
    assert_eq!(world.sends(), 1);
    assert_journal_leads(&world);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fills_between_deciding_and_sending_holds_the_call_back() {
    let world = Arc::new(World::default());
    world.script([Answer::Say(down("first"))]);
    let process = start(&world);
    process.decisions.submit(flag("f")).unwrap();
    while world.sends() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    world.disk_full.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.sends(), 1, "the second attempt is not in the journal");
    world.disk_full.store(false, Ordering::SeqCst);
    assert_eq!(process.end_of(&flag("f").id).await.state, confirmed(true, false));
    assert_journal_leads(&world);
}

#[tokio::test(start_paused = true)]
async fn an_observed_decision_is_recorded_and_never_sent() {
    let world = Arc::new(World::default());
    let process = start(&world);
    let mut d = flag("f");
    d.state = DecisionState::Observed;
    process.decisions.submit(d.clone()).unwrap();
    process.end_of(&d.id).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        world.events.lock().unwrap().clone(),
        [Event::Journal(d.id.clone(), DecisionState::Observed)]
    );
    // As it was submitted, under the lease of the process that recorded it.
    d.life.fence = 1;
    assert_eq!(world.stored(&d.id), Some(d));
}

#[tokio::test(start_paused = true)]
async fn what_a_human_switched_on_during_a_downtime_stays_on() {
    let world = Arc::new(World::default());
    world.crash_at(Crash { at: 3, after: true });
    let first = start(&world);
    first.decisions.submit(flag("f")).unwrap();
    assert!(first.dies_before_end_of(&flag("f").id).await);
    first.task.abort();
    assert_eq!(world.times_switched_off("f"), 1);
    world.switch_on("f");
    let second = start_later(&world, 3_600);
    let d = second.end_of(&flag("f").id).await;
    assert!(
        matches!(
            d.state,
            DecisionState::Failed {
                reason: FailureReason::Expired,
                ..
            }
        ),
        "{d:?}"
    );
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_before_a_long_downtime_is_confirmed_when_the_flag_is_off() {
    let world = Arc::new(World::default());
    world.crash_at(Crash { at: 3, after: true });
    let first = start(&world);
    first.decisions.submit(flag("f")).unwrap();
    assert!(first.dies_before_end_of(&flag("f").id).await);
    first.task.abort();
    let d = start_later(&world, 86_400).end_of(&flag("f").id).await;
    assert_eq!(d.state, confirmed(true, false));
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_done_that_does_nothing_is_reported_and_not_repeated() {
    let world = Arc::new(World::default());
    world.script([Answer::Lie]);
    let d = one(&world).await;
    assert!(
        matches!(
            d.state,
            DecisionState::Failed {
                reason: FailureReason::NotEffective,
                ..
            }
        ),
        "{d:?}"
    );
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lags_for_seconds_is_waited_for() {
    let world = Arc::new(World::default());
    world.stale_reads.store(4, Ordering::SeqCst);
    assert_eq!(one(&world).await.state, confirmed(true, false));
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_read_is_believed() {
    let world = Arc::new(World::default());
    world.unreadable.store(true, Ordering::SeqCst);
    assert_eq!(one(&world).await.state, confirmed(false, false));
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_decisions_on_one_flag_make_one_call() {
    let world = Arc::new(World::default());
    *world.call_takes.lock().unwrap() = Duration::from_secs(2);
    let process = start(&world);
    let (first, mut second) = (flag("f"), flag("f"));
    second.id = "id-of-another-policy".to_owned();
    process.decisions.submit(first.clone()).unwrap();
    process.decisions.submit(second.clone()).unwrap();
    let states = [
        process.end_of(&first.id).await.state,
        process.end_of(&second.id).await.state,
    ];
    assert!(
        states.contains(&confirmed(true, false)) && states.contains(&confirmed(true, true)),
        "{states:?}"
    );
    assert_eq!(world.sends(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_decisions_at_once_are_bounded_and_all_carried_out() {
    let world = Arc::new(World::default());
    *world.call_takes.lock().unwrap() = Duration::from_secs(1);
    let process = start(&world);
    let flags: Vec<Decision> = (0..300).map(|n| flag(&format!("f{n}"))).collect();
    for d in &flags {
        process.decisions.submit(d.clone()).unwrap();
    }
    for d in &flags {
        assert_eq!(process.end_of(&d.id).await.state, confirmed(true, false));
    }
    assert_eq!(world.sends(), 300);
    assert!(world.most_in_flight.load(Ordering::SeqCst) <= 64);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_spares_a_dead_server() {
    let world = Arc::new(World::default());
    *world.always.lock().unwrap() = Some(Answer::Say(down("503")));
    world.unreadable.store(true, Ordering::SeqCst);
    let process = start(&world);
    for n in 0..50 {
        process.decisions.submit(flag(&format!("f{n}"))).unwrap();
    }
    sleep(Duration::from_secs(20)).await;
    // Every decision may have one call on its way when the breaker opens; none comes after it within the
    // pause.
    let sends = world.sends();
    assert!(sends <= 64, "{sends}");
    sleep(Duration::from_secs(9)).await;
    assert_eq!(world.sends(), sends);
    *world.always.lock().unwrap() = None;
    for n in 0..50 {
        assert_eq!(
            process.end_of(&flag(&format!("f{n}")).id).await.state,
            confirmed(false, false)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_one_call_stops_nothing_else_and_ends() {
    let world = Arc::new(World::default());
    *world.always.lock().unwrap() = Some(Answer::Panic);
    let process = start(&world);
    process.decisions.submit(flag("bug")).unwrap();
    let d = process.end_of(&flag("bug").id).await;
    assert!(matches!(d.state, DecisionState::Failed { .. }), "{d:?}");
    assert!(world.sends() <= 8);
    *world.always.lock().unwrap() = None;
    process.decisions.submit(flag("next")).unwrap();
    assert_eq!(
        process.end_of(&flag("next").id).await.state,
        confirmed(true, false)
    );
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_waits_at_once_and_the_next_start_goes_on() {
    let world = Arc::new(World::default());
    let after = Some(Duration::from_secs(300));
    world.script([Answer::Say(Trouble::Retry {
        after,
        down: false,
        detail: "429".to_owned(),
    })]);
    let process = start(&world);
    process.decisions.submit(flag("f")).unwrap();
    sleep(Duration::from_secs(5)).await;
    let began = Instant::now();
    process.stop.send(()).unwrap();
    process.task.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(
        world.stored(&flag("f").id).unwrap().state,
        DecisionState::Sending { attempt: 1 }
    );
    let d = start_later(&world, 10).end_of(&flag("f").id).await;
    assert_eq!(d.state, confirmed(true, false));
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_may_finish_on_shutdown() {
    let world = Arc::new(World::default());
    *world.call_takes.lock().unwrap() = Duration::from_secs(3);
    let process = start(&world);
    process.decisions.submit(flag("f")).unwrap();
    sleep(Duration::from_secs(1)).await;
    process.stop.send(()).unwrap();
    process.task.await.unwrap();
    assert_eq!(world.stored(&flag("f").id).unwrap().state, confirmed(true, false));
}

#[tokio::test(start_paused = true)]
async fn a_decision_whose_exporter_was_removed_says_so() {
    let world = Arc::new(World::default());
    let process = start(&world);
    let d = decision("gone", "f");
    process.decisions.submit(d.clone()).unwrap();
    let DecisionState::Failed { detail, .. } = process.end_of(&d.id).await.state else {
        panic!()
    };
    assert!(detail.contains("`gone` is not configured"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_keeps_nobody_from_starting() {
    let world = Arc::new(World::default());
    world
        .rows
        .lock()
        .unwrap()
        .insert("broken".to_owned(), b"{\"version\":1,\"dec".to_vec());
    assert_eq!(one(&world).await.state, confirmed(true, false));
    assert!(world.rows.lock().unwrap().contains_key("broken"), "left alone");
}
