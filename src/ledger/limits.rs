//! What a ledger may hold, and how far from `now` an event may lie.

/// How late an event may reach the ledger, in seconds: the five minutes of the event-time rule and one minute
/// for the batch's own way from judgement to here. Older buckets count at arrival, and a counter says so.
pub const LATE_SECS: u64 = 360;

/// How far ahead of ledger time a bucket may start, in seconds.
pub(super) const FUTURE_SECS: u64 = 60;

/// How long evidence cells keep their blocks, in seconds.
pub const EVIDENCE_SECS: u64 = 1_800;

/// Bounds of one [`super::Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerLimits {
    /// Evidence cells at once; beyond it a new cell is not opened, and counted.
    pub max_evidence_cells: usize,
    /// Rows of joint counts that wait to be read; beyond it a new row is not opened, and counted.
    pub max_joint_rows: usize,
    /// Budget series at once (objectives x cohorts); beyond it a new series is not opened, and counted.
    pub max_series: usize,
    /// Idle time after which a cohort leaves memory, in seconds.
    pub idle_timeout_secs: u64,
}

impl Default for LedgerLimits {
    fn default() -> Self {
        Self {
            max_evidence_cells: 20_000,
            max_joint_rows: 50_000,
            max_series: 400_000,
            idle_timeout_secs: 86_400,
        }
    }
}
