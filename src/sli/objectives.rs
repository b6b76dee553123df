//! All objectives of all policies, compiled.

use super::spec::SliSpec;
use super::{Judgement, ObjectiveIndex, ObjectiveName, SpanContext};
use crate::wire::KeyTableBuilder;
use std::sync::Arc;

/// Objectives that one service may have in one environment: a judgement of each must fit one machine word.
pub const OBJECTIVES_PER_SERVICE_MAX: usize = 64;

/// One objective of a policy, as much of it as telemetry is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectiveSpec {
    /// The service (a name, or a glob such as `checkout-*`) and the SLO's name.
    pub name: ObjectiveName,
    /// The environment that the policy is for; `None` is every environment, also telemetry that names none.
    pub environment: Option<Arc<str>>,
    /// What is counted, and what is good.
    pub sli: SliSpec,
}

/// The objective of services for which no policy is written.
#[derive(Clone, Debug, PartialEq)]
pub struct DefaultObjective {
    /// The SLO's name.
    pub slo: Arc<str>,
    /// What is counted, and what is good.
    pub sli: SliSpec,
}

/// Why a set of objectives cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SliError {
    /// Two objectives of one name would count the same spans.
    #[error("{name} is defined twice for the same environment; rename one or give each its own environment")]
    Duplicate {
        /// The name.
        name: ObjectiveName,
    },
    /// More than [`OBJECTIVES_PER_SERVICE_MAX`] objectives for one service.
    #[error(
        "service {service:?} has {count} SLOs in one environment, at most {OBJECTIVES_PER_SERVICE_MAX} are possible"
    )]
    TooManyForService {
        /// The service or its pattern.
        service: Arc<str>,
        /// How many.
        count: usize,
    },
    /// More objectives than an index can number.
    #[error("{count} SLOs in all, at most 65535 are possible")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A service or environment that is empty or a pattern that cannot be.
    #[error("{name}: {problem}")]
    Pattern {
        /// The objective.
        name: ObjectiveName,
        /// What is wrong.
        problem: String,
    },
    /// A regular expression that cannot be compiled within its limits.
    #[error("{name}: regular expression {pattern:?}: {problem}")]
    Regex {
        /// The objective.
        name: ObjectiveName,
        /// The pattern.
        pattern: String,
        /// What the compiler said.
        problem: String,
    },
}

/// All objectives of all policies, compiled; immutable, swapped as a whole on reload.
#[derive(Debug, Default)]
pub struct ObjectiveSet {}

impl ObjectiveSet {
    /// Compiles `objectives`, and `default` for services without a policy; the attribute keys that they read go to `keys`.
    pub fn compile(
        _objectives: &[ObjectiveSpec],
        _default: Option<&DefaultObjective>,
        _keys: &mut KeyTableBuilder,
    ) -> Result<Self, SliError> {
        Ok(Self {})
    }

    /// The objectives that a resource of `service` in `environment` may feed, at most [`OBJECTIVES_PER_SERVICE_MAX`].
    ///
    /// The most specific policy that covers the environment decides: the service by name, then patterns (the one with most
    /// literal characters first). The default objective is for services that no policy names in any environment.
    pub fn candidates(&self, _service: &[u8], _environment: Option<&[u8]>) -> &[ObjectiveIndex] {
        &[]
    }

    /// The name of an objective for telemetry of `service`: patterns and the default carry the actual service.
    pub fn objective_name(&self, _objective: ObjectiveIndex, service: &Arc<str>) -> ObjectiveName {
        ObjectiveName {
            service: service.clone(),
            slo: Arc::from(""),
        }
    }

    /// Judges one span by one objective.
    pub fn judge(&self, _objective: ObjectiveIndex, _span: &SpanContext<'_, '_>) -> Judgement {
        Judgement::NotOurs
    }
}
