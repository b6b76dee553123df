//! How long requests took: quantiles of each latency series over five minutes and an hour.
//!
//! Problem: "99 % faster than 300 ms" says whether a promise holds, and not how slow the rest is. Property
//! wanted: quantiles that merge exactly over batches, instances and deployments, in bounded memory, and that
//! nobody pays for who has no latency objective. So only objectives that want quantiles note durations, as
//! buckets of one fixed scale, whose relative error is stated ([`RELATIVE_ERROR`]); sampled spans count for
//! what they stand for, in the same fixed point as [`super::Lane::Excess`].
//!
//! This is a table of its own, beside the ledger and under its own lock: alerts and decisions rest on counts,
//! which are durable; quantiles are for people, are kept in memory, and begin anew with the process, and the
//! interval that they state says so.

mod ring;
mod scale;

pub use scale::RELATIVE_ERROR;
pub(super) use scale::slot_of;

use super::moment::{Bucket, bucket_of, start_of};
use super::{EXCESS_BITS, LATE_SECS};
use crate::cohort::{CohortId, ObjectiveId};
use crate::time::UnixNanos;
use hashbrown::HashMap;
use ring::{Ring, Sums};
use scale::{SLOTS, nanos_of};

/// Windows that quantiles are told for, in seconds.
pub const LATENCY_WINDOWS_SECS: [u64; 2] = [300, 3_600];
/// A ring without an event for so long is dropped, in seconds.
const IDLE_SECS: u64 = 2 * 3_600;
/// One event, in the units of a ring.
pub(super) const ONE: u64 = 1 << EXCESS_BITS;

/// What a batch adds: durations of one series in one bucket and slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyDelta {
    /// The objective.
    pub objective: ObjectiveId,
    /// The cohort.
    pub cohort: CohortId,
    /// Bucket number: Unix seconds / 10.
    pub bucket: u64,
    /// Bucket of the durations.
    pub slot: u16,
    /// Events, in 2^-16.
    pub units: u64,
}

/// Quantiles of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyWindow {
    /// The window asked for, in seconds.
    pub window_secs: u64,
    /// Exclusive start of the interval: `t - w` rounded down to a minute (five, beyond five minutes), or when
    /// this process began to note durations.
    pub from: UnixNanos,
    /// Inclusive end.
    pub to: UnixNanos,
    /// Requests whose duration is known; of sampled ones what they stand for.
    pub events: u64,
    /// The quantiles; `None` without a duration.
    pub told: Option<Quantiles>,
}

/// Durations that a share of all do not exceed, in seconds; off by at most [`RELATIVE_ERROR`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// Half.
    pub p50_secs: f64,
    /// 95 %.
    pub p95_secs: f64,
    /// 99 %.
    pub p99_secs: f64,
}

/// See the module.
#[derive(Debug)]
pub struct Latencies {
    rings: HashMap<(ObjectiveId, CohortId), Ring, foldhash::fast::RandomState>,
    max: usize,
    began: Option<UnixNanos>,
    swept_minute: u64,
    refused: u64,
}

impl Latencies {
    /// An empty table of at most `max` series.
    pub fn new(max: usize) -> Self {
        Self {
            rings: HashMap::default(),
            max,
            began: None,
            swept_minute: 0,
            refused: 0,
        }
    }

    /// Counts one batch that arrived at `now`.
    pub fn absorb(&mut self, now: UnixNanos, rows: &[LatencyDelta]) {
        self.began.get_or_insert(now);
        self.sweep(now);
        let present = bucket_of(now.secs());
        let oldest = bucket_of(now.secs().saturating_sub(LATE_SECS));
        for row in rows {
            let bucket = Bucket::try_from(row.bucket).unwrap_or(present);
            let bucket = if (oldest..=present).contains(&bucket) {
                bucket
            } else {
                present
            };
            let key = (row.objective, row.cohort);
            if self.rings.len() >= self.max && !self.rings.contains_key(&key) {
                self.refused = self.refused.saturating_add(row.units >> EXCESS_BITS);
                continue;
            }
            let ring = self.rings.entry(key).or_default();
            ring.add(present, bucket, row.slot, row.units);
        }
    }

    /// Once a minute, drops the rings of series that have gone silent.
    fn sweep(&mut self, now: UnixNanos) {
        let minute = now.secs() / 60;
        if std::mem::replace(&mut self.swept_minute, minute) == minute {
            return;
        }
        let oldest = bucket_of(now.secs().saturating_sub(IDLE_SECS));
        self.rings.retain(|_, ring| ring.last >= oldest);
        metrics::gauge!("burngate_latency_series").set(self.rings.len() as f64);
        metrics::counter!("burngate_latency_refused_events_total").absolute(self.refused);
    }

    /// Quantiles of several series of one objective taken together, at `now`.
    pub fn quantiles(
        &self,
        now: UnixNanos,
        objective: ObjectiveId,
        cohorts: &[CohortId],
        window_secs: u64,
    ) -> LatencyWindow {
        let (present, window) = (bucket_of(now.secs()), bucket_of(window_secs));
        let mut sums: Sums = Box::new([0; SLOTS]);
        for cohort in cohorts {
            if let Some(ring) = self.rings.get(&(objective, *cohort)) {
                ring.add_to(present, window, &mut sums);
            }
        }
        let total = sums.iter().fold(0u128, |sum, units| sum + u128::from(*units));
        let edge = start_of(Ring::edge(present, window).0);
        LatencyWindow {
            window_secs,
            from: edge.max(self.began.unwrap_or(edge)),
            to: now,
            events: u64::try_from((total + u128::from(ONE / 2)) >> EXCESS_BITS).unwrap_or(u64::MAX),
            told: (total > 0).then(|| Quantiles {
                p50_secs: quantile(&sums, total, 50),
                p95_secs: quantile(&sums, total, 95),
                p99_secs: quantile(&sums, total, 99),
            }),
        }
    }

    /// Quantiles of one series in all windows.
    pub fn all(&self, now: UnixNanos, objective: ObjectiveId, cohort: CohortId) -> Vec<LatencyWindow> {
        let windows = LATENCY_WINDOWS_SECS.into_iter();
        windows
            .map(|secs| self.quantiles(now, objective, &[cohort], secs))
            .collect()
    }

    /// Series with durations.
    pub fn len(&self) -> usize {
        self.rings.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rings.is_empty()
    }

    /// Memory of all rings, in bytes.
    pub fn bytes(&self) -> usize {
        self.rings
            .values()
            .map(|ring| size_of::<Ring>() + ring.bytes())
            .sum()
    }
}

/// The smallest duration that at least `percent` of all do not exceed, in seconds.
fn quantile(sums: &Sums, total: u128, percent: u128) -> f64 {
    let rank = (total * percent).div_ceil(100).max(1);
    let mut seen = 0u128;
    let slot = sums.iter().position(|units| {
        seen += u128::from(*units);
        seen >= rank
    });
    nanos_of(slot.unwrap_or(SLOTS - 1)) / 1e9
}

#[cfg(test)]
mod tests;
