//! Objectives compiled from policy; judges a span good, bad or not ours.
//!
//! Everything a policy says about telemetry is compiled once, when the policy is loaded: attribute keys
//! become slots of one key table, expressions become trees over slots, services become an index. Judging then
//! is a few comparisons on borrowed bytes, without allocation.
//!
//! The key table is shared with whoever else reads the same spans (cohorts, event strata):
//! [`ObjectiveSet::compile`] takes the builder and keeps only slots. Rejected: a table an objective set,
//! which would walk the attributes once for each.

pub mod defaults;
pub mod endpoint;
pub mod expr;
pub mod metrics;
pub mod spec;

mod check;
mod declared;
mod duration;
mod glob;
mod judge;
mod logs;
mod matcher;
mod number;
mod objectives;
mod predicate;
mod reading;
mod services;
mod success_codes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use declared::DeclaredSampling;
pub(crate) use duration::parse_nanos;
pub use endpoint::EndpointSlots;
pub use metrics::{GaugeLimit, GaugeSource, Measure, MetricJudge, Missing, PointUse, Verdict};
pub use objectives::{DefaultObjective, OBJECTIVES_PER_SERVICE_MAX, ObjectiveSet, ObjectiveSpec, SliError};
pub use predicate::duration_nanos;
pub use reading::{Condition, Label, Reading};
pub use services::is_pattern;
pub use spec::{Detail, SliSpec};

use crate::wire::{Attributes, Scope, Span};
use std::fmt;
use std::sync::Arc;

/// What an objective says of one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The span is a request of this objective, and good.
    Good,
    /// The span is a request of this objective, and bad.
    Bad,
    /// The span does not belong to this objective.
    NotOurs,
    /// The span would belong to this objective, but its duration decides and is no duration (it ends before
    /// it starts, or has no start): neither fast nor slow, so it counts neither way. The tally counts these
    /// by themselves.
    Invalid,
}

/// One level-one view of everything that a judgement may read.
#[derive(Clone, Copy, Debug)]
pub struct SpanContext<'c, 'a> {
    /// The span.
    pub span: &'c Span<'a>,
    /// The span's wanted attributes.
    pub attributes: &'c Attributes<'a>,
    /// The scope's name, version and wanted attributes.
    pub scope: &'c Scope<'a, 'c>,
    /// The resource's wanted attributes.
    pub resource: &'c Attributes<'a>,
}

/// Name of one objective: a service and one of its SLOs. Two services may both have an "availability".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectiveName {
    /// `service.name` of the telemetry.
    pub service: Arc<str>,
    /// The SLO's name in the policy.
    pub slo: Arc<str>,
}

impl fmt::Display for ObjectiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SLO {:?} of service {:?}", self.slo, self.service)
    }
}

/// Index of an objective in its [`ObjectiveSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectiveIndex(pub u16);
