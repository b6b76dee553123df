//! Handles for cohorts and objectives, within the caps.
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
use super::interner::Interner;
use super::places::{Cap, Places};
use super::{CohortId, CohortKey, Level, OVERFLOW_SERVICE, ObjectiveId, SourceId, Stratum, StratumId};
use crate::config::Cohorts;
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

type Hasher = foldhash::quality::RandomState;

/// Strata and sources that nobody sent for this long leave: four times what the evidence cells remember.
const EVIDENCE_NAMES_IDLE_SECS: u64 = 2 * 3600;

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

/// See the module's words. Shared by every batch; no lock is held across calls.
#[derive(Debug)]
pub struct Registry {
    ids: DashMap<Box<[u8]>, CohortId, Hasher>,
    keys: DashMap<CohortId, Arc<CohortKey>, Hasher>,
    places: Places,
    next: AtomicU32,
    objectives: Interner<ObjectiveName>,
    strata: Interner<Stratum>,
    sources: Interner<str>,
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
            places: Places::new(limits),
            next: AtomicU32::new(2),
            objectives: Interner::new(u32::MAX),
            strata: Interner::new(limits.max_evidence_cells),
            sources: Interner::new(limits.max_evidence_cells),
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
            LevelRef::Overflow | LevelRef::Deployment(_) | LevelRef::Flag { .. } | LevelRef::Route(_) => {
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
            // Routes beyond their cap count in no overflow: they are cuts of the total, whose events have
            // cohorts of their own.
            Err(Cap::Routes) => Interned::Overflow(OVERFLOW_REST, Cap::Routes),
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
        let max = self.places.max_totals(cohort.service, forced);
        if self.places.totals() >= max {
            return Err(Cap::Services);
        }
        match self.ids.entry(bytes.into()) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                self.places.take_total(cohort.service, max)?;
                let Some(id) = self.next_id() else {
                    self.places.give_total(cohort.service);
                    return Err(Cap::Services);
                };
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
        if matches!(cohort.level, LevelRef::Route(_)) {
            return self.admit_route(cohort, bytes, now.is_none());
        }
        let capped = !matches!(cohort.level, LevelRef::Overflow | LevelRef::Total);
        // Before anything is allocated or locked for writing: a flood of invented names ends here.
        if capped && let Some(now) = now {
            self.places.has_room(cohort.service, now)?;
        }
        match self.ids.entry(bytes.into()) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                if capped {
                    self.places.take_cohort(cohort.service, now)?;
                }
                let Some(id) = self.next_id() else {
                    if capped {
                        self.places.give_cohort(cohort.service);
                    }
                    return Ok(OVERFLOW_REST);
                };
                self.keys.insert(id, Arc::new(cohort.to_key()));
                entry.insert(id);
                Ok(id)
            }
        }
    }

    /// Takes a place for a route. `forced` places count but are not refused.
    fn admit_route(&self, cohort: &CohortRef<'_>, bytes: &[u8], forced: bool) -> Result<CohortId, Cap> {
        match self.ids.entry(bytes.into()) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                self.places.take_route(cohort.service, forced)?;
                let Some(id) = self.next_id() else {
                    self.places.give_route(cohort.service);
                    return Err(Cap::Routes);
                };
                self.keys.insert(id, Arc::new(cohort.to_key()));
                entry.insert(id);
                Ok(id)
            }
        }
    }

    /// Keeps a place for a service that a policy names: strangers cannot crowd out its total.
    pub fn keep_place(&self, service: &str) {
        self.places.keep(service);
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
            Level::Total => self.places.give_total(&key.service),
            Level::Deployment { .. } | Level::Flag { .. } => self.places.give_cohort(&key.service),
            Level::Route { .. } => self.places.give_route(&key.service),
            Level::Overflow => {}
        }
        self.places.forget_if_empty(&key.service);
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
            cohorts: self.places.cohorts(),
            totals: self.places.totals(),
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

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
