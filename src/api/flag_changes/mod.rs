//! A flag service tells that a flag was changed: evidence about it begins anew.
//!
//! Where a service keeps a record, it is read every minute; this is for those that keep none, and for
//! whoever wants it told at once. Only flags that a policy names are noted, and a time that is still to
//! come is now: a wrong clock elsewhere must not keep evidence away.

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
    let policies = it.api.policies.load();
    let mut noted = Vec::new();
    for one in &told {
        let Some(at) = one.at.or(admitted.at).map(|at| at.min(now)) else {
            count(sender.as_str(), "refused");
            let told = "the body does not say when, and X-LD-Signature does not either: add \"at\"";
            return refusal(StatusCode::BAD_REQUEST, told);
        };
        for environment in environments(one, &policies) {
            if !it.api.changes.note(&environment, &one.flag, at) {
                count(sender.as_str(), "refused");
                let told = "too many changes wait for an evaluation; send it again in a moment";
                return refusal(StatusCode::SERVICE_UNAVAILABLE, told);
            }
            noted.push(view(&one.flag, &environment, at));
        }
    }
    let outcome = if noted.is_empty() { "ignored" } else { "noted" };
    count(sender.as_str(), outcome);
    (StatusCode::ACCEPTED, Json(serde_json::json!({ "noted": noted }))).into_response()
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

fn view(flag: &str, environment: &str, at: UnixNanos) -> serde_json::Value {
    serde_json::json!({ "flag": flag, "environment": environment, "at": at.to_string() })
}

fn count(sender: &'static str, outcome: &'static str) {
    metrics::counter!("burngate_flag_changes_total", "sender" => sender, "outcome" => outcome).increment(1);
}
