//! Joint counts: two flags of the same requests, in ten-second blocks.
//!
//! Two flags that go to the same users look equally guilty when one of them is. Which one it is can only be
//! told from requests that have one and not the other, so requests are counted by pairs of variants too: from
//! the first one on, since what was not counted cannot be asked for later. Only flags that policies name, and
//! of one request the first [`JOINT_FLAGS`] of them, in the order of their keys: the pairs of more would cost
//! more than the walk. Whoever reads takes the blocks that are complete; what nobody takes is dropped after
//! [`KEPT`] blocks. Flag evidence that comes apart from its request is in the cohorts and not here.

use super::Counts;
use super::moment::Bucket;
use crate::cohort::{CohortId, ObjectiveId, StratumId};
use std::collections::{BTreeMap, HashMap};

/// Flags of one request that are counted in pairs.
pub const JOINT_FLAGS: usize = 8;

/// Blocks that wait for a reader.
const KEPT: Bucket = 60;

/// Counts of two flag cohorts of the same requests in one block, as one batch brings them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JointDelta {
    /// The objective.
    pub objective: ObjectiveId,
    /// Two flags' variants: the flag with the lesser key first.
    pub pair: [CohortId; 2],
    /// Endpoint class and region.
    pub stratum: StratumId,
    /// Block number: Unix seconds / [`super::BUCKET_SECS`].
    pub bucket: u64,
    /// What to add.
    pub counts: Counts,
}

type Key = (ObjectiveId, [CohortId; 2], StratumId);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Joint {
    blocks: BTreeMap<Bucket, HashMap<Key, Counts, foldhash::fast::RandomState>>,
    rows: usize,
}

impl Joint {
    pub(super) const fn len(&self) -> usize {
        self.rows
    }

    /// Counts; false when the row is new and there is no room.
    pub(super) fn absorb(&mut self, delta: &JointDelta, bucket: Bucket, max: usize) -> bool {
        let key = (delta.objective, delta.pair, delta.stratum);
        let full = self.rows >= max;
        let block = self.blocks.entry(bucket).or_default();
        if let Some(counts) = block.get_mut(&key) {
            counts.add(delta.counts);
            return true;
        }
        if full {
            return false;
        }
        block.insert(key, delta.counts);
        self.rows += 1;
        true
    }

    /// The rows of blocks from `from` on, and before `to`.
    pub(super) fn rows(&self, from: Bucket, to: Bucket) -> Vec<JointDelta> {
        let blocks = self.blocks.range(from..to.max(from));
        let rows = blocks.flat_map(|(bucket, block)| block.iter().map(move |row| (*bucket, row)));
        rows.map(|(bucket, ((objective, pair, stratum), counts))| JointDelta {
            objective: *objective,
            pair: *pair,
            stratum: *stratum,
            bucket: bucket.into(),
            counts: *counts,
        })
        .collect()
    }

    /// Drops the blocks before `before`, which somebody has read, and those that are too old for anybody.
    pub(super) fn drop_before(&mut self, before: Bucket, now: Bucket) {
        let before = before.max(now.saturating_sub(KEPT));
        let kept = self.blocks.split_off(&before);
        let gone = std::mem::replace(&mut self.blocks, kept);
        self.rows -= gone.values().map(HashMap::len).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(pair: [u32; 2], bucket: u64, bad: u64) -> JointDelta {
        JointDelta {
            objective: ObjectiveId(1),
            pair: pair.map(CohortId),
            stratum: StratumId(1),
            bucket,
            counts: Counts { good: 1, bad },
        }
    }

    #[test]
    fn rows_add_up_wait_for_a_reader_and_are_bounded() {
        let mut joint = Joint::default();
        for bad in [1, 2] {
            assert!(joint.absorb(&delta([1, 2], 100, bad), 100, 2));
        }
        assert!(joint.absorb(&delta([1, 2], 101, 0), 101, 2));
        assert!(!joint.absorb(&delta([1, 3], 101, 0), 101, 2), "no room");
        assert_eq!(
            joint.rows(100, 101),
            [JointDelta {
                counts: Counts { good: 2, bad: 3 },
                ..delta([1, 2], 100, 0)
            }]
        );
        assert_eq!(joint.rows(100, 200).len(), 2);
        joint.drop_before(101, 101);
        assert_eq!((joint.len(), joint.rows(0, 200).len()), (1, 1));
        joint.drop_before(0, 101 + KEPT + 1);
        assert_eq!(joint.len(), 0, "nobody read it");
    }
}
