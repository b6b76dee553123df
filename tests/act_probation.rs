//! Steps of a probation at every crash point of the delivery, each with a crash, an error, a hang and a lost
//! reply, and against somebody who changes the flag meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod act_support;

use act_support::{Crash, Event, Fault, Hands, StepClock, T0, World, decision};
use burngate::act::{Change, Decisions, Delivery, Pacing};
use burngate::decide::{Action, Actor, Decision, DecisionState, FailureReason, Phase, ProbationStep};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Events of a step without trouble: decided, read, sending, call, sent, read back, confirmed.
const EVENTS: usize = 7;

struct Process {
    decisions: Decisions,
    task: JoinHandle<()>,
    hands: Hands,
    clock: Arc<StepClock>,
}

fn start(world: &Arc<World>, secs: u64) -> Process {
    let hands = world.process();
    let clock = StepClock::at(T0.plus_secs(secs));
    let log = Arc::new(hands.clone());
    let delivery = Delivery::new(hands.exporters("double"), log, clock.clone(), Pacing::default()).unwrap();
    Process {
        decisions: delivery.decisions(),
        task: tokio::spawn(delivery.run(std::future::pending())),
        hands,
        clock,
    }
}

impl Process {
    async fn until(&self, what: &str, holds: impl Fn(&Decision) -> bool) -> Decision {
        let id = decision("double", "f").id;
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
}

fn step(percent: u8, from: u8) -> Decision {
    let mut d = decision("double", "f");
    d.action = Action::Expose { percent, from };
    d.actor = Actor::Probation { of: "k".to_owned() };
    d.life.probation = Some(ProbationStep {
        of: "k".to_owned(),
        step: 1,
        left_at: T0.minus_secs(3_600),
        every_secs: 600,
        min_bad: 1,
        min_events: 50,
        is_last: false,
        former_percent: (from > 0).then_some(100),
    });
    d
}

/// The flag is off and was on for everybody, or on for `from`.
fn world(from: u8) -> Arc<World> {
    let world = World::default();
    let share = if from == 0 {
        (false, 100.0)
    } else {
        (true, f64::from(from))
    };
    world.shares.lock().unwrap().insert("f".to_owned(), share);
    Arc::new(world)
}

fn share(world: &World) -> (bool, f64) {
    world.shares.lock().unwrap()["f"]
}

fn assert_sound(world: &World, what: &str, d: &Decision, percent: u8) {
    let mut may_send = false;
    for event in world.events.lock().unwrap().iter() {
        match event {
            Event::Journal(_, DecisionState::Sending { .. }) => may_send = true,
            Event::Send(_) => {
                assert!(may_send, "{what}: a call without a row");
                may_send = false;
            }
            _ => {}
        }
    }
    assert!(
        matches!(d.state, DecisionState::Confirmed { verified: true, .. }),
        "{what}: {:?}",
        d.state
    );
    assert_eq!(share(world), (true, f64::from(percent)), "{what}");
    let stored = world.stored(&d.id).unwrap();
    assert_eq!(stored.state, d.state, "{what}");
    let former = stored.life.probation.and_then(|step| step.former_percent);
    assert_eq!(
        former,
        Some(100),
        "{what}: what the flag had before is not forgotten"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_each_point_ends_in_exactly_that_share() {
    for (percent, from) in [(1, 0), (5, 1)] {
        for at in 0..EVENTS {
            for after in [false, true] {
                let what = format!("{percent} %, event {at}, after: {after}");
                let world = world(from);
                world.crash_at(Crash { at, after });
                let first = start(&world, 0);
                first.decisions.submit(step(percent, from)).unwrap();
                while first.hands.is_alive()
                    && !first
                        .decisions
                        .get(&step(1, 0).id)
                        .is_some_and(|d| d.state.is_final())
                {
                    sleep(Duration::from_millis(20)).await;
                }
                first.task.abort();
                let second = start(&world, 5);
                if world.stored(&step(1, 0).id).is_none() {
                    second.decisions.submit(step(percent, from)).unwrap();
                }
                assert_sound(&world, &what, &second.end().await, percent);
                second.task.abort();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_a_hang_and_a_lost_reply_at_each_point_end_in_exactly_that_share() {
    for fault in [Fault::Error, Fault::Hang, Fault::LostReply] {
        for at in 0..EVENTS {
            let what = format!("{fault:?} at event {at}");
            let world = world(0);
            world.fault_at(at, fault);
            let process = start(&world, 0);
            process.decisions.submit(step(1, 0)).unwrap();
            process.end().await;
            let is_stored = |d: &Decision| world.stored(&d.id).is_some_and(|s| s.state == d.state);
            let d = process
                .until("stored", |d| d.state.is_final() && is_stored(d))
                .await;
            assert!(world.has_faulted(), "{what}");
            assert_sound(&world, &what, &d, 1);
            process.task.abort();
        }
    }
}

fn overruled(d: &Decision) -> String {
    let DecisionState::Failed {
        reason: FailureReason::Overruled,
        detail,
    } = &d.state
    else {
        panic!("{:?}", d.state)
    };
    assert!(matches!(d.life.phase, Phase::HumanHold { .. }), "{:?}", d.life);
    detail.clone()
}

fn change(world: &World, secs: u64, is_ours: bool) {
    let change = Change {
        at: T0.plus_secs(secs),
        by: "ann".to_owned(),
        is_ours,
    };
    world.changed.lock().unwrap().insert("f".to_owned(), change);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_given_a_flag_that_is_not_as_we_left_it() {
    for found in [(true, 100.0), (true, 1.0), (true, 5.0)] {
        let world = world(0);
        world.shares.lock().unwrap().insert("f".to_owned(), found);
        let process = start(&world, 0);
        process.decisions.submit(step(5, 0)).unwrap();
        overruled(&process.end().await);
        assert_eq!((world.sends(), share(&world)), (0, found));
    }
    // As it was left, and somebody has been there.
    for (is_ours, sends) in [(false, 0), (true, 1)] {
        let world = world(1);
        change(&world, 0, is_ours);
        let process = start(&world, 0);
        process.decisions.submit(step(5, 1)).unwrap();
        let d = process.end().await;
        assert_eq!(world.sends(), sends, "{d:?}");
        if !is_ours {
            assert!(overruled(&d).contains("ann has changed the flag"), "{d:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_given_a_flag_that_cannot_be_read() {
    let world = world(0);
    world.unreadable.store(true, std::sync::atomic::Ordering::SeqCst);
    let process = start(&world, 0);
    process.decisions.submit(step(1, 0)).unwrap();
    let d = process.end().await;
    let rejected = matches!(
        d.state,
        DecisionState::Failed {
            reason: FailureReason::Rejected,
            ..
        }
    );
    assert!(rejected, "{:?}", d.state);
    assert_eq!(world.sends(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flag_that_fewer_had_than_the_first_step_is_not_given_to_more() {
    for (had, words) in [
        (Ok(3.0), "on for 3 % only"),
        (Err("two strategies"), "two strategies"),
    ] {
        let world = world(0);
        match had {
            Ok(had) => world.shares.lock().unwrap().insert("f".to_owned(), (false, had)),
            Err(_) => world
                .shares
                .lock()
                .unwrap()
                .insert("f".to_owned(), (false, f64::NAN)),
        };
        let process = start(&world, 0);
        process.decisions.submit(step(5, 0)).unwrap();
        let d = process.end().await;
        let DecisionState::Failed {
            reason: FailureReason::Rejected,
            detail,
        } = &d.state
        else {
            panic!("{:?}", d.state)
        };
        assert!(detail.contains(words), "{detail}");
        assert_eq!(world.sends(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_is_off_by_one_call_unless_it_is_somebodys() {
    for is_theirs in [false, true] {
        let world = world(1);
        if is_theirs {
            change(&world, 0, false);
        }
        let process = start(&world, 0);
        let mut back = decision("double", "f");
        back.actor = Actor::Probation { of: "k".to_owned() };
        back.life.left_at = Some(T0.minus_secs(600));
        process.decisions.submit(back).unwrap();
        let d = process.end().await;
        if is_theirs {
            overruled(&d);
            assert_eq!(world.sends(), 0);
        } else {
            assert!(
                matches!(d.state, DecisionState::Confirmed { verified: true, .. }),
                "{d:?}"
            );
            assert_eq!((world.sends(), world.times_switched_off("f")), (1, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_watch_takes_our_own_exposure_for_nobodys_and_anothers_for_theirs() {
    let world = world(0);
    let process = start(&world, 0);
    process.decisions.submit(step(1, 0)).unwrap();
    let d = process.end().await;
    let amended = process.decisions.amend(&d.id, |d| {
        d.life.phase = Phase::Probation { since: T0 };
        Ok::<bool, ()>(true)
    });
    amended.unwrap();
    sleep(Duration::from_mins(5)).await;
    let d = process.decisions.get(&d.id).unwrap();
    assert_eq!(
        d.life.phase,
        Phase::Probation { since: T0 },
        "it is where we put it"
    );
    process.clock.set(T0.plus_secs(400));
    world.shares.lock().unwrap().insert("f".to_owned(), (true, 50.0));
    change(&world, 390, false);
    let held = process
        .until("in hold", |d| d.life.phase.as_str() == "human_hold")
        .await;
    let Phase::HumanHold { by, since, .. } = &held.life.phase else {
        panic!()
    };
    assert_eq!((by.as_str(), *since), ("ann", T0.plus_secs(390)));
    assert_eq!(world.sends(), 1);
}
