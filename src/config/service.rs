//! `service`: which of the components run, and how burngate speaks about itself.

use super::section::Section;

/// The signals that have a pipeline. A receiver refuses the others as its protocol says (UNIMPLEMENTED, 404).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// A `traces` pipeline reads from the receiver.
    pub traces: bool,
    /// A `metrics` pipeline reads from the receiver.
    pub metrics: bool,
    /// A `logs` pipeline reads from the receiver.
    pub logs: bool,
}

/// `service.telemetry.logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsConfig {
    /// Least severity that is written; `RUST_LOG` overrides it.
    pub level: LogLevel,
    /// Shape of a line.
    pub encoding: LogEncoding,
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

impl LogsConfig {
    /// Reads `service.telemetry`.
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        let logs = section.section_or_empty("logs");
        logs.field("level", &mut it.level);
        logs.field("encoding", &mut it.encoding);
        logs.unsupported(&[
            "development",
            "disable_caller",
            "disable_stacktrace",
            "sampling",
            "output_paths",
            "error_output_paths",
            "initial_fields",
            "processors",
        ]);
        logs.finish();
        section.unsupported(&["metrics", "traces", "resource"]);
        section.finish();
        it
    }
}
