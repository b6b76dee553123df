//! How many spans a sampled span stands for, from its W3C tracestate.
//!
//! `ot=th:c` says that spans whose randomness (56 bits) lies below `c0000000000000` were left out, so that
//! this one stands for 2^56 / (2^56 - th). `rv` is the randomness itself, where it is not that of the trace
//! id: one below the threshold says that the sampler would have dropped this very span, so that its threshold
//! is a lie. The specification before wrote powers of two: `p:3` stands for 2^3, `p:63` for none at all, and
//! `r` is the number of leading zeros that `p` must not exceed.
//!
//! What cannot be read stands for itself: a weight is a claim about spans that nobody here has seen.

/// Bits of a threshold and of a randomness.
const BITS: u32 = 56;
/// Hexadecimal digits of 56 bits.
const DIGITS: usize = 14;
/// The `p` of spans that stand for none.
const P_NONE: u8 = 63;

/// How many spans a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Whole spans.
    pub whole: u64,
    /// What is beyond them, in 2^-32.
    pub part: u32,
}

impl Weight {
    /// Itself.
    pub const ONE: Self = Self { whole: 1, part: 0 };

    /// In 2^-32.
    pub fn fixed(self) -> u128 {
        u128::from(self.whole) << 32 | u128::from(self.part)
    }

    /// That of one in `of` of which `kept` are kept, rounded to the nearest 2^-32.
    pub fn of_share(kept: u64, of: u64) -> Self {
        let kept = u128::from(kept.clamp(1, of.max(1)));
        let fixed = ((u128::from(of.max(1)) << 32) + kept / 2) / kept;
        Self {
            whole: u64::try_from(fixed >> 32).unwrap_or(u64::MAX),
            part: u32::try_from(fixed & 0xffff_ffff).unwrap_or(0),
        }
    }
}

/// What a tracestate says of sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Nothing.
    Unsaid,
    /// The span was kept by a sampler, and stands for so many.
    Kept(Weight),
    /// It was recorded for another purpose, and stands for none.
    None,
    /// What it says contradicts itself.
    Inconsistent,
}

/// Reads a tracestate.
pub fn sampling(trace_state: &[u8]) -> Sampling {
    let Some(fields) = member(trace_state) else {
        return Sampling::Unsaid;
    };
    if let Some(threshold) = fields.of(b"th:").and_then(hex) {
        let randomness = fields.of(b"rv:").filter(|digits| digits.len() == DIGITS);
        return match randomness.and_then(hex) {
            Some(randomness) if randomness < threshold => Sampling::Inconsistent,
            _ => Sampling::Kept(weight_of(threshold)),
        };
    }
    match fields.of(b"p:").and_then(decimal) {
        None => Sampling::Unsaid,
        Some(P_NONE) => Sampling::None,
        Some(p) => match fields.of(b"r:").and_then(decimal) {
            Some(r) if r < p => Sampling::Inconsistent,
            _ => Sampling::Kept(Weight {
                whole: 1 << p,
                part: 0,
            }),
        },
    }
}

/// The weight that the Collector gives: that of the threshold alone, whatever stands beside it. `None`
/// without a threshold that can be read.
pub fn threshold_weight(trace_state: &[u8]) -> Option<Weight> {
    member(trace_state)?.of(b"th:").and_then(hex).map(weight_of)
}

fn weight_of(threshold: u64) -> Weight {
    Weight::of_share((1 << BITS) - threshold, 1 << BITS)
}

/// The value of the member `ot`.
struct Fields<'a>(&'a [u8]);

fn member(trace_state: &[u8]) -> Option<Fields<'_>> {
    let mut members = trace_state.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    members.find_map(|member| member.strip_prefix(b"ot=")).map(Fields)
}

impl<'a> Fields<'a> {
    fn of(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut fields = self.0.split(|byte| *byte == b';');
        fields.find_map(|field| field.strip_prefix(name))
    }
}

/// One to fourteen hexadecimal digits in lower case, zeros behind them left out.
fn hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > DIGITS {
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
    Some(value << (4 * (DIGITS - digits.len())))
}

/// A decimal number from 0 to 63.
fn decimal(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() || digits.len() > 2 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0u8, |value, digit| value * 10 + (digit - b'0'));
    (value <= P_NONE).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(whole: u64) -> Sampling {
        Sampling::Kept(Weight { whole, part: 0 })
    }

    #[test]
    fn thresholds_become_weights() {
        assert_eq!(sampling(b"ot=th:0"), kept(1));
        assert_eq!(sampling(b"ot=th:8"), kept(2));
        assert_eq!(sampling(b"vendor=x, ot=rv:daaaaaaaaaaaaa;th:c,other=y"), kept(4));
        assert_eq!(sampling(b"ot=th:fffffffffffffc"), kept(1 << 54));
        let Some(third) = threshold_weight(b"ot=th:55555555555555") else {
            panic!("no weight");
        };
        assert!(third.whole == 1 && third.part.abs_diff(1 << 31) < 3);
    }

    #[test]
    fn powers_of_the_older_specification_become_weights() {
        assert_eq!(sampling(b"ot=p:0;r:5"), kept(1));
        assert_eq!(sampling(b"ot=r:62;p:8"), kept(256));
        assert_eq!(sampling(b"ot=p:62"), kept(1 << 62));
        assert_eq!(sampling(b"ot=p:63;r:1"), Sampling::None);
        assert_eq!(sampling(b"ot=p:3;th:8"), kept(2), "the newer one speaks first");
    }

    #[test]
    fn a_span_that_its_own_sampler_would_have_dropped_tells_a_lie() {
        assert_eq!(sampling(b"ot=th:8;rv:7fffffffffffff"), Sampling::Inconsistent);
        assert_eq!(sampling(b"ot=th:8;rv:80000000000000"), kept(2));
        assert_eq!(sampling(b"ot=p:4;r:3"), Sampling::Inconsistent);
        assert_eq!(
            threshold_weight(b"ot=th:8;rv:0"),
            Some(Weight { whole: 2, part: 0 })
        );
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for state in [
            "",
            "vendor=th:8",
            "ot=",
            "ot=th:",
            "ot=th:x",
            "ot=th:123456789012345",
            "ot=th:C",
            "ot=p:64",
            "ot=p:",
            "ot=p:1x",
            "ot=r:3",
            "ot=rv:12345678901234",
        ] {
            assert_eq!(sampling(state.as_bytes()), Sampling::Unsaid, "{state}");
        }
    }

    proptest! {
        #[test]
        fn no_tracestate_panics(state in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = sampling(&state);
        }

        #[test]
        fn weights_are_the_reciprocal_of_the_share(threshold in 0u64..1 << BITS) {
            let fixed = weight_of(threshold).fixed() as f64 / 4_294_967_296.0;
            let share = ((1u64 << BITS) - threshold) as f64 / (1u64 << BITS) as f64;
            prop_assert!((fixed * share - 1.0).abs() < 1e-9);
        }
    }
}
