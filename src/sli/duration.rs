//! Durations as policies write them: Go's notation (`250ms`, `1.5s`, `2m`, `1h30m`).
//!
//! Integers throughout: `1.1s` is 1,100,000,000 ns, not what a float makes of it.

/// Longest duration that a policy may name: 365 days.
const NANOS_MAX: u128 = 365 * 86_400 * 1_000_000_000;

/// Parses a positive duration into nanoseconds; `None` when `text` is not one.
pub(crate) fn parse_nanos(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u128;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        total = total.checked_add(scaled(number, unit_nanos(unit)?)?)?;
        rest = tail;
    }
    if total == 0 || total > NANOS_MAX {
        None
    } else {
        u64::try_from(total).ok()
    }
}

/// Writes nanoseconds so that [`parse_nanos`] reads the same value back: the largest unit that divides them.
pub(super) fn format_nanos(nanos: u64) -> String {
    const UNITS: [(&str, u64); 6] = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let fitting = UNITS
        .iter()
        .find(|(_, size)| nanos.is_multiple_of(*size))
        .unwrap_or(&("ns", 1));
    format!("{}{}", nanos / fitting.1, fitting.0)
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `number` times `unit`, with digits beyond a nanosecond cut, as Go does.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
        return None;
    }
    let parse = |digits: &str| {
        if digits.is_empty() {
            Some(0_u128)
        } else {
            digits.parse().ok()
        }
    };
    let places = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(parse(whole)? * unit + parse(fraction)? * unit / places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_notation_is_read_exactly() {
        let cases = [
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("1.1s", 1_100_000_000),
            ("2m", 120_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("100us", 100_000),
            ("100\u{b5}s", 100_000),
            (".5s", 500_000_000),
            ("1ns", 1),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_nanos(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_no_positive_duration_is_refused() {
        for text in [
            "",
            "5",
            "ms",
            "0s",
            "-1s",
            "1.2.3s",
            "1 s",
            "1d",
            ".s",
            "99999999h",
            "5m3",
            "1s\u{b5}",
        ] {
            assert_eq!(parse_nanos(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_reading_are_inverse(nanos in 1_u64..=u64::try_from(NANOS_MAX).unwrap()) {
            prop_assert_eq!(parse_nanos(&format_nanos(nanos)), Some(nanos));
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,40}") {
            let _ = parse_nanos(&text);
        }
    }
}
