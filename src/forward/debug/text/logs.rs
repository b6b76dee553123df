//! Log records.

use super::super::value::{attributes, bare, inline, number, text, time, value};
use crate::forward::fields::last_in;
use crate::wire::{AnyValue, Malformed};
use std::fmt::Write as _;

/// Body and attributes.
pub(super) fn line(out: &mut String, record: &[u8]) -> Result<(), Malformed> {
    bare(out, AnyValue::new(last_in(record, 5)?), 8)?;
    inline(out, record, 6)?;
    out.push('\n');
    Ok(())
}

/// `Info(9)`, `Error2(18)`.
fn severity(severity: u64) -> String {
    const NAMES: [&str; 6] = ["Trace", "Debug", "Info", "Warn", "Error", "Fatal"];
    let of_name = |number: u64| {
        let at = usize::try_from((number - 1) / 4).ok()?;
        let nth = (number - 1) % 4;
        let suffix = if nth == 0 {
            String::new()
        } else {
            (nth + 1).to_string()
        };
        Some(format!("{}{suffix}({number})", NAMES.get(at)?))
    };
    let named = if severity == 0 { None } else { of_name(severity) };
    named.unwrap_or_else(|| format!("Unspecified({severity})"))
}

pub(super) fn detailed(out: &mut String, record: &[u8]) -> Result<(), Malformed> {
    let _ = writeln!(out, "ObservedTimestamp: {}", time(number(record, 11)?));
    let _ = writeln!(out, "Timestamp: {}", time(number(record, 1)?));
    let _ = writeln!(out, "SeverityText: {}", text(last_in(record, 3)?));
    let _ = writeln!(out, "SeverityNumber: {}", severity(number(record, 2)?));
    let event = last_in(record, 12)?;
    if !event.is_empty() {
        let _ = writeln!(out, "EventName: {}", text(event));
    }
    out.push_str("Body: ");
    value(out, AnyValue::new(last_in(record, 5)?))?;
    out.push('\n');
    attributes(out, record, 6, "Attributes", "     ")?;
    let _ = writeln!(out, "Trace ID: {}", hex::encode(last_in(record, 9)?));
    let _ = writeln!(out, "Span ID: {}", hex::encode(last_in(record, 10)?));
    let _ = writeln!(out, "Flags: {}", number(record, 8)?);
    match number(record, 7)? {
        0 => {}
        dropped => {
            let _ = writeln!(out, "Dropped attributes: {dropped}");
        }
    }
    Ok(())
}
