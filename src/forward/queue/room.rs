//! How much fits into a queue.

use crate::config::{SendingQueue, Sizer};
use crate::forward::otlp::Meters;
use crate::pipeline::Batching;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Parts of a request that one with a wish to be merged is counted in.
const PER_REQUEST: u64 = 1000;
/// Bytes charged beside a batch's own, for what is kept about it.
const OVERHEAD: u64 = 256;

/// The room of one queue.
#[derive(Debug)]
pub(in crate::forward) struct Room {
    sizer: Sizer,
    capacity: u64,
    bytes_max: u64,
    used: Mutex<(u64, u64)>,
    freed: Notify,
    meters: Arc<Meters>,
}

/// Room that a batch has; given back on drop.
#[derive(Debug)]
pub(in crate::forward) struct Place {
    room: Arc<Room>,
    cost: u64,
    bytes: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.change(|(cost, bytes)| {
            *cost -= self.cost;
            *bytes -= self.bytes;
        });
        self.room.freed.notify_waiters();
    }
}

impl Room {
    pub(super) fn new(settings: &SendingQueue, meters: Arc<Meters>) -> Self {
        let capacity = match settings.sizer {
            Sizer::Requests => settings.queue_size.saturating_mul(PER_REQUEST),
            Sizer::Items | Sizer::Bytes => settings.queue_size,
        };
        meters.queue_capacity.set(settings.queue_size as f64);
        Self {
            sizer: settings.sizer,
            capacity,
            // On disk the log knows better: it counts what its files take.
            bytes_max: match settings.storage {
                None => settings.queue_size_mib << 20,
                Some(_) => u64::MAX,
            },
            used: Mutex::default(),
            freed: Notify::new(),
            meters,
        }
    }

    /// What a batch costs. By requests, one that is to be merged costs the share of the merged request that
    /// it will be: behind a `batch` processor the Collector's queue holds merged requests, and this one is
    /// as deep.
    pub(super) fn cost(&self, items: u64, bytes: u64, batching: Option<&Batching>) -> u64 {
        match self.sizer {
            Sizer::Items => items.max(1),
            Sizer::Bytes => bytes.max(1),
            Sizer::Requests => match batching {
                Some(wish) if wish.min_items > 0 => {
                    let share = u128::from(items) * u128::from(PER_REQUEST) / u128::from(wish.min_items);
                    u64::try_from(share).unwrap_or(PER_REQUEST).clamp(1, PER_REQUEST)
                }
                _ => PER_REQUEST,
            },
        }
    }

    /// Takes room, if there is. A batch larger than the whole queue fits into an empty one.
    pub(super) fn take(self: &Arc<Self>, cost: u64, bytes: u64) -> Option<Place> {
        self.place(cost, bytes, false)
    }

    /// Takes room in any case: what was on disk before is there.
    pub(super) fn take_anyway(self: &Arc<Self>, cost: u64, bytes: u64) -> Place {
        let place = self.place(cost, bytes, true);
        place.unwrap_or_else(|| Place {
            room: self.clone(),
            cost: 0,
            bytes: 0,
        })
    }

    fn place(self: &Arc<Self>, cost: u64, bytes: u64, anyway: bool) -> Option<Place> {
        let bytes = bytes + OVERHEAD;
        let mut fits = false;
        self.change(|used| {
            let empty = used.0 == 0;
            fits = anyway || empty || (used.0 + cost <= self.capacity && used.1 + bytes <= self.bytes_max);
            if fits {
                used.0 += cost;
                used.1 += bytes;
            }
        });
        fits.then(|| Place {
            room: self.clone(),
            cost,
            bytes,
        })
    }

    /// Waits until something was given back. Create it before looking, so that nothing is missed.
    pub(super) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.freed.notified()
    }

    /// Wakes whoever waits, to look again at whether the queue is open.
    pub(super) fn wake(&self) {
        self.freed.notify_waiters();
    }

    fn change(&self, by: impl FnOnce(&mut (u64, u64))) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        by(&mut used);
        let size = match self.sizer {
            Sizer::Requests => used.0.div_ceil(PER_REQUEST),
            Sizer::Items | Sizer::Bytes => used.0,
        };
        self.meters.queue_size.set(size as f64);
        self.meters.queue_bytes.set(used.1 as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn room(settings: &SendingQueue) -> Arc<Room> {
        Arc::new(Room::new(settings, Arc::new(Meters::new("test"))))
    }

    fn wish(min_items: u64) -> Batching {
        Batching {
            id: "batch".into(),
            min_items,
            max_items: 0,
            timeout: Duration::from_millis(200),
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }

    #[test]
    fn behind_a_batch_processor_the_queue_is_as_deep_as_the_collectors() {
        let room = room(&SendingQueue {
            queue_size: 2,
            ..SendingQueue::default()
        });
        let cost = room.cost(100, 1, Some(&wish(1000)));
        let places: Vec<_> = std::iter::from_fn(|| room.take(cost, 1)).collect();
        assert_eq!(places.len(), 20);
        assert_eq!(room.cost(5000, 1, Some(&wish(1000))), room.cost(1, 1, None));
    }

    #[test]
    fn bytes_bound_the_queue_whatever_the_sizer() {
        for sizer in [Sizer::Requests, Sizer::Items] {
            let room = room(&SendingQueue {
                sizer,
                queue_size: 1_000_000,
                queue_size_mib: 1,
                ..SendingQueue::default()
            });
            let places: Vec<_> = std::iter::from_fn(|| room.take(1, 300 << 10)).collect();
            assert_eq!(places.len(), 3, "{sizer:?}");
        }
    }

    #[test]
    fn larger_than_the_queue_fits_into_an_empty_one_alone() {
        let room = room(&SendingQueue {
            sizer: Sizer::Bytes,
            queue_size: 10,
            ..SendingQueue::default()
        });
        let large = room.take(1000, 1000);
        assert!(large.is_some() && room.take(1, 1).is_none());
        drop(large);
        assert!(room.take(10, 10).is_some());
    }
}
