//! Handshakes under way, bounded.
//!
//! Problem: a client that opens connections and never finishes its handshake holds a place for ten seconds
//! each; enough of them, and nobody else gets one. Property wanted: they cannot hold more than a part of the
//! places, and a client that does shake hands, which takes milliseconds, gets through. So beyond the bound
//! the oldest handshake makes room. Rejected: to refuse the newest, because that is the honest client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// The handshakes of one receiver, the oldest first.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
    max: usize,
}

impl Handshakes {
    /// At most `max` at once.
    pub(super) fn new(max: usize) -> Self {
        Self {
            waiting: Arc::default(),
            max: max.max(1),
        }
    }

    /// Begins one; what comes back resolves when it must make room. It has ended when that is dropped.
    pub(super) fn begin(&self) -> oneshot::Receiver<()> {
        let (evict, evicted) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|other| !other.is_closed());
        if waiting.len() >= self.max
            && let Some(oldest) = waiting.pop_front()
        {
            let _ = oldest.send(());
        }
        waiting.push_back(evict);
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_those_that_ended_do_not_count() {
        let handshakes = Handshakes::new(2);
        let mut first = handshakes.begin();
        let second = handshakes.begin();
        drop(second);
        let mut third = handshakes.begin();
        assert!(first.try_recv().is_err(), "there was room");
        let mut fourth = handshakes.begin();
        assert!(first.try_recv().is_ok(), "the oldest leaves");
        assert!(third.try_recv().is_err() && fourth.try_recv().is_err());
    }
}
