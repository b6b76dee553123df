//! Places: what each service uses of the caps, and whether one more fits.
//!
//! The problem: a cap that is checked before it is taken is exceeded by two batches at once, and one that is
//! taken before it is checked refuses early. So a place is taken by compare-and-swap and given back whole,
//! and the caller does both while the key's shard is locked. A glance beforehand ([`Places::has_room`]) turns
//! a flood of invented names away before anything is allocated or locked for writing.

use super::interner::{release, reserve};
use crate::config::Cohorts;
use crate::time::UnixNanos;
use dashmap::DashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

type Hasher = foldhash::quality::RandomState;

/// Environments of a service with a kept place that may have a total whatever `max_services` says.
pub(super) const KEPT_ENVIRONMENTS: u32 = 16;

/// Which cap refused a new cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cap {
    /// `max_per_service`.
    Service,
    /// `max_total`.
    Total,
    /// `max_new_per_minute`.
    Rate,
    /// `max_services`.
    Services,
    /// `max_routes`.
    Routes,
    /// The groups of one batch.
    Batch,
}

impl Cap {
    /// The value of the metric's `cap` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "max_per_service",
            Self::Total => "max_total",
            Self::Rate => "max_new_per_minute",
            Self::Services => "max_services",
            Self::Routes => "max_routes",
            Self::Batch => "batch_groups",
        }
    }
}

/// What one service (all its environments) uses of the caps.
#[derive(Debug, Default)]
struct Usage {
    /// Live deployment and flag cohorts.
    cohorts: AtomicU32,
    /// Live routes.
    routes: AtomicU32,
    /// Live totals: one an environment.
    totals: AtomicU32,
    /// Minute number and new cohorts in it, as `minute << 32 | new`.
    minute: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Places {
    services: DashMap<Box<str>, Usage, Hasher>,
    kept: DashMap<Box<str>, (), Hasher>,
    cohorts: AtomicU32,
    totals: AtomicU32,
    limits: Cohorts,
}

impl Places {
    pub(super) fn new(limits: &Cohorts) -> Self {
        Self {
            services: DashMap::default(),
            kept: DashMap::default(),
            cohorts: AtomicU32::new(0),
            totals: AtomicU32::new(0),
            limits: limits.clone(),
        }
    }

    /// Live deployment and flag cohorts.
    pub(super) fn cohorts(&self) -> u32 {
        self.cohorts.load(Ordering::Acquire)
    }

    /// Live pairs of service and environment.
    pub(super) fn totals(&self) -> u32 {
        self.totals.load(Ordering::Acquire)
    }

    /// Keeps a place for the totals of `service`: of its first [`KEPT_ENVIRONMENTS`] environments, since
    /// environments come from telemetry too.
    pub(super) fn keep(&self, service: &str) {
        self.kept.insert(service.into(), ());
    }

    fn has_kept(&self, service: &str) -> bool {
        self.kept.contains_key(service)
            && self
                .services
                .get(service)
                .is_none_or(|usage| usage.totals.load(Ordering::Acquire) < KEPT_ENVIRONMENTS)
    }

    /// Totals that there may be when `service` asks for one more.
    pub(super) fn max_totals(&self, service: &str, forced: bool) -> u32 {
        if forced || self.has_kept(service) {
            u32::MAX
        } else {
            self.limits.max_services
        }
    }

    /// Takes the place of a total, of `max` in all.
    pub(super) fn take_total(&self, service: &str, max: u32) -> Result<(), Cap> {
        if !reserve(&self.totals, max) {
            return Err(Cap::Services);
        }
        self.of(service, |usage| usage.totals.fetch_add(1, Ordering::AcqRel));
        Ok(())
    }

    /// Gives the place of a total back.
    pub(super) fn give_total(&self, service: &str) {
        release(&self.totals);
        self.of(service, |usage| release(&usage.totals));
    }

    /// Whether one more cohort of `service` would fit now.
    pub(super) fn has_room(&self, service: &str, now: UnixNanos) -> Result<(), Cap> {
        self.of(service, |usage| {
            if usage.cohorts.load(Ordering::Acquire) >= self.limits.max_per_service {
                return Err(Cap::Service);
            }
            if self.cohorts.load(Ordering::Acquire) >= self.limits.max_total {
                return Err(Cap::Total);
            }
            let packed = usage.minute.load(Ordering::Acquire);
            next_in_minute(packed, now, self.limits.max_new_per_minute)
                .map(|_| ())
                .ok_or(Cap::Rate)
        })
    }

    /// Takes the places of a cohort. Without `now` (a restart) they count but are not refused.
    pub(super) fn take_cohort(&self, service: &str, now: Option<UnixNanos>) -> Result<(), Cap> {
        self.of(service, |usage| {
            let Some(now) = now else {
                usage.cohorts.fetch_add(1, Ordering::AcqRel);
                self.cohorts.fetch_add(1, Ordering::AcqRel);
                return Ok(());
            };
            if !reserve(&usage.cohorts, self.limits.max_per_service) {
                return Err(Cap::Service);
            }
            if !reserve(&self.cohorts, self.limits.max_total) {
                release(&usage.cohorts);
                return Err(Cap::Total);
            }
            let most = self.limits.max_new_per_minute;
            let step = |packed| next_in_minute(packed, now, most);
            let minute = &usage.minute;
            if minute
                .try_update(Ordering::AcqRel, Ordering::Acquire, step)
                .is_err()
            {
                release(&usage.cohorts);
                release(&self.cohorts);
                return Err(Cap::Rate);
            }
            Ok(())
        })
    }

    /// Gives the places of a cohort back; the minute in which it was new stays used.
    pub(super) fn give_cohort(&self, service: &str) {
        release(&self.cohorts);
        self.of(service, |usage| release(&usage.cohorts));
    }

    /// Takes the place of a route; `forced` ones count but are not refused.
    pub(super) fn take_route(&self, service: &str, forced: bool) -> Result<(), Cap> {
        let max = if forced { u32::MAX } else { self.limits.max_routes };
        if self.of(service, |usage| reserve(&usage.routes, max)) {
            Ok(())
        } else {
            Err(Cap::Routes)
        }
    }

    /// Gives the place of a route back.
    pub(super) fn give_route(&self, service: &str) {
        self.of(service, |usage| release(&usage.routes));
    }

    /// Forgets a service of which nothing lives.
    pub(super) fn forget_if_empty(&self, service: &str) {
        self.services.remove_if(service, |_, usage| {
            let all = [&usage.totals, &usage.cohorts, &usage.routes];
            all.iter().all(|used| used.load(Ordering::Acquire) == 0)
        });
    }

    /// Runs `f` on the service's usage while its entry is held, so that a retiring service cannot be dropped
    /// under it.
    fn of<R>(&self, service: &str, f: impl FnOnce(&Usage) -> R) -> R {
        if let Some(usage) = self.services.get(service) {
            return f(&usage);
        }
        f(&self.services.entry(service.into()).or_default().downgrade())
    }
}

/// One more new cohort in the minute of `now`: the packed value to store, or `None` when the minute is full.
///
/// A batch that was stamped just before the minute turned counts into the newer minute; a clock that stepped
/// back by more starts afresh.
fn next_in_minute(packed: u64, now: UnixNanos, most: u32) -> Option<u64> {
    let (minute, new) = (packed >> 32, packed & u64::from(u32::MAX));
    let current = (now.secs() / 60) & u64::from(u32::MAX);
    let (minute, new) = if current == minute || current + 1 == minute {
        (minute, new)
    } else {
        (current, 0)
    };
    (new < u64::from(most)).then(|| (minute << 32) | (new + 1))
}
