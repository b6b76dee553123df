//! `service.reload`: when a new configuration is looked for. SIGHUP always asks for one.

use super::section::Section;
use std::time::Duration;

/// `service.reload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadConfig {
    /// Whether a change of a configuration or policy file is enough.
    pub on_change: bool,
    /// Time between two looks at the files; a change counts once it has stood for one more interval.
    pub check_interval: Duration,
}

impl Default for ReloadConfig {
    fn default() -> Self {
        Self {
            on_change: false,
            check_interval: Duration::from_secs(5),
        }
    }
}

impl ReloadConfig {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("on_change", &mut it.on_change);
        let (least, most) = (Duration::from_millis(100), Duration::from_hours(1));
        section.ranged("check_interval", &mut it.check_interval, least..=most);
        section.finish();
        it
    }
}
