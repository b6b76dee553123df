//! One evaluation: from the series that changed to budgets, alerts, decisions and what is published of them.
//!
//! The gateway evaluates at its own pace and not in reaction to spans, so that a flood of telemetry costs the
//! control plane nothing. The order is the argument: what was counted is durable before anything is decided
//! on it; a decision is in the journal before it leaves (the delivery sees to that); and everything that is
//! shown was worked out from the same counts.

mod accounts;
mod adopt;
mod coverage;
mod follow;
mod probe;
mod witness;

pub(super) use adopt::{Change, Inbox};

use super::admissions::Admissions;
use super::plans::Plans;
use super::scribe::Scribe;
use crate::account::Accounts;
use crate::act::{Decisions, Desk, FlagChanges};
use crate::api::Health;
use crate::audit::Trail;
use crate::cohort::{CohortId, Level, ObjectiveId, Registry};
use crate::decide::{Actor, Decision, KillDecider, LifeRules, Ruling, Sources, Withheld};
use crate::indicate::Indicators;
use crate::ledger::{Ledger, SeriesView, SignatureBook, Tap};
use crate::policy::{BudgetStatus, Corrections, Evaluator, Filter, Member, PolicySet};
use crate::publish::BudgetPage;
use crate::store::Keeper;
use crate::time::UnixNanos;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Series drained at one hold of the ledger's lock: a batch never waits longer than that takes.
const DRAIN_MAX: usize = 1000;
/// How often what has left is swept off the board and the page, in seconds.
const SWEEP_SECS: u64 = 60;

/// Counts are durable within this time.
const PERSIST_EVERY: Duration = Duration::from_secs(1);

/// Everything that one evaluation touches.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) ledger: Arc<Mutex<Ledger>>,
    pub(super) tap: Arc<Tap>,
    pub(super) keeper: Keeper,
    /// Counts by hand have their keys written with them.
    pub(super) scribe: Arc<Scribe>,
    pub(super) registry: Arc<Registry>,
    pub(super) policies: Arc<PolicySet>,
    pub(super) plans: Plans,
    pub(super) evaluator: Evaluator,
    pub(super) accounts: Accounts,
    pub(super) corrections: Corrections,
    pub(super) decider: KillDecider,
    pub(super) decisions: Decisions,
    pub(super) changes: FlagChanges,
    pub(super) admissions: Admissions,
    pub(super) audit: Arc<Trail>,
    /// Where people's requests wait.
    pub(super) desk: Desk,
    pub(super) rules: LifeRules,
    pub(super) page: Option<BudgetPage>,
    pub(super) indicators: Arc<Indicators>,
    pub(super) withheld: Arc<RwLock<Vec<Withheld>>>,
    pub(super) rulings: Arc<RwLock<Vec<Ruling>>>,
    pub(super) signatures: Arc<SignatureBook>,
    pub(super) health: Arc<Health>,
    pub(super) evaluation_interval: Duration,
    pub(super) inbox: Inbox,
    pub(super) state: State,
}

/// What a tick remembers of the former ones.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) planned: HashSet<ObjectiveId>,
    views: Vec<SeriesView>,
    /// What the last evaluation worked out anew.
    changed: Vec<Arc<BudgetStatus>>,
    decisions_seen: u64,
    witness: witness::Witness,
    coverage: coverage::Coverage,
    evaluated_at: UnixNanos,
    retired: HashSet<CohortId>,
    swept_at: UnixNanos,
    store_failing: bool,
    accounts: accounts::Planned,
    accounts_failing: bool,
}

impl Tick {
    /// Writes what was counted, and evaluates when it is time to.
    pub(super) fn run(&mut self, now: UnixNanos) {
        self.state.changed.clear();
        if let Some(change) = self.inbox.take() {
            self.adopt(now, *change);
        }
        self.close_slices(now);
        self.persist(now);
        self.answer_hands(now);
        let since = now.0.saturating_sub(self.state.evaluated_at.0) as f64 / 1e9;
        // A timer that fires a hair early must not skip a whole interval.
        if since + 0.05 >= self.evaluation_interval.as_secs_f64() || now < self.state.evaluated_at {
            self.state.evaluated_at = now;
            self.evaluate(now);
        }
        self.retire_idle(now);
        if now.secs_since(self.state.swept_at) >= SWEEP_SECS {
            self.state.swept_at = now;
            self.sweep(now);
        }
    }

