//! The sum over any window, at any instant that is still kept.

use super::history::{HistoryError, Tier, stored_sum};
use super::moment::{Bucket, Phase, start_of, tier_of_age};
use super::sampled::weights_of;
use super::series::Series;
use super::{BUCKET_SECS, COHORT_REACH_SECS, Counts, History, Ledger, TOTAL_REACH_SECS, WindowSum};
use crate::cohort::{CohortId, ObjectiveId};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use thiserror::Error;

/// Why a sum cannot be given.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SumError {
    #[error("no such series is live")]
    Unknown,
    #[error("a window of {window_secs} s: must be from 10 s to 400 d")]
    Window { window_secs: u64 },
    #[error("the window reaches back to {from}, beyond the {kept_secs} s that are kept of it")]
    OutOfReach { from: UnixNanos, kept_secs: u64 },
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl Ledger {
    /// The sum over (t - w, t], exact for the interval it states. The far edge is rounded down and the near
    /// one up to the tier that holds them; a `t` ahead of ledger time is ledger time. Reads up to one chunk a
    /// day (or an hour, within three days) of the window from `history`.
    pub fn sum(
        &self,
        objective: ObjectiveId,
        cohort: CohortId,
        t: UnixNanos,
        window_secs: u64,
        history: &dyn History,
    ) -> Result<WindowSum, SumError> {
        let slot = self.slot(objective, cohort).ok_or(SumError::Unknown)?;
        let series = self.series[slot as usize].as_ref().ok_or(SumError::Unknown)?;
        if !(BUCKET_SECS..=TOTAL_REACH_SECS).contains(&window_secs) {
            return Err(SumError::Window { window_secs });
        }
        let t = t.min(self.now);
        let far = t.minus_secs(window_secs);
        let age_secs = (self.now.0 - far.0).div_ceil(NANOS_PER_SEC);
        let kept_secs = if series.total {
            TOTAL_REACH_SECS
        } else {
            COHORT_REACH_SECS
        };
        if age_secs > kept_secs {
            return Err(SumError::OutOfReach { from: far, kept_secs });
        }
        let far_tier = tier_of_age(age_secs);
        let raw = super::moment::bucket_of(far.secs());
        let mut from = raw - raw % far_tier.width();
        if series.stored_as.is_none() {
            // What the store knows of it from earlier days is not at hand yet.
            from = from.max(series.extent.floor);
        }
        let end = self.near_edge(t);
        let counts = sum_between(series, from, end, far_tier, history)?;
        let mut sides = Vec::new();
        for (lane, slot) in self.sides(series) {
            if let Some(side) = self.series[slot as usize].as_ref() {
                sides.push((lane, sum_between(side, from, end, far_tier, history)?));
            }
        }
        let mut sum = WindowSum {
            window_secs,
            from: start_of(from),
            to: start_of(end).min(self.now),
            counts,
            sampled: None,
        };
        sum.weigh(weights_of(sides.into_iter()));
        Ok(sum)
    }

    /// First bucket after the newest one of a window that ends at `t`.
    fn near_edge(&self, t: UnixNanos) -> Bucket {
        let head = self.phase.end();
        if t == self.now {
            return head;
        }
        let width = tier_of_age((self.now.0 - t.0).div_ceil(NANOS_PER_SEC)).width();
        (Phase::at(t).end().div_ceil(width) * width).min(head)
    }
}

fn sum_between(
    series: &Series,
    from: Bucket,
    end: Bucket,
    far_tier: Tier,
    history: &dyn History,
) -> Result<Counts, HistoryError> {
    let extent = series.extent;
    let mut sum = series.blocks.sum(from.max(extent.floor), end);
    let (from, stored_end) = (from.max(extent.first), extent.floor.min(end));
    let Some(id) = series.stored_as.filter(|_| from < stored_end) else {
        return Ok(sum);
    };
    let mut minutes_from = from;
    if far_tier == Tier::Days {
        minutes_from = (stored_end - stored_end % Tier::Days.width()).max(from);
        sum.add(stored_sum(history, id, Tier::Days, from, minutes_from)?);
    }
    sum.add(stored_sum(history, id, Tier::Minutes, minutes_from, stored_end)?);
    Ok(sum)
}
