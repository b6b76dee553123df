//! Handles for cohorts and objectives, and the caps.
//!
//! Problem: shas, variants, services and environments come from telemetry, so anybody can invent ten million
//! of them. The property wanted: memory is bounded, cohorts that live keep counting exactly, and totals count
//! everything whatever happens. So each new cohort takes a place: of its service, of all, and of its
//! service's minute; without a place its events count in the service's [`Level::Overflow`]. A service's total
//! and overflow take no such place; they are bounded by `max_services` pairs of service and environment,
//! beyond which everything counts in [`OVERFLOW_SERVICE`].
//!
//! Exact under concurrency: places are taken and given back while the key's shard is locked, by
//! compare-and-swap, so that one key has one handle and a cap is neither exceeded nor refused early. Locks
//! are taken in one order (`ids`, then `services`, then `keys`). Rejected: one mutex over plain maps, which
//! every batch would take for each of its groups.

use super::encoding::{CohortRef, LevelRef, encode_objective, encode_stratum};
use super::interner::{Interner, release, reserve};
use super::{CohortId, CohortKey, Level, OVERFLOW_SERVICE, ObjectiveId, SourceId, Stratum, StratumId};
use crate::config::Cohorts;
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

type Hasher = foldhash::quality::RandomState;

/// Strata and sources that nobody sent for this long leave: four times what the evidence cells remember.
const EVIDENCE_NAMES_IDLE_SECS: u64 = 2 * 3600;

/// Environments of a service with a kept place that may have a total whatever `max_services` says.
const KEPT_ENVIRONMENTS: u32 = 16;

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
            Self::Batch => "batch_groups",
        }
    }
}

/// Where the events of a cohort count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interned {
    /// In the cohort itself.
    Live(CohortId),
    /// In an overflow cohort, because of a cap.
    Overflow(CohortId, Cap),
}

impl Interned {
    /// The handle, whichever it is.
    pub const fn id(self) -> CohortId {
        match self {
            Self::Live(id) | Self::Overflow(id, _) => id,
        }
    }
}

/// What one service (all its environments) uses of the caps.
#[derive(Debug, Default)]
struct Usage {
    /// Live deployment and flag cohorts.
    cohorts: AtomicU32,
    /// Live totals: one an environment.
    totals: AtomicU32,
    /// Minute number and new cohorts in it, as `minute << 32 | new`.
    minute: AtomicU64,
}

/// See the module's words. Shared by every batch; no lock is held across calls.
#[derive(Debug)]
pub struct Registry {
    ids: DashMap<Box<[u8]>, CohortId, Hasher>,
    keys: DashMap<CohortId, Arc<CohortKey>, Hasher>,
    services: DashMap<Box<str>, Usage, Hasher>,
    kept: DashMap<Box<str>, (), Hasher>,
    cohorts: AtomicU32,
    totals: AtomicU32,
    next: AtomicU32,
    objectives: Interner<ObjectiveName>,
    strata: Interner<Stratum>,
    sources: Interner<str>,
    limits: Cohorts,
}

/// [`OVERFLOW_SERVICE`]'s total; there from the start.
const OVERFLOW_TOTAL: CohortId = CohortId(0);
/// [`OVERFLOW_SERVICE`]'s overflow cohort; there from the start.
const OVERFLOW_REST: CohortId = CohortId(1);

impl Registry {
    /// An empty registry with the caps of `limits`.
    pub fn new(limits: &Cohorts) -> Self {
        let registry = Self {
            ids: DashMap::default(),
            keys: DashMap::default(),
            services: DashMap::default(),
            kept: DashMap::default(),
            cohorts: AtomicU32::new(0),
            totals: AtomicU32::new(0),
            next: AtomicU32::new(2),
            objectives: Interner::new(u32::MAX),
            strata: Interner::new(limits.max_evidence_cells),
            sources: Interner::new(limits.max_evidence_cells),
            limits: limits.clone(),
        };
        for (id, level) in [(OVERFLOW_TOTAL, Level::Total), (OVERFLOW_REST, Level::Overflow)] {
            let key = CohortKey {
                service: OVERFLOW_SERVICE.into(),
                environment: None,
                level,
            };
            let mut bytes = Vec::new();
            key.encode(&mut bytes);
            registry.keys.insert(id, Arc::new(key));
            registry.ids.insert(bytes.into(), id);
        }
        registry
    }

