//! Resources that are kept apart, where the configuration wants that, each with a number.

use super::super::proto;
use super::key;
use super::key::Parts;
use crate::time::UnixNanos;
use crate::wire::{Attributes, PrefixId};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The resource without attributes: everybody's where they are not kept apart, and of those beyond the limit.
pub(super) const SHARED: u32 = 0;

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) id: u32,
    /// Its attributes, as fields of the message `Resource`.
    pub(super) attributes: Vec<u8>,
    pub(super) last_used: UnixNanos,
}

#[derive(Debug, Default)]
struct Known {
    by_identity: HashMap<Box<[u8]>, Resource>,
    next: u32,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Resources {
    known: Mutex<Known>,
    /// Kept after a flush; twice as many between two.
    kept_max: usize,
}

impl Resources {
    pub(super) fn new(kept_max: usize) -> Self {
        Self {
            known: Mutex::default(),
            kept_max,
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a resource, by those of its attributes that tell it apart. Once a resource of a batch,
    /// not once a span.
    pub(super) fn id_of(
        &self,
        attributes: &Attributes<'_>,
        every: PrefixId,
        wanted: &[Box<str>],
        now: UnixNanos,
    ) -> u32 {
        let mut all: Vec<_> = attributes
            .prefixed()
            .iter()
            .filter(|(prefix, ..)| *prefix == every)
            .map(|(_, name, value)| (*name, *value))
            .collect();
        // Stable, and the last of a name counts.
        all.reverse();
        all.sort_by_key(|(name, _)| *name);
        all.dedup_by_key(|(name, _)| *name);
        let mut identity = Vec::new();
        for (name, value) in &all {
            if wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_bytes() == *name) {
                key::put_name(&mut identity, name);
                key::put_value(&mut identity, *value);
            }
        }
        let mut known = self.known();
        if let Some(resource) = known.by_identity.get_mut(identity.as_slice()) {
            resource.last_used = resource.last_used.max(now);
            return resource.id;
        }
        if known.by_identity.len() >= self.kept_max.saturating_mul(2) {
            return SHARED;
        }
        known.next = known.next.checked_add(1).unwrap_or(SHARED);
        let id = known.next;
        let mut encoded = Vec::new();
        for (name, value) in all {
            let (mut part, mut any) = (Vec::new(), Vec::new());
            key::put_value(&mut part, value);
            if Parts(&part).any(&mut any) == Some(true) {
                proto::attribute(&mut encoded, 1, &lossless(name), &any);
            }
        }
        let resource = Resource {
            id,
            attributes: encoded,
            last_used: now,
        };
        known.by_identity.insert(identity.into(), resource);
        id
    }

    /// Forgets those that were used least recently beyond the limit, and those that `unused` says; tells
    /// which.
    pub(super) fn evict(&self, live: &HashSet<u32>) -> HashSet<u32> {
        let mut known = self.known();
        known
            .by_identity
            .retain(|_, resource| live.contains(&resource.id));
        let excess = known.by_identity.len().saturating_sub(self.kept_max);
        if excess == 0 {
            return HashSet::new();
        }
        let mut by_age: Vec<_> = known
            .by_identity
            .values()
            .map(|resource| (resource.last_used, resource.id))
            .collect();
        by_age.sort_unstable();
        let evicted: HashSet<u32> = by_age.into_iter().take(excess).map(|(_, id)| id).collect();
        known
            .by_identity
            .retain(|_, resource| !evicted.contains(&resource.id));
        evicted
    }

    /// Attributes by number.
    pub(super) fn attributes(&self) -> HashMap<u32, Vec<u8>> {
        let known = self.known();
        let of = |resource: &Resource| (resource.id, resource.attributes.clone());
        known.by_identity.values().map(of).collect()
    }

    /// All, to be written down.
    pub(super) fn snapshot(&self) -> Vec<(Box<[u8]>, Resource)> {
        let known = self.known();
        known
            .by_identity
            .iter()
            .map(|(identity, it)| (identity.clone(), it.clone()))
            .collect()
    }

    /// One that was written down.
    pub(super) fn restore(&self, identity: &[u8], resource: Resource) {
        let mut known = self.known();
        known.next = known.next.max(resource.id);
        known.by_identity.insert(identity.into(), resource);
    }
}

fn lossless(name: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match String::from_utf8_lossy(name) {
        std::borrow::Cow::Borrowed(text) => text.as_bytes().into(),
        std::borrow::Cow::Owned(text) => text.into_bytes().into(),
    }
}
