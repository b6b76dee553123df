//! The value of a series: what its sender says, or the sum of its deltas.

use super::points::{Example, Kind, Scratch, Side};

/// Buckets of an exponential histogram on one side; more halve its resolution.
const BUCKETS_MAX: usize = 160;
/// Examples of one series.
const EXAMPLES_MAX: usize = 16;

/// An exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Powers {
    pub(super) scale: i32,
    pub(super) zero: u64,
    pub(super) zero_threshold: f64,
    pub(super) positive: Side,
    pub(super) negative: Side,
}

/// What a series is worth.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Histogram {
        count: u64,
        sum: Option<f64>,
        bounds: Vec<f64>,
        counts: Vec<u64>,
    },
    Powers {
        count: u64,
        sum: Option<f64>,
        powers: Powers,
    },
    Summary {
        count: u64,
        sum: f64,
        quantiles: Vec<(f64, f64)>,
    },
}

impl Value {
    /// Nothing yet.
    pub(super) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Gauge | Kind::Sum => Self::Number(0.0),
            Kind::Histogram => Self::Histogram {
                count: 0,
                sum: None,
                bounds: Vec::new(),
                counts: Vec::new(),
            },
            Kind::Exponential => Self::Powers {
                count: 0,
                sum: None,
                powers: Powers::default(),
            },
            Kind::Summary => Self::Summary {
                count: 0,
                sum: 0.0,
                quantiles: Vec::new(),
            },
        }
    }

    /// What the sender says is the value.
    pub(super) fn set(&mut self, point: &Scratch) {
        match self {
            Self::Number(value) => *value = point.value,
            Self::Histogram {
                count,
                sum,
                bounds,
                counts,
            } => {
                (*count, *sum) = (point.count, point.sum);
                bounds.clone_from(&point.bounds);
                counts.clone_from(&point.counts);
            }
            Self::Powers { count, sum, powers } => {
                (*count, *sum) = (point.count, point.sum);
                (powers.scale, powers.zero) = (point.scale, point.zero);
                powers.zero_threshold = point.zero_threshold;
                powers.positive.clone_from(&point.positive);
                powers.negative.clone_from(&point.negative);
            }
            Self::Summary {
                count,
                sum,
                quantiles,
            } => {
                (*count, *sum) = (point.count, point.sum.unwrap_or(0.0));
                quantiles.clone_from(&point.quantiles);
            }
        }
    }

    /// What the sender says is added. False when it cannot be (other bounds): then it is a new beginning.
    pub(super) fn add(&mut self, point: &Scratch) -> bool {
        match self {
            Self::Number(value) => *value += point.value,
            Self::Histogram {
                count,
                sum,
                bounds,
                counts,
            } => {
                let is_new = counts.is_empty();
                if !is_new && (*bounds != point.bounds || counts.len() != point.counts.len()) {
                    self.set(point);
                    return false;
                }
                bounds.clone_from(&point.bounds);
                counts.resize(point.counts.len(), 0);
                for (total, more) in counts.iter_mut().zip(&point.counts) {
                    *total = total.saturating_add(*more);
                }
                *count = count.saturating_add(point.count);
                *sum = total_sum(*sum, point.sum, is_new);
            }
            Self::Powers { count, sum, powers } => {
                let is_new = *count == 0 && sum.is_none();
                *count = count.saturating_add(point.count);
                *sum = total_sum(*sum, point.sum, is_new);
                powers.add(point, is_new);
            }
            Self::Summary { .. } => self.set(point),
        }
        true
    }
}

/// A sum is known while every point told its own.
fn total_sum(before: Option<f64>, more: Option<f64>, is_new: bool) -> Option<f64> {
    if is_new {
        return more;
    }
    Some(before? + more?)
}

impl Powers {
    fn add(&mut self, point: &Scratch, is_new: bool) {
        let mut other = Self {
            scale: point.scale,
            zero: point.zero,
            zero_threshold: point.zero_threshold,
            positive: point.positive.clone(),
            negative: point.negative.clone(),
        };
        if is_new {
            self.scale = other.scale;
        }
        loop {
            let widest = [
                (&self.positive, &other.positive),
                (&self.negative, &other.negative),
            ]
            .map(|(a, b)| span(a, b))
            .into_iter()
            .max()
            .unwrap_or(0);
            match self.scale.cmp(&other.scale) {
                std::cmp::Ordering::Greater => self.halve(),
                std::cmp::Ordering::Less => other.halve(),
                std::cmp::Ordering::Equal if widest <= BUCKETS_MAX || self.scale < -10 => break,
                std::cmp::Ordering::Equal => {
                    self.halve();
                    other.halve();
                }
            }
        }
        self.zero = self.zero.saturating_add(other.zero);
        self.zero_threshold = self.zero_threshold.max(other.zero_threshold);
        merge(&mut self.positive, &other.positive);
        merge(&mut self.negative, &other.negative);
    }

    fn halve(&mut self) {
        self.scale -= 1;
        for side in [&mut self.positive, &mut self.negative] {
            let mut counts = Vec::with_capacity(side.counts.len() / 2 + 1);
            let first = side.offset >> 1;
            for (at, count) in (side.offset..).zip(&side.counts) {
                let to = usize::try_from((at >> 1) - first).unwrap_or(0);
                if counts.len() <= to {
                    counts.resize(to + 1, 0u64);
                }
                counts[to] = counts[to].saturating_add(*count);
            }
            side.offset = first;
            side.counts = counts;
        }
    }
}

fn end(side: &Side) -> i64 {
    i64::from(side.offset) + i64::try_from(side.counts.len()).unwrap_or(i64::MAX)
}

/// Buckets that both need.
fn span(a: &Side, b: &Side) -> usize {
    let (low, high) = match (a.counts.is_empty(), b.counts.is_empty()) {
        (true, true) => return 0,
        (false, true) => (i64::from(a.offset), end(a)),
        (true, false) => (i64::from(b.offset), end(b)),
        (false, false) => (i64::from(a.offset.min(b.offset)), end(a).max(end(b))),
    };
    usize::try_from(high - low).unwrap_or(usize::MAX)
}

fn merge(into: &mut Side, other: &Side) {
    if other.counts.is_empty() {
        return;
    }
    if into.counts.is_empty() {
        into.clone_from(other);
        return;
    }
    let offset = into.offset.min(other.offset);
    let mut counts = vec![0u64; span(into, other)];
    for side in [&*into, other] {
        let shift = usize::try_from(side.offset - offset).unwrap_or(0);
        for (at, count) in side.counts.iter().enumerate() {
            if let Some(total) = counts.get_mut(at + shift) {
                *total = total.saturating_add(*count);
            }
        }
    }
    *into = Side { offset, counts };
}

/// Keeps the newest examples.
pub(super) fn remember(kept: &mut Vec<Example>, new: &mut Vec<Example>) {
    kept.append(new);
    let excess = kept.len().saturating_sub(EXAMPLES_MAX);
    kept.drain(..excess);
}
