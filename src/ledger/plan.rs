//! Which windows a series keeps running sums of.

use thiserror::Error;

/// Longest window of a cohort, in seconds: the reach of its coarsest tier.
pub const COHORT_REACH_SECS: u64 = 3 * 86_400;
/// Longest window of a service's total, in seconds.
pub const TOTAL_REACH_SECS: u64 = 400 * 86_400;

/// The windows in use of one objective. Windows are whole buckets, so multiples of ten seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowPlan {
    totals: Vec<u64>,
    cohorts: Vec<u64>,
}

/// Why a plan cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PlanError {
    #[error("window of {window_secs} s: must be a multiple of 10 s, at least 10 s")]
    NotWholeBuckets { window_secs: u64 },
    #[error("window of {window_secs} s is longer than what is kept ({reach_secs} s)")]
    TooLong { window_secs: u64, reach_secs: u64 },
    #[error("{count} windows in one plan; at most 32 are kept")]
    TooMany { count: usize },
}

impl WindowPlan {
    /// Windows most plans hold are below a dozen; a plan is a limit too.
    pub const MAX_WINDOWS: usize = 32;

    /// A plan of windows in seconds, for totals and for cohorts. Duplicates are dropped, the order is
    /// ascending.
    pub fn new(totals: &[u64], cohorts: &[u64]) -> Result<Self, PlanError> {
        Ok(Self {
            totals: checked(totals, TOTAL_REACH_SECS)?,
            cohorts: checked(cohorts, COHORT_REACH_SECS)?,
        })
    }

    /// Windows of a service's total, ascending, in seconds.
    pub fn totals(&self) -> &[u64] {
        &self.totals
    }

    /// Windows of every other cohort, ascending, in seconds.
    pub fn cohorts(&self) -> &[u64] {
        &self.cohorts
    }
}

fn checked(windows: &[u64], reach_secs: u64) -> Result<Vec<u64>, PlanError> {
    let mut windows = windows.to_vec();
    windows.sort_unstable();
    windows.dedup();
    if windows.len() > WindowPlan::MAX_WINDOWS {
        return Err(PlanError::TooMany { count: windows.len() });
    }
    for &window_secs in &windows {
        if window_secs == 0 || window_secs % super::BUCKET_SECS != 0 {
            return Err(PlanError::NotWholeBuckets { window_secs });
        }
        if window_secs > reach_secs {
            return Err(PlanError::TooLong {
                window_secs,
                reach_secs,
            });
        }
    }
    Ok(windows)
}
