//! Leading indicators: what goes wrong before requests fail.
//!
//! Problem: an error budget burns when users are hurt already. A queue that fills, a pool that is used up, a
//! collector that pauses, a lag that grows say it minutes earlier, and every exporter says it under its own
//! names. Property wanted: an indicator is one line of arithmetic over metrics or spans with a threshold and
//! hysteresis; it costs nothing where nobody has one; memory is bounded; and it is an input of policy, never
//! a decision: a threshold on a queue is no promise to a user.
//!
//! The way of the data: a request's points and spans are matched by the [`Plan`] ([`points`], [`spans`]) and
//! handed over once a request ([`Collected`]); the [`Indicators`] keep a ring of 10 s slots for each source
//! and group; on the tick, once a slot has closed, formulas become values, values become states, and the
//! [`IndicatorBoard`] shows them. Values are floats: what is compared with a threshold of somebody's
//! experience needs no exact counts, and nothing here touches a budget.
//!
//! Rejected: a query language over stored series (a database inside the gateway), and the published query for
//! the growth of a tail, `rate(..._bucket{le="1"}[5m])`, which is the rate of fast requests and no slope.

pub mod builtin;
pub mod formula;

mod board;
mod collect;
mod engine;
mod evaluate;
mod grid;
#[cfg(test)]
mod incidents;
mod name;
mod plan;
mod points;
mod ring;
mod robust;
mod rule;
mod sample;
mod series;
mod spans;
mod spec;
mod standing;
mod state;
mod store;
mod stream;
mod top;
mod walk;

pub use board::{
    GROUPS_SHOWN_MAX, GroupStatus, IndicatorBoard, IndicatorFilter, IndicatorStatus, Missing, Reason,
};
pub use collect::Collected;
pub use engine::Indicators;
pub use formula::{Formula, FormulaError};
pub use plan::{Plan, PlanError};
pub use points::{Point, PointCollector, PointValue, PointWatches};
pub use rule::{Bound, Rule};
pub use spans::{SpanCollector, SpanWatches};
pub use spec::{BY_MAX, IndicatorSpec, Layer, check_name};
pub use state::IndicatorState;
pub use walk::MetricWatches;

use crate::time::NANOS_PER_SEC;

/// Width of a slot, in seconds.
pub const SLOT_SECS: u64 = 10;
const SLOT_NANOS: u64 = SLOT_SECS * NANOS_PER_SEC;
/// Slots kept beyond what windows need, for what comes late: five minutes.
const LATE_SLOTS: u64 = 30;
/// A service of which nothing has come for so long is forgotten, in seconds.
const REACH_IDLE_SECS: u64 = 2 * formula::REACH_SECS_MAX;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndicatorLimits {
    /// Rings of samples, in all.
    pub max_series: usize,
    /// Streams of metrics whose last point is remembered, in all.
    pub max_streams: usize,
    /// Groups of one source in one service and environment.
    pub max_groups: usize,
    /// Services and environments.
    pub max_services: usize,
    /// A value older than this is none, in seconds.
    pub stale_secs: u64,
}

impl Default for IndicatorLimits {
    fn default() -> Self {
        Self {
            max_series: 20_000,
            max_streams: 50_000,
            max_groups: 50,
            max_services: 10_000,
            stale_secs: 300,
        }
    }
}
