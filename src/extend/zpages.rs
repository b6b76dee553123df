//! `/debug/servicez`, `pipelinez`, `extensionz`, `featurez`, `tracez`: the process looked at from inside.

use super::html::{Cell, Page};
use super::pages::{Pages, PipelineRow};
use super::tracez;
use crate::pipeline::{ComponentStatus, Components};
use crate::telemetry::{RecentSpans, process_facts};
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Redirect, Response};
use axum::routing::get;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
struct Shown {
    pages: Arc<ArcSwap<Pages>>,
    components: Components,
    recent: Option<Arc<RecentSpans>>,
}

/// The routes. `pages` is what the gateway sets at each reload; `recent` is
/// [`crate::telemetry::recent_spans`].
pub fn zpages_router(
    pages: Arc<ArcSwap<Pages>>,
    components: Components,
    recent: Option<Arc<RecentSpans>>,
) -> Router {
    let home = || async { Redirect::temporary("/debug/servicez") };
    Router::new()
        .route("/", get(home))
        .route("/debug", get(home))
        .route("/debug/", get(home))
        .route("/debug/servicez", get(servicez))
        .route("/debug/pipelinez", get(pipelinez))
        .route("/debug/extensionz", get(extensionz))
        .route("/debug/featurez", get(featurez))
        .route("/debug/tracez", get(traces))
        .with_state(Shown {
            pages,
            components,
            recent,
        })
}

async fn servicez(State(shown): State<Shown>) -> Response {
    let mut page = Page::new("burngate servicez");
    page.heading("Build");
    let text = |text: &str| Cell::text(text);
    page.table(
        &["", ""],
        [
            vec![text("command"), text("burngate")],
            vec![text("version"), text(env!("CARGO_PKG_VERSION"))],
        ],
    );
    page.heading("Process");
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let facts = process_facts()
        .into_iter()
        .map(|(name, value)| vec![text(name), Cell::text(value)]);
    let system = vec![text("system"), Cell::text(system)];
    let pid = vec![text("process id"), Cell::text(std::process::id().to_string())];
    page.table(&["", ""], facts.chain([system, pid]));
    page.heading("Service");
    let rows = shown.pages.load_full();
    let rows = rows
        .service
        .iter()
        .map(|(name, value)| vec![text(name), text(value)]);
    page.table(&["", ""], rows);
    page.heading("Pages");
    let link = |name: &str, path| vec![Cell::Link(name.to_owned(), path, Vec::new())];
    let links = [
        link("pipelines", "/debug/pipelinez"),
        link("extensions", "/debug/extensionz"),
        link("feature gates", "/debug/featurez"),
        link("traces of burngate itself", "/debug/tracez"),
    ];
    page.table(&[""], links);
    page.finish()
}

async fn pipelinez(State(shown): State<Shown>) -> Response {
    let mut page = Page::new("burngate pipelinez");
    let pages = shown.pages.load_full();
    let names = |names: &[String]| Cell::text(names.join(", "));
    let rows = pages.pipelines.iter().map(|row: &PipelineRow| {
        vec![
            Cell::text(&row.id),
            names(&row.receivers),
            names(&row.processors),
            names(&row.exporters),
        ]
    });
    page.table(&["pipeline", "receivers", "processors", "exporters"], rows);
    page.heading("Components");
    let components = shown.components.list();
    if components.is_empty() {
        page.paragraph("None of them says how it is.");
    } else {
        let row = |it: &ComponentStatus| {
            let since = format!("{} s", it.since.elapsed().as_secs());
            let message = it.status.message().unwrap_or_default().to_owned();
            vec![
                Cell::text(&it.name),
                Cell::text(it.status.as_str()),
                Cell::text(since),
                Cell::text(message),
            ]
        };
        page.table(
            &["component", "status", "for", "message"],
            components.iter().map(row),
        );
    }
    page.finish()
}

async fn extensionz(State(shown): State<Shown>) -> Response {
    let mut page = Page::new("burngate extensionz");
    let pages = shown.pages.load_full();
    let rows = pages
        .extensions
        .iter()
        .map(|(name, place)| vec![Cell::text(name), Cell::text(place)]);
    page.table(&["extension", "place"], rows);
    page.finish()
}

async fn featurez() -> Response {
    let mut page = Page::new("burngate featurez");
    page.paragraph("burngate has no feature gates: what is there is on, or has a key in the configuration.");
    page.finish()
}

async fn traces(State(shown): State<Shown>, Query(query): Query<HashMap<String, String>>) -> Response {
    if let Some(recent) = &shown.recent {
        return tracez::page(&recent.snapshot(), &query);
    }
    let mut page = Page::new("burngate tracez");
    page.paragraph("Spans are kept from a start on that has the zpages extension; this one did not.");
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Status;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    async fn get(router: &Router, path: &str) -> String {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn pages_show_what_runs_now() {
        let pages = Arc::new(ArcSwap::from_pointee(Pages::default()));
        let components = Components::default();
        let router = zpages_router(pages.clone(), components.clone(), None);
        assert!(!get(&router, "/debug/pipelinez").await.contains("otlp_grpc/apm"));
        pages.store(Arc::new(Pages {
            pipelines: vec![PipelineRow {
                id: "traces".to_owned(),
                receivers: vec!["otlp".to_owned()],
                processors: vec!["batch".to_owned()],
                exporters: vec!["error_budget".to_owned(), "otlp_grpc/<apm>".to_owned()],
            }],
            extensions: vec![("zpages".to_owned(), "127.0.0.1:55679".to_owned())],
            service: vec![("store".to_owned(), "./data".to_owned())],
        }));
        let exporter = components.component("exporter otlp_grpc/apm");
        exporter.set(Status::Recoverable("<refused>".into()));
        let text = get(&router, "/debug/pipelinez").await;
        assert!(
            text.contains("<td>error_budget, otlp_grpc/&lt;apm&gt;</td>"),
            "{text}"
        );
        assert!(
            text.contains("StatusRecoverableError") && text.contains("&lt;refused&gt;"),
            "{text}"
        );
        assert!(
            get(&router, "/debug/extensionz")
                .await
                .contains("127.0.0.1:55679")
        );
        let text = get(&router, "/debug/servicez").await;
        assert!(
            text.contains("./data") && text.contains(env!("CARGO_PKG_VERSION")),
            "{text}"
        );
        assert!(get(&router, "/debug/featurez").await.contains("no feature gates"));
        assert!(get(&router, "/debug/tracez").await.contains("this one did not"));
    }
}
