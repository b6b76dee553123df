//! The gateway's own log: structured lines on stderr, or wherever it is told.

use super::json_lines::JsonLines;
use super::log_sampling::SampledLines;
use super::otlp::TelemetryError;
use super::{OwnResource, outputs::Outputs};
use crate::config::{LogEncoding, LogLevel, LogOutput, LogsConfig};
use crate::pipeline::SPAN_TARGET;
use std::io::IsTerminal;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Changes the level of a running log.
pub(super) type LogFilter = reload::Handle<EnvFilter, Registry>;

/// The log as a layer, and the handle to its filter.
pub(super) fn log_layer(
    config: &LogsConfig,
    resource: &OwnResource,
) -> Result<(Box<dyn Layer<Registry> + Send + Sync>, LogFilter), TelemetryError> {
    let outputs = Outputs::open(&config.output_paths)?;
    let rust_log = std::env::var("RUST_LOG").ok();
    let (levels, handle) = reload::Layer::new(filter(config.level, rust_log.as_deref()));
    // The spans of own traces are not lines, and must not become enabled by a generous RUST_LOG.
    let ours = filter_fn(|metadata| metadata.target() != SPAN_TARGET);
    let wanted = levels.and(ours).and(SampledLines::new(config.sampling));
    let lines = fmt::layer().with_writer(outputs);
    let layer = match config.encoding {
        LogEncoding::Console => {
            let people = config.output_paths == [LogOutput::Stderr] && std::io::stderr().is_terminal();
            let lines = lines.with_ansi(people).with_target(false);
            let fixed = config.initial_fields.clone();
            if fixed.is_empty() {
                lines.with_filter(wanted).boxed()
            } else {
                let format = super::outputs::Prefixed::new(&fixed);
                lines.event_format(format).with_filter(wanted).boxed()
            }
        }
        LogEncoding::Json => lines
            .with_ansi(false)
            .event_format(JsonLines::new(config, resource))
            .with_filter(wanted)
            .boxed(),
    };
    Ok((layer, handle))
}

/// The libraries below us speak from `warn` on; at their `debug` a busy gateway would write more than it
/// receives, and HTTP clients write headers, tokens among them.
pub(super) fn filter(level: LogLevel, rust_log: Option<&str>) -> EnvFilter {
    let configured = match level {
        LogLevel::Debug => "warn,burngate=debug",
        LogLevel::Info => "warn,burngate=info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    let wanted = rust_log
        .filter(|text| !text.trim().is_empty())
        .unwrap_or(configured);
    EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new(configured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_and_nonsense_does_not() {
        assert_eq!(filter(LogLevel::Info, Some("trace")).to_string(), "trace");
        let default = filter(LogLevel::Info, None).to_string();
        assert!(
            default.contains("burngate=info") && default.contains("warn"),
            "{default}"
        );
        assert_eq!(filter(LogLevel::Info, Some("a=b=c=d")).to_string(), default);
        assert_eq!(filter(LogLevel::Error, Some(" ")).to_string(), "error");
    }
}
