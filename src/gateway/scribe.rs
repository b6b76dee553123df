//! Counts by hand: into the ledger, with the keys that stand for them.
//!
//! A key and its counts become durable in one transaction: whoever records holds the book while counting,
//! and the tick holds it while it writes. So after a crash either both are there or neither is, and sending
//! again is always right. The price is that a recording waits for a write under way.

use super::ingest::Ingest;
use crate::api::{RecordError, Recorded, Recorder};
use crate::config::Config;
use crate::ledger::{HandCount, Ledger};
use crate::store::{Keeper, KeyBook, Known, Store, StoreError};
use crate::time::UnixNanos;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// See the module.
pub(super) struct Scribe {
    ingest: Arc<Ingest>,
    book: Mutex<KeyBook>,
    writes: watch::Sender<u64>,
}

impl fmt::Debug for Scribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scribe").finish_non_exhaustive()
    }
}

impl Scribe {
    /// A scribe who knows at least as many keys as the configuration says, those in `store` among them.
    pub(super) fn open(ingest: Arc<Ingest>, config: &Config, store: &dyn Store) -> Result<Self, StoreError> {
        let keys = config.api.clone().unwrap_or_default().idempotency_keys;
        let max = usize::try_from(keys).unwrap_or(usize::MAX);
        let rows = store.all()?;
        let rows = rows.iter().map(|(id, row)| (id.as_str(), row.as_slice()));
        Ok(Self {
            ingest,
            book: Mutex::new(KeyBook::restore(max, rows)),
            writes: watch::Sender::new(0),
        })
    }

    fn book(&self) -> MutexGuard<'_, KeyBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tick's write, with the keys of everything that it brings.
    pub(super) fn write(
        &self,
        keeper: &mut Keeper,
        now: UnixNanos,
        ledger: &Mutex<Ledger>,
    ) -> Result<(), StoreError> {
        let mut book = self.book();
        keeper.tick_with(now, ledger, book.rows())?;
        book.written();
        metrics::gauge!("burngate_record_keys").set(book.len() as f64);
        self.writes.send_modify(|writes| *writes += 1);
        Ok(())
    }
}

fn told(outcome: &'static str) {
    metrics::counter!("burngate_record_requests_total", "outcome" => outcome).increment(1);
}

impl Recorder for Scribe {
    fn record(&self, key: Option<&str>, counts: &[HandCount]) -> Result<Recorded, RecordError> {
        let mut book = self.book();
        let mut recorded = Recorded {
            after_write: *self.writes.borrow(),
            ..Recorded::default()
        };
        let content = serde_json::to_vec(counts).unwrap_or_default();
        match key.map_or(Known::No, |key| book.find(key, &content)) {
            Known::No => {}
            Known::Same => {
                told("duplicate");
                recorded.duplicate = true;
                return Ok(recorded);
            }
            Known::Other => {
                told("refused");
                return Err(RecordError::KeyReused);
            }
        }
        match self.ingest.record(counts) {
            Ok(stats) => recorded.moved = stats.late + stats.future,
            Err((number, error)) => {
                told("refused");
                return Err(RecordError::Event { number, error });
            }
        }
        told("recorded");
        let sum = |of: fn(&HandCount) -> u64| counts.iter().map(of).fold(0, u64::saturating_add);
        for (outcome, events) in [("good", sum(|it| it.good)), ("bad", sum(|it| it.bad))] {
            metrics::counter!("burngate_recorded_events_total", "outcome" => outcome).increment(events);
        }
        if let Some(key) = key {
            book.insert(key, &content);
        }
        Ok(recorded)
    }

    fn writes(&self) -> watch::Receiver<u64> {
        self.writes.subscribe()
    }
}
