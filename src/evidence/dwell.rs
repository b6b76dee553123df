//! For how long something has held, at every evaluation.

use crate::time::UnixNanos;

/// See the module. An evaluation at which it does not hold begins anew; so does a gap between evaluations, of
/// which nobody knows what was in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dwell {
    since: Option<UnixNanos>,
    last: Option<UnixNanos>,
}

impl Dwell {
    /// Notes an evaluation; seconds for which it has held by now, if it does.
    pub fn note(&mut self, now: UnixNanos, holds: bool, max_gap_secs: u64) -> Option<u64> {
        let gap = self.last.is_none_or(|last| now.secs_since(last) > max_gap_secs);
        self.last = Some(now);
        if gap || !holds {
            self.since = None;
        }
        if !holds {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        Some(now.secs_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_evaluation_without_it_or_a_gap_begins_anew() {
        let mut dwell = Dwell::default();
        let mut at = |secs, holds| dwell.note(UnixNanos::from_secs(secs), holds, 30);
        assert_eq!(at(0, true), Some(0));
        assert_eq!(at(30, true), Some(30));
        assert_eq!(at(40, false), None);
        assert_eq!(at(50, true), Some(0));
        assert_eq!(at(60, true), Some(10));
        assert_eq!(at(91, true), Some(0));
    }
}
