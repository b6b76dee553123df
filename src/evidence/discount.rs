//! How much a bad event counts when bad events come in clusters.
//!
//! One user who retries, one pod that dies, one batch that is rejected: ten bad events, one cause, and all on
//! the same arm. Taken for ten independent ones they blame a healthy flag within hours. The cure is to raise
//! what a block pays to a power below 1: if no cluster is larger than `c`, the power `1 / c` keeps the bet
//! fair (Jensen), and in a block with `B` bad events no cluster is larger than `B`. So
//!
//! ```text
//! power(B) = 1 / B, but at least 1 / widest and at most 1 / usual
//! ```
//!
//! `usual` is the overdispersion that was measured, with a margin. `widest` is for the tail: sizes of
//! clusters vary, a cluster of four times the usual size must not count as four, and a block that holds no
//! more than one wide cluster counts as one event, whatever is in it.
//!
//! Rejected: `1 / usual` alone. It is right for clusters of one size. With geometric sizes of mean 3, and phi
//! as the mean of the ratios of blocks, up to 11 of 2,000 healthy flags were blamed in a simulated day.

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Discount {
    pub(super) usual: f64,
    pub(super) widest: f64,
}

/// By how much more than was measured bad events are taken to cluster.
const MARGIN: f64 = 1.2;
/// How many times the excess over 1 that was measured a cluster may be wide. Of geometric sizes one in 400,
/// or fewer, are wider.
const WIDE: f64 = 3.0;

impl Discount {
    /// Every bad event counts: for those who know that bad events are independent.
    pub const NONE: Self = Self {
        usual: 1.0,
        widest: 1.0,
    };

    /// Before anything was measured: clusters of two at most, so that a lone bad event counts (nearly) whole
    /// and each of several a half.
    pub const DEFAULT: Self = Self {
        usual: MARGIN,
        widest: 2.0,
    };

    /// For an overdispersion of `phi`: the variance of how bad events fall, over what independent ones would
    /// have.
    pub fn of(phi: f64) -> Self {
        let phi = if phi.is_finite() { phi.max(1.0) } else { 1.0 };
        Self {
            usual: MARGIN * phi,
            widest: MARGIN * (1.0 + WIDE * (phi - 1.0)),
        }
    }

    /// The power for a block with so many bad events.
    pub fn power(self, bad: f64) -> f64 {
        1.0 / bad.clamp(self.usual, self.widest.max(self.usual))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::near;
    use super::*;

    #[test]
    fn unmeasured_is_a_half_of_each_of_several_and_independent_is_nearly_one() {
        for bad in [1.0, 2.0, 50.0] {
            near(
                Discount::DEFAULT.power(bad),
                if bad > 1.0 { 0.5 } else { 1.0 / 1.2 },
                1e-12,
            );
            near(Discount::NONE.power(bad), 1.0, 0.0);
            near(Discount::of(1.0).power(bad), 1.0 / 1.2, 1e-12);
            near(Discount::of(0.3).power(bad), 1.0 / 1.2, 1e-12);
        }
        assert_eq!(Discount::of(f64::NAN), Discount::of(1.0));
    }

    #[test]
    fn a_block_that_may_be_one_cluster_counts_as_one_event() {
        let discount = Discount::of(5.0);
        near(discount.power(1.0), 1.0 / 6.0, 1e-12);
        near(discount.power(10.0), 0.1, 1e-12);
        near(discount.power(1000.0), 1.0 / 15.6, 1e-12);
    }
}
