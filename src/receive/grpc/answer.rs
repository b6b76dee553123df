//! gRPC's answers: a message and trailers on success, trailers only otherwise.

use crate::receive::Accepted;
use crate::receive::decompress::Coding;
use crate::receive::failure::Failure;
use crate::receive::response::{status, success_protobuf};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The empty message, framed: full success.
const FULL_SUCCESS: Bytes = Bytes::from_static(&[0, 0, 0, 0, 0]);

/// At most one piece of data, then at most one set of trailers.
#[derive(Debug, Default)]
pub(super) struct AnswerBody {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // Trailers have no size, and a length of zero would hide them.
        SizeHint::default()
    }
}

/// OK, with `partial_success` only if there is something to say.
pub(super) fn success_answer(accepted: &Accepted) -> Response<AnswerBody> {
    let message = success_protobuf(accepted);
    let data = if message.is_empty() {
        FULL_SUCCESS
    } else {
        framed(&message)
    };
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    with_headers(Response::new(AnswerBody {
        data: Some(data),
        trailers: Some(trailers),
    }))
}

/// Trailers only.
pub(super) fn failure_answer(failure: &Failure) -> Response<AnswerBody> {
    let mut response = with_headers(Response::new(AnswerBody::default()));
    let headers = response.headers_mut();
    if status(failure).add_header(headers).is_err() {
        headers.insert(GRPC_STATUS, HeaderValue::from(failure.code() as i32));
    }
    response
}

/// Not gRPC at all: the protocol wants plain HTTP here.
pub(super) fn media_type_answer() -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::default());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn with_headers(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(Coding::GRPC));
    response
}

fn framed(message: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    // Messages are cut to a kilobyte, so the length always fits.
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(message);
    out.freeze()
}
