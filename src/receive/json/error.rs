//! What is wrong with a JSON body, and where.

use std::fmt;

/// What is wrong, the path to it and the byte at which it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, such as `resourceSpans[0].scopeSpans[1].spans[7].traceId`; empty at the top.
    pub path: String,
    /// Bytes before it.
    pub offset: usize,
}

/// Kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// Not JSON.
    #[error("{0}")]
    Syntax(&'static str),
    /// JSON, but not what the field holds.
    #[error("{0}")]
    Value(&'static str),
    /// Deeper than we follow.
    #[error("nested more than {} levels deep", super::token::MAX_DEPTH)]
    TooDeep,
    /// The message is larger than the limit.
    #[error("the message is larger than the limit")]
    TooLarge,
}

impl ErrorKind {
    /// This, seen at `offset`.
    #[cold]
    pub(super) fn at(self, offset: usize) -> Error {
        Error {
            kind: self,
            path: String::new(),
            offset,
        }
    }
}

impl Error {
    /// The same, seen from the message that holds field `name`.
    #[cold]
    pub(super) fn in_field(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    /// The same, seen from the list that holds it at `index`.
    #[cold]
    pub(super) fn in_list(mut self, index: usize) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("[{index}]{dot}{}", self.path);
        self
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, path, offset } = self;
        if path.is_empty() {
            return write!(f, "invalid JSON at byte {offset}: {kind}");
        }
        write!(f, "invalid JSON at byte {offset}, {path}: {kind}")
    }
}
