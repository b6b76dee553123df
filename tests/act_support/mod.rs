//! A small world for tests of the acting half: flags that are on or off, a journal in memory, processes that
//! die.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

pub mod http;

use burngate::act::journal::{self, Loaded};
use burngate::act::{
    Actuator, Change, DecisionLog, Exporters, Exposure, FlagState, JournalError, Outcome, Reading,
    RuleTarget, Trouble,
};
use burngate::decide::{Action, Decision, DecisionState, Evidence};
use burngate::ledger::Counts;
use burngate::time::{Clock, UnixNanos};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// When everything happens.
pub const T0: UnixNanos = UnixNanos::from_secs(1_795_300_440);

#[derive(Debug)]
pub struct StepClock(AtomicU64);

impl StepClock {
    pub fn at(now: UnixNanos) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now.0)))
    }
}

impl StepClock {
    pub fn set(&self, now: UnixNanos) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for StepClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::SeqCst))
    }
}

pub fn decision(exporter: &str, flag: &str) -> Decision {
    Decision {
        id: format!("id-{exporter}-{flag}"),
        exporter: exporter.to_owned(),
        environment: "production".to_owned(),
        flag: flag.to_owned(),
        deployment: None,
        action: Action::default(),
        actor: burngate::decide::Actor::default(),
        incident: 1,
        decided_at: T0,
        updated_at: T0,
        evidence: Evidence {
            service: "checkout".to_owned(),
            slo: "availability".to_owned(),
            environment: Some("production".to_owned()),
            sha: Some("4f2c1e".to_owned()),
            flag: flag.to_owned(),
            variant: "on".to_owned(),
            window_secs: 300,
            from: T0.minus_secs(300),
            to: T0,
            burn: 14.4,
            burn_above: 7.0,
            held_secs: 180,
            cohort: Counts {
                good: 9_856,
                bad: 144,
            },
            control: Counts { good: 10_000, bad: 0 },
            contrast: None,
            proof: None,
            signatures: burngate::ledger::TopSignatures::default(),
        },
        state: DecisionState::Decided,
        life: burngate::decide::Life::default(),
        history: vec![(T0, "decided".to_owned())],
    }
}

pub fn target(exporter: &str, flag: &str) -> RuleTarget {
    RuleTarget {
        service: "checkout".to_owned(),
        exporter: exporter.to_owned(),
        environment: "production".to_owned(),
        flag: flag.to_owned(),
        action: burngate::policy::SafeState::Off,
        variants: None,
        first_percent: None,
    }
}

/// What happened in the world, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Journal(String, DecisionState),
    Read(String),
    Send(String),
}

/// What a service does with the next call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Does it.
    Obey,
    /// Does it, and the answer gets lost.
    ObeyThenLose,
    /// Says done and does not do it.
    Lie,
    /// Answers this.
    Say(Trouble),
    /// The code that calls has a bug.
    Panic,
}

/// Where the process dies: at the `at`-th event, before or after its effect.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    pub at: usize,
    pub after: bool,
}

/// What goes wrong at one event, other than a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, without effect.
    Error,
    /// It takes effect, and nobody hears of it.
    LostReply,
    /// It takes as long as a call may take, and fails without effect.
    Hang,
    /// Somebody exposes the flag just before it, and the service's record says who.
    Human,
}

/// Services, flags and the disk: what outlives a process.
#[derive(Debug, Default)]
pub struct World {
    pub rows: Mutex<BTreeMap<String, Vec<u8>>>,
    pub events: Mutex<Vec<Event>>,
    pub off: Mutex<BTreeMap<String, u32>>,
    pub answers: Mutex<VecDeque<Answer>>,
    pub always: Mutex<Option<Answer>>,
    pub stale_reads: AtomicUsize,
    pub unreadable: AtomicBool,
    pub disk_full: AtomicBool,
    pub in_flight: Mutex<BTreeMap<String, u32>>,
    pub most_in_flight: AtomicUsize,
    pub sent_at: Mutex<Vec<tokio::time::Instant>>,
    pub call_takes: Mutex<Duration>,
    crash: Mutex<Option<Crash>>,
    fault: Mutex<Option<(usize, Fault)>>,
    /// Who changed a flag last, and when.
    pub changed: Mutex<BTreeMap<String, Change>>,
    /// Of flags on probation: on, and for how many percent; not a number where there is no one share.
    pub shares: Mutex<BTreeMap<String, (bool, f64)>>,
    count: AtomicUsize,
}

