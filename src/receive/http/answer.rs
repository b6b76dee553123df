//! HTTP's answers: always in the request's encoding.

use super::content::Encoding;
use crate::receive::failure::Failure;
use crate::receive::response::{
    retry_after_secs, status_json, status_protobuf, success_json, success_protobuf,
};
use crate::receive::{Accepted, Signal};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;

/// 200.
pub(super) fn success_answer(
    signal: Signal,
    encoding: Encoding,
    accepted: &Accepted,
) -> Response<Full<Bytes>> {
    let body = match encoding {
        Encoding::Protobuf => success_protobuf(accepted),
        Encoding::Json => success_json(signal, accepted),
    };
    typed(encoding, body)
}

/// A `google.rpc.Status`, with the headers that its kind asks for.
pub(super) fn failure_answer(
    encoding: Encoding,
    failure: &Failure,
    codings: &[String],
) -> Response<Full<Bytes>> {
    let body = match encoding {
        Encoding::Protobuf => status_protobuf(failure),
        Encoding::Json => status_json(failure),
    };
    let mut response = typed(encoding, body);
    *response.status_mut() = failure.http_status();
    let headers = response.headers_mut();
    if let Some(after) = failure.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_secs(after)));
    }
    match failure {
        Failure::Method => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        Failure::MediaType(_) => {
            let accept = HeaderValue::from_static("application/x-protobuf, application/json");
            headers.insert(header::ACCEPT, accept);
        }
        Failure::UnknownEncoding(_) => {
            let spoken = codings.join(", ");
            let spoken = if spoken.is_empty() { "identity" } else { &spoken };
            if let Ok(spoken) = HeaderValue::from_str(spoken) {
                headers.insert(header::ACCEPT_ENCODING, spoken);
            }
        }
        Failure::Unauthenticated { challenge, .. } => {
            if let Ok(challenge) = HeaderValue::from_str(challenge) {
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        _ => {}
    }
    response
}

fn typed(encoding: Encoding, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(encoding.content_type()),
    );
    response
}
