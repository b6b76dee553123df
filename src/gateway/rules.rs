//! From the configuration to what holds for all rules by evidence.

use crate::cohort::Trust;
use crate::config::Config;
use crate::decide::{CommonGuards, ErrorRates};
use globset::{Glob, GlobSet, GlobSetBuilder};

pub(super) fn rates(config: &Config) -> ErrorRates {
    let it = config.error_budget.evidence;
    ErrorRates {
        alpha: it.alpha,
        wrong_a_year: it.wrong_a_year,
        innocent_ratio: it.innocent_ratio,
    }
}

pub(super) fn guards(config: &Config) -> CommonGuards {
    let it = &config.error_budget.guards;
    let mut never = GlobSetBuilder::new();
    // The configuration was refused if one of them is no pattern.
    for glob in it.never_kill.iter().filter_map(|glob| Glob::new(glob).ok()) {
        never.add(glob);
    }
    CommonGuards {
        never_kill: never.build().unwrap_or_else(|_| GlobSet::empty()),
        max_burning_percent: it.max_burning_percent,
        min_coverage: it.min_coverage,
    }
}

/// Whose word is evidence.
pub(super) fn trust(config: &Config) -> Trust {
    let witnesses = config.error_budget.guards.witnesses.iter();
    Trust::new(witnesses.map(|it| {
        [
            std::slice::from_ref(&it.identity),
            it.services.as_slice(),
            it.environments.as_slice(),
        ]
    }))
}
