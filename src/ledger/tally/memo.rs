//! Small numbers for the values of one batch.

use hashbrown::HashTable;
use std::hash::{BuildHasher, Hash};

/// Gives equal values one number, counted from zero. Values come in runs, so the last one is compared first.
#[derive(Debug)]
pub(super) struct Memo<T> {
    values: Vec<T>,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    last: u32,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            index: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            last: 0,
        }
    }
}

impl<T: Hash + Eq + Copy> Memo<T> {
    /// The number of `value`; `None` when it is new and `room` is false.
    #[inline]
    pub(super) fn number(&mut self, value: T, room: bool) -> Option<u32> {
        if self.values.get(self.last as usize) == Some(&value) {
            return Some(self.last);
        }
        self.find(value, room)
    }

    fn find(&mut self, value: T, room: bool) -> Option<u32> {
        let Self {
            values,
            index,
            hasher,
            last,
        } = self;
        let hash = hasher.hash_one(value);
        let is = |at: &u32| values.get(*at as usize) == Some(&value);
        if let Some(found) = index.find(hash, is) {
            *last = *found;
            return Some(*found);
        }
        let number = u32::try_from(values.len()).ok().filter(|_| room)?;
        values.push(value);
        let rehash = |at: &u32| values.get(*at as usize).map_or(0, |value| hasher.hash_one(value));
        index.insert_unique(hash, number, rehash);
        *last = number;
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// [`Memo`] for runs of values, which it keeps end to end.
#[derive(Debug)]
pub(super) struct RunMemo<K, T> {
    runs: Vec<(K, u32, u32)>,
    values: Vec<T>,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    last: u32,
}

impl<K, T> Default for RunMemo<K, T> {
    fn default() -> Self {
        Self {
            runs: Vec::new(),
            values: Vec::new(),
            index: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            last: 0,
        }
    }
}

impl<K: Hash + Eq + Copy, T: Hash + Eq + Copy> RunMemo<K, T> {
    /// The number of the run `values` under `key`; `None` when it is new and `room` is false.
    #[inline]
    pub(super) fn number(&mut self, key: K, values: &[T], room: bool) -> Option<u32> {
        if self.get(self.last) == Some((key, values)) {
            return Some(self.last);
        }
        self.find(key, values, room)
    }

    fn find(&mut self, key: K, wanted: &[T], room: bool) -> Option<u32> {
        let hash = self.hasher.hash_one((key, wanted));
        if let Some(found) = self.index.find(hash, |at| self.get(*at) == Some((key, wanted))) {
            self.last = *found;
            return Some(*found);
        }
        let number = u32::try_from(self.runs.len()).ok().filter(|_| room)?;
        let begin = u32::try_from(self.values.len()).ok()?;
        let end = u32::try_from(self.values.len() + wanted.len()).ok()?;
        self.values.extend_from_slice(wanted);
        self.runs.push((key, begin, end));
        let Self {
            runs,
            values,
            index,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, number, |at| {
            run(runs, values, *at).map_or(0, |run| hasher.hash_one(run))
        });
        self.last = number;
        Some(number)
    }

    /// The key and the run behind a number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<(K, &[T])> {
        run(&self.runs, &self.values, number)
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }
}

#[inline]
fn run<'v, K: Copy, T>(runs: &[(K, u32, u32)], values: &'v [T], number: u32) -> Option<(K, &'v [T])> {
    let (key, begin, end) = *runs.get(number as usize)?;
    Some((key, values.get(begin as usize..end as usize)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_number_and_a_full_memo_still_finds_them() {
        let mut memo = Memo::default();
        let numbers: Vec<_> = (0..1000u64).map(|n| memo.number(n % 10, true)).collect();
        assert!(
            numbers
                .iter()
                .enumerate()
                .all(|(n, number)| *number == u32::try_from(n % 10).ok())
        );
        assert_eq!(
            (memo.number(3, false), memo.number(11, false), memo.len()),
            (Some(3), None, 10)
        );
        assert_eq!(memo.get(4), Some(&4));
    }

    #[test]
    fn runs_are_told_apart_by_key_and_content() {
        let mut memo = RunMemo::default();
        let a = memo.number(1u32, &[1u8, 2], true);
        let others = [
            memo.number(2, &[1, 2], true),
            memo.number(1, &[1], true),
            memo.number(1, &[], true),
        ];
        assert!(others.iter().all(|other| *other != a));
        assert_eq!(memo.number(1, &[1, 2], true), a);
        assert_eq!(memo.number(9, &[], false), None);
        assert_eq!(a.and_then(|a| memo.get(a)), Some((1, &[1, 2][..])));
        for n in 0..200u8 {
            memo.number(5, &[n], true);
        }
        assert_eq!((memo.number(1, &[1, 2], false), memo.len()), (a, 204));
    }
}