/// The hands of one process: dead, they do nothing any more.
#[derive(Clone, Debug)]
pub struct Hands {
    pub world: Arc<World>,
    alive: Arc<AtomicBool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl World {
    pub fn process(self: &Arc<Self>) -> Hands {
        Hands {
            world: Arc::clone(self),
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    pub fn crash_at(&self, crash: Crash) {
        *lock(&self.crash) = Some(crash);
        self.count.store(0, Ordering::SeqCst);
    }

    /// The `at`-th event goes wrong.
    pub fn fault_at(&self, at: usize, fault: Fault) {
        *lock(&self.fault) = Some((at, fault));
        self.count.store(0, Ordering::SeqCst);
    }

    /// Whether the fault has come.
    pub fn has_faulted(&self) -> bool {
        lock(&self.fault).is_none()
    }

    pub fn sends(&self) -> usize {
        lock(&self.events)
            .iter()
            .filter(|e| matches!(e, Event::Send(_)))
            .count()
    }

    pub fn times_switched_off(&self, flag: &str) -> u32 {
        lock(&self.off).get(flag).copied().unwrap_or(0)
    }

    pub fn stored(&self, id: &str) -> Option<Decision> {
        lock(&self.rows)
            .get(id)
            .map(|row| journal::decode(id, row).unwrap())
    }

    /// A human switches it on again.
    pub fn switch_on(&self, flag: &str) {
        lock(&self.off).remove(flag);
    }

    /// The same, on the service's record as of `at`.
    pub fn switch_on_by(&self, flag: &str, who: &str, at: UnixNanos) {
        self.switch_on(flag);
        let (by, is_ours) = (who.to_owned(), false);
        lock(&self.changed).insert(flag.to_owned(), Change { at, by, is_ours });
    }

    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.answers).extend(answers);
    }

    fn next_answer(&self) -> Answer {
        let scripted = lock(&self.answers).pop_front();
        scripted
            .or_else(|| lock(&self.always).clone())
            .unwrap_or(Answer::Obey)
    }
}

impl Hands {
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub fn exporters(&self, id: &str) -> Arc<Exporters<Self>> {
        let mut exporters = Exporters::default();
        exporters.insert(id, self.clone()).unwrap();
        Arc::new(exporters)
    }

    /// Runs `effect` unless the process is dead or dies before it; false when it is dead afterwards.
    fn act(&self, effect: impl FnOnce()) -> bool {
        if !self.is_alive() {
            return false;
        }
        let n = self.world.count.fetch_add(1, Ordering::SeqCst);
        let crash = *lock(&self.world.crash);
        let dies = crash.filter(|c| c.at == n);
        if dies.is_none_or(|c| c.after) {
            effect();
        }
        if dies.is_some() {
            *lock(&self.world.crash) = None;
            self.alive.store(false, Ordering::SeqCst);
        }
        dies.is_none()
    }

    /// What goes wrong at this event, which is not counted by it.
    fn fault(&self, flag: &str) -> Option<Fault> {
        let n = self.world.count.load(Ordering::SeqCst);
        let mut armed = lock(&self.world.fault);
        let fault = armed.filter(|(at, _)| *at == n && self.is_alive())?.1;
        *armed = None;
        drop(armed);
        if fault == Fault::Human {
            self.world.switch_on_by(flag, "ann", T0.plus_secs(1));
            return None;
        }
        if fault != Fault::LostReply {
            self.world.count.fetch_add(1, Ordering::SeqCst);
        }
        Some(fault)
    }

    async fn alive_or_never(&self, alive: bool) {
        if !alive {
            std::future::pending::<()>().await;
        }
    }
}

impl DecisionLog for Hands {
    fn record(&self, d: &Decision) -> Result<(), JournalError> {
        let fault = self.fault(&d.flag);
        if matches!(fault, Some(Fault::Error | Fault::Hang)) {
            return Err(JournalError("input/output error".to_owned()));
        }
        let mut result = Err(JournalError("the process is dead".to_owned()));
        self.act(|| {
            let held = lock(&self.world.rows).get(&d.id).cloned();
            let held = held.and_then(|row| journal::decode(&d.id, &row).ok());
            if held.is_some_and(|held| held.life.fence > d.life.fence) {
                result = Err(JournalError(
                    "the row is of a later holder of the lease".to_owned(),
                ));
                return;
            }
            if self.world.disk_full.load(Ordering::SeqCst) {
                result = Err(JournalError("no space left on device".to_owned()));
                return;
            }
            lock(&self.world.rows).insert(d.id.clone(), journal::encode(d).unwrap());
            lock(&self.world.events).push(Event::Journal(d.id.clone(), d.state.clone()));
            result = Ok(());
        });
        if fault == Some(Fault::LostReply) {
            return Err(JournalError("written, but the disk did not say so".to_owned()));
        }
        if self.is_alive() {
            result
        } else {
            Err(JournalError("the process is dead".to_owned()))
        }
    }

