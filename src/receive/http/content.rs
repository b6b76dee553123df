//! What a request's headers say of its body, and the body itself.

use crate::receive::admission::Ticket;
use crate::receive::body::{BoxError, Paced};
use crate::receive::decompress::Coding;
use crate::receive::failure::Failure;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;

/// Buffer that a body without a length starts with.
const FIRST_BUFFER_BYTES: usize = 16 << 10;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

impl Encoding {
    /// As Content-Type says, parameters aside.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let essence = value
            .split(|b| *b == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/x-protobuf") {
            Some(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// As a header's value.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// The encoding of an answer to a type that is not ours: JSON if the type says so, protobuf otherwise.
pub(super) fn guess(headers: &HeaderMap) -> Encoding {
    let value = headers
        .get(header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes)
        .unwrap_or_default();
    if value.to_ascii_lowercase().windows(4).any(|w| w == b"json") {
        Encoding::Json
    } else {
        Encoding::Protobuf
    }
}

/// The content coding; one, not stacked.
pub(super) fn coding(headers: &HeaderMap, taken: &[String]) -> Result<Coding, Failure> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(Coding::Identity);
    };
    match (Coding::of_http(value.as_bytes(), taken), values.next()) {
        (Some(coding), None) => Ok(coding),
        (None, _) => {
            let name = String::from_utf8_lossy(value.as_bytes());
            Err(Failure::UnknownEncoding(
                format!("unsupported Content-Encoding: {name:.64}").into(),
            ))
        }
        (Some(_), Some(_)) => Err(Failure::UnknownEncoding(
            "unsupported Content-Encoding: more than one coding".into(),
        )),
    }
}

/// Reads the body: a length above the limit is refused before a byte is read, and bytes are charged as they
/// come.
pub(super) async fn read<B>(
    body: &mut Paced<B>,
    headers: &HeaderMap,
    limit: usize,
    ticket: &mut Ticket,
) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let too_large = || Failure::TooLarge(format!("the body is larger than {limit} bytes").into());
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let announced = announced.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
    if announced.is_some_and(|len| len > limit) {
        return Err(too_large());
    }
    let Some(first) = body.next().await? else {
        return Ok(Bytes::new());
    };
    ticket.charge(first.len()).await?;
    if first.len() > limit {
        return Err(too_large());
    }
    if announced == Some(first.len()) {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(FIRST_BUFFER_BYTES).max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(data) = body.next().await? {
        if data.len() > limit - whole.len() {
            return Err(too_large());
        }
        ticket.charge(data.len()).await?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
