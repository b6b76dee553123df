//! Budgets, cohorts, decisions and counts by hand over HTTP and gRPC; health.
//!
//! One port serves both: gRPC is recognised by its content type, everything else is JSON. The messages of
//! `proto/burngate/v1` are the only model; JSON is the same structs through serde, so that the two cannot
//! drift apart.

mod accounting;
mod answers;
mod audit;
mod compare;
mod corrections;
mod events;
mod explain;
mod flag_changes;
mod grpc;
mod guesses;
mod hands;
mod health;
mod http;
pub(crate) mod json;
pub mod proto;
#[cfg(test)]
mod tests;
mod view;
mod why;

pub use answers::ApiState;
pub use events::{Events, Peer, RecordError, Recorded, Recorder};
pub use health::{Health, health_router};
pub use why::proof;

use crate::config::{FlagChangesDoor, Secret};
use axum::Router;
use corrections::Door;

/// Reflection's descriptors cannot be built: a defect of the build, not of the configuration.
#[derive(Debug, thiserror::Error)]
#[error("the API's descriptors are unusable: {0}")]
pub struct ApiError(#[from] tonic_reflection::server::Error);

/// The routes of the API listener.
///
/// `token` is what whoever makes a correction must show; without one nothing can be corrected. `admins` may
/// switch flags by hand, and `changes` says who may tell of changes of flags.
pub fn api_router(
    state: ApiState,
    events: Events,
    token: Option<Secret>,
    admins: &[(String, Secret)],
    changes: &FlagChangesDoor,
) -> Result<Router, ApiError> {
    let admins = hands::Admins::new(admins, token.as_ref());
    let door = Door::new(token);
    let api = grpc::Api::new(state.clone(), door.clone());
    let grpc = grpc::routes(api, events.clone())?.into_axum_router();
    Ok(http::router(state.clone(), events)
        .merge(hands::router(state.clone(), admins))
        .merge(flag_changes::router(
            state.clone(),
            flag_changes::Door::new(changes),
        ))
        .merge(corrections::router(state, door))
        .merge(grpc.reset_fallback())
        .fallback(http::not_found))
}
