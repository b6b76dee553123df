//! A batch as text: a line an item, or every field.

mod logs;
mod metrics;
mod traces;

use super::value::{attributes, inline, text};
use crate::forward::fields::{each_in, last_in};
use crate::pipeline::Signal;
use crate::wire::Malformed;
use std::fmt::Write as _;

/// A text that says where it was cut.
fn bounded(mut text: String, max: usize, whole: Result<(), Malformed>) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("\n... (cut)");
    } else if whole.is_err() {
        text.push_str("\n... (the rest is not a valid protobuf message, or beyond the limit)");
    }
    text.truncate(text.trim_end().len());
    text
}

/// One line an item (`verbosity: normal`).
pub(super) fn lines(signal: Signal, bytes: &[u8], max: usize) -> String {
    let mut out = String::new();
    let whole = each_in(bytes, 1, |resource| {
        out.push_str(heading(signal).0);
        inline(&mut out, last_in(resource, 1)?, 1)?;
        out.push('\n');
        each_in(resource, 2, |scope| {
            let about = last_in(scope, 1)?;
            let (name, version) = (text(last_in(about, 1)?), text(last_in(about, 2)?));
            let _ = write!(out, "{}", heading(signal).1);
            if !name.is_empty() {
                let _ = write!(out, " {name}");
            }
            if !version.is_empty() {
                let _ = write!(out, "@{version}");
            }
            inline(&mut out, about, 3)?;
            out.push('\n');
            each_in(scope, 2, |item| {
                match signal {
                    Signal::Traces => traces::line(&mut out, item)?,
                    Signal::Metrics => metrics::line(&mut out, item)?,
                    Signal::Logs => logs::line(&mut out, item)?,
                }
                // What is far beyond the limit need not be made.
                if out.len() > max { Err(Malformed) } else { Ok(()) }
            })
        })
    });
    bounded(out, max, whole)
}

const fn heading(signal: Signal) -> (&'static str, &'static str) {
    match signal {
        Signal::Traces => ("ResourceTraces", "ScopeTraces"),
        Signal::Metrics => ("ResourceMetrics", "ScopeMetrics"),
        Signal::Logs => ("ResourceLog", "ScopeLog"),
    }
}

/// Every field (`verbosity: detailed`), in the Collector's shape.
pub(super) fn detailed(signal: Signal, bytes: &[u8], max: usize) -> String {
    let mut out = String::new();
    let (mut resources, names) = (0, detailed_heading(signal));
    let whole = each_in(bytes, 1, |resource| {
        let _ = writeln!(out, "{} #{resources}", names.0);
        resources += 1;
        let _ = writeln!(out, "Resource SchemaURL: {}", text(last_in(resource, 3)?));
        attributes(&mut out, last_in(resource, 1)?, 1, "Resource attributes", "     ")?;
        let mut scopes = 0;
        each_in(resource, 2, |scope| {
            let _ = writeln!(out, "{} #{scopes}", names.1);
            scopes += 1;
            let _ = writeln!(out, "{} SchemaURL: {}", names.1, text(last_in(scope, 3)?));
            let about = last_in(scope, 1)?;
            let (name, version) = (text(last_in(about, 1)?), text(last_in(about, 2)?));
            let _ = writeln!(out, "InstrumentationScope {name} {version}");
            attributes(&mut out, about, 3, "InstrumentationScope attributes", "     ")?;
            let mut items = 0;
            each_in(scope, 2, |item| {
                let _ = writeln!(out, "{} #{items}", names.2);
                items += 1;
                match signal {
                    Signal::Traces => traces::detailed(&mut out, item)?,
                    Signal::Metrics => metrics::detailed(&mut out, item)?,
                    Signal::Logs => logs::detailed(&mut out, item)?,
                }
                if out.len() > max { Err(Malformed) } else { Ok(()) }
            })
        })
    });
    bounded(out, max, whole)
}

const fn detailed_heading(signal: Signal) -> (&'static str, &'static str, &'static str) {
    match signal {
        Signal::Traces => ("ResourceSpans", "ScopeSpans", "Span"),
        Signal::Metrics => ("ResourceMetrics", "ScopeMetrics", "Metric"),
        Signal::Logs => ("ResourceLog", "ScopeLogs", "LogRecord"),
    }
}
