//! What an OTLP/HTTP server answered.

use crate::forward::grpc::describe;
use crate::forward::otlp::{Arrived, Attempt, Failure, RESPONSE_MAX, arrived, unpack};
use crate::time::{Clock, UnixNanos};
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tonic::Code;
use tonic_types::pb::Status;

/// Reads the response to its end.
pub(super) async fn read(response: Response<Incoming>, clock: &dyn Clock) -> Attempt {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::unreachable(describe(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > RESPONSE_MAX {
            return Err(by_size(head.status));
        }
        bytes.extend_from_slice(&data);
    }
    let coding = text(&head.headers, header::CONTENT_ENCODING);
    let kind = text(&head.headers, header::CONTENT_TYPE);
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if head.status.is_success() {
        return success(&kind, &unpack(&coding, &bytes)?);
    }
    let said = unpack(&coding, &bytes)
        .map(|bytes| words(&kind, &bytes))
        .unwrap_or_default();
    let mut failure = by_status(head.status, &said);
    if failure.retryable {
        failure.advice = retry_after(&text(&head.headers, header::RETRY_AFTER), clock.now());
    }
    Err(failure)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn by_size(status: StatusCode) -> Failure {
    if status.is_success() {
        Failure::nonsense(format!("the answer is larger than {RESPONSE_MAX} bytes"))
    } else {
        by_status(status, "")
    }
}

fn by_status(status: StatusCode, said: &str) -> Failure {
    let code = match status.as_u16() {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 => Code::ResourceExhausted,
        502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let hint = match status.as_u16() {
        300..400 => " (redirects are not followed; write the URL itself)",
        404 | 405 => " (is the endpoint right?)",
        _ => "",
    };
    let mut failure = Failure::of(code, format!("HTTP status {status}{hint}: {said}"));
    failure.retryable = matches!(status.as_u16(), 429 | 502 | 503 | 504);
    failure
}

fn success(kind: &str, body: &[u8]) -> Attempt {
    let broken = || Failure::nonsense(format!("the answer, of type {kind:?}, is not an OTLP response"));
    if body.is_empty() {
        return Ok(Arrived::default());
    }
    match kind {
        "application/x-protobuf" | "application/protobuf" => arrived(body).map_err(|_| broken()),
        "application/json" => json(body).ok_or_else(broken),
        "text/html" => Err(broken()),
        // Some backends say OK in words of their own.
        _ => Ok(Arrived::default()),
    }
}

fn json(body: &[u8]) -> Option<Arrived> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let mut it = Arrived::default();
    let Some(partial) = answer
        .as_object()?
        .get("partialSuccess")
        .and_then(|it| it.as_object())
    else {
        return Some(it);
    };
    for key in ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"] {
        let rejected = partial.get(key).and_then(|it| {
            it.as_u64()
                .or_else(|| it.as_str().and_then(|text| text.parse().ok()))
        });
        it.rejected += rejected.unwrap_or(0);
    }
    partial
        .get("errorMessage")
        .and_then(|it| it.as_str())
        .unwrap_or_default()
        .clone_into(&mut it.message);
    Some(it)
}

/// The words of an error: a google.rpc.Status, or text.
fn words(kind: &str, body: &[u8]) -> String {
    match kind {
        "application/x-protobuf" | "application/protobuf" => {
            #[allow(clippy::disallowed_methods, reason = "a small answer, not the data plane")]
            let status = <Status as prost::Message>::decode(body);
            status.map(|status| status.message).unwrap_or_default()
        }
        "application/json" => serde_json::from_slice::<serde_json::Value>(body)
            .ok()
            .and_then(|it| it.get("message")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()),
        kind if kind.starts_with("text/") && kind != "text/html" => {
            String::from_utf8_lossy(body).into_owned()
        }
        _ => String::new(),
    }
}

/// Seconds, or a date.
fn retry_after(value: &str, now: UnixNanos) -> Option<Duration> {
    if let Ok(secs) = value.trim().parse() {
        return Some(Duration::from_secs(secs));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value.trim())
        .ok()?;
    let until = u64::try_from(date.as_nanosecond()).ok()?;
    Some(Duration::from_nanos(until.saturating_sub(now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_statuses_are_retried() {
        let retryable: Vec<u16> = (300..600)
            .filter(|code| StatusCode::from_u16(*code).is_ok_and(|status| by_status(status, "").retryable))
            .collect();
        assert_eq!(retryable, [429, 502, 503, 504]);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = UnixNanos::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("", now), None);
    }

    #[test]
    fn partial_success_is_read_in_json_too() {
        let body = br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"why"}}"#;
        let it = success("application/json", body).unwrap();
        assert_eq!((it.rejected, it.message.as_str()), (3, "why"));
        assert_eq!(success("application/json", b"{}"), Ok(Arrived::default()));
    }

    #[test]
    fn html_and_broken_bodies_are_nonsense_and_plain_words_are_not() {
        assert!(success("text/html", b"<html>").unwrap_err().nonsense);
        assert!(success("application/x-protobuf", b"<html>").unwrap_err().nonsense);
        assert!(success("application/json", b"[1]").unwrap_err().nonsense);
        assert!(success("text/plain", b"ok").is_ok());
        assert!(success("", b"").is_ok());
    }

    #[test]
    fn words_of_an_error_come_out_of_every_form() {
        let status = Status {
            message: "too much".to_owned(),
            ..Status::default()
        };
        assert_eq!(
            words("application/x-protobuf", &prost::Message::encode_to_vec(&status)),
            "too much"
        );
        assert_eq!(
            words("application/json", br#"{"message":"too much"}"#),
            "too much"
        );
        assert_eq!(words("text/plain", b"too much"), "too much");
        assert_eq!(words("text/html", b"<html>"), "");
    }
}
