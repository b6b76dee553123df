//! Where the buckets of a distribution end, and quantiles of what is in them.

use std::sync::Arc;

/// Buckets an octave of the exponential grid, as a power of two: 8, so that a bucket is 9 % wide.
pub(super) const SCALE: i32 = 3;

/// Where buckets end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Grid {
    /// The bounds that the sender chose; the bucket behind the last has no end.
    Explicit(Arc<[f64]>),
    /// Bucket `i` is (2^(i/8), 2^((i+1)/8)]; [`ZERO`] holds what is zero or below.
    Exponential,
}

/// The bucket of the exponential grid for zero and what is below.
pub(super) const ZERO: i32 = i32::MIN;

/// Counts by bucket, in the order of buckets. Sparse: a service's latencies fill two dozen of some hundred.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Buckets(Vec<(i32, f64)>);

impl Buckets {
    /// Adds to a bucket.
    pub(super) fn add(&mut self, bucket: i32, count: f64) {
        match self.0.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, known)) = self.0.get_mut(at) {
                    *known += count;
                }
            }
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }

    /// Adds all of another, each count times `factor`.
    pub(super) fn merge(&mut self, other: &Self, factor: f64) {
        for (bucket, count) in &other.0 {
            self.add(*bucket, count * factor);
        }
    }

    /// What they have grown by since `before`; None when one of them has fewer.
    pub(super) fn minus(&self, before: &Self) -> Option<Self> {
        let mut grown = Self::default();
        let mut earlier = before.0.iter().peekable();
        for (bucket, count) in &self.0 {
            let known = match earlier.peek() {
                Some((known, _)) if known < bucket => return None,
                Some((known, count)) if known == bucket => {
                    earlier.next();
                    *count
                }
                _ => 0.0,
            };
            if *count < known {
                return None;
            }
            if *count > known {
                grown.0.push((*bucket, count - known));
            }
        }
        earlier.next().is_none().then_some(grown)
    }

    /// How many there are.
    pub(super) fn total(&self) -> f64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, f64)> {
        self.0.iter().copied()
    }
}

/// The bucket of a measurement in the exponential grid.
pub(super) fn exponential_bucket(value: f64) -> i32 {
    if value.is_nan() || value <= 0.0 {
        return ZERO;
    }
    // A bound belongs to the bucket below it; log2 of a power of two is exact.
    let place = (value.log2() * f64::from(1 << SCALE)).ceil() - 1.0;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "log2 of a float lies within 11 bits"
    )]
    let bucket = place as i32;
    bucket
}

/// The upper end of a bucket of the exponential grid.
fn exponential_bound(bucket: i32) -> f64 {
    if bucket == ZERO {
        return 0.0;
    }
    (f64::from(bucket.saturating_add(1)) / f64::from(1 << SCALE)).exp2()
}

impl Grid {
    /// The two ends of a bucket; the last of explicit bounds ends where it begins.
    fn ends(&self, bucket: i32) -> (f64, f64) {
        match self {
            Self::Exponential if bucket == ZERO => (0.0, 0.0),
            Self::Exponential => (
                exponential_bound(bucket.saturating_sub(1)),
                exponential_bound(bucket),
            ),
            Self::Explicit(bounds) => {
                let at = |index: Option<usize>| index.and_then(|it| bounds.get(it)).copied();
                let index = usize::try_from(bucket).ok();
                let last = bounds.last().copied().unwrap_or(0.0);
                let upper = at(index).unwrap_or(last);
                // Below the first bound lies zero, unless the bound itself is below zero.
                let below = index.map_or(0.0, |_| upper.min(0.0));
                let lower = at(index.and_then(|it| it.checked_sub(1))).unwrap_or(below);
                (lower.min(upper), upper)
            }
        }
    }

    /// The value that the share `q` does not exceed, interpolated within its bucket: between explicit bounds
    /// evenly, in the exponential grid evenly in the logarithm. None of nothing.
    pub(super) fn quantile(&self, q: f64, buckets: &Buckets) -> Option<f64> {
        let total = buckets.total();
        if total <= 0.0 {
            return None;
        }
        let rank = q * total;
        let mut before = 0.0;
        let mut found = None;
        for (bucket, count) in buckets.iter().filter(|(_, count)| *count > 0.0) {
            found = Some((bucket, ((rank - before) / count).clamp(0.0, 1.0)));
            before += count;
            if before >= rank {
                break;
            }
        }
        let (bucket, within) = found?;
        let (lower, upper) = self.ends(bucket);
        let is_log = matches!(self, Self::Exponential) && lower > 0.0;
        Some(if is_log {
            lower * (upper / lower).powf(within)
        } else {
            lower + (upper - lower) * within
        })
    }
}

