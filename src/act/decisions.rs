//! Every decision that this process knows, live and past: the one place where the decider, the delivery and
//! the API meet.
//!
//! The decider submits and reads back what became of its decisions by a sequence number, so that a slow
//! reader misses nothing and nothing queues up. Rejected: a channel each way, because a full one would have
//! to drop or block, and both are wrong for a kill. The list is bounded: the oldest finished decision leaves
//! first, a live one never.

use crate::decide::{Decision, DecisionState, Phase};
use crate::time::UnixNanos;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Why a decision was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Every place holds a live decision.
    #[error("{0} decisions are live already; this one is refused")]
    Full(usize),
}

/// Why a decision was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendError<E> {
    /// Nobody knows it.
    #[error("no such decision")]
    Unknown,
    /// It is being written to the journal at this moment.
    #[error("it is being written at this moment")]
    Busy,
    /// It cannot be done to it.
    #[error(transparent)]
    Refused(E),
}

/// Handle of the list; clones share it.
#[derive(Clone, Debug)]
pub struct Decisions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    wake: Notify,
    changed: watch::Sender<u64>,
    capacity: usize,
    give_up_after: Duration,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<String, Entry>,
    /// (decided at, id), oldest first.
    order: BTreeSet<(u64, String)>,
    seq: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    decision: Decision,
    /// Sequence number of the last change.
    seq: u64,
    /// The journal holds this very state.
    stored: bool,
    /// The journal has been asked once: before that, nobody may see a decision that a crash would undo.
    shown: bool,
    /// A driver writes it: what it is now is not for others to change.
    busy: bool,
    /// The state that was reported last.
    reported: Option<DecisionState>,
    deadline: Instant,
    journal_failures: u32,
    panics: u32,
}

/// What a driver needs of one decision.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) decision: Decision,
    pub(crate) stored: bool,
    /// Number of the last change, for [`Decisions::begin`].
    pub(crate) seq: u64,
    pub(crate) deadline: Instant,
    pub(crate) journal_failures: u32,
}

/// At most one call is in flight for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FlagKey {
    exporter: String,
    environment: String,
    flag: String,
}

