//! From a configuration to every part of a gateway, checked and connected, none of them running yet.

use super::GatewayError;
use super::banner;
use super::ingest::{Ingest, PlainCounter};
use super::listeners::{Addresses, Listeners};
use super::plans::Plans;
use super::switch::Switch;
use super::tick::{State, Tick};
use crate::act::{self, Decisions, Delivery, Exporters, Pacing, Preflight, RuleTarget};
use crate::api::{ApiState, Health};
use crate::cohort::{NamedFlags, Registry};
use crate::config::{Config, ConfigSource};
use crate::decide::KillDecider;
use crate::ledger::{Compiled, Ledger, Tap};
use crate::policy::{self, Board, Evaluator, PolicySet};
use crate::publish::{BudgetPage, OtlpPublisher, PageHandle};
use crate::store::{Keeper, MemStore, Names, Opened, Store, open_embedded};
use crate::time::{Clock, UnixNanos};
use crate::wire::WalkLimits;
use std::sync::{Arc, Mutex, RwLock};

/// Everything that [`super::servers`] sets running.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) listeners: Listeners,
    pub(super) addresses: Addresses,
    pub(super) banner: Vec<String>,
    pub(super) board: Arc<Board>,
    pub(super) decisions: Decisions,
    pub(super) health: Arc<Health>,
    pub(super) switch: Arc<Switch>,
    pub(super) tick: Tick,
    pub(super) delivery: Delivery,
    pub(super) preflight: Preflight,
    pub(super) page: Option<PageHandle>,
    pub(super) api: ApiState,
    pub(super) publishers: Vec<OtlpPublisher>,
}

impl Parts {
    /// Checks policies and exporters, binds the ports, reads the store.
    pub(super) fn build(config: Config, clock: Arc<dyn Clock>) -> Result<Self, GatewayError> {
        let policies = Arc::new(load_policies(&config)?);
        let exporters = Arc::new(Exporters::build(&config.unleash, &config.webhooks)?);
        act::check(&RuleTarget::all(&policies), &exporters)?;
        let compiled = compile(&config, &policies)?;
        let (listeners, addresses) = Listeners::bind(&config)?;
        let banner = banner::lines(&config, &addresses, &policies);

        let now = clock.now();
        let registry = Arc::new(Registry::new(&config.error_budget.cohorts));
        let plans = Plans::new(&config, policies.clone(), &registry)?;
        let (store, keeper, ledger) = open_store(&config, &plans, &registry, now)?;
        let ledger = Arc::new(Mutex::new(ledger));
        let log = Arc::new(act::StoreLog(store));
        let delivery = Delivery::new(exporters.clone(), log, clock.clone(), Pacing::default())?;
        let decisions = delivery.decisions();
        let board = Arc::new(Board::new());
        let withheld = Arc::new(RwLock::new(Vec::new()));
        let health = Arc::new(Health::default());
        let page = config.prometheus.as_ref().map(BudgetPage::new);
        let mut publishers = Vec::new();
        for exporter in &config.otlp_metrics {
            publishers.push(OtlpPublisher::new(exporter, board.clone())?);
        }
        let mut decider = KillDecider::with_cooldown(config.error_budget.decision_cooldown.as_secs());
        decider.restore(decisions.snapshot(usize::MAX));
        let tap = Arc::new(Tap::new(compiled, registry.clone()));
        let plain = Arc::new(PlainCounter::new(walk_limits(&config)));
        let ingest = Arc::new(Ingest::new(tap, ledger.clone(), clock.clone(), plain.clone()));
        Ok(Self {
            switch: Arc::new(Switch::new(super::graph::lanes(&config, &ingest, &plain))),
            preflight: Preflight::new(exporters, &RuleTarget::in_use(&policies), clock.clone()),
            api: ApiState {
                policies: policies.clone(),
                board: board.clone(),
                decisions: decisions.clone(),
                withheld: withheld.clone(),
            },
            page: page.as_ref().map(BudgetPage::handle),
            tick: Tick {
                ledger,
                keeper,
                registry,
                policies,
                plans,
                evaluator: Evaluator::new(board.clone()),
                decider,
                decisions: decisions.clone(),
                page,
                withheld,
                health: health.clone(),
                evaluation_interval_secs_f64: config.error_budget.evaluation_interval.as_secs_f64(),
                state: State::default(),
            },
            config,
            clock,
            listeners,
            addresses,
            banner,
            board,
            decisions,
            health,
            delivery,
            publishers,
        })
    }
}

/// The policies that the configuration names, with the objective of all other services.
fn load_policies(config: &Config) -> Result<PolicySet, GatewayError> {
    let policies = policy::load(&config.error_budget.policies, config.policy_base())?;
    policies.check_exporters(&exporter_ids(config))?;
    // The built-in configuration looks for policies where there need not be any; a file that names some means
    // them.
    let quiet = config.source == ConfigSource::Embedded && policies.policies().is_empty();
    for warning in policies.warnings().iter().filter(|_| !quiet) {
        tracing::warn!(%warning, "policy");
    }
    Ok(policies.with_default(config.error_budget.default_slo.as_ref()))
}

/// The exporters that decisions can go to, by name.
fn exporter_ids(config: &Config) -> Vec<&str> {
    let unleash = config.unleash.iter().map(|e| e.id.as_str());
    unleash
        .chain(config.webhooks.iter().map(|e| e.id.as_str()))
        .collect()
}

fn compile(config: &Config, policies: &PolicySet) -> Result<Compiled, GatewayError> {
    let mut named = NamedFlags::new();
    for flag in policies.named_flags() {
        named
            .name(&flag.service, [flag.flag.as_ref()])
            .map_err(GatewayError::ServicePattern)?;
    }
    Ok(Compiled::compile(
        &policies.objectives(),
        policies.default_objective().as_ref(),
        named,
        &config.error_budget.cohorts,
        &config.limits,
    )?)
}

fn open_store(
    config: &Config,
    plans: &Plans,
    registry: &Arc<Registry>,
    now: UnixNanos,
) -> Result<(Arc<dyn Store>, Keeper, Ledger), GatewayError> {
    let names: Arc<dyn Names> = registry.clone();
    let Some(storage) = &config.storage else {
        let mut ledger = plans.empty_ledger();
        let store: Arc<dyn Store> = Arc::new(MemStore::default());
        let (keeper, _) = Keeper::restore(store.clone(), names, &mut ledger, now)?;
        return Ok((store, keeper, ledger));
    };
    let fresh = || plans.empty_ledger();
    let Opened {
        store,
        keeper,
        ledger,
        restored,
        ..
    } = open_embedded(&storage.directory, &names, &fresh, now)?;
    tracing::info!(
        directory = %storage.directory.display(),
        series = restored.series,
        evidence_cells = restored.evidence_cells,
        damaged_frames = restored.damaged_frames,
        "store read"
    );
    Ok((store, keeper, ledger))
}

fn walk_limits(config: &Config) -> WalkLimits {
    let limits = &config.limits;
    WalkLimits {
        spans_max: limits.max_items,
        attributes_max: limits.max_attributes,
        events_max: limits.max_events,
        nesting_max: limits.max_nesting,
    }
}
