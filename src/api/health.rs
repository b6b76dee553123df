//! Liveness and readiness, as the Collector's `health_check` extension answers them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What the gateway says of itself; set by the gateway, read by probes.
#[derive(Debug, Default)]
pub struct Health {
    phase: AtomicU8,
    last_tick_ns: AtomicU64,
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const STOPPING: u8 = 2;

impl Health {
    /// Everything listens.
    pub fn serving(&self) {
        self.phase.store(SERVING, Ordering::Relaxed);
    }

    /// Shutdown has begun; load balancers should look elsewhere.
    pub fn stopping(&self) {
        self.phase.store(STOPPING, Ordering::Relaxed);
    }

    /// The tick has evaluated at `now`.
    pub fn ticked(&self, now: crate::time::UnixNanos) {
        self.last_tick_ns.store(now.0, Ordering::Relaxed);
    }
}

/// `GET path`: 200 while serving, 503 while starting or stopping.
pub fn health_router(path: &str, health: Arc<Health>) -> Router {
    Router::new().route(path, get(probe)).with_state(health)
}

async fn probe(State(health): State<Arc<Health>>) -> Response {
    let (status, said) = match health.phase.load(Ordering::Relaxed) {
        STARTING => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        SERVING => (StatusCode::OK, "Server available"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let evaluated = crate::time::UnixNanos(health.last_tick_ns.load(Ordering::Relaxed));
    let evaluated = (evaluated.0 > 0).then(|| evaluated.to_string());
    (
        status,
        Json(serde_json::json!({ "status": said, "evaluated_at": evaluated })),
    )
        .into_response()
}
