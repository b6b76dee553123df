//! The language of `bad:` and `good:`.
//!
//! ```text
//! expression = and { ("or" | "||") and }
//! and        = unary { ("and" | "&&") unary }
//! unary      = ("not" | "!") unary | "(" expression ")" | test
//! test       = field ("==" | "=" | "!=" | "<" | "<=" | ">" | ">=") value
//!            | field ["not"] "in" ( "(" value {"," value} ")" | "[" ... "]" )
//!            | field ("=~" | "!~") string | field ["not"] "glob" string
//!            | field ["not"] "exists" | "exists" "(" field ")"
//! field      = a dotted name, or `any key` in backticks; see [`Field`]
//! value      = number | duration | true | false | bare-word | "string" | 'string'
//! ```
//!
//! Two rules decide what is easy to get wrong. **A missing attribute makes every comparison false**, `!=`,
//! `!~` and `not in` too (as SQL does): `http.response.status_code != 200` says nothing of a span without a
//! status code. `not (...)` is plain negation: `not (http.response.status_code == 200)` holds for it.
//! **Numbers are numbers however they were sent**: the integer 500 and the string "500" are equal to each
//! other and to `500`.
//!
//! Rejected: CEL and OTTL. Their crates carry functions, macros and an allocating evaluator of values; a
//! policy needs comparisons that compile to slots.

#[cfg(test)]
pub(super) mod arbitrary;
mod field;
mod lexer;
mod literal;
mod parser;
#[cfg(test)]
mod tests;
mod typing;

pub use field::{Field, Place};
pub use literal::{GlobPattern, Literal, RegexPattern};
pub use typing::{KINDS, STATUSES};

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Deepest nesting of parentheses and negations.
pub const EXPRESSION_DEPTH_MAX: u32 = 32;

/// A condition on one span.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// All hold.
    And(Vec<Expr>),
    /// At least one holds.
    Or(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
    /// One test of one field.
    Test(Test),
}

/// One test of one field. Whatever the check, it fails when the field is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// What is looked at.
    pub field: Field,
    /// Whether a present field must fail the check instead (`!=`, `not in`, `!~`).
    pub negated: bool,
    /// What it is compared with.
    pub check: Check,
}

/// What a field is compared with. An array satisfies a check when one of its elements does.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// It is there.
    Exists,
    /// It equals the value.
    Equals(Literal),
    /// It equals one of the values.
    OneOf(Vec<Literal>),
    /// It is ordered so to the number or duration.
    Ordered(Order, Literal),
    /// The regular expression occurs in it.
    Regex(RegexPattern),
    /// The whole of it matches the glob.
    Glob(GlobPattern),
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Order {
    /// Whether `ordering` (of field to literal) is of this order.
    pub fn admits(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

/// Why a text is no expression. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// Something else was expected.
    #[error("expected {expected} at column {column}, found {found}")]
    Unexpected {
        /// Where.
        column: usize,
        /// What would have been right.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A value or pattern that its field cannot be compared with.
    #[error("{problem} at column {column}")]
    Value {
        /// Where.
        column: usize,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// Too many levels.
    #[error("the expression is nested deeper than {EXPRESSION_DEPTH_MAX} levels at column {column}")]
    TooDeep {
        /// Where.
        column: usize,
    },
    /// Too many bytes.
    #[error("the expression is {bytes} bytes long, at most {EXPRESSION_BYTES_MAX} are possible")]
    TooLong {
        /// How many.
        bytes: usize,
    },
}

impl FromStr for Expr {
    type Err = ExprError;

    fn from_str(text: &str) -> Result<Self, ExprError> {
        Vocabulary::Span.parse(text)
    }
}

/// What the names in an expression mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// Of a span: `kind`, `status`, `duration` and the like are parts of it, all else is an attribute.
    Span,
    /// Of a data point: every name is an attribute, also `status` and `name`, which many metrics have.
    Attributes,
}

impl Vocabulary {
    /// Parses an expression.
    pub fn parse(self, text: &str) -> Result<Expr, ExprError> {
        parser::parse(text, self)
    }

    /// The field that a plain (not backticked) name means.
    pub fn field(self, name: &str) -> Field {
        match self {
            Self::Span => Field::from_name(name),
            Self::Attributes => Field::attribute(name),
        }
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| serde::de::Error::custom(format_args!("in {text:?}: {error}")))
    }
}

impl fmt::Display for Expr {
    /// Text that parses to the same expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(terms) => join(f, terms, " and ", |e| matches!(e, Self::And(_) | Self::Or(_))),
            Self::Or(terms) => join(f, terms, " or ", |e| matches!(e, Self::Or(_))),
            Self::Not(inner) => {
                f.write_str("not ")?;
                bracketed(f, inner, matches!(**inner, Self::And(_) | Self::Or(_)))
            }
            Self::Test(test) => test.fmt(f),
        }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    terms: &[Expr],
    word: &str,
    in_brackets: impl Fn(&Expr) -> bool,
) -> fmt::Result {
    for (i, term) in terms.iter().enumerate() {
        if i > 0 {
            f.write_str(word)?;
        }
        bracketed(f, term, in_brackets(term))?;
    }
    Ok(())
}

fn bracketed(f: &mut fmt::Formatter<'_>, inner: &Expr, in_brackets: bool) -> fmt::Result {
    if in_brackets {
        write!(f, "({inner})")
    } else {
        write!(f, "{inner}")
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            negated,
            check,
        } = self;
        let not = if *negated { "not " } else { "" };
        match check {
            Check::Exists => write!(f, "{field} {not}exists"),
            Check::Equals(value) => write!(f, "{field} {} {value}", if *negated { "!=" } else { "==" }),
            Check::OneOf(values) => {
                write!(f, "{field} {not}in (")?;
                for (i, value) in values.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{value}")?;
                }
                f.write_str(")")
            }
            Check::Ordered(order, value) => write!(f, "{field} {order} {value}"),
            Check::Regex(regex) => write!(f, "{field} {} {regex}", if *negated { "!~" } else { "=~" }),
            Check::Glob(glob) => write!(f, "{field} {not}glob {glob}"),
        }
    }
}

impl Expr {
    /// Whether a test on the span's duration is part of it.
    pub fn reads_duration(&self) -> bool {
        match self {
            Self::And(terms) | Self::Or(terms) => terms.iter().any(Self::reads_duration),
            Self::Not(inner) => inner.reads_duration(),
            Self::Test(test) => test.field == Field::Duration,
        }
    }
}
