//! What a reload changes of the evaluation, between two ticks.
//!
//! Counts are not touched: windows that stay keep their sums, new ones are completed from the store. Timers
//! of alerts and kill rules begin anew when a policy changed, because what they waited for may have.

use super::Tick;
use crate::config::Kill;
use crate::decide::{CommonGuards, ErrorRates, LifeRules, RateLimits};
use crate::gateway::plans::Plans;
use crate::policy::PolicySet;
use crate::publish::BudgetPage;
use crate::time::UnixNanos;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a new configuration says about the evaluation.
#[derive(Debug)]
pub(in crate::gateway) struct Change {
    pub(in crate::gateway) policies: Arc<PolicySet>,
    pub(in crate::gateway) plans: Plans,
    /// Another page, or none at all; `None` keeps the one that is there.
    #[allow(clippy::option_option, reason = "a page may change, or go, or stay")]
    pub(in crate::gateway) page: Option<Option<BudgetPage>>,
    pub(in crate::gateway) evaluation_interval: Duration,
    pub(in crate::gateway) rates: ErrorRates,
    pub(in crate::gateway) guards: CommonGuards,
    pub(in crate::gateway) rules: LifeRules,
    pub(in crate::gateway) kill: Kill,
}

/// Where a reload leaves it for the next tick; a later one takes the place of one that nobody has taken yet.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Inbox(Arc<Mutex<Option<Box<Change>>>>);

impl Inbox {
    pub(in crate::gateway) fn put(&self, change: Change) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(change));
    }

    pub(super) fn take(&self) -> Option<Box<Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Tick {
    /// Takes on what a reload left.
    pub(super) fn adopt(&mut self, now: UnixNanos, change: Change) {
        self.audit.policies(now, &change.policies);
        let plans = change.plans.after(&self.plans);
        let former = std::mem::replace(&mut self.plans, plans);
        self.plan_again(&former);
        self.evaluation_interval = change.evaluation_interval;
        // Patterns and expressions print as they were written, so equal text is an equal policy.
        if format!("{:?}", self.policies) != format!("{:?}", change.policies) {
            self.decider.forget_timers();
            self.policies = change.policies;
            let kept = self.evaluator.reapply(now, &self.policies);
            let kept: HashSet<_> = kept.iter().map(|s| (s.objective_id, s.cohort_id)).collect();
            for status in self.evaluator.board().snapshot() {
                if !kept.contains(&(status.objective_id, status.cohort_id)) {
                    self.evaluator.forget(status.objective_id, status.cohort_id);
                }
            }
        }
        self.state.accounts.forget();
        self.accounts.touch_all();
        self.decider.set_evidence(change.rates, change.guards);
        self.rules = change.rules;
        self.decider
            .set_rules(change.rules, RateLimits::from(&change.kill), change.kill.enabled);
        if let Some(page) = change.page {
            self.page = page;
        }
        if let Some(page) = &mut self.page {
            page.rebuild(self.evaluator.board());
        }
        tracing::info!("the evaluation goes on by the new configuration");
    }

    /// Gives every objective whose windows changed its new ones.
    fn plan_again(&mut self, former: &Plans) {
        let seen: Vec<_> = self.state.planned.iter().copied().collect();
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for (objective, plan) in self.plans.changed(former, seen, &self.registry) {
            ledger.set_plan(objective, plan);
        }
    }
}
