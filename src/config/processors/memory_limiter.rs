//! `memory_limiter`.

use crate::config::section::Section;
use std::time::Duration;

/// `memory_limiter`: refuses, with retry advice, what would not fit.
///
/// ```yaml
/// memory_limiter:
///   check_interval: 1s
///   limit_mib: 512        # or limit_percentage: 80
///   spike_limit_mib: 128  # or spike_limit_percentage: 25
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimiter {
    /// Time between two looks at the memory of the process.
    pub check_interval: Duration,
    /// Limit in MiB; 0 leaves it to `limit_percentage`.
    pub limit_mib: u64,
    /// How far below the limit refusals begin, in MiB; 0 is a fifth of the limit.
    pub spike_limit_mib: u64,
    /// Limit in percent of the memory that the process may have; 0 leaves it to `limit_mib`.
    pub limit_percentage: u32,
    /// `spike_limit_mib`, in percent of that memory.
    pub spike_limit_percentage: u32,
}

impl Default for MemoryLimiter {
    fn default() -> Self {
        Self {
            check_interval: Duration::from_secs(1),
            limit_mib: 0,
            spike_limit_mib: 0,
            limit_percentage: 0,
            spike_limit_percentage: 0,
        }
    }
}

impl MemoryLimiter {
    pub(in crate::config) fn read(_id: &str, section: Section<'_>) -> Option<Self> {
        let mut it = Self::default();
        section.ranged(
            "check_interval",
            &mut it.check_interval,
            Duration::from_millis(10)..=Duration::from_mins(1),
        );
        section.field("limit_mib", &mut it.limit_mib);
        section.field("spike_limit_mib", &mut it.spike_limit_mib);
        section.ranged("limit_percentage", &mut it.limit_percentage, 0..=100);
        section.ranged("spike_limit_percentage", &mut it.spike_limit_percentage, 0..=100);
        for key in [
            "min_gc_interval_when_soft_limited",
            "min_gc_interval_when_hard_limited",
        ] {
            let mut asked = None::<Duration>;
            if section.field(key, &mut asked) {
                let message = "does nothing here: there is no garbage collector to ask";
                section.report.warn(section.at, &section.path_of(key), message);
            }
        }
        if it.limit_mib == 0 && it.limit_percentage == 0 {
            let message = "required, or limit_percentage: without a limit there is nothing to keep";
            section.problem("limit_mib", message);
        }
        if it.limit_mib > 0 && it.spike_limit_mib >= it.limit_mib {
            section.problem(
                "spike_limit_mib",
                "must be below limit_mib: refusals begin that far below it",
            );
        }
        if it.limit_percentage > 0 && it.spike_limit_percentage >= it.limit_percentage {
            let message = "must be below limit_percentage: refusals begin that far below it";
            section.problem("spike_limit_percentage", message);
        }
        section.finish();
        Some(it)
    }
}
