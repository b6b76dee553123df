//! Rows that are merged by sorting.

use crate::ledger::Counts;

/// Rows kept before they are merged the first time.
const MERGE_FIRST: usize = 1 << 16;

/// Counts by key. Appending is cheaper than hashing a row at a time; what a batch full of flags appends is
/// merged on the way, so that memory follows the distinct keys and not the spans.
#[derive(Debug)]
pub(super) struct Rows<K> {
    rows: Vec<(K, Counts)>,
    merge_at: usize,
}

impl<K> Default for Rows<K> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            merge_at: MERGE_FIRST,
        }
    }
}

impl<K: Ord + Copy> Rows<K> {
    pub(super) fn add(&mut self, key: K, counts: Counts) {
        // Groups that differ only in what this row leaves out come one after the other.
        if let Some((last, sum)) = self.rows.last_mut()
            && *last == key
        {
            add(sum, counts);
            return;
        }
        if self.rows.len() >= self.merge_at {
            self.merge();
            self.merge_at = MERGE_FIRST.max(self.rows.len().saturating_mul(2));
        }
        self.rows.push((key, counts));
    }

    fn merge(&mut self) {
        self.rows.sort_unstable_by_key(|(key, _)| *key);
        self.rows.dedup_by(|(later, counts), (kept, sum)| {
            let same = later == kept;
            if same {
                add(sum, *counts);
            }
            same
        });
    }

    /// Each key once, in order.
    pub(super) fn merged(mut self) -> impl Iterator<Item = (K, Counts)> {
        self.merge();
        self.rows.into_iter()
    }
}

fn add(sum: &mut Counts, counts: Counts) {
    sum.good = sum.good.saturating_add(counts.good);
    sum.bad = sum.bad.saturating_add(counts.bad);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_on_the_way_loses_nothing() {
        let mut rows = Rows {
            rows: Vec::new(),
            merge_at: 4,
        };
        for n in 0..1000u64 {
            rows.add(n % 7, Counts { good: 1, bad: n });
        }
        let merged: Vec<_> = rows.merged().collect();
        assert_eq!(merged.len(), 7);
        assert_eq!(
            merged
                .iter()
                .map(|(_, c)| (c.good, c.bad))
                .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (1000, 499_500)
        );
    }
}
