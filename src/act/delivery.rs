//! The task that carries decisions out.
//!
//! It wakes at each new decision and every [`SCAN`], starts a driver for each decision that has none (at most
//! one a flag and [`Pacing::max_in_flight`] in all), and survives a driver that panics. After a restart it
//! goes on from the journal: a decision that was only made is sent, one whose call may have left is read
//! first. On shutdown calls in flight may finish within [`SHUTDOWN_GRACE`]; waits end at once, and what is
//! left stays in the journal for the next start.

use super::backoff::Pacing;
use super::decisions::{Decisions, FlagKey};
use super::drive::{Drive, Outlets, Shared, record};
use super::exporter::{Actuator, Exporter, Exporters};
use super::journal::{DecisionLog, JournalError};
use super::lease::{Alone, Lease};
use super::watch::watch;
use crate::decide::{DecisionState, FailureReason, LifeRules};
use crate::time::Clock;
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as watched;
use tokio::task::{Id, JoinError, JoinSet};

/// How often the list is scanned for decisions that nobody works on.
const SCAN: Duration = Duration::from_secs(1);

/// Time that calls in flight have when the process ends.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(6);

/// Carries decisions out until it is told to stop.
pub struct Delivery<A = Exporter> {
    shared: Arc<Shared<A>>,
    stop: watched::Sender<bool>,
}

impl<A> fmt::Debug for Delivery<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("decisions", &self.shared.decisions)
            .finish_non_exhaustive()
    }
}

impl<A: Actuator> Delivery<A> {
    /// Reads the journal. Blocks on it, so call it before the work begins, inside a tokio runtime.
    pub fn new(
        exporters: Arc<Exporters<A>>,
        log: Arc<dyn DecisionLog>,
        clock: Arc<dyn Clock>,
        pacing: Pacing,
    ) -> Result<Self, JournalError> {
        let lease: Arc<dyn Lease> = Arc::new(Alone::begin(log.as_ref())?);
        Self::with_lease(exporters, log, lease, clock, pacing)
    }

    /// The same under a lease that others may hold as well.
    pub fn with_lease(
        exporters: Arc<Exporters<A>>,
        log: Arc<dyn DecisionLog>,
        lease: Arc<dyn Lease>,
        clock: Arc<dyn Clock>,
        pacing: Pacing,
    ) -> Result<Self, JournalError> {
        let decisions = Decisions::new(pacing.max_in_memory, pacing.give_up_after);
        restore(&decisions, log.as_ref(), clock.as_ref())?;
        let (stop, stopping) = watched::channel(false);
        let shared = Shared {
            outlets: ArcSwap::from_pointee(Outlets::new(exporters, &pacing)),
            log,
            lease,
            rules: ArcSwap::from_pointee(LifeRules::default()),
            decisions,
            clock,
            pacing,
            stopping,
        };
        Ok(Self {
            shared: Arc::new(shared),
            stop,
        })
    }

    /// The list: submit to it, read from it.
    pub fn decisions(&self) -> Decisions {
        self.shared.decisions.clone()
    }

    /// A hand on its exporters, for a reload.
    pub fn outlets(&self) -> OutletSwitch<A> {
        OutletSwitch(Arc::clone(&self.shared))
    }

    /// Works until `shutdown` resolves, then ends within [`SHUTDOWN_GRACE`].
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut crew = Crew {
            shared: self.shared,
            tasks: JoinSet::new(),
            at_work: HashMap::new(),
        };
        // Goes with us, however we end.
        let mut watchers = JoinSet::new();
        watchers.spawn(watch(Arc::clone(&crew.shared)));
        let mut shutdown = pin!(shutdown);
        let mut scan = tokio::time::interval(SCAN);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let decisions = crew.shared.decisions.clone();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = decisions.woken() => {}
                _ = scan.tick() => {}
                Some(ended) = crew.tasks.join_next_with_id() => {
                    // A driver that gave its decision back (the journal failed, it panicked) waits for the
                    // next scan.
                    if !crew.ended(ended).await { continue; }
                }
            }
            crew.start_due();
        }
        watchers.abort_all();
        self.stop.send_replace(true);
        let finish = async { while crew.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, finish).await.is_err() {
            tracing::warn!(
                "calls of kill switches were still in flight at the end; the next start reads the flags"
            );
        }
    }
}

