//! Which part of a histogram lies at or below a threshold.
//!
//! Exact where the threshold is a bound. Elsewhere the bucket that holds it is divided: of an explicit one
//! linearly, of an exponential one logarithmically (as Prometheus does for its native ones). The share is a
//! fraction of whole numbers, made of the decimals that people write (0.3 between 0.25 and 0.5 is one fifth),
//! and is always taken of all that the bucket has ever held: `floor(n * share)` of the reading after, minus
//! that of the reading before. So parts add up to the part of the sum, however points are cut.

use crate::wire::SummaryValue;

/// The part of an explicit histogram at or below a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Share {
    /// Buckets that lie below as a whole.
    pub(super) whole: usize,
    /// Of the bucket behind them, `of.0 / of.1` lies below.
    pub(super) of: (u64, u64),
    /// Whether the threshold is a bound.
    pub(super) is_exact: bool,
}

/// What stands for one in a share that is no fraction of decimals.
const ONE: u64 = 1 << 32;

impl Share {
    /// The share at or below `threshold` of a histogram with `bounds`; `None` when they do not ascend.
    pub(in crate::ledger) fn new(bounds: &[f64], threshold: f64) -> Option<Self> {
        if threshold.is_nan()
            || bounds.iter().any(|bound| bound.is_nan())
            || !bounds.is_sorted_by(|a, b| a < b)
        {
            return None;
        }
        let whole = bounds.partition_point(|bound| *bound < threshold);
        let inexact = |of| Self {
            whole,
            of,
            is_exact: false,
        };
        let Some(&upper) = bounds.get(whole) else {
            // Above the last bound nothing is known but that it is above: none of it is taken for fast.
            return Some(inexact((0, 1)));
        };
        if upper
            .partial_cmp(&threshold)
            .is_some_and(std::cmp::Ordering::is_eq)
        {
            return Some(Self {
                whole: whole + 1,
                of: (0, 1),
                is_exact: true,
            });
        }
        let lower = match whole.checked_sub(1).and_then(|before| bounds.get(before)) {
            Some(&lower) => lower,
            // What is measured here has no negative values, so that the first bucket begins at zero.
            None if threshold > 0.0 => 0.0,
            None => return Some(inexact((0, 1))),
        };
        Some(inexact(fraction(lower, threshold, upper)))
    }

    /// How many of `counts` lie below.
    pub(super) fn take(&self, counts: impl Iterator<Item = u64>) -> u64 {
        let mut below = 0u64;
        for (at, count) in counts.take(self.whole + 1).enumerate() {
            let part = if at < self.whole {
                count
            } else {
                part(count, self.of)
            };
            below = below.saturating_add(part);
        }
        below
    }
}

/// `floor(count * of)`.
pub(in crate::ledger) fn part(count: u64, (numerator, denominator): (u64, u64)) -> u64 {
    let product = u128::from(count) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// `(at - lower) / (upper - lower)` in lowest terms.
fn fraction(lower: f64, at: f64, upper: f64) -> (u64, u64) {
    exact_fraction(lower, at, upper).unwrap_or_else(|| {
        let share = (at - lower) / (upper - lower);
        (fixed(share), ONE)
    })
}

/// A share between zero and one, times [`ONE`].
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range just before"
)]
fn fixed(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * ONE as f64).round() as u64
}

fn exact_fraction(lower: f64, at: f64, upper: f64) -> Option<(u64, u64)> {
    let decimals = [decimal(lower)?, decimal(at)?, decimal(upper)?];
    let exponent = decimals.iter().map(|(_, exponent)| *exponent).min()?;
    let scaled = |(digits, own): (i128, i32)| -> Option<i128> {
        let power = u32::try_from(own.checked_sub(exponent)?).ok()?;
        digits.checked_mul(10i128.checked_pow(power)?)
    };
    let [lower, at, upper] = [scaled(decimals[0])?, scaled(decimals[1])?, scaled(decimals[2])?];
    let (numerator, denominator) = (at.checked_sub(lower)?, upper.checked_sub(lower)?);
    let divisor = gcd(numerator, denominator);
    Some((
        u64::try_from(numerator / divisor).ok()?,
        u64::try_from(denominator / divisor).ok()?,
    ))
}

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// The shortest decimal that is this number: digits and a power of ten.
fn decimal(number: f64) -> Option<(i128, i32)> {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let (whole, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, behind].concat().parse().ok()?;
    let behind = i32::try_from(behind.len()).ok()?;
    Some((digits, exponent.parse::<i32>().ok()? - behind))
}

