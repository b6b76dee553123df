//! `connectors.error_budget.metrics`: how many streams of metrics may be known.

use super::section::Section;
use std::time::Duration;

/// `connectors.error_budget.metrics`: bounds of what is remembered of metrics that policies name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricStreams {
    /// Streams (a metric of a resource with one set of attributes) at once.
    pub max_streams: u32,
    /// Silence after which a stream is forgotten.
    pub idle_timeout: Duration,
}

impl Default for MetricStreams {
    fn default() -> Self {
        Self {
            max_streams: 100_000,
            idle_timeout: Duration::from_hours(3),
        }
    }
}

impl MetricStreams {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.ranged("max_streams", &mut it.max_streams, 1..=10_000_000);
        // A stream that leaves between two of its exports would begin with a base line each time.
        let (shortest, longest) = (Duration::from_mins(10), Duration::from_hours(72));
        section.ranged("idle_timeout", &mut it.idle_timeout, shortest..=longest);
        section.finish();
        it
    }
}
