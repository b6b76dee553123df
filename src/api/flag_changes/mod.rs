//! A flag service tells that a flag was changed: evidence about it begins anew.
//!
//! Where a service keeps a record, it is read every minute; this is for those that keep none, and for
//! whoever wants it told at once. Only flags that a policy names are noted, and a time that is still to
//! come is now: a wrong clock elsewhere must not keep evidence away. What is noted takes effect at once and
//! is in the store before the answer; if the store fails, the sender is asked to send again.

mod body;
mod door;

pub(super) use door::Door;

use super::answers::ApiState;
use super::http::refusal;
use crate::policy::PolicySet;
use crate::time::UnixNanos;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use body::Told;
use std::collections::BTreeSet;

/// Bytes of a body: LaunchDarkly sends the flag as it was and as it is.
const BODY_MAX: usize = 1 << 20;

#[derive(Clone, Debug)]
struct Changes {
    api: ApiState,
    door: Door,
}

/// `POST /api/v1/flags/changes`.
pub(super) fn router(api: ApiState, door: Door) -> Router {
    Router::new()
        .route("/api/v1/flags/changes", post(change))
        .method_not_allowed_fallback(|| async {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Changes { api, door })
}

async fn change(
    State(it): State<Changes>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(wrong) => {
            count("none", "refused");
            return refusal(wrong.status(), &wrong.body_text());
        }
    };
    let now = it.api.clock.now();
    let admitted = match it.door.admit(&headers, &body, now) {
        Ok(admitted) => admitted,
        Err(refused) => {
            count("none", "refused");
            return *refused;
        }
    };
    let (sender, told) = match body::read(&body) {
        Ok(read) => read,
        Err(wrong) => {
            count("none", "refused");
            return refusal(StatusCode::BAD_REQUEST, &wrong);
        }
    };
    let noted = match note(&it.api, &told, admitted.at, now) {
        Ok(noted) => noted,
        Err((status, why)) => {
            count(sender.as_str(), "refused");
            return refusal(status, why);
        }
    };
    let shown: Vec<_> = noted.iter().map(view).collect();
    let is_empty = noted.is_empty();
    if let Err(error) = keep(&it.api, noted).await {
        count(sender.as_str(), "unwritten");
        let told = format!("the change is noted, and a restart would forget it; send it again: {error}");
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &told);
    }
    count(sender.as_str(), if is_empty { "ignored" } else { "noted" });
    (StatusCode::ACCEPTED, Json(serde_json::json!({ "noted": shown }))).into_response()
}

/// A change of one flag in one environment.
struct Noted {
    flag: String,
    environment: String,
    at: UnixNanos,
}

/// Notes what was told of flags that policies name.
fn note(
    api: &ApiState,
    told: &[Told],
    admitted_at: Option<UnixNanos>,
    now: UnixNanos,
) -> Result<Vec<Noted>, (StatusCode, &'static str)> {
    let policies = api.policies.load();
    let mut noted = Vec::new();
    for one in told {
        let Some(at) = one.at.or(admitted_at).map(|at| at.min(now)) else {
            let told = "the body does not say when, and X-LD-Signature does not either: add \"at\"";
            return Err((StatusCode::BAD_REQUEST, told));
        };
        for environment in environments(one, &policies) {
            if !api.changes.note(&environment, &one.flag, at) {
                let told = "too many changes wait for an evaluation; send it again in a moment";
                return Err((StatusCode::SERVICE_UNAVAILABLE, told));
            }
            noted.push(Noted {
                flag: one.flag.clone(),
                environment,
                at,
            });
        }
    }
    Ok(noted)
}

/// Writes it; that waits for the disk, which a request's task must not.
async fn keep(api: &ApiState, noted: Vec<Noted>) -> Result<(), String> {
    if noted.is_empty() {
        return Ok(());
    }
    let changes = api.changes.clone();
    let write = move || {
        noted
            .iter()
            .try_for_each(|it| changes.keep(&it.environment, &it.flag, it.at))
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(written) => written.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Where policies name the flag.
fn environments(told: &Told, policies: &PolicySet) -> BTreeSet<String> {
    let named = policies
        .kill_switches()
        .filter(|(_, switch)| *switch.flag == *told.flag);
    let here = |environment: &str| told.environment.as_deref().is_none_or(|it| it == environment);
    named
        .map(|(_, switch)| switch.environment.to_string())
        .filter(|environment| here(environment))
        .collect()
}

fn view(it: &Noted) -> serde_json::Value {
    serde_json::json!({ "flag": it.flag, "environment": it.environment, "at": it.at.to_string() })
}

fn count(sender: &'static str, outcome: &'static str) {
    metrics::counter!("burngate_flag_changes_total", "sender" => sender, "outcome" => outcome).increment(1);
}