    /// The statuses that the last [`Self::run`] worked out anew; none when it was not time to evaluate.
    pub(super) fn changed(&self) -> &[Arc<BudgetStatus>] {
        &self.state.changed
    }

    /// Time until the next one: counts are durable within a second, however long the evaluation interval is.
    pub(super) fn every(&self) -> Duration {
        self.evaluation_interval.min(PERSIST_EVERY)
    }

    /// Gauges in slices of time are events when their time has come.
    fn close_slices(&self, now: UnixNanos) {
        self.tap.tick(now, |series| {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.absorb(now, series, &[]);
        });
    }

    /// Everything that was counted is durable when this returns.
    fn persist(&mut self, now: UnixNanos) {
        match self.scribe.write(&mut self.keeper, now, &self.ledger) {
            Ok(()) if self.state.store_failing => {
                self.state.store_failing = false;
                tracing::info!("the store can be written again; nothing that was counted is missing");
            }
            Ok(()) => {}
            Err(error) => {
                metrics::counter!("burngate_store_errors_total").increment(1);
                if !self.state.store_failing {
                    self.state.store_failing = true;
                    tracing::error!(%error, "the store cannot be written: counts stay in memory, no kill switch acts");
                }
            }
        }
    }

    /// The last tick: what came in since the one before is durable, and the last push shows it. Nothing is
    /// decided any more: deliveries have ended, and a decision that cannot leave is made better after the
    /// next start.
    pub(super) fn last(&mut self, now: UnixNanos) {
        self.persist(now);
        self.measure(now);
    }

    fn evaluate(&mut self, now: UnixNanos) {
        self.measure(now);
        self.indicators.evaluate(now);
        self.decide(now);
        self.health.ticked(now);
    }

    /// From counts to what is shown.
    fn measure(&mut self, now: UnixNanos) {
        self.drain(now);
        let views = std::mem::take(&mut self.state.views);
        let touched = self.account(now, &views);
        let accounts = (&self.accounts, touched.as_slice());
        let mut changed =
            self.evaluator
                .apply_with(now, &views, self.registry.as_ref(), &self.policies, accounts);
        let series = |member: &Member| accounts::series_of(&self.registry, member);
        changed.extend(
            self.evaluator
                .composites(now, &self.policies, &series, &self.accounts),
        );
        self.plan_new(&views);
        self.state.views = views;
        if let Some(page) = &mut self.page {
            page.apply(&changed);
        }
        for (name, quality) in self.tap.qualities().all(now) {
            let (service, slo) = (name.service.to_string(), name.slo.to_string());
            metrics::gauge!("slo_sli_quality", "service" => service, "slo" => slo)
                .set(f64::from(quality.code()));
        }
        metrics::gauge!("burngate_evaluation_last_timestamp_seconds").set(now.0 as f64 / 1e9);
        metrics::gauge!("burngate_evaluation_changed_series").set(changed.len() as f64);
        self.state.changed = changed;
        metrics::gauge!("burngate_cohorts_live").set(f64::from(self.registry.stats().cohorts));
    }

    fn drain(&mut self, now: UnixNanos) {
        self.state.views.clear();
        loop {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            if !ledger.changed(now, DRAIN_MAX, &mut self.state.views) {
                let stats = ledger.stats();
                drop(ledger);
                metrics::gauge!("burngate_ledger_series").set(stats.series as f64);
                metrics::gauge!("burngate_ledger_evidence_cells").set(stats.evidence_cells as f64);
                metrics::gauge!("burngate_ledger_joint_rows").set(stats.joint_rows as f64);
                metrics::counter!("burngate_ledger_refused_joint_events_total")
                    .absolute(stats.refused_joint_events);
                metrics::counter!("burngate_ledger_refused_series_events_total")
                    .absolute(stats.refused_series_events);
                metrics::counter!("burngate_ledger_refused_evidence_events_total")
                    .absolute(stats.refused_evidence_events);
                metrics::counter!("burngate_ledger_unretracted_events_total")
                    .absolute(stats.unretracted_events);
                metrics::counter!("burngate_ledger_clock_steps_back_total").absolute(stats.clock_steps_back);
                return;
            }
        }
    }

