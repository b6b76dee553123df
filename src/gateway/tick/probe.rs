//! What a flag does while it is on probation.
//!
//! The windows of the budget reach back to before the flag was switched off, and the events of then must
//! count neither for nor against it. So the lifetime counts of its series are noted from the first look on,
//! and what came in since, and since about the length of the rule's window, is what it did. After a restart,
//! or a gap in the evaluation, the watching begins anew: a step is passed by what was seen.

use crate::budget::{Target, burn_rate};
use crate::decide::{Decision, Phase, Probed};
use crate::ledger::Counts;
use crate::policy::MAX_GAP_SECS;
use crate::time::UnixNanos;
use std::collections::{BTreeMap, VecDeque};

/// Notes that a window is divided into.
const NOTES: u64 = 30;

/// Lifetime counts at one moment.
#[derive(Clone, Copy, Debug)]
struct Note {
    at: UnixNanos,
    counts: Counts,
}

#[derive(Debug)]
struct Watched {
    first: Note,
    /// Of about the rule's window; the last is the newest.
    notes: VecDeque<Note>,
    looked_at: UnixNanos,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Probes {
    by_decision: BTreeMap<String, Watched>,
}

impl Probes {
    /// Forgets all but these.
    pub(super) fn keep(&mut self, pending: &[Decision]) {
        if !self.by_decision.is_empty() {
            let is_kept = |id: &str| pending.iter().any(|d| d.id == id && is_probed(d));
            self.by_decision.retain(|id, _| is_kept(id));
        }
    }

    /// What the flag of `decision` did, from the lifetime counts of its series now.
    pub(super) fn look(
        &mut self,
        now: UnixNanos,
        decision: &Decision,
        (counts, target): (Counts, Target),
    ) -> Option<Probed> {
        if !is_probed(decision) {
            return None;
        }
        let note = Note { at: now, counts };
        let begin = || Watched {
            first: note,
            notes: VecDeque::from([note]),
            looked_at: now,
        };
        let watched = self.by_decision.entry(decision.id.clone()).or_insert_with(begin);
        let last = watched.notes.back().map_or(Counts::default(), |last| last.counts);
        let is_broken = now < watched.looked_at
            || now.secs_since(watched.looked_at) > MAX_GAP_SECS
            || counts.good < last.good
            || counts.bad < last.bad;
        if is_broken {
            *watched = begin();
        }
        watched.looked_at = now;
        Some(watched.probed(note, decision.evidence.window_secs, target))
    }
}

impl Watched {
    fn probed(&mut self, note: Note, window_secs: u64, target: Target) -> Probed {
        let apart = (window_secs / NOTES).max(1);
        if self
            .notes
            .back()
            .is_none_or(|last| note.at.secs_since(last.at) >= apart)
        {
            self.notes.push_back(note);
        }
        while self
            .notes
            .get(1)
            .is_some_and(|second| note.at.secs_since(second.at) >= window_secs)
        {
            self.notes.pop_front();
        }
        let front = self.notes.front().map_or(note.counts, |front| front.counts);
        let recent = since(note.counts, front);
        Probed {
            watched_secs: note.at.secs_since(self.first.at),
            events: since(note.counts, self.first.counts).total(),
            bad: recent.bad,
            burn: burn_rate(recent, target),
        }
    }
}

fn since(now: Counts, then: Counts) -> Counts {
    Counts {
        good: now.good.saturating_sub(then.good),
        bad: now.bad.saturating_sub(then.bad),
    }
}

fn is_probed(decision: &Decision) -> bool {
    matches!(decision.life.phase, Phase::Probation { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::decision;

    const T0: UnixNanos = UnixNanos::from_secs(1_795_300_000);

    fn on_probation() -> Decision {
        let mut it = decision("f");
        it.life.phase = Phase::Probation { since: T0 };
        it.evidence.window_secs = 60;
        it
    }

    fn target() -> Target {
        "99%".parse().unwrap()
    }

    #[test]
    fn only_what_came_on_probation_counts_and_burn_is_of_the_window() {
        let (mut probes, it) = (Probes::default(), on_probation());
        let mut seen = Probed::default();
        // Bad events of before, none in the first two minutes, then one of ten a second.
        for secs in 0..=180_u64 {
            let bad = 5_000 + secs.saturating_sub(120);
            let counts = Counts { good: 10 * secs, bad };
            seen = probes.look(T0.plus_secs(secs), &it, (counts, target())).unwrap();
            if secs <= 120 {
                assert_eq!((seen.bad, seen.watched_secs), (0, secs));
            }
        }
        assert_eq!((seen.watched_secs, seen.events, seen.bad), (180, 1_860, 60));
        let burn = seen.burn.unwrap();
        assert!((burn - 100.0 * 60.0 / 660.0).abs() < 0.3, "{burn}");
        assert!(probes.by_decision[&it.id].notes.len() <= 32);
    }

    #[test]
    fn a_gap_or_counts_that_begin_anew_begin_the_watching_anew() {
        let (mut probes, it) = (Probes::default(), on_probation());
        let mut look = |secs: u64, good: u64| {
            let counts = Counts { good, bad: 0 };
            let seen = probes.look(T0.plus_secs(secs), &it, (counts, target())).unwrap();
            (seen.watched_secs, seen.events)
        };
        assert_eq!(look(0, 100), (0, 0));
        assert_eq!(look(5, 150), (5, 50));
        assert_eq!(look(6, 10), (0, 0), "the series began anew");
        assert_eq!(look(10, 20), (4, 10));
        assert_eq!(look(11 + MAX_GAP_SECS, 30), (0, 0), "nobody looked");
        assert_eq!(look(10, 40), (0, 0), "the clock went back");
    }

    #[test]
    fn what_is_not_on_probation_is_not_looked_at() {
        let mut probes = Probes::default();
        let it = on_probation();
        probes.look(T0, &it, (Counts::default(), target()));
        probes.keep(&[decision("f")]);
        assert!(probes.by_decision.is_empty());
        assert_eq!(
            probes.look(T0, &decision("f"), (Counts::default(), target())),
            None
        );
    }
}