impl Decisions {
    pub(crate) fn new(capacity: usize, give_up_after: Duration) -> Self {
        let shared = Shared {
            table: Mutex::default(),
            wake: Notify::new(),
            changed: watch::Sender::new(0),
            capacity,
            give_up_after,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes a new decision: state `Decided` to be carried out, `Observed` to be recorded only. Never blocks.
    /// The same id a second time is taken as the same decision and changes nothing.
    pub fn submit(&self, mut decision: Decision) -> Result<(), SubmitError> {
        make_finite(&mut decision);
        let deadline = Instant::now() + self.shared.give_up_after;
        let entry = Entry {
            decision,
            seq: 0,
            stored: false,
            shown: false,
            busy: false,
            reported: None,
            deadline,
            journal_failures: 0,
            panics: 0,
        };
        self.insert(entry)?;
        self.shared.wake.notify_one();
        Ok(())
    }

    /// The newest `limit` decisions, newest first.
    pub fn snapshot(&self, limit: usize) -> Vec<Decision> {
        let table = self.lock();
        let newest = table
            .order
            .iter()
            .rev()
            .filter_map(|(_, id)| table.entries.get(id));
        newest
            .filter(|e| e.shown)
            .take(limit)
            .map(|e| e.decision.clone())
            .collect()
    }

    /// One decision.
    pub fn get(&self, id: &str) -> Option<Decision> {
        self.lock()
            .entries
            .get(id)
            .filter(|e| e.shown)
            .map(|e| e.decision.clone())
    }

    /// Decisions that changed after `seq`, oldest change first, and the number to ask with next time. 0 asks
    /// for all.
    pub fn changed_since(&self, seq: u64) -> (u64, Vec<Decision>) {
        let table = self.lock();
        let mut changed: Vec<&Entry> = table
            .entries
            .values()
            .filter(|e| e.shown && e.seq > seq)
            .collect();
        changed.sort_by_key(|e| e.seq);
        (
            table.seq,
            changed.into_iter().map(|e| e.decision.clone()).collect(),
        )
    }

    /// Wakes at each change; the value is the number for [`Self::changed_since`].
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Takes a decision from the journal. `age` is the time since it was decided.
    pub(crate) fn restore(&self, decision: Decision, age: Duration) -> Result<(), SubmitError> {
        let left = self.shared.give_up_after.saturating_sub(age);
        let deadline = Instant::now() + left;
        let reported = Some(decision.state.clone());
        self.insert(Entry {
            decision,
            seq: 0,
            stored: true,
            shown: true,
            busy: false,
            reported,
            deadline,
            journal_failures: 0,
            panics: 0,
        })
    }

    /// Resolves when there may be work.
    pub(crate) async fn woken(&self) {
        self.shared.wake.notified().await;
    }

    /// Decisions that somebody must work on, oldest first: live ones, and those whose state is not in the
    /// journal yet.
    pub(crate) fn due(&self) -> Vec<(String, FlagKey)> {
        let table = self.lock();
        let oldest = table.order.iter().filter_map(|(_, id)| table.entries.get(id));
        let due: Vec<(String, FlagKey)> = oldest
            .filter(|e| !e.stored || !e.decision.state.is_at_rest())
            .map(|e| (e.decision.id.clone(), flag_key(&e.decision)))
            .collect();
        metrics::gauge!("burngate_decisions_live").set(due.len() as f64);
        metrics::gauge!("burngate_decisions_known").set(table.entries.len() as f64);
        due
    }

    pub(crate) fn work(&self, id: &str) -> Option<Work> {
        self.lock().entries.get(id).map(|e| Work {
            decision: e.decision.clone(),
            stored: e.stored,
            seq: e.seq,
            deadline: e.deadline,
            journal_failures: e.journal_failures,
        })
    }

    /// A driver is about to write what it knows as of `seq`; false when the decision has changed since.
    pub(crate) fn begin(&self, id: &str, seq: u64) -> bool {
        let mut table = self.lock();
        let entry = table.entries.get_mut(id).filter(|e| e.seq == seq && !e.busy);
        entry.map(|e| e.busy = true).is_some()
    }

    /// Publishes a new state and returns the number of this change; `stored` says whether the journal holds
    /// it.
    pub(crate) fn update(&self, decision: &Decision, stored: bool) -> u64 {
        let mut table = self.lock();
        table.seq += 1;
        let seq = table.seq;
        if let Some(entry) = table.entries.get_mut(&decision.id) {
            entry.decision = decision.clone();
            entry.seq = seq;
            entry.shown = true;
            entry.busy = false;
            entry.stored = stored;
            entry.journal_failures = if stored {
                0
            } else {
                entry.journal_failures.saturating_add(1)
            };
        }
        drop(table);
        self.shared.changed.send_replace(seq);
        seq
    }

    /// Changes a decision that the journal knows, unless a driver writes it just now. What `change` says is
    /// true is written before anything follows from it; nobody else changes the decision meanwhile.
    pub fn amend<E>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Decision) -> Result<bool, E>,
    ) -> Result<Decision, AmendError<E>> {
        let mut table = self.lock();
        let (seq, give_up_after) = (table.seq + 1, self.shared.give_up_after);
        let entry = table.entries.get_mut(id).ok_or(AmendError::Unknown)?;
        if entry.busy || !entry.stored {
            return Err(AmendError::Busy);
        }
        let mut decision = entry.decision.clone();
        if change(&mut decision).map_err(AmendError::Refused)? {
            if entry.decision.life.armed_at != decision.life.armed_at {
                // An approved proposal begins now.
                entry.deadline = Instant::now() + give_up_after;
            }
            let is_new = decision.life.phase.as_str() != entry.decision.life.phase.as_str();
            entry.decision = decision.clone();
            entry.seq = seq;
            entry.stored = false;
            table.seq = seq;
            drop(table);
            if is_new {
                report_phase(&decision);
            }
            self.shared.changed.send_replace(seq);
            self.shared.wake.notify_one();
        }
        Ok(decision)
    }

    /// Whether the decision's state was not reported yet; from now on it was.
    pub(crate) fn is_news(&self, decision: &Decision) -> bool {
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(&decision.id) else {
            return true;
        };
        let state = Some(decision.state.clone());
        let is_news = entry.reported != state;
        entry.reported = state;
        is_news
    }

    /// Decisions that still await something: a vote, a look at their effect, the end of a cooldown or hold.
    pub fn pending(&self) -> Vec<Decision> {
        let table = self.lock();
        let awaits = |d: &Decision| match &d.life.phase {
            // Without a fence nobody drove it: a replay's, or one of a release that did not look further.
            Phase::Act => match d.state {
                DecisionState::Proposed { .. } => true,
                DecisionState::Confirmed { .. } => d.life.fence > 0,
                _ => false,
            },
            Phase::Closed { .. } => false,
            _ => true,
        };
        let known = table.entries.values().filter(|e| e.stored && awaits(&e.decision));
        known.map(|e| e.decision.clone()).collect()
    }

    /// Counts a crash of the decision's driver.
    pub(crate) fn note_panic(&self, id: &str) -> u32 {
        let mut table = self.lock();
        table.entries.get_mut(id).map_or(0, |entry| {
            entry.busy = false;
            entry.panics = entry.panics.saturating_add(1);
            entry.panics
        })
    }

