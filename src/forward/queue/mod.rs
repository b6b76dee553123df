//! What waits for one backend.
//!
//! Problem: a backend is slower than a burst, or away for an hour, and clients should not wait for it.
//! Property wanted: what is taken in is either sent, or given up for a reason that is counted; the bound is
//! known, in what the operator counts in and in bytes; a full queue says no at the door (or makes clients
//! wait, where asked to) and never drops what it has; batches are merged here, where they wait anyway, so
//! that the answer to a client means that the queue has its data.
//!
//! Order: first in, first out, by [`SendingQueue::num_consumers`] hands at once; a request that waits for its
//! retry keeps its hand and lets the others pass. Batches with a wish to be merged enter the order when their
//! merged request is complete or due.

mod disk;
mod entry;
mod groups;
mod room;
#[cfg(test)]
mod tests;

pub(super) use entry::{Part, Verdict};
pub(super) use groups::Job;

use super::disk::Log;
use super::otlp::{Dropped, Meters, Quiet};
use crate::config::{SendingQueue, Sizer};
use crate::pipeline::{Accepted, Batch, Batching, Memory, Refusal};
use entry::{Entry, Shelf, Stored};
use groups::Groups;
use room::Room;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// The queue of one exporter.
#[derive(Debug)]
pub(super) struct Queue {
    settings: SendingQueue,
    /// The wish of `sending_queue.batch`, for batches without one.
    own_wish: Option<Arc<Batching>>,
    room: Arc<Room>,
    memory: Memory,
    meters: Arc<Meters>,
    log: Option<Arc<Log>>,
    /// Bytes on disk that are in memory as well.
    hot: Memory,
    quiet: Quiet,
    state: Mutex<State>,
    /// A job is ready, or there will be no more.
    jobs: Notify,
    /// The time of the next flush has changed.
    flush: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Job>,
    groups: Groups,
    /// Nothing more comes in.
    closed: bool,
    /// Nothing more goes out: what is left stays on disk, or is lost.
    ended: bool,
}

/// Why a batch is not taken.
enum Full {
    Queue,
    Closed,
    Storage(String),
}

impl Queue {
    pub(super) fn new(
        settings: SendingQueue,
        memory: Memory,
        meters: Arc<Meters>,
        log: Option<Arc<Log>>,
    ) -> Self {
        let own_wish = settings.batch.as_ref().map(|batch| {
            Arc::new(Batching {
                id: "sending_queue".into(),
                min_items: batch.min_size,
                max_items: batch.max_size,
                timeout: batch.flush_timeout,
                metadata_keys: batch
                    .metadata_keys
                    .iter()
                    .map(|key| key.as_str().into())
                    .collect(),
                metadata_cardinality_limit: 1000,
            })
        });
        let by_bytes = settings
            .batch
            .as_ref()
            .filter(|batch| batch.sizer == Sizer::Bytes);
        let by_bytes = by_bytes.and(own_wish.as_ref()).map(|wish| wish.id.clone());
        Self {
            room: Arc::new(Room::new(&settings, meters.clone())),
            state: Mutex::new(State {
                groups: Groups::new(by_bytes),
                ..State::default()
            }),
            settings,
            own_wish,
            memory,
            meters,
            log,
            hot: Memory::default(),
            quiet: Quiet::default(),
            jobs: Notify::new(),
            flush: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch, or says why not. With `wait_for_result` the answer is the backend's.
    pub(super) async fn offer(self: &Arc<Self>, batch: Batch) -> Result<Accepted, Refusal> {
        let (signal, items) = (batch.signal, batch.items.unwrap_or(0));
        let (waiter, verdict) = self.settings.wait_for_result.then(oneshot::channel).unzip();
        if let Err(full) = self.enter(batch, items, waiter).await {
            let (reason, message) = match full {
                Full::Queue => (Dropped::QueueFull, "the queue to the backend is full".into()),
                Full::Closed => (Dropped::Closing, "the exporter is going away".into()),
                Full::Storage(message) => (Dropped::Storage, message.into()),
            };
            self.meters.dropped(signal, items, reason);
            return Err(Refusal::Overloaded {
                message,
                retry_after_secs: 1 + fastrand::u64(0..5),
            });
        }
        match verdict {
            None => Ok(Accepted::all(items)),
            Some(verdict) => answer(items, verdict.await),
        }
    }

    async fn enter(
        self: &Arc<Self>,
        batch: Batch,
        items: u64,
        waiter: Option<oneshot::Sender<Verdict>>,
    ) -> Result<(), Full> {
        let wish = batch.batching.as_ref().or(self.own_wish.as_ref()).cloned();
        let bytes = batch.bytes.len() as u64;
        let cost = self.room.cost(items, bytes, wish.as_deref());
        let place = self.place(cost, bytes).await?;
        let values = values_of(&batch, wish.as_deref());
        let Some(log) = &self.log else {
            let stored = Stored::Memory {
                bytes: Shelf::new(batch.bytes),
                _charge: self.memory.charge(bytes),
            };
            let entry = Entry::new(batch.signal, items, bytes, stored, place, waiter);
            return self.push(Arc::new(entry), wish, values);
        };
        let (queue, log) = (self.clone(), log.clone());
        // Once it is written it must be sent, also if the client does not wait for that: so one goes with the
        // other, on a thread that may block.
        let work = move || queue.write(&log, batch, items, place, wish, values);
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(_) => Err(Full::Storage("writing to the queue was interrupted".to_owned())),
        }
    }

    async fn place(&self, cost: u64, bytes: u64) -> Result<room::Place, Full> {
        loop {
            let freed = self.room.freed();
            if self.state().closed {
                return Err(Full::Closed);
            }
            if let Some(place) = self.room.take(cost, bytes) {
                return Ok(place);
            }
            if !self.settings.block_on_overflow {
                return Err(Full::Queue);
            }
            freed.await;
        }
    }

    fn push(
        &self,
        entry: Arc<Entry>,
        wish: Option<Arc<Batching>>,
        values: Arc<[Box<str>]>,
    ) -> Result<(), Full> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.ended {
            return Err(Full::Closed);
        }
        let before = state.ready.len();
        match wish {
            None => state.ready.push_back(Job {
                signal: entry.signal,
                parts: vec![Part::whole(entry)],
            }),
            Some(wish) => {
                let ready = &mut state.ready;
                let mut leaves = |job| ready.push_back(job);
                let new = state
                    .groups
                    .add(entry, &wish, values, Instant::now(), &mut leaves);
                if state.closed {
                    state.groups.flush(Instant::now(), true, &mut leaves);
                }
                if new {
                    self.flush.notify_one();
                }
            }
        }
        let new = state.ready.len() - before;
        drop(guard);
        (0..new).for_each(|_| self.jobs.notify_one());
        Ok(())
    }

