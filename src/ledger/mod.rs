//! Counts: one batch's tally, budget series and evidence cells: the 10 s ring and the running window sums.
//!
//! Two tables. *Budget series* count (good, bad) per (objective, cohort) in 10 s buckets for two hours, with
//! running sums of the windows in use; coarser tiers live in the store. Series of sampled events have lanes
//! beside them, which say what those stand for. *Evidence cells* count per
//! (objective, cohort, stratum, source) in 10 s blocks for 30 minutes. Counts are integers; ratios exist only
//! at the edge.

mod block;
mod changed;
mod evidence;
mod fold;
mod frame;
mod hand;
mod history;
mod join;
mod joint;
mod latency;
mod limits;
mod moment;
mod past;
mod plan;
mod points;
mod repeats;
mod restore;
mod retract;
mod running;
mod sampled;
mod sender;
mod series;
mod shapes;
mod signatures;
mod spans;
mod state;
mod sum;
mod table;
mod tail_watch;
mod tally;
mod tap;
mod varint;
mod wants;

pub use evidence::CellKey;
pub use fold::{ChunkRow, Fold};
pub use frame::FrameBuilder;
pub use hand::{HAND_FLAGS_MAX, HandCount, HandError};
pub use history::{Chunk, ChunkVisitor, History, HistoryError, SeriesRef, Tier};
pub use join::{Join, JoinStats, Joined};
pub use joint::{JOINT_FLAGS, JointDelta};
pub use latency::{LATENCY_WINDOWS_SECS, Latencies, LatencyDelta, LatencyWindow, Quantiles, RELATIVE_ERROR};
use limits::FUTURE_SECS;
pub use limits::{EVIDENCE_SECS, LATE_SECS, LedgerLimits};
pub use past::{Past, Stamp};
pub use plan::{COHORT_REACH_SECS, PlanError, TOTAL_REACH_SECS, WindowPlan};
pub use points::{PointStats, Qualities, Quality, StreamLimits, StreamRow, Streams};
pub use repeats::{Mark, Repeats};
pub use restore::Nameless;
pub use sampled::{EXCESS_BITS, EventWeight, Lane, Sampled, VARIANCE_BITS, WEIGHT_MAX, WeightDelta, Weights};
pub use sender::Sender;
pub use shapes::{Seen, ShapeBook};
pub use signatures::{
    COUNTERS, ErrorSignature, Signature, SignatureBook, SignatureDelta, TOP, TRACES, TopSignatures,
};
pub use state::SeriesState;
pub use sum::SumError;
pub use table::{Kinds, Ledger, LedgerStats};
pub use tally::{Tally, TallyStats};
pub use tap::{Compiled, Tap, TapOutcome};
pub use wants::{Supply, Want, resolve};

pub(crate) use frame::Frame;
pub(crate) use restore::fine_slots;

use crate::cohort::{CohortId, ObjectiveId, SourceId, StratumId};
use crate::time::UnixNanos;

/// Width of the finest bucket, in seconds.
pub const BUCKET_SECS: u64 = 10;

/// Good and bad events, exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
}

/// Counts of one (objective, cohort) in one bucket, as one batch brings them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesDelta {
    /// The objective.
    pub objective: ObjectiveId,
    /// The cohort.
    pub cohort: CohortId,
    /// Bucket number: Unix seconds / [`BUCKET_SECS`].
    pub bucket: u64,
    /// What to add.
    pub counts: Counts,
}

/// Counts of one evidence cell in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceDelta {
    /// The objective.
    pub objective: ObjectiveId,
    /// The cohort: a deployment, or a flag variant that a policy names.
    pub cohort: CohortId,
    /// Endpoint class and region.
    pub stratum: StratumId,
    /// Sending instance or peer.
    pub source: SourceId,
    /// Block number: Unix seconds / [`BUCKET_SECS`].
    pub bucket: u64,
    /// What to add.
    pub counts: Counts,
}

/// A window and what fell into it. Exact for the interval it states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSum {
    /// The window asked for, in seconds.
    pub window_secs: u64,
    /// Exclusive start of the interval that was summed: `t - w` rounded down to the tier that holds it.
    pub from: UnixNanos,
    /// Inclusive end of the interval.
    pub to: UnixNanos,
    /// What fell into it; of sampled events, what they stand for, to the nearest whole.
    pub counts: Counts,
    /// What was seen, and how sure the estimate is; `None` when every event stood for itself.
    pub sampled: Option<Sampled>,
}

/// One series as the tick sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesView {
    /// The objective.
    pub objective: ObjectiveId,
    /// The cohort.
    pub cohort: CohortId,
    /// The windows of its plan, in the plan's order.
    pub windows: Vec<WindowSum>,
    /// Every event since the series was first seen, also before restarts. Of a cohort that returns after it
    /// left memory, from the next tick of the store on.
    pub lifetime: Counts,
    /// Start of the newest bucket that holds an event; the epoch when there is none.
    pub last_event: UnixNanos,
}

/// What one evidence cell holds in one block: events that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Endpoint class and region.
    pub stratum: StratumId,
    /// Sending instance or peer.
    pub source: SourceId,
    /// Block number: Unix seconds / [`BUCKET_SECS`].
    pub bucket: u64,
    /// What was seen.
    pub counts: Counts,
}

/// What one evidence cell holds over an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceSum {
    /// Endpoint class and region.
    pub stratum: StratumId,
    /// Sending instance or peer.
    pub source: SourceId,
    /// What was seen in the interval; sampled events count once here.
    pub counts: Counts,
    /// What they stand for beyond themselves; zero when every event stood for itself.
    pub weights: Weights,
}