/// Buckets of an exponential histogram at `scale`, brought to the grid. A finer one is summed up; a coarser
/// one is spread evenly over the buckets that it covers.
pub(super) fn rescaled(scale: i32, index: i32, count: f64, buckets: &mut Buckets) {
    if scale >= SCALE {
        let by = u32::try_from(scale - SCALE).unwrap_or(31).min(31);
        buckets.add(index >> by, count);
        return;
    }
    let by = u32::try_from(SCALE.saturating_sub(scale)).unwrap_or(10).min(10);
    let parts = 1_i32 << by;
    let first = index.saturating_mul(parts);
    for part in 0..parts {
        buckets.add(first.saturating_add(part), count / f64::from(parts));
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "small whole numbers"
    )]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn explicit_quantiles_are_those_of_prometheus() {
        let grid = Grid::Explicit([0.1, 0.5, 1.0].into());
        let mut buckets = Buckets::default();
        for (bucket, count) in [(0, 50.0), (1, 40.0), (2, 9.0), (3, 1.0)] {
            buckets.add(bucket, count);
        }
        assert_eq!(grid.quantile(0.5, &buckets), Some(0.1));
        assert_eq!(grid.quantile(0.25, &buckets), Some(0.05));
        assert_eq!(grid.quantile(0.9, &buckets), Some(0.5));
        assert!((grid.quantile(0.99, &buckets).unwrap() - 1.0).abs() < 1e-12);
        // In the bucket without an end only its beginning is known.
        assert_eq!(grid.quantile(0.999, &buckets), Some(1.0));
        assert_eq!(grid.quantile(0.5, &Buckets::default()), None);
    }

    #[test]
    fn bounds_of_the_grid_belong_to_the_bucket_below() {
        for exponent in -20..20 {
            let bucket = exponential_bucket(f64::exp2(f64::from(exponent)));
            assert_eq!(bucket, exponent * 8 - 1);
        }
        assert_eq!(exponential_bucket(0.0), ZERO);
        assert_eq!(exponential_bucket(-1.0), ZERO);
        assert_eq!(exponential_bucket(f64::NAN), ZERO);
    }

    #[test]
    fn another_scale_keeps_the_count() {
        let mut buckets = Buckets::default();
        rescaled(0, 2, 8.0, &mut buckets);
        assert_eq!((buckets.total(), buckets.iter().next()), (8.0, Some((16, 1.0))));
        let mut fine = Buckets::default();
        rescaled(5, -5, 1.0, &mut fine);
        rescaled(5, -8, 1.0, &mut fine);
        assert_eq!(fine.iter().collect::<Vec<_>>(), [(-2, 2.0)]);
        rescaled(-10, 0, 1.0, &mut fine);
        rescaled(i32::MIN, i32::MAX, 1.0, &mut fine);
        assert!((fine.total() - 4.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn exponential_quantiles_are_near(mut values in proptest::collection::vec(1e-4_f64..1e3, 1..200), q in 0.01_f64..0.99) {
            let mut buckets = Buckets::default();
            for value in &values {
                buckets.add(exponential_bucket(*value), 1.0);
            }
            values.sort_by(f64::total_cmp);
            let rank = (q * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[rank - 1];
            let got = Grid::Exponential.quantile(q, &buckets).unwrap();
            prop_assert!((got / exact).ln().abs() < 0.1, "{got} {exact}");
        }

        #[test]
        fn quantiles_never_fall(counts in proptest::collection::vec(0_u32..9, 4..5), a in 0.01_f64..0.99, b in 0.01_f64..0.99) {
            let grid = Grid::Explicit([-1.0, 0.5, 2.0].into());
            let mut buckets = Buckets::default();
            for (bucket, count) in counts.iter().enumerate() {
                buckets.add(bucket as i32, f64::from(*count));
            }
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(grid.quantile(low, &buckets) <= grid.quantile(high, &buckets));
        }
    }
}
