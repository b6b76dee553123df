//! What became of the points of one batch.

use super::streams::Skip;
use std::collections::BTreeMap;

/// Points by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointStats {
    /// They added something, or said that there is nothing to add.
    pub counted: u64,
    /// They say that there is no value.
    pub no_value: u64,
    /// They hold what an SDK had no room to tell apart (`otel.metric.overflow`).
    pub overflow: u64,
    /// Values of gauges that came for a slice of time that was closed.
    pub late: u64,
    /// Deltas that begin after the last one of their stream ended: of the time between nothing is known.
    pub gaps: u64,
    /// They add nothing, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// A policy names their metric, but nothing can be made of them, by reason.
    pub unusable: BTreeMap<&'static str, u64>,
}

impl PointStats {
    pub(in crate::ledger) fn skip(&mut self, skip: Skip) {
        *self.skipped.entry(skip.as_str()).or_default() += 1;
    }

    pub(in crate::ledger) fn unusable(&mut self, problem: &'static str, points: u64) {
        *self.unusable.entry(problem).or_default() += points;
    }

    /// Counts them in the gateway's own metrics.
    pub(in crate::ledger) fn publish(&self) {
        let count = |outcome: &'static str, n: u64| {
            if n > 0 {
                metrics::counter!("burngate_metric_points_total", "outcome" => outcome).increment(n);
            }
        };
        count("counted", self.counted);
        count("no_value", self.no_value);
        count("overflow", self.overflow);
        count("late", self.late);
        count("gap", self.gaps);
        self.skipped.iter().for_each(|(reason, n)| count(reason, *n));
        for (reason, n) in &self.unusable {
            metrics::counter!("burngate_metric_points_unusable_total", "reason" => *reason).increment(*n);
        }
    }
}

impl Skip {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::BaseLine => "base_line",
            Self::SeveralWriters => "several_writers",
            Self::NoRoom => "no_room",
        }
    }
}
