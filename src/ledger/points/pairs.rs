//! Two counters of one SLI, one of a part and one of all, which meet here.
//!
//! A bad event and the event that it is must be counted as one, but they come as points of two metrics, maybe
//! in two requests. So what came of all events waits for what came of the part: until the part is heard of,
//! or all is heard of again (a counter that nobody has raised yet does not exist, so that nothing may ever
//! come of the part). A part that is larger than what it is a part of waits as well. Sums are exact; an event
//! counts one export later at most.

use super::by_hash::ByHash;
use super::streams::{Row, Streams};
use crate::ledger::Counts;
use crate::time::UnixNanos;

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Pair {
    pub(super) part: u64,
    pub(super) whole: u64,
    /// The part came first: what comes of all is what it is a part of.
    pub(super) is_ahead: bool,
    pub(super) seen_secs: u32,
    pub(super) dirty: bool,
}

/// What one batch brings of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Brought {
    /// `None` when there was no point of it.
    pub(in crate::ledger) part: Option<u64>,
    pub(in crate::ledger) whole: Option<u64>,
}

pub(super) type Pairs = ByHash<u64, Pair>;

impl Pair {
    /// What can be told of it now: (part, rest).
    fn settle(&mut self, brought: Brought) -> (u64, u64) {
        self.part = self.part.saturating_add(brought.part.unwrap_or(0));
        let now = brought.whole.unwrap_or(0);
        let ready = if brought.part.is_some() || self.is_ahead {
            let ready = std::mem::take(&mut self.whole).saturating_add(now);
            self.is_ahead = brought.whole.is_none() && ready == 0;
            ready
        } else {
            std::mem::replace(&mut self.whole, now)
        };
        let part = self.part.min(ready);
        self.part -= part;
        (part, ready - part)
    }
}

impl Streams {
    /// Settles a pair with what a batch brings.
    pub(in crate::ledger) fn settle_pair(
        &mut self,
        key: u64,
        brought: Brought,
        part_is_bad: bool,
        now: UnixNanos,
    ) -> Counts {
        if !self.pairs.contains_key(&key) && self.pairs.len() >= self.limits.max_streams {
            return Counts::default();
        }
        let pair = self.pairs.entry(key).or_default();
        let before = *pair;
        let (part, rest) = pair.settle(brought);
        pair.seen_secs = u32::try_from(now.secs()).unwrap_or(u32::MAX);
        if (pair.part, pair.whole, pair.is_ahead) != (before.part, before.whole, before.is_ahead)
            && !std::mem::replace(&mut pair.dirty, true)
        {
            self.dirty.push(Row::Pair(key));
        }
        let (good, bad) = if part_is_bad { (rest, part) } else { (part, rest) };
        Counts { good, bad }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(part: Option<u64>, whole: Option<u64>) -> Brought {
        Brought { part, whole }
    }

    #[test]
    fn what_comes_together_counts_at_once() {
        let mut pair = Pair::default();
        assert_eq!(pair.settle(brought(Some(2), Some(10))), (2, 8));
        assert_eq!((pair.part, pair.whole), (0, 0));
    }

    #[test]
    fn in_two_requests_either_may_come_first() {
        let mut pair = Pair::default();
        assert_eq!(pair.settle(brought(None, Some(10))), (0, 0));
        assert_eq!(pair.settle(brought(Some(2), None)), (2, 8));
        assert_eq!(
            pair.settle(brought(Some(3), None)),
            (0, 0),
            "more than there is waits"
        );
        assert_eq!(pair.settle(brought(None, Some(10))), (3, 7), "and is met");
        assert_eq!(pair.settle(brought(None, Some(4))), (0, 0));
    }

    #[test]
    fn a_part_that_does_not_exist_holds_up_one_export_only() {
        let mut pair = Pair::default();
        assert_eq!(pair.settle(brought(None, Some(10))), (0, 0));
        assert_eq!(pair.settle(brought(None, Some(20))), (0, 10));
        assert_eq!(pair.settle(brought(Some(5), Some(5))), (5, 20));
    }
}
