//! A gateway's tick in simulated time, for tests of what is shown of it.

use crate::cohort::{CohortKey, Level, Registry};
use crate::config::Cohorts;
use crate::ledger::{BUCKET_SECS, Counts, Ledger, LedgerLimits, SeriesDelta};
use crate::policy::{Board, BudgetStatus, Evaluator, PolicySet, from_text};
use crate::sli::ObjectiveName;
use crate::store::{Keeper, MemStore, Names, Store};
use crate::time::UnixNanos;
use std::sync::{Arc, Mutex};

/// When everything begins: a multiple of five minutes.
pub(crate) const T0: UnixNanos = UnixNanos::from_secs(1_795_000_200);
pub(crate) const DAY: u64 = 86_400;

/// A gateway that knows the service `svc`; its SLO is `availability`.
pub(crate) struct World {
    ledger: Mutex<Ledger>,
    keeper: Keeper,
    registry: Arc<Registry>,
    pub(crate) policies: Arc<PolicySet>,
    pub(crate) evaluator: Evaluator,
}

impl World {
    /// 99.9 % over 30 days.
    pub(crate) fn new() -> Self {
        Self::of("tier: 1\nowner: { team: payments }\nslos: [{ name: availability, target: 99.9% }]\n")
    }

    /// What `policy` says of the service.
    pub(crate) fn of(policy: &str) -> Self {
        let policies = Arc::new(from_text("p.yaml", &format!("service: svc\n{policy}")).unwrap());
        let name = ObjectiveName {
            service: "svc".into(),
            slo: "availability".into(),
        };
        let plan = policies.plan(&name).unwrap();
        let registry = Arc::new(Registry::new(&Cohorts::default()));
        let mut ledger = Ledger::new(LedgerLimits::default(), plan, Arc::<Registry>::clone(&registry));
        let store: Arc<dyn Store> = Arc::new(MemStore::default());
        let names: Arc<dyn Names> = Arc::<Registry>::clone(&registry);
        let (keeper, _) = Keeper::restore(store, names, &mut ledger, T0).unwrap();
        let evaluator = Evaluator::new(Arc::new(Board::new()));
        Self {
            ledger: Mutex::new(ledger),
            keeper,
            registry,
            policies,
            evaluator,
        }
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        self.evaluator.board()
    }

    /// So many events of one cohort, now.
    pub(crate) fn count(&self, now: UnixNanos, level: Level, good: u64, bad: u64) {
        let key = CohortKey {
            service: "svc".into(),
            environment: Some("production".into()),
            level,
        };
        let delta = SeriesDelta {
            objective: self.registry.objective_id("svc", "availability", &mut Vec::new()),
            cohort: self.registry.restore(&key),
            bucket: now.secs() / BUCKET_SECS,
            counts: Counts { good, bad },
        };
        self.ledger.lock().unwrap().absorb(now, &[delta], &[]);
    }

    /// What changed, as a tick at `now` works it out.
    pub(crate) fn tick(&mut self, now: UnixNanos) -> Vec<Arc<BudgetStatus>> {
        self.keeper.tick(now, &self.ledger).unwrap();
        let mut views = Vec::new();
        while self.ledger.lock().unwrap().changed(now, 1000, &mut views) {}
        self.evaluator
            .apply(now, &views, self.registry.as_ref(), &self.policies)
    }
}

pub(crate) fn deployment(sha: &str) -> Level {
    Level::Deployment { sha: sha.into() }
}

pub(crate) fn flag(sha: Option<&str>, flag: &str, variant: &str) -> Level {
    Level::Flag {
        sha: sha.map(Into::into),
        flag: flag.into(),
        variant: variant.into(),
    }
}
