//! Who is accused by which rule, and what is compared.

use super::action::{Action, Deployment};
use super::live::Subject;
use super::trials::{Accused, CaseKey, Trials};
use crate::cohort::flags::is_reserved;
use crate::cohort::{Level, ObjectiveId};
use crate::evidence::EvidenceClass;
use crate::policy::{Blame, Board, BudgetStatus, Guards, KillMode, KillRule, Policy, PolicySet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A rule applied to one accused: what a dwell belongs to.
pub(super) type RulingKey = (Arc<str>, Arc<str>, Arc<str>, Accused, Option<Arc<str>>);

/// What a rule says about one accused, in common for flags and versions.
pub(super) struct Accusation {
    pub(super) exporter: Arc<str>,
    pub(super) environment: Arc<str>,
    pub(super) service: Arc<str>,
    pub(super) slo: Option<Arc<str>>,
    pub(super) accused: Accused,
    pub(super) action: Action,
    pub(super) rule: KillRule,
    pub(super) guards: Guards,
    pub(super) mode: KillMode,
    pub(super) class_needed: EvidenceClass,
    pub(super) latest_change: bool,
    /// The accused's series, and those that it is compared with, by objective.
    pub(super) series: BTreeMap<ObjectiveId, [Vec<Arc<BudgetStatus>>; 2]>,
}

impl Accusation {
    pub(super) fn key(&self) -> RulingKey {
        (
            Arc::clone(&self.exporter),
            Arc::clone(&self.environment),
            Arc::clone(&self.service),
            self.accused.clone(),
            self.slo.clone(),
        )
    }

    pub(super) fn case_key(&self, objective: ObjectiveId) -> CaseKey {
        CaseKey {
            objective,
            environment: Arc::clone(&self.environment),
            accused: self.accused.clone(),
        }
    }

    pub(super) fn deployment(&self) -> Option<Deployment> {
        match &self.accused {
            Accused::Version { sha } => Some(Deployment {
                service: self.service.to_string(),
                sha: sha.to_string(),
            }),
            Accused::Flag { .. } => None,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        let name = match (&self.accused, self.deployment()) {
            (Accused::Flag { flag, .. }, _) => flag.to_string(),
            (_, Some(Deployment { service, sha })) => format!("{service}@{sha}"),
            (Accused::Version { sha }, None) => sha.to_string(),
        };
        Subject {
            exporter: self.exporter.to_string(),
            environment: self.environment.to_string(),
            flag: name,
        }
    }

    pub(super) fn names(&self) -> (String, String, Option<String>) {
        match &self.accused {
            Accused::Flag { flag, variant } => (flag.to_string(), variant.to_string(), None),
            Accused::Version { sha } => (String::new(), String::new(), Some(sha.to_string())),
        }
    }
}

/// Every accusation by a rule about a flag.
pub(super) fn of_flags(board: &Board, policies: &PolicySet) -> Vec<Accusation> {
    let mut all = Vec::new();
    for (policy, switch) in policies.kill_switches().filter(|(_, s)| s.mode != KillMode::Off) {
        let Blame::Evidence { class, latest_change } = switch.blame else {
            continue;
        };
        let of_flag = board.of_flag(&switch.flag);
        let ours: Vec<_> = of_flag
            .iter()
            .filter(|s| is_watched(policy, (&switch.environment, switch.slo.as_ref()), s, policies))
            .collect();
        let accused = ours.iter().filter_map(|status| match &status.cohort.level {
            Level::Flag { variant, .. } if !switch.action.keeps(variant) && !is_reserved(variant) => {
                Some((Arc::clone(&status.objective.service), Arc::clone(variant)))
            }
            _ => None,
        });
        let accused: BTreeSet<_> = accused
            .filter(|(_, variant)| switch.variants.as_ref().is_none_or(|v| v.contains(variant)))
            .collect();
        for (service, variant) in accused {
            let in_arm = |status: &BudgetStatus| match &status.cohort.level {
                Level::Flag { variant: v, .. } if is_reserved(v) => None,
                Level::Flag { variant: v, .. } => Some(*v == variant),
                _ => None,
            };
            all.push(Accusation {
                exporter: Arc::clone(&switch.exporter),
                environment: Arc::clone(&switch.environment),
                series: series(
                    ours.iter().copied().filter(|s| s.objective.service == service),
                    in_arm,
                ),
                service,
                slo: switch.slo.clone(),
                accused: Accused::Flag {
                    flag: Arc::clone(&switch.flag),
                    variant,
                },
                action: Action::Switch {
                    to: switch.action.clone(),
                },
                rule: switch.when,
                guards: switch.guards,
                mode: switch.mode,
                class_needed: class,
                latest_change,
            });
        }
    }
    all
}

/// Every accusation by a rule about a version, that is not the oldest of its service.
pub(super) fn of_versions(board: &Board, policies: &PolicySet, trials: &Trials) -> Vec<Accusation> {
    let mut all = Vec::new();
    let switches: Vec<_> = policies
        .deploy_switches()
        .filter(|(_, s)| s.mode != KillMode::Off)
        .collect();
    if switches.is_empty() {
        return all;
    }
    let deployments = board.deployments();
    for (policy, switch) in switches {
        let ours: Vec<_> = deployments
            .iter()
            .filter(|s| is_watched(policy, (&switch.environment, switch.slo.as_ref()), s, policies))
            .collect();
        for (service, sha) in super::versions::newer(&ours, trials, &switch.environment) {
            let in_arm = |status: &BudgetStatus| match &status.cohort.level {
                Level::Deployment { sha: s } => Some(*s == sha),
                _ => None,
            };
            all.push(Accusation {
                exporter: Arc::clone(&switch.exporter),
                environment: Arc::clone(&switch.environment),
                series: series(
                    ours.iter().copied().filter(|s| s.objective.service == service),
                    in_arm,
                ),
                service,
                slo: switch.slo.clone(),
                accused: Accused::Version { sha },
                action: switch.action.into(),
                rule: switch.when,
                guards: switch.guards,
                mode: switch.mode,
                class_needed: EvidenceClass::Concurrent,
                latest_change: false,
            });
        }
    }
    all
}

/// The accused's series and those that it is compared with, by objective; objectives without the accused are
/// left out.
fn series<'s>(
    statuses: impl Iterator<Item = &'s Arc<BudgetStatus>>,
    is_accused: impl Fn(&BudgetStatus) -> Option<bool>,
) -> BTreeMap<ObjectiveId, [Vec<Arc<BudgetStatus>>; 2]> {
    let mut sorted: BTreeMap<ObjectiveId, [Vec<Arc<BudgetStatus>>; 2]> = BTreeMap::new();
    for status in statuses {
        let Some(accused) = is_accused(status) else {
            continue;
        };
        let [treated, control] = sorted.entry(status.objective_id).or_default();
        let side = if accused { treated } else { control };
        side.push(Arc::clone(status));
    }
    sorted.retain(|_, [treated, _]| !treated.is_empty());
    sorted
}

/// Whether a rule of `policy` in that environment, for that SLO or any, watches this series.
fn is_watched(
    policy: &Arc<Policy>,
    (rule_environment, slo): (&Arc<str>, Option<&Arc<str>>),
    status: &BudgetStatus,
    policies: &PolicySet,
) -> bool {
    let environment = status.cohort.environment.as_deref();
    environment == Some(&**rule_environment)
        && slo.map_or(!status.counts_calls(), |slo| *slo == status.objective.slo)
        && policy.covers(&status.objective.service, environment)
        && policies
            .find(&status.objective, environment)
            .is_some_and(|(found, _)| found.is_some_and(|found| Arc::ptr_eq(found, policy)))
}
