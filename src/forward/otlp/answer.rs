//! What a backend answered, by the protocol's own table.

use crate::pipeline::{Accepted, Refusal};
use crate::wire::{Malformed, Reader};
use std::io::Read;
use std::time::Duration;
use tonic::Code;

/// Most of a response that is read: an answer is small, and a backend that speaks nonsense may not end.
pub(in crate::forward) const RESPONSE_MAX: usize = 1 << 20;

/// A batch arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::forward) struct Arrived {
    /// Items that the backend rejected for good.
    pub(in crate::forward) rejected: u64,
    /// Its words; empty when it had none.
    pub(in crate::forward) message: String,
}

/// A batch did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::forward) struct Failure {
    /// As gRPC names it; of HTTP by the same table as a receiver's.
    pub(in crate::forward) code: Code,
    /// What to tell the operator.
    pub(in crate::forward) message: String,
    /// Whether it may pass.
    pub(in crate::forward) retryable: bool,
    /// When to come back, if the backend said so.
    pub(in crate::forward) advice: Option<Duration>,
    /// The answer was none of the protocol's.
    pub(in crate::forward) nonsense: bool,
}

/// What became of one attempt.
pub(in crate::forward) type Attempt = Result<Arrived, Failure>;

impl Failure {
    /// By its code alone.
    pub(in crate::forward) fn of(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: shorten(message.into()),
            retryable: is_retryable(code),
            advice: None,
            nonsense: false,
        }
    }

    /// No connection, or one that broke.
    pub(in crate::forward) fn unreachable(message: impl Into<String>) -> Self {
        Self::of(Code::Unavailable, message)
    }

    /// The answer cannot be understood. Asking again would bring the same.
    pub(in crate::forward) fn nonsense(message: impl Into<String>) -> Self {
        Self {
            nonsense: true,
            ..Self::of(Code::Internal, message)
        }
    }
}

impl Arrived {
    /// As the answer to a client that waited, whose request had `items`.
    pub(in crate::forward) fn accepted(self, items: u64) -> Accepted {
        let rejected = self.rejected.min(items);
        Accepted {
            items: items - rejected,
            rejected,
            message: self.message.into(),
        }
    }
}

impl Failure {
    /// As the answer to a client that waited.
    pub(in crate::forward) fn refusal(self) -> Refusal {
        Refusal::Downstream {
            code: self.code,
            message: self.message.into(),
            retry_after: self.advice,
        }
    }
}

/// The specification's table. RESOURCE_EXHAUSTED is not in it: only a backend that says when to come back
/// means that it is worth coming back.
fn is_retryable(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// A backend's words are for a log line.
fn shorten(mut text: String) -> String {
    const LONGEST: usize = 300;
    if text.len() > LONGEST {
        let cut = (0..=LONGEST)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(cut);
        text.push_str("...");
    }
    text.replace(|c: char| c.is_control(), " ")
}

/// Reads an Export*ServiceResponse, which is the same for all signals: `partial_success = 1 {rejected = 1,
/// error_message = 2}`.
pub(in crate::forward) fn arrived(message: &[u8]) -> Result<Arrived, Malformed> {
    let mut it = Arrived::default();
    let mut fields = Reader::new(message);
    while let Some(tag) = fields.tag()? {
        if tag != 0x0a {
            fields.skip(tag)?;
            continue;
        }
        let mut partial = Reader::new(fields.bytes()?);
        while let Some(tag) = partial.tag()? {
            match tag {
                // An int64; negative ones are nonsense that harms nobody.
                0x08 => it.rejected = u64::try_from(partial.varint()?.cast_signed()).unwrap_or(0),
                0x12 => it.message = shorten(String::from_utf8_lossy(partial.bytes()?).into_owned()),
                _ => partial.skip(tag)?,
            }
        }
    }
    Ok(it)
}

/// Unpacks a response by the name of its coding; at most [`RESPONSE_MAX`] bytes.
pub(in crate::forward) fn unpack(coding: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let read: std::io::Result<Vec<u8>> = match coding {
        "identity" | "" => return Ok(body.to_vec()),
        "gzip" => limited(flate2::read::MultiGzDecoder::new(body)),
        "zstd" => zstd::stream::read::Decoder::new(body).and_then(limited),
        other => {
            return Err(Failure::nonsense(format!(
                "the answer is packed with {other}, which nobody asked for"
            )));
        }
    };
    match read {
        Ok(bytes) if bytes.len() <= RESPONSE_MAX => Ok(bytes),
        Ok(_) => Err(Failure::nonsense(format!(
            "the answer is larger than {RESPONSE_MAX} bytes"
        ))),
        Err(error) => Err(Failure::nonsense(format!(
            "the answer cannot be unpacked: {error}"
        ))),
    }
}

fn limited(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(RESPONSE_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message;

    #[test]
    fn retryable_codes_are_those_of_the_specification() {
        let retryable: Vec<i32> = (0..17).filter(|code| is_retryable(Code::from(*code))).collect();
        assert_eq!(retryable, [1, 4, 10, 11, 14, 15]);
    }

    #[test]
    fn partial_success_is_read_and_its_absence_is_success() {
        let response = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 7,
                error_message: "no\nroom".to_owned(),
            }),
        };
        let read = arrived(&response.encode_to_vec()).unwrap();
        assert_eq!((read.rejected, read.message.as_str()), (7, "no room"));
        assert_eq!(arrived(&[]), Ok(Arrived::default()));
        assert_eq!(arrived(b"<html>"), Err(Malformed));
    }

    #[test]
    fn packed_bomb_in_an_answer_is_nonsense() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
        assert!(unpack("zstd", &bomb).unwrap_err().nonsense);
        assert!(unpack("br", b"x").unwrap_err().nonsense);
        assert_eq!(
            unpack("zstd", &zstd::bulk::compress(b"hi", 3).unwrap()).unwrap(),
            b"hi"
        );
    }

    #[test]
    fn words_of_a_backend_fit_in_a_log_line() {
        let failure = Failure::of(Code::Internal, "\u{e4}\n".repeat(1000));
        assert!(failure.message.len() < 310 && !failure.message.contains('\n'));
    }
}