    /// Gives an objective that was never seen before the windows that its policy needs; until now it had the
    /// default's.
    fn plan_new(&mut self, views: &[SeriesView]) {
        for view in views {
            if !self.state.planned.insert(view.objective) {
                continue;
            }
            let Some(name) = self.registry.objective(view.objective) else {
                continue;
            };
            match self.plans.of_new(&name) {
                Ok(None) => {}
                Ok(Some(plan)) => {
                    self.ledger
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .set_plan(view.objective, plan);
                }
                Err(error) => {
                    tracing::error!(service = %name.service, slo = %name.slo, %error, "windows refused");
                }
            }
        }
    }

    fn decide(&mut self, now: UnixNanos) {
        self.learn();
        self.follow(now);
        let coverage = self.state.coverage.look(now, self.admissions.requests());
        metrics::gauge!("burngate_coverage_ratio").set(coverage);
        self.decider.note_coverage(coverage);
        for (environment, flag, at) in self.changes.take() {
            self.decider.note_change(&environment, &flag, at);
        }
        self.decider.hear(
            now,
            &Sources {
                ledger: &self.ledger,
                board: self.evaluator.board(),
                policies: &self.policies,
                registry: &self.registry,
                signatures: &self.signatures,
                shapes: self.tap.shapes(),
            },
        );
        for mut decision in self.decider.evaluate(now, self.evaluator.board(), &self.policies) {
            self.explain(&mut decision);
            tracing::warn!(
                decision = %decision.id,
                flag = %decision.flag,
                environment = %decision.environment,
                service = %decision.evidence.service,
                slo = %decision.evidence.slo,
                burn = decision.evidence.burn,
                state = decision.state.as_str(),
                subject = %decision.subject(),
                action = %decision.action,
                "a kill switch speaks"
            );
            if let Err(error) = self.decisions.submit(decision) {
                tracing::error!(%error, "a decision could not be taken on");
            }
        }
        let withheld: Vec<Withheld> = self.decider.withheld().cloned().collect();
        *self.withheld.write().unwrap_or_else(PoisonError::into_inner) = withheld;
        *self.rulings.write().unwrap_or_else(PoisonError::into_inner) = self.decider.rulings().to_vec();
    }

    /// What became of the decisions.
    fn learn(&mut self) {
        let (seen, updates) = self.decisions.changed_since(self.state.decisions_seen);
        self.state.decisions_seen = seen;
        for decision in &updates {
            self.decider.update(decision);
        }
    }

    /// Adds what the bad events of the decision's cohort had in common.
    fn explain(&self, decision: &mut Decision) {
        // A step of a probation goes by what the kill went by.
        if matches!(decision.actor, Actor::Probation { .. }) {
            return;
        }
        let evidence = &mut decision.evidence;
        let found = self.evaluator.board().list(&Filter {
            service: Some(&evidence.service),
            slo: Some(&evidence.slo),
            environment: evidence.environment.as_deref(),
            sha: evidence.sha.as_deref(),
            flag: Some(&evidence.flag),
            variant: Some(&evidence.variant),
            totals: Some(false),
        });
        let sha_of = |status: &BudgetStatus| match &status.cohort.level {
            Level::Flag { sha, .. } => sha.clone(),
            _ => None,
        };
        let ours = |status: &&Arc<BudgetStatus>| sha_of(status).as_deref() == evidence.sha.as_deref();
        if let Some(status) = found.iter().find(ours) {
            evidence.signatures = self.signatures.top(status.objective_id, status.cohort_id);
        }
    }

    /// Lets go of cohorts that have been idle for long; the ledger looks at a share of its series a tick.
    fn retire_idle(&mut self, now: UnixNanos) {
        let idle = self
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .idle(now);
        for &cohort in &idle {
            self.registry.retire(cohort);
        }
        self.state.retired.extend(idle);
    }

    /// Takes the retired cohorts off the board and the page: both are walked as a whole, so once a minute.
    fn sweep(&mut self, now: UnixNanos) {
        self.registry.sweep(now);
        let retired = std::mem::take(&mut self.state.retired);
        if retired.is_empty() {
            return;
        }
        for status in self.evaluator.board().snapshot() {
            if retired.contains(&status.cohort_id) {
                self.evaluator.forget(status.objective_id, status.cohort_id);
            }
        }
        if let Some(page) = &mut self.page {
            page.rebuild(self.evaluator.board());
        }
        tracing::info!(
            cohorts = retired.len(),
            "idle cohorts have left; their past stays in the totals"
        );
    }
}
