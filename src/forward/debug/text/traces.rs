//! Spans.

use super::super::value::{attributes, inline, number, text, time};
use crate::forward::fields::{each_in, last_in};
use crate::wire::Malformed;
use std::fmt::Write as _;

/// Name, ids and attributes.
pub(super) fn line(out: &mut String, span: &[u8]) -> Result<(), Malformed> {
    let (trace_id, span_id) = (hex::encode(last_in(span, 1)?), hex::encode(last_in(span, 2)?));
    let _ = write!(out, "{} {trace_id} {span_id}", text(last_in(span, 5)?));
    inline(out, span, 9)?;
    out.push('\n');
    Ok(())
}

fn kind(number: u64) -> &'static str {
    match number {
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "Unspecified",
    }
}

fn status(code: u64) -> &'static str {
    match code {
        1 => "Ok",
        2 => "Error",
        _ => "Unset",
    }
}

pub(super) fn detailed(out: &mut String, span: &[u8]) -> Result<(), Malformed> {
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(out, "    {name:<15}: {value}");
    };
    field("Trace ID", &hex::encode(last_in(span, 1)?));
    field("Parent ID", &hex::encode(last_in(span, 4)?));
    field("ID", &hex::encode(last_in(span, 2)?));
    field("Name", &text(last_in(span, 5)?));
    field("Kind", kind(number(span, 6)?));
    let state = last_in(span, 3)?;
    if !state.is_empty() {
        field("TraceState", &text(state));
    }
    field("Start time", &time(number(span, 7)?));
    field("End time", &time(number(span, 8)?));
    let about = last_in(span, 15)?;
    field("Status code", status(number(about, 3)?));
    field("Status message", &text(last_in(about, 2)?));
    for (name, at) in [
        ("DroppedAttributesCount", 10),
        ("DroppedEventsCount", 12),
        ("DroppedLinksCount", 14),
    ] {
        match number(span, at)? {
            0 => {}
            dropped => field(name, &dropped.to_string()),
        }
    }
    attributes(out, span, 9, "Attributes", "     ")?;
    events(out, span)?;
    links(out, span)
}

fn events(out: &mut String, span: &[u8]) -> Result<(), Malformed> {
    let mut events = 0;
    each_in(span, 11, |event| {
        if events == 0 {
            out.push_str("Events:\n");
        }
        let _ = writeln!(out, "SpanEvent #{events}");
        events += 1;
        let _ = writeln!(out, "     -> Name: {}", text(last_in(event, 2)?));
        let _ = writeln!(out, "     -> Timestamp: {}", time(number(event, 1)?));
        let _ = writeln!(out, "     -> DroppedAttributesCount: {}", number(event, 4)?);
        attributes(out, event, 3, "     -> Attributes:", "          ")
    })
}

fn links(out: &mut String, span: &[u8]) -> Result<(), Malformed> {
    let mut links = 0;
    each_in(span, 13, |link| {
        if links == 0 {
            out.push_str("Links:\n");
        }
        let _ = writeln!(out, "SpanLink #{links}");
        links += 1;
        let _ = writeln!(out, "     -> Trace ID: {}", hex::encode(last_in(link, 1)?));
        let _ = writeln!(out, "     -> ID: {}", hex::encode(last_in(link, 2)?));
        let _ = writeln!(out, "     -> TraceState: {}", text(last_in(link, 3)?));
        let _ = writeln!(out, "     -> DroppedAttributesCount: {}", number(link, 5)?);
        attributes(out, link, 4, "     -> Attributes:", "          ")
    })
}
