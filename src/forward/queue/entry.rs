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
    /// Items that nobody has loaded yet, counted alike.
    unloaded: AtomicU64,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Stored {
    Memory {
        bytes: Shelf,
        _charge: Charge,
    },
    /// On disk, and in memory too as long as there is room for that.
    Disk(Arc<Log>, Record, Option<Hot>),
}

/// Bytes that are on disk as well.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) bytes: Shelf,
    pub(super) _charges: [Charge; 2],
}

/// Bytes until they have been taken for sending: then the request has them, and no second owner keeps them
/// where only their packed form is needed any more.
#[derive(Debug)]
pub(super) struct Shelf(Mutex<Option<Bytes>>);

impl Shelf {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(Mutex::new(Some(bytes)))
    }

    fn get(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
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
            unloaded: AtomicU64::new(items.max(1)),
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

    /// The request with these items; once. Where the batch has to be read from disk that happens on another
    /// thread.
    pub(super) async fn load(&self) -> Result<Pieces, Unreadable> {
        let (shelf, record) = match &self.entry.stored {
            Stored::Memory { bytes, .. } => (Some(bytes), None),
            Stored::Disk(_, record, hot) => (hot.as_ref().map(|hot| &hot.bytes), Some(record)),
        };
        let held = shelf.and_then(Shelf::get);
        // After looking: whoever is the last to get here finds that all others have theirs.
        let items = self.items().max(1);
        if self.entry.unloaded.fetch_sub(items, Ordering::AcqRel) <= items {
            shelf.inspect(|shelf| shelf.clear());
        }
        let bytes = match (held, record) {
            (Some(bytes), _) => bytes,
            (None, Some(record)) => read_back(record.clone()).await?,
            (None, None) => return Err(Unreadable),
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

/// A batch that is on disk only.
async fn read_back(record: Record) -> Result<Bytes, Unreadable> {
    match tokio::task::spawn_blocking(move || Log::read(&record)).await {
        Ok(Ok(Some((_, bytes)))) => Ok(bytes),
        Ok(Err(error)) => {
            tracing::error!(%error, "a batch cannot be read back from its queue");
            Err(Unreadable)
        }
        Ok(Ok(None)) | Err(_) => Err(Unreadable),
    }
}
