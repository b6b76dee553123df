//! Why a processor cannot be built.

use crate::config::{Place, Problem};
use std::fmt;

/// What is wrong with a processor, each thing with its place in the file and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ProcessError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ProcessError {
    /// One problem of the whole processor.
    pub(super) fn whole(id: &str, message: impl Into<String>) -> Self {
        Self {
            problems: vec![problem(None, format!("processors.{id}"), message)],
        }
    }
}

/// A problem at a place.
pub(super) fn problem(at: Option<Place>, path: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem {
        at,
        path: path.into(),
        message: message.into(),
    }
}

impl fmt::Display for ProcessError {
    /// One line a problem: `line:column: path: what`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            if let Some(at) = problem.at {
                write!(f, "{}:{}: ", at.line, at.column)?;
            }
            write!(f, "{}: {}", problem.path, problem.message)?;
        }
        Ok(())
    }
}
