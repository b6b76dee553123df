//! Batches that wait for others, and the requests that they become. Time is an argument.

use super::entry::{Entry, Part, Unreadable};
use crate::forward::merge::Pieces;
use crate::forward::otlp::{Dropped, Failure, Meters};
use crate::pipeline::{Batching, Signal};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::Code;

/// One request to send.
#[derive(Debug)]
pub(in crate::forward) struct Job {
    pub(in crate::forward) signal: Signal,
    pub(in crate::forward) parts: Vec<Part>,
}

impl Job {
    /// Items in it.
    pub(in crate::forward) fn items(&self) -> u64 {
        self.parts.iter().map(Part::items).sum()
    }

    /// The request. Parts that cannot be read are taken out, counted, and done with.
    pub(in crate::forward) async fn load(&mut self, meters: &Meters) -> Pieces {
        let mut pieces = Pieces::with_capacity(self.parts.len());
        let mut unreadable = Vec::new();
        for part in std::mem::take(&mut self.parts) {
            match part.load().await {
                Ok(more) => {
                    pieces.extend(more);
                    self.parts.push(part);
                }
                Err(Unreadable) => unreadable.push(part),
            }
        }
        if !unreadable.is_empty() {
            let items: u64 = unreadable.iter().map(Part::items).sum();
            meters.corrupt(unreadable.len() as u64);
            meters.dropped(self.signal, items, Dropped::Unreadable);
            tracing::error!(
                items,
                "damaged batches of the persistent queue were dropped; the rest is sent"
            );
            let failure = Failure::of(Code::DataLoss, "the batch cannot be read back from its queue");
            Part::settle_all(unreadable, &Err(failure)).await;
        }
        pieces
    }
}

/// Batches that may leave together: of one signal, one wish, and equal values of its metadata keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    signal: Signal,
    id: Arc<str>,
    values: Arc<[Box<str>]>,
}

/// What waits under one key.
#[derive(Debug)]
struct Group {
    wish: Arc<Batching>,
    parts: std::collections::VecDeque<Part>,
    size: u64,
    due: Instant,
}

/// All groups of a queue.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<Key, Group>,
    /// Id of the wish whose sizes are bytes instead of items.
    by_bytes: Option<Arc<str>>,
}

impl Groups {
    pub(super) fn new(by_bytes: Option<Arc<str>>) -> Self {
        Self {
            groups: HashMap::new(),
            by_bytes,
        }
    }

    fn size_of(&self, id: &str, part: &Part) -> u64 {
        if self.by_bytes.as_deref() == Some(id) {
            part.bytes().max(1)
        } else {
            part.items()
        }
    }

    /// Adds a batch; what is to leave now goes to `ready`. Whether it is the first of its group.
    pub(super) fn add(
        &mut self,
        entry: Arc<Entry>,
        wish: &Arc<Batching>,
        values: Arc<[Box<str>]>,
        now: Instant,
        ready: &mut impl FnMut(Job),
    ) -> bool {
        let mut key = Key {
            signal: entry.signal,
            id: wish.id.clone(),
            values,
        };
        let limit = wish.metadata_cardinality_limit;
        if limit > 0 && !key.values.is_empty() && !self.groups.contains_key(&key) {
            let sets = self
                .groups
                .keys()
                .filter(|it| it.id == key.id && it.signal == key.signal);
            if sets.count() >= limit {
                key.values = Arc::new([]);
            }
        }
        let part = Part::whole(entry);
        let size = self.size_of(&wish.id, &part);
        let group = self.groups.entry(key.clone()).or_insert_with(|| Group {
            wish: wish.clone(),
            parts: std::collections::VecDeque::new(),
            size: 0,
            due: now + wish.timeout,
        });
        group.size += size;
        group.parts.push_back(part);
        let first = group.parts.len() == 1;
        let at_once = wish.timeout.is_zero();
        self.leave(&key, at_once, now, ready);
        first
    }

    /// What is due leaves, whatever its size.
    pub(super) fn flush(&mut self, now: Instant, all: bool, ready: &mut impl FnMut(Job)) {
        let due = self.groups.iter().filter(|(_, group)| all || group.due <= now);
        let keys: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.leave(&key, true, now, ready);
        }
    }

    /// When the next is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.groups.values().map(|group| group.due).min()
    }

    /// Everything that waits, to be given back.
    pub(super) fn drain(&mut self) -> Vec<Part> {
        self.groups.drain().flat_map(|(_, group)| group.parts).collect()
    }

    fn leave(&mut self, key: &Key, whatever: bool, now: Instant, ready: &mut impl FnMut(Job)) {
        let Some(mut group) = self.groups.remove(key) else {
            return;
        };
        let (least, most) = (group.wish.min_items, group.wish.max_items);
        let mut left = false;
        while !group.parts.is_empty() && (whatever || group.size >= least) {
            let mut job = Job {
                signal: key.signal,
                parts: Vec::new(),
            };
            let mut room = if most == 0 { u64::MAX } else { most };
            while let Some(part) = group.parts.pop_front() {
                let size = self.size_of(&key.id, &part);
                let (now_part, rest) = cut(part, size, room, job.parts.is_empty());
                if let Some(rest) = rest {
                    group.parts.push_front(rest);
                }
                let Some(part) = now_part else { break };
                let size = self.size_of(&key.id, &part);
                room = room.saturating_sub(size);
                job.parts.push(part);
                if room == 0 {
                    break;
                }
            }
            group.size = group.parts.iter().map(|part| self.size_of(&key.id, part)).sum();
            ready(job);
            left = true;
        }
        if !group.parts.is_empty() {
            if left {
                group.due = now + group.wish.timeout;
            }
            self.groups.insert(key.clone(), group);
        }
    }
}

/// As much of `part` as fits into `room`, and the rest. A job that has nothing yet gets at least one item.
fn cut(part: Part, size: u64, room: u64, first: bool) -> (Option<Part>, Option<Part>) {
    if size <= room {
        return (Some(part), None);
    }
    let items = part.items();
    let fitting = u128::from(items) * u128::from(room) / u128::from(size.max(1));
    let mut fitting = u64::try_from(fitting).unwrap_or(items);
    if fitting == 0 && first {
        fitting = 1;
    }
    if fitting >= items {
        return (Some(part), None);
    }
    if fitting == 0 {
        return (None, Some(part));
    }
    let middle = part.from + fitting;
    let rest = Part {
        entry: part.entry.clone(),
        from: middle,
        to: part.to,
    };
    (Some(Part { to: middle, ..part }), Some(rest))
}
