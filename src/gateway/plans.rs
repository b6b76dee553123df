//! Which windows each objective keeps running sums of.
//!
//! Objectives of globs and of the default are only known by name once their telemetry is seen; until then
//! they keep the windows of the default.

use super::GatewayError;
use crate::cohort::{ObjectiveId, Registry};
use crate::config::{Config, DefaultSlo};
use crate::ledger::{COHORT_REACH_SECS, Kinds, Ledger, LedgerLimits, PlanError, WindowPlan};
use crate::policy::PolicySet;
use crate::sli::ObjectiveName;
use std::fmt;
use std::sync::Arc;

/// The windows of every objective that is known by name, and of those that are not yet.
pub(super) struct Plans {
    policies: Arc<PolicySet>,
    /// Windows that the dashboards' names need, whatever the policies say.
    shown_secs: Vec<u64>,
    default: WindowPlan,
    known: Vec<(ObjectiveId, WindowPlan)>,
    limits: LedgerLimits,
    kinds: Arc<dyn Kinds>,
}

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans")
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

impl Plans {
    /// Works out the windows of everything that the policies name.
    pub(super) fn new(
        config: &Config,
        policies: Arc<PolicySet>,
        registry: &Arc<Registry>,
    ) -> Result<Self, GatewayError> {
        let shown = config.prometheus.as_ref().filter(|p| p.dashboard_names);
        let shown = shown.map(|p| [p.burn_rate_fast, p.burn_rate_slow, p.burn_rate_critical]);
        let cohorts = &config.error_budget.cohorts;
        let mut plans = Self {
            policies,
            shown_secs: shown
                .into_iter()
                .flatten()
                .map(|window| window.as_secs())
                .collect(),
            default: WindowPlan::default(),
            known: Vec::new(),
            limits: LedgerLimits {
                max_evidence_cells: usize::try_from(cohorts.max_evidence_cells).unwrap_or(usize::MAX),
                idle_timeout_secs: cohorts.idle_timeout_secs,
                ..LedgerLimits::default()
            },
            kinds: registry.clone(),
        };
        let named = |source, name: &ObjectiveName| GatewayError::Plan {
            service: name.service.as_ref().to_owned(),
            slo: name.slo.as_ref().to_owned(),
            source,
        };
        let unseen = ObjectiveName {
            service: "(any)".into(),
            slo: DefaultSlo::NAME.into(),
        };
        plans.default = plans.of(&unseen).map_err(|source| named(source, &unseen))?;
        let mut scratch = Vec::new();
        for spec in plans.policies.objectives() {
            let id = registry.objective_id(&spec.name.service, &spec.name.slo, &mut scratch);
            let plan = plans.of(&spec.name).map_err(|source| named(source, &spec.name))?;
            plans.known.push((id, plan));
        }
        Ok(plans)
    }

    /// The windows of one objective.
    fn of(&self, name: &ObjectiveName) -> Result<WindowPlan, PlanError> {
        let plan = self.policies.plan(name)?;
        let with = |windows: &[u64], reach_secs: u64| {
            let more = self.shown_secs.iter().copied().filter(|&secs| secs <= reach_secs);
            windows.iter().copied().chain(more).collect::<Vec<u64>>()
        };
        WindowPlan::new(
            &with(plan.totals(), u64::MAX),
            &with(plan.cohorts(), COHORT_REACH_SECS),
        )
    }

    /// The windows of an objective that was seen for the first time; `None` when they are the default's,
    /// which it has.
    pub(super) fn of_new(&self, name: &ObjectiveName) -> Result<Option<WindowPlan>, PlanError> {
        self.of(name)
            .map(|plan| Some(plan).filter(|plan| *plan != self.default))
    }

    /// These plans in a ledger that was made from `former` ones, whose default stays the default there.
    pub(super) fn after(mut self, former: &Self) -> Self {
        self.default = former.default.clone();
        self
    }

    /// The objectives among those `seen` or known by name whose windows differ from `former` ones.
    pub(super) fn changed(
        &self,
        former: &Self,
        seen: Vec<ObjectiveId>,
        registry: &Registry,
    ) -> Vec<(ObjectiveId, WindowPlan)> {
        let known = self.known.iter().map(|(id, _)| *id);
        let mut ids: Vec<ObjectiveId> = seen.into_iter().chain(known).collect();
        ids.sort_unstable_by_key(|id| id.0);
        ids.dedup();
        let differing = |id: ObjectiveId| {
            let name = registry.objective(id)?;
            let plan = self.of(&name).ok()?;
            let before = former.of(&name).ok();
            (before.as_ref() != Some(&plan)).then_some((id, plan))
        };
        ids.into_iter().filter_map(differing).collect()
    }

    /// A ledger without counts.
    pub(super) fn empty_ledger(&self) -> Ledger {
        let mut ledger = Ledger::new(self.limits, self.default.clone(), self.kinds.clone());
        for (id, plan) in &self.known {
            ledger.set_plan(*id, plan.clone());
        }
        ledger
    }
}
