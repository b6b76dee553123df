//! A configuration with its policies, checked and compiled: everything that can be refused without touching a
//! port, a file of the store or anything that runs. Start, reload and `validate` share it.

use super::GatewayError;
use crate::act::{self, Exporters, RuleTarget};
use crate::cohort::NamedFlags;
use crate::config::{Authenticator, BuiltInIndicators, Config, Extension};
use crate::indicate::builtin::{self, BuiltIn, Reads};
use crate::indicate::{IndicatorLimits, Plan, PlanError};
use crate::ledger::Compiled;
use crate::policy::{self, PolicySet};
use crate::process;
use crate::receive::Authenticators;
use crate::wire::WalkLimits;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) policies: Arc<PolicySet>,
    pub(super) exporters: Arc<Exporters>,
    pub(super) compiled: Compiled,
    pub(super) indicators: Arc<Plan>,
    pub(super) authenticators: Authenticators,
}

impl Prepared {
    /// Checks policies, kill switches and their exporters.
    pub(super) fn check(config: Config) -> Result<Self, GatewayError> {
        let policies = load_policies(&config)?;
        let ids: Vec<&str> = config.decision_exporters.ids().collect();
        policies.check_exporters(&ids)?;
        let policies = Arc::new(policies);
        let exporters = Arc::new(Exporters::build(&config.decision_exporters)?);
        act::check(&RuleTarget::all(&policies), &exporters)?;
        act::check_deployments(&policies, &exporters)?;
        let indicators = Arc::new(indicators(&config, &policies)?);
        let compiled = compile(&config, &policies, &indicators)?;
        for named in &config.graph.processors {
            process::check(&named.id, &named.config)?;
        }
        let named = authenticators(&config);
        let authenticators = Authenticators::build(named.iter().map(|(id, it)| (*id, it)))?;
        Ok(Self {
            config,
            policies,
            exporters,
            compiled,
            indicators,
            authenticators,
        })
    }
}

impl Prepared {
    /// The same for a rehearsal, which sends nothing and lets nobody in: exporters, processors and
    /// authenticators may be missing here.
    pub(super) fn rehearse(config: Config) -> Result<Self, GatewayError> {
        let policies = Arc::new(load_policies(&config)?);
        let indicators = Arc::new(indicators(&config, &policies)?);
        let compiled = compile(&config, &policies, &indicators)?;
        Ok(Self {
            config,
            policies,
            exporters: Arc::default(),
            compiled,
            indicators,
            authenticators: Authenticators::default(),
        })
    }
}

/// The extensions that know who somebody is, by name.
pub(super) fn authenticators(config: &Config) -> Vec<(&str, Authenticator)> {
    let known = config.extensions.iter().filter_map(|named| {
        let authenticator = match &named.config {
            Extension::BearerTokenAuth(bearer) => Authenticator::Bearer(bearer.clone()),
            Extension::BasicAuth(basic) => Authenticator::Basic(basic.clone()),
            _ => return None,
        };
        Some((named.id.as_str(), authenticator))
    });
    known.collect()
}

/// Loads the policies that the configuration names, with the objective of all other services.
fn load_policies(config: &Config) -> Result<PolicySet, GatewayError> {
    let policies = policy::load(&config.error_budget.policies, config.policy_base())?;
    // The built-in configuration looks for policies where there need not be any, and so does one that counts
    // nothing; a file that names some means them.
    let quiet = (config.is_embedded() || !config.counts()) && policies.policies().is_empty();
    for warning in policies.warnings().iter().filter(|_| !quiet) {
        tracing::warn!(%warning, "policy");
    }
    for warning in super::rules::cautions(config, &policies) {
        tracing::warn!(%warning, "policy");
    }
    Ok(policies.with_default(config.error_budget.default_slo.as_ref()))
}

/// The indicators of every service: built-ins as the configuration says, and what policies declare.
fn indicators(config: &Config, policies: &PolicySet) -> Result<Plan, PlanError> {
    let wanted = |it: &&BuiltIn| match config.error_budget.indicators.built_in {
        BuiltInIndicators::None => false,
        BuiltInIndicators::Metrics => it.reads == Reads::Metrics,
        BuiltInIndicators::All => true,
    };
    let built_in: Vec<_> = builtin::all()
        .iter()
        .filter(wanted)
        .map(|it| it.spec.clone())
        .collect();
    Plan::compile(&built_in, &policies.indicator_layers())
}

/// How much indicators may keep.
pub(super) fn indicator_limits(config: &Config) -> IndicatorLimits {
    let settings = &config.error_budget.indicators;
    let count = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    IndicatorLimits {
        max_series: count(settings.max_series),
        max_streams: count(settings.max_streams),
        max_groups: count(settings.max_groups),
        max_services: count(settings.max_services),
        stale_secs: settings.stale_after.as_secs(),
    }
}

fn compile(config: &Config, policies: &PolicySet, indicators: &Arc<Plan>) -> Result<Compiled, GatewayError> {
    let mut named = NamedFlags::new();
    for flag in policies.named_flags() {
        named
            .name(&flag.service, [flag.flag.as_ref()])
            .map_err(GatewayError::ServicePattern)?;
    }
    Ok(Compiled::with_indicators(
        &policies.objectives(),
        policies.default_objective().as_ref(),
        named,
        &config.error_budget.cohorts,
        &config.limits(),
        indicators,
    )?
    .trusting(super::rules::trust(config)))
}

/// What one request may hold.
pub(super) fn walk_limits(config: &Config) -> WalkLimits {
    let limits = config.limits();
    WalkLimits {
        spans_max: limits.max_items,
        attributes_max: limits.max_attributes,
        events_max: limits.max_events,
        nesting_max: limits.max_nesting,
    }
}
