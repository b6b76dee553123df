//! Spans that were counted, so that none counts twice: for senders that repeat spans in other requests.
//!
//! Two generations of hashes: a span is remembered for one to two times the set period, or less when there
//! are more spans than the set may hold. In shards, since every span of every batch asks.

use super::join::Key;
use crate::time::UnixNanos;
use hashbrown::HashSet;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 64;

/// See the module's words.
#[derive(Debug)]
pub(super) struct SpanSet {
    hasher: foldhash::quality::RandomState,
    shards: Box<[Mutex<Shard>]>,
    /// Hashes of one shard and generation.
    most: usize,
    keep_secs: u64,
}

#[derive(Debug, Default)]
struct Shard {
    now: HashSet<u64, foldhash::fast::RandomState>,
    before: HashSet<u64, foldhash::fast::RandomState>,
    began: UnixNanos,
}

impl SpanSet {
    /// A set that remembers at most `max_spans` for at least `keep_secs`.
    pub(super) fn new(max_spans: u32, keep_secs: u64) -> Self {
        Self {
            hasher: foldhash::quality::RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            most: (max_spans as usize / SHARDS / 2).max(1),
            keep_secs,
        }
    }

    /// Whether it is a set of these bounds.
    pub(super) fn holds(&self, max_spans: u32, keep_secs: u64) -> bool {
        self.most == (max_spans as usize / SHARDS / 2).max(1) && self.keep_secs == keep_secs
    }

    /// Remembers a span; `None` when it is known.
    pub(super) fn insert(&self, key: &Key) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash)?.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.before.contains(&hash) || !shard.now.insert(hash) {
            return None;
        }
        if shard.now.len() > self.most {
            shard.before = std::mem::take(&mut shard.now);
            shard.now.insert(hash);
            metrics::counter!("burngate_dedup_spans_forgotten_early_total")
                .increment(shard.before.len() as u64);
        }
        Some(hash)
    }

    /// Forgets spans of a request that was not counted.
    pub(super) fn remove(&self, hashes: &[u64]) {
        for hash in hashes {
            if let Some(shard) = self.shard(*hash) {
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                if !shard.now.remove(hash) {
                    shard.before.remove(hash);
                }
            }
        }
    }

    /// Begins new generations where it is time to.
    pub(super) fn turn(&self, now: UnixNanos) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            if now.secs_since(shard.began) >= self.keep_secs {
                shard.began = now;
                shard.before = std::mem::take(&mut shard.now);
            }
        }
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::try_from(hash >> 58).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_known_for_one_to_two_periods() {
        let set = SpanSet::new(10_000, 300);
        let (a, b) = ([1, 2, 3], [1, 2, 4]);
        let at = |secs: u64| UnixNanos::from_secs(1_800_000_000 + secs);
        set.turn(at(0));
        assert!(set.insert(&a).is_some() && set.insert(&b).is_some() && set.insert(&a).is_none());
        set.turn(at(299));
        set.turn(at(300));
        assert!(set.insert(&a).is_none());
        set.turn(at(600));
        assert!(set.insert(&a).is_some(), "two periods are over");
    }

    #[test]
    fn what_was_not_counted_is_forgotten_and_the_set_is_bounded() {
        let set = SpanSet::new(128, 300);
        let hash = set.insert(&[7, 7, 7]).unwrap();
        set.remove(&[hash]);
        assert!(set.insert(&[7, 7, 7]).is_some());
        for n in 0..100_000 {
            set.insert(&[n, 1, 1]);
        }
        let held = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.now.len() + shard.before.len()
        };
        assert!(set.shards.iter().map(held).sum::<usize>() <= 64 * 4);
    }
}
