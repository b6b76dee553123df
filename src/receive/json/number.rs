//! Numbers as OTLP/JSON writes them: exact integers, and doubles with names for what JSON has no digits for.

use super::error::ErrorKind;

/// Digits that surely fit an `i128`, zeros of an exponent included.
const MAX_DIGITS: usize = 38;

const WHOLE: ErrorKind = ErrorKind::Value("an integer is expected");
const RANGE: ErrorKind = ErrorKind::Value("the integer is out of range");

/// The length of the JSON number that `text` starts with; `None` if it starts with none.
pub(super) fn scan(text: &[u8]) -> Option<usize> {
    let mut at = usize::from(text.first() == Some(&b'-'));
    let digits = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    match text.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at += digits(at),
        _ => return None,
    }
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        if at > text.len() {
            return None;
        }
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

/// The integer that `text` is, within `min..=max`. Forms such as `1e3` and `2.50e1` count if they are whole.
pub(super) fn integer(text: &str, min: i128, max: i128) -> Result<i128, ErrorKind> {
    let bytes = text.as_bytes();
    let value = if let Some(value) = plain(bytes) {
        value
    } else {
        if scan(bytes) != Some(bytes.len()) {
            return Err(WHOLE);
        }
        scientific(text)?
    };
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(RANGE)
    }
}

/// Nothing but digits, at most as many as fit: nearly all integers.
fn plain(bytes: &[u8]) -> Option<i128> {
    let (negative, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits
        .iter()
        .fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    Some(if negative { -magnitude } else { magnitude })
}

/// A JSON number with a fraction, an exponent or many digits.
fn scientific(text: &str) -> Result<i128, ErrorKind> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let negative = whole.starts_with('-');
    let fraction = fraction.trim_end_matches('0');
    let digits: String = whole
        .trim_start_matches('-')
        .chars()
        .chain(fraction.chars())
        .collect();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    // Of an exponent that does not fit only the sign matters.
    let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    });
    let shift = exponent.saturating_sub(i64::try_from(fraction.len()).unwrap_or(i64::MAX));
    let moved = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
    let (digits, zeros) = if shift < 0 {
        let (kept, cut) = digits
            .split_at_checked(digits.len().saturating_sub(moved))
            .ok_or(WHOLE)?;
        if kept.is_empty() || cut.bytes().any(|b| b != b'0') {
            return Err(WHOLE);
        }
        (kept, 0)
    } else {
        (digits, moved)
    };
    if digits.len().saturating_add(zeros) > MAX_DIGITS {
        return Err(RANGE);
    }
    let magnitude = digits.bytes().chain(std::iter::repeat_n(b'0', zeros));
    let magnitude = magnitude.fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    Ok(if negative { -magnitude } else { magnitude })
}

/// The double that a JSON number is. One that only fits as infinity is an error: infinity has a name.
pub(super) fn double(text: &str) -> Result<f64, ErrorKind> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(ErrorKind::Value("the number is out of range")),
    }
}

/// The double that a string is.
pub(super) fn double_of_string(text: &str) -> Result<f64, ErrorKind> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ if scan(text.as_bytes()) == Some(text.len()) => double(text),
        _ => Err(ErrorKind::Value("a number is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIDE: (i128, i128) = (i64::MIN as i128, u64::MAX as i128);

    fn read(text: &str) -> Result<i128, ErrorKind> {
        integer(text, WIDE.0, WIDE.1)
    }

    #[test]
    fn whole_numbers_count_however_written() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0e5", 0),
            ("1e3", 1000),
            ("1.0", 1),
            ("2.50e1", 25),
            ("100e-2", 1),
            ("-1200E-2", -12),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("1.8446744073709551615e19", i128::from(u64::MAX)),
            ("00012", 12),
        ] {
            assert_eq!(read(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn fractions_and_overflows_are_errors_never_rounded() {
        for text in [
            "1.5",
            "1e-1",
            "10e-2",
            "",
            "-",
            "1e",
            "x",
            "1 ",
            " 1",
            "+1",
            "1e99",
            "18446744073709551616",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("1e99999999999999999999").is_err());
        assert!(read("1e-99999999999999999999").is_err());
    }

    #[test]
    fn numbers_end_where_the_grammar_says() {
        for (text, len) in [
            ("12,", Some(2)),
            ("0123", Some(1)),
            ("-", None),
            ("1.", None),
            ("1e+", None),
            (".5", None),
        ] {
            assert_eq!(scan(text.as_bytes()), len, "{text}");
        }
        assert_eq!(scan(b"-1.25E-7]"), Some(8));
    }

    #[test]
    fn doubles_have_names_where_json_has_no_digits() {
        assert!(double_of_string("NaN").unwrap().is_nan());
        assert_eq!(double_of_string("-Infinity"), Ok(f64::NEG_INFINITY));
        for bad in ["nan", "inf", "infinity", "+1", ".5", "1.", "", "1e999"] {
            assert!(double_of_string(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_survives_its_text(value in any::<i64>(), zeros in 0_usize..5) {
            let padded = format!("{value}.{}", "0".repeat(zeros + 1));
            prop_assert_eq!(read(&value.to_string()), Ok(i128::from(value)));
            prop_assert_eq!(read(&padded), Ok(i128::from(value)));
            prop_assert_eq!(read(&format!("{value}{}e-{zeros}", "0".repeat(zeros))), Ok(i128::from(value)));
        }

        #[test]
        fn scan_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = scan(&bytes);
        }

        #[test]
        fn number_like_text_never_panics(text in "-?[0-9]{0,30}(\\.[0-9]{0,30})?([eE][-+]?[0-9]{0,25})?") {
            let _ = read(&text);
            let _ = double_of_string(&text);
        }
    }
}
