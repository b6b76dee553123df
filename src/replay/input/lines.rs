//! `.jsonl`: OTLP/JSON, a request a line, its first member saying which signal it is.

use super::super::error::ReplayError;
use super::{Loading, RECORD_MAX};
use crate::pipeline::Signal;
use crate::receive::json;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io::{self, BufRead, Read as _};

/// Reads a file to its end, or to where it cannot be unpacked.
pub(super) fn read(reader: &mut dyn BufRead, loading: &mut Loading) -> Result<(), ReplayError> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        match next(reader, &mut line) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                loading.problem(number, format!("{error}; the rest of the file is not read"));
                break;
            }
        }
        if line.len() > RECORD_MAX {
            loading.problem(number, format!("longer than {RECORD_MAX} bytes"));
            continue;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let decoded = signal_of(text).and_then(|signal| {
            let bytes = json::decode(signal, text, RECORD_MAX).map_err(|e| e.to_string())?;
            Ok((signal, bytes))
        });
        match decoded {
            Ok((signal, bytes)) => loading.request(number, signal, bytes)?,
            Err(reason) => loading.problem(number, reason),
        }
    }
    Ok(())
}

/// The next line; of one that is too long the beginning. `false` at the end.
fn next(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let limit = RECORD_MAX as u64 + 2;
    let read = (&mut *reader).take(limit).read_until(b'\n', line)?;
    if read as u64 == limit && !line.ends_with(b"\n") {
        skip_line(reader)?;
    }
    Ok(read > 0)
}

fn skip_line(reader: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = memchr::memchr(b'\n', buffer);
        let (used, done) = end.map_or((buffer.len(), buffer.is_empty()), |at| (at + 1, true));
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}

#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "resourceSpans")]
    spans: Option<IgnoredAny>,
    #[serde(rename = "resourceMetrics")]
    metrics: Option<IgnoredAny>,
    #[serde(rename = "resourceLogs")]
    logs: Option<IgnoredAny>,
}

fn signal_of(text: &[u8]) -> Result<Signal, String> {
    // Nearly always the first member says it.
    let first = text
        .strip_prefix(b"{")
        .and_then(|rest| rest.trim_ascii_start().strip_prefix(b"\""));
    for (name, signal) in [
        (&b"resourceSpans\""[..], Signal::Traces),
        (b"resourceMetrics\"", Signal::Metrics),
        (b"resourceLogs\"", Signal::Logs),
    ] {
        if first.is_some_and(|rest| rest.starts_with(name)) {
            return Ok(signal);
        }
    }
    let shape: Shape = serde_json::from_slice(text).map_err(|e| format!("not JSON: {e}"))?;
    if shape.spans.is_some() {
        Ok(Signal::Traces)
    } else if shape.metrics.is_some() {
        Ok(Signal::Metrics)
    } else if shape.logs.is_some() {
        Ok(Signal::Logs)
    } else {
        Err("no OTLP request: neither resourceSpans nor resourceMetrics nor resourceLogs".to_owned())
    }
}
