//! All series, spread over locks: a batch takes each lock once, and a flush one after the other.

use super::gather::{SHARDS, Scratch, shard_of};
use super::key::Parts;
use super::plan::{Own, Plan};
use super::series::Series;
use crate::time::UnixNanos;
use hashbrown::HashTable;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One series with its identity.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) hash: u64,
    pub(super) key: Box<[u8]>,
    pub(super) series: Series,
}

/// Memory of a row beside its series and key: the table's own.
const ROW_BYTES: usize = 32;

/// A resource and a family: what a limit of series is for.
type Scope = (u32, u8);

/// What may be kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Series of one resource and metric; 0 is without limit.
    pub(super) series_max: usize,
    pub(super) bytes_max: u64,
    pub(super) series_expiration: Duration,
    pub(super) group_expiration: Duration,
}

/// The series of one connector.
#[derive(Debug)]
pub(super) struct State {
    shards: [Mutex<HashTable<Row>>; SHARDS],
    /// What lies beyond a limit.
    overflow: Mutex<HashMap<Scope, Series>>,
    /// Series by scope, kept where they are limited.
    live: Mutex<HashMap<Scope, usize>>,
    bytes: AtomicU64,
    /// The last flush, or the start.
    last_flush: AtomicU64,
    limits: Limits,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The family and the resource that a key begins with.
pub(super) fn scope_of(key: &[u8]) -> Option<(Scope, &[u8])> {
    let (family, rest) = key.split_first()?;
    let (resource, rest) = rest.split_first_chunk::<4>()?;
    Some(((u32::from_le_bytes(*resource), *family), rest))
}

impl State {
    pub(super) fn new(now: UnixNanos, limits: Limits) -> Self {
        Self {
            shards: Default::default(),
            overflow: Mutex::default(),
            live: Mutex::default(),
            bytes: AtomicU64::new(0),
            last_flush: AtomicU64::new(now.0),
            limits,
        }
    }

    /// Adds one batch. Returns how many spans (or events) counted in an overflow series.
    pub(super) fn absorb(&self, now: UnixNanos, plan: &Plan, scratch: &Scratch) -> u64 {
        let mut overflowed = 0;
        for (entries, shard) in scratch.by_shard.iter().zip(&self.shards) {
            if entries.is_empty() {
                continue;
            }
            let mut table = locked(shard);
            for entry in entries {
                let key = scratch.key(entry);
                let known = table.find_mut(entry.hash, |row| row.hash == entry.hash && *row.key == *key);
                if let Some(row) = known {
                    row.series
                        .add(now, &entry.seen, &plan.shape, plan.unit_nanos, plan.exemplars);
                    continue;
                }
                let Some((scope, _)) = scope_of(key) else { continue };
                let mut series = self.new_series(plan, scope);
                if self.has_room(scope, &series, key.len()) {
                    series.add(now, &entry.seen, &plan.shape, plan.unit_nanos, plan.exemplars);
                    let row = Row {
                        hash: entry.hash,
                        key: key.into(),
                        series,
                    };
                    table.insert_unique(entry.hash, row, |row| row.hash);
                } else {
                    overflowed += 1;
                    let mut overflow = locked(&self.overflow);
                    let series = overflow.entry(scope).or_insert(series);
                    series.add(now, &entry.seen, &plan.shape, plan.unit_nanos, plan.exemplars);
                }
            }
        }
        overflowed
    }

    /// It began after the last flush, as it was not told then.
    fn new_series(&self, plan: &Plan, (_, family): Scope) -> Series {
        let start = UnixNanos(self.last_flush.load(Ordering::Relaxed));
        let with_durations = plan
            .families
            .get(usize::from(family))
            .is_some_and(|family| family.duration);
        Series::new(start, with_durations, &plan.shape)
    }

