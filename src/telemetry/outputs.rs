//! Where log lines go, each whole.

use super::otlp::TelemetryError;
use crate::config::LogOutput;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

#[derive(Debug)]
enum Output {
    Stderr,
    Stdout,
    File(File),
}

/// All of a log's outputs. A line that one of them does not take still goes to the others.
#[derive(Clone, Debug)]
pub(super) struct Outputs(Arc<[Output]>);

impl Outputs {
    /// Opens files, to append to them; they are made when missing.
    pub(super) fn open(outputs: &[LogOutput]) -> Result<Self, TelemetryError> {
        let open = |output: &LogOutput| {
            Ok(match output {
                LogOutput::Stderr => Output::Stderr,
                LogOutput::Stdout => Output::Stdout,
                LogOutput::File(path) => {
                    let file = File::options().create(true).append(true).open(path);
                    Output::File(file.map_err(|source| TelemetryError::File {
                        path: path.clone(),
                        source,
                    })?)
                }
            })
        };
        outputs.iter().map(open).collect::<Result<_, _>>().map(Self)
    }
}

impl Write for &Outputs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        for output in self.0.iter() {
            let _ = match output {
                Output::Stderr => io::stderr().lock().write_all(line),
                Output::Stdout => io::stdout().lock().write_all(line),
                Output::File(file) => (&*file).write_all(line),
            };
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outputs {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Lines for people, with `initial_fields` in front.
#[derive(Debug)]
pub(super) struct Prefixed {
    prefix: String,
    lines: Format,
}

impl Prefixed {
    pub(super) fn new(fields: &[(String, String)]) -> Self {
        let pairs: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Self {
            prefix: pairs.join(" "),
            lines: Format::default().with_target(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Prefixed
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(out, "{} ", self.prefix)?;
        self.lines.format_event(ctx, out, event)
    }
}
