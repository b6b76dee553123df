//! How many spans a sampled span stands for, from its W3C tracestate: `ot=th:c` says that spans with a random
//! value (56 bits) below `c0000000000000` were left out.

use super::exact::Weight;

/// Bits of a threshold.
const BITS: u32 = 56;

/// The weight, and whether it was adjusted. A state that cannot be read stands for one span.
pub(super) fn weight(trace_state: &[u8]) -> (Weight, bool) {
    match threshold(trace_state) {
        None => (Weight::ONE, false),
        Some(0) => (Weight::ONE, true),
        Some(threshold) => {
            let kept = (1u64 << BITS) - threshold;
            // 2^56 / kept in 2^-32, rounded to the nearest.
            let fixed = ((1u128 << (BITS + 32)) + u128::from(kept / 2)) / u128::from(kept);
            let whole = u64::try_from(fixed >> 32).unwrap_or(u64::MAX);
            let part = u32::try_from(fixed & 0xffff_ffff).unwrap_or(0);
            (Weight { whole, part }, true)
        }
    }
}

/// `th` of the member `ot`: one to fourteen hex digits, zeros behind them left out.
fn threshold(trace_state: &[u8]) -> Option<u64> {
    let mut members = trace_state.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let ours = members.find_map(|member| member.strip_prefix(b"ot="))?;
    let mut fields = ours.split(|byte| *byte == b';');
    let digits = fields.find_map(|field| field.strip_prefix(b"th:"))?;
    if digits.is_empty() || digits.len() > 14 {
        return None;
    }
    let mut value = 0u64;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value << (4 * (14 - digits.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_become_weights() {
        let whole = |whole| (Weight { whole, part: 0 }, true);
        assert_eq!(weight(b"ot=th:0"), whole(1));
        assert_eq!(weight(b"ot=th:8"), whole(2));
        assert_eq!(weight(b"vendor=x, ot=rv:aaaaaaaaaaaaaa;th:c,other=y"), whole(4));
        assert_eq!(weight(b"ot=th:fffffffffffffc"), whole(1 << 54));
        let (third, adjusted) = weight(b"ot=th:55555555555555");
        assert!(adjusted && third.whole == 1 && third.part.abs_diff(1 << 31) < 3);
    }

    #[test]
    fn what_cannot_be_read_stands_for_itself() {
        for state in [
            "",
            "vendor=th:8",
            "ot=",
            "ot=th:",
            "ot=th:x",
            "ot=th:123456789012345",
            "ot=th:C",
        ] {
            assert_eq!(weight(state.as_bytes()), (Weight::ONE, false), "{state}");
        }
    }
}