    /// Where `cohort`'s events count. A new cohort gets a handle if the caps leave room. `scratch` is only
    /// working space: kept by the caller, it makes the look-up of a known cohort free of allocation.
    pub fn intern(&self, cohort: &CohortRef<'_>, now: UnixNanos, scratch: &mut Vec<u8>) -> Interned {
        scratch.clear();
        cohort.encode(scratch);
        if let Some(id) = self.ids.get(scratch.as_slice()) {
            return Interned::Live(*id);
        }
        let admitted = match cohort.level {
            LevelRef::Total => self.admit_total(cohort, scratch, false),
            LevelRef::Overflow | LevelRef::Deployment(_) | LevelRef::Flag { .. } => {
                // The service comes first: cohorts of a service that is counted elsewhere are counted there
                // too.
                let total = CohortRef {
                    level: LevelRef::Total,
                    ..*cohort
                };
                if let Interned::Overflow(_, cap) = self.intern(&total, now, scratch) {
                    return Interned::Overflow(OVERFLOW_REST, cap);
                }
                scratch.clear();
                cohort.encode(scratch);
                self.admit_cohort(cohort, scratch, Some(now))
            }
        };
        match admitted {
            Ok(id) => Interned::Live(id),
            Err(Cap::Services) => Interned::Overflow(OVERFLOW_TOTAL, Cap::Services),
            Err(cap) => {
                let rest = CohortRef {
                    level: LevelRef::Overflow,
                    ..*cohort
                };
                Interned::Overflow(self.intern(&rest, now, scratch).id(), cap)
            }
        }
    }

