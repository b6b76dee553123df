//! How much an error ratio of few events says.
//!
//! One failure among ten requests is a burn of 100 at 99.9 %, and says next to nothing: the true ratio may
//! lie anywhere between 1.8 % and 40 %. So every answer carries the interval in which the ratio lies with 95
//! % confidence (Wilson's, which is honest for small counts, unlike the normal one), and whether that is
//! narrow enough to act on. Intervals are shown and gate nothing by themselves: looked at every second they
//! would be crossed by chance.

use super::{Share, Target};
use statrs::distribution::{Beta, ContinuousCDF};

/// Two-sided 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// How far a figure can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Nothing was counted.
    None,
    /// The counts leave much open.
    Low,
    /// Within the budget for certain, or known within a factor of four.
    High,
}

/// Upper over lower end of an interval that is narrow enough: eight bad events or more.
const NARROW: f64 = 4.0;

impl Confidence {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

/// Wilson's interval of `bad` of `of` trials at 95 %; `None` without any.
pub fn wilson(bad: f64, of: f64) -> Option<(f64, f64)> {
    if of <= 0.0 {
        return None;
    }
    let (p, z2) = (bad / of, Z * Z);
    let middle = p + z2 / (2.0 * of);
    let spread = Z * (p * (1.0 - p) / of + z2 / (4.0 * of * of)).max(0.0).sqrt();
    let scale = 1.0 + z2 / of;
    let low = if bad <= 0.0 {
        0.0
    } else {
        (middle - spread) / scale
    };
    let high = if bad >= of { 1.0 } else { (middle + spread) / scale };
    Some((low.max(0.0), high.min(1.0)))
}

/// Jeffreys' one-sided lower bound of `bad` of `of` trials: the ratio is above it with probability `1 -
/// alpha`. `None` without trials.
pub fn jeffreys_lower(bad: u64, of: u64, alpha: f64) -> Option<f64> {
    let good = of.checked_sub(bad).filter(|_| of > 0)?;
    let beta = Beta::new(bad as f64 + 0.5, good as f64 + 0.5).ok()?;
    let mut low = (0.0, 1.0);
    // The quantile by halving: 64 steps reach the last bit, whatever the library's own tolerance.
    for _ in 0..64 {
        let middle = f64::midpoint(low.0, low.1);
        if beta.cdf(middle) < alpha {
            low.0 = middle;
        } else {
            low.1 = middle;
        }
    }
    Some(low.1)
}

/// The burn rate's interval at 95 % and how far it can be trusted. `trials` is how many independent things
/// the share was measured on: events or slices.
pub fn burn_interval(share: Share, trials: u64, target: Target) -> (Option<(f64, f64)>, Confidence) {
    let of = trials as f64;
    let interval = share.ratio().and_then(|ratio| wilson(ratio * of, of));
    let Some((low, high)) = interval else {
        return (None, Confidence::None);
    };
    let budget = target.budget_ratio();
    let (low, high) = (low / budget, high / budget);
    let known = high <= 1.0 || (low > 0.0 && high <= NARROW * low);
    let confidence = if known { Confidence::High } else { Confidence::Low };
    (Some((low, high)), confidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counts;

    #[track_caller]
    fn rounds_to(got: f64, want: f64) {
        assert!((got - want).abs() <= 6e-6 * want.abs(), "{got} is not {want}");
    }

    fn of(bad: u64, total: u64, target: &str) -> (Option<(f64, f64)>, Confidence) {
        let counts = Counts {
            good: total - bad,
            bad,
        };
        burn_interval(counts.into(), total, target.parse().unwrap())
    }

    #[test]
    fn v40_wilson_at_95_percent() {
        for (bad, total, low, high) in [
            (4.0, 1000.0, 0.001_556_6, 0.010_239_6),
            (0.0, 10.0, 0.0, 0.277_533),
            (1.0, 10.0, 0.017_876, 0.404_150),
        ] {
            let got = wilson(bad, total).unwrap();
            assert!(
                (got.0 - low).abs() < 1e-6 && (got.1 - high).abs() < 1e-6,
                "{bad}/{total}: {got:?}"
            );
        }
        assert_eq!(wilson(0.0, 0.0), None);
    }

    #[test]
    fn v41_jeffreys_lower_bound_at_5_percent() {
        for (bad, total, want) in [
            (1, 10, 0.017_892_0),
            (0, 10, 0.000_191_736),
            (4, 1000, 0.001_664_09),
            (40, 10_000, 0.003_064_43),
        ] {
            rounds_to(jeffreys_lower(bad, total, 0.05).unwrap(), want);
        }
        assert_eq!(jeffreys_lower(0, 0, 0.05), None);
    }

    #[test]
    fn few_events_are_not_trusted_and_many_are() {
        assert_eq!(of(0, 0, "99.9%").1, Confidence::None);
        assert_eq!(of(0, 10, "99.9%").1, Confidence::Low);
        assert_eq!(of(1, 10, "99.9%").1, Confidence::Low);
        // Clean for long enough: the upper end is within the budget.
        assert_eq!(of(0, 10_000, "99.9%").1, Confidence::High);
        assert_eq!(of(8, 1_000_000, "99.9%").1, Confidence::High);
        // Burning, and known how fast.
        assert_eq!(of(7, 100, "99.9%").1, Confidence::Low);
        assert_eq!(of(8, 100, "99.9%").1, Confidence::High);
    }

    #[test]
    fn the_interval_holds_the_figure() {
        let (interval, _) = of(4, 1000, "99.9%");
        let (low, high) = interval.unwrap();
        assert!(low < 4.0 && 4.0 < high, "{low} {high}");
    }
}