    fn load(&self) -> Result<Loaded, JournalError> {
        let mut loaded = Loaded::default();
        for (id, row) in lock(&self.world.rows).iter() {
            match journal::decode(id, row) {
                Ok(d) => loaded.decisions.push(d),
                Err(e) => loaded.unreadable.push(e.to_string()),
            }
        }
        Ok(loaded)
    }
}

impl Actuator for Hands {
    async fn preflight(
        &self,
        _: &RuleTarget,
        _: UnixNanos,
    ) -> Result<Vec<burngate::act::exporter::FlagWarning>, Trouble> {
        Ok(Vec::new())
    }

    async fn carry_out(&self, d: &Decision, _: Option<&str>, _: UnixNanos) -> Outcome {
        let world = &self.world;
        let busy = {
            let mut busy = lock(&world.in_flight);
            *busy.entry(d.flag.clone()).or_default() += 1;
            assert!(busy[&d.flag] <= 1, "two calls in flight for {}", d.flag);
            busy.values().sum::<u32>() as usize
        };
        world.most_in_flight.fetch_max(busy, Ordering::SeqCst);
        let takes = *lock(&world.call_takes);
        tokio::time::sleep(takes).await;
        *lock(&world.in_flight).get_mut(&d.flag).unwrap() -= 1;
        let answer = match self.fault(&d.flag) {
            None | Some(Fault::Human) => world.next_answer(),
            Some(Fault::LostReply) => Answer::ObeyThenLose,
            Some(Fault::Hang) => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                return Err(down("no answer in time"));
            }
            Some(Fault::Error) => return Err(down("503")),
        };
        let alive = self.act(|| {
            lock(&world.events).push(Event::Send(d.id.clone()));
            lock(&world.sent_at).push(tokio::time::Instant::now());
            lock(&world.changed).remove(&d.flag);
            if matches!(answer, Answer::Obey | Answer::ObeyThenLose)
                && let Action::Expose { percent, .. } = d.action
            {
                lock(&world.shares).insert(d.flag.clone(), (true, f64::from(percent)));
            } else if matches!(answer, Answer::Obey | Answer::ObeyThenLose) {
                *lock(&world.off).entry(d.flag.clone()).or_default() += 1;
            }
        });
        self.alive_or_never(alive).await;
        match answer {
            Answer::Obey | Answer::Lie => Ok(()),
            Answer::ObeyThenLose => Err(down("no answer in time")),
            Answer::Say(trouble) => Err(trouble),
            Answer::Panic => panic!("a bug in an exporter"),
        }
    }

    async fn read_back(&self, d: &Decision, _: UnixNanos) -> Result<Option<Reading>, Trouble> {
        let world = &self.world;
        match self.fault(&d.flag) {
            None | Some(Fault::Human) => {}
            Some(Fault::Hang) => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                return Err(down("no answer in time"));
            }
            Some(Fault::Error | Fault::LostReply) => return Err(down("503")),
        }
        let alive = self.act(|| lock(&world.events).push(Event::Read(d.id.clone())));
        self.alive_or_never(alive).await;
        if world.unreadable.load(Ordering::SeqCst) {
            return Ok(None);
        }
        if let Action::Expose { percent, .. } = d.action {
            let (is_on, share) = lock(&world.shares)[&d.flag];
            let percent_of = if share.is_nan() {
                Err("two strategies".to_owned())
            } else {
                Ok(share)
            };
            let exposure = Exposure {
                is_on,
                percent: percent_of,
            };
            return Ok(Some(exposure.reading(percent, None)));
        }
        let off = world.times_switched_off(&d.flag) > 0;
        let stale = off
            && world
                .stale_reads
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_ok();
        let state = if off && !stale {
            FlagState::Safe
        } else {
            FlagState::Exposed
        };
        Ok(Some(state.into()))
    }

    async fn last_change(&self, target: &RuleTarget, _: UnixNanos) -> Result<Option<Change>, Trouble> {
        Ok(lock(&self.world.changed).get(&target.flag).cloned())
    }
}

pub fn down(words: &str) -> Trouble {
    Trouble::Retry {
        after: None,
        down: true,
        detail: words.to_owned(),
    }
}
