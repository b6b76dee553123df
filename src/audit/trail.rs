//! The record in the store: one place that appends.
//!
//! An entry and the journal row whose change it records are one transaction, under one lock, so that the
//! record has the order of the transitions. The end of the record (number, hash) lies beside it: rows that
//! were cut off at the end are missed.

use super::entry::{Draft, Entry, GENESIS, kind};
use super::verify::Head;
use crate::policy::PolicySet;
use crate::store::{Append, Chain, ChainRow, Store, StoreError};
use crate::time::UnixNanos;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Entries that are dropped at once, at most: a tenth of all, and what one transaction may well carry.
const DROP_MAX: u64 = 1_000;

/// How much of the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries; beyond it the oldest go.
    pub entries: u64,
    /// How long an entry is kept, in seconds.
    pub secs: u64,
}

impl From<&crate::config::Audit> for Limits {
    fn from(config: &crate::config::Audit) -> Self {
        Self {
            entries: config.max_entries,
            secs: config.retention.as_secs(),
        }
    }
}

/// Where the record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The last entry; 0 when there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// The oldest entry that is kept.
    pub first: u64,
    /// When that was.
    pub first_at: UnixNanos,
    /// Bytes of all entries.
    pub bytes: u64,
}

impl Default for End {
    fn default() -> Self {
        Self {
            seq: 0,
            hash: GENESIS.to_owned(),
            first: 1,
            first_at: UnixNanos::default(),
            bytes: 0,
        }
    }
}

impl End {
    /// What `store` says of it.
    pub fn read(store: &dyn Chain) -> Result<Self, StoreError> {
        let Some(mark) = store.mark()? else {
            return Ok(Self::default());
        };
        serde_json::from_slice(&mark).map_err(|error| StoreError::Corrupt {
            reason: format!("the end of the audit record cannot be read: {error}"),
        })
    }

    /// The last entry.
    pub fn head(&self) -> Head {
        Head {
            seq: self.seq,
            hash: self.hash.clone(),
        }
    }

    /// Entries that are kept.
    pub const fn entries(&self) -> u64 {
        (self.seq + 1).saturating_sub(self.first)
    }
}

#[derive(Debug)]
struct Inner {
    end: End,
    limits: Limits,
    /// SHA-256 of the policies' text.
    policy: String,
}

/// See the module.
pub struct Trail {
    store: Arc<dyn Store>,
    inner: Mutex<Inner>,
    last: watch::Sender<u64>,
    opened_at: u64,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail")
    }
}

