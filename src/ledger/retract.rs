//! Events that leave a series again: their flag variant became known later, and is not the one that was
//! assumed.
//!
//! Only buckets that may still receive events can be lowered, and none below zero; what could not be taken
//! out is counted. Totals never are lowered.

use super::moment::Bucket;
use super::{CellKey, Counts, EvidenceDelta, Lane, Ledger, SeriesDelta, WeightDelta};
use crate::time::UnixNanos;

impl Ledger {
    /// Takes out events that an earlier batch counted.
    pub fn retract(&mut self, now: UnixNanos, series: &[SeriesDelta], evidence: &[EvidenceDelta]) {
        self.reach(now);
        for delta in series {
            let slot = self.slot(delta.objective, delta.cohort);
            let taken = match (slot, self.open_bucket(delta.bucket)) {
                (Some(slot), Some(bucket)) => self.take(slot, bucket, delta.counts),
                _ => Counts::ZERO,
            };
            self.stats.unretracted_events += delta.counts.without(taken).total();
        }
        for delta in evidence {
            if let Some(bucket) = self.open_bucket(delta.bucket) {
                let key = CellKey {
                    objective: delta.objective,
                    cohort: delta.cohort,
                    stratum: delta.stratum,
                    source: delta.source,
                };
                self.cells.take(&key, Lane::Seen, delta.counts, bucket);
            }
        }
    }

    /// Takes out what those events stand for.
    pub fn retract_weights(&mut self, now: UnixNanos, rows: &[WeightDelta]) {
        self.reach(now);
        for row in rows {
            let Some(bucket) = self.open_bucket(row.bucket) else {
                continue;
            };
            for lane in Lane::SIDES {
                let counts = row.weights.lane(lane);
                if counts.is_zero() {
                    continue;
                }
                match row.cell {
                    None => {
                        if let Some(slot) = self.slot_of(row.objective, row.cohort, lane) {
                            self.take(slot, bucket, counts);
                        }
                    }
                    Some((stratum, source)) => {
                        let key = CellKey {
                            objective: row.objective,
                            cohort: row.cohort,
                            stratum,
                            source,
                        };
                        self.cells.take(&key, lane, counts, bucket);
                    }
                }
            }
        }
    }

    /// The bucket, if it may still receive events.
    fn open_bucket(&self, bucket: u64) -> Option<Bucket> {
        let (oldest, newest) = self.allowed();
        let bucket = Bucket::try_from(bucket).ok()?;
        (bucket >= oldest && bucket <= newest).then_some(bucket)
    }

    fn take(&mut self, slot: u32, bucket: Bucket, counts: Counts) -> Counts {
        self.advance(slot);
        let Some(series) = self.series[slot as usize].as_mut().filter(|s| !s.total) else {
            return Counts::ZERO;
        };
        let taken = series.take(bucket, counts);
        if !taken.is_zero() {
            if !series.dirty {
                series.dirty = true;
                self.dirty.push(slot);
            }
            self.mark(slot);
        }
        taken
    }
}
