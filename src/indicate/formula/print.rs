//! Text that parses to the same formula.

use super::lexer::is_name_char;
use super::{Formula, Operator, Origin, Source};
use crate::config::format_duration;
use std::fmt;
use std::time::Duration;

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = |f: &mut fmt::Formatter<'_>, at_least: f64| {
            if at_least > 1.0 {
                write!(f, ", {at_least}")?;
            }
            f.write_str(")")
        };
        match self {
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Negative(inner) => {
                f.write_str("-")?;
                bracketed(f, inner, matches!(**inner, Self::Binary(..)))
            }
            Self::Binary(operator, left, right) => {
                bracketed(f, left, operator.binds_closer_than(left, false))?;
                write!(f, " {} ", operator.symbol())?;
                bracketed(f, right, operator.binds_closer_than(right, true))
            }
            Self::First(all) => {
                f.write_str("first(")?;
                for (nth, one) in all.iter().enumerate() {
                    write!(f, "{}{one}", if nth > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            Self::Measure(measure, source) => write!(f, "{}({source})", measure.name()),
            Self::Quantile { q, source, at_least } => {
                write!(f, "quantile({q:?}, {source}")?;
                least(f, *at_least)
            }
            Self::Share { of, source, at_least } => {
                write!(f, "share({{{of}}}, {source}")?;
                least(f, *at_least)
            }
            Self::TopShare {
                key,
                source,
                at_least,
            } => {
                write!(f, "top_share({}, {source}", in_formula(&key.to_string()))?;
                least(f, *at_least)
            }
            Self::Trend(trend, inner, secs) => write!(f, "{}({inner}, {})", trend.name(), shown(*secs)),
        }
    }
}

fn bracketed(f: &mut fmt::Formatter<'_>, inner: &Formula, in_brackets: bool) -> fmt::Result {
    if in_brackets {
        write!(f, "({inner})")
    } else {
        write!(f, "{inner}")
    }
}

/// A field's own text has backticks where it needs them by its own rules; here more characters need them.
fn in_formula(field: &str) -> String {
    let is_bare =
        field.chars().all(is_name_char) && !field.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if is_bare {
        field.to_owned()
    } else {
        format!("`{}`", field.replace('`', ""))
    }
}

fn shown(secs: u64) -> String {
    format_duration(Duration::from_secs(secs))
}

impl Operator {
    pub(super) fn symbol(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }

    fn strength(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 0,
            Self::Multiply | Self::Divide => 1,
        }
    }

    /// Whether an operand needs brackets. Equal strength on the right needs them too: `a - (b - c)`.
    fn binds_closer_than(self, operand: &Formula, on_the_right: bool) -> bool {
        match operand {
            Formula::Binary(inner, ..) if on_the_right => inner.strength() <= self.strength(),
            Formula::Binary(inner, ..) => inner.strength() < self.strength(),
            _ => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some(condition) = &self.condition {
            write!(f, "{{{condition}}}")?;
        }
        match self.window_secs {
            Some(secs) => write!(f, "[{}]", shown(secs)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spans => f.write_str("spans"),
            Self::Metric(name) => {
                let is_bare = name.chars().all(is_name_char)
                    && !name.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                    && name != "spans";
                if is_bare {
                    f.write_str(name)
                } else {
                    write!(f, "`{name}`")
                }
            }
        }
    }
}
