//! The queue's part on disk: what is written, what is found at a start, what is left at an end.

use super::entry::{Entry, Hot, Part, Shelf, Stored};
use super::room::Place;
use super::{Full, Queue};
use crate::forward::disk::{AppendError, Log, Record};
use crate::forward::otlp::{Dropped, StorageError};
use crate::pipeline::{Batch, Batching};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of batches that are on disk and kept in memory beside, so that a queue which keeps up never reads.
const HOT_MAX: u64 = 64 << 20;

/// Values of a wish's metadata keys.
type Values = Arc<[Box<str>]>;

/// What is written beside a batch: how it is to be merged, after a restart too. Client metadata is not kept
/// but for the values that merging asks about; credentials never.
#[derive(Debug, Serialize, Deserialize)]
struct Beside {
    id: String,
    min: u64,
    max: u64,
    timeout_ms: u64,
    limit: usize,
    values: Vec<Box<str>>,
}

impl Queue {
    /// Writes a batch and puts it into the order. Blocks.
    pub(super) fn write(
        &self,
        log: &Arc<Log>,
        batch: Batch,
        items: u64,
        place: Place,
        wish: Option<Arc<Batching>>,
        values: Arc<[Box<str>]>,
    ) -> Result<(), Full> {
        let beside = wish
            .as_ref()
            .map(|wish| beside(wish, &values))
            .unwrap_or_default();
        let record = log
            .append(batch.signal, items, &beside, &batch.bytes)
            .map_err(|error| self.not_written(&error))?;
        let bytes = batch.bytes.len() as u64;
        let hot = self.hot(batch.bytes);
        let stored = Stored::Disk(log.clone(), record.clone(), hot);
        let entry = Entry::new(batch.signal, items, bytes, stored, place, None);
        if self.push(Arc::new(entry), wish, values).is_err() {
            // It is written, so it has been taken: the next instance sends it.
            log.give_back(vec![record]);
        }
        Ok(())
    }

    fn hot(&self, bytes: Bytes) -> Option<Hot> {
        let size = bytes.len() as u64;
        let fits = self.hot.held_bytes() + size <= HOT_MAX;
        fits.then(|| Hot {
            bytes: Shelf::new(bytes),
            _charges: [self.memory.charge(size), self.hot.charge(size)],
        })
    }

    fn not_written(&self, error: &AppendError) -> Full {
        let reason = match error {
            AppendError::Full(_) => StorageError::Limit,
            AppendError::DiskFull => StorageError::DiskFull,
            AppendError::Io(_) => StorageError::Io,
        };
        self.meters.storage_failed(reason);
        if let Some(hidden) = self.quiet.speak() {
            tracing::error!(%error, hidden, "a batch was refused: the persistent queue cannot take it");
        }
        match error {
            AppendError::Full(_) => Full::Queue,
            AppendError::DiskFull | AppendError::Io(_) => Full::Storage(error.to_string()),
        }
    }

    /// Puts what was there before into the order, for as long as the queue is open.
    pub(in crate::forward) async fn adopt(self: Arc<Self>) {
        let Some(log) = self.log.clone() else { return };
        loop {
            let (queue, from) = (self.clone(), log.clone());
            let more = tokio::task::spawn_blocking(move || queue.adopt_next(&from)).await;
            match more {
                Ok(true) => {}
                Ok(false) => log.news().await,
                Err(_) => return,
            }
            if self.state().closed {
                return;
            }
        }
    }

    /// The next part of it; whether there was any. Blocks.
    fn adopt_next(&self, log: &Arc<Log>) -> bool {
        let Some(found) = log.next_of_backlog() else {
            return false;
        };
        if found.corrupt > 0 {
            self.meters.corrupt(found.corrupt);
            let (damaged, whole) = (found.corrupt, found.records.len());
            tracing::error!(
                damaged,
                whole,
                "a part of the persistent queue is damaged; the rest is sent"
            );
        }
        let (mut batches, mut items) = (0, 0);
        let mut records = found.records.into_iter();
        while let Some(record) = records.next() {
            if !record.is_live() {
                continue;
            }
            if !self.adopt_one(log, record.clone()) {
                log.give_back(std::iter::once(record).chain(records).collect());
                break;
            }
            (batches, items) = (batches + 1, items + record.items());
        }
        if batches > 0 {
            self.meters.recovered(batches);
            tracing::info!(batches, items, "batches that were on disk are sent now");
        }
        true
    }

    fn adopt_one(&self, log: &Arc<Log>, record: Record) -> bool {
        let (wish, values) = record.metadata().ok().and_then(|it| remembered(&it)).unzip();
        let (items, bytes) = (record.items(), record.bytes());
        let cost = self.room.cost(items, bytes, wish.as_deref());
        let place = self.room.take_anyway(cost, bytes);
        let signal = record.signal();
        let stored = Stored::Disk(log.clone(), record, None);
        let entry = Entry::new(signal, items, bytes, stored, place, None);
        self.push(Arc::new(entry), wish, values.unwrap_or_default())
            .is_ok()
    }

    /// Leaves to the log whatever of `parts` is on disk.
    pub(super) fn give_back(&self, parts: &mut Vec<Part>) {
        let Some(log) = &self.log else { return };
        // Several parts of one batch are one record; sent again it is whole again.
        let mut records: Vec<Record> = Vec::new();
        parts.retain(|part| match part.record() {
            Some(record) => {
                records.push(record);
                false
            }
            None => true,
        });
        if !records.is_empty() {
            log.give_back(records);
        }
    }

    /// The same for a job that was begun and cannot be ended.
    pub(in crate::forward) fn unfinished(&self, job: super::Job) {
        let (signal, mut parts) = (job.signal, job.parts);
        self.give_back(&mut parts);
        for part in parts {
            self.meters.dropped(signal, part.items(), Dropped::Shutdown);
        }
    }
}

fn beside(wish: &Batching, values: &[Box<str>]) -> Vec<u8> {
    let it = Beside {
        id: wish.id.to_string(),
        min: wish.min_items,
        max: wish.max_items,
        timeout_ms: u64::try_from(wish.timeout.as_millis()).unwrap_or(u64::MAX),
        limit: wish.metadata_cardinality_limit,
        values: values.to_vec(),
    };
    serde_json::to_vec(&it).unwrap_or_default()
}

/// The wish, whose keys no longer matter, and the values.
fn remembered(beside: &[u8]) -> Option<(Arc<Batching>, Values)> {
    let it: Beside = serde_json::from_slice(beside).ok()?;
    let wish = Batching {
        id: it.id.into(),
        min_items: it.min,
        max_items: it.max,
        timeout: Duration::from_millis(it.timeout_ms),
        metadata_keys: Vec::new(),
        metadata_cardinality_limit: it.limit,
    };
    Some((Arc::new(wish), it.values.into()))
}