    /// Takes a place for a service's total. `forced` places count but are not refused.
    fn admit_total(&self, cohort: &CohortRef<'_>, bytes: &[u8], forced: bool) -> Result<CohortId, Cap> {
        let forced = forced || self.has_kept_place(cohort.service);
        let max = if forced {
            u32::MAX
        } else {
            self.limits.max_services
        };
        if self.totals.load(Ordering::Acquire) >= max {
            return Err(Cap::Services);
        }
        match self.ids.entry(bytes.into()) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                if !reserve(&self.totals, max) {
                    return Err(Cap::Services);
                }
                let Some(id) = self.next_id() else {
                    release(&self.totals);
                    return Err(Cap::Services);
                };
                self.with_usage(cohort.service, |usage| {
                    usage.totals.fetch_add(1, Ordering::AcqRel)
                });
                // First the key, then the handle: whoever sees the handle can resolve it.
                self.keys.insert(id, Arc::new(cohort.to_key()));
                entry.insert(id);
                Ok(id)
            }
        }
    }

    /// Takes places for a cohort below the total. Without `now` (a restart) places count but are not refused.
    fn admit_cohort(
        &self,
        cohort: &CohortRef<'_>,
        bytes: &[u8],
        now: Option<UnixNanos>,
    ) -> Result<CohortId, Cap> {
        let capped = !matches!(cohort.level, LevelRef::Overflow | LevelRef::Total);
        // Before anything is allocated or locked for writing: a flood of invented names ends here.
        if capped && let Some(now) = now {
            self.with_usage(cohort.service, |usage| self.has_room(usage, now))?;
        }
        match self.ids.entry(bytes.into()) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                if capped {
                    self.with_usage(cohort.service, |usage| self.take_places(usage, now))?;
                }
                let Some(id) = self.next_id() else {
                    if capped {
                        self.with_usage(cohort.service, |usage| release(&usage.cohorts));
                        release(&self.cohorts);
                    }
                    return Ok(OVERFLOW_REST);
                };
                self.keys.insert(id, Arc::new(cohort.to_key()));
                entry.insert(id);
                Ok(id)
            }
        }
    }

    /// Keeps a place for a service that a policy names: strangers cannot crowd out its total. Holds for the
    /// first [`KEPT_ENVIRONMENTS`] environments of the service, since environments come from telemetry too.
    pub fn keep_place(&self, service: &str) {
        self.kept.insert(service.into(), ());
    }

    fn has_kept_place(&self, service: &str) -> bool {
        self.kept.contains_key(service)
            && self
                .services
                .get(service)
                .is_none_or(|usage| usage.totals.load(Ordering::Acquire) < KEPT_ENVIRONMENTS)
    }

    fn has_room(&self, usage: &Usage, now: UnixNanos) -> Result<(), Cap> {
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
    }

    fn take_places(&self, usage: &Usage, now: Option<UnixNanos>) -> Result<(), Cap> {
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
        if usage
            .minute
            .try_update(Ordering::AcqRel, Ordering::Acquire, step)
            .is_err()
        {
            release(&usage.cohorts);
            release(&self.cohorts);
            return Err(Cap::Rate);
        }
        Ok(())
    }

    /// Runs `f` on the service's usage while its entry is held, so that a retiring service cannot be dropped
    /// under it.
    fn with_usage<R>(&self, service: &str, f: impl FnOnce(&Usage) -> R) -> R {
        if let Some(usage) = self.services.get(service) {
            return f(&usage);
        }
        f(&self.services.entry(service.into()).or_default().downgrade())
    }

    /// A fresh handle; `None` when four billion were given out.
    fn next_id(&self) -> Option<CohortId> {
        let next = self
            .next
            .try_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_add(1));
        next.ok().map(CohortId)
    }

    /// Gives a cohort that lived before a restart its place back, whatever the caps say: what a store holds
    /// was admitted once. It counts against the caps of newcomers. Also the way to keep a place for a service
    /// that a policy names.
    pub fn restore(&self, key: &CohortKey) -> CohortId {
        let cohort = key.as_ref();
        let mut bytes = Vec::new();
        cohort.encode(&mut bytes);
        if let Some(id) = self.ids.get(bytes.as_slice()) {
            return *id;
        }
        let admitted = if key.level == Level::Total {
            self.admit_total(&cohort, &bytes, true)
        } else {
            self.restore(&CohortKey {
                level: Level::Total,
                ..key.clone()
            });
            self.admit_cohort(&cohort, &bytes, None)
        };
        admitted.unwrap_or(OVERFLOW_REST)
    }

    /// Frees the cohort's place. Its handle resolves no more, and is not given out again. Events that still
    /// arrive for the cohort make a new one. The two cohorts of [`OVERFLOW_SERVICE`] stay.
    pub fn retire(&self, id: CohortId) -> bool {
        if id <= OVERFLOW_REST {
            return false;
        }
        let Some(key) = self.key(id) else { return false };
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        let Entry::Occupied(entry) = self.ids.entry(bytes.into()) else {
            return false;
        };
        if *entry.get() != id {
            return false;
        }
        match key.level {
            Level::Total => {
                release(&self.totals);
                self.with_usage(&key.service, |usage| release(&usage.totals));
            }
            Level::Deployment { .. } | Level::Flag { .. } => {
                release(&self.cohorts);
                self.with_usage(&key.service, |usage| release(&usage.cohorts));
            }
            Level::Overflow => {}
        }
        self.services.remove_if(&*key.service, |_, usage| {
            usage.totals.load(Ordering::Acquire) == 0 && usage.cohorts.load(Ordering::Acquire) == 0
        });
        self.keys.remove(&id);
        entry.remove();
        true
    }

    /// The cohort behind a handle; `None` when it has left.
    pub fn key(&self, id: CohortId) -> Option<Arc<CohortKey>> {
        self.keys.get(&id).map(|key| Arc::clone(&key))
    }

    /// The handle of a live cohort; makes none.
    pub fn find(&self, key: &CohortKey) -> Option<CohortId> {
        let mut bytes = Vec::new();
        key.encode(&mut bytes);
        self.ids.get(bytes.as_slice()).map(|id| *id)
    }

    /// The handle of an objective. Objectives are bounded by the services and by the policies' SLOs; they
    /// take no place.
    pub fn objective_id(&self, service: &str, slo: &str, scratch: &mut Vec<u8>) -> ObjectiveId {
        scratch.clear();
        encode_objective(service, slo, scratch);
        let make = || {
            Arc::new(ObjectiveName {
                service: service.into(),
                slo: slo.into(),
            })
        };
        ObjectiveId(self.objectives.intern(scratch, UnixNanos(0), make))
    }

    /// The objective behind a handle.
    pub fn objective(&self, id: ObjectiveId) -> Option<Arc<ObjectiveName>> {
        self.objectives.get(id.0)
    }

    /// The handle of a stratum; [`StratumId::OVERFLOW`] beyond the cap.
    pub fn stratum_id(
        &self,
        endpoint: &str,
        region: Option<&str>,
        now: UnixNanos,
        scratch: &mut Vec<u8>,
    ) -> StratumId {
        scratch.clear();
        encode_stratum(endpoint, region, scratch);
        let make = || {
            Arc::new(Stratum {
                endpoint: endpoint.into(),
                region: region.map(Arc::from),
            })
        };
        StratumId(self.strata.intern(scratch, now, make))
    }

    /// The stratum behind a handle; `None` for the overflow and for one that has left.
    pub fn stratum(&self, id: StratumId) -> Option<Arc<Stratum>> {
        self.strata.get(id.0)
    }

    /// The handle of a source; [`SourceId::OVERFLOW`] beyond the cap.
    pub fn source_id(&self, source: &str, now: UnixNanos) -> SourceId {
        SourceId(self.sources.intern(source.as_bytes(), now, || source.into()))
    }

    /// The source behind a handle; `None` for the overflow and for one that has left.
    pub fn source(&self, id: SourceId) -> Option<Arc<str>> {
        self.sources.get(id.0)
    }

    /// Forgets strata and sources that no evidence cell can still refer to. For the tick, about once a
    /// minute.
    pub fn sweep(&self, now: UnixNanos) {
        self.strata.sweep(now, EVIDENCE_NAMES_IDLE_SECS);
        self.sources.sweep(now, EVIDENCE_NAMES_IDLE_SECS);
    }

    /// What lives now, for the gateway's own metrics.
    pub fn stats(&self) -> RegistryStats {
        RegistryStats {
            cohorts: self.cohorts.load(Ordering::Acquire),
            totals: self.totals.load(Ordering::Acquire),
            objectives: self.objectives.len(),
            strata: self.strata.len(),
            sources: self.sources.len(),
        }
    }
}

