//! What one stratum saw in ten seconds: the unit of evidence.

use crate::ledger::Counts;
use std::collections::BTreeMap;

/// Counts of both arms of one stratum in one block of time.
///
/// Events that were *seen*: one that stands for a hundred is still one. Arms that were sampled differently
/// must not be compared at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// With the variant, or on the deployment, that is on trial.
    pub treated: Counts,
    /// What it is compared with.
    pub control: Counts,
}

/// What a block with a bad event says: `bad` events, of which `treated_bad` fell on an arm with a `share` of
/// all events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) share: f64,
    pub(super) bad: f64,
    pub(super) treated_bad: f64,
}

/// A side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// On trial.
    Treated,
    /// What it is compared with.
    Control,
}

fn events(counts: Counts) -> f64 {
    counts.good as f64 + counts.bad as f64
}

impl Block {
    /// A block of these counts.
    pub const fn new(treated: Counts, control: Counts) -> Self {
        Self { treated, control }
    }

    /// `None` where nothing can be learned: no bad event, or only one of the arms had traffic.
    pub(super) fn outcome(self) -> Option<Outcome> {
        if self.treated.bad == 0 && self.control.bad == 0 {
            return None;
        }
        let (treated, control) = (events(self.treated), events(self.control));
        (treated > 0.0 && control > 0.0).then(|| Outcome {
            share: treated / (treated + control),
            bad: self.treated.bad as f64 + self.control.bad as f64,
            treated_bad: self.treated.bad as f64,
        })
    }
}

/// Blocks of one span of ten seconds, a stratum each, from cells in any order: the cells of several sources
/// and variants add up. Leave a source out of `cells` to ask what the others say.
pub fn blocks<S: Ord>(cells: impl IntoIterator<Item = (S, Arm, Counts)>) -> Vec<Block> {
    let mut strata: BTreeMap<S, Block> = BTreeMap::new();
    for (stratum, arm, counts) in cells {
        let block = strata.entry(stratum).or_default();
        let sum = match arm {
            Arm::Treated => &mut block.treated,
            Arm::Control => &mut block.control,
        };
        sum.good = sum.good.saturating_add(counts.good);
        sum.bad = sum.bad.saturating_add(counts.bad);
    }
    strata.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{block, of};
    use super::*;

    #[test]
    fn cells_of_a_stratum_add_up_and_strata_stay_apart() {
        let cells = [
            ("pay", Arm::Treated, of(1, 10)),
            ("list", Arm::Control, of(2, 20)),
            ("pay", Arm::Control, of(3, 30)),
            ("pay", Arm::Treated, of(4, 40)),
        ];
        assert_eq!(blocks(cells), [block((0, 0), (2, 20)), block((5, 50), (3, 30))]);
        assert_eq!(blocks(Vec::<((), Arm, Counts)>::new()), []);
    }

    #[test]
    fn a_block_without_a_bad_event_or_without_a_control_says_nothing() {
        assert_eq!(block((0, 10), (0, 10)).outcome(), None);
        assert_eq!(block((5, 10), (0, 0)).outcome(), None);
        assert_eq!(block((0, 0), (5, 10)).outcome(), None);
        let outcome = block((1, 10), (2, 30)).outcome().unwrap();
        assert_eq!(
            (outcome.share, outcome.bad, outcome.treated_bad),
            (0.25, 3.0, 1.0)
        );
    }

    #[test]
    fn no_count_overflows() {
        let all = Counts {
            good: u64::MAX,
            bad: u64::MAX,
        };
        let blocks = blocks([
            ((), Arm::Treated, all),
            ((), Arm::Treated, all),
            ((), Arm::Control, all),
        ]);
        assert_eq!(blocks[0].treated, all);
        assert!((blocks[0].outcome().unwrap().share - 0.5).abs() < 1e-9);
    }
}
