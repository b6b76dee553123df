//! Versions of a service: which one is new, and whether it is the version or a flag.

use super::trials::Trials;
use crate::cohort::{Level, ObjectiveId};
use crate::evidence::Attribution;
use crate::policy::BudgetStatus;
use crate::time::UnixNanos;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A service and its version.
type Version = (Arc<str>, Arc<str>);
/// When it came, if somebody saw that, and how far back its events reach, in seconds.
type Age = (Option<UnixNanos>, u64);

/// Versions that came after another one that still has traffic. The oldest is never blamed: what would be
/// rolled back to?
///
/// Which one came later is known if it came while somebody looked; else by how far back its events reach.
pub(super) fn newer(series: &[&Arc<BudgetStatus>], trials: &Trials, environment: &str) -> BTreeSet<Version> {
    let mut ages: BTreeMap<Version, Age> = BTreeMap::new();
    for status in series {
        let Level::Deployment { sha } = &status.cohort.level else {
            continue;
        };
        let key = (Arc::clone(&status.objective.service), Arc::clone(sha));
        let since = trials.version_since(status.objective_id, environment, sha);
        let age = ages.entry(key).or_default();
        *age = (since.or(age.0), reach_secs(status).max(age.1));
    }
    let came_after = |own: &Age, other: &Age| match (own.0, other.0) {
        (Some(own), Some(other)) => own > other,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => own.1 < other.1,
    };
    ages.iter()
        .filter(|((service, sha), age)| {
            ages.iter().any(|((other_service, other), other_age)| {
                other_service == service && other != sha && came_after(age, other_age)
            })
        })
        .map(|(key, _)| key.clone())
        .collect()
}

/// The smallest window that holds everything that any holds.
fn reach_secs(status: &BudgetStatus) -> u64 {
    let total = |secs| status.window(secs).map_or(0, |window| window.counts.total());
    let windows = status.windows.iter().map(|window| window.sum.window_secs);
    let all = windows.clone().map(total).max().unwrap_or(0);
    windows.filter(|secs| total(*secs) == all).min().unwrap_or(0)
}

/// Whether it is the version: not if a flag is suspect at the same time, which the version may just have
/// more of. Evidence about flags is drawn within versions, so the flag is known by then to be it.
pub(super) fn attribution(trials: &Trials, objective: ObjectiveId, environment: &str) -> Attribution {
    let suspects = trials.suspects(objective, environment);
    match suspects.iter().find_map(|key| key.accused.flag()) {
        Some(flag) => Attribution::Other { other: flag.into() },
        None => Attribution::Alone,
    }
}
