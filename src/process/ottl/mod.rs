//! A part of OTTL, the Collector's language of conditions and statements: that which `filter` and `transform`
//! are used for.
//!
//! ```text
//! statement  = function "(" [value {"," value}] ")" ["where" condition]
//! condition  = and { "or" and }
//! and        = unary { "and" unary }
//! unary      = "not" unary | comparison
//! comparison = sum [("==" | "!=" | "<" | "<=" | ">" | ">=") sum]
//! sum        = product { ("+" | "-") product }
//! product    = primary { ("*" | "/") primary }
//! primary    = "(" condition ")" | nil | true | false | number | "text" | 0xbytes | ENUM_NAME
//!            | Function "(" ... ")" | "[" value {"," value} "]" | path
//! path       = [context "."] name { "." name } { "[" ("key" | index) "]" }
//! ```
//!
//! Property wanted: what is not understood is refused when the configuration is read, by its name and column,
//! and never skipped. So text becomes a tree without meaning ([`parser`]), and the tree becomes typed paths,
//! functions and enums of one context ([`compile`]); evaluation then cannot meet a name it does not know.
//! Rejected: the policy's own expression language, whose rules for what is missing are others.

mod assign;
mod ast;
mod compile;
mod context;
mod enums;
mod eval;
mod functions;
mod lexer;
mod parser;
mod path;
mod program;
#[cfg(test)]
mod tests;
mod value;

pub(super) use context::Context;
pub(super) use program::{Group, Pass};

/// Why a text is not understood. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at column {column}")]
pub(super) struct OttlError {
    pub(super) column: usize,
    pub(super) message: String,
}

impl OttlError {
    pub(super) fn new(column: usize, message: impl Into<String>) -> Self {
        Self {
            column,
            message: message.into(),
        }
    }
}
