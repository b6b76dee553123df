//! The language of an indicator's `value:`.
//!
//! ```text
//! formula  = term { ("+" | "-") term }
//! term     = factor { ("*" | "/") factor }
//! factor   = number | "-" factor | "(" formula ")" | call
//! call     = ("rate" | "increase" | "delta" | "slope") "(" source "[" window "]" ")"
//!          | ("avg" | "min" | "max") "(" source [ "[" window "]" ] ")"
//!          | ("sum" | "count") "(" source ")"
//!          | ("delta" | "slope" | "avg" | "min" | "max") "(" formula "," window ")"
//!          | "quantile" "(" number "," source "[" window "]" [ "," number ] ")"
//!          | "share" "(" "{" condition "}" "," source "[" window "]" [ "," number ] ")"
//!          | "top_share" "(" attribute "," source "[" window "]" [ "," number ] ")"
//!          | "first" "(" formula { "," formula } ")"
//! source   = ( metric name | "spans" ) [ "{" condition { "," condition } "}" ]
//! window   = a duration such as 30s or 5m, in whole 10 s
//! ```
//!
//! Problem: a leading indicator is a line of arithmetic over metrics that other people named. Property
//! wanted: what can be known to be nonsense is refused when the policy is read, with its column; and what is
//! worked out needs only a bounded number of samples, known beforehand ([`Formula::reach_secs`]). The
//! conditions in braces are those of `bad:` ([`crate::sli::expr`]). Rejected: PromQL. Its staleness, its
//! extrapolation and its vector matching belong to a database that has every sample; the few functions here
//! say what they do with gaps and resets in one sentence each.

#[cfg(test)]
mod arbitrary;
mod lexer;
mod parser;
mod print;
#[cfg(test)]
mod tests;

use crate::sli::expr::{Expr, Field};
use std::str::FromStr;

/// Longest formula, in bytes.
pub const FORMULA_BYTES_MAX: usize = 4096;
/// Deepest nesting of parentheses and functions.
pub const FORMULA_DEPTH_MAX: u32 = 16;
/// Sources that one formula may read.
pub const FORMULA_SOURCES_MAX: usize = 16;
/// Longest reach into the past: windows, and windows of windows.
pub const REACH_SECS_MAX: u64 = 3600;

/// What an indicator's value is worked out from.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// A number.
    Number(f64),
    /// Minus something.
    Negative(Box<Formula>),
    /// Two values, combined. A missing one makes the result missing; so does a division by zero.
    Binary(Operator, Box<Formula>, Box<Formula>),
    /// The first that is not missing.
    First(Vec<Formula>),
    /// A measure of what a source sent.
    Measure(Measure, Source),
    /// The value that the share `q` of all measurements in the window does not exceed.
    Quantile {
        /// Above 0 and below 1.
        q: f64,
        /// A histogram, or spans: then of their durations in seconds.
        source: Source,
        /// With fewer measurements in the window there is no value.
        at_least: f64,
    },
    /// The share of events that a condition holds of.
    Share {
        /// The condition.
        of: Expr,
        /// The events.
        source: Source,
        /// With fewer events in the window there is no value.
        at_least: f64,
    },
    /// The share of the one value of an attribute that has most events.
    TopShare {
        /// The attribute.
        key: Field,
        /// The events.
        source: Source,
        /// With fewer events in the window there is no value.
        at_least: f64,
    },
    /// How another formula's value went over a window, looked at every 10 s.
    Trend(Trend, Box<Formula>, u64),
}

/// An operation on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// A measure of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Of a counter: how much it grew a second, over the part of the window that was seen.
    Rate,
    /// Of a counter: how much it grew in the window.
    Increase,
    /// Of a level: its last value minus its first; streams that come or go change nothing.
    Delta,
    /// Of a level: its growth a second, the median over all pairs of samples.
    Slope,
    /// Of a level: the mean over streams and, with a window, over time.
    Average,
    /// Of a level: the smallest over streams and, with a window, over time.
    Least,
    /// Of a level: the largest over streams and, with a window, over time.
    Greatest,
    /// Of a level: the sum over streams, now.
    Sum,
    /// Streams that there are now.
    Count,
}

/// How a value went over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// The value now minus the value a window ago.
    Delta,
    /// Growth a second, the median over all pairs of looks.
    Slope,
    /// The mean.
    Average,
    /// The smallest.
    Least,
    /// The largest.
    Greatest,
}

/// What is measured, and over which time.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Spans or a metric.
    pub origin: Origin,
    /// What must hold of a span or a data point.
    pub condition: Option<Expr>,
    /// The window in seconds; none means now.
    pub window_secs: Option<u64>,
}

/// Where measurements come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The spans of the service.
    Spans,
    /// A metric, by its OpenTelemetry name or by the name that it has in Prometheus.
    Metric(String),
}

