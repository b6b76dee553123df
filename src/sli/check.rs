//! Checks on one value, compiled.

use super::expr::{self, Literal, Order};
use super::glob::Glob;
use super::number::Number;
use crate::wire::{AnyValue, Value};
use std::io::Write;

/// A compiled [`expr::Check`] on an attribute or a text.
#[derive(Debug)]
pub(super) enum Check {
    Exists,
    Equals(Needle),
    OneOf(Needles),
    Ordered(Order, Number),
    Regex(Box<regex::bytes::Regex>),
    Glob(Glob),
    /// A check that no value passes; [`expr::Test::new`] lets none through.
    Never,
}

/// A value to be equal to.
#[derive(Debug)]
pub(super) struct Needle {
    text: Box<[u8]>,
    number: Option<Number>,
    boolean: Option<bool>,
    /// Written as a number: then a text equals it as a number, so that "500.0" is 500.
    numeric: bool,
}

/// Values of which one must be equal. Texts are sorted: a list of routes may be long.
#[derive(Debug)]
pub(super) struct Needles {
    texts: Box<[Box<[u8]>]>,
    /// Those that are, or spell, a number or a boolean.
    scalars: Box<[Needle]>,
}

/// Longest decimal form of a number that patterns are matched against.
const DECIMAL_BYTES_MAX: usize = 40;

impl Check {
    /// Compiles a check; the error is a regular expression's.
    pub(super) fn compile(check: &expr::Check) -> Result<Self, (String, String)> {
        Ok(match check {
            expr::Check::Exists => Self::Exists,
            expr::Check::Equals(literal) => Self::Equals(Needle::new(literal)),
            expr::Check::OneOf(literals) => Self::OneOf(Needles::new(literals)),
            expr::Check::Ordered(order, literal) => {
                Number::from_literal(literal).map_or(Self::Never, |number| Self::Ordered(*order, number))
            }
            expr::Check::Regex(pattern) => Self::Regex(Box::new(
                pattern
                    .compile()
                    .map_err(|problem| (pattern.as_str().to_owned(), problem))?,
            )),
            expr::Check::Glob(pattern) => Self::Glob(Glob::new(&pattern.0)),
        })
    }

    /// What it costs to evaluate, roughly, in comparisons of short texts.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Self::Exists | Self::Never => 0,
            Self::Equals(_) => 1,
            Self::OneOf(_) | Self::Ordered(..) => 2,
            Self::Glob(_) => 4,
            Self::Regex(_) => 32,
        }
    }

    /// Whether a value passes. Of an array one element must; an array in an array does not.
    pub(super) fn holds(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Exists, _) => true,
            (_, Value::Array(items)) => AnyValue::array_items(items)
                .filter_map(|item| item.ok()?.value().ok())
                .any(|item| self.holds_scalar(item)),
            _ => self.holds_scalar(value),
        }
    }

    fn holds_scalar(&self, value: Value<'_>) -> bool {
        match self {
            Self::Exists | Self::Never => false,
            Self::Equals(needle) => needle.equals(value),
            Self::OneOf(needles) => needles.contain(value),
            Self::Ordered(order, limit) => number_of(value)
                .and_then(|number| number.compare(*limit))
                .is_some_and(|found| order.admits(found)),
            Self::Regex(regex) => with_text(value, |text| regex.is_match(text)),
            Self::Glob(glob) => with_text(value, |text| glob.matches(text)),
        }
    }
}

impl Needle {
    fn new(literal: &Literal) -> Self {
        let text = match literal {
            Literal::Text(text) => text.clone(),
            other => other.to_string(),
        };
        let boolean = match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let numeric = matches!(literal, Literal::Int(_) | Literal::Float(_));
        Self {
            text: text.into_bytes().into(),
            number: Number::from_literal(literal),
            boolean,
            numeric,
        }
    }

    fn equals(&self, value: Value<'_>) -> bool {
        match value {
            Value::Str(text) if *text == *self.text => true,
            Value::Str(_) if !self.numeric => false,
            Value::Bool(boolean) => self.boolean == Some(boolean),
            _ => match (number_of(value), self.number) {
                (Some(found), Some(wanted)) => found.compare(wanted).is_some_and(std::cmp::Ordering::is_eq),
                _ => false,
            },
        }
    }
}

impl Needles {
    fn new(literals: &[Literal]) -> Self {
        let needles: Vec<_> = literals.iter().map(Needle::new).collect();
        let mut texts: Vec<_> = needles.iter().map(|needle| needle.text.clone()).collect();
        texts.sort_unstable();
        let scalars = needles
            .into_iter()
            .filter(|needle| needle.number.is_some() || needle.boolean.is_some());
        Self {
            texts: texts.into(),
            scalars: scalars.collect(),
        }
    }

    fn contain(&self, value: Value<'_>) -> bool {
        if let Value::Str(text) = value
            && self.texts.binary_search_by(|known| (**known).cmp(text)).is_ok()
        {
            return true;
        }
        self.scalars.iter().any(|needle| needle.equals(value))
    }
}

/// The number that a value is or spells.
fn number_of(value: Value<'_>) -> Option<Number> {
    match value {
        Value::Int(whole) => Some(Number::Int(whole)),
        Value::Double(float) => Some(Number::Float(float)),
        Value::Str(text) => Number::from_text(text),
        _ => None,
    }
}

/// Shows a value as text, so that `=~ "5.."` means the same for the integer 503 and the string "503".
fn with_text(value: Value<'_>, test: impl FnOnce(&[u8]) -> bool) -> bool {
    let mut buffer = [0_u8; DECIMAL_BYTES_MAX];
    let mut rest = &mut buffer[..];
    let written = match value {
        Value::Str(text) => return test(text),
        Value::Bool(boolean) => write!(rest, "{boolean}"),
        Value::Int(whole) => write!(rest, "{whole}"),
        Value::Double(float) => write!(rest, "{float}"),
        _ => return false,
    };
    let left = rest.len();
    written.is_ok() && test(&buffer[..DECIMAL_BYTES_MAX - left])
}
