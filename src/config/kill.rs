//! `connectors.error_budget.kill`: what holds for all kill switches together.

use super::section::Section;
use std::time::Duration;

/// `connectors.error_budget.kill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Whether rules may switch anything at all; people may in any case.
    pub enabled: bool,
    /// Flags of one service that rules may switch in ten minutes.
    pub max_per_service: u32,
    /// Flags that rules may switch in an hour.
    pub max_per_hour: u32,
    /// Flags that rules may switch in a day.
    pub max_per_day: u32,
    /// No rule touches a flag for so long after somebody switched it back, and nothing else of a service
    /// after a switch without effect.
    pub hold: Duration,
    /// A proposal that nobody approves is withdrawn after this time.
    pub propose_expires: Duration,
    /// Time in which a change of a flag has reached every client.
    pub propagation: Duration,
    /// Time between two looks at flags that were switched.
    pub watch_interval: Duration,
}

impl Default for Kill {
    fn default() -> Self {
        Self {
            enabled: true,
            max_per_service: 1,
            max_per_hour: 3,
            max_per_day: 10,
            hold: Duration::from_hours(24),
            propose_expires: Duration::from_hours(1),
            propagation: Duration::from_mins(1),
            watch_interval: Duration::from_mins(1),
        }
    }
}

impl Kill {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        section.field("enabled", &mut it.enabled);
        section.ranged("max_per_service", &mut it.max_per_service, 0..=1_000);
        section.ranged("max_per_hour", &mut it.max_per_hour, 0..=1_000);
        section.ranged("max_per_day", &mut it.max_per_day, 0..=10_000);
        section.ranged("hold", &mut it.hold, Duration::ZERO..=30 * 24 * hour);
        section.ranged("propose_expires", &mut it.propose_expires, second..=7 * 24 * hour);
        section.ranged("propagation", &mut it.propagation, second..=hour);
        section.ranged("watch_interval", &mut it.watch_interval, second..=hour);
        section.finish();
        it
    }
}
