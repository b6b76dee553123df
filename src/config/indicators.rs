//! `connectors.error_budget.indicators`: leading indicators, and the room that they may take.

use super::section::Section;
use std::time::Duration;

/// `connectors.error_budget.indicators`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndicatorSettings {
    /// Which built-in indicators every service has.
    pub built_in: BuiltInIndicators,
    /// Rings of samples, in all.
    pub max_series: u32,
    /// Streams of metrics whose last point is remembered, in all.
    pub max_streams: u32,
    /// Groups of one source in one service and environment.
    pub max_groups: u32,
    /// Services and environments.
    pub max_services: u32,
    /// A value older than this is none.
    pub stale_after: Duration,
}

/// See [`IndicatorSettings::built_in`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuiltInIndicators {
    /// None but those that a policy names.
    None,
    /// Those over metrics.
    Metrics,
    /// Those over spans as well.
    All,
}

impl Default for IndicatorSettings {
    fn default() -> Self {
        Self {
            built_in: BuiltInIndicators::Metrics,
            max_series: 20_000,
            max_streams: 50_000,
            max_groups: 50,
            max_services: 10_000,
            stale_after: Duration::from_mins(5),
        }
    }
}

impl IndicatorSettings {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("built_in", &mut it.built_in);
        section.ranged("max_series", &mut it.max_series, 0..=1_000_000);
        section.ranged("max_streams", &mut it.max_streams, 0..=10_000_000);
        section.ranged("max_groups", &mut it.max_groups, 1..=10_000);
        section.ranged("max_services", &mut it.max_services, 1..=1_000_000);
        section.ranged(
            "stale_after",
            &mut it.stale_after,
            Duration::from_secs(30)..=Duration::from_hours(1),
        );
        section.finish();
        it
    }
}