    /// The next request; `None` when there will be no more.
    pub(super) async fn next(&self) -> Option<Job> {
        loop {
            let news = self.jobs.notified();
            {
                let mut state = self.state();
                if state.ended {
                    return None;
                }
                if let Some(job) = state.ready.pop_front() {
                    if !state.ready.is_empty() {
                        self.jobs.notify_one();
                    }
                    return Some(job);
                }
                if state.closed {
                    return None;
                }
            }
            news.await;
        }
    }

    /// Lets merged requests leave when they are due, for as long as the queue is open.
    pub(super) async fn keep_time(&self) {
        loop {
            let changed = self.flush.notified();
            let due = {
                let state = self.state();
                if state.closed {
                    return;
                }
                state.groups.next_due()
            };
            let Some(due) = due else {
                changed.await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => self.flush(false),
                () = changed => {}
            }
        }
    }

    fn flush(&self, all: bool) {
        let mut guard = self.state();
        let state = &mut *guard;
        let before = state.ready.len();
        let ready = &mut state.ready;
        state
            .groups
            .flush(Instant::now(), all, &mut |job| ready.push_back(job));
        let new = state.ready.len() - before;
        drop(guard);
        (0..new).for_each(|_| self.jobs.notify_one());
    }

    /// Nothing more comes in; what waits for others leaves as it is.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.flush(true);
        self.jobs.notify_waiters();
        self.flush.notify_waiters();
        self.room.wake();
    }

    /// Nothing more goes out. What is on disk stays there, for whoever opens the log next; of the rest the
    /// items are counted as lost.
    pub(super) fn end(&self) {
        let mut parts: Vec<Part> = {
            let mut state = self.state();
            (state.closed, state.ended) = (true, true);
            let ready = std::mem::take(&mut state.ready);
            ready
                .into_iter()
                .flat_map(|job| job.parts)
                .chain(state.groups.drain())
                .collect()
        };
        self.jobs.notify_waiters();
        self.give_back(&mut parts);
        for part in parts {
            self.meters
                .dropped(part.entry.signal, part.items(), Dropped::Shutdown);
        }
    }
}

/// The values that must be equal within a merged request.
fn values_of(batch: &Batch, wish: Option<&Batching>) -> Arc<[Box<str>]> {
    let keys = wish.map_or(&[][..], |wish| &wish.metadata_keys);
    let value = |key: &str| {
        let all: Vec<&str> = batch.metadata.iter().flat_map(|it| it.values(key)).collect();
        all.join("\0").into_boxed_str()
    };
    keys.iter().map(|key| value(key)).collect()
}

/// The backend's answer as the client's.
fn answer(items: u64, verdict: Result<Verdict, oneshot::error::RecvError>) -> Result<Accepted, Refusal> {
    match verdict {
        Ok(Ok(arrived)) => Ok(arrived.accepted(items)),
        Ok(Err(failure)) => Err(failure.refusal()),
        Err(_) => Err(Refusal::Overloaded {
            message: "the exporter went away before the backend answered".into(),
            retry_after_secs: 1,
        }),
    }
}
