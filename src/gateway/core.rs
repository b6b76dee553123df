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
use crate::act::{self, Decisions, Delivery, OutletSwitch, Pacing};
use crate::api::{ApiState, Health};
use crate::cohort::Registry;
use crate::config::{Config, PrometheusExporter};
use crate::decide::KillDecider;
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
use std::sync::{Arc, Mutex, RwLock};

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
        let now = clock.now();
        let registry = Arc::new(Registry::new(&config.error_budget.cohorts));
        let plans = Plans::new(config, policies.clone(), &registry)?;
        let (store, mut keeper, ledger) = open_store(config, &plans, &registry, now)?;
        store.limit(JournalLimits::from(&config.error_budget.journal));
        let ledger = Arc::new(Mutex::new(ledger));
        let corrections = Corrections::load(store.clone())?;
        let latencies = latencies(config);
        let log = Arc::new(act::StoreLog(store.clone()));
        let pacing = Pacing::from(&config.error_budget.delivery);
        let delivery = Delivery::new(exporters, log, clock.clone(), pacing)?;
        let decisions = delivery.decisions();
        let board = Arc::new(Board::new());
        let withheld = Arc::new(RwLock::new(Vec::new()));
        let health = Arc::new(Health::default());
        let indicators = Arc::new(Indicators::new(indicators, indicator_limits(config)));
        let tap = Arc::new(Tap::started_at(now, compiled, registry.clone()).telling(indicators.clone()));
        open_streams(config, &tap, &mut keeper, now)?;
        let plain = Arc::new(PlainCounter::new(walk_limits(config)));
        let inbox = Inbox::default();
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
            withheld: withheld.clone(),
            indicators: indicators.board().clone(),
            latencies: Some(latencies.clone()),
            signatures: tap.signatures().clone(),
            shapes: tap.shapes().clone(),
            corrections: corrections.clone(),
            clock: clock.clone(),
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
            health: health.clone(),
            api,
            indicators: indicators.clone(),
            pages: Arc::default(),
            inbox: inbox.clone(),
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
            page: page.map(|page| page.with_indicators(indicators.board().clone())),
            indicators,
            withheld,
            signatures: core.tap.signatures().clone(),
            health,
            evaluation_interval: config.error_budget.evaluation_interval,
            inbox,
            state: State::default(),
        };
        Ok((core, Engines { tick, delivery }))
    }
}

impl Core {
    /// An empty page of budgets, and of indicators.
    pub(super) fn page(&self, config: &PrometheusExporter) -> BudgetPage {
        BudgetPage::new(config).with_indicators(self.indicators.board().clone())
    }
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
    decider.restore(decisions.snapshot(usize::MAX));
    decider
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
