//! `GET /metrics`: the budgets and the gateway's own metrics on one page.

use super::page::PageHandle;
use crate::forward::{ReceivedMetrics, to_open_metrics};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::HashSet;
use std::sync::Arc;

/// The exposition format that the library writes.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The one with exemplars.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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

/// Whether the scraper asks for OpenMetrics.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("application/openmetrics-text"))
}

async fn scrape(State(page): State<MetricsPage>, headers: HeaderMap) -> impl IntoResponse {
    let speaks = page
        .received
        .as_ref()
        .is_some_and(|received| received.speaks_open_metrics());
    let open_metrics = speaks && wants_open_metrics(&headers);
    // Rendering a hundred thousand series takes tens of milliseconds: not on a worker that others wait for.
    let text = tokio::task::spawn_blocking(move || render(&page, open_metrics));
    let format = if open_metrics { OPEN_METRICS } else { TEXT_FORMAT };
    ([(header::CONTENT_TYPE, format)], text.await.unwrap_or_default())
}

/// The page. What budgets and the gateway itself are called, a received metric may not be called.
fn render(page: &MetricsPage, open_metrics: bool) -> String {
    let mut text = page.budgets.as_ref().map(PageHandle::render).unwrap_or_default();
    if let Some(own) = &page.own {
        text.push_str(&own.render());
    }
    let taken: HashSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .flat_map(|(name, _)| [Some(name), name.strip_suffix("_total")])
        .flatten()
        .map(str::to_owned)
        .collect();
    if open_metrics {
        text = to_open_metrics(&text);
    }
    if let Some(received) = &page.received {
        text.push_str(&received.render(open_metrics, &taken));
    }
    if open_metrics {
        text.push_str("# EOF\n");
    }
    text
}
