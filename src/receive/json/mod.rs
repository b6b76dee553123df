//! OTLP/JSON to protobuf bytes.
pub use error::{Error, ErrorKind};
mod error;
use super::Signal;

/// Translates.
pub fn decode(_signal: Signal, _text: &[u8], _limit: usize) -> Result<Vec<u8>, Error> {
    Err(Error {
        kind: ErrorKind::Syntax("JSON is not accepted"),
        path: String::new(),
        offset: 0,
    })
}