impl Trail {
    /// The record that `store` holds.
    pub fn open(store: Arc<dyn Store>, limits: Limits) -> Result<Self, StoreError> {
        let end = End::read(&*store)?;
        tell(&end);
        Ok(Self {
            store,
            last: watch::Sender::new(end.seq),
            opened_at: end.seq,
            inner: Mutex::new(Inner {
                end,
                limits,
                policy: String::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, other limits; they take effect with the next entry.
    pub fn limit(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// Where the record stands.
    pub fn end(&self) -> End {
        self.lock().end.clone()
    }

    /// The last entry when this process began.
    pub const fn opened_at(&self) -> u64 {
        self.opened_at
    }

    /// The number of the last entry, as it grows.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// The store, for what is kept beside the record.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// At most `limit` entries after `after`, each as its line.
    pub fn after(&self, after: u64, limit: usize) -> Result<Vec<ChainRow>, StoreError> {
        self.store.rows_after(after, limit)
    }

    /// These policies are in use from now on. What cannot be written is said in the log: the next entry
    /// carries the hash all the same.
    pub fn policies(&self, at: UnixNanos, policies: &PolicySet) {
        let hash = policies.text_hash();
        if std::mem::replace(&mut self.lock().policy, hash.clone()) == hash {
            return;
        }
        let facts = json!({
            "policies": policies.policies().len() + policies.journeys().len(),
            "kill_switches": policies.kill_switches().count(),
            "version": env!("CARGO_PKG_VERSION"),
        });
        self.note(Draft::by_gateway(at, kind::POLICY_LOADED, facts));
    }

    /// Records what has happened already; where it cannot be written, the log says so.
    pub fn note(&self, draft: Draft) {
        let kind = draft.kind.clone();
        if let Err(error) = self.append(None, Some(draft)) {
            metrics::counter!("burngate_audit_failures_total").increment(1);
            tracing::error!(%kind, %error, "the audit record cannot be written");
        }
    }

    /// Writes `row` of the journal, and what `record` says of the change from the former row, in one
    /// transaction; durable when this returns.
    pub fn record(
        &self,
        id: &str,
        row: Vec<u8>,
        record: impl FnOnce(Option<&[u8]>) -> Option<Draft>,
    ) -> Result<(), StoreError> {
        let former = self.store.journal_row(id)?;
        self.append(Some((id.to_owned(), row)), record(former.as_deref()))
    }

    fn append(&self, journal: Option<(String, Vec<u8>)>, draft: Option<Draft>) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let mut end = inner.end.clone();
        let mut rows = Vec::new();
        let at = draft.as_ref().map_or(end.first_at, |draft| draft.at);
        for draft in self.pruned(&mut end, inner.limits, at)?.into_iter().chain(draft) {
            let sealed = draft.seal(end.seq + 1, &inner.policy, &end.hash);
            let sealed = sealed.map_err(|error| StoreError::Io {
                reason: format!("an audit entry cannot be written as JSON: {error}"),
            })?;
            if end.entries() == 0 {
                end.first_at = at;
            }
            end.seq += 1;
            end.hash = sealed.hash;
            end.bytes += sealed.line.len() as u64;
            rows.push((end.seq, sealed.line));
        }
        let mark = serde_json::to_vec(&end).map_err(|error| StoreError::Io {
            reason: error.to_string(),
        })?;
        self.store.append(&Append {
            journal,
            rows,
            mark,
            drop_before: end.first,
        })?;
        tell(&end);
        inner.end = end;
        self.last.send_replace(inner.end.seq);
        Ok(())
    }

    /// Takes out of `end` what is too much or too old, and says so.
    fn pruned(&self, end: &mut End, limits: Limits, at: UnixNanos) -> Result<Option<Draft>, StoreError> {
        let oldest = at.minus_secs(limits.secs);
        // Room for the entry that is to come, and for the one that says what went.
        let excess = (end.entries() + 2).saturating_sub(limits.entries);
        if excess == 0 && (end.entries() == 0 || end.first_at >= oldest) {
            return Ok(None);
        }
        let wanted = if excess == 0 {
            0
        } else {
            excess.max(limits.entries / 10)
        };
        let (mut dropped, mut through) = (0_u64, None);
        let page = usize::try_from(DROP_MAX).unwrap_or(usize::MAX);
        for (seq, line) in self.store.rows_after(end.first.saturating_sub(1), page + 1)? {
            let entry = Entry::read(&line);
            let at = entry.as_ref().map_or(UnixNanos::default(), Entry::at);
            if dropped >= DROP_MAX || (dropped >= wanted && at >= oldest) {
                end.first_at = at;
                break;
            }
            dropped += 1;
            end.first = seq + 1;
            end.bytes = end.bytes.saturating_sub(line.len() as u64);
            through = Some(Head {
                seq,
                hash: entry.map(|entry| entry.hash).unwrap_or_default(),
            });
        }
        let Some(Head { seq, hash }) = through else {
            return Ok(None);
        };
        metrics::counter!("burngate_audit_pruned_total").increment(dropped);
        let facts = json!({ "seq": seq, "hash": hash, "entries": dropped });
        Ok(Some(Draft::by_gateway(at, kind::PRUNED, facts)))
    }
}

fn tell(end: &End) {
    metrics::gauge!("burngate_audit_entries").set(end.entries() as f64);
    metrics::gauge!("burngate_audit_bytes").set(end.bytes as f64);
    metrics::gauge!("burngate_audit_last_seq").set(end.seq as f64);
}
