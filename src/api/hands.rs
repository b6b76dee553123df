//! What people do to flags by hand: kill, release, approve, reject.
//!
//! The most dangerous routes of this API, so the door is closed unless somebody is named in the
//! configuration: each admin has a token of their own, its name goes on record, and the token that may record
//! events and correct budgets is not enough. Tokens are compared as hashes, in constant time and all of them;
//! who guesses is held up. Only JSON with a bearer token is taken, which no page in a browser can send
//! unasked.

use super::answers::ApiState;
use super::guesses::Guesses;
use super::http::refusal;
use super::view;
use crate::act::{DeskError, HandRequest};
use crate::config::Secret;
use crate::decide::{HandError, HandKill, HandRelease, HandVote};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Bytes of a request.
const BODY_MAX: usize = 16 * 1024;
/// Characters of a reason, and of a name.
const REASON_MAX: usize = 500;
const NAME_MAX: usize = 200;
/// A tick answers within a second unless the store hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Who may.
#[derive(Clone)]
pub(super) struct Admins {
    by_hash: Arc<[(String, [u8; 32])]>,
    /// The token of the other things that change something.
    other: Option<[u8; 32]>,
    guesses: Guesses,
}

impl fmt::Debug for Admins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admins")
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.trim().as_bytes()).into()
}

impl Admins {
    pub(super) fn new(admins: &[(String, Secret)], other: Option<&Secret>) -> Self {
        let admins = admins.iter().filter(|(_, token)| !token.is_blank());
        Self {
            by_hash: admins
                .map(|(name, token)| (name.clone(), hash(token.expose())))
                .collect(),
            other: other.map(|token| hash(token.expose())),
            guesses: Guesses::default(),
        }
    }

    /// The name of who shows `headers` at `second`.
    fn admit(&self, headers: &HeaderMap, second: u64) -> Result<String, Box<Response>> {
        let refused = |status, message: &str| Err(Box::new(refusal(status, message)));
        if self.by_hash.is_empty() {
            let told = "nobody may do this: name somebody in extensions.api.admins of the configuration";
            return refused(StatusCode::FORBIDDEN, told);
        }
        if !self.guesses.may_try(second) {
            return refused(
                StatusCode::TOO_MANY_REQUESTS,
                "too many wrong tokens; try again in a second",
            );
        }
        let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = shown.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| hash(token))
        });
        let mut found = None;
        if let Some(token) = token {
            // All are compared, so that the time tells nothing.
            for (name, admin) in self.by_hash.iter() {
                if bool::from(admin.ct_eq(&token)) {
                    found = Some(name.clone());
                }
            }
            if found.is_none() && self.other.is_some_and(|other| bool::from(other.ct_eq(&token))) {
                return refused(
                    StatusCode::FORBIDDEN,
                    "this token may not switch flags; an admin's may",
                );
            }
        }
        if let Some(name) = found {
            return Ok(name);
        }
        self.guesses.was_wrong();
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let told = "expected the header `Authorization: Bearer <token>` with the token of an admin";
        Err(Box::new(
            (challenge, refusal(StatusCode::UNAUTHORIZED, told)).into_response(),
        ))
    }
}

#[derive(Clone, Debug)]
struct Desk {
    api: ApiState,
    admins: Admins,
}

/// `POST /api/v1/kill` and its kin.
pub(super) fn router(api: ApiState, admins: Admins) -> Router {
    Router::new()
        .route("/api/v1/kill", post(kill))
        .route("/api/v1/release", post(release))
        .route("/api/v1/decisions/{id}/approve", post(approve))
        .route("/api/v1/decisions/{id}/reject", post(reject))
        .method_not_allowed_fallback(|| async {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "only POST is answered here")
        })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(Desk { api, admins })
}

/// What is asked; unknown keys mean something that would not happen.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct KillBody {
    flag: String,
    service: Option<String>,
    exporter: Option<String>,
    environment: Option<String>,
    reason: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseBody {
    flag: String,
    exporter: Option<String>,
    environment: Option<String>,
    reason: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct VoteBody {
    #[serde(default)]
    reason: String,
}

type Body<T> = Result<Json<T>, JsonRejection>;

impl Desk {
    /// Who asks, and for what; the door comes before the body.
    fn enter<T>(&self, headers: &HeaderMap, body: Body<T>) -> Result<(String, T), Box<Response>> {
        let by = self.admins.admit(headers, self.api.clock.now().secs())?;
        match body {
            Ok(Json(body)) => Ok((by, body)),
            Err(wrong) => Err(Box::new(refusal(wrong.status(), &wrong.body_text()))),
        }
    }

    async fn ask(&self, request: HandRequest) -> Response {
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.api.desk.ask(request)).await;
        let error = match asked {
            Ok(Ok(decision)) => {
                return (StatusCode::ACCEPTED, Json(view::decision(&decision))).into_response();
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let told = "no answer in time; look at /api/v1/decisions before asking again";
                return refusal(StatusCode::GATEWAY_TIMEOUT, told);
            }
        };
        let status = match &error {
            DeskError::Full => StatusCode::TOO_MANY_REQUESTS,
            DeskError::Closed | DeskError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            DeskError::Refused(HandError::Unknown(_) | HandError::NoDecision(_)) => StatusCode::NOT_FOUND,
            DeskError::Refused(HandError::Ambiguous(_)) => StatusCode::BAD_REQUEST,
            DeskError::Refused(HandError::NeverKill(_)) => StatusCode::FORBIDDEN,
            DeskError::Refused(HandError::UnderWay(_) | HandError::Refused { .. }) => StatusCode::CONFLICT,
        };
        refusal(status, &error.to_string())
    }
}

