//! What outlives a reload: counts, the store, decisions, and the tick over them.

use super::GatewayError;
use super::admissions::Admissions;
use super::ingest::{Ingest, PlainCounter};
use super::plans::Plans;
use super::prepared::{Prepared, indicator_limits, walk_limits};
use super::scribe::Scribe;
use super::streams::open_streams;
use super::tick::{Inbox, State, Tick};
use crate::account::Accounts;
use crate::act::{self, Decisions, Delivery, Desk, FlagChanges, OutletSwitch, Pacing};
use crate::api::{ApiState, Health};
use crate::audit::Trail;
use crate::cohort::Registry;
use crate::config::{Config, ErrorBudget, PrometheusExporter};
use crate::decide::{KillDecider, LifeRules, RateLimits};
use crate::extend::Pages;
use crate::indicate::Indicators;
use crate::ledger::{Latencies, Ledger, Tap};
use crate::pipeline::Memory;
use crate::policy::{Board, Corrections, Evaluator};
use crate::publish::BudgetPage;
use crate::receive::Reload;
use crate::store::{JournalLimits, Keeper, MemStore, Names, Opened, Store, open_embedded};
use crate::time::{Clock, UnixNanos};
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex};

/// See the module.
pub(super) struct Core {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) registry: Arc<Registry>,
    pub(super) tap: Arc<Tap>,
    pub(super) ingest: Arc<Ingest>,
    pub(super) scribe: Arc<Scribe>,
    pub(super) plain: Arc<PlainCounter>,
    pub(super) memory: Memory,
    pub(super) admissions: Admissions,
    /// Certificates, tokens and passwords are read again when this rings.
    pub(super) files: Reload,
    pub(super) board: Arc<Board>,
    pub(super) decisions: Decisions,
    pub(super) outlets: OutletSwitch,
    pub(super) audit: Arc<Trail>,
    pub(super) health: Arc<Health>,
    pub(super) api: ApiState,
    pub(super) indicators: Arc<Indicators>,
    /// What zpages show.
    pub(super) pages: Arc<ArcSwap<Pages>>,
    pub(super) inbox: Inbox,
}

