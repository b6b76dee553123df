//! Numbers of attributes and policies, compared exactly.
//!
//! An integer is not turned into a float to be compared with one: above 2^53 that would make different
//! numbers equal.

use super::expr::Literal;
use std::cmp::Ordering;

/// An integer or a float.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

/// 2^63, the first float above every `i64`.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// Longest text that is read as a number: the longest `f64` that anybody prints has 24 characters.
const TEXT_BYTES_MAX: usize = 40;

impl Number {
    /// The number that a text spells, as in an attribute sent as the string "500".
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX
            || !text.first()?.is_ascii_digit() && !matches!(text[0], b'-' | b'+' | b'.')
        {
            return None;
        }
        Self::from_literal(&Literal::number(std::str::from_utf8(text).ok()?)?)
    }

    /// The number of a literal, also of one that is a text.
    pub(super) fn from_literal(literal: &Literal) -> Option<Self> {
        match literal {
            Literal::Int(whole) => Some(Self::Int(*whole)),
            Literal::Float(float) => Some(Self::Float(*float)),
            Literal::Text(text) => Self::from_text(text.as_bytes()),
            Literal::Bool(_) | Literal::DurationNanos(_) => None,
        }
    }

    /// The order of two numbers; `None` when one is not a number.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Int(b)) => compare_mixed(b, a).map(Ordering::reverse),
        }
    }
}

fn compare_mixed(whole: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    let Some(truncated) = truncated(float) else {
        return Some(if float > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        });
    };
    Some(
        whole
            .cmp(&truncated)
            .then_with(|| 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)),
    )
}

/// The whole part of a float, if an `i64` can hold it.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the range is checked; the fraction is meant to go"
)]
pub(super) fn truncated(float: f64) -> Option<i64> {
    (-TWO_POW_63..TWO_POW_63).contains(&float).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_beyond_the_mantissa_stay_apart() {
        let big = 1_i64 << 53;
        assert_eq!(compare_mixed(big + 1, big as f64), Some(Ordering::Greater));
        assert_eq!(compare_mixed(i64::MAX, TWO_POW_63), Some(Ordering::Less));
        assert_eq!(compare_mixed(i64::MIN, -TWO_POW_63), Some(Ordering::Equal));
        assert_eq!(compare_mixed(0, f64::NEG_INFINITY), Some(Ordering::Greater));
        assert_eq!(compare_mixed(-1, -1.5), Some(Ordering::Greater));
        assert_eq!(compare_mixed(1, f64::NAN), None);
    }

    #[test]
    fn only_decimal_notation_is_a_number() {
        for text in ["500", "-1", "+2", "1.5", ".5", "1e3"] {
            assert!(Number::from_text(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "", "-", ".", "nan", "inf", "-inf", "0x10", "5 ", " 5", "5xx", "1e999", "infinity",
        ] {
            assert!(Number::from_text(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn small_mixed_comparisons_agree_with_floats(a in -1_000_000_i64..1_000_000, b in -1e6_f64..1e6) {
            prop_assert_eq!(compare_mixed(a, b), (a as f64).partial_cmp(&b));
        }
    }
}
