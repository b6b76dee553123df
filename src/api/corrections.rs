//! Corrections over HTTP and gRPC: the one thing that can be changed here.
//!
//! Reading asks for nothing, as everywhere on this port. Whoever changes a budget's past shows the token of
//! the configuration; where none is configured nobody can. The answer comes when the correction is on disk.

use super::answers::ApiState;
use super::http::{only_get, refusal};
use super::{proto, view::timestamp};
use crate::audit::{Draft, kind};
use crate::config::Secret;
use crate::policy::{Correction, CorrectionError, NewCorrection};
use crate::time::UnixNanos;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Bytes that a correction may have.
const BODY_MAX: usize = 64 * 1024;

/// Who may change something.
#[derive(Clone)]
pub(super) struct Door(Option<Arc<Secret>>);

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

/// Why nothing was changed, for both protocols.
#[derive(Debug)]
pub(super) struct Refused {
    http: StatusCode,
    grpc: tonic::Code,
    message: String,
}

impl Refused {
    pub(super) fn status(self) -> tonic::Status {
        tonic::Status::new(self.grpc, self.message)
    }

    fn response(&self) -> Response {
        refusal(self.http, &self.message)
    }
}

impl Door {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self(token.filter(|t| !t.is_blank()).map(Arc::new))
    }

    /// Lets in who shows the token as `Bearer <token>`.
    pub(super) fn admit(&self, shown: Option<&str>) -> Result<(), Refused> {
        let Some(token) = &self.0 else {
            return Err(Refused {
                http: StatusCode::FORBIDDEN,
                grpc: tonic::Code::PermissionDenied,
                message: "nothing can be changed here: set extensions.api.token in the configuration"
                    .to_owned(),
            });
        };
        let shown = shown.and_then(|s| s.strip_prefix("Bearer ")).unwrap_or_default();
        if bool::from(shown.as_bytes().ct_eq(token.expose().trim().as_bytes())) {
            return Ok(());
        }
        Err(Refused {
            http: StatusCode::UNAUTHORIZED,
            grpc: tonic::Code::Unauthenticated,
            message: "send authorization: Bearer <token> with the token of extensions.api".to_owned(),
        })
    }
}

impl From<CorrectionError> for Refused {
    fn from(error: CorrectionError) -> Self {
        let (http, grpc) = match &error {
            CorrectionError::Field { .. } => (StatusCode::BAD_REQUEST, tonic::Code::InvalidArgument),
            CorrectionError::TooMany => (StatusCode::TOO_MANY_REQUESTS, tonic::Code::ResourceExhausted),
            CorrectionError::Unknown(_) => (StatusCode::NOT_FOUND, tonic::Code::NotFound),
            CorrectionError::Withdrawn(_) | CorrectionError::InPolicy(_) => {
                (StatusCode::CONFLICT, tonic::Code::FailedPrecondition)
            }
            CorrectionError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, tonic::Code::Unavailable),
        };
        Self {
            http,
            grpc,
            message: error.to_string(),
        }
    }
}

/// Those of the policies and those made here, the newest interval first.
pub(super) fn list(api: &ApiState, service: &str) -> proto::ListCorrectionsResponse {
    let policies = api.policies.load();
    let slos = policies.policies().iter().flat_map(|p| &p.slos);
    let composites = policies.composites().map(|(_, c)| &c.slo);
    let mut all: Vec<Arc<Correction>> = Vec::new();
    for correction in slos.chain(composites).flat_map(|slo| &slo.plans.corrections) {
        if !all.contains(correction) {
            all.push(Arc::clone(correction));
        }
    }
    all.extend(api.corrections.snapshot().1);
    all.retain(|c| service.is_empty() || c.service == service);
    all.sort_by_key(|c| std::cmp::Reverse((c.from, c.created_at)));
    proto::ListCorrectionsResponse {
        corrections: all.iter().map(|c| shown(c)).collect(),
    }
}

fn shown(correction: &Correction) -> proto::Correction {
    let withdrawn = correction.withdrawn.as_ref().map(|w| proto::Withdrawal {
        author: w.author.clone(),
        reason: w.reason.clone(),
        at: Some(timestamp(w.at)),
    });
    let span = correction.span();
    proto::Correction {
        id: correction.id.clone(),
        service: correction.service.clone(),
        slos: correction.slos.clone(),
        environment: correction.environment.clone(),
        from: Some(timestamp(UnixNanos::from_secs(span.from))),
        to: Some(timestamp(UnixNanos::from_secs(span.to))),
        author: correction.author.clone(),
        reason: correction.reason.clone(),
        created_at: correction.created_at.map(timestamp),
        withdrawn,
    }
}

