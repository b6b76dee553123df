//! From the sums of a batch to its rows.

use super::{CellKey, JointKey, SeriesKey, Settling};
use crate::ledger::tally::rows::{Lanes, merged};
use crate::ledger::{Counts, EvidenceDelta, JointDelta, SeriesDelta};

impl Settling<'_, '_, '_> {
    /// From sums to rows, each once; series in order. Series have to be merged, since services beyond a cap
    /// share cohorts and objectives. Cohorts beyond a cap have no cells, so no cell is summed under two
    /// lanes, and many cells need not be sorted.
    pub(super) fn emit(&mut self, series: &Lanes<SeriesKey>, evidence: &Lanes<CellKey>) {
        let objectives = |lanes: u32| {
            let home = self.homes.get(lanes as usize).and_then(Option::as_ref);
            home.map_or(&[][..], |home| &home.objectives).iter().copied()
        };
        let rows = series.iter().flat_map(|((lanes, cohort, bucket), counts)| {
            let key = move |objective| (objective, cohort, bucket);
            objectives(lanes).map(key).zip(counts.iter().copied())
        });
        let cells = evidence
            .iter()
            .flat_map(|((lanes, cohort, stratum, source, bucket), counts)| {
                let key = move |objective| (objective, cohort, stratum, source, bucket);
                objectives(lanes).map(key).zip(counts.iter().copied())
            });
        let row = |((objective, cohort, bucket), counts)| SeriesDelta {
            objective,
            cohort,
            bucket,
            counts,
        };
        let cell = |((objective, cohort, stratum, source, bucket), counts)| EvidenceDelta {
            objective,
            cohort,
            stratum,
            source,
            bucket,
            counts,
        };
        let counted = |(_, counts): &(_, Counts)| *counts != Counts::default();
        let (series, evidence) = (
            merged(rows).map(row).collect(),
            cells.filter(counted).map(cell).collect(),
        );
        self.out.series = series;
        self.out.evidence = evidence;
    }

    /// The same of pairs of flags.
    pub(super) fn emit_joint(&mut self, joint: &Lanes<JointKey>) {
        let mut rows = Vec::new();
        for ((lanes, pair, stratum, bucket), counts) in joint.iter() {
            let home = self.homes.get(lanes as usize).and_then(Option::as_ref);
            let objectives = home.map_or(&[][..], |home| &home.objectives);
            let counted = objectives
                .iter()
                .zip(counts)
                .filter(|(_, counts)| !counts.is_zero());
            rows.extend(counted.map(|(&objective, &counts)| JointDelta {
                objective,
                pair,
                stratum,
                bucket,
                counts,
            }));
        }
        self.out.joint = rows;
    }
}
