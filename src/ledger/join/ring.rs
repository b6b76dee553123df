//! The memory of the join: spans in the order of their arrival, found by their ids, and evidence that waits.

use super::batch::{Batch, Group, Key, NONE, Place, Sighting, Told};
use super::shift::Shift;
use crate::cohort::flags::Rank;
use crate::config::Join as JoinConfig;
use crate::ledger::EventWeight;
use crate::ledger::signatures::Signature;
use crate::time::UnixNanos;
use hashbrown::{HashMap, HashTable};
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

/// A span that was seen.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) parent: u64,
    pub(super) service: u64,
    /// What it counted as; `None` when no objective counted it.
    pub(super) group: Option<Arc<Group>>,
    pub(super) signature: Option<Arc<Signature>>,
    pub(super) good: u64,
    pub(super) bad: u64,
    pub(super) weight: Option<EventWeight>,
    pub(super) arrived_secs: u64,
    pub(super) ends: bool,
    /// The first of the flags that evidence told of it.
    pub(super) joined: u32,
}

/// A flag that evidence told of a span.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) next: u32,
    pub(super) flag: u64,
    pub(super) rank: Rank,
    pub(super) at: u64,
    pub(super) variant: Option<Arc<str>>,
    pub(super) place: Option<Place>,
}

/// Evidence that waits for a span.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) told: Arc<[Told]>,
    pub(super) at: u64,
    pub(super) service: u64,
    /// It counted for a span further down.
    pub(super) joined: bool,
    /// Since when it waits, in seconds.
    pub(super) since_secs: u64,
}

impl Waiting {
    /// What it takes of the room to wait: one a flag.
    fn weight(&self) -> usize {
        self.told.len().max(1)
    }
}

/// See the module's words.
#[derive(Debug)]
pub(in crate::ledger) struct Ring {
    entries: VecDeque<Entry>,
    /// The number of the first entry; numbers wrap.
    first: u32,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    pub(super) nodes: Vec<Node>,
    free: u32,
    waiting: HashMap<Key, Vec<Waiting>, foldhash::fast::RandomState>,
    /// What waits since when, oldest first.
    queue: VecDeque<(u64, Key)>,
    /// Flags that wait.
    waiting_flags: usize,
    started: UnixNanos,
}

