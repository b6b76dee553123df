//! What is known of one series.

use super::exact::{Counts, Exact, Nanos, Weight};
use super::exponential::Exponential;
use super::plan::Shape;
use crate::time::UnixNanos;

/// One span, as far as a series is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) nanos: u64,
    pub(super) weight: Weight,
    pub(super) exemplar: Option<Exemplar>,
}

/// A span as an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exemplar {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) nanos: u64,
    /// When it ended.
    pub(super) at: u64,
}

/// Durations by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Histogram {
    Explicit(Counts),
    Exponential(Exponential),
}

/// The durations of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Durations {
    pub(super) sum: Nanos,
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) histogram: Histogram,
}

/// Counts and durations of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// Before this nothing was counted.
    pub(super) start: UnixNanos,
    /// When the last span came.
    pub(super) last_seen: UnixNanos,
    /// Whether one came since the last flush.
    pub(super) changed: bool,
    pub(super) calls: Exact,
    pub(super) durations: Option<Box<Durations>>,
    pub(super) exemplars: Vec<Exemplar>,
}

impl Durations {
    fn new(shape: &Shape) -> Option<Box<Self>> {
        let histogram = match shape {
            Shape::None => return None,
            Shape::Explicit(bounds) => Histogram::Explicit(Counts::zeros(bounds.len() + 1)),
            Shape::Exponential { .. } => Histogram::Exponential(Exponential::default()),
        };
        Some(Box::new(Self {
            sum: Nanos::default(),
            min: u64::MAX,
            max: 0,
            histogram,
        }))
    }

    fn add(&mut self, seen: &Seen, shape: &Shape, unit_nanos: f64) {
        self.sum.add(seen.nanos, seen.weight);
        self.min = self.min.min(seen.nanos);
        self.max = self.max.max(seen.nanos);
        match (&mut self.histogram, shape) {
            (Histogram::Explicit(counts), Shape::Explicit(bounds)) => {
                // Compared as whole nanoseconds: a duration of a bound is below it, exactly.
                let at = bounds.partition_point(|bound| *bound < seen.nanos);
                counts.add(at, seen.weight);
            }
            (Histogram::Exponential(it), Shape::Exponential { max_size }) => {
                it.add(seen.nanos as f64 / unit_nanos, seen.weight, *max_size);
            }
            _ => {}
        }
    }

    /// Spans in it, bucket by bucket rounded down, so that count and buckets agree.
    pub(super) fn count(&self) -> u64 {
        match &self.histogram {
            Histogram::Explicit(counts) => counts.total(),
            Histogram::Exponential(it) => it.zero.whole.saturating_add(it.counts.total()),
        }
    }

    fn take(&mut self) {
        self.sum = Nanos::default();
        self.min = u64::MAX;
        self.max = 0;
        match &mut self.histogram {
            Histogram::Explicit(counts) => counts.take_whole(),
            Histogram::Exponential(it) => it.take_whole(),
        }
    }
}

impl Series {
    pub(super) fn new(start: UnixNanos, with_durations: bool, shape: &Shape) -> Self {
        Self {
            start,
            last_seen: start,
            changed: false,
            calls: Exact::default(),
            durations: with_durations.then(|| Durations::new(shape)).flatten(),
            exemplars: Vec::new(),
        }
    }

    /// Counts one span. Of examples the newest stay.
    pub(super) fn add(
        &mut self,
        now: UnixNanos,
        seen: &Seen,
        shape: &Shape,
        unit_nanos: f64,
        exemplars: usize,
    ) {
        self.last_seen = self.last_seen.max(now);
        self.changed = true;
        let nth = self.calls.whole;
        self.calls.add(seen.weight);
        if let Some(durations) = &mut self.durations {
            durations.add(seen, shape, unit_nanos);
        }
        let Some(exemplar) = seen.exemplar.filter(|_| exemplars > 0) else {
            return;
        };
        if self.exemplars.len() < exemplars {
            self.exemplars.push(exemplar);
        } else {
            let at = usize::try_from(nth % exemplars as u64).unwrap_or(0);
            if let Some(slot) = self.exemplars.get_mut(at) {
                *slot = exemplar;
            }
        }
    }

    /// After a flush: examples were told; deltas begin anew at `now`.
    pub(super) fn flushed(&mut self, delta: Option<UnixNanos>) {
        self.changed = false;
        self.exemplars.clear();
        if let Some(now) = delta {
            self.start = now;
            self.calls.take_whole();
            if let Some(durations) = &mut self.durations {
                durations.take();
            }
        }
    }

    /// Memory beside its key, about.
    pub(super) fn bytes(&self) -> usize {
        let histogram = match self.durations.as_deref().map(|durations| &durations.histogram) {
            None => 0,
            Some(Histogram::Explicit(counts)) => size_of::<Durations>() + counts.whole.len() * 8,
            // As large as such a histogram tends to become.
            Some(Histogram::Exponential(_)) => size_of::<Durations>() + 160 * 8,
        };
        size_of::<Self>() + histogram
    }
}
