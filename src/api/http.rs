//! The JSON side of the API. Errors are JSON as well: `{"error": {"code": 404, "message": "..."}}`.

use super::answers::{ApiState, CohortFilter, DecisionFilter, IndicatorParameters, RouteFilter};
use super::audit::audit;
use super::events::{self, Events, Peer, Refused};
use super::explain::{ShapeFilter, SignatureFilter};
use super::why::WhyFilter;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

/// `GET /api/v1/...`, and `POST` of counts by hand; documented in docs/api.md.
pub(super) fn router(state: ApiState, events: Events) -> Router {
    let events = Router::new()
        .route("/api/v1/events", post(record))
        .layer(DefaultBodyLimit::max(events::BODY_MAX))
        .method_not_allowed_fallback(|| async {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here")
        })
        .with_state(events);
    Router::new()
        .route("/api/v1/budgets", get(budgets))
        .route("/api/v1/budgets/{service}", get(budgets_of))
        .route("/api/v1/cohorts", get(cohorts))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/why", get(why))
        .route("/api/v1/audit", get(audit))
        .route("/api/v1/signatures", get(signatures))
        .route("/api/v1/shapes", get(shapes))
        .route("/api/v1/indicators", get(indicators))
        .method_not_allowed_fallback(only_get)
        .with_state(state)
        .merge(events)
}

/// The answer to other methods.
pub(super) async fn only_get() -> Response {
    refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here")
}

/// The answer to every path that is neither ours nor gRPC's.
pub(super) async fn not_found(uri: Uri) -> Response {
    let known = "/api/v1/budgets, /api/v1/budgets/{service}, /api/v1/cohorts, /api/v1/routes, \
                 /api/v1/decisions, /api/v1/why, /api/v1/signatures, /api/v1/shapes, /api/v1/corrections, \
                 /api/v1/indicators, /api/v1/audit, /api/v1/events, /api/v1/flags/changes, /api/v1/kill, \
                 /api/v1/release, /api/v1/decisions/{id}/approve, /api/v1/decisions/{id}/reject";
    refusal(
        StatusCode::NOT_FOUND,
        &format!("no such path: {}; there are {known}", uri.path()),
    )
}

/// `/budgets` takes no parameters; one that is given means something that would not happen.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

async fn budgets(
    State(api): State<ApiState>,
    parameters: Result<Query<NoParameters>, QueryRejection>,
) -> Response {
    match parameters {
        Ok(_) => Json(api.budgets(None)).into_response(),
        Err(wrong) => {
            let message = format!(
                "{}; one service is at /api/v1/budgets/{{service}}",
                wrong.body_text()
            );
            refusal(StatusCode::BAD_REQUEST, &message)
        }
    }
}

async fn budgets_of(State(api): State<ApiState>, service: Result<Path<String>, PathRejection>) -> Response {
    let service = match service {
        Ok(Path(service)) => service,
        Err(wrong) => return refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    };
    let answer = api.budgets(Some(&service));
    if answer.budgets.is_empty() {
        return refusal(
            StatusCode::NOT_FOUND,
            &format!("nothing was counted for service {service:?}"),
        );
    }
    Json(answer).into_response()
}

async fn cohorts(
    State(api): State<ApiState>,
    filter: Result<Query<CohortFilter>, QueryRejection>,
) -> Response {
    match filter {
        Ok(Query(filter)) => Json(api.cohorts(&filter)).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}

async fn routes(State(api): State<ApiState>, filter: Result<Query<RouteFilter>, QueryRejection>) -> Response {
    let filter = match filter {
        Ok(Query(filter)) => filter,
        Err(wrong) => return refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    };
    match api.routes(&filter) {
        Ok(answer) => Json(answer).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong),
    }
}

async fn decisions(
    State(api): State<ApiState>,
    filter: Result<Query<DecisionFilter>, QueryRejection>,
) -> Response {
    match filter {
        Ok(Query(filter)) => Json(api.decisions(&filter)).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}

async fn signatures(
    State(api): State<ApiState>,
    filter: Result<Query<SignatureFilter>, QueryRejection>,
) -> Response {
    match filter {
        Ok(Query(filter)) => Json(api.signatures(&filter)).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}

async fn indicators(
    State(api): State<ApiState>,
    filter: Result<Query<IndicatorParameters>, QueryRejection>,
) -> Response {
    match filter {
        Ok(Query(filter)) => Json(api.indicators(&filter)).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}

async fn why(State(api): State<ApiState>, filter: Result<Query<WhyFilter>, QueryRejection>) -> Response {
    match filter {
        Ok(Query(filter)) => Json(api.why(&filter)).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}

async fn shapes(State(api): State<ApiState>, filter: Result<Query<ShapeFilter>, QueryRejection>) -> Response {
    match filter {
        Ok(Query(filter)) => Json(api.shapes(&filter)).into_response(),
        Err(wrong) => refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    }
}

async fn record(
    State(events): State<Events>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let peer = peer.map(|Extension(Peer(peer))| peer);
    if let Err(refused) = events.admit(peer, text(header::AUTHORIZATION.as_str())) {
        return told(refused);
    }
    let kind = text(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "expected the header `Content-Type: application/json`";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    let body = match body {
        Ok(body) => body,
        Err(wrong) => return refusal(wrong.status(), &wrong.body_text()),
    };
    let key = text("idempotency-key").map(ToOwned::to_owned);
    let request = match events::read_json(&body, key) {
        Ok(request) => request,
        Err(refused) => return told(refused),
    };
    match events.record(request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => told(refused),
    }
}

fn told(refused: Refused) -> Response {
    match refused {
        Refused::Unauthenticated(message) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (challenge, refusal(StatusCode::UNAUTHORIZED, message)).into_response()
        }
        Refused::Forbidden(message) => refusal(StatusCode::FORBIDDEN, message),
        Refused::Invalid(message) => refusal(StatusCode::BAD_REQUEST, &message),
        Refused::Conflict(message) => refusal(StatusCode::CONFLICT, &message),
        Refused::Stopping => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway is ending; send it again",
        ),
    }
}

pub(super) fn refusal(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "error": { "code": status.as_u16(), "message": message } });
    (status, Json(body)).into_response()
}