impl Ring {
    pub(super) fn new(started: UnixNanos) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            index: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            nodes: Vec::new(),
            free: NONE,
            waiting: HashMap::default(),
            queue: VecDeque::new(),
            waiting_flags: 0,
            started,
        }
    }

    /// Takes a batch in: what it changes of earlier and of its own counts is in `shift`.
    pub(in crate::ledger) fn absorb(&mut self, batch: &Batch, config: &JoinConfig, shift: &mut Shift<'_>) {
        self.expire(config, shift);
        shift.stats.without_context += batch.without_context;
        for seen in &batch.seen {
            self.insert(seen, batch, config, shift);
        }
        if self.waiting_flags > 0 {
            for seen in &batch.seen {
                for waiting in self.take_waiting(&seen.key, u64::MAX) {
                    self.climb(seen.key, waiting, config, shift);
                }
            }
        }
        for telling in &batch.tellings {
            let Some(told) = batch.told.get(telling.told as usize) else {
                continue;
            };
            let waiting = Waiting {
                told: Arc::clone(told),
                at: telling.at,
                service: batch.service(telling.origin),
                joined: false,
                since_secs: 0,
            };
            self.climb(telling.from, waiting, config, shift);
        }
        shift.stats.spans = self.entries.len();
        shift.stats.waiting = self.waiting_flags;
    }

    fn insert(&mut self, seen: &Sighting, batch: &Batch, config: &JoinConfig, shift: &mut Shift<'_>) {
        while self.entries.len() >= config.max_spans as usize {
            let Some(gone) = self.pop() else { break };
            shift.stats.evicted += u64::from(gone.group.is_some());
        }
        let number = self.first.wrapping_add(len32(self.entries.len()));
        self.entries.push_back(Entry {
            key: seen.key,
            parent: seen.parent,
            service: batch.service(seen.origin),
            group: batch.groups.get(seen.group as usize).cloned().flatten(),
            signature: batch.signatures.get(seen.signature as usize).cloned(),
            good: seen.good,
            bad: seen.bad,
            weight: seen.weight,
            arrived_secs: shift.now.secs(),
            ends: seen.ends,
            joined: NONE,
        });
        let Self {
            entries,
            first,
            index,
            hasher,
            ..
        } = self;
        let entry = |number: &u32| entries.get(number.wrapping_sub(*first) as usize);
        let hash = hasher.hash_one(seen.key);
        // A span that comes again takes the place of the one before.
        match index.find_mut(hash, |at| entry(at).is_some_and(|entry| entry.key == seen.key)) {
            Some(place) => *place = number,
            None => {
                index.insert_unique(hash, number, |at| {
                    entry(at).map_or(0, |entry| hasher.hash_one(entry.key))
                });
            }
        }
    }

    /// Lets go of the oldest entry.
    fn pop(&mut self) -> Option<Entry> {
        let number = self.first;
        let gone = self.entries.pop_front()?;
        self.first = self.first.wrapping_add(1);
        let hash = self.hasher.hash_one(gone.key);
        if let Ok(found) = self.index.find_entry(hash, |at| *at == number) {
            found.remove();
        }
        let mut node = gone.joined;
        while let Some(joined) = self.nodes.get_mut(node as usize) {
            let next = std::mem::replace(&mut joined.next, self.free);
            (joined.variant, joined.place) = (None, None);
            self.free = node;
            node = next;
        }
        Some(gone)
    }

    /// Lets go of what is older than is kept.
    fn expire(&mut self, config: &JoinConfig, shift: &mut Shift<'_>) {
        let oldest = shift.now.secs().saturating_sub(config.keep_secs);
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.arrived_secs < oldest)
        {
            self.pop();
        }
        while let Some((since, key)) = self.queue.front().copied() {
            if since >= oldest {
                break;
            }
            self.queue.pop_front();
            for waiting in self.take_waiting(&key, oldest) {
                if waiting.joined {
                    continue;
                }
                if waiting.at < self.started.0 {
                    shift.stats.before_start += 1;
                } else {
                    shift.stats.expired += 1;
                }
            }
        }
    }

    /// Lets evidence wait for the span `key`, if there is room.
    pub(super) fn park(
        &mut self,
        key: Key,
        mut waiting: Waiting,
        config: &JoinConfig,
        shift: &mut Shift<'_>,
    ) {
        let most = config.max_waiting as usize;
        if self.waiting_flags + waiting.weight() > most {
            shift.stats.refused += u64::from(!waiting.joined);
            return;
        }
        waiting.since_secs = shift.now.secs();
        self.waiting_flags += waiting.weight();
        self.queue.push_back((waiting.since_secs, key));
        self.waiting.entry(key).or_default().push(waiting);
        // Most evidence waits for moments, and its place in the queue is stale then.
        if self.queue.len() > 2 * most + 1024 {
            let waiting = &self.waiting;
            self.queue.retain(|(_, key)| waiting.contains_key(key));
        }
    }

    /// What waits for `key` since before `until`.
    fn take_waiting(&mut self, key: &Key, until: u64) -> Vec<Waiting> {
        let Some(mut taken) = self.waiting.remove(key) else {
            return Vec::new();
        };
        if taken.iter().any(|waiting| waiting.since_secs >= until) {
            let (old, young) = taken.into_iter().partition(|waiting| waiting.since_secs < until);
            taken = old;
            self.waiting.insert(*key, young);
        }
        self.waiting_flags -= taken.iter().map(Waiting::weight).sum::<usize>();
        taken
    }

    /// Whether another flag may be kept.
    pub(super) fn has_node_room(&self, config: &JoinConfig) -> bool {
        self.free != NONE || self.nodes.len() < 2 * config.max_spans as usize
    }

    /// The number of a span that is remembered.
    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        let is = |at: &u32| self.entry(*at).is_some_and(|entry| entry.key == *key);
        self.index.find(self.hasher.hash_one(key), is).copied()
    }

    pub(super) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(number.wrapping_sub(self.first) as usize)
    }

    /// Adds a flag to a span.
    pub(super) fn push_node(&mut self, number: u32, mut node: Node) {
        let at = number.wrapping_sub(self.first) as usize;
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        node.next = entry.joined;
        if let Some(free) = self.nodes.get_mut(self.free as usize) {
            let place = self.free;
            self.free = free.next;
            *free = node;
            entry.joined = place;
        } else {
            entry.joined = len32(self.nodes.len());
            self.nodes.push(node);
        }
    }
}

/// Entries and nodes are capped far below 2^32.
fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(NONE - 1)
}
