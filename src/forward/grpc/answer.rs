//! What a gRPC server answered.

use super::{Attempt, Failure, describe};
use crate::forward::otlp::{RESPONSE_MAX, arrived, unpack};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Reads the response to its trailers.
pub(super) async fn read(response: Response<Incoming>) -> Attempt {
    let (head, mut body) = response.into_parts();
    if let Some(failure) = failed(&head.headers) {
        return Err(failure);
    }
    if head.status != StatusCode::OK {
        return Err(by_http(head.status));
    }
    let kind = head.headers.get(http::header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return Err(Failure::nonsense(format!(
            "not a gRPC server: its answer is of type {kind:?}"
        )));
    }
    let mut message = Vec::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::unreachable(describe(&error)))?;
        match frame.into_data() {
            Ok(data) if message.len() + data.len() > RESPONSE_MAX => {
                return Err(Failure::nonsense(format!(
                    "the answer is larger than {RESPONSE_MAX} bytes"
                )));
            }
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let status = trailers.as_ref().or(Some(&head.headers));
    match status.and_then(Status::from_header_map) {
        None => Err(Failure::unreachable("the answer ends without a status")),
        Some(status) if status.code() != Code::Ok => Err(by_status(&status)),
        Some(_) => success(&head.headers, &message),
    }
}

/// A failure that needs no body.
fn failed(headers: &HeaderMap) -> Option<Failure> {
    let status = Status::from_header_map(headers)?;
    (status.code() != Code::Ok).then(|| by_status(&status))
}

fn by_status(status: &Status) -> Failure {
    let advice = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let mut failure = Failure::of(
        status.code(),
        format!("{}: {}", status.code().description(), status.message()),
    );
    failure.retryable |= status.code() == Code::ResourceExhausted && advice.is_some();
    failure.advice = advice;
    failure
}

/// A proxy on the way answered: the table of the gRPC project.
fn by_http(status: StatusCode) -> Failure {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Failure::of(code, format!("HTTP status {status} instead of a gRPC answer"))
}

fn success(headers: &HeaderMap, message: &[u8]) -> Attempt {
    let broken = || Failure::nonsense("the answer is not an OTLP response");
    let Some((head, body)) = message.split_first_chunk::<5>() else {
        // A status of OK without a message: odd, but it says that all is well.
        return if message.is_empty() {
            arrived(&[]).map_err(|_| broken())
        } else {
            Err(broken())
        };
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length != body.len() || head[0] > 1 {
        return Err(broken());
    }
    let coding = headers.get("grpc-encoding").and_then(|it| it.to_str().ok());
    let unpacked = unpack(coding.filter(|_| head[0] == 1).unwrap_or_default(), body)?;
    arrived(&unpacked).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tonic_types::ErrorDetails;

    #[test]
    fn exhausted_is_retried_only_with_advice() {
        let plain = by_status(&Status::new(Code::ResourceExhausted, "full"));
        assert!(!plain.retryable && plain.advice.is_none());
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let advised = by_status(&Status::with_error_details(
            Code::ResourceExhausted,
            "full",
            details,
        ));
        assert!(advised.retryable && advised.advice == Some(Duration::from_secs(7)));
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        assert!(!by_status(&Status::with_error_details(Code::InvalidArgument, "bad", details)).retryable);
    }

    #[test]
    fn proxies_are_read_by_the_table_of_grpc() {
        let retryable: Vec<u16> = (400..600)
            .filter(|code| StatusCode::from_u16(*code).is_ok_and(|status| by_http(status).retryable))
            .collect();
        assert_eq!(retryable, [429, 502, 503, 504]);
    }

    #[test]
    fn truncated_frame_is_nonsense() {
        let headers = HeaderMap::new();
        assert!(success(&headers, &[0, 0, 0, 0, 9, 1]).unwrap_err().nonsense);
        assert!(success(&headers, &[0, 0]).unwrap_err().nonsense);
        assert_eq!(success(&headers, &[0, 0, 0, 0, 0]).unwrap().rejected, 0);
    }
}
