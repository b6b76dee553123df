//! What the sampled events of a batch stand for, as rows.
//!
//! Only batches with sampled spans come here. Their groups are walked once more for it, so that others pay
//! one test a batch.

use super::super::rows::Lanes;
use super::super::weigh::begins;
use super::super::{GroupKey, Source};
use super::{CellKey, SeriesKey, Settling};
use crate::ledger::{WeightDelta, Weights};

/// Sums of weights, by series and by cell.
#[derive(Default)]
pub(super) struct Weighed {
    series: Lanes<SeriesKey, Weights>,
    cells: Lanes<CellKey, Weights>,
}

impl Settling<'_, '_, '_> {
    /// Adds what the events of groups that make the same rows stand for.
    pub(super) fn weigh(
        &mut self,
        source: &Source<'_, '_>,
        alike: &[(GroupKey, u32)],
        weighed: &mut Weighed,
    ) {
        let groups = &self.tally.groups;
        let Some(sums) = groups.weights.sum(begins(alike, &groups.spans), source) else {
            return;
        };
        let Some((key, _)) = alike.first() else { return };
        if let Some(Some(home)) = self.homes.get(key.origin as usize) {
            let ids = self.cohorts.ids.iter().map(|(cohort, _)| *cohort);
            for cohort in ids.chain([home.total.id()]) {
                weighed
                    .series
                    .add((home.lanes, cohort, key.bucket), sums.iter().copied());
            }
        }
        for group in alike {
            let own = std::slice::from_ref(group);
            let Some(sums) = groups.weights.sum(begins(own, &groups.spans), source) else {
                continue;
            };
            if let Some(route) = self.route(source, &group.0)
                && let Some(Some(home)) = self.homes.get(key.origin as usize)
            {
                let wanted = |bit: usize| source.details.routes >> bit & 1 == 1;
                let lanes = sums.iter().enumerate();
                let lanes = lanes.map(|(bit, sum)| if wanted(bit) { *sum } else { Weights::default() });
                weighed.series.add((home.lanes, route, key.bucket), lanes);
            }
            let stratum = self.stratum(source, &group.0);
            let Some(Some(home)) = self.homes.get(key.origin as usize) else {
                continue;
            };
            for (cohort, _) in self.cohorts.ids.iter().filter(|(_, cells)| *cells) {
                let cell = (home.lanes, *cohort, stratum, home.source, key.bucket);
                weighed.cells.add(cell, sums.iter().copied());
            }
        }
    }

    /// Rows of weights need no order and may come twice: they are added.
    pub(super) fn emit_weights(&mut self, weighed: &Weighed) {
        let homes = &self.homes;
        let rows = |lanes: u32, cohort, cell, bucket, sums: &[Weights]| {
            let home = homes.get(lanes as usize).and_then(Option::as_ref);
            let objectives = home.map_or(&[][..], |home| &home.objectives);
            let some = objectives
                .iter()
                .zip(sums)
                .filter(|(_, weights)| !weights.is_zero());
            some.map(|(objective, weights)| WeightDelta {
                objective: *objective,
                cohort,
                cell,
                bucket,
                weights: *weights,
            })
            .collect::<Vec<_>>()
        };
        let series = weighed
            .series
            .iter()
            .flat_map(|((lanes, cohort, bucket), sums)| rows(lanes, cohort, None, bucket, sums));
        let cells = weighed
            .cells
            .iter()
            .flat_map(|((lanes, cohort, stratum, source, bucket), sums)| {
                rows(lanes, cohort, Some((stratum, source)), bucket, sums)
            });
        let weights = series.chain(cells).collect();
        self.out.weights = weights;
    }
}
