//! `/debug/tracez`: burngate's own spans by name and latency, and the latest of each.

use super::html::{Cell, Page};
use crate::telemetry::{LATENCIES_NS, NamedSpans, RecentSpan};
use axum::response::Response;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

const PATH: &str = "/debug/tracez";

/// The table of names and, where the query asks for some (`zspanname`, `zlatencybucket`, as other zpages have
/// it; the bucket `errors` is the failures), the spans.
pub(super) fn page(spans: &BTreeMap<String, NamedSpans>, query: &HashMap<String, String>) -> Response {
    let mut page = Page::new("burngate tracez");
    let mut head = vec!["span".to_owned(), "running".to_owned()];
    head.extend(
        LATENCIES_NS
            .iter()
            .map(|from| format!(">= {:?}", Duration::from_nanos(*from))),
    );
    head.push("errors".to_owned());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    page.table(&head, spans.iter().map(|(name, named)| row(name, named)));
    let class = query.get("zlatencybucket").map_or("", String::as_str);
    if let Some((name, named)) = query.get("zspanname").and_then(|name| spans.get_key_value(name)) {
        let found: Vec<&RecentSpan> = match class {
            "errors" => named.failures.iter().collect(),
            "" => named.recent.iter().flatten().chain(&named.failures).collect(),
            class => {
                let nth = class.parse().ok().filter(|nth| *nth < LATENCIES_NS.len());
                nth.and_then(|nth: usize| named.recent.get(nth))
                    .into_iter()
                    .flatten()
                    .collect()
            }
        };
        page.heading(&format!("{name}: the latest"));
        page.table(
            &["ended", "took", "attributes", "error"],
            found.into_iter().rev().map(line),
        );
    }
    page.finish()
}

/// A count that leads to its spans.
fn link(name: &str, class: String, count: u64) -> Cell {
    if count == 0 {
        return Cell::text("0");
    }
    let parameters = vec![("zspanname", name.to_owned()), ("zlatencybucket", class)];
    Cell::Link(count.to_string(), PATH, parameters)
}

fn row(name: &str, named: &NamedSpans) -> Vec<Cell> {
    let mut row = vec![Cell::text(name), Cell::text(named.running.to_string())];
    let ended = named.ended.iter().enumerate();
    row.extend(ended.map(|(class, count)| link(name, class.to_string(), *count)));
    row.push(link(name, "errors".to_owned(), named.failed));
    row
}

fn line(span: &RecentSpan) -> Vec<Cell> {
    let ended = (span.started + span.took).elapsed();
    let attributes = span
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    vec![
        Cell::text(format!("{:.1} s ago", ended.as_secs_f64())),
        Cell::text(format!("{:?}", span.took)),
        Cell::text(attributes.collect::<Vec<_>>().join(" ")),
        Cell::text(span.error.clone().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    async fn text(spans: &BTreeMap<String, NamedSpans>, query: &[(&str, &str)]) -> String {
        let query = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let body = page(spans, &query).into_body();
        String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn counts_lead_to_their_spans() {
        let mut named = NamedSpans {
            running: 2,
            failed: 1,
            ..NamedSpans::default()
        };
        named.ended[3] = 7;
        let span = |error: Option<&str>| RecentSpan {
            started: Instant::now(),
            took: Duration::from_millis(3),
            attributes: vec![("transport", "<grpc>".to_owned())],
            error: error.map(str::to_owned),
        };
        named.recent[3].push_back(span(None));
        named.failures.push_back(span(Some("no room")));
        let spans = BTreeMap::from([("receiver/otlp/TraceDataReceived".to_owned(), named)]);
        let all = text(&spans, &[]).await;
        let to = "/debug/tracez?zspanname=receiver/otlp/TraceDataReceived&amp;zlatencybucket=3";
        assert!(all.contains(to) && all.contains("<td>2</td>"), "{all}");
        assert!(!all.contains("transport"), "{all}");
        let name = ("zspanname", "receiver/otlp/TraceDataReceived");
        let fine = text(&spans, &[name, ("zlatencybucket", "3")]).await;
        assert!(
            fine.contains("transport=&lt;grpc&gt;") && !fine.contains("no room"),
            "{fine}"
        );
        assert!(
            text(&spans, &[name, ("zlatencybucket", "errors")])
                .await
                .contains("no room")
        );
        for odd in ["99", "x", "-1"] {
            assert!(
                !text(&spans, &[name, ("zlatencybucket", odd)])
                    .await
                    .contains("transport")
            );
        }
        assert!(
            !text(&spans, &[("zspanname", "nobody")])
                .await
                .contains("the latest")
        );
    }
}