/// What of a source must be kept to answer a formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// How much a counter grew.
    Flow,
    /// Where a level stands.
    Level,
    /// How measurements are distributed.
    Distribution,
    /// How much each value of an attribute has of the growth.
    Keyed,
}

/// Why a text is no formula. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// Something is wrong at a place.
    #[error("{problem} at column {column}")]
    At {
        /// Where.
        column: usize,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// Too many bytes.
    #[error("the formula is {bytes} bytes long, at most {FORMULA_BYTES_MAX} are possible")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// Too many sources.
    #[error(
        "the formula reads {sources} metrics or span selections, at most {FORMULA_SOURCES_MAX} are possible"
    )]
    TooManySources {
        /// How many.
        sources: usize,
    },
    /// No metric and no spans.
    #[error("the formula reads no metric and no spans, so that its value would never change")]
    Constant,
    /// Too long a look into the past.
    #[error(
        "the formula looks back {secs} s, at most {REACH_SECS_MAX} s are possible; a window of a window adds up"
    )]
    TooFar {
        /// How far.
        secs: u64,
    },
}

impl FromStr for Formula {
    type Err = FormulaError;

    fn from_str(text: &str) -> Result<Self, FormulaError> {
        if text.len() > FORMULA_BYTES_MAX {
            return Err(FormulaError::TooLong { bytes: text.len() });
        }
        let formula = parser::parse(text)?;
        match formula.sources().len() {
            0 => return Err(FormulaError::Constant),
            sources if sources > FORMULA_SOURCES_MAX => return Err(FormulaError::TooManySources { sources }),
            _ => {}
        }
        match formula.reach_secs() {
            secs if secs > REACH_SECS_MAX => Err(FormulaError::TooFar { secs }),
            _ => Ok(formula),
        }
    }
}

impl Measure {
    const ALL: [(&'static str, Self); 9] = [
        ("rate", Self::Rate),
        ("increase", Self::Increase),
        ("delta", Self::Delta),
        ("slope", Self::Slope),
        ("avg", Self::Average),
        ("min", Self::Least),
        ("max", Self::Greatest),
        ("sum", Self::Sum),
        ("count", Self::Count),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, it)| *it)
    }

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, it)| *it == self)
            .map_or("", |(name, _)| name)
    }

    /// What must be kept of the source.
    pub fn shape(self) -> Shape {
        match self {
            Self::Rate | Self::Increase => Shape::Flow,
            _ => Shape::Level,
        }
    }
}

impl Trend {
    /// The trend that has the name of a measure.
    fn of(measure: Measure) -> Option<Self> {
        Some(match measure {
            Measure::Delta => Self::Delta,
            Measure::Slope => Self::Slope,
            Measure::Average => Self::Average,
            Measure::Least => Self::Least,
            Measure::Greatest => Self::Greatest,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Slope => "slope",
            Self::Average => "avg",
            Self::Least => "min",
            Self::Greatest => "max",
        }
    }
}

impl Formula {
    /// Every source, with the shape that is read of it and how far back; a share reads two.
    pub fn sources(&self) -> Vec<(&Source, Shape, u64)> {
        let mut found = Vec::new();
        self.collect(0, &mut found);
        found
    }

    /// How far the formula looks back, in seconds.
    pub fn reach_secs(&self) -> u64 {
        self.sources()
            .iter()
            .map(|(_, _, reach)| *reach)
            .max()
            .unwrap_or(0)
    }

    fn collect<'f>(&'f self, outer: u64, found: &mut Vec<(&'f Source, Shape, u64)>) {
        let mut add = |source: &'f Source, shape| {
            found.push((
                source,
                shape,
                source.window_secs.unwrap_or(0).saturating_add(outer),
            ));
        };
        match self {
            Self::Number(_) => {}
            Self::Negative(inner) => inner.collect(outer, found),
            Self::Binary(_, left, right) => {
                left.collect(outer, found);
                right.collect(outer, found);
            }
            Self::First(all) => all.iter().for_each(|one| one.collect(outer, found)),
            Self::Measure(measure, source) => add(source, measure.shape()),
            Self::Quantile { source, .. } => add(source, Shape::Distribution),
            Self::Share { source, .. } => add(source, Shape::Flow),
            Self::TopShare { source, .. } => add(source, Shape::Keyed),
            Self::Trend(_, inner, secs) => inner.collect(outer.saturating_add(*secs), found),
        }
    }

    fn has_trend(&self) -> bool {
        match self {
            Self::Trend(..) => true,
            Self::Negative(inner) => inner.has_trend(),
            Self::Binary(_, left, right) => left.has_trend() || right.has_trend(),
            Self::First(all) => all.iter().any(Self::has_trend),
            _ => false,
        }
    }
}
