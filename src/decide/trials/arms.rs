//! Which cohorts are compared with each other, and what was counted of them.

use super::{Accused, CaseKey, Sources};
use crate::cohort::flags::is_reserved;
use crate::cohort::{CohortId, Level, ObjectiveId, SourceId, StratumId};
use crate::evidence::{Arm, Block, blocks};
use crate::ledger::{Counts, Ledger};
use crate::policy::{Blame, BudgetStatus, KillMode, Policy, PolicySet};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One cohort of a comparison.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) cohort: CohortId,
    /// The version that it is of, if its events name one.
    pub(super) sha: Option<Arc<str>>,
    /// The arm that it belongs to: its variant, or its sha.
    pub(super) arm: Arc<str>,
}

/// Cohorts that are compared: all variants of a flag, or all versions of a service.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) objective: ObjectiveId,
    pub(super) environment: Arc<str>,
    pub(super) members: Vec<Member>,
    keys: Vec<CaseKey>,
}

/// What one cell counted in one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) block: u64,
    /// Version (where those are not what is compared), endpoint class and region.
    stratum: (usize, StratumId),
    pub(super) source: SourceId,
    /// Index of the member.
    member: usize,
    pub(super) counts: Counts,
}

/// What was counted of a group, by block.
#[derive(Debug)]
pub(super) struct Rows<'g> {
    group: &'g Group,
    rows: Vec<Row>,
}

impl Group {
    fn new(objective: ObjectiveId, environment: &Arc<str>) -> Self {
        Self {
            objective,
            environment: Arc::clone(environment),
            members: Vec::new(),
            keys: Vec::new(),
        }
    }

    fn has(&self, cohort: CohortId) -> bool {
        self.members.iter().any(|member| member.cohort == cohort)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &CaseKey> {
        self.keys.iter()
    }

    /// The versions that its cohorts are of.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.iter().filter_map(|member| member.sha.as_ref())
    }

    fn accuse(&mut self, accused: Accused) {
        let key = CaseKey {
            objective: self.objective,
            environment: Arc::clone(&self.environment),
            accused,
        };
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }
}

impl Rows<'_> {
    fn is_treated(&self, row: &Row, key: &CaseKey) -> bool {
        let arm = self.group.members.get(row.member).map(|member| &*member.arm);
        match &key.accused {
            Accused::Flag { variant, .. } => arm == Some(variant),
            Accused::Version { sha } => arm == Some(sha),
        }
    }

    /// Rows of the accused.
    pub(super) fn treated<'r>(&'r self, key: &'r CaseKey) -> impl Iterator<Item = &'r Row> {
        self.rows.iter().filter(move |row| self.is_treated(row, key))
    }

    pub(super) fn all(&self) -> &[Row] {
        &self.rows
    }

    /// The strata of each block from `from` on in which anything was counted, without what `without` sent.
    pub(super) fn blocks(
        &self,
        key: &CaseKey,
        from: u64,
        without: Option<SourceId>,
    ) -> Vec<(u64, Vec<Block>)> {
        let first = self.rows.partition_point(|row| row.block < from);
        let rest = self.rows.get(first..).unwrap_or_default();
        let of_block = |rows: &[Row]| {
            let kept = rows
                .iter()
                .filter(|row| without.is_none_or(|source| row.source != source));
            blocks(kept.map(|row| {
                let arm = if self.is_treated(row, key) {
                    Arm::Treated
                } else {
                    Arm::Control
                };
                (row.stratum, arm, row.counts)
            }))
        };
        let by_block = rest.chunk_by(|a, b| a.block == b.block);
        by_block
            .filter_map(|rows| Some((rows.first()?.block, of_block(rows))))
            .collect()
    }
}

