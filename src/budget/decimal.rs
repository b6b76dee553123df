//! Decimal numbers as integers: `99.95` at scale 9 is 99,950,000,000.
//!
//! `f64` cannot hold 99.95, so a target read through it would be off by a hair, and a strict comparison at
//! the threshold would flip. Only plain decimals are read: no exponent, no sign, no separators.

/// Why a text is not a plain decimal at the wanted scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Something else than digits and one point.
    #[error("not a plain decimal number such as 99.95")]
    NotANumber,
    /// More digits after the point than the scale keeps.
    #[error("has more than {0} digits after the point")]
    TooFine(u32),
    /// Beyond what the integer holds.
    #[error("is too large")]
    TooLarge,
}

/// Reads `text` as an integer number of `10^-scale`.
pub(crate) fn parse(text: &str, scale: u32) -> Result<u64, DecimalError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || text.is_empty() || text == "." {
        return Err(DecimalError::NotANumber);
    }
    let missing = usize::try_from(scale)
        .ok()
        .and_then(|scale| scale.checked_sub(fraction.len()))
        .ok_or(DecimalError::TooFine(scale))?;
    let mut value: u64 = 0;
    for digit in whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', missing))
    {
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(u64::from(digit - b'0')))
            .ok_or(DecimalError::TooLarge)?;
    }
    Ok(value)
}

/// Writes `value` at `scale` without trailing zeros: the shortest text that [`parse`] reads back.
pub(crate) fn write(f: &mut std::fmt::Formatter<'_>, value: u64, scale: u32) -> std::fmt::Result {
    let one = 10_u64.saturating_pow(scale);
    let (whole, fraction) = (value / one, value % one);
    if fraction == 0 {
        return write!(f, "{whole}");
    }
    let digits = format!("{fraction:0width$}", width = scale as usize);
    write!(f, "{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Shown(u64, u32);
    impl std::fmt::Display for Shown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write(f, self.0, self.1)
        }
    }

    #[test]
    fn reads_plain_decimals_exactly() {
        for (text, scale, want) in [
            ("99.95", 9, 99_950_000_000),
            ("7", 6, 7_000_000),
            (".5", 3, 500),
            ("1.", 3, 1000),
        ] {
            assert_eq!(parse(text, scale), Ok(want), "{text}");
        }
        assert_eq!(
            parse("14.400000", 2),
            Ok(1440),
            "trailing zeros are not digits that matter"
        );
    }

    #[test]
    fn refuses_what_is_not_a_plain_decimal() {
        for text in ["", ".", "-1", "+1", "1e3", "1_000", "1.2.3", "NaN", " 1"] {
            assert_eq!(parse(text, 6), Err(DecimalError::NotANumber), "{text:?}");
        }
        assert_eq!(parse("0.1234", 3), Err(DecimalError::TooFine(3)));
        assert_eq!(parse("99999999999999999999", 0), Err(DecimalError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in 0..u64::MAX / 10, scale in 0u32..10) {
            prop_assert_eq!(parse(&Shown(value, scale).to_string(), scale), Ok(value));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", scale in 0u32..12) {
            let _ = parse(&text, scale);
        }
    }
}