    fn has_room(&self, scope: Scope, series: &Series, key_bytes: usize) -> bool {
        let bytes = (series.bytes() + key_bytes + ROW_BYTES) as u64;
        if self.bytes.load(Ordering::Relaxed) + bytes > self.limits.bytes_max {
            return false;
        }
        if self.limits.series_max > 0 {
            let mut live = locked(&self.live);
            let count = live.entry(scope).or_insert(0);
            if *count >= self.limits.series_max {
                return false;
            }
            *count += 1;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// Hands every series to `tell`, and then forgets what is too old. `None` instead of a key is an
    /// overflow.
    pub(super) fn flush(
        &self,
        now: UnixNanos,
        plan: &Plan,
        mut tell: impl FnMut(Scope, Option<&[u8]>, &Series),
    ) {
        let delta = plan.delta.then_some(now);
        for shard in &self.shards {
            for row in locked(shard).iter_mut() {
                if let Some((scope, parts)) = scope_of(&row.key)
                    && (!plan.delta || row.series.changed)
                {
                    tell(scope, Some(parts), &row.series);
                    row.series.flushed(delta);
                }
            }
        }
        for (scope, series) in locked(&self.overflow).iter_mut() {
            if !plan.delta || series.changed {
                tell(*scope, None, series);
                series.flushed(delta);
            }
        }
        self.last_flush.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Every series, to be written down.
    pub(super) fn each(&self, mut tell: impl FnMut(Scope, Option<&[u8]>, &Series)) {
        for shard in &self.shards {
            for row in locked(shard).iter() {
                if let Some((scope, parts)) = scope_of(&row.key) {
                    tell(scope, Some(parts), &row.series);
                }
            }
        }
        for (scope, series) in locked(&self.overflow).iter() {
            tell(*scope, None, series);
        }
    }

    /// Forgets series that nothing came for; returns the resources that still have some.
    pub(super) fn expire(&self, now: UnixNanos, plan: &Plan) -> HashSet<u32> {
        let old = |last: UnixNanos, limit: Duration| {
            !limit.is_zero() && u128::from(now.0.saturating_sub(last.0)) >= limit.as_nanos()
        };
        let mut newest: HashMap<(u32, Vec<u8>), UnixNanos> = HashMap::new();
        if !self.limits.group_expiration.is_zero() {
            for shard in &self.shards {
                for row in locked(shard).iter() {
                    let last = newest.entry(group_of(plan, &row.key)).or_default();
                    *last = (*last).max(row.series.last_seen);
                }
            }
        }
        let mut live = HashSet::new();
        for shard in &self.shards {
            locked(shard).retain(|row| {
                let group = newest.get(&group_of_if(!newest.is_empty(), plan, &row.key));
                let expired = !row.series.changed
                    && (old(row.series.last_seen, self.limits.series_expiration)
                        || group.is_some_and(|last| old(*last, self.limits.group_expiration)));
                self.keep(row, !expired, &mut live)
            });
        }
        locked(&self.overflow).retain(|(resource, _), series| {
            let kept = series.changed || !old(series.last_seen, self.limits.series_expiration);
            if kept {
                live.insert(*resource);
            }
            kept
        });
        live
    }

    /// Forgets the series of `resources`.
    pub(super) fn evict(&self, resources: &HashSet<u32>) {
        if resources.is_empty() {
            return;
        }
        for shard in &self.shards {
            locked(shard).retain(|row| {
                let gone = scope_of(&row.key).is_some_and(|((resource, _), _)| resources.contains(&resource));
                self.keep(row, !gone, &mut HashSet::new())
            });
        }
        locked(&self.overflow).retain(|(resource, _), _| !resources.contains(resource));
    }

    fn keep(&self, row: &Row, kept: bool, live: &mut HashSet<u32>) -> bool {
        let Some((scope, _)) = scope_of(&row.key) else {
            return false;
        };
        if kept {
            live.insert(scope.0);
        } else {
            let bytes = (row.series.bytes() + row.key.len() + ROW_BYTES) as u64;
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            if let Some(count) = locked(&self.live).get_mut(&scope) {
                *count = count.saturating_sub(1);
            }
        }
        kept
    }

    /// A series that was written down.
    pub(super) fn restore(&self, hash: u64, key: &[u8], series: Series) {
        let Some((scope, parts)) = scope_of(key) else {
            return;
        };
        if parts.is_empty() {
            locked(&self.overflow).insert(scope, series);
        } else if self.has_room(scope, &series, key.len())
            && let Some(shard) = self.shards.get(shard_of(hash))
        {
            let row = Row {
                hash,
                key: key.into(),
                series,
            };
            locked(shard).insert_unique(hash, row, |row| row.hash);
        }
    }

    /// Series, overflow among them.
    pub(super) fn len(&self) -> usize {
        let rows: usize = self.shards.iter().map(|shard| locked(shard).len()).sum();
        rows + locked(&self.overflow).len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What `metrics_expiration` looks at together: a resource, or a service where resources are not kept apart.
fn group_of(plan: &Plan, key: &[u8]) -> (u32, Vec<u8>) {
    let Some(((resource, _), parts)) = scope_of(key) else {
        return (0, Vec::new());
    };
    let by_service = plan.every.is_none() && matches!(plan.own.first(), Some((Own::Service, _)));
    let service = if by_service { Parts(parts).text() } else { None };
    (resource, service.unwrap_or_default().to_vec())
}

fn group_of_if(wanted: bool, plan: &Plan, key: &[u8]) -> (u32, Vec<u8>) {
    if wanted {
        group_of(plan, key)
    } else {
        (0, Vec::new())
    }
}
