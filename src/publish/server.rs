//! `GET /metrics`: the budgets and the gateway's own metrics on one page.

use super::page::PageHandle;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

/// The exposition format that the library writes.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes of the metrics listener.
pub fn metrics_router(budgets: PageHandle, own: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .with_state((budgets, own))
}

async fn page(State((budgets, own)): State<(PageHandle, PrometheusHandle)>) -> impl IntoResponse {
    // Rendering a hundred thousand series takes tens of milliseconds: not on a worker that others wait for.
    let text = tokio::task::spawn_blocking(move || {
        let mut text = budgets.render();
        text.push_str(&own.render());
        text
    });
    (
        [(header::CONTENT_TYPE, TEXT_FORMAT)],
        text.await.unwrap_or_default(),
    )
}