    fn insert(&self, mut entry: Entry) -> Result<(), SubmitError> {
        let mut table = self.lock();
        if table.entries.contains_key(&entry.decision.id) {
            return Ok(());
        }
        if table.entries.len() >= self.shared.capacity && !table.evict_oldest_finished() {
            return Err(SubmitError::Full(self.shared.capacity));
        }
        table.seq += 1;
        entry.seq = table.seq;
        table
            .order
            .insert((entry.decision.decided_at.0, entry.decision.id.clone()));
        table.entries.insert(entry.decision.id.clone(), entry);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn evict_oldest_finished(&mut self) -> bool {
        let finished = |e: &Entry| e.stored && e.decision.state.is_final();
        let oldest = self
            .order
            .iter()
            .find(|(_, id)| self.entries.get(id).is_none_or(finished))
            .cloned();
        let Some(key) = oldest else { return false };
        self.order.remove(&key);
        self.entries.remove(&key.1);
        true
    }
}

pub(crate) fn flag_key(d: &Decision) -> FlagKey {
    FlagKey {
        exporter: d.exporter.clone(),
        environment: d.environment.clone(),
        flag: d.subject(),
    }
}

/// One log line and one count a phase.
fn report_phase(d: &Decision) {
    let phase = d.life.phase.as_str();
    metrics::counter!("burngate_kill_phases_total", "phase" => phase).increment(1);
    let words = d.history.last().map_or("", |(_, words)| words.as_str());
    let (decision, flag, environment) = (&d.id, d.subject(), &d.environment);
    match &d.life.phase {
        Phase::Escalated { .. } => tracing::error!(
            %decision, %flag, %environment, words,
            "a kill switch had no effect; a human must look, and no other flag of the service is switched"
        ),
        Phase::HumanHold { .. } => {
            tracing::warn!(%decision, %flag, %environment, words, "a flag is in hold");
        }
        Phase::Withdrawn { .. } => {
            tracing::warn!(%decision, %flag, %environment, words, "a flag on probation burns again");
        }
        _ => tracing::info!(%decision, %flag, %environment, phase, words, "what came of a decision"),
    }
}

/// A new state: a line of the history, and the time of it.
pub(crate) fn note(decision: &mut Decision, now: UnixNanos, what: impl Into<String>) {
    decision.tell(now, what);
    decision.updated_at = now;
}

/// JSON knows no infinity: a burn without an upper end becomes the largest number, so that the row can be
/// read again.
fn make_finite(decision: &mut Decision) {
    let finite = |v: f64| {
        if v.is_nan() {
            0.0
        } else {
            v.clamp(f64::MIN, f64::MAX)
        }
    };
    let e = &mut decision.evidence;
    e.burn = finite(e.burn);
    e.burn_above = finite(e.burn_above);
    e.contrast = e.contrast.map(finite);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::decision;

    fn list(capacity: usize) -> Decisions {
        Decisions::new(capacity, Duration::from_mins(10))
    }

    #[tokio::test]
    async fn nobody_sees_a_decision_before_the_journal_was_asked() {
        let list = list(10);
        let d = decision("a");
        list.submit(d.clone()).unwrap();
        assert_eq!(
            (
                list.snapshot(9).len(),
                list.get(&d.id),
                list.changed_since(0).1.len()
            ),
            (0, None, 0)
        );
        list.update(&d, true);
        assert_eq!(list.get(&d.id), Some(d.clone()));
        assert_eq!(list.changed_since(0).1, [d]);
    }

    #[tokio::test]
    async fn the_oldest_finished_decision_leaves_first_and_a_live_one_never() {
        let list = list(2);
        for (n, flag) in ["live", "done"].into_iter().enumerate() {
            let mut d = decision(flag);
            d.decided_at = UnixNanos::from_secs(n as u64);
            list.submit(d.clone()).unwrap();
            if flag == "done" {
                d.state = DecisionState::Observed;
                list.update(&d, true);
            }
        }
        list.submit(decision("third")).unwrap();
        assert!(list.work(&decision("live").id).is_some());
        assert!(list.work(&decision("done").id).is_none());
        assert_eq!(list.submit(decision("fourth")), Err(SubmitError::Full(2)));
    }

    #[tokio::test]
    async fn a_reader_asks_with_its_number_and_misses_nothing() {
        let list = list(10);
        let (a, b) = (decision("a"), decision("b"));
        for d in [&a, &b] {
            list.submit(d.clone()).unwrap();
            list.update(d, true);
        }
        let (seq, all) = list.changed_since(0);
        assert_eq!(all.len(), 2);
        assert!(list.changed_since(seq).1.is_empty());
        list.update(&a, true);
        assert_eq!(list.changed_since(seq).1, [a]);
    }

    #[tokio::test]
    async fn the_same_id_twice_is_one_decision() {
        let list = list(10);
        list.submit(decision("a")).unwrap();
        let mut again = decision("a");
        again.state = DecisionState::Observed;
        list.submit(again).unwrap();
        assert_eq!(list.due().len(), 1);
        assert_eq!(
            list.work(&decision("a").id).unwrap().decision.state,
            DecisionState::Decided
        );
    }

    #[test]
    fn history_keeps_its_beginning_and_its_end() {
        let mut d = decision("a");
        d.history.clear();
        for n in 0..200 {
            note(&mut d, UnixNanos::from_secs(n), n.to_string());
        }
        assert_eq!(d.history.len(), 64);
        assert_eq!((d.history[0].1.as_str(), d.history[63].1.as_str()), ("0", "199"));
    }
}
