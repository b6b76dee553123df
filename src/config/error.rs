//! What is wrong with a configuration, each thing with its place and the way out.

use std::fmt::{self, Write};

/// A place in one of the sources; lines and columns count from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which of the sources, counted from zero in the order in which they were merged.
    pub source: usize,
    /// Line; zero in a source of one value, such as `--set`.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong, or odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if the problem stands somewhere.
    pub at: Option<Place>,
    /// Path of the key, such as `receivers.otlp.protocols.grpc`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what was expected, never with the value of a secret.
    pub message: String,
}

impl Problem {
    /// The source, and the line in it where there are lines.
    fn write_place(&self, sources: &[String], with_column: bool, out: &mut impl Write) -> fmt::Result {
        let Some(at) = self.at else {
            return out.write_str(&sources.join(", "));
        };
        out.write_str(sources.get(at.source).map_or("configuration", String::as_str))?;
        if at.line > 0 {
            write!(out, ":{}", at.line)?;
            if with_column {
                write!(out, ":{}", at.column)?;
            }
        }
        Ok(())
    }

    /// As compilers write it: `file:line:column: path: what`.
    fn write(&self, sources: &[String], with_column: bool, out: &mut impl Write) -> fmt::Result {
        self.write_place(sources, with_column, out)?;
        if !self.path.is_empty() {
            write!(out, ": {}", self.path)?;
        }
        write!(out, ": {}", self.message)
    }

    /// As a warning: `file:line: path: what`.
    pub(super) fn warning(&self, sources: &[String]) -> String {
        let mut out = String::new();
        let _ = self.write(sources, false, &mut out);
        out
    }
}

/// Everything that is wrong with a configuration, so that one run shows it all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The sources, as they were named, in the order in which they were merged.
    pub sources: Vec<String>,
    /// At least one, in the order of the sources.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// A problem of a source as a whole.
    pub(super) fn whole(source: String, message: String) -> Self {
        Self {
            sources: vec![source],
            problems: vec![Problem {
                at: None,
                path: String::new(),
                message,
            }],
        }
    }
}

impl fmt::Display for ConfigError {
    /// One line a problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            problem.write(&self.sources, true, f)?;
        }
        Ok(())
    }
}
