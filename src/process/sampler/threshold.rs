//! Thresholds of consistent sampling: 56 bits, an item passes when its randomness is at or above.

/// One more than the largest randomness.
pub(super) const WHOLE: u64 = 1 << 56;
/// Hexadecimal digits of 56 bits.
const DIGITS: u32 = 14;

/// Randomness below which items are rejected; [`WHOLE`] rejects all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Threshold(u64);

impl Threshold {
    /// All pass.
    pub(super) const ALWAYS: Self = Self(0);
    /// None passes.
    pub(super) const NEVER: Self = Self(WHOLE);

    /// Of the lower 14 bits of a hash: so many of 2^14 are rejected.
    pub(super) const fn of_14_bits(rejected: u64) -> Self {
        Self(rejected << 42)
    }

    /// For a share of all, cut to so many hexadecimal digits that the figure stays about right: near 0 and 1
    /// more are needed, as leading digits say nothing there.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share between 2^-56 and 1"
    )]
    pub(super) fn of_share(share: f64, digits: u32) -> Self {
        if share >= 1.0 {
            return Self::ALWAYS;
        }
        if share <= 0.0 {
            return Self::NEVER;
        }
        let share = share.max(1.0 / WHOLE as f64);
        let zeros = |of: f64| leading_zero_bits(of) / 4;
        let digits = digits
            .saturating_add(zeros(share).max(zeros(1.0 - share)))
            .min(DIGITS);
        let exact = WHOLE - (share * WHOLE as f64).round() as u64;
        let shift = 4 * (DIGITS - digits);
        if shift == 0 {
            return Self(exact);
        }
        let rounded = (exact + (1 << (shift - 1))) >> shift << shift;
        // Rounding must not turn a little into nothing.
        Self(if rounded >= WHOLE { exact } else { rounded })
    }

    /// The share of all that passes.
    pub(super) fn share(self) -> f64 {
        (WHOLE - self.0) as f64 / WHOLE as f64
    }

    pub(super) const fn lets_pass(self, randomness: u64) -> bool {
        randomness >= self.0
    }

    /// As `th` has it: hexadecimal, without zeros at its end.
    pub(super) fn text(self) -> String {
        let digits = format!("{:014x}", self.0);
        match digits.trim_end_matches('0') {
            "" => "0".to_owned(),
            some => some.to_owned(),
        }
    }

    /// What `th` says.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > DIGITS as usize || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let padded = format!("{text:0<14}");
        u64::from_str_radix(&padded, 16).ok().map(Self)
    }
}

/// Zeros behind the point of a number between 0 and 1, in binary.
fn leading_zero_bits(number: f64) -> u32 {
    if number <= 0.0 {
        return 0;
    }
    let exponent = (number.to_bits() >> 52 & 0x7ff) as u32;
    1022u32.saturating_sub(exponent)
}

/// What `rv` says: 14 hexadecimal digits.
pub(super) fn parse_randomness(text: &str) -> Option<u64> {
    let is_hex = text.len() == DIGITS as usize && text.bytes().all(|c| c.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// As `rv` has it.
pub(super) fn randomness_text(randomness: u64) -> String {
    format!("{randomness:014x}")
}

/// The last 56 bits of a trace id, which W3C Trace Context level 2 says are random. An id of zeros has none.
pub(super) fn randomness_of_trace(id: &[u8]) -> Option<u64> {
    if id.len() != 16 || id.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(
        id.iter()
            .skip(9)
            .fold(0, |bits, byte| bits << 8 | u64::from(*byte)),
    )
}

/// A hash of any bytes as randomness. The decision has 14 bits, which stand first, turned round so that a
/// threshold rejects what the Collector's hash rejects; the rest is filled with what else the hash has.
pub(super) fn randomness_of_hash(bytes: &[u8], seed: u32) -> u64 {
    let hash = fnv_1a(seed.to_le_bytes().iter().chain(bytes));
    let (low, high) = (u64::from(hash & 0x3fff), u64::from(hash >> 14));
    (0x3fff - low) << 42 | ((high ^ high << 10) & 0xfff_ffff) << 14 | low
}

fn fnv_1a<'b>(bytes: impl Iterator<Item = &'b u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_written_as_the_specification_writes_them() {
        for (share, text) in [
            (1.0, "0"),
            (0.5, "8"),
            (0.25, "c"),
            (0.1, "e666"),
            (0.01, "fd70a"),
            (1.0 / 3.0, "aaab"),
            (0.001, "ffbe77"),
        ] {
            assert_eq!(Threshold::of_share(share, 4).text(), text, "{share}");
        }
        assert_eq!(Threshold::of_share(0.0, 4), Threshold::NEVER);
        assert!(Threshold::of_share(1e-30, 4) < Threshold::NEVER);
    }

    #[test]
    fn a_hash_is_the_published_fnv_1a() {
        assert_eq!(fnv_1a(b"foobar".iter()), 0xbf9c_f968);
        assert_eq!(fnv_1a([].iter()), 0x811c_9dc5);
    }

    #[test]
    fn a_hash_passes_when_its_14_bits_are_below_the_rate() {
        for (nth, seed) in (0u32..2000).zip(7..) {
            let bytes = nth.to_be_bytes();
            let hash = fnv_1a(u32::to_le_bytes(seed).iter().chain(&bytes)) & 0x3fff;
            let passes = Threshold::of_14_bits(0x4000 - 1638).lets_pass(randomness_of_hash(&bytes, seed));
            assert_eq!(passes, hash < 1638);
        }
    }

    #[test]
    fn broken_texts_are_no_thresholds() {
        for text in ["", "g", "0x1", "123456789abcdef", "+1"] {
            assert_eq!(Threshold::parse(text), None, "{text}");
        }
        assert_eq!(parse_randomness("123456789abcde"), Some(0x0012_3456_789a_bcde));
        assert_eq!(parse_randomness("123"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits in 0..WHOLE) {
            let threshold = Threshold(bits);
            prop_assert_eq!(Threshold::parse(&threshold.text()), Some(threshold));
            prop_assert_eq!(parse_randomness(&randomness_text(bits)), Some(bits));
        }

        #[test]
        fn a_share_is_kept_to_its_digits(share in 1e-9..1.0f64, digits in 1u32..14) {
            let kept = Threshold::of_share(share, digits).share();
            prop_assert!((kept - share).abs() <= share / f64::from(1 << digits.min(8)), "{} {}", share, kept);
        }
    }
}