/// The part of an exponential histogram at or below a positive threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PowerShare {
    /// Buckets of a lower index lie below as a whole.
    pub(super) index: i64,
    /// Of the one with the index, `of / 2^32` lies below.
    of: u64,
    /// Whether the threshold is a bound.
    pub(super) is_exact: bool,
}

impl PowerShare {
    /// The share at or below `threshold` at `scale`; `None` for a threshold that is not positive.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a float's logarithm at any scale fits"
    )]
    pub(super) fn new(scale: i32, threshold: f64) -> Option<Self> {
        if !threshold.is_finite() || threshold <= 0.0 || !(-64..=64).contains(&scale) {
            return None;
        }
        // Bucket i holds (b^i, b^(i+1)] with b = 2^(2^-scale).
        let at = threshold.log2() * f64::from(scale).exp2();
        let index = at.ceil() - 1.0;
        let of = fixed(at - index);
        Some(Self {
            index: index as i64,
            of,
            is_exact: of == ONE,
        })
    }

    /// How much of the bucket at `index` lies below.
    pub(super) fn of(&self, index: i64, count: u64) -> u64 {
        match index.cmp(&self.index) {
            std::cmp::Ordering::Less => count,
            std::cmp::Ordering::Equal => part(count, (self.of, ONE)),
            std::cmp::Ordering::Greater => 0,
        }
    }
}

/// Which share of its observations a summary puts at or below `threshold`: its quantiles, joined by lines.
/// Below the lowest one nothing is taken for known, above the highest no more than it says.
pub(in crate::ledger) fn summary_share(summary: &SummaryValue<'_>, threshold: f64) -> (u64, u64) {
    let mut points: Vec<(f64, f64)> = Vec::new();
    summary.for_each(|quantile, value| {
        if (0.0..=1.0).contains(&quantile) && value.is_finite() {
            points.push((value, quantile));
        }
    });
    share_of_quantiles(points, threshold)
}

/// The same of values and their quantiles, in any order.
fn share_of_quantiles(mut points: Vec<(f64, f64)>, threshold: f64) -> (u64, u64) {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let above = points.partition_point(|(value, _)| *value <= threshold);
    let Some(&(low, from)) = above.checked_sub(1).and_then(|at| points.get(at)) else {
        return (0, 1);
    };
    let Some(&(high, to)) = points.get(above) else {
        return exact_between(from, from, (0, 1)).unwrap_or((fixed(from), ONE));
    };
    let exact = exact_fraction(low, threshold, high).and_then(|of| exact_between(from, to, of));
    exact.unwrap_or_else(|| {
        let share = from + (to - from) * (threshold - low) / (high - low);
        (fixed(share), ONE)
    })
}

