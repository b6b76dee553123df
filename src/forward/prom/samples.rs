//! The samples of a series: what one line of a page, or one time series of a push, says.

use super::accumulate::{Powers, Value};
use super::series::Series;
use super::store::FamilyKind;

/// What a sample's name ends in, beyond the family's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suffix {
    None,
    Bucket,
    Sum,
    Count,
}

impl Suffix {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) suffix: Suffix,
    /// `le` of a bucket, `quantile` of a summary.
    pub(crate) extra: Option<(&'static str, f64)>,
    pub(crate) value: f64,
}

/// Suffixes that a family of this kind uses: no other family may have such a name.
pub(super) const fn suffixes(kind: FamilyKind) -> &'static [Suffix] {
    match kind {
        FamilyKind::Counter | FamilyKind::Gauge => &[Suffix::None],
        FamilyKind::Histogram => &[Suffix::Bucket, Suffix::Sum, Suffix::Count],
        FamilyKind::Summary => &[Suffix::None, Suffix::Sum, Suffix::Count],
    }
}

/// Calls `each` for every sample of `series`, buckets first and rising.
#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
pub(crate) fn each_sample(series: &Series, mut each: impl FnMut(Sample)) {
    let mut put = |suffix, extra, value| each(Sample { suffix, extra, value });
    match &series.value {
        Value::Number(value) => put(Suffix::None, None, *value),
        Value::Histogram {
            count,
            sum,
            bounds,
            counts,
        } => {
            let mut total = 0u64;
            for (bound, in_bucket) in bounds.iter().zip(counts) {
                total = total.saturating_add(*in_bucket);
                if *bound < f64::INFINITY {
                    put(Suffix::Bucket, Some(("le", *bound)), total as f64);
                }
            }
            totals(*count, *sum, &mut put);
        }
        Value::Powers { count, sum, powers } => {
            buckets(powers, |bound, total| {
                put(Suffix::Bucket, Some(("le", bound)), total as f64);
            });
            totals(*count, *sum, &mut put);
        }
        Value::Summary {
            count,
            sum,
            quantiles,
        } => {
            for (quantile, value) in quantiles {
                put(Suffix::None, Some(("quantile", *quantile)), *value);
            }
            put(Suffix::Sum, None, *sum);
            put(Suffix::Count, None, *count as f64);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
fn totals(count: u64, sum: Option<f64>, put: &mut impl FnMut(Suffix, Option<(&'static str, f64)>, f64)) {
    put(Suffix::Bucket, Some(("le", f64::INFINITY)), count as f64);
    // Without a sum (negative values, say) there is none to show.
    if let Some(sum) = sum {
        put(Suffix::Sum, None, sum);
    }
    put(Suffix::Count, None, count as f64);
}

/// An exponential histogram as buckets with bounds, rising; empty ones at the ends are left out by the
/// sender.
fn buckets(powers: &Powers, mut each: impl FnMut(f64, u64)) {
    let bound = |index: i64| (index as f64 * f64::from(-powers.scale).exp2()).exp2();
    let mut total = 0u64;
    let negative = &powers.negative;
    for (at, count) in negative.counts.iter().enumerate().rev() {
        total = total.saturating_add(*count);
        // The bucket of -2^(i+1) to -2^i ends at the latter.
        each(
            -bound(i64::from(negative.offset) + i64::try_from(at).unwrap_or(0)),
            total,
        );
    }
    if powers.zero > 0 || total > 0 {
        total = total.saturating_add(powers.zero);
        each(powers.zero_threshold, total);
    }
    for (at, count) in (i64::from(powers.positive.offset)..).zip(&powers.positive.counts) {
        total = total.saturating_add(*count);
        each(bound(at + 1), total);
    }
}
