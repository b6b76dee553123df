//! Who sent the bad events of a suspect: one broken, or hostile, instance must not get a flag switched.

use super::arms::{Group, Rows};
use super::{Case, CaseKey};
use crate::cohort::SourceId;
use crate::evidence::{Discount, Grid, Trial};
use crate::ledger::SignatureBook;
use std::collections::{BTreeMap, BTreeSet};

/// See the module. Of the last thirty minutes, or since the epoch began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::decide) struct SourceFigures {
    /// Sources that sent anything of either side.
    pub(in crate::decide) active: usize,
    /// Sources that sent bad events of the accused.
    pub(in crate::decide) with_bad: usize,
    /// Share of the accused's bad events that one source sent, the greatest.
    pub(in crate::decide) top_share: f64,
    /// ln E without that source.
    pub(in crate::decide) log_e_without_top: f64,
    /// Distinct traces among the bad events that were kept; `None` where events have no traces.
    pub(in crate::decide) roots: Option<usize>,
}

pub(super) fn figures(
    rows: &Rows<'_>,
    key: &CaseKey,
    case: &Case,
    roots: Option<usize>,
    grid: &Grid,
    discount: Discount,
) -> SourceFigures {
    let epoch = case.trial.epoch();
    let since = epoch.since.secs().div_ceil(super::BUCKET_SECS);
    let active: BTreeSet<SourceId> = rows.all().iter().map(|row| row.source).collect();
    let mut bad: BTreeMap<SourceId, u64> = BTreeMap::new();
    for row in rows
        .treated(key)
        .filter(|row| row.block >= since && row.counts.bad > 0)
    {
        *bad.entry(row.source).or_default() += row.counts.bad;
    }
    let all: u64 = bad.values().sum();
    let top = bad
        .iter()
        .max_by_key(|(_, bad)| **bad)
        .map(|(source, bad)| (*source, *bad));
    let mut without = Trial::new(epoch);
    for (block, strata) in rows.blocks(key, since, top.map(|(source, _)| source)) {
        let began = crate::time::UnixNanos::from_secs(block * super::BUCKET_SECS);
        without.absorb(began, &strata, grid, discount);
    }
    SourceFigures {
        active: active.len(),
        with_bad: bad.len(),
        top_share: top.map_or(0.0, |(_, bad)| bad as f64 / all.max(1) as f64),
        log_e_without_top: without.log_e(),
        roots,
    }
}

/// Distinct traces of bad events of the accused, as far as they were kept.
pub(super) fn roots(group: &Group, key: &CaseKey, signatures: &SignatureBook) -> Option<usize> {
    let accused = |arm: &str| match &key.accused {
        super::Accused::Flag { variant, .. } => arm == &**variant,
        super::Accused::Version { sha } => arm == &**sha,
    };
    let mut traces = BTreeSet::new();
    for member in group.members.iter().filter(|member| accused(&member.arm)) {
        let top = signatures.top(group.objective, member.cohort);
        traces.extend(top.signatures.into_iter().flat_map(|signature| signature.traces));
    }
    (!traces.is_empty()).then_some(traces.len())
}
