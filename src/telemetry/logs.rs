//! The gateway's own log: structured lines on stderr.

use crate::config::{LogEncoding, LogLevel, LogsConfig};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sets up logging for the process; a second call changes nothing. `RUST_LOG` overrides the configured level.
pub fn init_logs(config: &LogsConfig) {
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter(config.level, std::env::var("RUST_LOG").ok().as_deref()));
    let base = base.with_writer(std::io::stderr);
    let _ = match config.encoding {
        LogEncoding::Console => base
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        LogEncoding::Json => base
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
}

/// The libraries below us speak from `warn` on; at their `debug` a busy gateway would write more than it
/// receives, and HTTP clients write headers, tokens among them.
fn filter(level: LogLevel, rust_log: Option<&str>) -> EnvFilter {
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
