//! A deployment beside the other deployments of its service: is the new one worse than what ran before?
//!
//! Both are looked at in the same windows, so that the hour and the neighbours are the same for both. The
//! ratios are for people; what is decided on is decided elsewhere, exactly.

use super::proto;
use super::view::timestamp;
use crate::budget::{error_ratio, sampled_differently};
use crate::cohort::{CohortId, Level};
use crate::ledger::{LATENCY_WINDOWS_SECS, Latencies, Sampled};
use crate::policy::BudgetStatus;
use std::collections::HashMap;
use std::sync::Arc;

/// The deployments of one service, SLO and environment.
type Group<'s> = (u32, Option<&'s str>);

/// Deployments by what they are compared within.
#[derive(Debug, Default)]
pub(super) struct Deployments<'s>(HashMap<Group<'s>, Vec<&'s Arc<BudgetStatus>>>);

fn group(status: &BudgetStatus) -> Group<'_> {
    (status.objective_id.0, status.cohort.environment.as_deref())
}

impl<'s> Deployments<'s> {
    /// Those among `all`.
    pub(super) fn among(all: &'s [Arc<BudgetStatus>]) -> Self {
        let mut groups: HashMap<_, Vec<_>> = HashMap::new();
        for status in all
            .iter()
            .filter(|s| matches!(s.cohort.level, Level::Deployment { .. }))
        {
            groups.entry(group(status)).or_default().push(status);
        }
        Self(groups)
    }

    /// One of them beside the others, a row a window; nothing for what is no deployment or has no other.
    pub(super) fn compare(
        &self,
        status: &BudgetStatus,
        latencies: Option<&Latencies>,
    ) -> Vec<proto::Comparison> {
        if !matches!(status.cohort.level, Level::Deployment { .. }) {
            return Vec::new();
        }
        let all = self.0.get(&group(status)).map_or(&[][..], Vec::as_slice);
        let others: Vec<_> = all
            .iter()
            .filter(|other| other.cohort_id != status.cohort_id)
            .collect();
        if others.is_empty() {
            return Vec::new();
        }
        let ids: Vec<CohortId> = others.iter().map(|other| other.cohort_id).collect();
        let windows = LATENCY_WINDOWS_SECS.into_iter();
        windows
            .filter_map(|secs| {
                let own = status.window(secs)?;
                let mut sum = Sampled::default();
                let found = others.iter().filter_map(|other| other.window(secs));
                found.for_each(|window| sum.add(window.estimate()));
                let counts = sum.counts();
                let base = error_ratio(counts).filter(|share| *share > 0.0);
                let p99 = |cohorts: &[CohortId]| {
                    let window = latencies?.quantiles(own.to, status.objective_id, cohorts, secs);
                    Some(window.told?.p99_secs)
                };
                let p99 = p99(&[status.cohort_id]).zip(p99(&ids));
                Some(proto::Comparison {
                    window_secs: secs,
                    from: Some(timestamp(own.from)),
                    to: Some(timestamp(own.to)),
                    others_good: counts.good,
                    others_bad: counts.bad,
                    bad_ratio: error_ratio(own.counts).zip(base).map(|(own, base)| own / base),
                    p99_ratio: p99.map(|(own, others)| own / others),
                    sampled_differently: sampled_differently(own.estimate(), sum),
                })
            })
            .collect()
    }
}