/// The first text that is missing, too long, or not for a log line.
fn wrong<'a>(
    texts: impl IntoIterator<Item = (&'static str, Option<&'a str>, usize)>,
) -> Option<Box<Response>> {
    texts.into_iter().find_map(|(what, text, most)| {
        let problem = match text {
            None => return None,
            Some(text) if text.trim().is_empty() => "is empty",
            Some(text) if text.chars().count() > most => "is too long",
            Some(text) if text.chars().any(char::is_control) => "has a control character in it",
            Some(_) => return None,
        };
        Some(Box::new(refusal(
            StatusCode::BAD_REQUEST,
            &format!("{what} {problem}"),
        )))
    })
}

async fn kill(State(desk): State<Desk>, headers: HeaderMap, body: Body<KillBody>) -> Response {
    let (by, body) = match desk.enter(&headers, body) {
        Ok(entered) => entered,
        Err(refused) => return *refused,
    };
    let texts = [
        ("flag", Some(body.flag.as_str()), NAME_MAX),
        ("service", body.service.as_deref(), NAME_MAX),
        ("exporter", body.exporter.as_deref(), NAME_MAX),
        ("environment", body.environment.as_deref(), NAME_MAX),
        ("reason", Some(body.reason.as_str()), REASON_MAX),
    ];
    if let Some(refused) = wrong(texts) {
        return *refused;
    }
    let KillBody {
        flag,
        service,
        exporter,
        environment,
        reason,
    } = body;
    let kill = HandKill {
        flag,
        service,
        exporter,
        environment,
        by,
        reason,
    };
    desk.ask(HandRequest::Kill(kill)).await
}

async fn release(State(desk): State<Desk>, headers: HeaderMap, body: Body<ReleaseBody>) -> Response {
    let (by, body) = match desk.enter(&headers, body) {
        Ok(entered) => entered,
        Err(refused) => return *refused,
    };
    let texts = [
        ("flag", Some(body.flag.as_str()), NAME_MAX),
        ("exporter", body.exporter.as_deref(), NAME_MAX),
        ("environment", body.environment.as_deref(), NAME_MAX),
        ("reason", Some(body.reason.as_str()), REASON_MAX),
    ];
    if let Some(refused) = wrong(texts) {
        return *refused;
    }
    let release = HandRelease {
        flag: body.flag,
        exporter: body.exporter,
        environment: body.environment,
        by,
        reason: body.reason,
    };
    desk.ask(HandRequest::Release(release)).await
}

async fn approve(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<VoteBody>,
) -> Response {
    vote(desk, id, true, headers, body).await
}

async fn reject(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body<VoteBody>,
) -> Response {
    vote(desk, id, false, headers, body).await
}

async fn vote(
    desk: Desk,
    decision: String,
    approve: bool,
    headers: HeaderMap,
    body: Body<VoteBody>,
) -> Response {
    let (by, VoteBody { reason }) = match desk.enter(&headers, body) {
        Ok(entered) => entered,
        Err(refused) => return *refused,
    };
    // Who says no says why; a yes needs no words.
    let needed = (!approve || !reason.is_empty()).then_some(reason.as_str());
    if let Some(refused) = wrong([
        ("decision", Some(decision.as_str()), NAME_MAX),
        ("reason", needed, REASON_MAX),
    ]) {
        return *refused;
    }
    let vote = HandVote {
        decision,
        approve,
        by,
        reason,
    };
    desk.ask(HandRequest::Vote(vote)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !value.is_empty() {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    fn status(admins: &Admins, value: &str, second: u64) -> Result<String, u16> {
        admins
            .admit(&shown(value), second)
            .map_err(|refused| refused.status().as_u16())
    }

    #[test]
    fn only_the_token_of_an_admin_opens_the_door_and_it_says_whose() {
        let token = Secret::new("plain");
        let people = [
            ("ann".to_owned(), Secret::new("canary-a")),
            ("bob".to_owned(), Secret::new("canary-b\n")),
        ];
        let admins = Admins::new(&people, Some(&token));
        let rows: [(&str, Result<&str, u16>); 9] = [
            ("Bearer canary-a", Ok("ann")),
            ("bearer canary-b", Ok("bob")),
            ("", Err(401)),
            ("Bearer", Err(401)),
            ("Bearer ", Err(401)),
            ("Basic canary-a", Err(401)),
            ("Bearer canary-", Err(401)),
            ("Bearer canary-aa", Err(401)),
            ("Bearer plain", Err(403)),
        ];
        for (value, want) in rows {
            let told = status(&admins, value, 1);
            assert_eq!(told.as_deref().map_err(|code| *code), want, "{value:?}");
        }
        let nobody = Admins::new(&[], Some(&token));
        assert_eq!(status(&nobody, "Bearer plain", 1), Err(403));
        assert_eq!(status(&nobody, "", 1), Err(403));
        assert!(!format!("{admins:?}").contains("canary"));
    }

    #[test]
    fn who_guesses_is_held_up_for_the_rest_of_the_second() {
        let admins = Admins::new(&[("ann".to_owned(), Secret::new("canary"))], None);
        for _ in 0..10 {
            assert_eq!(status(&admins, "Bearer guess", 5), Err(401));
        }
        assert_eq!(status(&admins, "Bearer guess", 5), Err(429));
        assert_eq!(status(&admins, "Bearer canary", 5), Err(429), "nobody is heard");
        assert_eq!(status(&admins, "Bearer canary", 6), Ok("ann".to_owned()));
    }
}
