//! The answers about budgets, routes and decisions, once for HTTP and gRPC.

use super::compare::Deployments;
use super::proto;
use super::view;
use crate::act::{Decisions, Desk, FlagChanges};
use crate::audit::Trail;
use crate::cohort::Level;
use crate::decide::{Ruling, Withheld};
use crate::indicate::{IndicatorBoard, IndicatorFilter};
use crate::ledger::{Latencies, Qualities, ShapeBook, SignatureBook};
use crate::policy::{Board, BudgetKind, BudgetStatus, Corrections, Filter, PolicySet};
use crate::time::Clock;
use arc_swap::ArcSwap;
use std::cmp::Reverse;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Cohorts in one answer unless the caller says otherwise, and at most.
const COHORTS_DEFAULT: u32 = 1000;
const COHORTS_MAX: u32 = 10_000;
/// Decisions in one answer unless the caller says otherwise, and at most.
const INDICATORS_DEFAULT: u32 = 1000;
const INDICATORS_MAX: u32 = 10_000;
const DECISIONS_DEFAULT: u32 = 100;
const DECISIONS_MAX: u32 = 1000;

/// What the API reads. Everything is shared with the tick; only corrections are made here.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The latest status of every series.
    pub board: Arc<Board>,
    /// The decisions, live and past.
    pub decisions: Decisions,
    /// Rules that burn and do not act.
    pub withheld: Arc<RwLock<Vec<Withheld>>>,
    /// What the rules by evidence say.
    pub rulings: Arc<RwLock<Vec<Ruling>>>,
    /// How exactly SLIs from metrics are known.
    pub qualities: Arc<Qualities>,
    /// Whom to ask about a service; a reload puts others in their place.
    pub policies: Arc<ArcSwap<PolicySet>>,
    /// Durations, to compare deployments; `None` where none are kept.
    pub latencies: Option<Arc<Mutex<Latencies>>>,
    /// What bad events have in common.
    pub signatures: Arc<SignatureBook>,
    /// In which shapes flags came.
    pub shapes: Arc<ShapeBook>,
    /// What is left out of budgets after the fact.
    pub corrections: Corrections,
    /// The record of decisions.
    pub audit: Arc<Trail>,
    /// When a correction is made.
    pub clock: Arc<dyn Clock>,
    /// Leading indicators.
    pub indicators: Arc<IndicatorBoard>,
    /// Where people's requests go.
    pub desk: Desk,
    /// Where changes of flags wait for the next evaluation.
    pub changes: FlagChanges,
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

/// Routes of one SLO and environment in one answer unless the caller says otherwise, and at most.
const ROUTES_DEFAULT: u32 = 10;
const ROUTES_MAX: u32 = 1000;
/// The window that routes are ranked by, in seconds.
const ROUTES_WINDOW_SECS: u64 = 3_600;

/// Which routes are asked for.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RouteFilter {
    pub(super) service: String,
    pub(super) slo: String,
    pub(super) by: String,
    pub(super) limit: u32,
    pub(super) window_secs: u64,
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
        let quality = self.qualities.of(&status.objective, status.evaluated_at);
        budget.sli_quality = quality.map(|quality| quality.as_str().to_owned());
        let environment = status.cohort.environment.as_deref();
        let policies = self.policies.load();
        if status.kind == BudgetKind::Journey {
            if let Some(journey) = policies
                .journeys()
                .iter()
                .find(|j| j.name == status.objective.service)
            {
                budget.tier = journey.tier.map(u32::from);
                budget.owner.clone_from(&journey.owner);
            }
        } else if let Some((Some(policy), _)) = policies.find(&status.objective, environment) {
            budget.tier = policy.tier.map(u32::from);
            budget.owner.clone_from(&policy.owner);
        }
        budget
    }

    /// Deployments and flag variants, most recently evaluated first.
    pub(super) fn cohorts(&self, filter: &CohortFilter) -> proto::ListCohortsResponse {
        let mut found = self.board.list(&Filter {
            service: said(&filter.service),
            sha: said(&filter.sha),
            flag: said(&filter.flag),
            totals: Some(false),
            ..Filter::default()
        });
        found.retain(|status| !matches!(status.cohort.level, Level::Route { .. }));
        // A deployment is compared with all others, also those that the filter leaves out.
        let beside = self.board.list(&Filter {
            service: said(&filter.service),
            totals: Some(false),
            ..Filter::default()
        });
        let deployments = Deployments::among(&beside);
        // Stable: among equals the board's order (objective, cohort) stays.
        found.sort_by_key(|status| Reverse(status.evaluated_at));
        let limit = bounded(filter.limit, COHORTS_DEFAULT, COHORTS_MAX);
        let truncated = found.len() > limit;
        found.truncate(limit);
        let latencies = self.latencies.as_ref();
        let latencies = latencies.map(|table| table.lock().unwrap_or_else(PoisonError::into_inner));
        let shown = |status: &Arc<BudgetStatus>| proto::Budget {
            comparisons: deployments.compare(status, latencies.as_deref()),
            ..view::budget(status)
        };
        proto::ListCohortsResponse {
            cohorts: found.iter().map(shown).collect(),
            truncated,
        }
    }

    /// Routes, of each SLO and environment those with most traffic or most bad events first; `Err` says what
    /// is wrong with the question.
    pub(super) fn routes(&self, filter: &RouteFilter) -> Result<proto::ListRoutesResponse, String> {
        let by_badness = match filter.by.as_str() {
            "" | "traffic" => false,
            "badness" => true,
            other => return Err(format!("by={other:?}: expected traffic or badness")),
        };
        let secs = match filter.window_secs {
            0 => ROUTES_WINDOW_SECS,
            secs => secs,
        };
        let mut found = self.board.list(&Filter {
            service: said(&filter.service),
            slo: said(&filter.slo),
            totals: Some(false),
            ..Filter::default()
        });
        found.retain(|status| matches!(status.cohort.level, Level::Route { .. }));
        if !found.is_empty() && found.iter().all(|status| status.window(secs).is_none()) {
            return Err(format!(
                "window_secs={secs}: no such window is kept; 300 and 3600 always are"
            ));
        }
        let rank = |status: &BudgetStatus| {
            let counts = status
                .window(secs)
                .map(|window| window.counts)
                .unwrap_or_default();
            if by_badness {
                (counts.bad, counts.total())
            } else {
                (counts.total(), counts.bad)
            }
        };
        let group =
            |status: &BudgetStatus| (Arc::clone(&status.objective), status.cohort.environment.clone());
        found.sort_by(|a, b| {
            let order = group(a).cmp(&group(b));
            order.then(Reverse(rank(a)).cmp(&Reverse(rank(b))))
        });
        let limit = bounded(filter.limit, ROUTES_DEFAULT, ROUTES_MAX);
        let groups = found.chunk_by(|a, b| group(a) == group(b));
        let routes = groups.flat_map(|routes| routes.iter().take(limit));
        Ok(proto::ListRoutesResponse {
            routes: routes.map(|status| view::budget(status)).collect(),
        })
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

fn said(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn bounded(asked: u32, default: u32, max: u32) -> usize {
    let limit = if asked == 0 { default } else { asked.min(max) };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
