//! `burngate audit export`.

use super::super::{EXIT_FAILURE, EXIT_USAGE, complain};
use super::source::Source;
use crate::audit::{Entry, Export};
use crate::forward::json;
use crate::pipeline::Signal;
use crate::publish::decision_log;
use crate::store::ChainRow;
use crate::time::UnixNanos;
use clap::{Args, ValueEnum};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `audit export`.
#[derive(Args, Clone, Debug)]
pub(super) struct ExportArgs {
    /// The file_storage.directory of a stopped gateway; without it and without --api, the default one
    #[arg(long, value_name = "DIR", conflicts_with = "api")]
    data: Option<PathBuf>,
    /// The API of a running gateway, such as http://127.0.0.1:8055
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only entries from this time on (RFC 3339 or Unix seconds)
    #[arg(long, value_name = "TIME", value_parser = instant, default_value = "0")]
    since: UnixNanos,
    /// Only entries before this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<UnixNanos>,
}

/// See [`ExportArgs`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines that `burngate audit verify` reads
    #[default]
    Jsonl,
    /// OTLP log events `burngate.decision`, one ExportLogsServiceRequest a line
    OtlpJson,
}

fn instant(written: &str) -> Result<UnixNanos, String> {
    if let Ok(secs) = written.parse::<u64>() {
        return Ok(UnixNanos::from_secs(secs));
    }
    let at: jiff::Timestamp = written.parse().map_err(|e| format!("{e}"))?;
    let nanos = u64::try_from(at.as_nanosecond());
    nanos.map(UnixNanos).map_err(|_| "before 1970".to_owned())
}

/// Prints what the record holds.
pub(super) fn export(args: &ExportArgs) -> ExitCode {
    let source = match &args.api {
        Some(api) => Source::api(api),
        None => Source::store(args.data.as_deref()),
    };
    let source = match source {
        Ok(source) => source,
        Err(wrong) => {
            complain(&format!("burngate: {wrong}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let out = BufWriter::new(io::stdout().lock());
    let (since, until) = (args.since, args.until.unwrap_or(UnixNanos(u64::MAX)));
    let written = match args.format {
        Format::Jsonl => jsonl(&source, out, since, until),
        Format::OtlpJson => otlp_json(&source, out, since, until),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            complain(&format!("burngate: {wrong}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// Every page, oldest first.
fn pages(source: &Source, mut take: impl FnMut(&[ChainRow]) -> Result<(), String>) -> Result<(), String> {
    let mut after = 0;
    loop {
        let page = source.page(after)?;
        match page.last() {
            Some(&(last, _)) if last > after => after = last,
            _ => return Ok(()),
        }
        take(&page)?;
    }
}

fn jsonl(source: &Source, out: impl Write, since: UnixNanos, until: UnixNanos) -> Result<(), String> {
    let mut export = Export::new(out, since, until);
    pages(source, |page| {
        page.iter()
            .try_for_each(|(_, line)| export.take(line).map_err(|e| e.to_string()))
    })?;
    export.finish().map_err(|e| e.to_string())
}

fn otlp_json(source: &Source, mut out: impl Write, since: UnixNanos, until: UnixNanos) -> Result<(), String> {
    pages(source, |page| {
        let mut entries = Vec::new();
        for (seq, line) in page {
            let entry = Entry::read(line).map_err(|e| format!("entry {seq}: {e}"))?;
            if (since..until).contains(&entry.at()) {
                entries.push(entry);
            }
        }
        if entries.is_empty() {
            return Ok(());
        }
        let mut line = Vec::new();
        json::encode(Signal::Logs, &decision_log(&entries), &mut line).map_err(|e| e.to_string())?;
        line.push(b'\n');
        out.write_all(&line).map_err(|e| e.to_string())
    })?;
    out.flush().map_err(|e| e.to_string())
}
