//! The latest status of every budget series, shared by everything that reads.
//!
//! One writer (the tick) and many readers (scrapes, API calls, kill rules); a reader takes `Arc`s and holds
//! no lock while it works. Series of flags are also listed by flag, so that a kill rule looks at its own flag
//! only.

use super::status::BudgetStatus;
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use dashmap::DashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Identity of a budget series.
pub type SeriesKey = (ObjectiveId, CohortId);

/// The latest statuses.
#[derive(Debug, Default)]
pub struct Board {
    series: DashMap<SeriesKey, Arc<BudgetStatus>, foldhash::fast::RandomState>,
    by_flag: DashMap<Arc<str>, BTreeSet<SeriesKey>, foldhash::fast::RandomState>,
    routes: DashMap<ObjectiveId, BTreeSet<CohortId>, foldhash::fast::RandomState>,
    deployments: DashMap<SeriesKey, (), foldhash::fast::RandomState>,
}

/// Which series a reader wants; `None` means any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// `service.name`.
    pub service: Option<&'a str>,
    /// The SLO's name.
    pub slo: Option<&'a str>,
    /// The environment.
    pub environment: Option<&'a str>,
    /// The deployment.
    pub sha: Option<&'a str>,
    /// The flag.
    pub flag: Option<&'a str>,
    /// The variant.
    pub variant: Option<&'a str>,
    /// Only totals (`true`) or only cohorts (`false`).
    pub totals: Option<bool>,
}

impl Filter<'_> {
    /// Whether `status` is wanted.
    pub fn matches(&self, status: &BudgetStatus) -> bool {
        let same = |want: Option<&str>, have: Option<&str>| want.is_none_or(|w| have == Some(w));
        let (sha, flag, variant) = parts(&status.cohort.level);
        same(self.service, Some(&status.objective.service))
            && same(self.slo, Some(&status.objective.slo))
            && same(self.environment, status.cohort.environment.as_deref())
            && same(self.sha, sha)
            && same(self.flag, flag)
            && same(self.variant, variant)
            && self.totals.is_none_or(|t| t == status.is_total())
    }
}

fn parts(level: &Level) -> (Option<&str>, Option<&str>, Option<&str>) {
    match level {
        Level::Total | Level::Route { .. } | Level::Overflow => (None, None, None),
        Level::Deployment { sha } => (Some(sha), None, None),
        Level::Flag { sha, flag, variant } => (sha.as_deref(), Some(flag), Some(variant)),
    }
}

fn flag_of(cohort: &CohortKey) -> Option<&Arc<str>> {
    match &cohort.level {
        Level::Flag { flag, .. } => Some(flag),
        _ => None,
    }
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `status` in the place of its series' former one.
    pub fn put(&self, status: Arc<BudgetStatus>) {
        let key = (status.objective_id, status.cohort_id);
        let flag = flag_of(&status.cohort).cloned();
        let is_route = matches!(status.cohort.level, Level::Route { .. });
        if matches!(status.cohort.level, Level::Deployment { .. }) {
            self.deployments.insert(key, ());
        }
        if self.series.insert(key, status).is_some() {
            return;
        }
        if let Some(flag) = flag {
            self.by_flag.entry(flag).or_default().insert(key);
        }
        if is_route {
            self.routes.entry(key.0).or_default().insert(key.1);
        }
    }

    /// Takes a series off: its cohort has left, or no objective covers it any more.
    pub fn remove(&self, objective: ObjectiveId, cohort: CohortId) -> Option<Arc<BudgetStatus>> {
        let key = (objective, cohort);
        let (_, status) = self.series.remove(&key)?;
        self.deployments.remove(&key);
        if let Some(flag) = flag_of(&status.cohort) {
            if let Some(mut keys) = self.by_flag.get_mut(flag) {
                keys.remove(&key);
            }
            self.by_flag.remove_if(flag, |_, keys| keys.is_empty());
        }
        if matches!(status.cohort.level, Level::Route { .. }) {
            if let Some(mut cohorts) = self.routes.get_mut(&objective) {
                cohorts.remove(&cohort);
            }
            self.routes.remove_if(&objective, |_, cohorts| cohorts.is_empty());
        }
        Some(status)
    }

    /// The routes of one objective in one environment, by handle.
    pub fn routes_of(&self, objective: ObjectiveId, environment: Option<&str>) -> Vec<Arc<BudgetStatus>> {
        let cohorts = self.routes.get(&objective).map(|found| found.clone());
        let found = cohorts.unwrap_or_default().into_iter();
        found
            .filter_map(|cohort| self.get(objective, cohort))
            .filter(|status| status.cohort.environment.as_deref() == environment)
            .collect()
    }

    /// The latest status of one series.
    pub fn get(&self, objective: ObjectiveId, cohort: CohortId) -> Option<Arc<BudgetStatus>> {
        self.series.get(&(objective, cohort)).map(|s| Arc::clone(&s))
    }

    /// Every series, by objective, then cohort.
    pub fn snapshot(&self) -> Vec<Arc<BudgetStatus>> {
        self.list(&Filter::default())
    }

    /// The series that `filter` wants, by objective, then cohort.
    pub fn list(&self, filter: &Filter<'_>) -> Vec<Arc<BudgetStatus>> {
        let mut found: Vec<_> = match filter.flag {
            Some(flag) => self.of_flag(flag),
            None => self.series.iter().map(|s| Arc::clone(&s)).collect(),
        };
        found.retain(|s| filter.matches(s));
        found.sort_by(|a, b| (&a.objective, &a.cohort).cmp(&(&b.objective, &b.cohort)));
        found
    }

    /// The series of one flag, by handle.
    pub fn of_flag(&self, flag: &str) -> Vec<Arc<BudgetStatus>> {
        // Keys first: holding one map's shard while locking another's invites a deadlock with `remove`.
        let keys = self.by_flag.get(flag).map(|k| k.clone()).unwrap_or_default();
        keys.into_iter()
            .filter_map(|(objective, cohort)| self.get(objective, cohort))
            .collect()
    }

    /// The series of deployments.
    pub fn deployments(&self) -> Vec<Arc<BudgetStatus>> {
        let keys: Vec<SeriesKey> = self.deployments.iter().map(|entry| *entry.key()).collect();
        keys.into_iter()
            .filter_map(|(objective, cohort)| self.get(objective, cohort))
            .collect()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}