/// The rows of a group's cohorts in the blocks in [from, to), oldest first.
pub(super) fn rows<'g>(group: &'g Group, ledger: &Mutex<Ledger>, from: u64, to: u64) -> Rows<'g> {
    let mut shas: Vec<Option<&Arc<str>>> = Vec::new();
    let mut rows = Vec::new();
    let by_version = group.keys.iter().any(|key| key.accused.flag().is_none());
    for (index, member) in group.members.iter().enumerate() {
        let sha = member.sha.as_ref().filter(|_| !by_version);
        let version = shas.iter().position(|known| *known == sha).unwrap_or_else(|| {
            shas.push(sha);
            shas.len() - 1
        });
        // A hold of the lock a cohort: a batch waits no longer than that takes.
        let found = ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .evidence_rows(group.objective, member.cohort, from, to);
        rows.extend(found.into_iter().map(|row| Row {
            block: row.bucket,
            stratum: (version, row.stratum),
            source: row.source,
            member: index,
            counts: row.counts,
        }));
    }
    rows.sort_by_key(|row| row.block);
    Rows { group, rows }
}

/// Everything that rules by evidence compare.
pub(super) fn groups(from: &Sources<'_>) -> Vec<Group> {
    let mut groups = flag_groups(from);
    groups.extend(version_groups(from));
    groups
}

fn flag_groups(from: &Sources<'_>) -> Vec<Group> {
    let mut groups: BTreeMap<(ObjectiveId, Arc<str>, Arc<str>), Group> = BTreeMap::new();
    let switches = from.policies.kill_switches();
    let switches = switches.filter(|(_, s)| s.mode != KillMode::Off && s.blame != Blame::Burn);
    for (policy, switch) in switches {
        for status in from.board.of_flag(&switch.flag) {
            let Level::Flag { sha, flag, variant } = &status.cohort.level else {
                continue;
            };
            let is_ours = status.cohort.environment.as_deref() == Some(&*switch.environment)
                && switch
                    .slo
                    .as_ref()
                    .map_or(!status.counts_calls(), |s| *s == status.objective.slo)
                && holds_for(policy, &status, from.policies);
            if !is_ours || is_reserved(variant) {
                continue;
            }
            let key = (
                status.objective_id,
                Arc::clone(&switch.environment),
                Arc::clone(flag),
            );
            let group = groups
                .entry(key)
                .or_insert_with(|| Group::new(status.objective_id, &switch.environment));
            if !group.has(status.cohort_id) {
                group.members.push(Member {
                    cohort: status.cohort_id,
                    sha: sha.clone(),
                    arm: Arc::clone(variant),
                });
            }
            if !switch.action.keeps(variant) && switch.variants.as_ref().is_none_or(|v| v.contains(variant)) {
                group.accuse(Accused::Flag {
                    flag: Arc::clone(flag),
                    variant: Arc::clone(variant),
                });
            }
        }
    }
    groups.into_values().collect()
}

fn version_groups(from: &Sources<'_>) -> Vec<Group> {
    let mut groups: BTreeMap<(ObjectiveId, Arc<str>), Group> = BTreeMap::new();
    let switches: Vec<_> = from
        .policies
        .deploy_switches()
        .filter(|(_, s)| s.mode != KillMode::Off)
        .collect();
    if switches.is_empty() {
        return Vec::new();
    }
    for status in from.board.deployments() {
        let Level::Deployment { sha } = &status.cohort.level else {
            continue;
        };
        for (policy, switch) in &switches {
            let is_ours = status.cohort.environment.as_deref() == Some(&*switch.environment)
                && switch
                    .slo
                    .as_ref()
                    .map_or(!status.counts_calls(), |s| *s == status.objective.slo)
                && holds_for(policy, &status, from.policies);
            if !is_ours {
                continue;
            }
            let key = (status.objective_id, Arc::clone(&switch.environment));
            let group = groups
                .entry(key)
                .or_insert_with(|| Group::new(status.objective_id, &switch.environment));
            if !group.has(status.cohort_id) {
                group.members.push(Member {
                    cohort: status.cohort_id,
                    sha: Some(Arc::clone(sha)),
                    arm: Arc::clone(sha),
                });
                group.accuse(Accused::Version { sha: Arc::clone(sha) });
            }
        }
    }
    groups.into_values().collect()
}

/// Whether `policy` is the one that holds for this series.
fn holds_for(policy: &Arc<Policy>, status: &BudgetStatus, policies: &PolicySet) -> bool {
    let environment = status.cohort.environment.as_deref();
    policy.covers(&status.objective.service, environment)
        && policies
            .find(&status.objective, environment)
            .is_some_and(|(found, _)| found.is_some_and(|found| Arc::ptr_eq(found, policy)))
}
