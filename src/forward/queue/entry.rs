//! What waits: a batch, in memory or on disk, until all of it is sent or given up.

use super::room::Place;
use crate::forward::disk::{Log, Record};
use crate::forward::merge::{Pieces, Split};
use crate::pipeline::{Charge, Signal};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

use crate::forward::otlp::{Arrived, Failure};

/// What a client that waits is told.
pub(in crate::forward) type Verdict = Result<Arrived, Failure>;

/// A batch in the queue.
#[derive(Debug)]
pub(in crate::forward) struct Entry {
    pub(super) signal: Signal,
    pub(super) items: u64,
    pub(super) bytes: u64,
    stored: Stored,
    /// Room that it takes; given back when it is gone.
    _place: Place,
    waiter: Mutex<Option<(oneshot::Sender<Verdict>, Arrived)>>,
    /// Items that are neither sent nor given up, at least one for each part.
    pending: AtomicU64,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Stored {
    Memory {
        bytes: Bytes,
        _charge: Charge,
    },
    /// On disk, and in memory too as long as there is room for that.
    Disk(Arc<Log>, Record, Option<Hot>),
}

/// Bytes that are on disk as well.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) bytes: Bytes,
    pub(super) _charges: [Charge; 2],
}

/// Why a batch cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::forward) struct Unreadable;

impl Entry {
    pub(super) fn new(
        signal: Signal,
        items: u64,
        bytes: u64,
        stored: Stored,
        place: Place,
        waiter: Option<oneshot::Sender<Verdict>>,
    ) -> Self {
        Self {
            signal,
            items,
            bytes,
            stored,
            _place: place,
            waiter: Mutex::new(waiter.map(|it| (it, Arrived::default()))),
            pending: AtomicU64::new(items.max(1)),
        }
    }
}

/// Some of a batch's items, as one of the parts of a job.
#[derive(Debug)]
pub(in crate::forward) struct Part {
    pub(super) entry: Arc<Entry>,
    /// Items from and to.
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Part {
    /// All of it.
    pub(super) fn whole(entry: Arc<Entry>) -> Self {
        let to = entry.items;
        Self { entry, from: 0, to }
    }

    pub(super) fn items(&self) -> u64 {
        self.to - self.from
    }

    /// Bytes of it, by the average of its batch.
    pub(super) fn bytes(&self) -> u64 {
        match self.entry.items {
            0 => self.entry.bytes,
            all => {
                let share = u128::from(self.entry.bytes) * u128::from(self.items()) / u128::from(all);
                u64::try_from(share).unwrap_or(u64::MAX)
            }
        }
    }

    /// The request with these items. Where the batch has to be read from disk that happens on another thread.
    pub(super) async fn load(&self) -> Result<Pieces, Unreadable> {
        let bytes = match &self.entry.stored {
            Stored::Memory { bytes, .. } => bytes.clone(),
            Stored::Disk(_, _, Some(hot)) => hot.bytes.clone(),
            Stored::Disk(_, record, None) => {
                let record = record.clone();
                let read = tokio::task::spawn_blocking(move || Log::read(&record)).await;
                match read {
                    Ok(Ok(Some((_, bytes)))) => bytes,
                    Ok(Ok(None)) => return Err(Unreadable),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "a batch cannot be read back from its queue");
                        return Err(Unreadable);
                    }
                    Err(_) => return Err(Unreadable),
                }
            }
        };
        if self.from == 0 && self.to == self.entry.items {
            return Ok(vec![bytes]);
        }
        match Split::new(bytes, self.entry.signal) {
            // The last part takes whatever the count missed.
            Ok(split) if self.to == self.entry.items => Ok(split.slice(self.from, split.items())),
            Ok(split) => Ok(split.slice(self.from, self.to)),
            Err(_) => Err(Unreadable),
        }
    }

    /// These items are sent, or given up. What is to be noted on disk, if this was the last of the batch.
    fn settle(self, verdict: &Verdict) -> Option<(Arc<Log>, Record)> {
        let before = self
            .entry
            .pending
            .fetch_sub(self.items().max(1), Ordering::AcqRel);
        let last = before <= self.items().max(1);
        self.tell(verdict, last);
        match &self.entry.stored {
            Stored::Disk(log, record, _) if last => Some((log.clone(), record.clone())),
            _ => None,
        }
    }

    /// All parts of a job. Notes on disk are made on a thread that may block.
    pub(in crate::forward) async fn settle_all(parts: Vec<Self>, verdict: &Verdict) {
        let done: Vec<_> = parts
            .into_iter()
            .filter_map(|part| part.settle(verdict))
            .collect();
        if !done.is_empty() {
            let notes = move || done.iter().for_each(|(log, record)| log.done(record));
            let _ = tokio::task::spawn_blocking(notes).await;
        }
    }

    fn tell(&self, verdict: &Verdict, last: bool) {
        let mut waiter = self.entry.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, sum)) = waiter.as_mut() else { return };
        match verdict {
            Ok(arrived) => {
                sum.rejected += arrived.rejected;
                if sum.message.is_empty() {
                    sum.message.clone_from(&arrived.message);
                }
                if last && let Some((sender, sum)) = waiter.take() {
                    let _ = sender.send(Ok(sum));
                }
            }
            Err(failure) => {
                if let Some((sender, _)) = waiter.take() {
                    let _ = sender.send(Err(failure.clone()));
                }
            }
        }
    }

    /// The record on disk, if there is one.
    pub(super) fn record(&self) -> Option<Record> {
        match &self.entry.stored {
            Stored::Disk(_, record, _) => Some(record.clone()),
            Stored::Memory { .. } => None,
        }
    }
}
