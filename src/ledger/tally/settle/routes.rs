//! Endpoint classes as cohorts, and durations as rows: for the objectives that ask for them.

use super::super::rows::Lanes;
use super::super::timed::Sum;
use super::super::{BEYOND, GroupCounts, GroupKey, Source, for_each_bit};
use super::{SeriesKey, Settling};
use crate::cohort::{CohortId, CohortRef, Interned, LevelRef, OVERFLOW_SERVICE, label_text};
use crate::ledger::{Counts, LatencyDelta};

impl Settling<'_, '_, '_> {
    /// The cohort of a group's endpoint class; `None` beyond the cap.
    pub(super) fn route(&mut self, source: &Source<'_, '_>, key: &GroupKey) -> Option<CohortId> {
        if source.details.routes == 0 || key.endpoint == BEYOND {
            return None;
        }
        if let Some(known) = self.routes.get(&(key.origin, key.endpoint)) {
            return *known;
        }
        let route = label_text(self.tally.groups.endpoints.get(key.endpoint)?);
        let Some(Some(home)) = self.homes.get(key.origin as usize) else {
            return None;
        };
        let (service, environment) = (home.service, home.environment);
        let found = match route {
            Some(route) if service != OVERFLOW_SERVICE => {
                let cohort = CohortRef {
                    service,
                    environment,
                    level: LevelRef::Route(&route),
                };
                Some(self.registry.intern(&cohort, self.now, &mut self.scratch))
            }
            _ => None,
        };
        let id = match found {
            Some(Interned::Live(id)) => Some(id),
            _ => None,
        };
        self.routes.insert((key.origin, key.endpoint), id);
        id
    }

    /// Adds one group to the cohort of its endpoint class. Events of a class beyond the cap are in the
    /// totals, and counted as such.
    pub(super) fn add_route(
        &mut self,
        source: &Source<'_, '_>,
        key: &GroupKey,
        (counts, spans): (&[GroupCounts], u32),
        series: &mut Lanes<SeriesKey>,
    ) {
        if source.details.routes == 0 {
            return;
        }
        let Some(route) = self.route(source, key) else {
            *self.out.overflow.entry("max_routes").or_default() += u64::from(spans);
            return;
        };
        let Some(Some(home)) = self.homes.get(key.origin as usize) else {
            return;
        };
        let routes = source.details.routes;
        let lanes = counts.iter().take(source.candidates.len()).enumerate();
        let lanes = lanes.map(|(bit, counts)| {
            if routes >> bit & 1 == 0 {
                return Counts::ZERO;
            }
            Counts {
                good: counts.good,
                bad: counts.bad,
            }
        });
        series.add((home.lanes, route, key.bucket), lanes);
    }

    /// Makes rows of the durations of groups that make the same rows, the first of which is `first`th.
    pub(super) fn time(
        &mut self,
        source: &Source<'_, '_>,
        alike: &[(GroupKey, u32)],
        first: usize,
        sums: &[Sum],
    ) {
        let Some((key, _)) = alike.first() else { return };
        for sum in sums {
            let at = sum.rank.checked_sub(first);
            let Some((own, _)) = at.and_then(|at| alike.get(at)) else {
                continue;
            };
            let route = self.route(source, own);
            let Some(Some(home)) = self.homes.get(key.origin as usize) else {
                return;
            };
            let ids = self.cohorts.ids.iter().map(|(cohort, _)| *cohort);
            let cohorts = ids.chain([home.total.id()]);
            let rows = &mut self.out.latencies;
            let mut put = |objective, cohort| {
                rows.push(LatencyDelta {
                    objective,
                    cohort,
                    bucket: key.bucket,
                    slot: sum.slot,
                    units: sum.units,
                });
            };
            for_each_bit(sum.bits, |bit| {
                let Some(objective) = home.objectives.get(bit) else {
                    return;
                };
                cohorts.clone().for_each(|cohort| put(*objective, cohort));
                if let Some(route) = route.filter(|_| source.details.routes >> bit & 1 == 1) {
                    put(*objective, route);
                }
            });
        }
    }
}