/// Puts other exporters in place of those that decisions go to.
pub struct OutletSwitch<A = Exporter>(Arc<Shared<A>>);

impl<A> fmt::Debug for OutletSwitch<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutletSwitch")
    }
}

impl<A: Actuator> OutletSwitch<A> {
    /// Decisions go to `exporters` from their next round on; rounds under way finish where they began. What
    /// is known of each service's health begins anew.
    pub fn swap(&self, exporters: Arc<Exporters<A>>) {
        self.0
            .outlets
            .store(Arc::new(Outlets::new(exporters, &self.0.pacing)));
    }

    /// From now on, these rules of a decision's life.
    pub fn set_rules(&self, rules: LifeRules) {
        self.0.rules.store(Arc::new(rules));
    }
}

/// The drivers at work.
struct Crew<A> {
    shared: Arc<Shared<A>>,
    tasks: JoinSet<()>,
    at_work: HashMap<Id, (String, FlagKey)>,
}

impl<A: Actuator> Crew<A> {
    fn start_due(&mut self) {
        let mut busy: HashSet<FlagKey> = self.at_work.values().map(|(_, key)| key.clone()).collect();
        for (id, key) in self.shared.decisions.due() {
            if self.at_work.len() >= self.shared.pacing.max_in_flight {
                return;
            }
            if busy.insert(key.clone()) {
                let task = self.tasks.spawn(Drive::run(Arc::clone(&self.shared), id.clone()));
                self.at_work.insert(task.id(), (id, key));
            }
        }
    }

    /// Takes leave of a driver; true when its flag or its place may be of use to another decision at once.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) -> bool {
        let (task, panicked) = match &ended {
            Ok((task, ())) => (*task, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some((id, _)) = self.at_work.remove(&task) else {
            return false;
        };
        if panicked {
            self.note_panic(&id).await;
            return false;
        }
        self.shared
            .decisions
            .work(&id)
            .is_none_or(|w| w.stored && w.decision.state.is_final())
    }

    /// A bug, or an answer that nobody thought of: try again, but not for ever.
    async fn note_panic(&self, id: &str) {
        let panics = self.shared.decisions.note_panic(id);
        metrics::counter!("burngate_driver_panics_total").increment(1);
        tracing::error!(decision = %id, panics, "the task of a decision panicked; please report this");
        let Some(mut work) = self.shared.decisions.work(id) else {
            return;
        };
        if panics >= self.shared.pacing.max_attempts {
            let detail = "internal error, see the log; switch the flag by hand".to_owned();
            work.decision.state = DecisionState::Failed {
                reason: FailureReason::Rejected,
                detail,
            };
            let stored = record(&self.shared.log, &work.decision).await.is_ok();
            self.shared.decisions.update(&work.decision, stored);
        }
    }
}

fn restore(decisions: &Decisions, log: &dyn DecisionLog, clock: &dyn Clock) -> Result<(), JournalError> {
    let mut loaded = log.load()?;
    for problem in &loaded.unreadable {
        metrics::counter!("burngate_journal_unreadable_total").increment(1);
        tracing::error!(%problem, "a row of the decision journal cannot be read and is left alone");
    }
    // The oldest first, so that the newest stay when there are more than the list holds.
    loaded
        .decisions
        .sort_by(|a, b| (a.decided_at, &a.id).cmp(&(b.decided_at, &b.id)));
    let now = clock.now();
    let mut live = 0_u32;
    for decision in loaded.decisions {
        let began = decision.life.armed_at.unwrap_or(decision.decided_at);
        let age = Duration::from_nanos(now.0.saturating_sub(began.0));
        live += u32::from(!decision.state.is_at_rest());
        if let Err(error) = decisions.restore(decision, age) {
            tracing::error!(%error, "a decision of the journal is left out");
        }
    }
    if live > 0 {
        tracing::warn!(
            decisions = live,
            "going on with decisions that the last run left unfinished"
        );
    }
    Ok(())
}
