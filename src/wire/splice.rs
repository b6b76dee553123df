//! A request without the items that a receiver must reject.
//!
//! The rules are those of the walks that count them (`walk`, `items`): an absent id is let through, one of a
//! wrong length is nobody's. A scope or resource that becomes empty goes too.

use super::WalkError;
use super::edit::{Field, Keep, Kind, Level, Levels, Message, Request, Visit, Wants, edit};
use bytes::Bytes;

/// Spans with a trace id that is not 0 or 16 bytes, or a span id that is not 0 or 8, are cut out.
pub fn without_rejected_spans(bytes: &Bytes) -> Result<Bytes, WalkError> {
    without_rejected(Request::Traces, bytes)
}

/// Log records with such ids are cut out.
pub fn without_rejected_log_records(bytes: &Bytes) -> Result<Bytes, WalkError> {
    without_rejected(Request::Logs, bytes)
}

/// Data points carry no ids of their own, and no walk rejects one: these are the very bytes.
pub fn without_rejected_points(bytes: &Bytes) -> Result<Bytes, WalkError> {
    Ok(bytes.clone())
}

fn without_rejected(request: Request, bytes: &Bytes) -> Result<Bytes, WalkError> {
    edit(request, bytes, &mut Sieve(request.item())).map(|edited| edited.bytes)
}

/// Lets through what has ids of the right length.
struct Sieve(Kind);

impl<'a> Visit<'a> for Sieve {
    type Error = WalkError;

    fn wants(&self, kind: Kind) -> Wants {
        if kind == self.0 {
            Wants::Fields
        } else {
            Wants::Nothing
        }
    }

    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, WalkError> {
        if level != Level::Item || ids_are_valid(&at.item) {
            return Ok(Keep::Stay);
        }
        Ok(Keep::Drop)
    }
}

fn ids_are_valid(item: &Message<'_>) -> bool {
    matches!(item.bytes(Field::TraceId).len(), 0 | 16)
        && matches!(item.bytes(Field::SpanId).len(), 0 | 8)
        && matches!(item.bytes(Field::ParentSpanId).len(), 0 | 8)
}
