//! The JSON side of the API. Errors are JSON as well: `{"error": {"code": 404, "message": "..."}}`.

use super::answers::{ApiState, CohortFilter, DecisionFilter, IndicatorParameters};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

/// `GET /api/v1/...`, documented in docs/api.md.
pub(super) fn router(state: ApiState) -> Router {
    Router::new()
        .route("/api/v1/budgets", get(budgets))
        .route("/api/v1/budgets/{service}", get(budgets_of))
        .route("/api/v1/cohorts", get(cohorts))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/indicators", get(indicators))
        .method_not_allowed_fallback(|| async {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here")
        })
        .with_state(state)
}

/// The answer to every path that is neither ours nor gRPC's.
pub(super) async fn not_found(uri: Uri) -> Response {
    let known =
        "/api/v1/budgets, /api/v1/budgets/{service}, /api/v1/cohorts, /api/v1/decisions, /api/v1/indicators";
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

async fn decisions(
    State(api): State<ApiState>,
    filter: Result<Query<DecisionFilter>, QueryRejection>,
) -> Response {
    match filter {
        Ok(Query(filter)) => Json(api.decisions(&filter)).into_response(),
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

fn refusal(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "error": { "code": status.as_u16(), "message": message } });
    (status, Json(body)).into_response()
}
