//! A bounded table of names and their handles.
//!
//! Strata and sources come from telemetry, so anybody can invent them; the table holds at most `max` at once,
//! and names that nobody sent for a while leave. A handle is never reused while the process lives, so that
//! one kept somewhere can be stale but never wrong.

use crate::time::UnixNanos;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

type Hasher = foldhash::quality::RandomState;

/// See the module's words. Handle 0 stands for everything beyond the cap and is never given to a name.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    ids: DashMap<Box<[u8]>, Seen, Hasher>,
    values: DashMap<u32, Arc<T>, Hasher>,
    live: AtomicU32,
    next: AtomicU32,
    max: u32,
}

#[derive(Debug)]
struct Seen {
    id: u32,
    at_secs: AtomicU64,
}

/// Adds one to `count` unless it has reached `max`.
pub(super) fn reserve(count: &AtomicU32, max: u32) -> bool {
    count
        .try_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then(|| n + 1))
        .is_ok()
}

/// Takes one from `count`.
pub(super) fn release(count: &AtomicU32) {
    count.update(Ordering::AcqRel, Ordering::Acquire, |n| n.saturating_sub(1));
}

impl<T: ?Sized> Interner<T> {
    pub(super) fn new(max: u32) -> Self {
        Self {
            ids: DashMap::default(),
            values: DashMap::default(),
            live: AtomicU32::new(0),
            next: AtomicU32::new(1),
            max,
        }
    }

    /// The handle of the name whose bytes are `key`; 0 when it is new and the table is full.
    pub(super) fn intern(&self, key: &[u8], now: UnixNanos, make: impl FnOnce() -> Arc<T>) -> u32 {
        if let Some(seen) = self.ids.get(key) {
            if seen.at_secs.load(Ordering::Relaxed) != now.secs() {
                seen.at_secs.store(now.secs(), Ordering::Relaxed);
            }
            return seen.id;
        }
        if self.live.load(Ordering::Acquire) >= self.max {
            return 0;
        }
        match self.ids.entry(key.into()) {
            Entry::Occupied(entry) => entry.get().id,
            Entry::Vacant(entry) => {
                if !reserve(&self.live, self.max) {
                    return 0;
                }
                let id = self.next.fetch_add(1, Ordering::AcqRel);
                if id == u32::MAX || id == 0 {
                    // Handles are used up; the counter stays at its end.
                    self.next.store(u32::MAX, Ordering::Release);
                    release(&self.live);
                    return 0;
                }
                // First the value, then the name: whoever sees the handle can resolve it.
                self.values.insert(id, make());
                entry.insert(Seen {
                    id,
                    at_secs: AtomicU64::new(now.secs()),
                });
                id
            }
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<Arc<T>> {
        self.values.get(&id).map(|value| Arc::clone(&value))
    }

    pub(super) fn len(&self) -> u32 {
        self.live.load(Ordering::Acquire)
    }

    /// Forgets names that were last sent more than `idle_secs` before `now`.
    pub(super) fn sweep(&self, now: UnixNanos, idle_secs: u64) -> u32 {
        let floor = now.secs().saturating_sub(idle_secs);
        let mut gone = 0;
        self.ids.retain(|_, seen| {
            let keep = seen.at_secs.load(Ordering::Relaxed) >= floor;
            if !keep {
                self.values.remove(&seen.id);
                release(&self.live);
                gone += 1;
            }
            keep
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos::from_secs(1_000_000);

    #[test]
    fn a_name_keeps_its_handle_and_a_full_table_answers_zero() {
        let table: Interner<str> = Interner::new(2);
        let (a, b) = (
            table.intern(b"a", NOW, || "a".into()),
            table.intern(b"b", NOW, || "b".into()),
        );
        assert_eq!(
            (
                table.intern(b"a", NOW, || "a".into()),
                table.intern(b"c", NOW, || "c".into())
            ),
            (a, 0)
        );
        assert_ne!(a, b);
        assert_eq!(table.get(b).as_deref(), Some("b"));
        assert_eq!((table.get(0), table.len()), (None, 2));
    }

    #[test]
    fn idle_names_leave_and_their_handles_do_not_return() {
        let table = Interner::new(2);
        let old = table.intern(b"old", NOW, || Arc::new(()));
        table.intern(b"busy", NOW, || Arc::new(()));
        table.intern(b"busy", NOW.plus_secs(100), || Arc::new(()));
        assert_eq!(table.sweep(NOW.plus_secs(101), 100), 1);
        assert_eq!((table.get(old), table.len()), (None, 1));
        assert!(table.intern(b"old", NOW.plus_secs(102), || Arc::new(())) > old);
    }
}
