//! All accounts, and which of them a tick has to look at.

use super::keep::{Account, Sources};
use super::spec::{Figures, Key, Spec};
use crate::ledger::{History, HistoryError, Ledger, SeriesView, WindowSum};
use crate::time::UnixNanos;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// See the module above.
#[derive(Debug)]
pub struct Accounts {
    kept: BTreeMap<Key, Entry>,
    /// Which accounts a series is part of.
    of_member: HashMap<Key, BTreeSet<Key>>,
    limit: usize,
    refused: BTreeSet<Key>,
}

#[derive(Debug)]
struct Entry {
    account: Account,
    /// The ledger's windows as last seen, of an account of one series.
    windows: Vec<WindowSum>,
    /// The slice in which it was last brought up to date.
    slice: u64,
}

impl Accounts {
    /// An empty book of at most `limit` accounts.
    pub fn new(limit: usize) -> Self {
        Self {
            kept: BTreeMap::new(),
            of_member: HashMap::new(),
            limit,
            refused: BTreeSet::new(),
        }
    }

    /// How many there are, and how many were not opened for want of room.
    pub fn len(&self) -> (usize, usize) {
        (self.kept.len(), self.refused.len())
    }

    /// What is known of `key`; `None` without an account, or before its first update.
    pub fn figures(&self, key: Key) -> Option<&Figures> {
        let figures = self.kept.get(&key)?.account.figures();
        (figures.period.is_some() || !figures.windows.is_empty()).then_some(figures)
    }

    /// Keeps an account of `key` as `spec` says from now on; another spec makes it anew. `windows` are the
    /// ledger's, as far as they are known.
    pub fn open(&mut self, key: Key, spec: Spec, windows: &[WindowSum]) {
        if let Some(entry) = self.kept.get_mut(&key) {
            if *entry.account.spec() == spec {
                return;
            }
            let windows = std::mem::take(&mut entry.windows);
            self.close(key);
            return self.put(key, spec, windows);
        }
        if self.kept.len() >= self.limit {
            self.refused.insert(key);
            return;
        }
        self.put(key, spec, windows.to_vec());
    }

    fn put(&mut self, key: Key, spec: Spec, windows: Vec<WindowSum>) {
        self.refused.remove(&key);
        for &member in &spec.members {
            self.of_member.entry(member).or_default().insert(key);
        }
        let account = Account::new(spec);
        self.kept.insert(
            key,
            Entry {
                account,
                windows,
                slice: u64::MAX,
            },
        );
    }

    /// Keeps no account of `key` any more; true when there was one.
    pub fn close(&mut self, key: Key) -> bool {
        self.refused.remove(&key);
        let Some(entry) = self.kept.remove(&key) else {
            return false;
        };
        for member in &entry.account.spec().members {
            if let Some(keys) = self.of_member.get_mut(member) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.of_member.remove(member);
                }
            }
        }
        true
    }

    /// Has the next update look at every account.
    pub fn touch_all(&mut self) {
        self.kept.values_mut().for_each(|entry| entry.slice = u64::MAX);
    }

    /// The keys of all accounts.
    pub fn keys(&self) -> Vec<Key> {
        self.kept.keys().copied().collect()
    }

    /// Brings those up to date whose series changed or for which a slice has ended, and returns their keys.
    /// After an error the others are up to date, and the next call tries again.
    pub fn update(
        &mut self,
        now: UnixNanos,
        views: &[SeriesView],
        ledger: &Mutex<Ledger>,
        history: &dyn History,
    ) -> (Vec<Key>, Result<(), HistoryError>) {
        let mut due: BTreeSet<Key> = BTreeSet::new();
        for view in views {
            let member = (view.objective, view.cohort);
            for key in self.of_member.get(&member).into_iter().flatten() {
                due.insert(*key);
                if let Some(entry) = self.kept.get_mut(key) {
                    entry.windows.clone_from(&view.windows);
                }
            }
        }
        let mut outcome = Ok(());
        let mut touched = Vec::new();
        for (&key, entry) in &mut self.kept {
            let slice = now.secs() / entry.account.spec().rule.slice_secs;
            if entry.slice == slice && !due.contains(&key) {
                continue;
            }
            let sources = sources(entry.account.spec(), ledger, history);
            match entry.account.update(&entry.windows, &sources) {
                Ok(()) => {
                    entry.slice = slice;
                    touched.push(key);
                }
                Err(error) => outcome = Err(error),
            }
        }
        (touched, outcome)
    }
}

/// Where the members' counts lie, by one short hold of the ledger's lock.
fn sources<'s>(spec: &Spec, ledger: &Mutex<Ledger>, history: &'s dyn History) -> Sources<'s> {
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let pasts = spec.members.iter().map(|&(o, c)| ledger.past(o, c)).collect();
    Sources {
        now: ledger.now(),
        pasts,
        history,
        final_before: ledger.final_before_secs(),
    }
}
