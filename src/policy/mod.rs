//! The team's sentence as code: objectives, alerts, kill switches.
//!
//! A policy file names a service, promises something of it, says when somebody must know, and which flags may
//! be switched off. It is read once into types that cannot be wrong ([`Policy`]); every mistake is answered
//! with file, line and the way out. On the tick the [`Evaluator`] turns counts into a [`BudgetStatus`] per
//! series and keeps the latest of each on the [`Board`], where gauges, the API and the kill rules read it.

mod accounts;
mod alerts;
mod board;
mod compile;
mod compile_alerts;
mod compile_budget;
mod compile_callees;
mod compile_deploy;
mod compile_guards;
mod compile_indicators;
mod compile_journey;
mod compile_kill;
mod compile_latency;
mod compile_plans;
mod compile_probation;
mod compile_sampling;
mod composite;
mod corrections;
mod dependencies;
mod error;
mod evaluate;
mod figures;
mod files;
mod gate;
mod guards;
mod load;
mod model;
mod place;
mod plan;
mod probation;
mod raw;
mod routes;
mod safe_state;
mod set;
mod short_form;
mod status;
mod text_hash;
mod workbook;

#[cfg(test)]
mod budget_tests;
#[cfg(test)]
mod evaluate_tests;
#[cfg(test)]
mod tests;

pub use alerts::MAX_GAP_SECS;
pub use board::{Board, Filter, SeriesKey};
pub use composite::{composite_key, member_key};
pub use corrections::{CORRECTIONS_MAX, CorrectionError, Corrections, NewCorrection};
pub use error::{PolicyError, PolicyProblem};
pub use evaluate::{Evaluator, Names};
pub use files::files_of;
pub use gate::{FAIL_BELOW, GateDecision, GateReason, HOLD_BELOW, gate};
pub use guards::Guards;
pub use load::{from_text, load};
pub use model::{
    Alert, AlertWindow, Blame, Budgeting, Composite, Dependency, DeploySwitch, Journey, KillMode, KillRule,
    KillSwitch, LowTraffic, Member, NamedTarget, Plans, Policy, ServiceName, Severity, Slo,
};
pub use place::{Place, Warning};
pub use plan::{Correction, Planned, Withdrawn};
pub use probation::Probation;
pub use safe_state::{DeployAction, SafeState};
pub use set::{NamedFlag, PolicySet};
pub use status::{
    AlertState, AlertStatus, BudgetKind, BudgetStatus, DependencyStatus, HeldBack, MemberStatus,
    PeriodStatus, PlanStatus, TargetStatus, WindowBurn,
};