/// What a gRPC client asks for.
pub(super) fn of_message(request: proto::CreateCorrectionRequest) -> NewCorrection {
    let secs =
        |at: Option<prost_types::Timestamp>| at.and_then(|t| u64::try_from(t.seconds).ok()).unwrap_or(0);
    NewCorrection {
        service: request.service,
        slos: request.slos,
        environment: request.environment,
        from: secs(request.from),
        to: secs(request.to),
        author: request.author,
        reason: request.reason,
    }
}

/// Makes a correction; on disk when this returns.
pub(super) async fn create(api: &ApiState, new: NewCorrection) -> Result<proto::Correction, Refused> {
    let (corrections, now) = (api.corrections.clone(), api.clock.now());
    on_disk(api, move || corrections.add(now, new)).await
}

/// Takes one back.
pub(super) async fn withdraw(
    api: &ApiState,
    id: String,
    author: String,
    reason: String,
) -> Result<proto::Correction, Refused> {
    let (corrections, now) = (api.corrections.clone(), api.clock.now());
    on_disk(api, move || corrections.withdraw(now, &id, (&author, &reason))).await
}

/// Writing waits for the disk, which a request's task must not.
async fn on_disk(
    api: &ApiState,
    write: impl FnOnce() -> Result<Arc<Correction>, CorrectionError> + Send + 'static,
) -> Result<proto::Correction, Refused> {
    let audit = api.audit.clone();
    let write = move || {
        let written = write()?;
        audit.note(entry(&written));
        Ok::<_, CorrectionError>(written)
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(Ok(correction)) => {
            tracing::info!(
                id = %correction.id, service = %correction.service, author = %correction.author,
                reason = %correction.reason, withdrawn = correction.withdrawn.is_some(),
                "a budget is corrected"
            );
            Ok(shown(&correction))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(Refused {
            http: StatusCode::INTERNAL_SERVER_ERROR,
            grpc: tonic::Code::Internal,
            message: error.to_string(),
        }),
    }
}

/// What the record says of it.
fn entry(correction: &Correction) -> Draft {
    let created = correction.created_at.unwrap_or_default();
    let (kind, at, author, reason) = match &correction.withdrawn {
        Some(it) => (kind::CORRECTION_WITHDRAWN, it.at, &it.author, &it.reason),
        None => (kind::CORRECTION, created, &correction.author, &correction.reason),
    };
    Draft {
        at,
        kind: kind.to_owned(),
        actor: serde_json::json!({ "kind": "person", "name": author, "reason": reason }),
        facts: serde_json::to_value(correction).ok(),
        ..Draft::default()
    }
}

#[derive(Clone, Debug)]
struct Desk {
    api: ApiState,
    door: Door,
}

/// `/api/v1/corrections`.
pub(super) fn router(api: ApiState, door: Door) -> Router {
    Router::new()
        .route("/api/v1/corrections", get(listed).post(created))
        .route("/api/v1/corrections/{id}/withdraw", post(withdrawn))
        .method_not_allowed_fallback(only_get)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Desk { api, door })
}

#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Asked {
    service: String,
}

async fn listed(State(desk): State<Desk>, asked: Result<Query<Asked>, QueryRejection>) -> Response {
    match asked {
        Ok(Query(asked)) => Json(list(&desk.api, &asked.service)).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}

/// A correction as JSON; instants as RFC 3339.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    service: String,
    #[serde(default)]
    slos: Vec<String>,
    #[serde(default)]
    environment: String,
    from: jiff::Timestamp,
    to: jiff::Timestamp,
    author: String,
    reason: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    author: String,
    reason: String,
}

fn admitted(desk: &Desk, headers: &HeaderMap) -> Result<(), Refused> {
    desk.door
        .admit(headers.get("authorization").and_then(|v| v.to_str().ok()))
}

async fn created(
    State(desk): State<Desk>,
    headers: HeaderMap,
    body: Result<Json<Body>, JsonRejection>,
) -> Response {
    if let Err(refused) = admitted(&desk, &headers) {
        return refused.response();
    }
    let body = match body {
        Ok(Json(body)) => body,
        Err(wrong) => return refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    };
    let secs = |t: jiff::Timestamp| u64::try_from(t.as_second()).unwrap_or(0);
    let new = NewCorrection {
        service: body.service,
        slos: body.slos,
        environment: body.environment,
        from: secs(body.from),
        to: secs(body.to),
        author: body.author,
        reason: body.reason,
    };
    match create(&desk.api, new).await {
        Ok(made) => (StatusCode::CREATED, Json(made)).into_response(),
        Err(refused) => refused.response(),
    }
}

async fn withdrawn(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    headers: HeaderMap,
    why: Result<Json<Why>, JsonRejection>,
) -> Response {
    if let Err(refused) = admitted(&desk, &headers) {
        return refused.response();
    }
    match why {
        Ok(Json(why)) => match withdraw(&desk.api, id, why.author, why.reason).await {
            Ok(made) => Json(made).into_response(),
            Err(refused) => refused.response(),
        },
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}