/// What the core has running from its start on.
pub(super) struct Engines {
    pub(super) tick: Tick,
    pub(super) delivery: Delivery,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl Core {
    /// Opens the store and restores everything that the former process left there.
    pub(super) fn open(
        config: &Config,
        prepared: Prepared,
        page: Option<BudgetPage>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Engines), GatewayError> {
        let Prepared {
            policies,
            exporters,
            compiled,
            indicators,
            ..
        } = prepared;
        let (registry, now) = (Arc::new(Registry::new(&config.error_budget.cohorts)), clock.now());
        let plans = Plans::new(config, policies.clone(), &registry)?;
        let (store, mut keeper, ledger) = open_store(config, &plans, &registry, now)?;
        store.limit(JournalLimits::from(&config.error_budget.journal));
        let ledger = Arc::new(Mutex::new(ledger));
        let corrections = Corrections::load(store.clone())?;
        let latencies = latencies(config);
        let audit = Arc::new(Trail::open(store.clone(), (&config.error_budget.audit).into())?);
        audit.policies(now, &policies);
        let delivery = delivery(config, exporters, &audit, &clock)?;
        let (decisions, board) = (delivery.decisions(), Arc::new(Board::new()));
        let indicators = Arc::new(Indicators::new(indicators, indicator_limits(config)));
        let tap = Arc::new(Tap::started_at(now, compiled, registry.clone()).telling(indicators.clone()));
        open_streams(config, &tap, &mut keeper, now)?;
        let plain = Arc::new(PlainCounter::new(walk_limits(config)));
        let ingest = Arc::new(Ingest::new(
            tap.clone(),
            ledger.clone(),
            latencies.clone(),
            clock.clone(),
            plain.clone(),
            &config.error_budget.dedup,
        ));
        let scribe = Arc::new(Scribe::open(ingest.clone(), config, &*store)?);
        let api = ApiState {
            qualities: tap.qualities().clone(),
            policies: Arc::new(ArcSwap::new(policies.clone())),
            board: board.clone(),
            decisions: decisions.clone(),
            withheld: Arc::default(),
            rulings: Arc::default(),
            indicators: indicators.board().clone(),
            latencies: Some(latencies.clone()),
            signatures: tap.signatures().clone(),
            shapes: tap.shapes().clone(),
            corrections: corrections.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            desk: Desk::default(),
            changes: FlagChanges::load(store, now)?,
        };
        let core = Self {
            ingest,
            scribe: scribe.clone(),
            clock,
            registry: registry.clone(),
            tap: tap.clone(),
            plain,
            memory: Memory::default(),
            admissions: Admissions::default(),
            files: Reload::default(),
            board: board.clone(),
            decisions: decisions.clone(),
            outlets: delivery.outlets(),
            audit: audit.clone(),
            health: Arc::new(Health::default()),
            api,
            indicators: indicators.clone(),
            pages: Arc::default(),
            inbox: Inbox::default(),
        };
        let tick = Tick {
            ledger,
            scribe,
            tap: core.tap.clone(),
            keeper,
            registry,
            policies,
            plans,
            evaluator: Evaluator::new(board).with_latencies(latencies),
            accounts: Accounts::new(config.error_budget.max_accounts),
            corrections,
            decider: decider(config, &decisions),
            decisions,
            changes: core.api.changes.clone(),
            admissions: core.admissions.clone(),
            audit,
            desk: core.api.desk.clone(),
            rules: life_rules(config),
            page: page.map(|page| page.with_indicators(indicators.board().clone())),
            indicators,
            withheld: core.api.withheld.clone(),
            rulings: core.api.rulings.clone(),
            signatures: core.tap.signatures().clone(),
            health: core.health.clone(),
            evaluation_interval: config.error_budget.evaluation_interval,
            inbox: core.inbox.clone(),
            state: State::default(),
        };
        Ok((core, Engines { tick, delivery }))
    }
}

impl Core {
    /// The limits that a reload may change.
    pub(super) fn limit(&self, limits: &ErrorBudget) {
        self.ingest.set_dedup(&limits.dedup);
        self.tap.limit_streams((&limits.metrics).into());
        self.audit.limit((&limits.audit).into());
    }

    /// An empty page of budgets, and of indicators.
    pub(super) fn page(&self, config: &PrometheusExporter) -> BudgetPage {
        BudgetPage::new(config).with_indicators(self.indicators.board().clone())
    }
}

/// What carries decisions out, with the record of them that outlives us.
fn delivery(
    config: &Config,
    exporters: Arc<act::Exporters>,
    audit: &Arc<Trail>,
    clock: &Arc<dyn Clock>,
) -> Result<Delivery, GatewayError> {
    let log = Arc::new(act::AuditedLog(audit.clone()));
    let delivery = Delivery::new(exporters, log, clock.clone(), pacing(config))?;
    delivery.outlets().set_rules(life_rules(config));
    Ok(delivery)
}

/// Room for quantiles of durations.
fn latencies(config: &Config) -> Arc<Mutex<Latencies>> {
    let most = config.error_budget.cohorts.max_latency_series;
    let latencies = Latencies::new(usize::try_from(most).unwrap_or(usize::MAX));
    Arc::new(Mutex::new(latencies))
}

/// Who decides, knowing what was decided before.
fn decider(config: &Config, decisions: &Decisions) -> KillDecider {
    let mut decider = KillDecider::with_cooldown(config.error_budget.decision_cooldown.as_secs());
    decider.set_evidence(super::rules::rates(config), super::rules::guards(config));
    let kill = &config.error_budget.kill;
    decider.set_rules(life_rules(config), RateLimits::from(kill), kill.enabled);
    decider.restore(decisions.snapshot(usize::MAX));
    decider
}

/// How long the parts of a decision's life take.
pub(super) fn life_rules(config: &Config) -> LifeRules {
    let it = &config.error_budget;
    LifeRules::new(&it.kill, it.decision_cooldown)
}

fn pacing(config: &Config) -> Pacing {
    Pacing {
        watch_every: config.error_budget.kill.watch_interval,
        ..Pacing::from(&config.error_budget.delivery)
    }
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
