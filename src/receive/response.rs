//! The bodies of answers: `Export*ServiceResponse` and `google.rpc.Status`, as protobuf and as JSON.

use super::failure::Failure;
use super::{Accepted, Signal};
use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};
use serde_json::json;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Longest message in an answer (row G4); the rest would only fill the client's log.
const MAX_MESSAGE_BYTES: usize = 1024;

/// `Export*ServiceResponse`; all three signals number their fields alike. Full success is the empty message
/// (row G6).
pub(super) fn success_protobuf(accepted: &Accepted) -> Bytes {
    if is_full(accepted) {
        return Bytes::new();
    }
    let message = shorten(&accepted.message);
    let mut partial = Vec::with_capacity(16 + message.len());
    if accepted.rejected > 0 {
        partial.push(0x08);
        encode_varint(accepted.rejected, &mut partial);
    }
    if !message.is_empty() {
        partial.push(0x12);
        encode_varint(message.len() as u64, &mut partial);
        partial.extend_from_slice(message.as_bytes());
    }
    let len = partial.len() as u64;
    let mut out = Vec::with_capacity(1 + encoded_len_varint(len) + partial.len());
    out.push(0x0A);
    encode_varint(len, &mut out);
    out.extend_from_slice(&partial);
    out.into()
}

/// The same as JSON.
pub(super) fn success_json(signal: Signal, accepted: &Accepted) -> Bytes {
    if is_full(accepted) {
        return Bytes::from_static(b"{}");
    }
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let mut partial = serde_json::Map::new();
    if accepted.rejected > 0 {
        partial.insert(rejected.into(), accepted.rejected.to_string().into());
    }
    let message = shorten(&accepted.message);
    if !message.is_empty() {
        partial.insert("errorMessage".into(), message.into());
    }
    json!({ "partialSuccess": partial }).to_string().into()
}

/// The gRPC status of a failure, with its details: RetryInfo when the client should come back, BadRequest for
/// bad bytes.
pub(super) fn status(failure: &Failure) -> Status {
    build(failure.code(), failure)
}

/// `google.rpc.Status` as the body of an HTTP answer.
pub(super) fn status_protobuf(failure: &Failure) -> Bytes {
    // The details of a rich gRPC status are the very message, encoded.
    Bytes::copy_from_slice(build(http_code(failure), failure).details())
}

/// The same as JSON.
pub(super) fn status_json(failure: &Failure) -> Bytes {
    let message = failure.message();
    let message = shorten(&message);
    let mut details = Vec::new();
    if let Some(after) = failure.retry_after() {
        let delay = format!("{}.{:03}s", after.as_secs(), after.subsec_millis());
        details.push(json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay }));
    }
    if matches!(failure, Failure::Malformed(_)) {
        let violation = json!({ "field": "request", "description": message });
        details.push(json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]
        }));
    }
    let code = http_code(failure) as i32;
    json!({ "code": code, "message": message, "details": details })
        .to_string()
        .into()
}

/// Whole seconds for `Retry-After`, rounded up.
pub(super) fn retry_after_secs(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

fn build(code: Code, failure: &Failure) -> Status {
    let message = failure.message();
    let message = shorten(&message);
    let mut details = ErrorDetails::new();
    if let Some(after) = failure.retry_after() {
        // Milliseconds are enough, and read better.
        details.set_retry_info(Some(Duration::from_millis(
            u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        )));
    }
    if matches!(failure, Failure::Malformed(_)) {
        details.add_bad_request_violation("request", message);
    }
    Status::with_error_details(code, message, details)
}

/// The code in an HTTP answer's body. A coding that is not spoken is the client's mistake there (400), not a
/// missing method.
const fn http_code(failure: &Failure) -> Code {
    match failure {
        Failure::UnknownEncoding(_) => Code::InvalidArgument,
        Failure::Disconnected | Failure::Deadline(_) => Code::Unavailable,
        other => other.code(),
    }
}

fn is_full(accepted: &Accepted) -> bool {
    accepted.rejected == 0 && accepted.message.is_empty()
}

fn shorten(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)]
}
