//! From closed slices to rows of the ledger.

use super::slices::SliceEvent;
use crate::cohort::{CohortId, CohortRef, Interned, LevelRef, OVERFLOW_SERVICE, ObjectiveId, Registry};
use crate::ledger::{BUCKET_SECS, Counts, SeriesDelta};
use crate::time::UnixNanos;
use std::collections::BTreeMap;

/// Each event counts in its service's total, its deployment and its flags, as a span does. It has no evidence
/// cells: slices of time are not drawn at random, so that no statistics may rest on them.
pub(in crate::ledger) fn slice_rows(
    events: &[SliceEvent],
    registry: &Registry,
    now: UnixNanos,
) -> Vec<SeriesDelta> {
    let mut rows: BTreeMap<(ObjectiveId, CohortId, u64), Counts> = BTreeMap::new();
    let mut scratch = Vec::new();
    for event in events {
        let bucket = event.at.secs() / BUCKET_SECS;
        let place = &event.place;
        let (mut service, mut environment) = (&*place.service, place.environment.as_deref());
        let at = |level, scratch: &mut Vec<u8>, service, environment| {
            let cohort = CohortRef {
                service,
                environment,
                level,
            };
            registry.intern(&cohort, now, scratch)
        };
        let total = at(LevelRef::Total, &mut scratch, service, environment);
        let mut cohorts = vec![total.id()];
        if matches!(total, Interned::Overflow(..)) {
            (service, environment) = (OVERFLOW_SERVICE, None);
            cohorts.push(at(LevelRef::Overflow, &mut scratch, service, environment).id());
        } else {
            let sha = place.sha.as_deref();
            let deployment = sha.map(LevelRef::Deployment);
            let flags = place
                .flags
                .iter()
                .map(|(flag, variant)| LevelRef::Flag { sha, flag, variant });
            for level in deployment.into_iter().chain(flags) {
                let id = at(level, &mut scratch, service, environment).id();
                if !cohorts.contains(&id) {
                    cohorts.push(id);
                }
            }
        }
        let objective = registry.objective_id(service, &event.objective.slo, &mut scratch);
        for cohort in cohorts {
            let counts = rows.entry((objective, cohort, bucket)).or_default();
            counts.good += u64::from(event.is_good);
            counts.bad += u64::from(!event.is_good);
        }
    }
    let row = |((objective, cohort, bucket), counts)| SeriesDelta {
        objective,
        cohort,
        bucket,
        counts,
    };
    rows.into_iter().map(row).collect()
}