/// `from + (to - from) * of` in lowest terms, of the decimals that people write: 0.9 is nine tenths.
fn exact_between(from: f64, to: f64, (numerator, denominator): (u64, u64)) -> Option<(u64, u64)> {
    let decimals = [decimal(from)?, decimal(to)?];
    let exponent = decimals[0].1.min(decimals[1].1).min(0);
    let scaled = |(digits, own): (i128, i32)| -> Option<i128> {
        let power = u32::try_from(own.checked_sub(exponent)?).ok()?;
        digits.checked_mul(10i128.checked_pow(power)?)
    };
    let [from, to] = [scaled(decimals[0])?, scaled(decimals[1])?];
    let one = 10i128.checked_pow(exponent.unsigned_abs())?;
    let (numerator, denominator) = (i128::from(numerator), i128::from(denominator));
    let grown = to.checked_sub(from)?.checked_mul(numerator)?;
    let share = from.checked_mul(denominator)?.checked_add(grown)?;
    let whole = one.checked_mul(denominator)?;
    let divisor = gcd(share, whole);
    Some((
        u64::try_from(share / divisor).ok()?,
        u64::try_from(whole / divisor).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: [f64; 4] = [0.1, 0.25, 0.5, 1.0];

    #[test]
    fn a_threshold_at_a_bound_is_exact() {
        let share = Share::new(&BOUNDS, 0.25).unwrap();
        assert!(share.is_exact);
        assert_eq!(share.take([1, 2, 4, 8, 16].into_iter()), 3);
        assert_eq!(
            Share::new(&BOUNDS, 1.0)
                .unwrap()
                .take([1, 2, 4, 8, 16].into_iter()),
            15
        );
    }

    #[test]
    fn a_threshold_between_bounds_divides_the_bucket_by_decimals() {
        let share = Share::new(&BOUNDS, 0.3).unwrap();
        assert_eq!((share.whole, share.of, share.is_exact), (2, (1, 5), false));
        assert_eq!(share.take([1, 2, 5, 8, 16].into_iter()), 4);
        assert_eq!(Share::new(&BOUNDS, 0.05).unwrap().of, (1, 2));
        assert_eq!(
            Share::new(&BOUNDS, 7.0)
                .unwrap()
                .take([1, 2, 4, 8, 16].into_iter()),
            15
        );
        assert_eq!(Share::new(&[], 7.0).unwrap().take([9].into_iter()), 0);
    }

    #[test]
    fn bounds_that_do_not_ascend_say_nothing() {
        assert_eq!(Share::new(&[1.0, 1.0], 0.5), None);
        assert_eq!(Share::new(&[2.0, 1.0], 0.5), None);
        assert_eq!(Share::new(&[f64::NAN], 0.5), None);
        assert_eq!(Share::new(&[1.0], f64::NAN), None);
    }

    #[test]
    fn powers_of_two_are_bounds_at_every_scale() {
        for scale in [-2, 0, 3, 20] {
            let share = PowerShare::new(scale, 16.0).unwrap();
            assert!(share.is_exact, "{scale}");
            assert_eq!(share.of(share.index, 7), 7);
            assert_eq!(share.of(share.index + 1, 7), 0);
        }
        let half = PowerShare::new(0, 2f64.powf(0.5)).unwrap();
        assert_eq!((half.index, half.is_exact, half.of(0, 10)), (0, false, 5));
    }

    #[test]
    fn a_summary_s_share_is_a_fraction_of_the_decimals_that_people_write() {
        let quantiles = vec![(0.4, 0.99), (0.1, 0.5), (0.2, 0.9)];
        let share = |threshold| share_of_quantiles(quantiles.clone(), threshold);
        assert_eq!(share(0.2), (9, 10));
        assert_eq!(share(0.15), (7, 10));
        assert_eq!(share(0.3), (189, 200));
        assert_eq!(share(0.05), (0, 1), "below the lowest one nothing is known");
        assert_eq!(
            share(9.0),
            (99, 100),
            "above the highest one no more than it says"
        );
        assert_eq!(share_of_quantiles(Vec::new(), 1.0), (0, 1));
        assert_eq!(part(10, share(0.2)), 9, "nine of ten, and not one lost to 2^-32");
    }

    proptest! {
        #[test]
        fn a_summary_s_share_is_one(
            quantiles in proptest::collection::vec((-1e9f64..1e9, 0.0f64..=1.0), 0..6),
            threshold in -1e9f64..1e9,
        ) {
            let (n, d) = share_of_quantiles(quantiles, threshold);
            prop_assert!(d > 0 && n <= d);
        }

        #[test]
        fn parts_of_parts_add_up_to_the_part_of_the_sum(
            counts in proptest::collection::vec((0u64..1000, 0u64..1000), 5),
            threshold in 0.0f64..2.0,
        ) {
            let share = Share::new(&BOUNDS, threshold).unwrap();
            let before = share.take(counts.iter().map(|c| c.0));
            let after = share.take(counts.iter().map(|c| c.0 + c.1));
            let all: u64 = counts.iter().map(|c| c.1).sum();
            prop_assert!(after >= before && after - before <= all);
        }

        #[test]
        fn any_bounds_give_a_fraction(lower in -1e9f64..1e9, width in 1e-9f64..1e9, at in 0.0f64..1.0) {
            let (n, d) = fraction(lower, lower + width * at, lower + width);
            prop_assert!(d > 0 && n <= d);
        }
    }
}
