//! How many items a request holds, hopping over their insides.

use super::cursor::{Cursor, Span};
use super::schema::{Kind, Request};
use crate::wire::Malformed;

/// Spans, data points or log records in a request, broken ones included.
pub fn count_items(request: Request, bytes: &[u8]) -> Result<u64, Malformed> {
    let mut items = 0u64;
    let mut fields = Cursor::new(bytes, Span::new(0, bytes.len()), Kind::Request);
    while let Some(field) = fields.next()? {
        items = items.saturating_add(items_of_resource(request, bytes, field.piece().content)?);
    }
    Ok(items)
}

/// Items below a ResourceX.
pub(super) fn items_of_resource(request: Request, source: &[u8], content: Span) -> Result<u64, Malformed> {
    let mut items = 0u64;
    let mut fields = Cursor::new(source, content, Kind::ResourceItems);
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            items = items.saturating_add(items_of_scope(request, source, field.piece().content)?);
        }
    }
    Ok(items)
}

/// Items below a ScopeX.
pub(super) fn items_of_scope(request: Request, source: &[u8], content: Span) -> Result<u64, Malformed> {
    let mut items = 0u64;
    let mut fields = Cursor::new(source, content, Kind::ScopeItems);
    while let Some(field) = fields.next()? {
        if field.number == 2 {
            items = items.saturating_add(match request {
                Request::Metrics => points_of_metric(source, field.piece().content)?,
                Request::Traces | Request::Logs => 1,
            });
        }
    }
    Ok(items)
}

/// Points of a metric. Its data is a oneof: the same kind again merges, another kind replaces.
pub(super) fn points_of_metric(source: &[u8], content: Span) -> Result<u64, Malformed> {
    let (mut kind, mut points) = (0, 0u64);
    let mut fields = Cursor::new(source, content, Kind::Metric);
    while let Some(field) = fields.next()? {
        let Some((data, _)) = Kind::of_data(field.number) else {
            continue;
        };
        if kind != field.number {
            kind = field.number;
            points = 0;
        }
        let mut inner = Cursor::new(source, field.piece().content, data);
        while let Some(inner) = inner.next()? {
            points = points.saturating_add(u64::from(inner.number == 1));
        }
    }
    Ok(points)
}
