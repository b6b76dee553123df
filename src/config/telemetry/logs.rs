//! `service.telemetry.logs`.

use crate::config::section::Section;
use crate::config::setting::text;
use crate::config::tree::Value;
use std::path::PathBuf;
use std::time::Duration;

/// `service.telemetry.logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsConfig {
    /// Least severity that is written; `RUST_LOG` overrides it.
    pub level: LogLevel,
    /// Shape of a line.
    pub encoding: LogEncoding,
    /// Where lines go, all of them to each.
    pub output_paths: Vec<LogOutput>,
    /// Fields that every line has.
    pub initial_fields: Vec<(String, String)>,
    /// Keeps a message that comes again and again from filling the log; `None` writes all.
    pub sampling: Option<LogSampling>,
    /// Leaves the place in the source out of a line.
    pub disable_caller: bool,
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            encoding: LogEncoding::default(),
            output_paths: vec![LogOutput::Stderr],
            initial_fields: Vec::new(),
            sampling: None,
            disable_caller: false,
        }
    }
}

/// See [`LogsConfig::level`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the meaning")]
pub enum LogLevel {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// See [`LogsConfig::encoding`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEncoding {
    /// For people.
    #[default]
    Console,
    /// One JSON object a line.
    Json,
}

/// One place that lines go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// `stderr`.
    Stderr,
    /// `stdout`.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// `sampling`: of the lines of one place in the source within `tick`, the first `initial`, and then every
/// `thereafter`-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSampling {
    /// The time over which is counted.
    pub tick: Duration,
    /// Lines that are all written.
    pub initial: u64,
    /// Of the others one in so many is written; 0 writes none.
    pub thereafter: u64,
}

impl Default for LogSampling {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(10),
            initial: 10,
            thereafter: 100,
        }
    }
}

impl LogsConfig {
    pub(super) fn read(logs: Section<'_>) -> Self {
        let mut it = Self::default();
        logs.field("level", &mut it.level);
        logs.field("encoding", &mut it.encoding);
        logs.field("disable_caller", &mut it.disable_caller);
        let mut paths = Vec::<String>::new();
        if logs.field("output_paths", &mut paths) {
            it.output_paths = paths.iter().map(|path| output(path)).collect();
        }
        it.initial_fields = initial_fields(&logs);
        if let Some(section) = logs.section("sampling") {
            let mut sampling = LogSampling::default();
            let mut enabled = true;
            section.field("enabled", &mut enabled);
            let range = Duration::from_millis(1)..=Duration::from_hours(24);
            section.ranged("tick", &mut sampling.tick, range);
            section.field("initial", &mut sampling.initial);
            section.field("thereafter", &mut sampling.thereafter);
            section.finish();
            it.sampling = enabled.then_some(sampling);
        }
        let quiet = "there are no stack traces and no errors of the logger itself to write";
        logs.without_effect(
            &["development", "disable_stacktrace", "error_output_paths"],
            quiet,
        );
        logs.unsupported_of_own(&["processors"]);
        logs.finish();
        it
    }
}

fn output(path: &str) -> LogOutput {
    match path {
        "stderr" => LogOutput::Stderr,
        "stdout" => LogOutput::Stdout,
        path => LogOutput::File(PathBuf::from(path.strip_prefix("file://").unwrap_or(path))),
    }
}

fn initial_fields(logs: &Section<'_>) -> Vec<(String, String)> {
    let Some(fields) = logs.section("initial_fields") else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in fields.entries() {
        match (text(&entry.node), &entry.node.value) {
            (Some(value), _) => read.push((entry.key.clone(), value.to_owned())),
            (None, Value::Null) => {}
            (None, _) => fields.problem(&entry.key, "expected text"),
        }
    }
    read
}
