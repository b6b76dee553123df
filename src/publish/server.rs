//! `GET /metrics`: the budgets and the gateway's own metrics on one page.

use super::page::PageHandle;
use crate::forward::ReceivedMetrics;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;

/// The exposition format that the library writes.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What one listener shows.
#[derive(Clone, Debug, Default)]
pub struct MetricsPage {
    /// Budgets, on the first exporter that a budget pipeline names.
    pub budgets: Option<PageHandle>,
    /// Metrics that were received.
    pub received: Option<Arc<ReceivedMetrics>>,
    /// The gateway's own metrics.
    pub own: Option<PrometheusHandle>,
}

/// The routes of a metrics listener with budgets and the gateway's own metrics.
pub fn metrics_router(budgets: PageHandle, own: PrometheusHandle) -> Router {
    metrics_page(MetricsPage {
        budgets: Some(budgets),
        own: Some(own),
        received: None,
    })
}

/// The routes of a metrics listener.
pub fn metrics_page(page: MetricsPage) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(page)
}

async fn scrape(State(page): State<MetricsPage>) -> impl IntoResponse {
    // Rendering a hundred thousand series takes tens of milliseconds: not on a worker that others wait for.
    let text = tokio::task::spawn_blocking(move || {
        let mut text = page.budgets.map(|budgets| budgets.render()).unwrap_or_default();
        if let Some(own) = page.own {
            text.push_str(&own.render());
        }
        text
    });
    (
        [(header::CONTENT_TYPE, TEXT_FORMAT)],
        text.await.unwrap_or_default(),
    )
}
