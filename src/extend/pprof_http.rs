//! `/debug/pprof/`: profiles of the CPU, for `go tool pprof` and for eyes.

use super::html::{Cell, Page};
use super::profile::Profile;
use super::profiler::{PERIOD_NS, ProfilerError, take};
use super::{flame, pprof_proto};
use axum::Router;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write as _;
use std::time::Duration;

/// As Go's.
const SECONDS_DEFAULT: u64 = 30;
/// A longer one is a matter for `save_to_file`.
const SECONDS_MAX: u64 = 300;

pub(super) fn router() -> Router {
    Router::new()
        .route("/debug/pprof", get(index))
        .route("/debug/pprof/", get(index))
        .route("/debug/pprof/profile", get(profile))
        .route("/debug/pprof/{other}", get(other))
}

async fn index() -> Response {
    let mut page = Page::new("burngate /debug/pprof/");
    page.paragraph("One CPU profile at a time; the answer comes when it is complete.");
    let link = |text: &str, format: &str, seconds: u64| {
        let mut parameters = vec![("seconds", seconds.to_string())];
        if !format.is_empty() {
            parameters.push(("format", format.to_owned()));
        }
        vec![
            Cell::Link(text.to_owned(), "/debug/pprof/profile", parameters),
            Cell::text(format!("{seconds} s")),
        ]
    };
    let rows = [
        link("profile for go tool pprof", "", SECONDS_DEFAULT),
        link("flame graph", "flamegraph", 10),
        link("stacks as text", "folded", 10),
    ];
    page.table(&["CPU profile", "takes"], rows);
    page.finish()
}

#[derive(Debug, serde::Deserialize)]
struct Wanted {
    seconds: Option<u64>,
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Proto,
    #[serde(alias = "svg")]
    Flamegraph,
    Folded,
}

async fn profile(wanted: Result<Query<Wanted>, QueryRejection>) -> Response {
    let Query(Wanted { seconds, format }) = match wanted {
        Ok(wanted) => wanted,
        Err(wrong) => return refusal(StatusCode::BAD_REQUEST, &wrong.body_text()),
    };
    let seconds = seconds.unwrap_or(SECONDS_DEFAULT);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        let message = format!("seconds must be from 1 to {SECONDS_MAX}, found {seconds}");
        return refusal(StatusCode::BAD_REQUEST, &message);
    }
    let mut profile = Profile::default();
    // A timer begins when it is made.
    let until = async { tokio::time::sleep(Duration::from_secs(seconds)).await };
    match take(&mut profile, until).await {
        Ok(()) => {}
        Err(error @ ProfilerError::Busy) => return refusal(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
    let written = tokio::task::spawn_blocking(move || written(&profile, format)).await;
    written.unwrap_or_else(|error| refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
}

fn written(profile: &Profile, format: Format) -> Response {
    let nosniff = (HeaderName::from_static("x-content-type-options"), "nosniff");
    match format {
        Format::Proto => match pprof_proto::encode(profile, PERIOD_NS) {
            Ok(bytes) => {
                let headers = [
                    (header::CONTENT_TYPE, "application/octet-stream"),
                    (header::CONTENT_DISPOSITION, "attachment; filename=\"profile\""),
                    nosniff,
                ];
                (headers, bytes).into_response()
            }
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Format::Flamegraph => {
            let headers = [(header::CONTENT_TYPE, "image/svg+xml"), nosniff];
            (headers, flame::draw(profile)).into_response()
        }
        Format::Folded => {
            let mut text = String::new();
            for (stack, count) in profile.folded() {
                let _ = writeln!(text, "{} {count}", stack.join(";"));
            }
            let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), nosniff];
            (headers, text).into_response()
        }
    }
}

/// Go's other profiles: of its heap, its goroutines, its locks.
async fn other() -> Response {
    let message = "not here: this process has no Go runtime; there is /debug/pprof/profile, the CPU profile";
    refusal(StatusCode::NOT_FOUND, message)
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, format!("{message}\n")).into_response()
}
