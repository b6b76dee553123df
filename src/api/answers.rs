//! The four answers of the API, once for HTTP and gRPC.

use super::proto;
use super::view;
use crate::act::Decisions;
use crate::decide::Withheld;
use crate::indicate::{IndicatorBoard, IndicatorFilter};
use crate::policy::{Board, BudgetStatus, Filter, PolicySet};
use arc_swap::ArcSwap;
use std::sync::{Arc, PoisonError, RwLock};

/// Cohorts in one answer unless the caller says otherwise, and at most.
const COHORTS_DEFAULT: u32 = 1000;
const COHORTS_MAX: u32 = 10_000;
/// Decisions in one answer unless the caller says otherwise, and at most.
const INDICATORS_DEFAULT: u32 = 1000;
const INDICATORS_MAX: u32 = 10_000;
const DECISIONS_DEFAULT: u32 = 100;
const DECISIONS_MAX: u32 = 1000;

/// What the API reads. Everything is shared with the tick, nothing is changed here.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The latest status of every series.
    pub board: Arc<Board>,
    /// The decisions, live and past.
    pub decisions: Decisions,
    /// Rules that burn and do not act.
    pub withheld: Arc<RwLock<Vec<Withheld>>>,
    /// Whom to ask about a service; a reload puts others in their place.
    pub policies: Arc<ArcSwap<PolicySet>>,
    /// Leading indicators.
    pub indicators: Arc<IndicatorBoard>,
}

/// Which cohorts are asked for; empty strings and zero mean "not said".
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CohortFilter {
    pub(super) service: String,
    pub(super) sha: String,
    pub(super) flag: String,
    pub(super) limit: u32,
}

/// Which decisions are asked for.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DecisionFilter {
    pub(super) service: String,
    pub(super) limit: u32,
}

/// Which indicators; an empty part asks for anything.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct IndicatorParameters {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) limit: u32,
}

impl ApiState {
    /// Leading indicators, sorted by service, environment and name.
    pub(super) fn indicators(&self, asked: &IndicatorParameters) -> proto::ListIndicatorsResponse {
        fn said(text: &str) -> Option<&str> {
            Some(text).filter(|t| !t.is_empty())
        }
        let found = self.indicators.list(&IndicatorFilter {
            service: said(&asked.service),
            name: said(&asked.name),
            active: asked.active.then_some(true),
        });
        let limit = bounded(asked.limit, INDICATORS_DEFAULT, INDICATORS_MAX);
        proto::ListIndicatorsResponse {
            indicators: found.iter().take(limit).map(|it| view::indicator(it)).collect(),
            truncated: found.len() > limit,
        }
    }

    /// Budgets of every service, or of one. Empty when nothing was counted for it.
    pub(super) fn budgets(&self, service: Option<&str>) -> proto::ListBudgetsResponse {
        let found = self.board.list(&Filter {
            service,
            totals: Some(true),
            ..Filter::default()
        });
        proto::ListBudgetsResponse {
            budgets: found.iter().map(|s| self.owned(s)).collect(),
        }
    }

    /// A total, with what its policy says of whom to ask.
    fn owned(&self, status: &BudgetStatus) -> proto::Budget {
        let mut budget = view::budget(status);
        let environment = status.cohort.environment.as_deref();
        if let Some((Some(policy), _)) = self.policies.load().find(&status.objective, environment) {
            budget.tier = policy.tier.map(u32::from);
            budget.owner.clone_from(&policy.owner);
        }
        budget
    }

    /// Deployments and flag variants, most recently evaluated first.
    pub(super) fn cohorts(&self, filter: &CohortFilter) -> proto::ListCohortsResponse {
        fn said(text: &str) -> Option<&str> {
            Some(text).filter(|t| !t.is_empty())
        }
        let mut found = self.board.list(&Filter {
            service: said(&filter.service),
            sha: said(&filter.sha),
            flag: said(&filter.flag),
            totals: Some(false),
            ..Filter::default()
        });
        // Stable: among equals the board's order (objective, cohort) stays.
        found.sort_by_key(|status| std::cmp::Reverse(status.evaluated_at));
        let limit = bounded(filter.limit, COHORTS_DEFAULT, COHORTS_MAX);
        let truncated = found.len() > limit;
        found.truncate(limit);
        proto::ListCohortsResponse {
            cohorts: found.iter().map(|s| view::budget(s)).collect(),
            truncated,
        }
    }

    /// Decisions, newest first, and what withholds the others.
    pub(super) fn decisions(&self, filter: &DecisionFilter) -> proto::ListDecisionsResponse {
        let ours = |service: &str| filter.service.is_empty() || filter.service == service;
        let limit = bounded(filter.limit, DECISIONS_DEFAULT, DECISIONS_MAX);
        proto::ListDecisionsResponse {
            decisions: self
                .decisions
                .snapshot(usize::MAX)
                .iter()
                .filter(|d| ours(&d.evidence.service))
                .take(limit)
                .map(view::decision)
                .collect(),
            withheld: {
                let withheld = self.withheld.read().unwrap_or_else(PoisonError::into_inner);
                withheld
                    .iter()
                    .filter(|w| ours(&w.service))
                    .map(view::withheld)
                    .collect()
            },
        }
    }
}

fn bounded(asked: u32, default: u32, max: u32) -> usize {
    let limit = if asked == 0 { default } else { asked.min(max) };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
