//! Rows of a batch: added up by hash while groups are walked, merged by sorting at the end.
//!
//! A batch has many more groups than rows. Sorting what every group adds cost more than the walk over the
//! bytes; one hash for all objectives of a group costs a tenth of that, and leaves little to sort.

use super::memo::Memo;
use crate::ledger::{Counts, Weights};
use std::hash::Hash;

/// What is added up.
pub(super) trait Sum: Copy {
    fn add(&mut self, other: Self);
}

impl Sum for Counts {
    fn add(&mut self, other: Self) {
        Self::add(self, other);
    }
}

impl Sum for Weights {
    fn add(&mut self, other: Self) {
        Self::add(self, other);
    }
}

/// Counts of several objectives side by side, by key. All counts of one key have the same number of lanes.
#[derive(Debug)]
pub(super) struct Lanes<K, S = Counts> {
    keys: Memo<K>,
    /// Where each key's lanes begin.
    begins: Vec<usize>,
    counts: Vec<S>,
}

impl<K, S> Default for Lanes<K, S> {
    fn default() -> Self {
        Self {
            keys: Memo::default(),
            begins: Vec::new(),
            counts: Vec::new(),
        }
    }
}

impl<K: Hash + Eq + Copy, S: Sum> Lanes<K, S> {
    /// Adds `counts`, one a lane.
    pub(super) fn add(&mut self, key: K, counts: impl ExactSizeIterator<Item = S>) {
        let Some(number) = self.keys.number(key, true) else {
            return;
        };
        let number = number as usize;
        if number == self.begins.len() {
            self.begins.push(self.counts.len());
            self.counts.extend(counts);
            return;
        }
        let begin = self.begins.get(number).copied().unwrap_or(usize::MAX);
        for (sum, counts) in self.counts.iter_mut().skip(begin).zip(counts) {
            sum.add(counts);
        }
    }

    /// Each key with its lanes, in the order of their first counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &[S])> {
        let ends = self.begins.iter().skip(1).copied().chain([self.counts.len()]);
        (0u32..)
            .zip(self.begins.iter().zip(ends))
            .filter_map(|(number, (&begin, end))| {
                Some((*self.keys.get(number)?, self.counts.get(begin..end)?))
            })
    }
}

/// Each key once, in order; rows without a count are left out.
pub(super) fn merged<K: Ord + Copy>(
    rows: impl Iterator<Item = (K, Counts)>,
) -> impl Iterator<Item = (K, Counts)> {
    let mut rows: Vec<(K, Counts)> = rows.filter(|(_, counts)| *counts != Counts::default()).collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    rows.dedup_by(|(later, counts), (kept, sum)| {
        let same = later == kept;
        if same {
            sum.add(*counts);
        }
        same
    });
    rows.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_and_merging_lose_nothing() {
        let mut lanes = Lanes::default();
        for n in 0..1000u64 {
            let one = |bad| Counts { good: 1, bad };
            lanes.add(n % 7, [one(n), one(0)].into_iter());
        }
        let rows: Vec<_> = lanes
            .iter()
            .flat_map(|(key, counts)| {
                [
                    (key % 2, counts[0]),
                    (10 + key % 2, counts[1]),
                    (99, Counts::default()),
                ]
            })
            .collect();
        let merged: Vec<_> = merged(rows.into_iter()).collect();
        let sums: Vec<_> = merged.iter().map(|(key, c)| (*key, c.good, c.bad)).collect();
        assert_eq!(
            sums.iter().map(|s| s.0).collect::<Vec<_>>(),
            [0, 1, 10, 11],
            "each once, in order, none empty"
        );
        let total = sums.iter().fold((0, 0), |(good, bad), s| (good + s.1, bad + s.2));
        assert_eq!(total, (2000, 499_500));
    }
}
