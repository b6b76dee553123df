//! Which deployment and which flag variants an event belongs to.
//!
//! A cohort is positional: (service, environment, sha, flag, variant); a missing part is a missing part,
//! never an empty string, so that `{sha missing, flag x}` and `{sha x, flag missing}` can never share a key.
//!
//! * [`Extractor`] reads the deployment and the flags of an event, in every shape that SDKs and teams send
//!   them.
//! * [`Registry`] gives cohorts, objectives, strata and sources small handles, and holds the caps.
//! * [`encode_objective`], [`CohortKey::encode`]: the versioned bytes that registry and store share.

mod deployment;
mod encoding;
mod extract;
pub mod flags;
mod interner;
mod named;
mod origin;
mod places;
mod registry;
mod text;
mod trust;

pub use deployment::{Deployment, Inherited};
pub use encoding::{
    CohortRef, DecodeError, ENCODING_VERSION, LevelRef, decode_objective, decode_stratum, encode_objective,
    encode_stratum,
};
pub use extract::{Evidence, Extractor, Piece};
pub use named::NamedFlags;
pub use origin::{Origin, OriginSlots, RawOrigin};
pub use places::Cap;
pub use registry::{Interned, Registry, RegistryStats};
pub use text::{clip, label_text, stable_hash};
pub use trust::Trust;

use std::sync::Arc;

/// The service that counts the events of services beyond `max_services`.
pub const OVERFLOW_SERVICE: &str = "__overflow__";

/// The service of a resource that names none.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// How deep a cohort cuts. Every event counts once in its service's total, once in its deployment (when it
/// names one), and once for each flag that it carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// All events of the service in the environment.
    Total,
    /// Events of one deployment.
    Deployment {
        /// The deployment's sha (or its fallback).
        sha: Arc<str>,
    },
    /// Events of one flag variant in one deployment.
    Flag {
        /// The deployment; `None` when the events name none.
        sha: Option<Arc<str>>,
        /// The flag's key.
        flag: Arc<str>,
        /// The normalised variant; `off` also when the flag is absent from a list that was sent. The reserved
        /// variants hold failed and fallen-back evaluations and can never be killed.
        variant: Arc<str>,
    },
    /// Events of one endpoint class of the service, whatever their deployment; only of objectives that want
    /// routes.
    Route {
        /// The route template, RPC method or span name.
        route: Arc<str>,
    },
    /// Events whose cohort lay beyond a cap: counted in the totals, never eligible for a kill.
    Overflow,
}

/// The identity of one cohort.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CohortKey {
    /// `service.name`.
    pub service: Arc<str>,
    /// `deployment.environment.name`, if the resource names one.
    pub environment: Option<Arc<str>>,
    /// The cut.
    pub level: Level,
}

/// What evidence is compared within: requests of one endpoint class in one region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stratum {
    /// The endpoint class.
    pub endpoint: Arc<str>,
    /// `cloud.region`, if the resource names one.
    pub region: Option<Arc<str>>,
}

/// Handle of a live cohort in the registry; never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CohortId(pub u32);

/// Handle of an interned [`crate::sli::ObjectiveName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectiveId(pub u32);

/// Handle of an interned stratum (endpoint class and region) of the evidence cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StratumId(pub u32);

impl StratumId {
    /// All strata beyond the cap.
    pub const OVERFLOW: Self = Self(0);
}

/// Handle of an interned source (sending instance or peer) of the evidence cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

impl SourceId {
    /// All sources beyond the cap, and events without one.
    pub const OVERFLOW: Self = Self(0);
}
