//! What is wrong with a configuration, each thing with its place and the way out.

use std::fmt;

/// A place in a file; both count from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if the problem stands somewhere.
    pub at: Option<Place>,
    /// Path of the key, such as `receivers.otlp.protocols.grpc`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what was expected, never with the value of a secret.
    pub message: String,
}

/// Everything that is wrong with a configuration, so that one run shows it all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file, as it was named.
    pub file: String,
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// A problem of the file as a whole.
    pub(super) fn whole(file: String, message: String) -> Self {
        Self {
            file,
            problems: vec![Problem {
                at: None,
                path: String::new(),
                message,
            }],
        }
    }
}

impl fmt::Display for ConfigError {
    /// One line a problem, as compilers write it: `file:line:column: path: what`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.file)?;
            if let Some(at) = problem.at {
                write!(f, ":{}:{}", at.line, at.column)?;
            }
            if !problem.path.is_empty() {
                write!(f, ": {}", problem.path)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}
