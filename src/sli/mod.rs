//! Objectives compiled from policy; judges a span good, bad or not ours.
//!
//! Everything a policy says about telemetry is compiled once, when the policy is loaded: attribute keys become slots of one
//! [`KeyTable`], expressions become trees over slots, services become an index. Judging then is a few comparisons.

use crate::wire::{Attributes, KeyTable, Scope, Span};
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

/// Index of an objective in its [`ObjectiveSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectiveIndex(pub u16);

/// All objectives of all policies, compiled; immutable, swapped as a whole on reload.
#[derive(Debug, Default)]
pub struct ObjectiveSet {}

impl ObjectiveSet {
    /// The attribute keys that the objectives (and the cohort extractor compiled with them) read.
    pub fn keys(&self) -> &KeyTable {
        unimplemented!()
    }

    /// The objectives that a resource of `service` in `environment` may feed. Services without a policy get the default
    /// objective when the configuration has one.
    pub fn candidates(&self, _service: &[u8], _environment: Option<&[u8]>) -> &[ObjectiveIndex] {
        &[]
    }

    /// Judges one span by one objective.
    pub fn judge(&self, _objective: ObjectiveIndex, _span: &SpanContext<'_, '_>) -> Judgement {
        Judgement::NotOurs
    }
}