/// What lives in a [`Registry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryStats {
    /// Deployment and flag cohorts.
    pub cohorts: u32,
    /// Pairs of service and environment.
    pub totals: u32,
    /// Objectives.
    pub objectives: u32,
    /// Strata.
    pub strata: u32,
    /// Sources.
    pub sources: u32,
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::sync::Barrier;

    const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);

    fn caps(per_service: u32, total: u32, per_minute: u32, services: u32) -> Registry {
        Registry::new(&Cohorts {
            max_per_service: per_service,
            max_total: total,
            max_new_per_minute: per_minute,
            max_services: services,
            ..Cohorts::default()
        })
    }

    fn sha<'a>(service: &'a str, sha: &'a str) -> CohortRef<'a> {
        CohortRef {
            service,
            environment: Some("production"),
            level: LevelRef::Deployment(sha),
        }
    }

    fn intern(registry: &Registry, cohort: &CohortRef<'_>, now: UnixNanos) -> Interned {
        registry.intern(cohort, now, &mut Vec::new())
    }

    #[test]
    fn a_handle_resolves_to_the_key_it_was_given_for() {
        let registry = caps(9, 9, 9, 9);
        let Interned::Live(id) = intern(&registry, &sha("checkout", "abc"), NOW) else {
            panic!("refused")
        };
        assert_eq!(
            intern(&registry, &sha("checkout", "abc"), NOW),
            Interned::Live(id)
        );
        assert_eq!(
            registry.key(id).as_deref(),
            Some(&sha("checkout", "abc").to_key())
        );
        assert_eq!(registry.find(&sha("checkout", "abc").to_key()), Some(id));
        assert_eq!(registry.find(&sha("checkout", "abd").to_key()), None);
        assert_eq!(registry.stats().totals, 1);
    }

    #[test]
    fn each_cap_sends_newcomers_to_the_overflow_of_their_service() {
        let cases = [
            (caps(1, 9, 9, 9), Cap::Service),
            (caps(9, 1, 9, 9), Cap::Total),
            (caps(9, 9, 1, 9), Cap::Rate),
        ];
        for (registry, cap) in cases {
            let first = intern(&registry, &sha("checkout", "a"), NOW);
            let Interned::Overflow(id, why) = intern(&registry, &sha("checkout", "b"), NOW) else {
                panic!("{cap:?} did not hold");
            };
            assert_eq!(why, cap);
            let key = registry.key(id).unwrap();
            assert_eq!((&*key.service, &key.level), ("checkout", &Level::Overflow));
            assert_eq!(intern(&registry, &sha("checkout", "a"), NOW), first, "{cap:?}");
        }
    }

    #[test]
    fn the_next_minute_admits_again() {
        let registry = caps(9, 9, 1, 9);
        intern(&registry, &sha("s", "a"), NOW);
        assert!(matches!(
            intern(&registry, &sha("s", "b"), NOW),
            Interned::Overflow(_, Cap::Rate)
        ));
        assert!(matches!(
            intern(&registry, &sha("s", "b"), NOW.plus_secs(60)),
            Interned::Live(_)
        ));
        // A batch that was stamped before the minute turned does not open the old minute again.
        assert!(matches!(
            intern(&registry, &sha("s", "c"), NOW),
            Interned::Overflow(_, Cap::Rate)
        ));
    }

    #[test]
    fn services_beyond_the_cap_count_together() {
        let registry = caps(9, 9, 9, 1);
        intern(&registry, &sha("first", "a"), NOW);
        let total = CohortRef {
            service: "second",
            environment: None,
            level: LevelRef::Total,
        };
        let Interned::Overflow(id, Cap::Services) = intern(&registry, &total, NOW) else {
            panic!("admitted")
        };
        assert_eq!(&*registry.key(id).unwrap().service, OVERFLOW_SERVICE);
        let Interned::Overflow(rest, Cap::Services) = intern(&registry, &sha("second", "a"), NOW) else {
            panic!("admitted");
        };
        let key = registry.key(rest).unwrap();
        assert_eq!((&*key.service, &key.level), (OVERFLOW_SERVICE, &Level::Overflow));
    }

    #[test]
    fn a_service_with_a_policy_is_never_crowded_out() {
        let registry = caps(9, 9, 9, 1);
        registry.keep_place("named");
        intern(&registry, &sha("stranger", "a"), NOW);
        assert!(matches!(
            intern(&registry, &sha("named", "a"), NOW),
            Interned::Live(_)
        ));
        assert!(matches!(
            intern(&registry, &sha("other", "a"), NOW),
            Interned::Overflow(_, Cap::Services)
        ));
        for n in 0..40 {
            let environment = n.to_string();
            let total = CohortRef {
                service: "named",
                environment: Some(&environment),
                level: LevelRef::Total,
            };
            intern(&registry, &total, NOW);
        }
        assert!(registry.stats().totals <= KEPT_ENVIRONMENTS + 1);
    }

    #[test]
    fn retiring_frees_the_place_and_the_handle_stays_dead() {
        let registry = caps(1, 1, 9, 9);
        let old = intern(&registry, &sha("s", "a"), NOW).id();
        assert!(registry.retire(old));
        assert!(!registry.retire(old));
        assert_eq!((registry.key(old), registry.stats().cohorts), (None, 0));
        let Interned::Live(new) = intern(&registry, &sha("s", "b"), NOW) else {
            panic!("no place")
        };
        assert!(new > old);
        let total = CohortRef {
            level: LevelRef::Total,
            ..sha("s", "")
        };
        assert!(registry.retire(intern(&registry, &total, NOW).id()));
        assert!(!registry.retire(OVERFLOW_TOTAL));
    }

    #[test]
    fn a_restart_restores_beyond_the_rate_and_fills_the_caps() {
        let registry = caps(2, 9, 1, 9);
        let ids: HashSet<_> = ["a", "b"]
            .iter()
            .map(|s| registry.restore(&sha("s", s).to_key()))
            .collect();
        assert_eq!(ids.len(), 2);
        assert_eq!(
            registry.restore(&sha("s", "a").to_key()),
            registry.find(&sha("s", "a").to_key()).unwrap()
        );
        assert_eq!((registry.stats().cohorts, registry.stats().totals), (2, 1));
        assert!(matches!(
            intern(&registry, &sha("s", "c"), NOW),
            Interned::Overflow(_, Cap::Service)
        ));
    }

    #[test]
    fn a_flood_of_shas_leaves_the_living_exact_and_memory_bounded() {
        let flood = std::env::var_os("BURNGATE_LONG").map_or(200_000u32, |_| 10_000_000);
        let registry = caps(1_000, 5_000, 100, 10);
        let mut scratch = Vec::new();
        let living = registry.intern(&sha("s", "living"), NOW, &mut scratch);
        for n in 0..flood {
            let name = n.to_string();
            let now = NOW.plus_secs(u64::from(n) / 1_000);
            let place = registry.intern(&sha("s", &name), now, &mut scratch);
            assert!(matches!(place, Interned::Live(_)) || n >= 99);
            assert_eq!(registry.intern(&sha("s", "living"), now, &mut scratch), living);
        }
        assert!(registry.stats().cohorts <= 1_000);
        // The two of the overflow service, the total, the overflow, and the admitted.
        assert!(registry.keys.len() <= 1_004 && registry.ids.len() == registry.keys.len());
    }

    #[test]
    fn threads_that_meet_agree_on_handles_and_never_pass_a_cap() {
        let registry = caps(300, 500, u32::MAX, 4);
        let barrier = Barrier::new(4);
        let seen: Vec<Vec<(u32, Interned)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4u32)
                .map(|thread| {
                    let (registry, barrier) = (&registry, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let step = |n: u32| (n * 7 + thread * 131) % 800;
                        let service = |n: u32| if n.is_multiple_of(2) { "even" } else { "odd" };
                        (0..800)
                            .map(step)
                            .map(|n| (n, intern(registry, &sha(service(n), &n.to_string()), NOW)))
                            .collect()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut by_name = std::collections::HashMap::new();
        for (name, place) in seen.into_iter().flatten() {
            if let Interned::Live(id) = place {
                assert_eq!(*by_name.entry(name).or_insert(id), id, "one key, one handle");
            }
        }
        assert_eq!(by_name.values().collect::<HashSet<_>>().len(), by_name.len());
        assert_eq!(
            (by_name.len(), registry.stats().cohorts),
            (500, 500),
            "full, and not one more"
        );
    }

    proptest! {
        #[test]
        fn places_are_what_lives(steps in proptest::collection::vec((0u8..3, 0u8..4, 0u8..12), 1..200)) {
            let registry = caps(5, 8, 50, 3);
            let mut live = HashSet::new();
            for (action, service, name) in steps {
                let (service, name) = (format!("s{service}"), name.to_string());
                let cohort = sha(&service, &name);
                match action {
                    0 | 1 => if let Interned::Live(id) = intern(&registry, &cohort, NOW) { live.insert(id); },
                    _ => if let Some(id) = registry.find(&cohort.to_key()) {
                        prop_assert!(registry.retire(id) && live.remove(&id));
                    },
                }
                prop_assert_eq!(registry.stats().cohorts as usize, live.len());
                prop_assert!(live.len() <= 8 && registry.stats().totals <= 3);
            }
        }
    }
}
