//! Budgets, cohorts and decisions over HTTP and gRPC; health.
pub(crate) mod json;
pub mod proto;
