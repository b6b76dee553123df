//! The record of decisions over HTTP: entries as they are, byte by byte, and where the record ends. Whoever
//! keeps that head can tell later whether the record was rewritten.

use super::answers::ApiState;
use super::http::refusal;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Entries in one answer unless the caller says otherwise, and at most.
const ENTRIES_DEFAULT: u32 = 100;
const ENTRIES_MAX: u32 = 1_000;

/// Which entries are asked for.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuditFilter {
    after: u64,
    limit: u32,
}

/// `GET /api/v1/audit`.
pub(super) async fn audit(
    State(api): State<ApiState>,
    filter: Result<Query<AuditFilter>, QueryRejection>,
) -> Response {
    let filter = match filter {
        Ok(Query(filter)) => filter,
        Err(wrong) => return refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    };
    let limit = match filter.limit {
        0 => ENTRIES_DEFAULT,
        limit => limit.min(ENTRIES_MAX),
    };
    let trail = api.audit.clone();
    // The disk is waited for, which a request's task must not.
    let read = tokio::task::spawn_blocking(move || {
        let end = trail.end();
        let mut rows = trail.after(filter.after, limit as usize)?;
        // What came since `end` was looked at belongs to the next answer.
        rows.retain(|(seq, _)| *seq <= end.seq);
        Ok::<_, crate::store::StoreError>((end, rows))
    });
    match read.await {
        Ok(Ok((end, rows))) => {
            let head = serde_json::json!(end.head());
            let mut body = format!(r#"{{"head":{head},"first":{},"entries":["#, end.first).into_bytes();
            for (nth, (_, line)) in rows.iter().enumerate() {
                if nth > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(line);
            }
            body.extend_from_slice(b"]}");
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Ok(Err(error)) => unavailable(&error),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &dyn std::error::Error) -> Response {
    refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
}
