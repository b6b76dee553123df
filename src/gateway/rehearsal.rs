//! A gateway without doors, in simulated time: what a replay runs.
//!
//! Problem: "what would have happened" is worth nothing if another program works it out. So a rehearsal is
//! the gateway's own core (tap, ledger, store, policies, kill rules) and its own tick, opened as a start
//! opens them; only the clock is stepped by hand, nothing is bound, the store is in memory, and a decision
//! is taken as carried out instead of being sent. Rejected: an evaluation for replays alone, which would
//! agree with the live one until somebody changes either.

use super::GatewayError;
use super::core::{Core, Engines};
use super::prepared::Prepared;
use super::tick::Tick;
use crate::act;
use crate::config::Config;
use crate::decide::{Decision, Ruling, Withheld};
use crate::ledger::{HandCount, HandError};
use crate::pipeline::{Batch, Count, Counted, Refusal};
use crate::policy::{Board, BudgetStatus, PolicySet};
use crate::time::{Clock, UnixNanos};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A clock that stands where it was put.
#[derive(Debug, Default)]
struct StandingClock(AtomicU64);

impl Clock for StandingClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::Relaxed))
    }
}

/// A cumulative stream that began this long before the first record is taken to have begun under our eyes:
/// recordings begin with the first export of what was started for them, and an export covers minutes.
const WATCHED_BEFORE_SECS: u64 = 300;

/// See the module.
#[derive(Debug)]
pub struct Rehearsal {
    core: Core,
    tick: Tick,
    clock: Arc<StandingClock>,
    policies: Arc<PolicySet>,
}

impl Rehearsal {
    /// Opens everything that counts and judges, as a start does, at `start`.
    pub fn open(config: Config, start: UnixNanos) -> Result<Self, GatewayError> {
        let clock = Arc::new(StandingClock(AtomicU64::new(start.0)));
        let prepared = Prepared::rehearse(Config {
            storage: None,
            ..config
        })?;
        let (config, policies) = (prepared.config.clone(), prepared.policies.clone());
        // The delivery is dropped: nobody carries decisions out.
        let (core, Engines { tick, .. }) = Core::open(&config, prepared, None, clock.clone())?;
        core.tap.watch_since(start.minus_secs(WATCHED_BEFORE_SECS));
        Ok(Self {
            core,
            tick,
            clock,
            policies,
        })
    }

    /// What is judged by.
    pub fn policies(&self) -> &Arc<PolicySet> {
        &self.policies
    }

    /// Time from one tick to the next, as in the gateway.
    pub fn every(&self) -> Duration {
        self.tick.every()
    }

    /// Takes one request that arrives at `at`.
    pub fn take(&self, at: UnixNanos, batch: &Batch) -> Result<Counted, Refusal> {
        self.clock.0.store(at.0, Ordering::Relaxed);
        self.core.ingest.count(batch)
    }

    /// Takes counts that arrive at `at`; all of them, or none with the reason for the first that cannot be
    /// taken.
    pub fn record(&self, at: UnixNanos, counts: &[HandCount]) -> Result<(), HandError> {
        self.clock.0.store(at.0, Ordering::Relaxed);
        self.core
            .ingest
            .record(counts)
            .map(drop)
            .map_err(|(_, error)| error)
    }

    /// The SLOs that counts of `service` in `environment` may name.
    pub fn slos_of(&self, service: &str, environment: Option<&str>) -> Vec<Arc<str>> {
        self.core.tap.slos_of(service, environment)
    }

    /// The tick of `now`: the statuses that it worked out anew, in the ledger's order.
    pub fn tick(&mut self, now: UnixNanos) -> &[Arc<BudgetStatus>] {
        self.clock.0.store(now.0, Ordering::Relaxed);
        self.tick.run(now);
        act::rehearse(&self.core.decisions, now);
        self.tick.changed()
    }

    /// The latest status of every series.
    pub fn board(&self) -> &Board {
        &self.core.board
    }

    /// Every decision so far, oldest first.
    pub fn decisions(&self) -> Vec<Decision> {
        let mut all = self.core.decisions.snapshot(usize::MAX);
        all.reverse();
        all
    }

    /// The decisions that have changed since `seen`, a number that an earlier call returned (0: all).
    pub fn decided_since(&self, seen: u64) -> (u64, Vec<Decision>) {
        self.core.decisions.changed_since(seen)
    }

    /// What the rules by evidence said at the last tick.
    pub fn rulings(&self) -> Vec<Ruling> {
        let rulings = self.core.api.rulings.read();
        rulings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What burned at the last tick and was held back.
    pub fn withheld(&self) -> Vec<Withheld> {
        let withheld = self.core.api.withheld.read();
        withheld.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
