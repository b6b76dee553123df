//! From a duration to its bucket on OpenTelemetry's exponential scale, in integers.
//!
//! At scale 4 an octave has sixteen buckets (2^(i/16), 2^((i+1)/16)], in nanoseconds. A value is told by the
//! geometric middle of its bucket, so that it is off by at most 2^(1/32) - 1, which is 2.2 %. Two histograms
//! on one scale merge by adding, exactly. Rejected: a sketch that adapts its buckets (merging depends on the
//! order), and logarithms (the last bit is the processor's).

/// Buckets of an octave.
const PER_OCTAVE: u16 = 16;
/// Buckets in all: those of 64 octaves, and one for what takes no time.
pub(super) const SLOTS: usize = 1_025;
/// How far a quantile may be off: 2^(1/32) - 1, rounded up.
pub const RELATIVE_ERROR: f64 = 0.022;

/// 2^(k/16) times 2^63, rounded down.
const BOUNDS: [u64; 16] = [
    0x8000_0000_0000_0000,
    0x85aa_c367_cc48_7b14,
    0x8b95_c1e3_ea8b_d6e6,
    0x91c3_d373_ab11_c336,
    0x9837_f051_8db8_a96f,
    0x9ef5_3260_91a1_11ad,
    0xa5fe_d6a9_b151_38ea,
    0xad58_3eea_42a1_4ac6,
    0xb504_f333_f9de_6484,
    0xbd08_a39f_580c_36be,
    0xc567_2a11_5506_dadd,
    0xce24_8c15_1f84_80e3,
    0xd744_fcca_d69d_6af4,
    0xe0cc_deec_2a94_e111,
    0xeac0_c6e7_dd24_392e,
    0xf525_7d15_2486_cc2c,
];

/// The bucket of a duration; 0 is up to a nanosecond.
#[inline]
pub(in crate::ledger) fn slot_of(nanos: u64) -> u16 {
    if nanos <= 1 {
        return 0;
    }
    let zeros = nanos.leading_zeros();
    let whole = nanos << zeros;
    let octave = u16::try_from(63 - zeros).unwrap_or(63);
    let within = BOUNDS.partition_point(|bound| *bound < whole);
    // A power of two is the upper bound of the bucket before: nothing lies below it, and `within` is 0.
    octave * PER_OCTAVE + u16::try_from(within).unwrap_or(PER_OCTAVE)
}

/// The duration that stands for a bucket, in nanoseconds.
pub(super) fn nanos_of(slot: usize) -> f64 {
    if slot == 0 {
        return 1.0;
    }
    ((slot as f64 - 0.5) / f64::from(PER_OCTAVE)).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn powers_of_two_are_upper_bounds() {
        assert_eq!((slot_of(0), slot_of(1), slot_of(2)), (0, 0, 16));
        for octave in 1..64u16 {
            let power = 1u64 << octave;
            assert_eq!(slot_of(power), octave * 16, "{octave}");
            if octave > 5 {
                assert_eq!(slot_of(power + 1), octave * 16 + 1, "{octave}");
            }
        }
        assert_eq!(usize::from(slot_of(u64::MAX)), SLOTS - 1);
    }

    proptest! {
        #[test]
        fn a_bucket_tells_its_values_to_the_stated_error(nanos in 2u64..u64::MAX) {
            let told = nanos_of(usize::from(slot_of(nanos)));
            let off = (told / nanos as f64 - 1.0).abs();
            prop_assert!(off <= RELATIVE_ERROR, "{} {} {}", nanos, told, off);
        }

        #[test]
        fn longer_is_never_in_a_lower_bucket(a in any::<u64>(), b in any::<u64>()) {
            prop_assert!(slot_of(a.min(b)) <= slot_of(a.max(b)));
        }
    }
}
